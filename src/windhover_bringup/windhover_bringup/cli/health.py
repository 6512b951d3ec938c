"""``windhover health``: the state of a running chain."""

from __future__ import annotations

import json as json_text
import time
from typing import Annotated, Any

import typer

from windhover.errors import WindhoverError
from windhover.health.level import Level


def health(
    timeout: Annotated[
        float, typer.Option(help="Longest wait for the monitor, seconds.", min=0.1)
    ] = 5.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a running chain's health; exit status 0 OK or WARN, 1 ERROR or STALE, 2 none runs."""
    from windhover_ros.runner import ros

    with ros():
        statuses = _ask(timeout)
    rows = [
        {
            "name": status.name,
            "level": Level(status.level[0]).name,
            "message": status.message,
            **{item.key: item.value for item in status.values},
        }
        for status in statuses
    ]
    if json:
        typer.echo(json_text.dumps(rows, indent=2))
    else:
        for row in rows:
            rate = f"{row['rate_hz']} Hz  " if "rate_hz" in row else ""
            late = f"{row['latency_p99_ms']} ms p99  " if row.get("latency_p99_ms") else ""
            heat = f"{row['temperature_c']} °C  " if "temperature_c" in row else ""
            typer.echo(f"{row['level']:<6} {row['name']:<26} {rate}{late}{heat}{row['message']}")
    raise typer.Exit(int(Level[rows[0]["level"]] >= Level.ERROR))


def _ask(timeout_s: float) -> list[Any]:
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray

    from windhover_ros import qos, topics

    node = rclpy.create_node("windhover_health")
    got: list[Any] = []
    node.create_subscription(DiagnosticArray, topics.HEALTH, got.append, qos.latched())
    deadline = time.monotonic() + timeout_s
    try:
        while not got and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
        topic = node.resolve_topic_name(topics.HEALTH)
    finally:
        node.destroy_node()
    if not got:
        raise WindhoverError(
            f"no monitor answers on {topic} within {timeout_s:g} s: is 'windhover up' running, in "
            "this ROS_DOMAIN_ID and namespace (--ros-args -r __ns:=/drone1)?"
        )
    return list(got[-1].status)

"""``windhover wait-active``: wait until nodes are active."""

from __future__ import annotations

from typing import Annotated

import typer


def wait_active(
    nodes: Annotated[list[str], typer.Argument(help="Names of nodes, such as detector.")],
    timeout: Annotated[float, typer.Option(help="Longest wait, seconds.", min=0.1)] = 60.0,
) -> None:
    """Wait until all of the nodes are active; exit status 2 if they are not in time."""
    from windhover_bringup.runtime.node_states import NodeStates
    from windhover_ros.runner import StopRequest, ros, spin_in_threads

    with StopRequest(last=True) as stop, ros():
        states = NodeStates(nodes)
        try:
            with spin_in_threads([states.node]):
                states.wait_active(nodes, stop, timeout_s=timeout)
        finally:
            states.close()

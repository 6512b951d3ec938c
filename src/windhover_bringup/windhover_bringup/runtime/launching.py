"""What the launch files in ``launch/`` are made of; needs ROS's launch and launch_ros.

A launch argument that is left empty takes what the config says, so no default is
written in a launch file. ``windhover up`` does the same from the same config where
``ros2 launch`` is absent.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnShutdown
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.plan import (
    STOP_TIMEOUT_S,
    RestartPolicy,
    enclave_of,
    executable_of,
    plan_run,
)
from windhover_bringup.runtime.settings import settings_of

PACKAGE = "windhover_bringup"

ARGUMENTS = {
    "namespace": "ROS namespace of all nodes; empty: as the config says",
    "source": "where the camera's frames come from: a folder, video, bag, v4l2:///dev/video0, "
    "gst:<pipeline> or scene:<name>; rgb=URI,thermal=URI for a model of both; "
    "empty: as the config says",
    "model": "model bundle: a folder, or a name in models/; empty: as the config says",
    "backend": "auto, dlc, qnn or cpu; empty: as the config says",
    "rate": "speed of recorded frames, 0 = as fast as they are processed; "
    "empty: as the config says",
    "frames": "end after so many frames; empty: as the config says",
    "out": "folder for a recording (bag/) and metrics.json; empty: none is made",
}


def arguments(config: str, names: Sequence[str]) -> list[Any]:
    """Declared launch arguments, documented for ``--show-args``.

    Args:
        config: name of the config file in share/windhover_bringup/config.
        names: of :data:`ARGUMENTS`.
    """
    file = PathJoinSubstitution([FindPackageShare(PACKAGE), "config", config])
    return [
        DeclareLaunchArgument(
            "config",
            default_value=file,
            description="ROS parameter file with what differs from the nodes' defaults",
        ),
        *(
            DeclareLaunchArgument(name, default_value="", description=ARGUMENTS[name])
            for name in names
        ),
    ]


def given(context: Any, names: Sequence[str]) -> dict[str, str]:
    """The launch arguments that are not empty."""
    values = {name: LaunchConfiguration(name).perform(context) for name in names}
    return {name: value for name, value in values.items() if value}


def command(
    words: Callable[[dict[str, str]], Sequence[str]], names: Sequence[str], keep_up: bool
) -> Any:
    """The ``windhover`` command as a process, restarted as the config's bringup says.

    Args:
        words: makes the command's arguments of the launch arguments that were given.
        names: launch arguments that it takes, besides ``namespace``.
        keep_up: restart it if it crashes; otherwise its end ends the launch.
    """

    def start(context: Any) -> list[Any]:
        values = given(context, ["config", "namespace", *names])
        namespace = values.pop("namespace", None)
        bringup = Config.load(values.get("config"), namespace=namespace).bringup()
        restart = RestartPolicy.of(bringup) if keep_up else RestartPolicy(enabled=False)

        def make() -> Any:
            return Node(
                package=PACKAGE,
                executable="windhover",
                exec_name="windhover",
                namespace=bringup.namespace or None,
                arguments=[*words(values)],
                output="screen",
                sigterm_timeout=str(STOP_TIMEOUT_S),
                on_exit=_after_exit("windhover", make, restart, ends_all=True),
            )

        return [make()]

    return OpaqueFunction(function=start)


def option_words(values: dict[str, str]) -> list[str]:
    """Options of the ``windhover`` command for launch arguments."""
    return [word for name, value in values.items() for word in (f"--{name}", value)]


def processes(names: Sequence[str]) -> Any:
    """A process for each node: consumers first, the cameras once these are active.

    Args:
        names: launch arguments that are taken, besides ``namespace``.
    """

    def start(context: Any) -> list[Any]:
        values = given(context, ["config", "namespace", *names])
        settings = settings_of(
            values.get("config"),
            source=values.get("source"),
            model=values.get("model"),
            backend=values.get("backend"),
            frames=int(values["frames"]) if "frames" in values else None,
            rate=float(values["rate"]) if "rate" in values else None,
            namespace=values.get("namespace"),
        )
        plan = plan_run(settings, values.get("out"))
        namespace = settings.bringup().namespace
        folder = Path(tempfile.mkdtemp(prefix="windhover-"))
        parameters = plan.config.write(folder / "parameters.yaml")

        def stage(node: str, values: dict[str, int] | None = None) -> Any:
            restart = RestartPolicy.of(settings.bringup())
            package, executable = executable_of(node)

            def make() -> Any:
                return Node(
                    package=package,
                    executable=executable,
                    name=node,
                    namespace=namespace or None,
                    parameters=[str(parameters), *([values] if values else [])],
                    ros_arguments=["--enclave", enclave_of(node)],
                    output="screen",
                    sigterm_timeout=str(STOP_TIMEOUT_S),
                    on_exit=_after_exit(node, make, restart, ends_all=node in plan.cameras),
                )

            return make()

        ready = Node(
            package=PACKAGE,
            executable="windhover",
            exec_name="wait_active",
            namespace=namespace or None,
            arguments=["wait-active", *plan.consumers],
            output="screen",
        )

        def cameras(*_: Any) -> list[Any]:
            values = plan.start_values()
            return [stage(node, values) for node in plan.cameras]

        return [
            RegisterEventHandler(OnShutdown(on_shutdown=lambda *_: shutil.rmtree(folder, True))),
            # Registered before the process that it waits for, which may end at once.
            RegisterEventHandler(OnProcessExit(target_action=ready, on_exit=cameras)),
            *(stage(node) for node in plan.consumers),
            ready,
        ]

    return OpaqueFunction(function=start)


def _after_exit(
    name: str, make: Callable[[], Any], restart: RestartPolicy, ends_all: bool
) -> Callable[[Any, Any], list[Any]]:
    """What follows the end of a process: its restart, the end of the launch, or nothing."""

    def decide(event: Any, context: Any) -> list[Any]:
        if context.is_shutdown:
            return []
        status = event.returncode
        if status == 0:
            return [EmitEvent(event=Shutdown(reason=f"{name} is done"))] if ends_all else []
        delay_s = restart.delay_after(status)
        text = f"{name} {restart.describe(status, delay_s)}"
        if delay_s is None:
            return [LogInfo(msg=text), EmitEvent(event=Shutdown(reason=text))]
        return [LogInfo(msg=text), TimerAction(period=delay_s, actions=[make()])]

    return decide

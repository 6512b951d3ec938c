"""One config for all ways to run: a ROS 2 parameter file.

``config/*.yaml`` has a section per node, ``/**/<node>: ros__parameters:``. The composed
process, a process per node and ``ros2 launch`` all read it by ROS's own rules, and ROS
arguments (``--params-file``, ``-p``) apply over it. ``default.yaml`` is written from the
nodes' declarations, so that a default stands in one place only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import Field, field_validator

from windhover.errors import ConfigError
from windhover.inference import emulates
from windhover.model.bundle import Bundle
from windhover.plain_yaml import dump_yaml
from windhover_bringup.monitor.params import MonitorParams
from windhover_bringup.overlay.node import OverlayParams
from windhover_bringup.recording.recorder import RecorderParams
from windhover_cameras.rgb_camera import RgbCameraParams
from windhover_cameras.thermal_camera import ThermalCameraParams
from windhover_detector.params import DetectorParams
from windhover_pairing.params import PairingParams
from windhover_ros.arguments import NAMESPACE, RosArguments
from windhover_ros.nesting import flatten
from windhover_ros.parameter_files import ParameterSection, read_sections
from windhover_ros.params import (
    NodeParams,
    check,
    check_for_ros,
    flat_params,
    former_names,
    is_for_ros,
    read_only,
    with_present_names,
)
from windhover_tracker.node import TrackerNode

_log = logging.getLogger(__name__)


class BringupParams(NodeParams):
    """What is run, for launchers; no node reads it."""

    former_names: ClassVar[Mapping[str, str]] = {"camera": "modality"}

    modality: Literal["auto", "rgb", "thermal", "rgbt"] = read_only(
        "auto",
        description="cameras that run; rgbt = both; auto = those that the model is for. A model "
        "for both runs on one of them too, with the other's part of the picture blank",
    )
    namespace: str = read_only("", description="ROS namespace of all nodes")
    overlay: bool = Field(True, description="run the overlay node (it draws only when subscribed)")
    monitor: bool = Field(True, description="run the health monitor")
    respawn: bool = read_only(
        True, description="restart a process that crashed, at most five times a minute"
    )

    @field_validator("namespace")
    @classmethod
    def _check_namespace(cls, value: str) -> str:
        if value.strip("/") and not NAMESPACE.fullmatch(f"/{value.strip('/')}"):
            raise ValueError("a namespace holds letters, digits, '_' and '/' only")
        return value


SECTIONS: Mapping[str, type[NodeParams]] = {
    "bringup": BringupParams,
    "rgb_camera": RgbCameraParams,
    "thermal_camera": ThermalCameraParams,
    "pairing": PairingParams,
    "detector": DetectorParams,
    "tracker": TrackerNode.params_model,
    "overlay": OverlayParams,
    "recorder": RecorderParams,
    "monitor": MonitorParams,
}


@dataclass(frozen=True)
class Config:
    """Values that differ from the defaults, per section.

    Attributes:
        values: section to parameter name (dotted) to value.
        origin: file they came from, for messages.
    """

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origin: str = "command line"

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        arguments: RosArguments | None = None,
        namespace: str | None = None,
    ) -> Config:
        """Read a config file and ROS arguments, and check all of it.

        Args:
            path: the file, or the name of one in the installed config/ with or without
                its ``.yaml``; ``None`` takes every node's defaults.
            arguments: of ROS; their parameters apply over the file's.
            namespace: of all nodes, over what arguments and file say.

        Raises:
            ConfigError: no such file, not a parameter file, or a value in it is
                unknown or out of range.
        """
        file = _resolve(path) if path is not None else None
        sections = read_sections(file) if file is not None else []
        for section in sections:
            if not section.is_for_all and section.node not in SECTIONS:
                raise ConfigError(
                    f"{section.origin} has a section {section.pattern!r} for no node; there are "
                    f"{', '.join(SECTIONS)}"
                )
        arguments = arguments or RosArguments()
        sections += arguments.sections
        if namespace is None:
            namespace = arguments.namespace
        if namespace is None:
            namespace = str(_values("bringup", sections, "").get("namespace", ""))
        space = namespace.strip("/")
        values = {name: _values(name, sections, space) for name in SECTIONS}
        values = {name: given for name, given in values.items() if given}
        if space:
            values.setdefault("bringup", {})["namespace"] = space
        origin = str(file) if file is not None else "command line"
        if file is not None and arguments.sections:
            origin += " and --ros-args"
        config = cls(values, origin)
        config.validate()
        _report_unused(sections, space)
        return config

    def __getitem__(self, section: str) -> dict[str, Any]:
        """Overrides of one section, by dotted name."""
        return dict(self.values.get(section, {}))

    def with_values(self, section: str, **values: Any) -> Config:
        """This config with some values replaced; ``None`` leaves a value as it is."""
        given = {name: value for name, value in values.items() if value is not None}
        merged = {**self.values, section: {**self[section], **given}}
        return Config(merged, self.origin)

    def validate(self) -> None:
        """Check every value.

        Raises:
            ConfigError: names the file, section and parameter.
        """
        for section, values in self.values.items():
            where = f"{self.origin}: {section}"
            check(SECTIONS[section], _declared(values), where)
            for name, value in values.items():
                if is_for_ros(name):
                    check_for_ros(name, value, where)

    def bundle(self) -> Bundle:
        """The detector's model bundle, verified as the detector verifies it.

        Raises:
            BundleError: it is missing, damaged or not signed as the config asks.
            ConfigError: the public key can't be used.
        """
        where = f"{self.origin}: detector"
        detector = check(DetectorParams, _declared(self["detector"]), where)
        return Bundle.load(detector.model, public_key=detector.public_key)

    def bringup(self) -> BringupParams:
        """The launchers' own section."""
        return check(BringupParams, _declared(self["bringup"]), f"{self.origin}: bringup")

    def uses_sim_time(self) -> bool:
        """Whether a node takes its time from ``/clock``."""
        return any(values.get("use_sim_time", False) for values in self.values.values())

    def has_monitor(self, waits: bool = False) -> bool:
        """Whether a run has a health monitor.

        It has none where silence is no sign of a fault: an HTP emulator takes seconds a frame,
        and the monitor would only restart the detector again and again.

        Args:
            waits: the source waits for the slowest stage.
        """
        emulated = emulates(self["detector"].get("backend", "auto"))
        return self.bringup().monitor and not waits and not emulated

    def typed_values(self, section: str) -> dict[str, Any]:
        """Overrides of one section by dotted name, in their declared types."""
        values, where = self[section], f"{self.origin}: {section}"
        typed = flatten(check(SECTIONS[section], _declared(values), where).model_dump())
        return {name: typed.get(name, value) for name, value in values.items()}

    def write(self, path: Path) -> Path:
        """Write as a parameter file that any node takes with ``--params-file``.

        Values are written in their declared types, so that rcl reads ``rate: 30``
        of a float as a float.
        """
        document = {
            f"/**/{section}": {"ros__parameters": self.typed_values(section)}
            for section in self.values
        }
        path.write_text(dump_yaml(document))
        return path


def _resolve(path: str | os.PathLike[str]) -> Path:
    """The file, or the one of this name in the installed config/."""
    file = Path(path)
    if file.exists() or file.parent != Path():
        return file
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        shipped = Path(prefix, "share", "windhover_bringup", "config", file.stem + ".yaml")
        if prefix and shipped.is_file():
            return shipped
    return file


def _declared(values: Mapping[str, Any]) -> dict[str, Any]:
    """Less what rclpy itself declares for every node."""
    return {name: value for name, value in values.items() if not is_for_ros(name)}


def _values(node: str, sections: Sequence[ParameterSection], namespace: str) -> dict[str, Any]:
    """What a node in a namespace is given; of equal names the last one."""
    model = SECTIONS[node]
    known = {*flat_params(model), *former_names(model)}
    values: dict[str, Any] = {}
    for section in sections:
        if section.matches(f"/{namespace}/{node}" if namespace else f"/{node}"):
            given = {
                name: value
                for name, value in section.values.items()
                if not section.is_for_all or name in known or is_for_ros(name)
            }
            values |= with_present_names(model, given, f"{section.origin}: {section.pattern}")
    return values


def _report_unused(sections: Sequence[ParameterSection], namespace: str) -> None:
    """Refuse parameters that no node has; warn of sections that miss this namespace.

    Raises:
        ConfigError: a section for nodes of any name holds a parameter that none of them has.
    """
    known = set().union(*({*flat_params(m), *former_names(m)} for m in SECTIONS.values()))
    for section in sections:
        for name in section.values if section.is_for_all else ():
            if name not in known and not is_for_ros(name):
                raise ConfigError(f"{section.origin}: {name}: no node has such a parameter")
    for section in _elsewhere(sections, namespace):
        _log.warning(
            "%s: %s is not in this run's namespace %s; write /**/%s for any namespace",
            section.origin, section.pattern, f"/{namespace}", section.node,
        )  # fmt: skip


def _elsewhere(sections: Sequence[ParameterSection], namespace: str) -> Iterator[ParameterSection]:
    """Sections that look mistaken: for a node of ours, alone in its name, in no other run.

    Two drones may share a file, so a section for another namespace is fine as long as this
    run's own has one for the same node.
    """
    space = f"/{namespace}/" if namespace else "/"
    named = [s for s in sections if not s.is_for_all and s.node in SECTIONS]
    served = {s.node for s in named if s.matches(space + s.node)}
    yield from (s for s in named if s.node not in served)


def render_default() -> str:
    """The text of ``config/default.yaml``: every parameter, explained.

    ``python -m windhover_bringup.runtime.config > config/default.yaml`` updates the file.
    """
    lines = [
        "# Every parameter of every node with its default. Written from the nodes'",
        "# declarations by `python -m windhover_bringup.runtime.config`; a test holds them equal.",
        "# A config of your own needs only what differs.",
    ]
    for section, model in SECTIONS.items():
        lines += ["", f"/**/{section}:", "  ros__parameters:"]
        values = flatten(model().model_dump())
        for name, param in flat_params(model).items():
            note = " (read-only)" if param.read_only else ""
            lines += _wrapped(f"{param.field.description}{note}", "    # ")
            lines.append(f"    {name}: {_scalar(values[name])}")
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"') + '"'
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0]


def _wrapped(text: str, prefix: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 96, initial_indent=prefix, subsequent_indent=prefix)


if __name__ == "__main__":
    print(render_default(), end="")

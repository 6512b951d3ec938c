"""One config for all ways to run: a ROS 2 parameter file.

``config/*.yaml`` has a section per node, ``/**/<node>: ros__parameters:``. The
composed process, a process per node and ``ros2 launch`` all read it, and
``default.yaml`` is written from the nodes' own declarations, so that a default
is said in one place only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from windhover.errors import ConfigError
from windhover.inference import emulates
from windhover.model.bundle import Bundle
from windhover.plain_yaml import YamlError, dump_yaml, read_yaml
from windhover_bringup.monitor.node import MonitorParams
from windhover_bringup.overlay.node import OverlayParams
from windhover_bringup.recording.recorder import RecorderParams
from windhover_cameras.rgb_camera import RgbCameraParams
from windhover_cameras.thermal_camera import ThermalCameraParams
from windhover_detector.node import DetectorParams
from windhover_pairing.params import PairingParams
from windhover_ros.params import NodeParams, check, flat_params, flatten, read_only
from windhover_tracker.node import TrackerNode


class BringupParams(NodeParams):
    """What is run, for launchers; no node reads it."""

    camera: Literal["auto", "rgb", "thermal", "rgbt"] = read_only(
        "auto",
        description="what feeds the detector; rgbt = both cameras; auto = what the model is for",
    )
    namespace: str = read_only("", description="ROS namespace of all nodes")
    overlay: bool = Field(True, description="run the overlay node (it draws only when subscribed)")
    monitor: bool = Field(True, description="run the health monitor")
    respawn: bool = read_only(
        True, description="start a process again that crashed; at most five times a minute"
    )


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
    def load(cls, path: str | os.PathLike[str] | None = None) -> Config:
        """Read a config file and check all of it.

        Args:
            path: the file, or the name of one in the installed config/ with or without
                its ``.yaml``; ``None`` takes every node's defaults.

        Raises:
            ConfigError: no such file, not a parameter file, or a value in it is
                unknown or out of range.
        """
        if path is None:
            return cls()
        file = _found(path)
        config = cls(_sections(file), str(file))
        config.validate()
        return config

    def __getitem__(self, section: str) -> dict[str, Any]:
        """Overrides of one section, by dotted name."""
        return dict(self.values.get(section, {}))

    def replaced(self, section: str, **values: Any) -> Config:
        """This config with some values set anew; ``None`` leaves one as it is."""
        given = {name: value for name, value in values.items() if value is not None}
        merged = {**self.values, section: {**self[section], **given}}
        return Config(merged, self.origin)

    def validate(self) -> None:
        """Check every value.

        Raises:
            ConfigError: names the file, section and parameter.
        """
        for section, values in self.values.items():
            check(SECTIONS[section], values, f"{self.origin}: {section}")

    def bundle(self) -> Bundle:
        """The detector's model bundle, verified as the detector verifies it.

        Raises:
            BundleError: it is missing, damaged or not signed as the config asks.
            ConfigError: the public key can't be used.
        """
        detector = check(DetectorParams, self["detector"], f"{self.origin}: detector")
        return Bundle.load(detector.model, public_key=detector.public_key)

    def bringup(self) -> BringupParams:
        """The launchers' own section."""
        return check(BringupParams, self["bringup"], f"{self.origin}: bringup")

    def is_watched(self, waits: bool = False) -> bool:
        """Whether a run has a health monitor.

        None where silence is no sign of a fault: an HTP emulator takes seconds a frame, and
        the monitor would only start the detector again and again.

        Args:
            waits: the source waits for the slowest stage.
        """
        emulated = emulates(self["detector"].get("backend", "auto"))
        return self.bringup().monitor and not waits and not emulated

    def typed(self, section: str) -> dict[str, Any]:
        """Overrides of one section by dotted name, in their declared types."""
        values = self[section]
        model = check(SECTIONS[section], values, f"{self.origin}: {section}")
        typed = flatten(model.model_dump())
        return {name: typed[name] for name in values}

    def write(self, path: Path) -> Path:
        """Write as a parameter file that any node takes with ``--params-file``.

        Values are written in their declared types, so that rcl reads ``rate: 30``
        of a float as a float.
        """
        document = {
            f"/**/{section}": {"ros__parameters": self.typed(section)} for section in self.values
        }
        path.write_text(dump_yaml(document))
        return path


def _found(path: str | os.PathLike[str]) -> Path:
    """The file, or that of this name in the installed config/."""
    file = Path(path)
    if file.exists() or file.parent != Path():
        return file
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        shipped = Path(prefix, "share", "windhover_bringup", "config", file.stem + ".yaml")
        if prefix and shipped.is_file():
            return shipped
    return file


def _sections(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = read_yaml(file)
    except OSError as error:
        raise ConfigError(f"config {file} can't be read: {error.strerror or error}") from None
    except YamlError as error:
        raise ConfigError(f"config {file} is not YAML: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"config {file} has no sections; start from config/default.yaml")
    sections: dict[str, dict[str, Any]] = {}
    for key, content in document.items():
        name = str(key).rsplit("/", 1)[-1]
        if name not in SECTIONS:
            raise ConfigError(
                f"config {file} has a section {key!r} for no node; there are {', '.join(SECTIONS)}"
            )
        if not isinstance(content, dict) or set(content) != {"ros__parameters"}:
            raise ConfigError(f"config {file}: section {key!r} must hold 'ros__parameters:' only")
        sections[name] = flatten(content["ros__parameters"] or {})
    return sections


def render_default() -> str:
    """The text of ``config/default.yaml``: every parameter, explained.

    ``python -m windhover_bringup.runtime.config > config/default.yaml`` writes it anew.
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

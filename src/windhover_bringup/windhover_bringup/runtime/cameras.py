"""Which cameras a run has, and what they play.

A model for RGB or thermal has one camera; one for both has two and the pairing node between
them and the detector. A model for both also runs on one camera alone: the pairing node then
leaves the other's part of the picture blank.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError
from windhover.model.bundle import Bundle
from windhover.sources import is_bag, is_device, kind_of, open_source
from windhover.sources.rosbag import RosbagImages
from windhover_bringup.runtime.config import Config
from windhover_ros import topics

CAMERAS = {"rgb": ("rgb",), "thermal": ("thermal",), "rgbt": ("rgb", "thermal")}
"""The cameras of each modality; the first leads."""

_PER_CAMERA = re.compile(r"(rgb|thermal)=(.*?)(?:,(rgb|thermal)=(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CameraSetup:
    """The cameras of a run.

    Attributes:
        cameras: ``rgb``, ``thermal`` or both; the first leads.
        modality: of the pictures that the detector is given: ``rgb``, ``thermal`` or ``rgbt``.
    """

    cameras: tuple[str, ...]
    modality: str

    @classmethod
    def of(cls, config: Config, bundle: Bundle) -> CameraSetup:
        """As the config says; ``auto`` is what the model is for."""
        chosen = config.bringup().modality
        cameras = CAMERAS[bundle.modality if chosen == "auto" else chosen]
        is_paired = bundle.modality == "rgbt" or len(cameras) > 1
        return cls(cameras, "rgbt" if is_paired else cameras[0])

    @property
    def is_paired(self) -> bool:
        """Whether the pairing node makes the detector's pictures."""
        return self.modality == "rgbt"

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the camera nodes."""
        return tuple(f"{camera}_camera" for camera in self.cameras)

    @property
    def image_topic(self) -> str:
        """Of the pictures that results belong to."""
        return topics.image_of(self.modality)


def named_sources(source: str) -> dict[str, str]:
    """Camera to URI of ``rgb=URI``, ``thermal=URI`` or both; empty for any other source."""
    match = _PER_CAMERA.fullmatch(source)
    if match is None or match[1] == match[3]:
        return {}
    given = {match[1]: match[2]}
    return given if match[3] is None else {**given, match[3]: match[4]}


def sources_of(source: str, cameras: tuple[str, ...]) -> dict[str, str]:
    """What each camera plays.

    Args:
        source: one URI, ``rgb=URI,thermal=URI``, or one of these. One URI for two cameras
            is a scene, which both see, a bag with both topics, or a folder with ``rgb/``
            and ``thermal/``.
        cameras: of the run.

    Raises:
        ConfigError: they can't play it.
    """
    named = named_sources(source)
    if named:
        missing = [camera for camera in cameras if camera not in named]
        if missing:
            raise ConfigError(
                f"--source {source} has nothing for the {missing[0]} camera, which this model "
                f"needs; give {missing[0]}=URI"
            )
        return {camera: named[camera] for camera in cameras}
    if len(cameras) == 1:
        return {cameras[0]: source}
    kind = kind_of(source)
    if kind is not None and kind.shared is not None:
        return dict.fromkeys(cameras, kind.shared(source))
    path = Path(source)
    if all((path / camera).is_dir() for camera in cameras):
        return {camera: str(path / camera) for camera in cameras}
    if (path.exists() and not is_bag(path)) or is_device(source):
        raise ConfigError(
            f"the model is for two cameras and {source} is one; give --source rgb=URI,thermal=URI, "
            "rgb=URI alone, scene:NAME, a bag of both, or a folder with rgb/ and thermal/"
        )
    return dict.fromkeys(cameras, source)


def pairing_values(config: Config, bundle: Bundle, setup: CameraSetup) -> dict[str, Any]:
    """What the pairing node is given of the model, the cameras and a rendered scene.

    Thermal counts become grey as the model was trained with; a scene's own
    calibration, height and tilt are known. What the config says stands.
    """
    values: dict[str, Any] = {
        f"tone.{name}": value for name, value in bundle.tone.model_dump().items()
    }
    values["cameras"] = list(setup.cameras)
    uri = str(config[setup.nodes[0]].get("source", ""))
    kind = kind_of(uri) if uri else None
    if kind is not None and kind.pairing is not None:
        values |= kind.pairing(uri)
    return values | config["pairing"]


@dataclass(frozen=True, slots=True)
class Input:
    """Facts of a camera's source before it plays.

    Attributes:
        length: number of frames, where known.
        rate_hz: nominal.
        first_ns: stamp of the first frame, where the source has its own.
        recorded: whether it is a recording and no device.
    """

    length: int | None
    rate_hz: float
    first_ns: int = 0
    recorded: bool = True


def check_input(config: Config, camera: str) -> Input:
    """Check before anything starts that the source can be opened.

    A camera may be connected later, so devices are left to the node, which retries.

    Raises:
        SourceError: a recorded source is missing, empty or of no known kind.
        ConfigError: no source is set.
    """
    values = config[f"{camera}_camera"]
    uri = str(values.get("source", ""))
    if not uri:
        raise ConfigError(
            f"no source for the {camera} camera; give --source (a folder, video, bag, "
            "v4l2:///dev/video0, scene:demo) or set it in the config; for a run with one camera "
            "give rgb=URI or thermal=URI alone, or set modality in the section bringup"
        )
    limit = int(values.get("max_frames", 0)) or None
    if is_device(uri):
        return Input(limit, 30.0, recorded=False)
    source = open_source(uri, camera=camera, on_bad="skip")
    length, rate_hz, first_ns = source.length, source.rate_hz, 0
    if isinstance(source, RosbagImages):
        first_ns = next((frame.stamp_ns for frame in source), 0)
    source.close()
    length = min(length, limit) if length and limit else length or limit
    return Input(length, rate_hz, first_ns)


def check_inputs(config: Config, cameras: tuple[str, ...]) -> tuple[Config, Input]:
    """Check all cameras' sources, and synchronise two recorded ones.

    Returns:
        The config, in which two cameras end together and count from the same stamp; and the
        facts of the leading camera's source.

    Raises:
        SourceError: a recorded source is missing, empty or of no known kind.
        ConfigError: no source is set.
    """
    inputs = [check_input(config, camera) for camera in cameras]
    lead = inputs[0]
    if len(inputs) > 1 and all(one.recorded for one in inputs):
        first_ns = min(one.first_ns for one in inputs)
        for camera, one in zip(cameras, inputs, strict=True):
            section = f"{camera}_camera"
            frames = int(config["rgb_camera"].get("max_frames", 0))
            frames = math.ceil(frames * one.rate_hz / lead.rate_hz)
            config = config.with_values(section, start_stamp_ns=first_ns, max_frames=frames)
    return config, lead


def with_common_start(config: Config, cameras: tuple[str, ...], at_ns: int) -> Config:
    """The config of cameras that start together.

    Args:
        config: of all nodes.
        cameras: of the run.
        at_ns: ROS time at which they start; one camera alone starts at once.
    """
    if len(cameras) > 1:
        for camera in cameras:
            config = config.with_values(f"{camera}_camera", start_time_ns=at_ns)
    return config

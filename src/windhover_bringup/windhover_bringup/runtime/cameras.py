"""Which cameras a run has, and what they play.

A model for RGB or thermal has one camera; one for both has two and the pairing
node between them and the detector.
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

CAMERAS = {"rgb": ("rgb",), "thermal": ("thermal",), "rgbt": ("rgb", "thermal")}
"""The cameras that feed each kind of detector; the first leads."""

_PER_CAMERA = re.compile(r"(rgb|thermal)=(.*),(rgb|thermal)=(.*)", re.DOTALL)


def feed_of(config: Config, bundle: Bundle) -> str:
    """What feeds the detector: ``rgb``, ``thermal`` or ``rgbt``."""
    chosen = config.bringup().camera
    return bundle.channels if chosen == "auto" else chosen


def image_topic(feed: str) -> str:
    """The topic of the pictures that results belong to."""
    return "rgbt/image" if feed == "rgbt" else f"camera/{feed}/image_raw"


def sources_of(source: str, feed: str) -> dict[str, str]:
    """What each camera of a feed plays.

    Args:
        source: one URI, or ``rgb=URI,thermal=URI``. One for two cameras is a scene,
            which both see, a bag with both topics, or a folder with ``rgb/`` and
            ``thermal/``.
        feed: of the detector.

    Raises:
        ConfigError: two cameras can't play it.
    """
    match = _PER_CAMERA.fullmatch(source)
    if match and match[1] != match[3]:
        given = {match[1]: match[2], match[3]: match[4]}
        return {camera: given[camera] for camera in CAMERAS[feed]}
    if feed != "rgbt":
        return {feed: source}
    kind = kind_of(source)
    if kind is not None and kind.shared is not None:
        return dict.fromkeys(CAMERAS[feed], kind.shared(source))
    path = Path(source)
    if all((path / camera).is_dir() for camera in CAMERAS[feed]):
        return {camera: str(path / camera) for camera in CAMERAS[feed]}
    if (path.exists() and not is_bag(path)) or is_device(source):
        raise ConfigError(
            f"the model is for two cameras and {source} is one; give --source rgb=URI,thermal=URI, "
            "scene:NAME, a bag of both, or a folder with rgb/ and thermal/"
        )
    return dict.fromkeys(CAMERAS[feed], source)


def pairing_values(config: Config, bundle: Bundle) -> dict[str, Any]:
    """What the pairing node is given of the model and of a rendered scene.

    Thermal counts become grey as the model was trained with; a scene's own
    calibration, height and tilt are known. What the config says stands.
    """
    values: dict[str, Any] = {
        f"tone.{name}": value for name, value in bundle.tone.model_dump().items()
    }
    uri = str(config["rgb_camera"].get("source", ""))
    kind = kind_of(uri) if uri else None
    if kind is not None and kind.pairing is not None:
        values |= kind.pairing(uri)
    return values | config["pairing"]


@dataclass(frozen=True, slots=True)
class Input:
    """What is known of a camera's source before it plays.

    Attributes:
        length: frames that will come, where known.
        rate_hz: nominal.
        first_ns: stamp of the first frame, where the source has its own.
        recorded: whether it is no device.
    """

    length: int | None
    rate_hz: float
    first_ns: int = 0
    recorded: bool = True


def check_input(config: Config, camera: str) -> Input:
    """Find out before anything starts whether the source can be opened at all.

    A camera may come later, so devices are left to the node, which retries.

    Raises:
        SourceError: a recorded source is missing, empty or of no known kind.
        ConfigError: no source is set.
    """
    values = config[f"{camera}_camera"]
    uri = str(values.get("source", ""))
    if not uri:
        raise ConfigError(
            f"no source for the {camera} camera; give --source (a folder, video, bag, "
            "v4l2:///dev/video0, scene:demo) or set it in the config"
        )
    most = int(values.get("max_frames", 0)) or None
    if is_device(uri):
        return Input(most, 30.0, recorded=False)
    source = open_source(uri, camera=camera, on_bad="skip")
    length, rate_hz, first_ns = source.length, source.rate_hz, 0
    if isinstance(source, RosbagImages):
        first_ns = next((frame.stamp_ns for frame in source), 0)
    source.close()
    length = min(length, most) if length and most else length or most
    return Input(length, rate_hz, first_ns)


def check_inputs(config: Config, feed: str) -> tuple[Config, Input]:
    """Check all cameras' sources, and let two recorded ones go together.

    Returns:
        The config, in which two cameras end together and have a stamp in common
        to count from; and what is known of the camera that leads.

    Raises:
        SourceError: a recorded source is missing, empty or of no known kind.
        ConfigError: no source is set.
    """
    cameras = CAMERAS[feed]
    inputs = [check_input(config, camera) for camera in cameras]
    lead = inputs[0]
    if len(inputs) > 1 and all(one.recorded for one in inputs):
        first_ns = min(one.first_ns for one in inputs)
        for camera, one in zip(cameras, inputs, strict=True):
            section = f"{camera}_camera"
            frames = int(config["rgb_camera"].get("max_frames", 0))
            frames = math.ceil(frames * one.rate_hz / lead.rate_hz)
            config = config.replaced(section, start_stamp_ns=first_ns, max_frames=frames)
    return config, lead


def started(config: Config, feed: str, at_ns: int) -> Config:
    """The config of cameras that are to begin together.

    Args:
        config: of all nodes.
        feed: of the detector.
        at_ns: ROS time at which both begin; one camera alone begins at once.
    """
    cameras = CAMERAS[feed]
    if len(cameras) > 1:
        for camera in cameras:
            config = config.replaced(f"{camera}_camera", start_time_ns=at_ns)
    return config

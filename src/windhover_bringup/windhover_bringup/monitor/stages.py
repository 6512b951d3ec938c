"""The stages that can be watched: what they publish, and which stage is before which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import Detection2DArray

from windhover_ros import topics

CAMERAS = ("rgb_camera", "thermal_camera")


@dataclass(frozen=True, slots=True)
class StageOutput:
    """By which topic one sees that a stage works.

    Attributes:
        topic: of its results; of images the camera_info that goes with each, for a
            subscription to the images themselves would cost as much as the stage.
        kind: type of the topic.
        inputs: stages that it may get its input from.
    """

    topic: str
    kind: Any
    inputs: tuple[str, ...] = ()


STAGE_OUTPUTS: Mapping[str, StageOutput] = {
    "rgb_camera": StageOutput(topics.camera_info("rgb"), CameraInfo),
    "thermal_camera": StageOutput(topics.camera_info("thermal"), CameraInfo),
    "pairing": StageOutput(topics.RGBT_CAMERA_INFO, CameraInfo, CAMERAS),
    "detector": StageOutput(topics.DETECTIONS, Detection2DArray, ("pairing", *CAMERAS)),
    "tracker": StageOutput(topics.TRACKS, Detection2DArray, ("detector",)),
}


def inputs_of(name: str, watched: Sequence[str]) -> tuple[str, ...]:
    """Of the stages that are watched, those whose silence excuses a stage's own.

    Pairing stands between both cameras and the detector, and goes on without thermal.
    """
    inputs = tuple(one for one in STAGE_OUTPUTS[name].inputs if one in watched)
    if "pairing" in inputs:
        return ("pairing",)
    return inputs[:1] if name == "pairing" else inputs

"""Parameters of the RGB and the thermal camera node, and options of their source."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from windhover_ros.lifecycle import StageParams
from windhover_ros.params import read_only

_V4L2 = ("v4l2:", "/dev/")

FLIPS = {"horizontal": 1, "vertical": 0, "both": -1}
"""``flip`` to OpenCV's code."""


class CameraParams(StageParams):
    """Parameters of a camera node."""

    source: str = read_only(
        "",
        description="where frames come from: a folder, image, video or rosbag2 path, "
        "v4l2:///dev/videoN, gst:<pipeline> or scene:<name>?seed=1&altitude=40",
    )
    rate: float = Field(
        1.0,
        ge=0.0,
        le=100.0,
        description="playback speed of recorded frames; 0 = as fast as they are processed, "
        "without dropping any",
    )
    stamps: Literal["now", "source"] = read_only(
        "now", description="stamps of recorded frames: moved to now, or kept as recorded"
    )
    loop: bool = Field(False, description="start a recorded source again at its end")
    max_frames: int = read_only(
        0, ge=0, le=2**31 - 1, description="end after so many frames; 0 = no limit"
    )
    start_time_ns: int = read_only(
        0,
        ge=0,
        le=2**62,
        description="recorded frames: ROS time at which start_stamp_ns is due, so that two "
        "cameras keep step (launchers set it); 0 = the first frame at once",
    )
    start_stamp_ns: int = read_only(
        0, ge=0, le=2**62, description="recorded stamp that is due at start_time_ns"
    )
    end_process: bool = read_only(
        False, description="end the node's own process when a recorded source has ended"
    )
    frame_id: str = read_only("camera", description="tf frame of the camera")
    width: int = read_only(
        0,
        ge=0,
        le=16_384,
        description="width to request from a v4l2: camera, pixels; 0 = its current setting",
    )
    height: int = read_only(
        0,
        ge=0,
        le=16_384,
        description="height to request, telemetry rows included, pixels; 0 = its current one",
    )
    frame_rate: float = read_only(
        0.0,
        ge=0.0,
        le=1000.0,
        description="frames per second to request from it; 0 = its current setting",
    )
    pixel_format: Literal["auto", "mjpeg", "yuyv", "uyvy", "nv12", "bgr", "rgb", "gray", "y16"] = (
        read_only(
            "auto", description="pixel format to request from it; auto = the best that it offers"
        )
    )
    timeout_s: float = read_only(
        5.0, ge=0.1, le=60.0, description="silence after which a camera counts as gone, seconds"
    )
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none",
        description="mirror images, for a camera mounted upside down; both = rotate by 180 degrees",
    )
    stamp_offset_ms: float = Field(
        0.0,
        ge=-1000.0,
        le=1000.0,
        description="added to a camera's stamps: minus the known time from mid-exposure to the "
        "driver's stamp, milliseconds",
    )
    calibration_file: str = read_only(
        "",
        description="camera_info from this YAML of ROS's camera_calibration, made from images "
        "as they are published; empty = fov_deg",
    )
    fov_deg: float = Field(
        0.0,
        ge=0.0,
        le=179.0,
        description="horizontal field of view for camera_info where there is no calibration, "
        "degrees; 0 = uncalibrated",
    )


def device_settings(params: CameraParams) -> tuple[dict[str, Any], list[str]]:
    """The options of a camera that a node's parameters set.

    Args:
        params: of the node.

    Returns:
        Options for ``open_source``, and the names of parameters that have no effect, as
        the source is not a V4L2 device.
    """
    asked: dict[str, Any] = {}
    names: list[str] = []
    if params.width or params.height:
        names.append("width and height")
        asked["size"] = (params.width, params.height)
    if params.frame_rate:
        names.append("frame_rate")
        asked["rate_hz"] = params.frame_rate
    if params.pixel_format != "auto":
        names.append("pixel_format")
        asked["pixel_format"] = params.pixel_format
    palette = getattr(params, "palette", "auto")
    exposure_us = getattr(params, "exposure_us", -1.0)
    if exposure_us >= 0:
        names.append("exposure_us")
        asked["exposure_us"] = exposure_us
    gain = getattr(params, "gain", -1.0)
    if gain >= 0:
        names.append("gain")
        asked["gain"] = gain
    always = {"timeout_s": params.timeout_s, "palette": palette}
    if not params.source.startswith(_V4L2):
        return always, names
    return {**asked, **always}, []

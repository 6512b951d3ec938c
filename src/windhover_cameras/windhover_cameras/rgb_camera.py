"""The RGB camera node: publishes ``camera/rgb/image_raw`` and ``camera_info``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windhover_cameras.base import CameraNode, run_camera
from windhover_cameras.params import CameraParams
from windhover_ros.params import read_only


class RgbCameraParams(CameraParams):
    """Parameters of the rgb camera."""

    frame_id: str = read_only("rgb_camera", description="tf frame of the camera")
    exposure_us: float = read_only(
        -1.0,
        ge=-1.0,
        le=10_000_000.0,
        description="exposure to request from a v4l2: camera, microseconds; 0 = automatic, "
        "-1 = as it is",
    )
    gain: float = read_only(
        -1.0,
        ge=-1.0,
        le=1_000_000.0,
        description="gain to request, in the camera's units; -1 = as it is",
    )


class RgbCamera(CameraNode[RgbCameraParams]):
    """Plays a source as the rgb camera."""

    params_model = RgbCameraParams
    camera = "rgb"
    expected = ("bgr8", "rgb8")

    def __init__(self, overrides: Mapping[str, Any] | None = None, namespace: str = "") -> None:
        super().__init__("rgb_camera", overrides, namespace)


def main() -> int:
    """Run the node as a separate process."""
    return run_camera(RgbCamera)


if __name__ == "__main__":
    raise SystemExit(main())

"""The thermal camera node: publishes ``camera/thermal/image_raw`` and ``camera_info``.

Raw Y16 counts leave as ``mono16``, untouched: tone mapping is the consumer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windhover_cameras.base import CameraNode, CameraParams, run_camera
from windhover_ros.params import read_only


class ThermalCameraParams(CameraParams):
    """Parameters of the thermal camera."""

    frame_id: str = read_only("thermal_camera", description="tf frame of the camera")


class ThermalCamera(CameraNode):
    """Plays a source as the thermal camera."""

    params_model = ThermalCameraParams
    camera = "thermal"
    expected = ("mono16", "mono8")

    def __init__(self, overrides: Mapping[str, Any] | None = None, namespace: str = "") -> None:
        super().__init__("thermal_camera", overrides, namespace)


def main() -> int:
    """Run the node as a process of its own."""
    return run_camera(ThermalCamera)


if __name__ == "__main__":
    raise SystemExit(main())

"""The RGB camera node: publishes ``camera/rgb/image_raw`` and ``camera_info``.

With ``detect_width`` both are of the reduced frame, and stages in this process are given the
full one with it, as the camera gave it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from windhover.errors import EncodingError, SourceError
from windhover.imaging.reduction import FrameReducer
from windhover.types import Frame
from windhover_cameras.base import CameraNode, run_camera
from windhover_cameras.params import CameraParams
from windhover_ros.diagnostics import Level
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
    detect_width: int = read_only(
        0,
        ge=0,
        le=8192,
        description="columns to which larger frames are reduced for detector, topics and "
        "recording, while a model that looks twice cuts chips from the full ones, in the same "
        "process; 0 = frames go on as they are",
    )


class RgbCamera(CameraNode[RgbCameraParams]):
    """Plays a source as the rgb camera."""

    params_model = RgbCameraParams
    stages = ("source", "convert", "publish")
    camera = "rgb"
    expected = ("bgr8", "rgb8", "nv12")

    def __init__(self, overrides: Mapping[str, Any] | None = None, namespace: str = "") -> None:
        super().__init__("rgb_camera", overrides, namespace)
        width = self.params.detect_width
        self._reducer = FrameReducer(width) if width else None
        self._reported: tuple[int, int, str] | None = None

    def source_options(self) -> dict[str, Any]:
        """Ask for frames as large as they come, and as the camera has them."""
        reduces = self._reducer is not None
        return {"keep_nv12": reduces, "nearest_size": reduces}

    def prepare(self, frame: Frame) -> Frame | None:
        """Reduce a frame that is larger than the detector's."""
        if self._reducer is None:
            return frame
        before = time.monotonic_ns()
        try:
            reduced = self._reducer.reduce(frame)
        except EncodingError as error:
            # One frame of a camera is no reason to stop.
            self._report_skipped(SourceError(f"{self.params.source}: {error}"))
            return None
        self.health.timings.record("convert", time.monotonic_ns() - before)
        given = frame.width, frame.height, frame.encoding
        if given != self._reported:
            self._reported = given
            self._report_full_frame(frame, reduced)
        return reduced

    def _report_full_frame(self, frame: Frame, reduced: Frame) -> None:
        """State what chips are cut from, and report once where a camera gives less than it could.

        The next best is used: a camera without NV12 is reduced from B, G, R, which takes
        longer, and one without a larger size has no full frame.
        """
        given = f"{frame.width}x{frame.height} {frame.encoding}"
        self.health.set("full_frame", given if reduced.full else f"none: {given}")
        problem = ""
        if reduced.full is None:
            problem = f"frames are {given}, no larger than detect_width: there is no full frame"
        elif frame.encoding != "nv12":
            problem = f"frames are {given}, not nv12, which costs more to reduce"
        if problem and self._live:
            text = f"{self.params.source}: {problem}"
            self.health.problem("full_frame", Level.WARN, text, for_s=10.0)
            self.get_logger().warning(text)


def main() -> int:
    """Run the node as a separate process."""
    return run_camera(RgbCamera)


if __name__ == "__main__":
    raise SystemExit(main())

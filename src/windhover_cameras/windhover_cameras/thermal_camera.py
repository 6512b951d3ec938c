"""The thermal camera node: publishes ``camera/thermal/image_raw`` and ``camera_info``.

Raw Y16 counts are published as ``mono16``, unchanged: tone mapping is the consumer's.
Telemetry rows are cut off. Frames that repeat while the shutter is closed are reported
as a state; those of a camera are dropped, those of a recording are kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from windhover.imaging.thermal import (
    FreezeDetector,
    Radiometry,
    Telemetry,
    ThermalState,
    lepton_ffc,
)
from windhover.sources.palette import Palette
from windhover.types import Frame, Image
from windhover_cameras.base import CameraNode, run_camera
from windhover_cameras.params import CameraParams
from windhover_ros.diagnostics import Level
from windhover_ros.params import read_only


class ThermalCameraParams(CameraParams):
    """Parameters of the thermal camera."""

    frame_id: str = read_only("thermal_camera", description="tf frame of the camera")
    palette: Palette = read_only(
        "auto",
        description="palette of pictures that hold no counts: auto = white-hot, or black-hot "
        "where the file says so, and colours are refused; ironbow = any that gets brighter "
        "with heat",
    )
    telemetry_rows: int = read_only(
        -1,
        ge=-1,
        le=16,
        description="rows that are telemetry and are cut off; -1 = the rows that a Lepton's or "
        "Boson's frame has in excess",
    )
    telemetry_place: Literal["auto", "top", "bottom"] = read_only(
        "auto", description="where they are; auto = top of a Boson's frame, bottom of a Lepton's"
    )
    frozen_frames: Literal["auto", "drop", "pass"] = read_only(
        "auto",
        description="frames that repeat the previous one: auto = drop a camera's, pass a "
        "recording's",
    )
    freeze_after_s: float = Field(
        0.25,
        ge=0.05,
        le=10.0,
        description="an unchanged picture is reported as frozen after so long, seconds",
    )
    freeze_limit_s: float = Field(
        5.0,
        ge=0.1,
        le=600.0,
        description="a flat-field correction or freeze that lasts longer is a warning, seconds",
    )
    kelvin_per_count: float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="radiometric scale: kelvin a count (Lepton and Boson TLinear 0.01 or 0.1); "
        "0 = counts are no temperatures",
    )
    kelvin_offset: float = Field(0.0, ge=-1000.0, le=1000.0, description="kelvin at a count of 0")


class ThermalCamera(CameraNode[ThermalCameraParams]):
    """Plays a source as the thermal camera.

    Attributes:
        watch: distinguishes fresh frames from repeated ones.
    """

    params_model = ThermalCameraParams
    camera = "thermal"
    expected = ("mono16", "mono8")

    def __init__(self, overrides: Mapping[str, Any] | None = None, namespace: str = "") -> None:
        super().__init__("thermal_camera", overrides, namespace)
        self.watch = FreezeDetector(self.params.freeze_after_s)
        self._telemetry = Telemetry(self.params.telemetry_rows, self.params.telemetry_place)
        self._last_picture: Image | None = None

    def start(self) -> None:
        """Play, without any memory of earlier frames."""
        self.watch = FreezeDetector(self.params.freeze_after_s)
        super().start()

    def prepare(self, frame: Frame) -> Frame | None:
        """Cut telemetry off and drop frames that are no fresh picture."""
        picture, rows = self._telemetry.split(frame.image)
        self.watch.after_s = self.params.freeze_after_s
        state = self.watch.update(picture, time.monotonic_ns(), lepton_ffc(rows))
        self._last_picture = picture
        if state is ThermalState.FRESH:
            self.health.clear_problem("thermal")
        elif self.watch.last_s > self.params.freeze_limit_s:
            self.health.problem(
                "thermal",
                Level.WARN,
                f"thermal picture unchanged for {self.watch.last_s:.1f} s ({state.value}); "
                "check the camera's shutter",
            )
        if state is not ThermalState.FRESH and self._drops:
            return None
        return frame if rows is None else replace(frame, image=picture)

    def refresh(self) -> None:
        """Report the state of the shutter and the scene's temperatures."""
        super().refresh()
        watch, show = self.watch, self.health.set
        state = watch.state_at(time.monotonic_ns()) if self._live else watch.state
        show("thermal_state", state.value)
        show("frames_repeated", watch.repeated)
        show("freezes", watch.freezes)
        show("freeze_last_s", f"{watch.last_s:.2f}")
        show("freeze_longest_s", f"{watch.longest_s:.2f}")
        params, picture = self.params, self._last_picture
        show("kelvin_per_count", f"{params.kelvin_per_count:g}")
        show("kelvin_offset", f"{params.kelvin_offset:g}")
        if params.kelvin_per_count and picture is not None and picture.dtype == np.uint16:
            scale = Radiometry(params.kelvin_per_count, params.kelvin_offset)
            low, middle, high = scale.celsius(np.percentile(picture[::4, ::4], (1, 50, 99)))
            show("scene_celsius_p1_p50_p99", f"{low:.1f} {middle:.1f} {high:.1f}")

    @property
    def _drops(self) -> bool:
        policy = self.params.frozen_frames
        return policy == "drop" or (policy == "auto" and self._live)


def main() -> int:
    """Run the node as a separate process."""
    return run_camera(ThermalCamera)


if __name__ == "__main__":
    raise SystemExit(main())

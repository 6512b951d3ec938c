"""Parameters of the pairing node."""

from __future__ import annotations

from typing import Literal

from windhover.imaging.agc import ToneConfig
from windhover.pairing.matching import PairingPolicy
from windhover_ros.drone import AltitudeParams, AttitudeParams
from windhover_ros.lifecycle import StageParams
from windhover_ros.params import read_only


class PairingParams(AltitudeParams, AttitudeParams, StageParams):
    """Parameters of the pairing node."""

    calibration: str = read_only(
        "",
        description="rgbt.yaml of 'windhover calibrate', or scene:NAME for a rendered scene's own; "
        "empty = thermal is only stretched over RGB",
    )
    cameras: list[Literal["rgb", "thermal"]] = read_only(
        ["rgb", "thermal"],
        min_length=1,
        description="cameras that there are; the part of one that is not there stays blank",
    )
    output_width: int = read_only(
        0, ge=0, le=8192, description="columns of rgbt/image; 0 = those of the RGB image"
    )
    tolerance_s: float = read_only(
        0.0,
        ge=0.0,
        le=1.0,
        description="longest distance in time of a pair, seconds; 0 = half the thermal period as "
        "measured",
    )
    thermal_rate_hz: float = read_only(
        30.0, ge=0.5, le=500.0, description="thermal rate until it is measured, frames a second"
    )
    wait_s: float = read_only(
        0.05,
        ge=0.0,
        le=1.0,
        description="longest time an RGB frame waits for its thermal frame, seconds",
    )
    thermal_timeout_s: float = read_only(
        0.5,
        ge=0.05,
        le=60.0,
        description="silence after which a camera is stale: RGB then goes on alone, seconds",
    )
    clock_jump_s: float = read_only(
        0.25,
        ge=0.01,
        le=60.0,
        description="stamps that go back by more than this are a clock's new start, seconds",
    )
    thermal_alone: bool = read_only(
        False,
        description="while RGB is stale thermal frames go on alone, under a black picture",
    )
    nominal_altitude_m: float = read_only(
        40.0, ge=1.0, le=1000.0, description="altitude taken where none is known, metres"
    )
    refine: bool = read_only(
        False,
        description="turn the thermal camera of the calibration slowly towards what edges in the "
        "pictures show, by at most a degree in all",
    )
    refine_period_s: float = read_only(
        5.0, ge=0.5, le=3600.0, description="time between two steps of it, seconds"
    )
    refine_step_deg: float = read_only(
        0.02, ge=0.0001, le=1.0, description="longest turn of one step, degrees"
    )
    tone: ToneConfig = read_only(ToneConfig())

    def policy(self, lossless: bool) -> PairingPolicy:
        """How frames are paired; lossless, none waits by the clock."""
        return PairingPolicy(
            tolerance_ns=_ns(self.tolerance_s),
            thermal_period_ns=_ns(1 / self.thermal_rate_hz),
            wait_ns=None if lossless else _ns(self.wait_s),
            stale_ns=_ns(self.thermal_timeout_s),
            jump_ns=_ns(self.clock_jump_s),
            thermal_alone="rgb" not in self.cameras or (self.thermal_alone and not lossless),
        )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)

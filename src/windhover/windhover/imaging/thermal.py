"""Uncooled thermal cores: telemetry rows, shutter freezes and radiometric scale.

Such a core closes a shutter every few minutes to even out its pixels (flat-field
correction, FFC). Meanwhile it repeats its last picture, or sends none, for a fraction
of a second to some seconds. Passed on, that old picture would carry fresh stamps, and
a tracker would see the world stand still.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError

Place = Literal["top", "bottom"]

SENSORS: dict[tuple[int, int], Place] = {
    (80, 60): "bottom",  # Lepton 1.x, 2.x; 63 rows with telemetry
    (160, 120): "bottom",  # Lepton 3.x; 122 rows with telemetry
    (320, 256): "top",  # Boson 320; 258 rows with telemetry
    (640, 512): "top",  # Boson 640; 514 rows with telemetry
}
"""``(width, height)`` of sensors with telemetry, and where it is unless set otherwise."""

_MOST_ROWS = 4
_KELVIN_AT_0_C = 273.15


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Which rows of a frame are telemetry and not picture.

    Attributes:
        rows: how many; -1 takes the surplus rows of a known sensor.
        place: where; ``auto`` is where such a sensor has them.
    """

    rows: int = -1
    place: Literal["auto", "top", "bottom"] = "auto"

    def split(self, image: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Split a frame into picture and telemetry, both views.

        Args:
            image: ``(H, W)`` or ``(H, W, C)``.

        Returns:
            The picture, and the telemetry rows or ``None``.

        Raises:
            EncodingError: it has no more rows than telemetry.
        """
        height, width = image.shape[:2]
        rows, place = self.rows, self.place
        known = next(
            (
                (height - tall, at)
                for (wide, tall), at in SENSORS.items()
                if wide == width and 0 <= height - tall <= _MOST_ROWS
            ),
            (0, "bottom"),
        )
        if rows < 0:
            rows = known[0]
        if rows == 0:
            return image, None
        if rows >= height:
            raise EncodingError(
                f"a frame of {width}x{height} has no {rows} telemetry rows and a picture; "
                "set telemetry_rows"
            )
        if (place if place != "auto" else known[1]) == "top":
            return image[rows:], image[:rows]
        return image[:-rows], image[-rows:]


class Ffc(enum.Enum):
    """State of a core's flat-field correction, from its telemetry."""

    NEVER = 0
    IMMINENT = 1
    IN_PROGRESS = 2
    COMPLETE = 3


def lepton_ffc(telemetry: NDArray[Any] | None) -> Ffc | None:
    """Read the FFC state from a Lepton's telemetry.

    Source: FLIR Lepton Engineering Datasheet 500-0659-00-09, Table 3: row A, words 3
    and 4 are the status, the low half first; bits 4 and 5 of it are the FFC state.
    (A Boson's telemetry has another layout, which is not read here: its freezes are
    seen by their pictures.)

    Args:
        telemetry: rows as cut off, uint16 of 80 or 160 words a row.

    Returns:
        The state; ``None`` where there is no telemetry or it is not a Lepton's.
    """
    if telemetry is None or telemetry.dtype != np.uint16 or telemetry.shape[1] not in {80, 160}:
        return None
    return Ffc(int(telemetry[0].ravel()[3]) >> 4 & 3)


class ThermalState(enum.Enum):
    """What a thermal camera is doing; the value is the word for diagnostics."""

    FRESH = "ok"
    REPEATED = "repeated frame"
    FFC = "flat-field correction"
    FROZEN = "frozen"
    STALLED = "stalled"


class FreezeDetector:
    """Tells fresh thermal frames from those that a closed shutter leaves behind.

    A microbolometer's noise changes some pixel in every frame, so a frame that equals
    the one before in all its pixels is that frame again. One such is a core that sends
    its pictures faster than it takes them (a Lepton at 27 Hz has 9 a second); when it
    lasts for ``after_s``, the picture is frozen.

    Attributes:
        state: of the last frame.
        repeated: frames that were another one's copy, those of freezes included.
        freezes: how often the picture froze or a correction was reported.
        longest_s: duration of the longest of them.
        last_s: duration of the last one, or of the one that lasts.
    """

    def __init__(self, after_s: float = 0.25) -> None:
        """Set up.

        Args:
            after_s: how long a picture may stay the same and not be called frozen.
        """
        self.after_s = after_s
        self._image: NDArray[Any] | None = None
        self._fresh_ns: int | None = None
        self._seen_ns: int | None = None
        self.state = ThermalState.FRESH
        self.repeated = 0
        self.freezes = 0
        self.longest_s = 0.0
        self.last_s = 0.0

    def update(self, image: NDArray[Any], now_ns: int, ffc: Ffc | None = None) -> ThermalState:
        """Judge the next frame.

        Args:
            image: without telemetry, whose counter changes whatever the picture does;
                kept until the next call, so it must not be written to.
            now_ns: when it arrived, on a clock that is never set.
            ffc: from the core's telemetry.

        Returns:
            :attr:`ThermalState.FRESH` for a new picture; otherwise the frame is no data.
        """
        before, self._image, self._seen_ns = self._image, image, now_ns
        same = (
            before is not None
            and before.shape == image.shape
            # Some pixels first: two pictures of a live scene differ within a few.
            and bool((before[::16, ::16] == image[::16, ::16]).all())
            and np.array_equal(before, image)
        )
        self.repeated += same
        if not same and ffc is not Ffc.IN_PROGRESS:
            self._fresh_ns = now_ns
            return self._set_state(ThermalState.FRESH)
        since_ns = now_ns if self._fresh_ns is None else self._fresh_ns
        still_s = (now_ns - since_ns) / 1e9
        if ffc is Ffc.IN_PROGRESS:
            state = ThermalState.FFC
        elif still_s > self.after_s:
            state = ThermalState.FROZEN
        else:
            return self._set_state(ThermalState.REPEATED)
        self._set_state(state)
        self.last_s = still_s
        self.longest_s = max(self.longest_s, still_s)
        return state

    def state_at(self, now_ns: int) -> ThermalState:
        """The state at a time, also when no frame arrives."""
        if self._seen_ns is not None and (now_ns - self._seen_ns) / 1e9 > self.after_s:
            return ThermalState.STALLED
        return self.state

    def _set_state(self, state: ThermalState) -> ThermalState:
        still = {ThermalState.FFC, ThermalState.FROZEN}
        self.freezes += state in still and self.state not in still
        self.state = state
        return state


@dataclass(frozen=True, slots=True)
class Radiometry:
    """What a count means: ``kelvin = counts * kelvin_per_count + kelvin_offset``.

    Attributes:
        kelvin_per_count: 0 for a core that does not measure.
        kelvin_offset: kelvin at a count of 0.
    """

    kelvin_per_count: float
    kelvin_offset: float = 0.0

    def celsius(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Temperatures in degrees Celsius of any shape of counts."""
        kelvin = np.asarray(counts, np.float64) * self.kelvin_per_count + self.kelvin_offset
        return np.asarray(kelvin - _KELVIN_AT_0_C)

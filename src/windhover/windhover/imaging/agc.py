"""Tone mapping of raw thermal counts (Y16) to 8 bits for models and displays.

Training and flight map with the same code and the same :class:`ToneConfig`, which a
bundle names: a model that was trained on one tone curve is blind on another. The
default is what every bundle without a ``tone`` was trained with.

Smoothing in time keeps the background's grey where it is when something hot comes into
view. Only video can be smoothed; a single picture is mapped as a video's first frame.
"""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from windhover.errors import EncodingError

Counts = NDArray[np.uint16]
Gray = NDArray[np.uint8]

_MAX_SAMPLES = 20_000
"""Enough for a percentile's error below 0.1 % of rank, at a tenth of the cost."""
_COUNTS = np.arange(65_536, dtype=np.float32)
_LUT_TAKES_16_BIT = int(cv2.__version__.partition(".")[0]) >= 5
"""OpenCV 4 looks up 8 bits only; NumPy takes twice as long."""
_LOST_FRACTION = 0.5
"""With so much of a picture black or white the scene has changed: smoothing restarts."""
_GAP_NS = 1_000_000_000
"""After a pause this long the last curve does not fit the scene any more."""


class ToneConfig(BaseModel):
    """All settings of how counts become grey, as a bundle holds them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["percentile", "plateau", "clahe"] = Field(
        default="percentile",
        description="percentile: linear between two percentiles; plateau: histogram "
        "equalisation with a limit per bin; clahe: the same in tiles",
    )
    low: float = Field(
        default=1.0, ge=0.0, le=50.0, description="percentile of counts that becomes 0"
    )
    high: float = Field(default=99.0, ge=50.0, le=100.0, description="percentile that becomes 255")
    min_span: int = Field(
        default=32,
        ge=1,
        le=65_535,
        description="counts that are always spread over the full range, so that a flat scene "
        "shows as mid-grey and not as amplified noise",
    )
    plateau: float = Field(
        default=3.0,
        ge=1.0,
        le=1000.0,
        description="how many times the average a histogram bin may count; 1 is nearly linear",
    )
    clip: float = Field(default=2.0, ge=1.0, le=100.0, description="contrast limit of clahe")
    tiles: int = Field(default=8, ge=1, le=32, description="tiles a side of clahe")
    smoothing_s: float = Field(
        default=0.0,
        ge=0.0,
        le=60.0,
        description="time constant of smoothing in time, seconds; 0 = none",
    )

    @model_validator(mode="after")
    def _check_order(self) -> ToneConfig:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self


class ToneMapper:
    """Maps the frames of one camera, one after the other, by one :class:`ToneConfig`."""

    def __init__(self, config: ToneConfig | None = None) -> None:
        """Set up.

        Args:
            config: ``None`` takes the default.
        """
        self.config = config or ToneConfig()
        self._clahe = cv2.createCLAHE(self.config.clip, (self.config.tiles, self.config.tiles))
        self.reset()

    def reset(self) -> None:
        """Forget the frames before: the next one is mapped by itself."""
        self._curve: NDArray[np.float32] | None = None
        self._last_ns: int | None = None

    def apply(self, y16: Counts, stamp_ns: int | None = None) -> Gray:
        """Map one frame.

        Args:
            y16: ``(H, W)`` or ``(H, W, 1)`` uint16 counts, native byte order.
            stamp_ns: capture time; without it, or after a pause, a step back or
                another scene, smoothing restarts.

        Returns:
            The same shape, uint8.

        Raises:
            EncodingError: not uint16, or empty.
        """
        _check(y16)
        gray = self._smooth(y16, self._weight(stamp_ns))
        if self.config.method == "clahe":
            flat = np.ascontiguousarray(gray.reshape(gray.shape[:2]))
            return np.asarray(self._clahe.apply(flat), np.uint8).reshape(y16.shape)
        return gray

    def _weight(self, stamp_ns: int | None) -> float:
        """How much of a new curve is taken over: 1 for a first frame."""
        last, self._last_ns = self._last_ns, stamp_ns
        if self.config.smoothing_s <= 0 or last is None or stamp_ns is None:
            return 1.0
        passed_ns = stamp_ns - last
        if not 0 <= passed_ns <= _GAP_NS:
            return 1.0
        return 1.0 - math.exp(-passed_ns / 1e9 / self.config.smoothing_s)

    def _smooth(self, y16: Counts, weight: float) -> Gray:
        config = self.config
        sampled = _sample(y16)
        equalised = config.method == "plateau"
        window = (0, 1) if equalised else _window(sampled, config.low, config.high, config.min_span)
        if not (equalised or config.smoothing_s):
            return _stretch(y16, *window)
        new = _plateau_curve(sampled, config) if equalised else _linear_curve(*window)
        if self._curve is None or weight >= 1.0 or _is_saturated(self._curve, sampled):
            self._curve = new
        else:
            # Curves are mixed, not windows: no grey moves faster than 255 * weight a
            # frame, however hot the thing that came into view.
            cv2.accumulateWeighted(new, self._curve, weight)
        return _look_up(np.asarray(cv2.convertScaleAbs(self._curve), np.uint8), y16)


def tone_map(y16: Counts, config: ToneConfig | None = None) -> Gray:
    """Map a single picture; see :meth:`ToneMapper.apply`."""
    return ToneMapper(config).apply(y16)


def percentile_agc(
    y16: Counts, low: float = 1.0, high: float = 99.0, *, min_span: int = 32
) -> Gray:
    """Map the counts between two percentiles linearly to 0..255.

    Values outside are clipped, so a few very hot or very cold pixels (sun
    glints, an exhaust) do not take the contrast from all the rest. The
    percentiles are taken from a regular grid of at most about 20,000 pixels.

    Args:
        y16: ``(H, W)`` or ``(H, W, 1)`` uint16 counts, native byte order.
        low: percentile that becomes 0.
        high: percentile that becomes 255.
        min_span: counts that are always spread over the full range, so that a
            flat scene shows as mid-grey and not as amplified sensor noise.

    Returns:
        The same shape, uint8. A constant image becomes mid-grey.

    Raises:
        EncodingError: not uint16, empty, or the percentiles are not
            ``0 <= low < high <= 100``.
    """
    _check(y16)
    if not 0.0 <= low < high <= 100.0:
        raise EncodingError(f"tone mapping needs 0 <= low < high <= 100, got {low} and {high}")
    return _stretch(y16, *_window(_sample(y16), low, high, max(1, min_span)))


def _check(y16: Counts) -> None:
    if y16.dtype != np.uint16 or y16.ndim not in (2, 3) or y16.size == 0:
        raise EncodingError(
            f"tone mapping takes a non-empty uint16 image, got {y16.dtype} {y16.shape}"
        )


def _sample(y16: Counts) -> Counts:
    """A regular grid of at most about ``_MAX_SAMPLES`` pixels."""
    step = max(1, math.ceil(math.sqrt(y16.shape[0] * y16.shape[1] / _MAX_SAMPLES)))
    # Side by side in memory: it is read several times.
    return np.ascontiguousarray(y16[::step, ::step])


def _is_saturated(curve: NDArray[np.float32], sampled: Counts) -> bool:
    """Whether most of a picture is at the curve's ends, so the scene has changed."""
    # A curve never falls, so its rising part is between two counts.
    first = int(np.searchsorted(curve, curve[0] + 1))
    last = int(np.searchsorted(curve, curve[-1] - 1, "right")) - 1
    outside = sampled.size - cv2.countNonZero(cv2.inRange(sampled.reshape(1, -1), first, last))
    return bool(outside > _LOST_FRACTION * sampled.size)


def _window(sampled: Counts, low: float, high: float, min_span: int) -> tuple[int, int]:
    """The count that becomes 0 and how many counts make the full range."""
    bottom, top = _percentiles(sampled, low, high)
    floor, span = math.floor(bottom), math.ceil(top) - math.floor(bottom)
    if span >= min_span:
        return floor, span
    return floor - (min_span - span) // 2, min_span


def _percentiles(sampled: Counts, low: float, high: float) -> tuple[float, float]:
    """NumPy's own percentiles, without the checks that cost it as much as the sorting."""
    last = sampled.size - 1
    places = last * (low / 100.0), last * (high / 100.0)
    below = [math.floor(place) for place in places]
    above = [min(place + 1, last) for place in below]
    held = np.partition(sampled, (*below, *above), axis=None)
    first, second = (
        float(held[b]) + (float(held[a]) - float(held[b])) * (place - b)
        for place, b, a in zip(places, below, above, strict=True)
    )
    return first, second


def _stretch(y16: Counts, floor: int, span: int) -> Gray:
    # OpenCV's difference stops at 0, where NumPy's would wrap around. Four numbers are one
    # for each channel, unless the image has four rows of one pixel; so it is laid in one row.
    bottom = np.array([max(0, floor), 0, 0, 0], np.float64)
    shifted = cv2.subtract(y16.reshape(1, -1), bottom)
    gain = 255.0 / span
    mapped = cv2.convertScaleAbs(shifted, alpha=gain, beta=gain * max(0, -floor))
    return np.asarray(mapped, np.uint8).reshape(y16.shape)


def _look_up(table: Gray, y16: Counts) -> Gray:
    if _LUT_TAKES_16_BIT:
        return np.asarray(cv2.LUT(y16, table), np.uint8).reshape(y16.shape)
    return np.asarray(table.take(y16, mode="clip"), np.uint8)


def _linear_curve(floor: int, span: int) -> NDArray[np.float32]:
    """Grey level of every count, ``(65536,)`` float32 in 0..255."""
    below, above = max(0, floor), min(len(_COUNTS), floor + span)
    curve = np.empty(len(_COUNTS), np.float32)
    curve[:below] = 0
    curve[above:] = 255
    rising = np.subtract(_COUNTS[below:above], np.float32(floor), out=curve[below:above])
    rising *= np.float32(255.0 / span)
    return curve


def _plateau_curve(sampled: Counts, config: ToneConfig) -> NDArray[np.float32]:
    """Grey level of every count, ``(65536,)`` float32 in 0..255, never falling."""
    counted = np.bincount(sampled.ravel(), minlength=len(_COUNTS))
    _, span = _window(sampled, config.low, config.high, 1)
    # No steeper than min_span counts over the full range, whatever the scene.
    limit = min(config.plateau / span, 1.0 / config.min_span) * sampled.size
    held = np.minimum(counted, limit)
    # A count that the grid missed is between its neighbours, and so is its grey.
    risen = np.cumsum(held, dtype=np.float32) - np.float32(0.5) * held.astype(np.float32)
    total = float(held.sum())
    span_total = max(total, limit * config.min_span)
    return np.asarray(
        (risen + (span_total - total) / 2) * np.float32(255.0 / span_total), np.float32
    )

"""What the tracker tests share: frames of boxes, made short."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from windhover.tracking import Tracker
from windhover.types import Detections, Tracks

# On a busy machine any example may take long: that says nothing about the tracker.
settings.register_profile("tracking", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tracking")


def _frame_of(
    boxes: Iterable[Sequence[float]],
    scores: float | Sequence[float] = 0.9,
    classes: int | Sequence[int] = 0,
) -> Detections:
    """Detections at ``cx, cy, w, h`` boxes."""
    centred = np.array(list(boxes), np.float64).reshape(-1, 4)
    half = centred[:, 2:] / 2
    corners = np.concatenate((centred[:, :2] - half, centred[:, :2] + half), axis=1)
    return Detections(
        corners.astype(np.float32),
        np.broadcast_to(np.array(scores, np.float32), len(centred)).copy(),
        np.broadcast_to(np.array(classes, np.int32), len(centred)).copy(),
    )


def _play(tracker: Tracker, frames: Iterable[Detections], rate_hz: float = 30.0) -> list[Tracks]:
    """Feed frames at a steady rate from time 0."""
    return [tracker.update(rows, round(k / rate_hz * 1e9)) for k, rows in enumerate(frames)]


@pytest.fixture(scope="session")
def frame_of() -> Callable[..., Detections]:
    return _frame_of


@pytest.fixture(scope="session")
def play() -> Callable[..., list[Tracks]]:
    return _play

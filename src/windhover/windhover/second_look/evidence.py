"""What many looks at a person say together: log-odds that add up and fade.

Each look is a test with known rates, so Bayes' rule adds its log-likelihood ratio:
log(find / false) where something was found, log((1 - find) / (1 - false)) where nothing was.
Looks at neighbouring frames are not independent; the limit keeps their sum in bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from windhover.types import Tracks

#: Log-odds beyond which more looks change nothing.
_LIMIT = 7.0


@dataclass(frozen=True, slots=True)
class LookRates:
    """How good one look is.

    Attributes:
        find: share of carriers in whose chip something is found, 0..1.
        false: share of others in whose chip something is found, 0..1.
        prior: share of people that carry something, before any look, 0..1.
        half_life_s: time in which evidence fades by half, seconds.
    """

    find: float = 0.7
    false: float = 0.03
    prior: float = 0.05
    half_life_s: float = 10.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a rate is not between 0 and 1, or the half-life not above 0.
        """
        rates = (self.find, self.false, self.prior)
        if not all(0.0 < rate < 1.0 for rate in rates) or not self.half_life_s > 0.0:
            raise ValueError(f"rates must lie between 0 and 1 and the half-life above 0: {self}")


class CarriedEvidence:
    """Log-odds that one person carries something, over that person's track.

    Args:
        rates: of a look.
    """

    __slots__ = ("_at_ns", "_rates", "_sum", "looks")

    def __init__(self, rates: LookRates) -> None:
        self._rates = rates
        self._sum = 0.0
        self._at_ns: int | None = None
        self.looks = 0

    def add(self, found: bool, stamp_ns: int) -> None:
        """Add one look.

        Args:
            found: whether something was found in the chip.
            stamp_ns: of the frame, nanoseconds; a stamp in the past fades nothing.
        """
        rates = self._rates
        self._sum *= self._faded(stamp_ns)
        if found:
            self._sum += math.log(rates.find / rates.false)
        else:
            self._sum += math.log((1.0 - rates.find) / (1.0 - rates.false))
        self._sum = min(max(self._sum, -_LIMIT), _LIMIT)
        self._at_ns = stamp_ns
        self.looks += 1

    def probability(self, stamp_ns: int) -> float:
        """Probability at a time, 0..1; the prior before the first look."""
        prior = math.log(self._rates.prior / (1.0 - self._rates.prior))
        return 1.0 / (1.0 + math.exp(-(prior + self._sum * self._faded(stamp_ns))))

    def _faded(self, stamp_ns: int) -> float:
        if self._at_ns is None:
            return 1.0
        passed_s = max(stamp_ns - self._at_ns, 0) / 1e9
        return float(0.5 ** (passed_s / self._rates.half_life_s))


def with_armed(tracks: Tracks, probabilities: Mapping[int, float]) -> Tracks:
    """Tracks whose people have the probability that they carry a weapon.

    Args:
        tracks: of a frame.
        probabilities: by track id; people that were never looked at are not in it.
    """
    known = [probabilities.get(track_id, np.nan) for track_id in tracks.track_ids.tolist()]
    return replace(tracks, armed=np.array(known, np.float32))

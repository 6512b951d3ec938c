"""One thing that ``windhover doctor`` looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination.

    Attributes:
        name: what was looked at.
        ok: whether it is there and works; ``None`` where it is optional and absent.
        detail: what was found.
        advice: what to do about it; empty where nothing need be done.
    """

    name: str
    ok: bool | None
    detail: str
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

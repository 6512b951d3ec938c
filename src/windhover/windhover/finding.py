"""What an examination of this machine found: the lines of ``doctor``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_MARKS = {True: "ok     ", False: "missing", None: "-      "}


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


def guarded(look: Callable[[], Finding]) -> Finding:
    """Look at one thing; a look that fails is a finding too."""
    try:
        return look()
    except Exception as error:
        # An examination must not end at the first thing that is broken.
        name = look.__name__.removeprefix("check").strip("_")
        return Finding(name, False, f"{type(error).__name__}: {error}")


def as_text(findings: Sequence[Finding]) -> str:
    """A line for each, then what to do next."""
    lines = [f"{_MARKS[each.ok]}  {each.name:<18} {each.detail}" for each in findings]
    steps = [f"  {each.name}: {each.advice}" for each in findings if each.advice]
    return "\n".join([*lines, *(["", "next:", *steps] if steps else [])])

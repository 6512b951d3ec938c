"""The results of checks of this machine: the lines of ``doctor``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_MARKS = {True: "ok     ", False: "missing", None: "-      "}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was checked.
        ok: whether it is there and works; ``None`` where it is optional and absent.
        detail: what was found.
        advice: what to do about it; empty where nothing is needed.
    """

    name: str
    ok: bool | None
    detail: str
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run_check(check: Callable[[], Finding]) -> Finding:
    """Run one check; one that raises becomes a finding that failed."""
    try:
        return check()
    except Exception as error:
        # The other checks must still run.
        name = check.__name__.removeprefix("check").strip("_")
        return Finding(name, False, f"{type(error).__name__}: {error}")


def format_findings(findings: Sequence[Finding]) -> str:
    """A line for each, then what to do next."""
    lines = [f"{_MARKS[each.ok]}  {each.name:<18} {each.detail}" for each in findings]
    steps = [f"  {each.name}: {each.advice}" for each in findings if each.advice]
    return "\n".join([*lines, *(["", "next:", *steps] if steps else [])])

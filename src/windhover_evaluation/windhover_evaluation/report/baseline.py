"""Two runs side by side: a verdict for each score that both have.

Read from their ``metrics.json`` (see :mod:`.metrics`). Scores are compared by their
difference, within a tolerance; counts and times by their ratio, within another one, as
their size depends on what was run. Latency and dropped frames depend on the machine and
on its load, so they are compared only on request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from windhover.errors import ConfigError, DataError
from windhover.files import to_json_value
from windhover.health.metrics import FORMAT

Verdict = Literal["better", "same", "worse", "new", "gone"]

#: Scores, of which more is better.
_SCORES = (
    "mAP50", "mAP50-95", "AP50", "AP50-95", "AR", "precision", "recall",
    "HOTA", "DetA", "AssA", "MOTA", "IDF1",
)  # fmt: skip
#: Shares, of which less is better.
_SHARES = ("false_positives_per_image", "images_with_detections_share")
#: Counts and times, of which less is better; the last of the counts depends on the machine.
_COUNTS = ("id_switches", "fragments", "frames_dropped")
_TIMES = ("p50", "p99")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One score of both runs.

    Attributes:
        name: its path in metrics.json, such as ``tracking.overall.HOTA``.
        before: of the baseline; ``None`` where it has none.
        now: of this run, likewise.
        verdict: ``worse`` is a regression, and so is ``gone``: a score that this run does
            not have.
    """

    name: str
    before: float | None
    now: float | None
    verdict: Verdict

    @property
    def regression(self) -> bool:
        """Whether a gate on regressions should fail."""
        return self.verdict in {"worse", "gone"}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "before": self.before,
            "now": self.now,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier run and how a later one is compared with it.

    Attributes:
        metrics: of that run.
        tolerance: as :func:`compare` takes it.
        ratio: likewise.
        latency: likewise.
    """

    metrics: Mapping[str, Any]
    tolerance: float = 0.01
    ratio: float = 0.25
    latency: bool = False

    @classmethod
    def read(
        cls,
        path: str | Path,
        tolerance: float = 0.01,
        ratio: float = 0.25,
        latency: bool = False,
    ) -> Baseline:
        """Read an earlier run's ``metrics.json``; see :func:`read_metrics` for errors."""
        return cls(read_metrics(path), tolerance, ratio, latency)

    def against(self, now: Mapping[str, Any]) -> list[Comparison]:
        """Compare a run's metrics with it; see :func:`compare`."""
        # As a file holds them: rounded, and null for NaN.
        return compare(self.metrics, to_json_value(now), self.tolerance, self.ratio, self.latency)


def baseline_part(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The ``baseline`` part of metrics.json; empty without comparisons."""
    return {"baseline": [each.as_dict() for each in comparisons]} if comparisons else {}


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Read a run's ``metrics.json``.

    Args:
        path: the file, or the folder it is in.

    Raises:
        DataError: it can't be read or is no such file.
    """
    path = Path(path)
    path = path / "metrics.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}; give the metrics.json, or the --out, of an earlier run"
        ) from None
    except ValueError:
        raise DataError(f"{path}: is not JSON; give the metrics.json of an earlier run") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(f"{path}: is not a {FORMAT} file; give the metrics.json of an earlier run")
    return data


def compare(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    tolerance: float = 0.01,
    ratio: float = 0.25,
    latency: bool = False,
) -> list[Comparison]:
    """Compare a run with an earlier one.

    Args:
        before: metrics of the baseline.
        now: metrics of this run.
        tolerance: change of a score, 0 to 1, up to which it is the same.
        ratio: change of a count or a time, as a share of the baseline's, likewise.
        latency: compare latency and dropped frames too, which say something only on one
            machine under one load.

    Returns:
        A comparison of every score that either has, in the order of this run's.

    Raises:
        ConfigError: a tolerance is negative.
        DataError: they have no score in common.
    """
    if not (tolerance >= 0 and ratio >= 0):
        raise ConfigError(f"tolerances {tolerance:g} and {ratio:g}: must be 0 or more")
    first, second = dict(_scores(before, latency)), dict(_scores(now, latency))
    names = [*second, *(name for name in first if name not in second)]
    if not set(first) & set(second):
        raise DataError(
            "the baseline and this run have no score in common; give a run of the same command "
            "with truth (latency is compared with --latency)"
        )
    return [_one(name, first.get(name), second.get(name), tolerance, ratio) for name in names]


def _one(
    name: str, before: float | None, now: float | None, tolerance: float, ratio: float
) -> Comparison:
    if before is None or now is None:
        verdict: Verdict = "new" if before is None else "gone"
        return Comparison(name, before, now, verdict)
    last = name.rpartition(".")[2]
    change = before - now if last in _COUNTS + _TIMES + _SHARES else now - before
    room = ratio * abs(before) if last in _COUNTS + _TIMES else tolerance
    # Rounding in a file is no change, nor is one count more or less.
    room = max(room, 1.0) if last in _COUNTS else room + 1e-9
    return Comparison(
        name, before, now, "same" if abs(change) <= room else "better" if change > 0 else "worse"
    )


def _scores(metrics: Mapping[str, Any], latency: bool) -> Iterator[tuple[str, float]]:
    for part in ("detection", "tracking"):
        yield from _walk(part, metrics.get(part, {}), _SCORES + _SHARES + _COUNTS)
    if not latency:
        return
    yield from _walk("latency_ms", metrics.get("latency_ms", {}), _TIMES)
    dropped = str(metrics.get("run", {}).get("frames_dropped", ""))
    if dropped.isdecimal():
        yield "run.frames_dropped", float(dropped)


def _walk(path: str, value: Any, wanted: Sequence[str]) -> Iterator[tuple[str, float]]:
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        if key == "best_f1":
            continue
        if isinstance(item, Mapping):
            yield from _walk(f"{path}.{key}", item, wanted)
        elif key in wanted and isinstance(item, (int, float)):
            yield f"{path}.{key}", float(item)


def rows_of(comparisons: Sequence[Comparison]) -> list[tuple[str, str, str, str, str]]:
    """Name, before, now, change and verdict of each, as text."""
    return [
        (
            each.name,
            _text(each.before),
            _text(each.now),
            "" if each.before is None or each.now is None else f"{each.now - each.before:+.4g}",
            each.verdict,
        )
        for each in comparisons
    ]


def _text(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}"

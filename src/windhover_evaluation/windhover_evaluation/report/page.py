"""One self-contained page that shows a run: scores, latency, plots, frames.

The page needs nothing from anywhere else: style, plots (SVG) and pictures (JPEG)
are in it. Whoever runs something fills in a :class:`ReportData`; parts that are
left out are not shown.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from windhover.files import write_atomic
from windhover.health.latency import LatencySummary
from windhover_evaluation.detection.confusion import Confusion
from windhover_evaluation.detection.scores import DetectionScores
from windhover_evaluation.report import plots
from windhover_evaluation.report.baseline import Comparison, rows_of
from windhover_evaluation.tracking.scores import TrackScores

#: Shown where there is nothing to score or measure.
NOTHING = "n/a"

_PICTURE_WIDTH = 1280
_JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Example:
    """A frame to show.

    Attributes:
        image: ``(H, W, 3)`` uint8, B, G, R, with everything drawn in already.
        caption: what it is.
    """

    image: NDArray[np.uint8]
    caption: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Counts over the frames of a run.

    Attributes:
        times_s: ``(n,)`` float64, capture time from the first frame, seconds.
        counts: name, such as ``detections``, to ``(n,)`` int64.
        axis: what the times are.
    """

    times_s: NDArray[np.float64]
    counts: Mapping[str, NDArray[np.int64]]
    axis: str = "time, s"


@dataclass(frozen=True, slots=True)
class ReportData:
    """All that a report shows.

    Attributes:
        title: of the page.
        subtitle: what this is about, in a sentence.
        facts: what was run: model, version, digest, backend, device, machine,
            source, frames, date and the like, name to text, in order.
        detection: detection scores.
        confusion: what objects were taken for.
        tracking: track scores.
        baseline: scores of an earlier run beside these.
        latency: stages in the order of :data:`.latency.STAGES`.
        latency_samples_ms: durations of the stages whose spread is shown; the last
            one given is.
        latency_note: where the times were measured and what they do not tell.
        timeline: counts over time.
        examples: frames to show.
        examples_note: how the frames were chosen and how to read them.
        warnings: what to know before trusting the numbers.
    """

    title: str
    subtitle: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    detection: DetectionScores | None = None
    confusion: Confusion | None = None
    tracking: TrackScores | None = None
    baseline: Sequence[Comparison] = ()
    latency: Mapping[str, LatencySummary] = field(default_factory=dict)
    latency_samples_ms: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    latency_note: str = ""
    timeline: Timeline | None = None
    examples: Sequence[Example] = ()
    examples_note: str = ""
    warnings: Sequence[str] = ()


def write_report(data: ReportData, path: str | Path) -> None:
    """Write the page atomically.

    Raises:
        DataError: it can't be written.
    """
    write_atomic(Path(path), render_report(data))


def render_report(data: ReportData) -> str:
    """The page as HTML text."""
    environment = Environment(
        loader=PackageLoader("windhover_evaluation.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _score
    environment.filters["ms"] = _milliseconds
    template = environment.get_template("report.html.j2")
    # What got worse is what one looks for: it must not hide among a hundred that did not.
    compared = sorted(data.baseline, key=lambda each: not each.regression)
    return template.render(
        data=data,
        tiles=_tiles(data),
        plots=_plots(data),
        pictures=[(_picture(each.image), each.caption) for each in data.examples],
        slowest=_slowest(data.latency),
        baseline=zip(rows_of(compared), compared, strict=True),
        regressions=sum(each.regression for each in data.baseline),
    )


def _plots(data: ReportData) -> dict[str, Markup]:
    drawn: dict[str, Any] = {}
    if data.detection is not None and any(each.truths for each in data.detection.classes):
        drawn["precision_recall"] = plots.precision_recall(data.detection.classes)
        drawn["f1"] = plots.f1_by_threshold(data.detection.classes)
    if data.confusion is not None and data.confusion.counts.any():
        drawn["confusion"] = plots.confusion_matrix(data.confusion)
    if data.latency:
        drawn["latency"] = plots.latency_ranges(data.latency)
    spread = [(name, values) for name, values in data.latency_samples_ms.items() if len(values)]
    if spread:
        name, values = spread[-1]
        drawn["histogram"] = plots.latency_histogram(values, name)
    if data.timeline is not None and len(data.timeline.times_s):
        drawn["timeline"] = plots.timeline(
            data.timeline.times_s, data.timeline.counts, data.timeline.axis
        )
    # Safe as markup: matplotlib wrote it and escapes the text it is given.
    return {name: Markup(plots.to_svg(figure)) for name, figure in drawn.items()}


def _tiles(data: ReportData) -> list[tuple[str, str, str]]:
    """The few numbers at the top: value, name, what it means."""
    tiles: list[tuple[str, str, str]] = []
    if data.detection is not None:
        point = data.detection.at_threshold
        tiles += [
            (_score(data.detection.map50), "mAP50", "mean AP at IoU 0.5"),
            (_score(point.recall), "recall", "at the model's threshold"),
            (_score(point.precision), "precision", "at the model's threshold"),
        ]
    if data.tracking is not None:
        overall = data.tracking.overall
        tiles += [
            (_score(overall.hota), "HOTA", "detection and association"),
            (_score(overall.idf1), "IDF1", f"identity switches: {overall.clear.switches}"),
        ]
    total = data.latency.get("total")
    if total is not None:
        tiles.append(
            (f"{_milliseconds(total.p50_ms)} ms", "per frame", f"p99 {_milliseconds(total.p99_ms)}")
        )
    return tiles


def _slowest(latency: Mapping[str, LatencySummary]) -> float:
    return max((each.p50_ms or 0.0 for each in latency.values()), default=0.0) or 1.0


def _score(value: float | None) -> str:
    return NOTHING if value is None or math.isnan(value) else f"{value:.3f}"


def _milliseconds(value: float | None) -> str:
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _picture(image: NDArray[np.uint8]) -> str:
    height, width = image.shape[:2]
    if width > _PICTURE_WIDTH:
        size = (_PICTURE_WIDTH, max(1, round(height * _PICTURE_WIDTH / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")

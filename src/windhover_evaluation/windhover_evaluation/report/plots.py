"""The plots of a report, drawn without a display.

Each function returns a new matplotlib ``Figure``, made without pyplot: no global
state, so threads do not disturb each other. :func:`to_svg` makes one part
of a page: its text and lines take the page's colours, light or dark.
:func:`to_png` makes a file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from windhover.health.latency import LatencySummary
from windhover.imaging.class_colours import hex_colours
from windhover_evaluation.detection.confusion import Confusion
from windhover_evaluation.detection.scores import ClassScores

#: Line colours, in order, of what is no class; they keep apart on white and on black, also
#: for most people who see colours differently.
COLOURS = ("#2f7ed8", "#e07b28", "#2a9d6f", "#9a63d0", "#d1495b", "#8a7a2f", "#4aa3b8", "#777777")

_LEGEND_COLUMNS = 2

# Stand-ins that no line uses: to_svg turns them into the page's own colours.
_INK, _RULE = "#010203", "#040506"

_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "windhover",
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": _INK,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "figure.constrained_layout.use": True,
}


def precision_recall(classes: Sequence[ClassScores]) -> Figure:
    """Precision against recall of each class; a dot marks the model's threshold."""
    with new_axes(4.5, 3.4) as (figure, axes):
        axes.set(xlim=(0, 1.005), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.grid(visible=True)
        colours = hex_colours([scores.label for scores in classes])
        for scores in classes:
            if not scores.truths:
                continue
            colour = colours[scores.label]
            curve, point = scores.curve, scores.at_threshold
            # A class that was never detected has no curve; the legend still names it.
            axes.plot(
                np.concatenate([[0.0][: len(curve.recall)], curve.recall]),
                np.concatenate([curve.precision[:1], curve.precision]),
                color=colour,
                linewidth=1.6,
                label=f"{scores.label}, AP50 {scores.ap50:.3f}",
            )
            if point.true_positives + point.false_positives:
                axes.plot(point.recall, point.precision, "o", color=colour, markersize=5)
        if axes.lines:
            figure.legend(loc="outside upper left", ncols=_LEGEND_COLUMNS)
    return figure


def f1_by_threshold(classes: Sequence[ClassScores]) -> Figure:
    """F1 of each class if the score threshold were another; a dot marks the model's."""
    with new_axes(4.5, 3.4) as (figure, axes):
        axes.set(xlim=(0, 1.005), ylim=(0, 1.02), xlabel="score threshold", ylabel="F1")
        axes.grid(visible=True)
        colours = hex_colours([scores.label for scores in classes])
        for scores in classes:
            if not scores.truths or not len(scores.curve.scores):
                continue
            colour = colours[scores.label]
            curve, point = scores.curve, scores.at_threshold
            total = np.maximum(curve.precision + curve.recall, 1e-12)
            f1 = 2.0 * curve.precision * curve.recall / total
            axes.step(
                curve.scores, f1, where="pre", color=colour, linewidth=1.6, label=scores.label
            )
            if point.threshold is not None:
                axes.plot(point.threshold, point.f1, "o", color=colour, markersize=5)
        if axes.lines:
            figure.legend(loc="outside upper left", ncols=_LEGEND_COLUMNS)
    return figure


def confusion_matrix(confusion: Confusion) -> Figure:
    """What objects (rows) were taken for (columns), as shares of each row.

    The names of rows and columns have their sums: objects and detections of each class.
    """
    names = list(confusion.labels)
    counts = confusion.counts
    objects, found = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.75 * len(names)
    with new_axes(side + 0.6, side) as (figure, axes):
        shades = LinearSegmentedColormap.from_list("shades", ["#2f7ed800", COLOURS[0]])
        axes.imshow(shares, cmap=shades, vmin=0.0, vmax=1.0, aspect="auto")
        for (row, column), count in np.ndenumerate(counts):
            if (row, column) != (len(names), len(names)):
                axes.text(column, row, str(count), ha="center", va="center")
        columns = [f"{name} {n}" for name, n in zip([*names, "missed"], found, strict=True)]
        rows = [f"{name} {n}" for name, n in zip([*names, "nothing"], objects, strict=True)]
        axes.set_xticks(range(len(names) + 1), columns, rotation=20, ha="right")
        axes.set_yticks(range(len(names) + 1), rows)
        axes.set(xlabel="taken for", ylabel="is")
        axes.tick_params(length=0)
    return figure


def latency_ranges(stages: Mapping[str, LatencySummary]) -> Figure:
    """Median and 99th percentile of each stage, on one logarithmic scale."""
    rows = [(name, each.p50_ms, each.p99_ms) for name, each in stages.items() if each.count]
    with new_axes(4.5, 0.9 + 0.3 * len(rows)) as (figure, axes):
        for place, (_, p50, p99) in enumerate(rows):
            if p50 is None or p99 is None:
                continue
            axes.plot([p50, p99], [place, place], color=COLOURS[0], linewidth=3, alpha=0.45)
            axes.plot(p50, place, "o", color=COLOURS[0], markersize=6)
            axes.plot(p99, place, "|", color=COLOURS[0], markersize=11, markeredgewidth=2)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        # Over more than two decades the figures in between would run into each other.
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(
            LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0))
        )
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("ms (dot: median, bar: 99th percentile)")
        axes.grid(visible=True, axis="x")
        axes.tick_params(axis="y", length=0)
    return figure


def latency_histogram(samples_ms: NDArray[np.float64], stage: str) -> Figure:
    """How often a stage took how long.

    Args:
        samples_ms: ``(n,)`` milliseconds, at least one.
        stage: its name.
    """
    with new_axes(4.5, 2.8) as (figure, axes):
        # A single hiccup must not squeeze all the others into one bar.
        high = float(np.percentile(samples_ms, 99.5)) * 1.1
        low = float(samples_ms.min())
        beyond = int(np.count_nonzero(samples_ms > high))
        axes.hist(samples_ms, bins=40, range=(low, max(high, low + 1e-3)), color=COLOURS[0])
        for share, colour in ((50, COLOURS[2]), (99, COLOURS[1])):
            value = float(np.percentile(samples_ms, share))
            axes.axvline(value, color=colour, linewidth=1.4, label=f"p{share} {value:.2f} ms")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.set(xlabel=f"{stage}, ms" + (f" ({beyond} beyond)" if beyond else ""), ylabel="frames")
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def timeline(
    times_s: NDArray[np.float64],
    counts: Mapping[str, NDArray[np.int64]],
    axis: str = "time, s",
) -> Figure:
    """Counts in each frame over the run.

    Args:
        times_s: ``(n,)`` seconds from the first frame.
        counts: name to ``(n,)`` counts.
        axis: what the times are.
    """
    with new_axes(9.0, 2.3) as (figure, axes):
        for number, (name, values) in enumerate(counts.items()):
            axes.step(
                times_s, values, where="post", color=COLOURS[number], linewidth=1.3, label=name
            )
        axes.set(xlabel=axis, ylabel="in a frame")
        axes.set_xlim(0, float(times_s[-1]) if len(times_s) > 1 else 1.0)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.grid(visible=True, axis="y")
        figure.legend(loc="outside upper left", ncols=len(counts))
    return figure


def to_svg(figure: Figure) -> str:
    """One ``<svg>`` element that fills its container and follows its colours."""
    text = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r'\1 role="img"', svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--font)", svg)
    return svg.replace(_INK, "currentColor").replace(_RULE, "var(--rule)").strip()


def to_png(figure: Figure, dpi: int = 150) -> bytes:
    """A PNG file on white."""
    data = io.BytesIO()
    with mpl.rc_context(_STYLE):
        _recolour(figure)
        figure.savefig(data, format="png", dpi=dpi, facecolor="white")
    return data.getvalue()


def _recolour(figure: Figure) -> None:
    # Black on white is near enough to the stand-in ink; only rules must be pale.
    for axes in figure.axes:
        for line in (*axes.get_xgridlines(), *axes.get_ygridlines()):
            line.set_color("#d5d8dc")
        for spine in axes.spines.values():
            spine.set_edgecolor("#9aa0a6")
        axes.tick_params(color="#9aa0a6")


@contextmanager
def new_axes(width_in: float, height_in: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of that size in inches with one pair of axes, in the style of all our plots."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in))
        figure.patch.set_alpha(0.0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0.0)
        yield figure, axes

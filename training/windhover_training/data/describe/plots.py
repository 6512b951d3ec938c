"""The plots of ``data stats`` and ``anchors``."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from windhover.imaging.class_colours import hex_colours
from windhover_evaluation.report.plots import COLOURS, new_axes
from windhover_training.data.describe.anchors import Anchors
from windhover_training.data.describe.stats import LIMITS, Sizes

_TICKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SHOWN = 4000  # dots; more hide each other


def sides(sizes: Sizes, input_wh: tuple[int, int]) -> Figure:
    """How large the objects of each class are at the network input."""
    side = np.sqrt(sizes.at_input(input_wh).prod(axis=1))
    bins = np.geomspace(max(side.min() * 0.9, 1.0), side.max() * 1.1, 45)
    colours = hex_colours(sizes.labels)
    with new_axes(7.0, 3.4) as (figure, axes):
        for number, label in enumerate(sizes.labels):
            own = side[sizes.class_ids == number]
            if len(own):
                share = np.full(len(own), 100.0 / len(own))
                axes.hist(
                    own, bins.tolist(), weights=share, histtype="step",
                    label=f"{label}, {len(own):,}",
                    color=colours[label], linewidth=1.6,
                )  # fmt: skip
        for limit in LIMITS:
            axes.axvline(limit, color="#777777", linewidth=0.8, linestyle="--")
        _log(axes, "x")
        axes.set(
            xlabel=f"square root of area, px of a {input_wh[0]}x{input_wh[1]} input",
            ylabel="% of the class",
        )
        figure.legend(loc="outside upper left", ncols=4)
    return figure


def by_altitude(sizes: Sizes, input_wh: tuple[int, int]) -> Figure | None:
    """Median side of each class against altitude, with quartiles; None if none is known."""
    side = np.sqrt(sizes.at_input(input_wh).prod(axis=1))
    metres = sizes.altitude[sizes.frame]
    if np.isnan(metres).all():
        return None
    width = 10.0 if np.nanmax(metres) - np.nanmin(metres) > 40 else 5.0
    place = np.round(metres / width) * width
    colours = hex_colours(sizes.labels)
    with new_axes(7.0, 3.4) as (figure, axes):
        for number, label in enumerate(sizes.labels):
            own = (sizes.class_ids == number) & ~np.isnan(metres)
            heights = [h for h in np.unique(place[own]) if (place[own] == h).sum() >= 3]
            if not heights:
                continue
            rows = np.array(
                [np.percentile(side[own & (place == h)], (25, 50, 75)) for h in heights]
            )
            shift = (number - (len(sizes.labels) - 1) / 2) * 0.06 * width
            axes.errorbar(
                np.array(heights) + shift, rows[:, 1], np.abs(rows[:, [0, 2]] - rows[:, [1]]).T,
                fmt="o-", markersize=4, linewidth=1.2, capsize=2,
                color=colours[label], label=label,
            )  # fmt: skip
        for limit in LIMITS:
            axes.axhline(limit, color="#777777", linewidth=0.8, linestyle="--")
        _log(axes, "y")
        axes.set(xlabel="altitude, m", ylabel="side, px (median and quartiles)")
        figure.legend(loc="outside upper left", ncols=4)
    return figure


def counts(sizes: Sizes) -> Figure:
    """Objects of each class by day and by night."""
    lights = sorted(set(sizes.light.tolist()))
    present = [n for n in range(len(sizes.labels)) if (sizes.class_ids == n).any()]
    with new_axes(7.0, 1.2 + 0.5 * len(present)) as (figure, axes):
        for place, light in enumerate(lights):
            own = sizes.light[sizes.frame] == light
            values = [int((own & (sizes.class_ids == n)).sum()) for n in present]
            height = 0.8 / len(lights)
            rows = np.arange(len(present)) + (place - (len(lights) - 1) / 2) * height
            frames = int((sizes.light == light).sum())
            bars = axes.barh(rows, values, height * 0.9, color=COLOURS[place % len(COLOURS)],
                             label=f"{light}, {frames:,} frames")  # fmt: skip
            axes.bar_label(bars, [f"{v:,}" for v in values], padding=3, fontsize=8.5)
        axes.set_yticks(range(len(present)), [sizes.labels[n] for n in present])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
        axes.set_xlabel("objects")
        figure.legend(loc="outside upper left", ncols=4)
    return figure


def anchors(size: NDArray[np.float64], found: Anchors, input_wh: tuple[int, int]) -> Figure:
    """Box sizes and the clusters among them.

    Args:
        size: ``(N, 2)`` widths and heights in pixels of the input.
        found: clusters of them.
        input_wh: of the input.
    """
    step = max(1, len(size) // _SHOWN)
    with new_axes(5.4, 5.0) as (figure, axes):
        axes.plot(*size[::step].T, ".", color=COLOURS[0], alpha=0.25, markersize=3, label="boxes",
                  markeredgewidth=0)  # fmt: skip
        axes.plot(*found.sizes.T, "s", color=COLOURS[4], markersize=6, label="clusters",
                  markeredgecolor="white")  # fmt: skip
        for limit in LIMITS:
            # Along a line of equal area, 8, 16 or 32 px across.
            width = np.geomspace(1, limit**2, 50)
            label = "8, 16 and 32 px across" if limit == LIMITS[0] else None
            axes.plot(width, limit**2 / width, "--", color="#777777", linewidth=0.8, label=label)
        low, high = max(size.min() * 0.8, 1.0), size.max() * 1.25
        _log(axes, "x", "y")
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.set_xlabel(f"width, px of a {input_wh[0]}x{input_wh[1]} input")
        axes.set_ylabel("height, px")
        figure.legend(loc="outside upper left", ncols=3)
    return figure


def _log(axes: Axes, *names: str) -> None:
    for name in names:
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_locator(FixedLocator(_TICKS))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

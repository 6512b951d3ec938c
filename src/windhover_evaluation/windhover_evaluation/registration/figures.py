"""Figures that show how well a calibration fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from windhover.errors import DataError
from windhover.geometry import Floats
from windhover.pairing.edges import edge_strength
from windhover.pairing.registration import Picture
from windhover_evaluation.registration.residuals import AltitudeResiduals
from windhover_evaluation.report.plots import COLOURS

_STYLE: dict[Any, Any] = {"font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False}
_PATCH_PX = 90


def overlay(bgr: Picture, thermal: Picture) -> Picture:
    """RGB in grey with the thermal picture's edges over it in orange.

    Args:
        bgr: ``(H, W, 3)`` uint8.
        thermal: ``(H, W)`` uint8, registered.
    """
    grey = cv2.cvtColor(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    share = np.clip(edge_strength(thermal) - 0.35, 0, 0.65)[..., None] / 0.65
    orange = np.array([30, 140, 255], np.float32)
    return np.asarray(grey * (1 - share) + orange * share, np.uint8)


def checkerboard(bgr: Picture, thermal: Picture) -> Picture:
    """Patches of RGB and thermal in turn: lines continue across them where both fit."""
    height, width = thermal.shape
    y, x = np.mgrid[:height, :width] // _PATCH_PX
    mixed = bgr.copy()
    warm = ((x + y) % 2 == 0) & (thermal > 0)
    mixed[warm] = cv2.cvtColor(thermal, cv2.COLOR_GRAY2BGR)[warm]
    return mixed


def calibration_figure(
    title: str, residuals_px: Floats, pictures: Sequence[tuple[str, Picture]]
) -> Figure:
    """Pictures of the registration, and the error of each matched point.

    Args:
        title: of the page.
        residuals_px: ``(N, 2)`` thermal pixels.
        pictures: names and ``(H, W, 3)`` B, G, R.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 3.2 + 5.6 * len(pictures)), layout="constrained", dpi=110)
        figure.suptitle(title, x=0.01, ha="left")
        plots, *shown = figure.subfigures(
            1 + len(pictures), 1, height_ratios=[3, *[5.6] * len(pictures)], squeeze=False
        ).ravel()
        scatter, counts = plots.subplots(1, 2)
        length = np.hypot(*residuals_px.T)
        reach = max(0.5, 1.1 * float(np.percentile(length, 99)))
        scatter.scatter(*residuals_px.T, s=4, alpha=0.5, color=COLOURS[0], linewidths=0)
        scatter.set(
            xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal",
            xlabel="right, thermal px", ylabel="down, thermal px",
        )  # fmt: skip
        scatter.axhline(0, lw=0.5, color="#999999")
        scatter.axvline(0, lw=0.5, color="#999999")
        counts.hist(length, bins=40, range=(0, reach), color=COLOURS[0])
        median, p95 = np.percentile(length, (50, 95))
        counts.axvline(median, color=COLOURS[1])
        counts.set(xlabel="error, thermal px", ylabel="points")
        counts.set_title(f"median {median:.2f} px, 95 % below {p95:.2f} px", loc="left")
        for part, (name, picture) in zip(shown, pictures, strict=True):
            axes = part.subplots()
            axes.imshow(picture[..., ::-1])
            axes.set_title(name, loc="left")
            axes.set_axis_off()
    return figure


def altitude_figure(rows: Sequence[AltitudeResiduals], required_px: float = 1.5) -> Figure:
    """Median error of each mapping against the altitude."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.5, 4.2), layout="constrained", dpi=130)
        axes = figure.subplots()
        altitudes = [row.altitude_m for row in rows]
        for colour, name in zip(COLOURS, rows[0].median_px, strict=False):
            axes.plot(
                altitudes, [row.median_px[name] for row in rows], "o-", ms=3.5, color=colour,
                label=name,
            )  # fmt: skip
        axes.axvspan(30, 50, color="#888888", alpha=0.12, lw=0)
        axes.axhline(required_px, color="#888888", lw=0.8, ls="--")
        axes.text(
            altitudes[-1],
            required_px,
            f"{required_px:g} px required at 30-50 m ",
            va="bottom",
            ha="right",
        )
        axes.set(
            xscale="log", xticks=altitudes, xticklabels=[f"{h:g}" for h in altitudes], ylim=0,
            xlabel="altitude above ground, m", ylabel="median error, thermal px (640x512)",
        )  # fmt: skip
        axes.minorticks_off()
        axes.legend(frameon=False, loc="center right")
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG.

    Raises:
        DataError: it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise DataError(f"{path} can't be written: {error.strerror or error}") from None
    return path

"""Tables that a person reads, of what ``data stats`` and ``anchors`` found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from ..console import table_console


def show_stats(found: Mapping[str, Any]) -> None:
    """Print sizes by class, counts by light and altitude, and the advice."""
    console = table_console()
    console.print(
        f"{found['frames']} frames, {found['frames_without_object']} of them without an object; "
        f"{found['objects']} objects"
    )
    console.print(_classes(found))
    console.print(_groups(found))
    advice = found["advice"]
    console.print(_choices(advice))
    console.print(f"rule: {advice['rule']}", highlight=False)
    choice, best = advice["choice"], advice["best"]
    console.print(
        f"suggested: {choice['input']}, {choice['head']}"
        if choice
        else f"none resolves enough; the best is {best['input']}, {best['head']} with "
        f"{min(best['resolved'].values()):.0%}: fly lower or use a longer lens"
    )


def _classes(found: Mapping[str, Any]) -> Table:
    width, height = found["input"]
    table = Table(
        "class", "objects", "width", "height", "side", "<8 px", "<16 px", "<32 px",
        title=f"sizes at {width}x{height}, px: median (5 % to 95 %)", title_justify="left",
    )  # fmt: skip
    for label, row in found["classes"].items():
        spans = [
            "{p50:.0f} ({p5:.0f}-{p95:.0f})".format(**row[key])
            for key in ("width_px", "height_px", "side_px")
        ]
        shares = [f"{share:.0%}" for share in row["share_below_px"].values()]
        table.add_row(label, str(row["objects"]), *spans, *shares)
    return table


def _groups(found: Mapping[str, Any]) -> Table:
    labels = list(found["classes"])
    table = Table("", "", "frames", *labels, title="counts", title_justify="left")
    for kind in ("splits", "light", "altitude"):
        for place, (name, row) in enumerate(found[kind].items()):
            objects = [str(row["objects"].get(label, 0)) for label in labels]
            table.add_row("" if place else kind, name, str(row["frames"]), *objects)
        table.add_section()
    return table


def _choices(advice: Mapping[str, Any]) -> Table:
    labels = list(advice["choices"][0]["resolved"])
    table = Table("input", "finest head", "cost", *labels, title="resolved", title_justify="left")
    for row in advice["choices"]:
        mark = "  <-" if row is advice["choice"] else ""
        shares = [f"{row['resolved'][label]:.0%}" for label in labels]
        shares[-1] += mark
        table.add_row(row["input"], row["head"], f"{row['cost']:g}", *shares)
    return table


def show_anchors(document: Mapping[str, Any]) -> None:
    """Print the clusters and what they suggest."""
    table = Table("width", "height", "boxes", "stride", title="clusters, px", title_justify="left")
    rows = zip(document["anchors"], document["members"], document["strides"], strict=True)
    for (width, height), members, stride in rows:
        table.add_row(f"{width:.1f}", f"{height:.1f}", str(members), str(stride))
    console = table_console()
    console.print(table)
    console.print(
        f"best possible recall {document['best_possible_recall']:.4f}, mean IoU "
        f"{document['mean_iou']:.3f}, altitude {document['altitude_range']}",
        highlight=False,
    )
    choice = document["suggested_input"]
    strides = ", ".join(map(str, document["suggested_strides"]))
    size = f"{choice['input']} with {choice['head']}, which resolves {choice['resolved']:.0%}"
    console.print(f"suggested: strides {strides}; input {size}", highlight=False)
    console.print(document["note"], highlight=False)

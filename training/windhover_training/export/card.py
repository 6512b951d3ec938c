"""The model card: what a bundle is, what it was trained on, what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from windhover.model import Bundle
from windhover.model.manifest import SecondLookSpec

#: What a release config must say under ``provenance``.
CARD_KEYS = {"summary", "use", "data", "split", "training", "measured", "limits", "licence"}


_POINTS_READ = (
    "INT8 on images of each set: AP50 with the middle 90 % of its values when as many flights, "
    "scenes or sequences are drawn with replacement; recall (precision) at each point."
)


def write_card(bundle: Bundle, path: Path) -> None:
    """Write a Markdown card from the bundle's own manifest, so that the two agree."""
    p = bundle.provenance
    lines = [f"# {bundle.name} {bundle.version}", "", p["summary"], ""]
    lines += ["## Use", "", p["use"], ""]
    lines += ["## Data", "", *(f"- {item}" for item in p["data"]), ""]
    lines += ["## Split", "", p["split"], ""]
    lines += ["## Training", "", p["training"], ""]
    lines += ["## Measured", "", p["measured"], ""]
    for name, precisions in p["metrics"].items():
        lines += [f"### {name}", "", *_table(precisions), ""]
    if "fidelity" in p:
        lines += ["## Float, INT8 and HTP", "", *_fidelity(p["fidelity"]), ""]
    if bundle.second_look is not None:
        lines += ["## Second look", "", _second_look(bundle.second_look), ""]
    if "checklist" in p:
        lines += [f"## Release checklist: {p['checklist']['status']}", ""]
        lines += [*_checklist(p["checklist"]["items"]), ""]
    lines += ["## Operating points", "", *_points(bundle), ""]
    lines += ["## Limits", "", *(f"- {item}" for item in p["limits"]), ""]
    lines += ["## Licence", "", p["licence"], ""]
    path.write_text("\n".join(lines))


def _second_look(look: SecondLookSpec) -> str:
    return (
        f"[`{look.bundle}`]({look.bundle}/README.md) is a bundle of its own. Its graph looks at "
        f"chips of {look.span_m:g} m of the RGB camera's full frame, cut around "
        f"{', '.join(look.look_at)}. On held-out rendered chips one look finds "
        f"{look.find_rate:.2f} of those with something to find and is false on "
        f"{look.false_rate:.2f} of the others."
    )


def _table(precisions: dict[str, dict[str, Any]]) -> list[str]:
    rows = [
        "| images | class | boxes | AP50 float | AP50 INT8 | AP50-95 float | AP50-95 INT8 |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    floats, integers = precisions["float"], precisions["int8"]
    for group, classes in floats.items():
        if group in ("images", "points"):
            continue
        for label, scores in classes.items():
            if label == "images":
                continue
            other = integers[group][label]
            rows.append(
                f"| {group} | {label} | {scores['boxes']} | {_figure(scores['ap50'])} | "
                f"{_figure(other['ap50'])} | {_figure(scores['ap50_95'])} | "
                f"{_figure(other['ap50_95'])} |"
            )
    return rows


def _fidelity(found: dict[str, Any]) -> list[str]:
    lines = []
    for name, rows in found["sets"].items():
        count = found.get("images", {}).get(name)  # earlier releases did not count
        lines += [f"{name}, {'' if count is None else f'{count} '}evenly chosen frames:", ""]
        lines += ["| graph | mAP50 | AP50 / recall by class | same boxes | IoU | least SQNR dB |"]
        lines += ["|---|---:|---|---:|---:|---:|"]
        for title, row in rows.items():
            each = "; ".join(
                f"{label} {_figure(scores['ap50'])} / {_figure(scores['recall'])}"
                for label, scores in row["classes"].items()
            )
            cells = [title, _figure(row["map50"]), each, "", "", ""]
            if "same_boxes" in row:
                known = [db for db in row["sqnr_db"].values() if _is_known(db)]
                cells[3:] = [
                    "{} of {}".format(*row["same_boxes"]),
                    _figure(row["mean_iou"]),
                    f"{min(known):.1f}" if known else "",
                ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    worst = ", ".join(
        f"`{layer['name']}` ({layer['sqnr_db']:.1f} dB)" for layer in found["worst_layers"][:5]
    )
    return [*lines, f"Layers furthest from the float graph: {worst}."]


def _checklist(items: list[dict[str, str]]) -> list[str]:
    rows = ["| item | status | figure | how |", "|---|---|---|---|"]
    return rows + [
        f"| {item['name']} | {item['status']} | {item['figure']} | {item['how']} |"
        for item in items
    ]


def _points(bundle: Bundle) -> list[str]:
    """Thresholds, what they find and how often they are wrong, at each operating point."""
    p = bundle.provenance
    lines = [
        f"Scores are cut by class: {p['thresholds']}. NMS IoU {bundle.thresholds.iou}.",
        "",
        f"| operating point | {' | '.join(bundle.labels)} | empty frames with a find |",
        f"|---|{'---:|' * (len(bundle.labels) + 1)}",
    ]
    for point in bundle.point_names:
        scores = bundle.thresholds_at(point).score_vector(bundle.labels)
        images, found = p.get("alarms", {}).get(point, (0, 0))
        alarms = f"{found} of {images}" if images else "not measured"
        lines.append(f"| {point} | {' | '.join(f'{s:.3f}' for s in scores)} | {alarms} |")
    rows = list(_found_at_points(bundle))
    if rows:
        lines += ["", _POINTS_READ, ""]
        lines += [f"| set | images of flights | class | AP50 | {' | '.join(bundle.point_names)} |"]
        lines += [f"|---|---|---|---:|{'---:|' * len(bundle.point_names)}", *rows]
    return lines


def _found_at_points(bundle: Bundle) -> Iterator[str]:
    for name, precisions in bundle.provenance["metrics"].items():
        found = precisions["int8"].get("points")
        if found is None:
            continue
        for label, (ap50, low, high) in found["ap50"].items():
            cells = [_at(found[point].get(label)) for point in bundle.point_names]
            yield (
                f"| {name} | {found['images']} of {found['flights']} | {label} | "
                f"{ap50:.3f} ({low:.3f}-{high:.3f}) | {' | '.join(cells)} |"
            )


def _at(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{_figure(row['recall'])} ({_figure(row['precision'], 'nothing found')})"


def _figure(figure: float | None, otherwise: str = "") -> str:
    return f"{figure:.3f}" if _is_known(figure) else otherwise


def _is_known(figure: float | None) -> TypeGuard[float]:
    """Whether a figure is one: NaN is null after a rewrite of the manifest."""
    return figure is not None and math.isfinite(figure)

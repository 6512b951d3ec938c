"""The model card: what a bundle is, what it was trained on, what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from windhover.model import Bundle


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
    lines += ["## Thresholds", "", _thresholds(bundle), ""]
    lines += ["## Limits", "", *(f"- {item}" for item in p["limits"]), ""]
    lines += ["## Licence", "", p["licence"], ""]
    path.write_text("\n".join(lines))


def _table(precisions: dict[str, dict[str, Any]]) -> list[str]:
    rows = [
        "| images | class | boxes | AP50 float | AP50 INT8 | AP50-95 float | AP50-95 INT8 |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    whole, small = precisions["float"], precisions["int8"]
    for group, classes in whole.items():
        if group == "images":
            continue
        for label, scores in classes.items():
            if label == "images":
                continue
            other = small[group][label]
            rows.append(
                f"| {group} | {label} | {scores['boxes']} | {scores['ap50']:.3f} | "
                f"{other['ap50']:.3f} | {scores['ap50_95']:.3f} | {other['ap50_95']:.3f} |"
            )
    return rows


def _thresholds(bundle: Bundle) -> str:
    scores = bundle.thresholds.score_vector(bundle.labels)
    each = ", ".join(f"{n} {s:.3f}" for n, s in zip(bundle.labels, scores, strict=True))
    return (
        f"Score: {each} (best F1 of the INT8 graph on the validation flights); "
        f"NMS IoU {bundle.thresholds.iou}."
    )

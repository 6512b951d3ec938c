"""Writes what is asked of rgbt-n beside what it has: ``python -m tools.release_targets VERSION``.

Figures are read from the bundle's own ``bundle.yaml``; the table goes to
``bench/results/VERSION/release-targets-NAME.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.model_tables import model_table
from windhover.plain_yaml import read_yaml

ROOT = Path(__file__).resolve().parents[1]
STOCK = ROOT / "models/coco-n"
_REAL = "VisDrone val, real RGB"
_THERMAL, _RENDERED = "HIT-UAV, held-out flights", "Rendered scenes"


@dataclass(frozen=True)
class Target:
    """What is asked of a figure.

    Attributes:
        asked: in words.
        least: of the figure; the greatest that is allowed where ``most``.
        figure: takes it from the bundle's provenance.
        most: less is better.
    """

    asked: str
    least: float
    figure: Callable[[Mapping[str, Any]], float | None]
    most: bool = False


def ap50(of: str, label: str, group: str = "all") -> Callable[[Mapping[str, Any]], float | None]:
    """AP50 of the INT8 graph on the set whose name begins so."""

    def figure(known: Mapping[str, Any]) -> float | None:
        for name, scores in known["metrics"].items():
            if name.startswith(of) and label in scores["int8"].get(group, {}):
                return float(scores["int8"][group][label]["ap50"])
        return None

    return figure


def _alarms(known: Mapping[str, Any]) -> float | None:
    images, found = known.get("alarms", {}).get("quiet", (0, 0))
    return found / images if images else None


def _quiet_recall(known: Mapping[str, Any]) -> float | None:
    for name, scores in known["metrics"].items():
        quiet = scores["int8"].get("points", {}).get("quiet")
        if name.startswith(_RENDERED) and quiet is not None:
            return float(quiet["person"]["recall"])
    return None


def _without_weapons(known: Mapping[str, Any]) -> float | None:
    found = [ap50(_RENDERED, label)(known) for label in ("person", "motorcycle", "vehicle")]
    return None if None in found else sum(x for x in found if x is not None) / len(found)


def _light(known: Mapping[str, Any]) -> float | None:
    """How much less people are found by night than by day, rendered."""
    day, night = (ap50(_RENDERED, "person", light)(known) for light in ("day", "night"))
    return None if day is None or night is None else day - night


TARGETS = (
    Target("person AP50, VisDrone val", 0.50, ap50(_REAL, "person")),
    Target("motorcycle AP50, VisDrone val", 0.35, ap50(_REAL, "motorcycle")),
    Target("vehicle AP50, VisDrone val", 0.75, ap50(_REAL, "vehicle")),
    Target("person AP50, real thermal at 50-70 m", 0.86, ap50(_THERMAL, "person", "50-70 m")),
    Target("person AP50, the same by day", 0.78, ap50(_THERMAL, "person", "day 50-70 m")),
    Target("person AP50, the same by night", 0.78, ap50(_THERMAL, "person", "night 50-70 m")),
    Target("vehicle AP50, real thermal at 50-70 m", 0.87, ap50(_THERMAL, "vehicle", "50-70 m")),
    Target("person AP50, rendered", 0.92, ap50(_RENDERED, "person")),
    Target("motorcycle AP50, rendered", 0.90, ap50(_RENDERED, "motorcycle")),
    Target("vehicle AP50, rendered", 0.98, ap50(_RENDERED, "vehicle")),
    Target("mAP50 without weapons, rendered", 0.93, _without_weapons),
    Target("people by night less than by day, rendered", 0.02, _light, most=True),
    Target("empty frames with a find, quiet", 0.01, _alarms, most=True),
    Target("recall of people, quiet, rendered", 0.75, _quiet_recall),
)


def verdict(target: Target, value: float | None) -> str:
    """Whether a figure is what is asked, and by how much not."""
    if value is None:
        return "not measured"
    missing = value - target.least if target.most else target.least - value
    return "met" if missing <= 0 else f"missed by {missing:.3f}"


def rows(known: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[list[str]]:
    """What is asked, what the release before had, what this one has, and the verdict."""
    for target in TARGETS:
        asked = f"{target.asked}, {'at most' if target.most else 'at least'} {target.least:.2f}"
        old = None if before is None else target.figure(before)
        new = target.figure(known)
        yield [
            asked,
            *("n/a" if x is None else f"{x:.3f}" for x in (old, new)),
            verdict(target, new),
        ]


def stock_row(known: Mapping[str, Any], stock: Mapping[str, Any]) -> list[str]:
    """People and motorcycles on VisDrone beside stock YOLO11n, which they may not be below."""
    labels = ("person", "motorcycle")
    ours = [ap50(_REAL, label)(known) or 0.0 for label in labels]
    theirs = [ap50("VisDrone", label)(stock) or 0.0 for label in labels]
    below = [label for label, own, its in zip(labels, ours, theirs, strict=True) if own < its]
    asked = " / ".join(f"{x:.3f}" for x in theirs)
    return [
        f"person / motorcycle AP50, VisDrone val, at least coco-n's (stock YOLO11n) {asked}",
        "",
        " / ".join(f"{x:.3f}" for x in ours),
        f"missed: {', '.join(below)}" if below else "met",
    ]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="of the release, such as 0.2.0")
    parser.add_argument("--model", default="rgbt-n", help="bundle in models/")
    parser.add_argument("--before", type=Path, help="bundle.yaml of the release before")
    parser.add_argument("--note", action="append", default=[], help="what stands below the table")
    chosen = parser.parse_args()
    folder = ROOT / "models" / chosen.model
    manifest = read_yaml(folder / "bundle.yaml")
    known = manifest["provenance"]
    before = None if chosen.before is None else read_yaml(chosen.before)
    name = "before" if before is None else f"{before['name']} {before['version']}"
    size = manifest["input"]
    option = "" if chosen.model == parser.get_default("model") else f" --model {chosen.model}"
    table = {
        **model_table(folder, chosen.version),
        "command": f"python -m tools.release_targets {chosen.version}{option}",
        "unit": f"INT8, {size['width']}x{size['height']}, first look",
    }
    table["columns"] = ["asked", name, table["title"], ""]
    table["title"] += " against what is asked of it"
    table["rows"] = [
        *rows(known, None if before is None else before["provenance"]),
        stock_row(known, read_yaml(STOCK / "bundle.yaml")["provenance"]),
    ]
    table["notes"] = ["Weapons are the second look's: see looking twice.", *chosen.note]
    out = ROOT / "bench/results" / chosen.version / f"release-targets-{chosen.model}.json"
    out.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

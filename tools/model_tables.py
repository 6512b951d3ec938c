"""Writes the scores of the released models as tables: ``python -m tools.model_tables VERSION``.

They are read from each bundle's own ``bundle.yaml``, where the release put them, and written
to ``bench/results/VERSION/model-NAME.json``, from which the manual's page is generated.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.table import FORMAT
from windhover.plain_yaml import read_yaml

ROOT = Path(__file__).resolve().parents[1]
#: Parts of a set that the table shows; the card has the rest.
_GROUPS = ("all", "day", "night")
_COLUMNS = ["set", "images", "class", "boxes", "AP50 float", "AP50 INT8", "recall (precision)"]


def model_table(folder: Path, version: str) -> dict[str, Any]:
    """One model's scores.

    Args:
        folder: of the bundle.
        version: of the release that the table belongs to.
    """
    manifest = read_yaml(folder / "bundle.yaml")
    known = manifest["provenance"]
    tools = known.get("tools", {})
    return {
        "format": FORMAT,
        "title": f"{manifest['name']} {manifest['version']}",
        "release": version,
        "commit": str(known["git"])[:12] if "git" in known else _last_commit(folder),
        "machine": "x86-64, ONNX Runtime CPU",
        "command": f"the release of models/{folder.relative_to(ROOT / 'models')}, see its card",
        "unit": "AP at IoU 0.5; recall and precision of INT8 at the balanced operating point",
        "columns": _COLUMNS,
        "rows": [row for name, scores in known["metrics"].items() for row in _rows(name, scores)],
        "notes": [f"ONNX Runtime {tools['onnxruntime']}"] if "onnxruntime" in tools else [],
    }


def _last_commit(folder: Path) -> str:
    command = ["git", "log", "-1", "--format=%h", "--abbrev=12", "--", str(folder)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout[:12]


def _rows(name: str, scores: Mapping[str, Any]) -> Iterator[list[str]]:
    for group in _GROUPS:
        exact, quantised = scores["float"].get(group, {}), scores["int8"].get(group, {})
        for label, row in quantised.items():
            if label == "images":
                continue
            point = _balanced(scores["int8"], group, label)
            yield [
                name, group, label, str(row["boxes"]), _number(exact[label]["ap50"]),
                _number(row["ap50"]), point,
            ]  # fmt: skip


def _balanced(scores: Mapping[str, Any], group: str, label: str) -> str:
    """Recall and precision at the default operating point, where they were counted."""
    counted = scores.get("points", {}).get("balanced")
    found = scores[group][label] if counted is None else counted[label] if group == "all" else {}
    if "recall" not in found:
        return ""
    return f"{_number(found['recall'])} ({_number(found['precision'])})"


def _number(value: float | None) -> str:
    """Three decimals; a precision of nothing found is NaN, or null after a rewrite as JSON."""
    return "n/a" if value is None or math.isnan(value) else f"{value:.3f}"


def main() -> None:
    """Write a table for every bundle under models/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="of the release, such as 0.2.0")
    version = parser.parse_args().version
    out = ROOT / "bench" / "results" / version
    out.mkdir(parents=True, exist_ok=True)
    for manifest in sorted((ROOT / "models").rglob("bundle.yaml")):
        folder = manifest.parent
        name = str(folder.relative_to(ROOT / "models")).replace("/", "-").replace("_", "-")
        text = json.dumps(model_table(folder, version), indent=1, ensure_ascii=False)
        (out / f"model-{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

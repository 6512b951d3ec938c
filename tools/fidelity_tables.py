"""Tables of ``windhover-train verify``: ``python -m tools.fidelity_tables VERSION VERIFY.json``.

One table a set, float.onnx first, goes to ``bench/results/VERSION/fidelity-MODEL-SET.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.table import FORMAT, commit, machine
from windhover.plain_yaml import read_yaml

ROOT = Path(__file__).resolve().parents[1]


def fidelity_table(
    manifest: Mapping[str, Any], name: str, known: Mapping[str, Any], version: str, ran_on: str
) -> dict[str, Any]:
    """What quantising and compiling cost on one set.

    Args:
        manifest: of the bundle that was looked at.
        name: of the set.
        known: of verify.json.
        version: of the release that the table belongs to.
        ran_on: machine, in words.
    """
    rows = known["sets"][name]
    labels = list(next(iter(rows.values()))["classes"])
    count = known["images"][name]
    command = f"windhover-train verify --out models/{manifest['name']} --frames {count}"
    return {
        "format": FORMAT,
        "title": f"Fidelity of {manifest['name']} {manifest['version']}, {name}, {count} images",
        "release": version,
        "commit": commit(),
        "machine": ran_on,
        "command": command,
        "unit": "per cent; recall at the balanced operating point",
        "columns": [
            "", "mAP50", *(f"{label} AP50 / recall" for label in labels),
            "same boxes", "their IoU", "least SQNR dB",
        ],
        "rows": list(_rows(rows, labels)),
        "notes": [],
    }  # fmt: skip


def _rows(rows: Mapping[str, Any], labels: list[str]) -> Iterator[list[str]]:
    exact = next(iter(rows.values()))["map50"]
    for title, row in rows.items():
        own = [row["classes"][label] for label in labels]
        cells = [f"{_cent(c['ap50'])} / {_cent(c['recall'])}" for c in own]
        if "same_boxes" not in row:
            yield [title, _cent(row["map50"]), *cells, "", "", ""]
            continue
        known = [db for db in row["sqnr_db"].values() if db is not None and math.isfinite(db)]
        lost = f"{_cent(row['map50'])} ({100 * (row['map50'] - exact):+.1f})"
        same = "{} of {}".format(*row["same_boxes"])
        least = f"{min(known):.1f}" if known else ""
        yield [title, lost, *cells, same, f"{row['mean_iou']:.3f}", least]


def _cent(share: float) -> str:
    return f"{100 * share:.1f}"


def slug(name: str) -> str:
    """A set's name up to its comma, as a file's: ``VisDrone val, real RGB`` is visdrone-val."""
    return re.sub(r"[^a-z0-9]+", "-", name.split(",", maxsplit=1)[0].lower()).strip("-")


def main() -> None:
    """Write a table for every set of a verify.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="of the release, such as 0.2.0")
    parser.add_argument("verified", type=Path, help="verify.json")
    parser.add_argument("--model", type=Path, required=True, help="bundle folder")
    parser.add_argument("--machine", default=machine(), help="in words")
    given = parser.parse_args()
    manifest = read_yaml(given.model / "bundle.yaml")
    known = json.loads(given.verified.read_text(encoding="utf-8"))
    out = ROOT / "bench" / "results" / given.version
    out.mkdir(parents=True, exist_ok=True)
    for name in known["sets"]:
        table = fidelity_table(manifest, name, known, given.version, given.machine)
        text = json.dumps(table, indent=1, ensure_ascii=False)
        path = out / f"fidelity-{manifest['name']}-{slug(name)}.json"
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

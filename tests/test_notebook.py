"""The notebook runs from its first cell to its last, on what the repository holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "start" / "first-detections.ipynb"


def cells(kind):
    notebook = json.loads(NOTEBOOK.read_text())
    assert notebook["nbformat"] == 4
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_it_runs_and_finds_and_tracks_objects(tmp_path):
    pytest.importorskip("matplotlib")
    program = "\n\n".join(cells("code"))
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert "person " in run.stdout
    assert "20 frames, " in run.stdout
    frames = json.loads((tmp_path / "tracks.json").read_text())
    assert len(frames) == 20
    last = frames[-1]["tracks"]
    assert {"track_id", "name", "score", "box"} <= set(last[0])
    # Some that were there at the start are still followed.
    first = {track["track_id"] for track in frames[0]["tracks"]}
    assert first & {track["track_id"] for track in last}


def test_it_is_kept_without_outputs_and_its_links_live():
    notebook = json.loads(NOTEBOOK.read_text())
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    for text in cells("markdown"):
        for target in text.split("](")[1:]:
            assert (NOTEBOOK.parent / target.partition(")")[0]).exists(), target

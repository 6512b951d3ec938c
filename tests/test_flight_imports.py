"""What flies carries no laboratory: told by what is loaded, and by a bare environment."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LABORATORY = {
    "matplotlib", "jinja2", "pycocotools", "windhover_evaluation", "windhover_sim", "tabulate",
    "torch", "rich.table", "dask", "distributed",
}  # fmt: skip


def loaded(code, **environ):
    """Modules that a fresh interpreter has after running ``code``."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        env=os.environ | environ,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_the_library_loads_nothing_of_the_laboratory():
    modules = loaded("import windhover, windhover.model.detector, windhover.tracking")
    assert not modules & LABORATORY
    assert not any(name.partition(".")[0] == "rclpy" for name in modules)


@pytest.mark.ros
def test_the_nodes_load_nothing_of_the_laboratory():
    nodes = (
        "windhover_detector.node", "windhover_tracker.node", "windhover_pairing.node",
        "windhover_cameras.rgb_camera", "windhover_bringup.runtime.composed",
        "windhover_bringup.recording.recorder", "windhover_bringup.monitor.node",
    )  # fmt: skip
    assert not loaded(f"import {', '.join(nodes)}") & LABORATORY


def closure(name):
    """Distributions that one needs to run, by name, extras left out."""
    found, waiting = {}, [name]
    while waiting:
        current = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if current in found:
            continue
        found[current] = importlib.metadata.distribution(current)
        waiting += [
            re.match(r"[A-Za-z0-9._-]+", requirement)[0]
            for requirement in found[current].requires or ()
            if "extra ==" not in requirement and "python_version <" not in requirement
        ]
    return found


@pytest.fixture
def bare_site(tmp_path):
    """A site-packages folder that holds what ``windhover`` asks for and nothing else."""
    site = tmp_path / "site"
    site.mkdir()
    for name, distribution in closure("windhover").items():
        if name == "windhover":
            continue
        for file in distribution.files or ():
            top = Path(file.parts[0])
            if file.parts[0] == ".." or (site / top).exists():
                continue
            (site / top).symlink_to(distribution.locate_file(top))
    (site / "windhover").symlink_to(ROOT / "src" / "windhover" / "windhover")
    return site


BARE = """
import sys
sys.path.append(sys.argv[1])
import importlib.util
for name in ("rclpy", "matplotlib", "jinja2", "pycocotools", "windhover_sim", "typer"):
    assert importlib.util.find_spec(name) is None, name
from windhover.errors import SourceError
from windhover.model.detector import Detector
from windhover.sources import open_source
from windhover.tracking import make_tracker
tracker = make_tracker()
frames = 0
with Detector.open(sys.argv[2], "cpu") as detector:
    for frame in open_source(sys.argv[3]):
        tracks = tracker.update(detector.detect(frame), frame.stamp_ns, frame.image)
        frames += 1
assert frames == 3, frames
assert len(tracks), "nothing is tracked"
try:
    open_source("scene:demo")
except SourceError as error:
    assert "windhover_sim" in str(error), error
else:
    raise AssertionError("scene: opened without its package")
"""


def test_a_bare_environment_reads_a_camera_detects_and_tracks(bare_site, blob_bundle, tmp_path):
    import cv2

    from tests.support.fixtures import blob_image

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), blob_image(number))
    source = f"images:{tmp_path}"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", BARE, str(bare_site), str(blob_bundle), source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr

"""The released RGBT model through dusk, and in the chain with two rendered cameras."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.fixtures import PATIENCE_S
from tests.support.processes import finished, windhover
from tests.test_chain import boxes_of

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "models" / "rgbt-n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (MODEL / "bundle.yaml").is_file(), reason="models/rgbt-n is not released here"
    ),
]


def test_people_are_not_lost_where_day_turns_into_night(monkeypatch):
    from bench import day_to_night
    from windhover.model.detector import Detector

    hours = (17.0, 19.5, 21.5)
    monkeypatch.setattr(day_to_night, "HOURS", hours)
    with Detector.open(MODEL, "cpu") as detector:
        scores = day_to_night.measure(detector, flights=2, count=1)
    recall = {
        (hour, modality): scores.at([hour], modality, "person").recall
        for hour in hours
        for modality in day_to_night.MODALITIES
    }
    assert scores.at(hours, "both", "person").objects >= 30
    # Some twenty people an hour: one of them is five points.
    for before, after in pairwise(hours):
        assert recall[after, "both"] >= recall[before, "both"] - 0.15, recall
    for hour in hours:
        assert recall[hour, "both"] >= 0.4, recall
    # Where either camera is gone, the other still finds people.
    assert recall[hours[0], "RGB alone"] >= 0.25, recall
    assert recall[hours[-1], "thermal alone"] >= 0.25, recall


def test_the_released_model_flies_two_rendered_cameras(tmp_path):
    pytest.importorskip("rclpy")
    pytest.importorskip("vision_msgs")
    # On a busy machine a scene takes longer to draw than a camera may be silent.
    config = tmp_path / "config.yaml"
    config.write_text("/**/bringup:\n  ros__parameters: {monitor: false}\n")
    chain = windhover(
        "up", "--config", config, "--source", "scene:demo?seed=9000&altitude=40&time=night",
        "--model", MODEL, "--frames", 3, "--rate", 0, "--out", tmp_path / "out", "--backend", "cpu",
    )  # fmt: skip
    _, err = finished(chain, PATIENCE_S * 4)
    assert chain.returncode == 0, err
    found = boxes_of(tmp_path / "out" / "bag", "/detections")
    assert len(found) == 3
    assert all(any(label == "person" for _, label, _ in rows) for rows in found.values())
    run = json.loads((tmp_path / "out" / "metrics.json").read_text())["run"]
    assert (run["pairs"], run["rgb_alone"]) == ("3", "0")

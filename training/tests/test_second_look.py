"""The phase that trains the second look, and what puts its bundle into another."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import yaml

from windhover.errors import ConfigError, DataError
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover_sim.blob_bundle import build_blob_bundle
from windhover_training.engine.model import load_weights
from windhover_training.engine.settings import Share
from windhover_training.export.second_look import LookScore, attach_second_look, score_looks
from windhover_training.phases.base import execute
from windhover_training.phases.second_look import PHASE, samplers_of
from windhover_training.phases.training import mixed
from windhover_training.second_look_config import SecondLookConfig

pytestmark = pytest.mark.train_env


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    """Eight chips, half of which show a bright bar that is boxed."""
    root = tmp_path / "chips"
    (root / "images/train").mkdir(parents=True)
    (root / "truth").mkdir()
    images, annotations = [], []
    for number in range(8):
        pixels = np.full((160, 160, 3), 40, np.uint8)
        if number % 2:
            pixels[70:90, 50:110] = 230
            annotations.append(
                {"id": number, "image_id": number, "category_id": 0, "iscrowd": 0,
                 "bbox": [50, 70, 60, 20], "area": 1200}
            )  # fmt: skip
        name = f"{number}.png"
        cv2.imwrite(str(root / "images/train" / name), pixels)
        images.append(
            {"id": number, "file_name": name, "rgb": name, "width": 160, "height": 160,
             "flight": f"scene-{number}"}
        )  # fmt: skip
    truth = {"images": images, "annotations": annotations,
             "categories": [{"id": 0, "name": "person"}]}  # fmt: skip
    (root / "truth/train.json").write_text(json.dumps(truth))
    return root


def config(root: Path, **changes: object) -> SecondLookConfig:
    values = {
        "name": "tiny", "labels": ["person"], "steps": 2, "batch": 4,
        "warmup_steps": 0, "amp": False,
        "pools": [{"data": root, "share": 0.75}, {"data": root, "share": 0.25}],
        "model": str(Path(__file__).with_name("tiny11.yaml")),
    }  # fmt: skip
    return SecondLookConfig.model_validate(values | changes)


def test_the_phase_trains_and_leaves_weights(chips: Path, tmp_path: Path) -> None:
    assert execute(PHASE, config(chips), tmp_path / "run")
    _, spec = load_weights(tmp_path / "run/final.pt")
    assert (spec.labels, spec.channels) == (["person"], 3)
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["cls_loss"]) for row in log)


def test_a_batch_is_drawn_from_its_step_alone(chips: Path) -> None:
    own = config(chips)
    draw = mixed(samplers_of(own), [0.25], own.seed)(Share(4))
    for first, again in zip(draw(3), draw(3), strict=True):
        np.testing.assert_array_equal(first[0], again[0])
    assert len(draw(0)) == 4


def test_shares_that_do_not_add_up_and_missing_chips_are_refused(
    chips: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"add up to 0\.5"):
        samplers_of(config(chips, pools=[{"data": chips, "share": 0.5}]))
    missing = config(chips, pools=[{"data": tmp_path / "nowhere", "share": 1.0}])
    with pytest.raises(DataError, match="render-chips"):
        execute(PHASE, missing, tmp_path / "run")


def test_a_bundle_takes_a_second_graph_and_looks_twice(chips: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    build_blob_bundle(first, height=256, width=320, channels="rgb")
    looks = build_blob_bundle(second, height=160, width=160, channels="rgb")
    score = score_looks(looks, chips, "train")
    assert score == LookScore(find_rate=1.0, false_rate=0.0, armed=4, unarmed=4)
    bundle = attach_second_look(first, second, 2.9, ["person"], score)
    assert bundle.second_look is not None
    assert (bundle.second_look.find_rate, bundle.second_look.false_rate) == (0.99, 0.001)
    again = attach_second_look(first, second, 2.5, ["person"], score)
    assert again.second_look is not None
    assert again.second_look.span_m == 2.5
    with Detector(Bundle.load(first), "cpu") as detector:
        assert detector.second_pass is not None


def test_a_second_graph_that_does_not_suit_is_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    build_blob_bundle(first, height=256, width=320, channels="rgb")
    build_blob_bundle(second, height=160, width=192, channels="rgb")
    score = LookScore(0.7, 0.03, 10, 10)
    before = yaml.safe_load((first / "bundle.yaml").read_text())
    with pytest.raises(ConfigError, match="no square chips"):
        attach_second_look(first, second, 2.9, ["person"], score)
    assert yaml.safe_load((first / "bundle.yaml").read_text()) == before

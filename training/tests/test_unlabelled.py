"""Classes that a set shows and does not label are neither taught nor taken for background."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np

from windhover.errors import DataError
from windhover_training.config import Augmentation, LossConfig
from windhover_training.data.augment.crops import CropSampler
from windhover_training.data.augment.heavy import HeavyAugmentation, HeavySampler
from windhover_training.data.augment.samples import Sample, cover_unlabelled
from windhover_training.data.readers.pictures import load_pictures
from windhover_training.detector_config import DetectorConfig
from windhover_training.engine.batches import collate
from windhover_training.engine.mining import MiningConfig, mine
from windhover_training.engine.model import build_model
from windhover_training.engine.objective import detection_loss, set_criterion
from windhover_training.engine.settings import Share
from windhover_training.engine.validation import Validator
from windhover_training.phases.base import execute
from windhover_training.phases.bootstrap import PHASE as BOOTSTRAP
from windhover_training.phases.detector import _start
from windhover_training.phases.pictures import PictureConfig

pytestmark = pytest.mark.train_env

HERE = Path(__file__).parent
LABELS = ["upright", "lying"]


def sample(classes: list[int]) -> Sample:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
    boxes = np.array([[30, 30, 60, 60]] * len(classes), np.float32)
    return Sample(pixels, boxes, np.array(classes, np.int64), "flight")


def gradient_of_scores(model: Any, crops: list[Any]) -> np.ndarray:
    """``(classes,)`` how much the loss moves the last biases of the finest level's scores."""
    model.zero_grad()
    detection_loss(model, collate(crops), None)[0].backward()
    return model.model[-1].cv3[0][-1].bias.grad.abs().numpy()


def test_no_gradient_comes_from_a_class_that_is_not_labelled() -> None:
    torch.manual_seed(0)
    model = build_model(str(HERE / "tiny11.yaml"), 1, 2).train()
    set_criterion(model, LossConfig())
    crop = (sample([0]).pixels, sample([0]).boxes, np.zeros(1, np.int64))
    taught = gradient_of_scores(model, [crop, crop])
    masked = gradient_of_scores(model, [cover_unlabelled(crop, [1])] * 2)
    assert taught[1] > 0
    assert masked[1] == 0
    assert masked[0] == pytest.approx(taught[0], rel=1e-4)


def test_every_crop_says_what_is_not_judged(shapes: Callable[[int], Path]) -> None:
    crops = CropSampler(
        [sample([0])], 64, [1.0, 1.0], Augmentation(), np.random.default_rng(0), [1]
    )
    pictures = load_pictures(shapes(1), ["train"], 1, LABELS)
    heavy = HeavySampler(pictures, 64, 1, HeavyAugmentation(), 1, [1])
    for _, boxes, classes in (crops.draw(), heavy.draw(0), heavy.draw(1)):
        assert classes.tolist().count(~1) == 1
        np.testing.assert_array_equal(boxes[classes.tolist().index(~1)], [0, 0, 64, 64])


def without(data: Path, label: str, target: Path) -> Path:
    """A copy of a set that no longer knows a label."""
    shutil.copytree(data, target)
    for path in (target / "truth").glob("*.json"):
        document = json.loads(path.read_text())
        (gone,) = (c["id"] for c in document["categories"] if c["name"] == label)
        document["categories"] = [c for c in document["categories"] if c["name"] != label]
        rows = document["annotations"]
        document["annotations"] = [row for row in rows if row["category_id"] != gone]
        path.write_text(json.dumps(document))
    return target


def test_a_label_that_a_set_does_not_know_is_declared_or_refused(
    epoch_settings: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    settings = epoch_settings(epochs=1)
    settings["data"] = without(settings["data"], "lying", tmp_path / "set")
    with pytest.raises(DataError, match=r"no category lying; .* 'unlabelled'"):
        execute(BOOTSTRAP, PictureConfig(**settings), tmp_path / "refused")
    config = PictureConfig(**settings, unlabelled=["lying"])
    assert execute(BOOTSTRAP, config, tmp_path / "run")
    scores = json.loads((tmp_path / "run/metrics.json").read_text())["val"]
    assert "ap50_lying" not in scores
    with pytest.raises(ValueError, match="car is no label"):
        PictureConfig(**settings, unlabelled=["car"])


def test_finds_of_a_class_that_is_not_labelled_are_no_hard_negatives(
    shapes: Callable[[int], Path],
) -> None:
    torch.manual_seed(0)
    model = build_model(str(HERE / "tiny11.yaml"), 1, 2).eval()
    exam = Validator(shapes(1), "train", LABELS, 1, (64, 64))
    limits = MiningConfig(score=1e-6, iou=0.99)
    found = {each.label for each in mine(model, exam, "train", limits)}
    assert found == set(LABELS)
    kept = {each.label for each in mine(model, exam, "train", limits, unlabelled=[1])}
    assert kept == {"upright"}


def test_the_detector_phase_masks_the_sets_pictures_and_not_the_rendered_ones(
    tiny: Path, convert: Callable[..., Any], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    convert(tiny, data, {"test": ["day-60m-00100"]})
    config = DetectorConfig(
        name="tiny", labels=["person", "vehicle", "two-wheeler"], unlabelled=["vehicle"],
        data=data, rendered={"share": 0.5, "pool": data}, imgsz=96, class_weights=[1, 1, 1],
    )  # fmt: skip
    crops = _start(config, 0).source(Share(4))(0)
    assert [(~1 in classes) for _, _, classes in crops] == [True, False, True, False]

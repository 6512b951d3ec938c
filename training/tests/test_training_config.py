"""One family of configs: the same names in every phase, one of each choice, former names told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import yaml

from windhover.errors import ConfigError
from windhover_training.cli import main
from windhover_training.config import load_config
from windhover_training.detector_config import DetectorConfig
from windhover_training.engine.settings import Share, plan_of
from windhover_training.phases.base import execute
from windhover_training.phases.bootstrap import PHASE
from windhover_training.phases.pictures import PictureConfig
from windhover_training.phases.qat import QatConfig
from windhover_training.phases.registry import PHASES, load_phase
from windhover_training.training_config import TrainingConfig

pytestmark = pytest.mark.train_env

#: A config of ``train detector`` as 0.2.0 took it.
FORMER = {
    "name": "old",
    "labels": ["x"],
    "data": "d",
    "crop": 96,
    "class_weights": [1],
    "start": "models/thermal-n/float.onnx",
    "processes": 2,
    "optimisation": {"steps": 4, "lr": 0.1, "final_lr": 0.01, "warmup": 3, "bfloat16": False},
}


def detector(**changes: Any) -> DetectorConfig:
    return DetectorConfig(name="a", labels=["x"], data=Path("d"), class_weights=[1], **changes)


def test_every_phase_that_trains_is_of_the_family() -> None:
    others = set()
    for name in PHASES:
        config = load_phase(name).config
        assert {"name", "seed"} <= config.model_fields.keys()
        if not issubclass(config, TrainingConfig):
            others.add(name)
    # One trains by another's config, and one mixes weights.
    assert others == {"ablation", "interpolate"}


def test_former_names_are_refused_in_one_line_with_todays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(FORMER))
    command = ["train", "detector", "--config", str(tmp_path / "old.yaml")]
    assert main([*command, "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for said in (
        "crop is now imgsz",
        "start is now pretrained",
        "optimisation.lr is now lr0",
        "optimisation.final_lr is now lrf (a part of lr0)",
        "optimisation.warmup is now warmup_steps",
        "optimisation.bfloat16 is now amp",
        "processes is now --nproc-per-node of the command line",
    ):
        assert said in error
    assert not (tmp_path / "run").exists()
    (tmp_path / "new.yaml").write_text("{name: a, labels: [x], data: d, class_weights: [1]}")
    with pytest.raises(ConfigError, match=r"schedule\.lr0 is now lr0"):
        load_config(tmp_path / "new.yaml", DetectorConfig, {"schedule.lr0": 0.1})


def test_a_run_that_an_earlier_version_began_is_told_from_another_config(
    epoch_settings: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FORMER))
    with pytest.raises(ConfigError, match=r"an earlier version began \(crop, start, proc"):
        execute(PHASE, PictureConfig(**epoch_settings()), tmp_path)


def test_one_length_one_warmup_one_interval() -> None:
    assert (detector().epochs, detector().steps, detector().warmup_epochs) == (100, None, 3.0)
    short = detector(steps=50)
    assert (short.epochs, short.steps) == (None, 50)
    assert (short.warmup_steps, short.validate_steps) == (100, 500)
    # What is written down is read as the same.
    assert DetectorConfig.model_validate(short.model_dump()) == short
    with pytest.raises(ValueError, match="epochs and steps say the same"):
        detector(steps=50, epochs=2)
    with pytest.raises(ValueError, match="warmup_epochs and warmup_steps"):
        detector(warmup_epochs=1, warmup_steps=2)
    own = {"name": "q", "release": "r", "data": "d", "scored_on": ["d", "val"]}
    assert (QatConfig(**own).steps, QatConfig(**own).warmup_steps) == (200, 10)
    assert (QatConfig(**own, epochs=2).steps, QatConfig(**own, epochs=2).epochs) == (None, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 0}, "greater than 0"),
        ({"val": "val", "val_imgsz": (100, 64)}, "multiples of 32"),
        ({"loss": {"class_weights": [1, 2]}}, "2 class weights for 1 labels"),
        ({"pretrained_classes": [0, 1]}, "pretrained_classes are 2 for 1 labels"),
        ({"lrf": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        detector(**changes)


def test_the_rate_rises_and_falls_to_its_part() -> None:
    plan = plan_of(detector(steps=110, lr0=0.02, lrf=0.1, warmup_steps=10), 1000, 8, 2)
    assert (plan.images, plan.steps) == (16, 110)
    assert plan.rate(0, 0.0) == pytest.approx(0.002)
    assert plan.rate(10, 0.1) == pytest.approx(0.02)
    assert plan.rate(60, 0.5) == pytest.approx(0.02 * 0.55)
    assert plan.rate(110, 1.0) == pytest.approx(0.002)


def test_a_clock_takes_the_place_of_counting() -> None:
    plan = plan_of(detector(steps=110, minutes=2, lr0=0.02, lrf=0.1, warmup_steps=10), 1000, 8, 2)
    assert (plan.steps, plan.seconds) == (None, 120)
    assert [plan.part(9, seconds) for seconds in (0, 60, 120, 500)] == [0, 0.5, 1, 1]
    assert plan.rate(4, 0.5) == pytest.approx(0.01)
    assert plan.rate(700, 0.5) == pytest.approx(0.02 * 0.55)
    assert plan.rate(900, 1.0) == pytest.approx(0.002)


def test_epochs_are_counted_in_images_of_the_set() -> None:
    plan = plan_of(detector(epochs=3, warmup_epochs=0.5, validate_epochs=2), 100, 8, 1)
    assert (plan.steps, plan.warmup, plan.validate_every) == (39, 6, 26)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_shares_of_a_step_are_all_of_it(processes: int) -> None:
    numbers = [i for rank in range(processes) for i in Share(12, rank, processes).numbers]
    assert numbers == list(range(12))

"""Distillation: the teacher stays as it is, features come nearer, adapters stay behind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import torch

from windhover.errors import ConfigError, DataError
from windhover_training.engine.batches import collate
from windhover_training.engine.distill import Distillation, DistillationModel, distance_of
from windhover_training.engine.learner import student_of
from windhover_training.engine.model import build_model, load_weights
from windhover_training.phases.base import execute
from windhover_training.phases.bootstrap import PHASE as BOOTSTRAP
from windhover_training.phases.distill import PHASE, DistillConfig, load_teacher
from windhover_training.phases.pictures import PictureConfig

pytestmark = pytest.mark.train_env

HERE = Path(__file__).parent
Settings = Callable[..., dict]


@pytest.fixture
def config(epoch_settings: Settings, tmp_path: Path) -> DistillConfig:
    settings = epoch_settings(epochs=1)
    for name, model in (("student", "tiny11.yaml"), ("teacher", "wide11.yaml")):
        own = settings | {"model": str(HERE / model)}
        execute(BOOTSTRAP, PictureConfig(**own), tmp_path / name)
    inits = {"pretrained": tmp_path / "student/best.pt", "teacher": tmp_path / "teacher/best.pt"}
    return DistillConfig(**epoch_settings(epochs=2) | inits)


def test_the_saved_student_is_a_plain_detector_and_the_teacher_is_untouched(
    config: DistillConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers = []

    def watched(*arguments):
        teachers.append(load_teacher(*arguments))
        return teachers[-1]

    monkeypatch.setattr("windhover_training.phases.distill.load_teacher", watched)
    assert execute(PHASE, config, tmp_path / "run")
    student, spec = load_weights(tmp_path / "run/best.pt")
    assert spec.model == config.model
    plain = build_model(config.model, 1, 2)
    assert student.state_dict().keys() == plain.state_dict().keys()
    before, _ = load_weights(config.teacher)
    for key, value in before.state_dict().items():
        assert torch.equal(teachers[0].state_dict()[key], value), key
    state = torch.load(tmp_path / "run/last.pt", weights_only=False)
    assert any("adapters" in key for key in state["model"])  # a resumed run needs them


def batch_of(config: DistillConfig) -> dict[str, torch.Tensor]:
    from windhover_training.data.augment.heavy import HeavySampler
    from windhover_training.data.readers.pictures import load_pictures

    pictures = load_pictures(config.data, ["train"], config.channels, config.labels)
    sampler = HeavySampler(pictures, 64, config.channels, config.augmentation, 1)
    return collate([sampler.draw(i) for i in range(4)])


def test_features_come_nearer_and_only_student_and_adapters_learn(config: DistillConfig) -> None:
    torch.manual_seed(0)
    teacher = load_teacher(config)
    student, _ = load_weights(config.pretrained)
    learner = DistillationModel(student, teacher, 1).train()
    loss_of = partial(Distillation(teacher, 0.7, None), learner)
    batch = batch_of(config)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=3e-3)
    teaching = {k: v.clone() for k, v in teacher.state_dict().items()}
    distances = []
    for _ in range(25):
        optimiser.zero_grad()
        loss, items = loss_of(batch)
        loss.backward()
        optimiser.step()
        distances.append(float(items["feature_loss"]))
    assert distances[-1] < 0.7 * distances[0]
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(teacher.state_dict()[k], v) for k, v in teaching.items())
    assert all(p.grad is not None for p in learner.adapters.parameters())
    assert [tuple(a.weight.shape[:2]) for a in learner.adapters] == [(40, 24), (48, 32), (48, 32)]


def test_the_loss_is_the_guides_mixture(config: DistillConfig) -> None:
    teacher = load_teacher(config)
    student, _ = load_weights(config.pretrained)
    learner = DistillationModel(student, teacher, 1).train()
    batch = batch_of(config)
    parts = {}
    for alpha in (0.25, 0.7):
        torch.manual_seed(0)
        loss, items = Distillation(teacher, alpha, None)(learner, batch)
        own = sum(float(items[k]) for k in ("box_loss", "cls_loss", "dfl_loss"))
        parts[alpha] = (
            float(loss.detach()),
            alpha * float(items["feature_loss"]) + (1 - alpha) * own,
        )
    for found, wanted in parts.values():
        assert found == pytest.approx(wanted, rel=1e-4)


def test_distance_does_not_depend_on_the_teachers_units() -> None:
    torch.manual_seed(0)
    mine, theirs = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(distance_of(mine, theirs), distance_of(9 * mine, 9 * theirs))
    assert float(distance_of(theirs, theirs)) == 0


def test_a_colour_teacher_looks_at_the_colours_of_rgbt(
    epoch_settings: Settings, config: DistillConfig, tmp_path: Path
) -> None:
    own = epoch_settings(3, epochs=1) | {"model": str(HERE / "wide11.yaml")}
    execute(BOOTSTRAP, PictureConfig(**own), tmp_path / "colour")
    student = epoch_settings(4, epochs=1)
    execute(BOOTSTRAP, PictureConfig(**student), tmp_path / "rgbt")
    inits = {"pretrained": tmp_path / "rgbt/best.pt", "teacher": tmp_path / "colour/best.pt"}
    assert execute(PHASE, DistillConfig(**student | inits), tmp_path / "run")
    wrong = config.model_copy(update={"teacher": tmp_path / "colour/best.pt"})
    with pytest.raises(ConfigError, match="looks at 3 channels and the student at 1"):
        load_teacher(wrong)


def test_a_teacher_may_be_a_checkpoint_of_ultralytics(
    config: DistillConfig, tmp_path: Path
) -> None:
    model = build_model(str(HERE / "wide11.yaml"), 1, 5)
    torch.save({"model": model.half(), "ema": None}, tmp_path / "theirs.pt")
    changes = {"teacher": tmp_path / "theirs.pt", "teacher_channels": 1}
    changes["teacher_model"] = str(HERE / "wide11.yaml")
    teacher = load_teacher(config.model_copy(update=changes))
    first = "model.0.conv.weight"
    torch.testing.assert_close(teacher.state_dict()[first], model.float().state_dict()[first])
    (tmp_path / "bad.pt").write_bytes(b"?")
    with pytest.raises(DataError, match="no checkpoint"):
        load_teacher(config.model_copy(update={"teacher": tmp_path / "bad.pt"}))


def test_the_student_alone_is_scored() -> None:
    student = build_model(str(HERE / "tiny11.yaml"), 1, 2)
    teacher = build_model(str(HERE / "wide11.yaml"), 1, 2)
    assert student_of(DistillationModel(student, teacher, 1)) is student
    assert student_of(student) is student

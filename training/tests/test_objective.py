"""Focal loss and class weights reach the gradient: they are no options that nobody reads."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import torch

from windhover_training.engine.batches import collate
from windhover_training.engine.model import build_model
from windhover_training.engine.objective import (
    FocalWithLogits,
    LossConfig,
    cells_in,
    detection_loss,
    set_criterion,
    set_progress,
)

pytestmark = pytest.mark.train_env

HERE = Path(__file__).parent


def model_and_batch(name: str = "tiny11.yaml"):
    torch.manual_seed(0)
    model = build_model(str(HERE / name), 1, 2).train()
    rng = np.random.default_rng(0)
    crops = [
        (
            rng.integers(0, 256, (64, 64), np.uint8),
            np.float32([[8, 8, 24, 40], [30, 30, 60, 44]]),
            np.array([0, 1]),
        )
        for _ in range(2)
    ]
    return model, collate(crops)


def gradients(config: LossConfig | None, name: str = "tiny11.yaml") -> dict[str, torch.Tensor]:
    model, batch = model_and_batch(name)
    if config is not None:
        set_criterion(model, config)
    loss, _ = detection_loss(model, batch, None)
    loss.backward()
    return {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def score_layers(name: str) -> list[str]:
    """Weights of the last layer of each class branch: rows are classes."""
    heads = ("cv3",) if name == "tiny11.yaml" else ("cv3", "one2one_cv3")
    return [f"model.6.{head}.{level}.2.weight" for head in heads for level in range(3)]


def test_the_criterion_without_options_is_ultralytics_own() -> None:
    plain, own = gradients(None), gradients(LossConfig())
    for key, value in plain.items():
        torch.testing.assert_close(own[key], value)


@pytest.mark.parametrize("name", ["tiny11.yaml", "tiny26.yaml"])
def test_focal_loss_changes_the_gradient_of_scores_and_of_no_box(name: str) -> None:
    plain, focal = gradients(None, name), gradients(LossConfig(focal=True), name)
    for key in score_layers(name):
        assert not torch.allclose(plain[key], focal[key])
        boxes = key.replace("cv3", "cv2")
        torch.testing.assert_close(focal[boxes], plain[boxes])


@pytest.mark.parametrize("name", ["tiny11.yaml", "tiny26.yaml"])
def test_a_class_weight_scales_the_gradient_of_its_class_alone(name: str) -> None:
    plain, weighted = gradients(None, name), gradients(LossConfig(class_weights=(1.0, 3.0)), name)
    for key in score_layers(name):
        torch.testing.assert_close(weighted[key][0], plain[key][0])
        torch.testing.assert_close(weighted[key][1], 3 * plain[key][1])


def test_as_many_class_weights_as_labels() -> None:
    model, _ = model_and_batch()
    with pytest.raises(ValueError, match="3 class weights for 2 labels"):
        set_criterion(model, LossConfig(class_weights=(1, 2, 3)))


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.75, 1.5)])
def test_focal_loss_of_hard_targets_is_the_papers(alpha: float, gamma: float) -> None:
    logits = torch.linspace(-6, 6, 25, dtype=torch.float64)
    found = FocalWithLogits(alpha, gamma)
    p = logits.sigmoid()
    torch.testing.assert_close(
        found(logits, torch.ones_like(logits)), -alpha * (1 - p) ** gamma * p.log()
    )
    torch.testing.assert_close(
        found(logits, torch.zeros_like(logits)), -(1 - alpha) * p**gamma * (1 - p).log()
    )


def test_focal_loss_forgets_what_is_known_and_rests_where_the_target_is_met() -> None:
    focal = FocalWithLogits(0.25, 2.0)
    easy, hard = torch.tensor([-6.0]), torch.tensor([2.0])
    zero = torch.zeros(1)
    plain = torch.nn.functional.binary_cross_entropy_with_logits
    assert focal(easy, zero) / plain(easy, zero) < 1e-4
    assert focal(hard, zero) / plain(hard, zero) > 0.5
    met = torch.tensor([0.3]).logit().requires_grad_()
    focal(met, torch.tensor([0.3])).sum().backward()
    assert abs(float(met.grad)) < 1e-6


def test_yolo26_moves_its_weight_to_the_head_without_nms() -> None:
    model, _ = model_and_batch("tiny26.yaml")
    set_criterion(model, LossConfig())
    set_progress(model, 0.0)
    first = model.criterion.o2m
    set_progress(model, 1.0)
    assert (first, model.criterion.o2m) == (0.8, pytest.approx(0.1))
    assert model.criterion.o2o == pytest.approx(0.9)


@pytest.mark.parametrize("name", ["tiny11.yaml", "tiny26.yaml"])
def test_an_object_that_is_not_judged_is_no_background(name: str) -> None:
    """Its class learns nothing in its box, and all as before elsewhere and of other classes."""
    boxes, own = np.float32([[8, 8, 24, 40]]), np.array([0])
    hidden = np.concatenate([boxes, np.float32([[40, 40, 46, 46]])]), np.array([0, ~1])

    def slope(objects) -> torch.Tensor:
        torch.manual_seed(0)
        model = build_model(str(HERE / name), 1, 2).train()
        set_criterion(model, LossConfig())
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
        batch = collate([(pixels, *objects)])
        raw = model(batch["img"])
        heads = [raw] if "scores" in raw else list(raw.values())
        scores = [head["scores"] for head in heads]
        for each in scores:
            each.retain_grad()
        model.forward = lambda _: raw
        detection_loss(model, batch, None)[0].backward()
        return torch.stack([each.grad[0] for each in scores])

    plain, left_out = slope((boxes, own)), slope(hidden)
    changed = plain != left_out
    assert not changed[:, 0].any()
    cells = sorted({int(cell) for cell in changed[:, 1].nonzero()[:, 1]})
    # Stride 8: the cell of 40..48; stride 16: that of 32..48; stride 32: that of 32..64.
    assert cells == [5 * 8 + 5, 64 + 2 * 4 + 2, 64 + 16 + 3]
    assert (left_out[:, 1, cells] == 0).all()


def test_the_mask_of_many_objects_at_once_is_that_of_each_by_itself() -> None:
    rng = np.random.default_rng(2)
    corner = rng.uniform(0, 90, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.5, 30, (40, 2))], 1)
    rows, labels = rng.integers(0, 3, (40, 1)), rng.integers(0, 4, (40, 1))
    every = torch.from_numpy(np.concatenate([rows, labels, boxes], 1)).float()
    strides, hw = (4, 8, 16), (64, 96)
    shape = (3, sum(hw[0] // s * (hw[1] // s) for s in strides), 4)
    expected = np.zeros(shape, bool)
    for row, label, x1, y1, x2, y2 in every.numpy():
        cell = 0
        for stride in strides:
            for y in range(0, hw[0], stride):
                for x in range(0, hw[1], stride):
                    meets = x + stride > x1 and x < x2 and y + stride > y1 and y < y2
                    expected[int(row), cell, int(label)] |= meets
                    cell += 1
    mask = cells_in(every, shape[0], shape[2], strides, hw)
    assert mask is not None
    np.testing.assert_array_equal(mask.numpy(), expected)
    assert cells_in(every[:0], shape[0], shape[2], strides, hw) is None

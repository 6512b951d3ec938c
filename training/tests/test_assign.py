"""Cells for small objects that lie inside others."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import torch
from ultralytics.utils.tal import TaskAlignedAssigner

from windhover_training.engine.assign import NestedAssigner, closeness
from windhover_training.engine.fusion import RgbtModel

pytestmark = pytest.mark.train_env

SETTINGS = {"topk": 10, "num_classes": 2, "alpha": 0.5, "beta": 6.0, "stride": [8, 16, 32]}
PERSON, WEAPON = [40.0, 30.0, 54.0, 62.0], [36.0, 40.0, 56.0, 45.0]


def assign(assigner: TaskAlignedAssigner, boxes: list[list[float]], predicted: list[float]):
    """Cells of each object and its best target score, on a 96 px crop at stride 8."""
    ys, xs = torch.meshgrid(*[torch.arange(12) * 8 + 4.0] * 2, indexing="ij")
    points = torch.stack([xs, ys], -1).view(-1, 2)
    scores = torch.full((1, len(points), 2), 1e-3)
    scores[..., 0] = 0.6
    everywhere = torch.tensor(predicted).expand(1, len(points), 4).clone()
    truth = torch.tensor(boxes)[None]
    labels = torch.arange(len(boxes)).float().view(1, -1, 1)
    _, _, targets, taken, owner = assigner(
        scores, everywhere, points, labels, truth, torch.ones(1, len(boxes), 1)
    )
    cells = [int((taken & (owner == i)).sum()) for i in range(len(boxes))]
    return cells, [float(targets[0, :, i].max()) for i in range(len(boxes))]


def test_a_weapon_inside_a_known_person_is_taught() -> None:
    plain, _ = assign(TaskAlignedAssigner(**SETTINGS), [PERSON, WEAPON], PERSON)
    assert plain[1] == 0  # what this is for
    cells, targets = assign(NestedAssigner(**SETTINGS), [PERSON, WEAPON], PERSON)
    assert min(cells) >= 2
    assert targets[0] > 0.9
    assert 0.05 < targets[1] < 0.5


def test_objects_of_like_size_are_shared_as_before() -> None:
    beside = [PERSON, [46.0, 30.0, 60.0, 62.0]]
    plain = assign(TaskAlignedAssigner(**SETTINGS), beside, PERSON)[0]
    assert assign(NestedAssigner(**SETTINGS), beside, PERSON)[0][0] >= plain[0] - 2


def test_closeness_is_one_for_equal_boxes_and_falls_with_distance() -> None:
    box = torch.tensor([WEAPON])
    assert closeness(box, box).item() == 1
    near, far = (closeness(box, box + shift).item() for shift in (2.0, 20.0))
    assert 1 > near > far > 0


def test_the_rgbt_model_trains_with_it() -> None:
    assert isinstance(
        RgbtModel("yolo11n.yaml", 4, "early").init_criterion().assigner, NestedAssigner
    )

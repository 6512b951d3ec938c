"""Feature distillation: a student whose feature maps are led towards a teacher's.

The maps that a detector's head takes (P3, P4, P5) are compared where student and teacher
have the same stride. A 1x1 convolution for each makes as many channels of the student's as
the teacher has; it is trained with the student and thrown away with the teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from ultralytics.nn.tasks import DetectionModel

from windhover.errors import ConfigError

from .objective import in_float32

_PROBE = 64  # px, side of the image that shows how many channels the maps have


class DistillationModel(nn.Module):
    """A student and its adapters: what is trained and averaged.

    Attributes:
        student: the detector.
        adapters: one 1x1 convolution a level.
    """

    def __init__(self, student: DetectionModel, teacher: DetectionModel, channels: int) -> None:
        """Make the adapters.

        Args:
            student: to be trained.
            teacher: only looked at, for its widths.
            channels: of the student's images.

        Raises:
            ConfigError: the two have no stride in common.
        """
        super().__init__()
        self.student = student
        device = next(student.parameters()).device
        images = torch.zeros(1, channels, _PROBE, _PROBE, device=device)
        pairs = paired(maps_of(student, images), maps_of(teacher, teacher_view(teacher, images)))
        if not pairs:
            raise ConfigError("student and teacher have no stride in common; use another teacher")
        self.adapters = nn.ModuleList(
            nn.Conv2d(mine.shape[1], theirs.shape[1], 1, bias=False) for mine, theirs in pairs
        ).to(device)

    @property
    def criterion(self) -> Any:
        """The student's loss, whose weights may move with the training."""
        return self.student.criterion


class Distillation:
    """The loss: ``alpha`` times the distance of features, the rest the student's own.

    The distance is the mean square of adapted student minus teacher, divided by the
    variance of the teacher's map, so that levels count alike and a teacher with large
    activations counts no more than one with small ones; summed over levels.
    """

    def __init__(self, teacher: DetectionModel, alpha: float, autocast: torch.dtype | None) -> None:
        """Freeze the teacher.

        Args:
            teacher: on the student's device; set to eval mode, its weights get no gradient.
            alpha: part of the feature distance, 0..1.
            autocast: short float type for both, or None.
        """
        self.teacher = teacher.eval()
        for parameter in teacher.parameters():
            parameter.requires_grad_(False)
        self.alpha, self.autocast = alpha, autocast

    def __call__(
        self, learner: DistillationModel, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch and its detached parts."""
        images = batch["img"]
        short = torch.autocast(
            images.device.type, dtype=self.autocast, enabled=self.autocast is not None
        )
        with short:
            raw = learner.student(images)
        own, items = learner.student.loss(batch, in_float32(raw))
        with torch.no_grad(), short:
            theirs = maps_of(self.teacher, teacher_view(self.teacher, images))
        pairs = paired(feature_maps(raw), theirs)
        distance = sum(
            (
                distance_of(adapter(mine.float()), other.float())
                for adapter, (mine, other) in zip(learner.adapters, pairs, strict=True)
            ),
            torch.zeros((), device=images.device),
        )
        loss = self.alpha * distance + (1 - self.alpha) * own.sum() / len(images)
        return loss, {**items, "feature_loss": distance.detach()}


def distance_of(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Mean square difference in units of the teacher's variance."""
    return nn.functional.mse_loss(mine, theirs) / theirs.var().clamp(min=1e-6)


def feature_maps(raw: dict[str, Any]) -> Sequence[torch.Tensor]:
    """The maps that a head took, from its raw predictions."""
    maps: Sequence[torch.Tensor] = raw.get("one2many", raw)["feats"]
    return maps


def maps_of(model: DetectionModel, images: torch.Tensor) -> Sequence[torch.Tensor]:
    """The maps that a model's head takes for some images, without a gradient."""
    was = model.training
    with torch.no_grad():
        raw = model.eval()(images)[1]
    model.train(was)
    return feature_maps(raw)


def paired(
    mine: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Maps of the same size, which are those of the same stride."""
    by_size = {tuple(other.shape[2:]): other for other in theirs}
    return [(m, by_size[tuple(m.shape[2:])]) for m in mine if tuple(m.shape[2:]) in by_size]


def teacher_view(teacher: DetectionModel, images: torch.Tensor) -> torch.Tensor:
    """The channels that a teacher looks at: of B, G, R, T it may know the colours or T alone."""
    wanted = getattr(teacher, "image_channels", images.shape[1])
    if wanted == images.shape[1]:
        return images
    return images[:, 3:] if wanted == 1 else images[:, :wanted]

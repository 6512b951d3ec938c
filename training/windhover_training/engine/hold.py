"""A term that keeps a network's class scores near a teacher's, beside any other objective.

Few pictures may be trained on, and they label few classes. What the start knows beyond them is
lost while other things are learnt, so class scores are held near those of a teacher: those of
our own labels that it knows, and all of its own, where the hidden layers of the head still give
them (Li and Hoiem, "Learning without Forgetting", ECCV 2016).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional
from ultralytics.nn.tasks import DetectionModel

from windhover.errors import ConfigError

from ..training_config import HoldConfig
from .distill import teacher_view
from .learner import student_of
from .objective import Objective

_COLOURS, _BOTH_CAMERAS = 3, 4


@dataclass
class Seen:
    """What a forward pass of a detector gave.

    Attributes:
        scores: ``(B, labels, cells)`` logits.
        hidden: what its class layers took at each stride, ``(B, C, h, w)``; empty where its
            head is not known, as of a quantised one.
    """

    scores: torch.Tensor | None = None
    hidden: list[torch.Tensor] = field(default_factory=list)


@contextmanager
def watched(model: torch.nn.Module) -> Iterator[Seen]:
    """Watch the next forward pass of a detector that is trained, or of one in eval mode."""
    seen = Seen()

    def keep_scores(_: object, __: object, output: Any) -> None:
        raw = output[1] if isinstance(output, tuple) else output
        seen.scores = raw["scores"]

    def keep_hidden(_: object, inputs: tuple[torch.Tensor]) -> None:
        seen.hidden.append(inputs[0])

    hooks = [model.register_forward_hook(keep_scores)]
    if isinstance(model, DetectionModel):
        hooks += [each[-1].register_forward_pre_hook(keep_hidden) for each in model.model[-1].cv3]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


class Holder:
    """A teacher's scores, and the loss of a model that moves away from them."""

    def __init__(
        self,
        teacher: DetectionModel,
        layers: Sequence[Any],
        rows: Mapping[str, Sequence[int]],
        labels: Sequence[str],
        config: HoldConfig,
        *,
        marked: bool = False,
    ) -> None:
        """Prepare what is held.

        Args:
            teacher: it is not trained.
            layers: its last class layers, one a stride.
            rows: for each label that it knows its rows there, the nearest first.
            labels: of the model that is held.
            config: how strongly each class is held.
            marked: whether only images are held that their sampler marks, real RGB pictures, else
                all are. Of both cameras the teacher sees those with thermal blank.

        Raises:
            ConfigError: the teacher's head has two branches, or there is nothing to hold.
        """
        if hasattr(teacher.model[-1], "one2one_cv3"):
            raise ConfigError("hold: a head of YOLO26 has two branches; it can't be held")
        self.teacher = teacher.eval().requires_grad_(False)
        self.config, self._layers, self._marked = config, layers, marked
        known = [label for label in labels if label in rows]
        if not known and not config.others:
            raise ConfigError(f"hold: the teacher knows none of {', '.join(labels)}")
        self._own = [labels.index(label) for label in known]
        self._rows = [list(rows[label]) for label in known]
        own_strength = [config.labels.get(label, 1.0) for label in known]
        device = next(teacher.parameters()).device
        self._own_strength = torch.tensor(own_strength, device=device)
        self._strength = torch.full((len(layers[0].bias),), config.others, device=device)
        for its, value in zip(self._rows, own_strength, strict=True):
            self._strength[its] = value

    def around(self, objective: Objective) -> Objective:
        """An objective, and the distance from the teacher beside it."""

        def held(
            learner: torch.nn.Module, batch: dict[str, torch.Tensor]
        ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            images = batch["img"]
            with watched(student_of(learner)) as seen:
                loss, items = objective(learner, batch)
            assert seen.scores is not None
            rows = torch.arange(len(images), device=images.device)
            away = self.distance(
                images, seen.scores, seen.hidden, batch["held"] if self._marked else rows
            ) / len(images)
            return loss + self.config.weight * away, {**dict(items), "hold": away.detach()}

        return held

    def distance(
        self,
        images: torch.Tensor,
        scores: torch.Tensor,
        hidden: Sequence[torch.Tensor],
        rows: torch.Tensor,
    ) -> torch.Tensor:
        """How far the scores of some images are from the teacher's, as a divergence.

        A label of ours that is several of the teacher's is held near the highest of these. A
        finer level than the teacher's has nothing to be held near.

        Args:
            images: ``(B, C, H, W)`` in 0..1.
            scores: ``(B, labels, cells)`` logits of the model in training.
            hidden: what its class layers take at each stride, ``(B, C, h, w)``, or nothing.
            rows: of the images that are held.
        """
        if not len(rows):
            return scores.new_zeros(())
        shown = images[rows]
        if self._marked and shown.shape[1] == _BOTH_CAMERAS:
            shown[:, _COLOURS:] = 0
        held = self._wanted(teacher_view(self.teacher, shown))
        # Finest first: what one of them lacks is at the beginning.
        levels = min(len(self._layers), len(hidden) or len(self._layers))
        held, layers = held[-levels:], self._layers[-levels:]
        news = list(hidden)[-levels:] or [None] * levels
        sizes = [wanted[0, 0].numel() for wanted in held]
        first = scores.shape[2] - sum(sizes)
        total = scores.new_zeros((), dtype=torch.float32)
        for layer, wanted, new, size in zip(layers, held, news, sizes, strict=True):
            if new is not None and new.shape[1] == layer.in_channels:
                now = layer(new[rows].float())
                total = total + (_divergence(now, wanted).sum((0, 2, 3)) * self._strength).sum()
            if self._own:
                own = scores[rows][:, self._own, first : first + size].float()
                target = torch.stack([wanted[:, its].amax(1) for its in self._rows], 1).flatten(2)
                total = total + (_divergence(own, target).sum((0, 2)) * self._own_strength).sum()
            first += size
        return total

    def _wanted(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The teacher's scores at each stride, ``(B, classes, h, w)`` in 0..1, finest first.

        Of a picture at twice its size, the cells of a stride are where those of half the stride
        are as it is: what is small is found there, and held where the model is to find it
        (Qi et al., "Multi-Scale Aligned Distillation for Low-Resolution Detection", CVPR 2021).
        """
        wanted = self._scores(images)
        if not self.config.enlarged:
            return wanted
        large = self._scores(functional.interpolate(images, scale_factor=2, mode="bilinear"))
        finest = torch.maximum(functional.max_pool2d(large[0], 2), large[1])
        larger = [finest, *large[2:], wanted[-1]]  # the coarsest stride has nothing above it
        return [torch.maximum(a, b) for a, b in zip(wanted, larger, strict=True)]

    @torch.no_grad()
    def _scores(self, images: torch.Tensor) -> list[torch.Tensor]:
        with watched(self.teacher) as seen:
            self.teacher(images)
        pairs = zip(self._layers, seen.hidden[-len(self._layers) :], strict=True)
        return [layer(hidden.float()).sigmoid() for layer, hidden in pairs]


def _divergence(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of scores from wanted ones, element by element."""
    cross = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return cross - functional.binary_cross_entropy(wanted, wanted, reduction="none")

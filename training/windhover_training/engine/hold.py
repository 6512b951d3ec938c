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
from .objective import Objective, cells_in

_COLOURS, _BOTH_CAMERAS = 3, 4


@dataclass
class Seen:
    """What a forward pass of a detector gave.

    Attributes:
        scores: ``(B, labels, cells)`` logits.
        boxes: ``(B, 4 * bins, cells)`` logits of the four distances in cells of the stride.
        hidden: what its class layers took at each stride, ``(B, C, h, w)``; empty where its
            head is not known, as of a quantised one.
    """

    scores: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    hidden: list[torch.Tensor] = field(default_factory=list)


@contextmanager
def watched(model: torch.nn.Module) -> Iterator[Seen]:
    """Watch the next forward pass of a detector that is trained, or of one in eval mode."""
    seen = Seen()

    def keep_scores(_: object, __: object, output: Any) -> None:
        raw = output[1] if isinstance(output, tuple) else output
        seen.scores, seen.boxes = raw["scores"], raw["boxes"]

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


@dataclass(frozen=True)
class _Fine:
    """What a teacher finds at twice the size, at its finest stride.

    Attributes:
        scores: ``(B, classes, h, w)`` in 0..1.
        boxes: ``(B, 4 * bins, h * w)`` logits.
    """

    scores: torch.Tensor
    boxes: torch.Tensor


def taught(
    batch: Mapping[str, torch.Tensor], scores: torch.Tensor, coarsest: int
) -> torch.Tensor | None:
    """Which scores of which cells an object's label teaches.

    Args:
        batch: of :func:`.batches.collate`.
        scores: ``(B, labels, cells)`` of the model in training; a quantised one does not say its
            strides, but they halve from the coarsest down.
        coarsest: stride, pixels.

    Returns:
        Bool ``(B, cells, labels)``; None where nothing is labelled.
    """
    height, width = batch["img"].shape[2:]
    images, labels, cells = scores.shape
    strides = [coarsest]
    while sum((height // s) * (width // s) for s in strides) < cells:
        strides.insert(0, strides[0] // 2)
    middle, half = batch["bboxes"][:, :2], batch["bboxes"][:, 2:] / 2
    corners = torch.cat([middle - half, middle + half], 1)
    corners = corners * corners.new_tensor([width, height, width, height])
    objects = torch.cat([batch["batch_idx"][:, None], batch["cls"], corners], 1)
    return cells_in(objects, images, labels, strides, (height, width))


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
            everyone = torch.arange(len(images), device=images.device)
            rows = batch["held"] if self._marked else everyone
            assert seen.scores is not None
            free = taught(batch, seen.scores, int(max(self.teacher.stride)))
            away = self.distance(images, seen, rows, free) / len(images)
            return loss + self.config.weight * away, {**dict(items), "hold": away.detach()}

        return held

    def distance(
        self,
        images: torch.Tensor,
        seen: Seen,
        rows: torch.Tensor,
        labelled: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """How far the scores of some images are from the teacher's, as a divergence.

        A label of ours that is several of the teacher's is held near the highest of these. A
        finer level than the teacher's is held near its finest one at twice the size, where the
        cells are as large: in scores and, where the teacher finds something, in boxes.

        Args:
            images: ``(B, C, H, W)`` in 0..1.
            seen: what the model in training gave for them.
            rows: of the images that are held.
            labelled: ``(B, cells, labels)``, where an object is (:func:`taught`). There its class
                is learnt from the label, which a teacher that misses it contradicts.
        """
        scores = seen.scores
        assert scores is not None
        if not len(rows):
            return scores.new_zeros(())
        shown = images[rows]
        if self._marked and shown.shape[1] == _BOTH_CAMERAS:
            shown[:, _COLOURS:] = 0
        held, fine = self._wanted(teacher_view(self.teacher, shown))
        # Finest first: what one of them lacks is at the beginning.
        levels = min(len(self._layers), len(seen.hidden) or len(self._layers))
        held, layers = held[-levels:], self._layers[-levels:]
        news = seen.hidden[-levels:] or [None] * levels
        sizes = [wanted[0, 0].numel() for wanted in held]
        finer = scores.shape[2] - sum(sizes)
        first, total = finer, scores.new_zeros((), dtype=torch.float32)
        free = torch.zeros_like(scores[rows], dtype=torch.bool)
        if labelled is not None:
            free = labelled[rows].transpose(1, 2)
        for layer, wanted, new, size in zip(layers, held, news, sizes, strict=True):
            if new is not None and new.shape[1] == layer.in_channels:
                away = _divergence(layer(new[rows].float()), wanted).flatten(2)
                for label, its in zip(self._own, self._rows, strict=True):
                    away[:, its] = away[:, its] * ~free[:, label, None, first : first + size]
                total = total + (away.sum((0, 2)) * self._strength).sum()
            part = slice(first, first + size)
            total = total + self._own_distance(scores[rows, :, part], wanted, free[:, :, part])
            first += size
        if fine is not None and fine.scores[0, 0].numel() == finer:
            total = total + self._own_distance(
                scores[rows, :, :finer], fine.scores, free[:, :, :finer]
            )
            assert seen.boxes is not None
            total = total + self._box_distance(seen.boxes[rows, :, :finer], fine)
        return total

    def _own_distance(
        self, scores: torch.Tensor, wanted: torch.Tensor, free: torch.Tensor
    ) -> torch.Tensor:
        """Distance of our labels' logits of a level, ``(B, labels, cells)``, where not free."""
        if not self._own:
            return scores.new_zeros((), dtype=torch.float32)
        own = scores[:, self._own].float()
        away = _divergence(own, self._targets(wanted)) * ~free[:, self._own]
        return (away.sum((0, 2)) * self._own_strength).sum()

    def _targets(self, wanted: torch.Tensor) -> torch.Tensor:
        """What our labels are to have of the teacher's scores, ``(B, own, cells)``."""
        return torch.stack([wanted[:, its].amax(1) for its in self._rows], 1).flatten(2)

    def _box_distance(self, boxes: torch.Tensor, fine: _Fine) -> torch.Tensor:
        """Distance of a level's box logits, the more of it counts the surer the teacher is."""
        sure = self._targets(fine.scores).amax(1) if self._own else fine.scores.flatten(2).amax(1)
        shape = (len(boxes), 4, -1, boxes.shape[2])
        now = boxes.float().reshape(shape).log_softmax(2)
        away = functional.kl_div(now, fine.boxes.reshape(shape).softmax(2), reduction="none")
        return (away.sum(2).mean(1) * sure).sum()

    def _wanted(self, images: torch.Tensor) -> tuple[list[torch.Tensor], _Fine | None]:
        """The teacher's scores at each stride, ``(B, classes, h, w)`` in 0..1, finest first.

        Of a picture at twice its size, the cells of a stride are where those of half the stride
        are as it is: what is small is found there, and held where the model is to find it
        (Qi et al., "Multi-Scale Aligned Distillation for Low-Resolution Detection", CVPR 2021).

        Returns:
            Those; and what a level of half the finest stride is to give, where the teacher
            looks at twice the size.
        """
        wanted, _ = self._look(images)
        if not self.config.enlarged:
            return wanted, None
        twice = functional.interpolate(images, scale_factor=2, mode="bilinear")
        large, boxes = self._look(twice)
        finest = torch.maximum(functional.max_pool2d(large[0], 2), large[1])
        larger = [finest, *large[2:], wanted[-1]]  # the coarsest stride has nothing above it
        both = [torch.maximum(a, b) for a, b in zip(wanted, larger, strict=True)]
        return both, _Fine(large[0], boxes[:, :, : large[0][0, 0].numel()])

    @torch.no_grad()
    def _look(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The teacher's scores at each stride, finest first, and its box logits."""
        with watched(self.teacher) as seen:
            self.teacher(images)
        pairs = zip(self._layers, seen.hidden[-len(self._layers) :], strict=True)
        scores = [layer(hidden.float()).sigmoid() for layer, hidden in pairs]
        cells = sum(level[0, 0].numel() for level in scores)
        assert seen.boxes is not None
        return scores, seen.boxes[:, :, -cells:].float()


def _divergence(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of scores from wanted ones, element by element."""
    cross = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return cross - functional.binary_cross_entropy(wanted, wanted, reduction="none")

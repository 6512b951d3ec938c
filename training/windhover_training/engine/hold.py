"""Keeps a network that started as stock near stock on real RGB pictures.

Few real pictures may be trained on, and they label few classes. What stock knows beyond
them is lost while other things are learnt, so on crops of real RGB the class scores are
held near those of the start: all 80 of stock's, which the hidden layers of the head still
give, and those of our own labels (Li and Hoiem, "Learning without Forgetting", ECCV 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from ultralytics.nn.tasks import DetectionModel

from ..fusion_config import HoldConfig
from .fusion import RgbtModel
from .objective import Objective, in_float32, leave_out
from .stock import COCO_ROWS, class_layers
from .warm_start import Weights


class Holder:
    """The start's scores, and the loss of a model that moves away from them."""

    def __init__(
        self, start: RgbtModel, weights: Weights, labels: Sequence[str], config: HoldConfig
    ) -> None:
        """Prepare what is held.

        Args:
            start: network as it started (:func:`.stock.begin_as_stock`); it is not trained.
            weights: stock's, which it started from.
            labels: of the network.
            config: how strongly each class is held.
        """
        self.start = start.eval().requires_grad_(False)
        self.config = config
        self._last = class_layers(weights)
        known = [label for label in labels if label in COCO_ROWS]
        self._own = [labels.index(label) for label in known]
        self._stock = [list(COCO_ROWS[label]) for label in known]
        own_strength = [config.labels.get(label, 1.0) for label in known]
        self._own_strength = torch.tensor(own_strength)
        self._strength = torch.full((len(self._last[0].bias),), config.others)
        for rows, value in zip(self._stock, own_strength, strict=True):
            self._strength[rows] = value

    def objective(self, autocast: torch.dtype | None) -> Objective:
        """What is minimised: the detection loss, and the distance from the start."""

        def held(
            model: Any, batch: dict[str, torch.Tensor]
        ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            images = batch["img"]
            with torch.autocast(images.device.type, dtype=autocast, enabled=autocast is not None):
                raw, hidden = forward_with_hidden(model, images)
            raw = in_float32(raw)
            leave_out(model, batch)
            parts, items = model.loss(batch, raw)
            away = self.distance(images, raw["scores"], hidden, batch["held"])
            total = parts.sum() / len(images) + self.config.weight * away / len(images)
            return total, {**dict(items), "hold": away.detach() / len(images)}

        return held

    def distance(
        self,
        images: torch.Tensor,
        scores: torch.Tensor,
        hidden: Sequence[torch.Tensor],
        rows: torch.Tensor,
    ) -> torch.Tensor:
        """How far the scores of some images are from the start's, as a divergence.

        A label of ours that is several of stock's is held near the highest of these. A finer
        level than stock's has nothing to be held near.

        Args:
            images: ``(B, 4, H, W)`` in 0..1.
            scores: ``(B, labels, cells)`` logits of the model in training.
            hidden: what its class layers take at each stride, ``(B, C, h, w)``.
            rows: of the images that are held.
        """
        if not len(rows):
            return scores.new_zeros(())
        with torch.no_grad():
            _, before = forward_with_hidden(self.start, images[rows])
        more = len(hidden) - len(self._last)
        total, first = scores.new_zeros(()), sum(each[0, 0].numel() for each in hidden[:more])
        for layer, old, new in zip(self._last, before[more:], hidden[more:], strict=True):
            wanted = layer(old.float()).sigmoid()
            now = layer(new[rows].float())
            total = total + (_divergence(now, wanted).sum((0, 2, 3)) * self._strength).sum()
            cells = old.shape[2] * old.shape[3]
            own = scores[rows][:, self._own, first : first + cells].float()
            target = torch.stack([wanted[:, each].amax(1) for each in self._stock], 1).flatten(2)
            total = total + (_divergence(own, target).sum((0, 2)) * self._own_strength).sum()
            first += cells
        return total


def forward_with_hidden(
    model: DetectionModel, images: torch.Tensor
) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """Raw predictions as Ultralytics' loss takes them, and what the last class layers took."""
    head = model.model[-1]
    sources = model.neck(images)
    hidden = [branch[:-1](source) for branch, source in zip(head.cv3, sources, strict=True)]
    scores = [branch[-1](x) for branch, x in zip(head.cv3, hidden, strict=True)]
    boxes = [branch(source) for branch, source in zip(head.cv2, sources, strict=True)]
    raw = {
        "boxes": torch.cat([each.flatten(2) for each in boxes], 2),
        "scores": torch.cat([each.flatten(2) for each in scores], 2),
        # Looked at for their shapes only.
        "feats": scores,
    }
    return raw, hidden


def _divergence(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of scores from wanted ones, element by element."""
    cross = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return cross - functional.binary_cross_entropy(wanted, wanted, reduction="none")

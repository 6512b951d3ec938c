"""What is minimised: Ultralytics' detection loss, with focal weighting where asked for.

Ultralytics has no argument for a focal loss. Its criterion keeps the element-wise
classification loss in an attribute, so that is what is replaced; assignment,
box and distribution losses stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ultralytics.nn.tasks import DetectionModel

from ..config import LossConfig

#: Model and batch -> the loss to minimise (mean over the batch) and its detached parts.
Objective = Callable[
    [torch.nn.Module, dict[str, torch.Tensor]], tuple[torch.Tensor, dict[str, torch.Tensor]]
]


class MaskedClassificationLoss(torch.nn.Module):
    """A classification loss that is zero where an object is that is not to be judged.

    Too small or too hidden an object is neither taught nor background: cells in its box
    have no loss for its class, unless another object claims them.
    """

    def __init__(self, plain: torch.nn.Module) -> None:
        super().__init__()
        self.plain = plain
        #: ``(B, cells, classes)``, true where nothing is judged; set before each loss.
        self.unjudged: torch.Tensor | None = None

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each element, the same shape as ``logits``."""
        loss: torch.Tensor = self.plain(logits, targets)
        if self.unjudged is None:
            return loss
        return loss.masked_fill(self.unjudged & (targets == 0), 0.0)


def cells_in(
    objects: torch.Tensor,
    images: int,
    classes: int,
    strides: Sequence[int],
    hw: tuple[int, int],
) -> torch.Tensor | None:
    """Which scores of which cells lie in objects: of their class, wherever a box meets a cell.

    Args:
        objects: ``(K, 6)`` row in the batch, class, x1, y1, x2, y2 in pixels.
        images: of the batch.
        classes: of the scores.
        strides: of the head, in the order of its cells.
        hw: height and width of the images, pixels.

    Returns:
        Bool ``(images, cells, classes)``, or None if there is no object.
    """
    if not len(objects):
        return None
    middles, reach = [], []
    for stride in strides:
        rows, columns = (torch.arange(side // stride, device=objects.device) for side in hw)
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).reshape(-1, 2)
        middles.append((grid + 0.5) * stride)
        reach.append(torch.full((len(grid), 1), stride / 2, device=objects.device))
    middle, half = torch.cat(middles), torch.cat(reach)
    corners = objects[:, None, 2:]
    meets = (middle + half > corners[..., :2]) & (middle - half < corners[..., 2:])
    # All objects at once, and without a value that the host would have to wait for.
    place = (objects[:, 0] * classes + objects[:, 1]).long()
    counts = torch.zeros((images * classes, len(middle)), dtype=torch.int32, device=objects.device)
    counts.index_add_(0, place, meets.all(-1).int())
    return counts.view(images, classes, -1).transpose(1, 2) > 0


class FocalWithLogits(torch.nn.Module):
    """Focal loss of logits against soft targets, element-wise.

    For a target of 0 or 1 it is ``-alpha_t (1 - p_t)^gamma log(p_t)``. The assigner's targets
    lie between: there ``|target - p|^gamma`` stands for ``(1 - p_t)^gamma``, which is the same
    at both ends and zero where the target is met (as in Li et al., NeurIPS 2020, eq. 4).
    """

    def __init__(self, alpha: float, gamma: float) -> None:
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each element, the same shape as ``logits``."""
        plain = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, targets, reduction="none"
        )
        away = (targets - logits.sigmoid()).abs().pow(self.gamma)
        balance = targets * self.alpha + (1 - targets) * (1 - self.alpha)
        return balance * away * plain


def set_criterion(model: DetectionModel, config: LossConfig) -> None:
    """Give a model its loss; without this it has Ultralytics' own.

    Args:
        model: built by :func:`.model.build_model`, on the device it is trained on.
        config: which.

    Raises:
        ValueError: there is not one class weight a label.
    """
    head = model.model[-1]
    if config.class_weights and len(config.class_weights) != head.nc:
        raise ValueError(f"{len(config.class_weights)} class weights for {head.nc} labels")
    criterion = model.init_criterion()
    for part in _detection_losses(criterion):
        plain = FocalWithLogits(config.alpha, config.gamma) if config.focal else part.bce
        part.bce = MaskedClassificationLoss(plain)
        if config.class_weights:
            weights = torch.tensor(config.class_weights, device=part.device)
            part.class_weights = weights.view(1, 1, -1)
    model.criterion = criterion


def _detection_losses(criterion: Any) -> Sequence[Any]:
    """YOLO26 has a loss for each of its two heads."""
    if hasattr(criterion, "one2many"):
        return criterion.one2many, criterion.one2one
    return (criterion,)


def set_progress(model: torch.nn.Module, done: float) -> None:
    """Move YOLO26's weight from its one-to-many to its one-to-one head.

    Args:
        model: with its criterion; others than YOLO26 are left alone.
        done: part of the training that is done, 0..1.
    """
    criterion = getattr(model, "criterion", None)
    if criterion is not None and hasattr(criterion, "o2m_copy"):
        criterion.o2m = criterion.o2m_copy + done * (criterion.final_o2m - criterion.o2m_copy)
        criterion.o2o = criterion.total - criterion.o2m


def detection_loss(
    model: DetectionModel,
    batch: dict[str, torch.Tensor],
    autocast: torch.dtype | None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Run forward in a short float type if asked, and the loss always in float32.

    Returns:
        The loss to minimise (mean over the batch) and its detached parts.
    """
    images = batch["img"]
    with torch.autocast(images.device.type, dtype=autocast, enabled=autocast is not None):
        raw = model(images)
    leave_out(model, batch)
    parts, items = model.loss(batch, in_float32(raw))
    return parts.sum() / len(images), items


def leave_out(model: DetectionModel, batch: dict[str, torch.Tensor]) -> None:
    """Tell the model's criterion which cells of a batch are not judged."""
    criterion, ignored = getattr(model, "criterion", None), batch.get("ignored")
    if criterion is None or ignored is None:
        return
    hw = (int(batch["img"].shape[2]), int(batch["img"].shape[3]))
    strides = [int(s) for s in model.stride]
    mask = cells_in(ignored, len(batch["img"]), model.model[-1].nc, strides, hw)
    for part in _detection_losses(criterion):
        if isinstance(part.bce, MaskedClassificationLoss):
            part.bce.unjudged = mask


def in_float32(raw: dict[str, Any]) -> dict[str, Any]:
    """A head's raw predictions, boxes and scores as float32; YOLO26's for both its heads."""
    if "one2many" in raw:
        return {name: in_float32(part) for name, part in raw.items()}
    return {**raw, "boxes": raw["boxes"].float(), "scores": raw["scores"].float()}

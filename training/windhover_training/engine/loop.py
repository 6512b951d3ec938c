"""A compact detector training loop: crops in, averaged weights out, resumable to the step.

Progress counts steps, never wall time: a run that is stopped with SIGSTOP and continued,
or killed and started again, follows the same schedule. Randomness is drawn per step from
the seed and the step number, so a resumed run sees the crops it would have seen.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ultralytics.nn.tasks import DetectionModel

from ..config import Optimisation
from ..runs import Run

Crop = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]
DrawBatch = Callable[[int], list[Crop]]


def learning_rate(step: int, o: Optimisation) -> float:
    """Linear warm-up, then a cosine from ``lr`` to ``final_lr``."""
    if step < o.warmup:
        return o.lr * (step + 1) / o.warmup
    progress = min(1.0, (step - o.warmup) / max(1, o.steps - o.warmup))
    return o.final_lr + (o.lr - o.final_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def collate(crops: Iterable[Crop]) -> dict[str, torch.Tensor]:
    """Stack crops into the batch that Ultralytics' detection loss takes.

    Returns:
        ``img`` (B, 1, S, S) float 0..1 channels-last, ``batch_idx`` (M,), ``cls`` (M, 1)
        and ``bboxes`` (M, 4) as centre x, y, width, height in 0..1.
    """
    images, index, classes, boxes = [], [], [], []
    for i, (pixels, xyxy, labels) in enumerate(crops):
        size = pixels.shape[0]
        images.append(torch.from_numpy(pixels)[None])
        centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
        boxes.append(np.concatenate([centre, xyxy[:, 2:] - xyxy[:, :2]], axis=1) / size)
        classes.append(labels)
        index.append(np.full(len(labels), i))
    stacked = torch.stack(images).float().div_(255)
    return {
        "img": stacked.contiguous(memory_format=torch.channels_last),
        "batch_idx": torch.from_numpy(np.concatenate(index)).float(),
        "cls": torch.from_numpy(np.concatenate(classes)).float()[:, None],
        "bboxes": torch.from_numpy(np.concatenate(boxes)).float(),
    }


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for convolution kernels only, not for biases and normalisation."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


class Averaged:
    """Exponential moving average of a model's weights, with a fast start."""

    def __init__(self, model: DetectionModel, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self.decay = decay
        self.updates = 0
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: DetectionModel) -> None:
        """Move the average towards ``model``."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / 200))
        source = model.state_dict()
        for name, value in self.model.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(source[name].detach(), 1 - decay)
            else:
                value.copy_(source[name])


def loss_of(
    model: DetectionModel, batch: dict[str, torch.Tensor], bfloat16: bool
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Run forward in bfloat16 if asked, and the loss always in float32.

    Returns:
        The loss to minimise (mean over the batch) and its detached parts.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        raw = model(batch["img"])
    predictions = {
        "boxes": raw["boxes"].float(),
        "scores": raw["scores"].float(),
        "feats": raw["feats"],
    }
    parts, items = model.loss(batch, predictions)
    return parts.sum() / len(batch["img"]), items


def train(
    model: DetectionModel,
    draw: DrawBatch,
    o: Optimisation,
    run: Run,
    checkpoint_seconds: float,
    report: Callable[[str], None] = print,
) -> DetectionModel:
    """Train until ``o.steps`` are done, going on from the run's checkpoint if it has one.

    Args:
        model: trained in place.
        draw: step number -> the step's crops; must depend on the step alone.
        o: optimisation settings.
        run: where the log and checkpoints go.
        checkpoint_seconds: a checkpoint is written at least this often.
        report: receives progress lines.

    Returns:
        The averaged model, in eval mode.
    """
    model.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(parameter_groups(model, o.weight_decay), lr=o.lr)
    averaged = Averaged(model, o.ema)
    first = 0
    state = run.load()
    if state is not None:
        model.load_state_dict(state["model"])
        averaged.model.load_state_dict(state["ema"])
        averaged.updates = state["updates"]
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
        report(f"going on from step {first}")

    def save(step: int) -> None:
        run.save(
            {
                "model": model.state_dict(),
                "ema": averaged.model.state_dict(),
                "updates": averaged.updates,
                "optimiser": optimiser.state_dict(),
                "step": step,
            }
        )

    saved = started = time.monotonic()
    for step in range(first, o.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, o)
        loss, items = loss_of(model, collate(draw(step)), o.bfloat16)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), o.clip_norm)
        if not torch.isfinite(norm):
            run.log({"step": step, "skipped": "gradient is not finite"})
            continue
        optimiser.step()
        averaged.update(model)
        if step % 20 == 0:
            seconds = (time.monotonic() - started) / (step - first + 1)
            row = {k: round(float(v), 4) for k, v in items.items()}
            row |= {"step": step, "norm": round(float(norm), 2), "s_per_step": round(seconds, 3)}
            run.log(row)
            report(str(row))
        if time.monotonic() - saved > checkpoint_seconds:
            save(step + 1)
            saved = time.monotonic()
    save(o.steps)
    return averaged.model

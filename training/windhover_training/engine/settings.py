"""How long and in what portions a phase trains; shared by the phases that count epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from windhover.files import write_atomic

from ..config import Optimisation, Strict
from .memory import batch_that_fits

#: Images a step where the batch is left to be chosen: the guide's.
NOMINAL = 64


class Schedule(Strict):
    """AdamW with a linear warm-up and a cosine, in epochs.

    Attributes:
        epochs: how often each image leads.
        batch: images a forward pass; ``auto`` takes as many as fit into memory and makes
            up to 64 a step by accumulation.
        accumulate: forward passes a step; with ``auto`` it is chosen too.
        lr0: learning rate after the warm-up.
        final_lr: part of it that is left at the end.
        warmup_epochs: of the linear warm-up.
        weight_decay: of convolution kernels.
        clip_norm: greatest norm of the gradient.
        ema: decay of the averaged weights, a step.
        amp: mixed precision: bfloat16, or float16 on a GPU that lacks it.
        patience: epochs without a better validation score after which training ends; 0
            for never.
        validate_every: epochs between two validations.
        device: auto, cpu, cuda or cuda:N.
        processes: single-threaded ones that share each step; on a GPU it is one.
        workers: threads that prepare images ahead.
        checkpoint_seconds: a checkpoint is written at least this often.
    """

    epochs: int = Field(100, gt=0)
    batch: int | Literal["auto"] = 16
    accumulate: int = Field(1, gt=0)
    lr0: float = Field(1e-3, gt=0)
    final_lr: float = Field(0.01, gt=0, le=1)
    warmup_epochs: float = Field(5.0, ge=0)
    weight_decay: float = Field(5e-4, ge=0)
    clip_norm: float = Field(10.0, gt=0)
    ema: float = Field(0.998, gt=0, lt=1)
    amp: bool = True
    patience: int = Field(15, ge=0)
    validate_every: int = Field(1, gt=0)
    device: str = "auto"
    processes: int = Field(1, gt=0, le=64)
    workers: int = Field(0, ge=0, le=64)
    checkpoint_seconds: float = Field(300.0, gt=0, le=600)

    def optimisation(self, images: int, batch: int, accumulate: int) -> Optimisation:
        """The same in steps.

        Args:
            images: of an epoch.
            batch: images a forward pass, chosen if it was ``auto``.
            accumulate: forward passes a step.
        """
        epoch = steps_of(images, batch * accumulate)
        return Optimisation(
            steps=max(1, self.epochs * epoch),
            batch=batch,
            accumulate=accumulate,
            lr=self.lr0,
            final_lr=self.lr0 * self.final_lr,
            warmup=round(self.warmup_epochs * epoch),
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
            ema=self.ema,
            bfloat16=self.amp,
        )

    def portions(
        self,
        loss_of: Callable[[int], torch.Tensor],
        device: torch.device,
        remembered: Path,
    ) -> tuple[int, int]:
        """Images a forward pass and forward passes a step.

        What ``auto`` chose is kept in the run folder, so that a resumed run takes the same
        steps though memory may be fuller.

        Args:
            loss_of: number of images -> the loss of that many; only asked for ``auto``.
            device: where it runs.
            remembered: text file of the choice.
        """
        if self.batch != "auto":
            return self.batch, self.accumulate
        if not remembered.exists():
            fits = batch_that_fits(loss_of, device, NOMINAL, self.processes)
            batch = max(fits, self.processes)
            write_atomic(remembered, f"{batch}\n")
        batch = int(remembered.read_text())
        return batch, math.ceil(NOMINAL / batch)


def steps_of(images: int, a_step: int) -> int:
    """Steps of an epoch."""
    return max(1, math.ceil(images / a_step))

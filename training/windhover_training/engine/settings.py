"""A config's schedule in steps of one set, and which images of a step a process takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from windhover.errors import ConfigError
from windhover.files import write_atomic

from ..training_config import NOMINAL, TrainingConfig
from .memory import batch_that_fits
from .place import place
from .processes import share_object


@dataclass(frozen=True)
class Plan:
    """How one set is trained on.

    Attributes:
        config: with the settings of the optimiser.
        steps: in all; None where a clock ends it.
        seconds: in all, by that clock.
        warmup: steps of the linear warm-up.
        batch: images a forward pass, of all processes together.
        accumulate: forward passes a step.
        validate_every: steps between two validations.
    """

    config: TrainingConfig
    steps: int | None
    seconds: float | None
    warmup: int
    batch: int
    accumulate: int
    validate_every: int

    @property
    def images(self) -> int:
        """Images a step, of all processes together."""
        return self.batch * self.accumulate

    def part(self, step: int, seconds: float) -> float:
        """How much of the training is done, 0..1.

        Args:
            step: steps that are done.
            seconds: that it has taken.
        """
        if self.steps is not None:
            return min(1.0, step / self.steps)
        assert self.seconds is not None
        return min(1.0, seconds / self.seconds)

    def rate(self, step: int, part: float) -> float:
        """Learning rate of a step: a linear warm-up, then a cosine from ``lr0`` to its ``lrf``.

        Args:
            step: from 0.
            part: of the training that is done before it; what a clock's cosine goes by.
        """
        c = self.config
        if step < self.warmup:
            return c.lr0 * (step + 1) / self.warmup
        if self.steps is not None:
            part = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return c.lr0 * (c.lrf + (1 - c.lrf) * 0.5 * (1 + math.cos(math.pi * part)))


@dataclass(frozen=True)
class Share:
    """Which images of a step one process takes.

    Attributes:
        images: of a step, of all processes together.
        rank: of the process.
        processes: that share the step.
    """

    images: int
    rank: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        """Refuse fewer images than processes.

        Raises:
            ConfigError: there are fewer.
        """
        if self.images < self.processes:
            raise ConfigError(
                f"a step of {self.images} images can't be shared by {self.processes} processes; "
                "use a larger batch or fewer processes"
            )

    @property
    def numbers(self) -> range:
        """Places, in the step, of the process's images."""
        first, end = (self.images * each // self.processes for each in (self.rank, self.rank + 1))
        return range(first, end)


def plan_of(config: TrainingConfig, images: int, batch: int, accumulate: int) -> Plan:
    """A config's schedule in steps.

    Args:
        config: of the phase.
        images: of an epoch.
        batch: images a forward pass, chosen if it was ``auto``.
        accumulate: forward passes a step.
    """
    epoch = max(1, math.ceil(images / (batch * accumulate)))

    def steps(epochs: float | None, steps: int | None) -> int:
        return steps if steps is not None else round((epochs or 0) * epoch)

    return Plan(
        config=config,
        steps=None if config.minutes else max(1, steps(config.epochs, config.steps)),
        seconds=None if config.minutes is None else 60 * config.minutes,
        warmup=steps(config.warmup_epochs, config.warmup_steps),
        batch=batch,
        accumulate=accumulate,
        validate_every=max(1, steps(config.validate_epochs, config.validate_steps)),
    )


def portions(
    config: TrainingConfig,
    loss_of: Callable[[int], torch.Tensor],
    device: torch.device,
    remembered: Path,
) -> tuple[int, int]:
    """Images a forward pass, of all processes together, and forward passes a step.

    What ``auto`` chose is kept in the run folder, so that a resumed run takes the same
    steps though memory may be fuller.

    Args:
        config: of the phase.
        loss_of: number of images -> the loss of that many; only asked for ``auto``.
        device: where it runs.
        remembered: text file of the choice.
    """
    here = place()
    if config.batch != "auto":
        return config.batch, config.accumulate
    if here.rank == 0 and not remembered.exists():
        sharing = here.local_processes if device.type == "cpu" else 1
        fits = batch_that_fits(loss_of, device, max(1, NOMINAL // here.processes), sharing)
        write_atomic(remembered, f"{fits * here.processes}\n")
    batch = share_object(int(remembered.read_text()) if here.rank == 0 else None)
    return batch, math.ceil(NOMINAL / batch)

"""Phase 1 of the guide: a base detector from little data and heavy augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..engine.processes import run_distributed
from ..runs import Run
from .base import Phase, RequiredInput
from .epochs import EpochConfig, TrainingResult, inputs, pictures_of, train_epochs


def _needs(config: EpochConfig) -> list[RequiredInput]:
    return inputs(config)


def _train(config: EpochConfig, run: Run, rank: int) -> TrainingResult | None:
    pictures = pictures_of(config, run, rank)
    return train_epochs(config, run, rank, pictures)


def _run(config: EpochConfig, run: Run) -> Mapping[str, Any] | None:
    done = run_distributed(partial(_train, config, run), config.schedule.processes, config.seed)
    return None if done is None else done.metrics()


PHASE = Phase("train bootstrap", EpochConfig, _needs, _run)

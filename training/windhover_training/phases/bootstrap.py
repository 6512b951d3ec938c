"""Phase 1 of the guide: a base detector from little data and heavy augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..runs import Run
from .base import Phase
from .pictures import PictureConfig, begin, inputs, pictures_of
from .training import TrainingSetup, metrics_of, run_training


def _start(config: PictureConfig, run: Run, rank: int) -> TrainingSetup:
    return begin(config, pictures_of(config, run, rank))


def _run(config: PictureConfig, run: Run) -> Mapping[str, Any] | None:
    return metrics_of(run_training(partial(_start, config, run), config, run))


PHASE = Phase("train bootstrap", PictureConfig, inputs, _run)

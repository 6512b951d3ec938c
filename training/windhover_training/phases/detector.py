"""Train a detector on converted data, with rendered scenes mixed in where configured."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from windhover_training.data.augment.crops import CropSampler
from windhover_training.data.augment.samples import load_samples

from ..config import class_ids
from ..detector_config import DetectorConfig
from ..engine.model import build_model, choose_device
from ..engine.objective import set_criterion
from ..runs import Run
from .base import Phase, RequiredInput
from .labels import check_numbers
from .training import (
    TrainingSetup,
    images_of,
    maker_of,
    metrics_of,
    mixed,
    run_training,
    shared_inputs,
    take_start,
)


def samplers_of(config: DetectorConfig, unreadable: dict[str, str]) -> list[CropSampler]:
    """What draws crops of the set, and of rendered scenes where a config mixes them in.

    Args:
        config: the run's settings.
        unreadable: receives the files that can't be read and are passed over.

    Raises:
        DataError: a set lacks a label, or none of its pictures can be read.
    """
    pools = [(config.real, class_ids(config.unlabelled, config.labels))]
    if config.rendered.share > 0 and config.rendered.pool is not None:
        pools.append(([(config.rendered.pool, ["train"])], []))
    for sets, unlabelled in pools:
        for root, splits in sets:
            check_numbers(root, splits, config.labels, [config.labels[row] for row in unlabelled])
    return [
        CropSampler(
            [each for root, splits in sets for each in load_samples(root, splits, unreadable)],
            config.imgsz,
            config.class_weights,
            config.augmentation,
            np.random.default_rng(config.seed),
            unlabelled,
        )
        for sets, unlabelled in pools
    ]


def _start(config: DetectorConfig, _: int) -> TrainingSetup:
    model = build_model(config.model, config.channels, len(config.labels), config.head_classes)
    device = choose_device(config.device)
    model.to(device)
    unreadable: dict[str, str] = {}
    samplers = samplers_of(config, unreadable)
    rendered = [config.rendered.share] * (len(samplers) - 1)
    source = mixed(samplers, rendered, config.seed, maker_of(config, device))
    take_start(model, config, source)
    set_criterion(model, config.loss)
    return TrainingSetup(model, images_of(samplers), source, unreadable=unreadable)


def _needs(config: DetectorConfig) -> list[RequiredInput]:
    needs = [
        RequiredInput(
            root / "truth" / f"{split}.json",
            f"windhover-train data convert hit-uav ROOT --out {root}",
        )
        for root, splits in config.real
        for split in splits
    ]
    if config.rendered.share > 0 and config.rendered.pool is not None:
        pool = config.rendered.pool
        render = f"windhover-train data render-thermal --out {pool}"
        needs.append(RequiredInput(pool / "truth/train.json", render))
    if config.pretrained is not None:
        made = "the phase before, see its config; or a released float.onnx with the same labels"
        needs.append(RequiredInput(config.pretrained, made))
    return needs + shared_inputs(config, "windhover-train data convert")


def _run(config: DetectorConfig, run: Run) -> dict[str, Any] | None:
    return metrics_of(run_training(partial(_start, config), config, run))


PHASE = Phase("train detector", DetectorConfig, _needs, _run)

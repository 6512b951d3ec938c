"""What the phases that count epochs share: model, device, portions, validation, best.pt."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from ultralytics.nn.tasks import DetectionModel

from windhover.errors import DataError
from windhover_training.data.augment.crops import Crop
from windhover_training.data.augment.heavy import HeavyAugmentation, HeavySampler
from windhover_training.data.readers.pictures import Picture, load_pictures, read_truth

from ..config import LossConfig, ModelSpec, Optimisation, Strict, class_ids
from ..engine.batches import DrawBatch, collate
from ..engine.loop import Validation, short_float, train
from ..engine.model import build_as, choose_device, save_weights, take_weights
from ..engine.objective import Objective, detection_loss, set_criterion
from ..engine.settings import Schedule, steps_of
from ..engine.validation import Validator
from ..runs import Run
from .base import RequiredInput


class EpochConfig(Strict):
    """The config of every phase that trains by epochs.

    Attributes:
        name: of the run.
        model: Ultralytics model file, such as ``yolo11s.yaml``.
        labels: in the order of the set's class ids.
        channels: 1 thermal, 3 colour, 4 RGB and thermal.
        fusion: kind of model for 4 channels, as of ``train fusion``; None for one backbone.
        levels: where its two backbones meet.
        unlabelled: labels that ``data`` shows without a box: nothing is judged of them, and
            they have no score.
        data: converted or rendered set.
        splits: that are trained on.
        val: split that chooses the best weights and ends the training.
        val_images: most images of it, evenly spread; None for all.
        size: side of a training image, and of the validation input, pixels.
        init: weights to start from: ``best.pt`` of a run or an Ultralytics checkpoint.
        augmentation: how images are changed.
        loss: focal weighting and class weights.
        schedule: how long, in what portions, where.
        seed: of everything that is drawn.
    """

    name: str
    model: str = "yolo11s.yaml"
    labels: list[str] = Field(min_length=1)
    unlabelled: tuple[str, ...] = ()
    channels: int = 3
    fusion: Literal["cbam", "early", "rgb", "thermal"] | None = None
    levels: tuple[Literal["p3", "p4", "p5"], ...] = ("p3",)
    data: Path
    splits: list[str] = Field(["train"], min_length=1)
    val: str = "val"
    val_images: int | None = Field(None, gt=0)
    size: int = Field(640, ge=32, multiple_of=32)
    init: Path | None = None
    augmentation: HeavyAugmentation = HeavyAugmentation()
    loss: LossConfig = LossConfig()
    schedule: Schedule = Schedule()
    seed: int = 1

    @model_validator(mode="after")
    def _fits(self) -> EpochConfig:
        if self.channels not in {1, 3, 4}:
            raise ValueError(f"channels must be 1, 3 or 4, not {self.channels}")
        if self.fusion is not None and self.channels != 4:
            raise ValueError(f"a fusion of RGB and thermal has 4 channels, not {self.channels}")
        class_ids(self.unlabelled, self.labels)
        weights = self.loss.class_weights
        if weights and len(weights) != len(self.labels):
            raise ValueError(f"loss has {len(weights)} class weights for {len(self.labels)} labels")
        if self.val in self.splits:
            raise ValueError(f"split {self.val!r} can't both be trained on and validate")
        return self

    @property
    def spec(self) -> ModelSpec:
        """What its model is built from."""
        return ModelSpec.model_validate(self.model_dump())


def inputs(config: EpochConfig, init_made_by: str = "an earlier phase") -> list[RequiredInput]:
    """Truth files and weights that a config asks for."""
    made = f"windhover-train data convert ... --out {config.data}"
    needed = [
        RequiredInput(config.data / "truth" / f"{split}.json", made)
        for split in [*config.splits, config.val]
    ]
    if config.init is not None:
        needed.append(RequiredInput(config.init, init_made_by))
    return needed


def pictures_of(config: EpochConfig, run: Run, rank: int) -> list[Picture]:
    """The images that are trained on; ``data.json`` in the run folder says what was left out.

    Raises:
        DataError: there is nothing to train on, or the set does not know a label that is not
            under ``unlabelled``: it would be taught as background.
    """
    _check_labels(config)
    flaws: Counter[str] = Counter()
    pictures = load_pictures(config.data, config.splits, config.channels, config.labels, flaws)
    if rank == 0:
        boxes = Counter(int(k) for picture in pictures for k in picture.classes)
        counts = {
            "images": len(pictures),
            "boxes": {label: boxes[i] for i, label in enumerate(config.labels)},
            "left_out": {text: count for text, count in flaws.items() if count},
        }
        run.write("data.json", counts)
    return pictures


def _check_labels(config: EpochConfig) -> None:
    for split in config.splits:
        path = config.data / "truth" / f"{split}.json"
        known = {str(each.get("name")) for each in read_truth(path).get("categories", [])}
        missing = [x for x in config.labels if x not in known and x not in config.unlabelled]
        if missing:
            raise DataError(
                f"{path}: has no category {', '.join(missing)}; where its pictures show such "
                f"objects name them under 'unlabelled', else take them out of 'labels'"
            )


@dataclass(frozen=True)
class TrainingResult:
    """A model that reached the end of its schedule, or gave up rising.

    Attributes:
        best: path of the weights that did best on the validation images.
        scores: theirs, with the step.
        unreadable: files that could not be read and were passed over, and why.
    """

    best: Path
    scores: Mapping[str, float]
    unreadable: Mapping[str, str]

    def metrics(self) -> dict[str, Any]:
        """For ``metrics.json``."""
        return {
            "best": self.best.name,
            "val": dict(self.scores),
            "unreadable": dict(self.unreadable),
        }


Wrap = Callable[[DetectionModel], torch.nn.Module]
"""Puts a model, on its device, into one that has more to learn."""


def train_epochs(
    config: EpochConfig,
    run: Run,
    rank: int,
    pictures: Sequence[Picture],
    *,
    sampler: HeavySampler | None = None,
    objective: Objective | None = None,
    wrap: Wrap | None = None,
    title: str | None = None,
) -> TrainingResult | None:
    """Train one model on one list of pictures; one of the processes that do so.

    Args:
        config: of the phase.
        run: whose folder takes checkpoints, ``best.pt`` and ``best.json``.
        rank: of this process.
        pictures: that lead, each once an epoch.
        sampler: draws training images; by default with the config's augmentation.
        objective: instead of the detection loss of the model.
        wrap: what is trained instead of the model alone; has it as ``student``.
        title: of the progress bar.

    Returns:
        None in a process that only helps, and if the run was asked to stop.
    """
    device = choose_device(config.schedule.device)
    model = build_as(config.spec)
    if config.init is not None:
        take_weights(model, config.init)
    model.to(device)
    set_criterion(model, config.loss)
    learner = model if wrap is None else wrap(model)
    sampler = sampler or HeavySampler(
        pictures, config.size, config.channels, config.augmentation, config.seed,
        class_ids(config.unlabelled, config.labels),
    )  # fmt: skip
    schedule = config.schedule
    probe = partial(_probe, model, config, schedule.amp)
    batch, accumulate = schedule.portions(probe, device, run.folder / "batch.txt")
    o = schedule.optimisation(len(pictures), batch, accumulate)
    exam = Validator(
        config.data, config.val, config.labels, config.channels,
        (config.size, config.size), config.val_images,
    )  # fmt: skip
    epoch = steps_of(len(pictures), o.images)
    done = train(
        learner,
        draw_share(sampler, o, schedule.processes, rank),
        o,
        run,
        schedule.checkpoint_seconds,
        objective=objective,
        validation=Validation(
            every=epoch * schedule.validate_every,
            score=lambda averaged: exam.score(student_of(averaged)),
            keep=partial(_keep, run, config),
            patience=-(-schedule.patience // schedule.validate_every),
        ),
        title=title or config.name,
        seed=config.seed,
        workers=schedule.workers,
    )
    if done is None:
        return None
    unreadable = {**sampler.unreadable, **exam.unreadable}
    return TrainingResult(run.best, run.read("best.json"), unreadable)


def draw_share(sampler: HeavySampler, o: Optimisation, processes: int, rank: int) -> DrawBatch:
    """The images of a step that fall to one process; what is drawn depends on its number."""
    share = max(1, o.images // processes)

    def draw(step: int) -> list[Crop]:
        first = step * share * processes + rank * share
        return [sampler.draw(first + i) for i in range(share)]

    return draw


def student_of(learner: torch.nn.Module) -> torch.nn.Module:
    """The detector inside of what is trained."""
    student = getattr(learner, "student", learner)
    return student if isinstance(student, torch.nn.Module) else learner


def _keep(
    run: Run, config: EpochConfig, learner: torch.nn.Module, scores: Mapping[str, float]
) -> None:
    save_weights(run, student_of(learner), config)
    run.write("best.json", dict(scores))


def _probe(model: Any, config: EpochConfig, amp: bool, images: int) -> torch.Tensor:
    """The loss of some grey images with an object each: what memory is probed with."""
    shape = (config.size, config.size, config.channels)
    pixels = np.full(shape if config.channels > 1 else shape[:2], 114, np.uint8)
    box = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32) * np.float32(config.size)
    crop: Crop = (pixels, box, np.zeros(1, np.int64))
    device = next(model.parameters()).device
    batch = collate([crop] * images, device)
    # A copy: its normalisation must not learn from grey.
    model = copy.deepcopy(model).train()
    return detection_loss(model, batch, short_float(device) if amp else None)[0]

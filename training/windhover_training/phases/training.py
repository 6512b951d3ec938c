"""What every training phase shares: start, portions, validation, best.pt, final.pt, resume."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from ultralytics.nn.tasks import DetectionModel

from windhover_training.data.augment.apply import apply
from windhover_training.data.augment.crops import CropSampler
from windhover_training.data.augment.params import CropParams
from windhover_training.data.augment.samples import Crop
from windhover_training.data.readers.pictures import read_truth

from ..engine.batches import DrawBatch, DrawnCrop, collate
from ..engine.frame_store import FrameStore
from ..engine.hold import Holder
from ..engine.learner import student_of
from ..engine.loop import Validation, short_float, train
from ..engine.memory import told_in_one_line
from ..engine.model import save_weights, take_weights
from ..engine.objective import Objective, detection_loss
from ..engine.place import place
from ..engine.processes import run_distributed
from ..engine.render import CropRenderer
from ..engine.settings import Share, plan_of, portions
from ..engine.teachers import read_holder
from ..engine.validation import Validator
from ..engine.warm_start import read_weights, recalibrate_batchnorm, warm_start
from ..runs import Run
from ..training_config import CropConfig, NetworkConfig
from .base import RequiredInput

RECALIBRATION_BATCHES = 12
#: Steps that training never comes to, for what is drawn before it.
FAR = 1_000_000
_STRIDE = 32
_GOLDEN = (math.sqrt(5) - 1) / 2

#: A process's share of each step -> what draws it; what is drawn depends on the step alone.
Source = Callable[[Share], DrawBatch]


class Sampler(Protocol):
    """What draws crops from a pool of frames, which may change from step to step."""

    @property
    def frames(self) -> int:
        """Pictures in the pool."""

    def at(self, step: int) -> CropSampler:
        """What draws the crops of a step."""


#: What was drawn for a crop -> the crop, made or for its device to make.
Maker = Callable[[CropParams], DrawnCrop]


@dataclass(frozen=True)
class TrainingSetup:
    """What a process trains with.

    Attributes:
        model: on its device, with the weights that it starts from.
        images: of an epoch.
        source: of training images.
        objective: float type for the forward pass -> what is minimised; None for the
            detection loss.
        holder: keeps it near a teacher; by default near the one that the config names.
        wrap: puts the model into one that has more to learn and has it as ``student``.
        unreadable: files that could not be read and were passed over, and why; filled while
            images are drawn.
        close: ends what draws images, after the last step.
    """

    model: DetectionModel
    images: int
    source: Source
    objective: Callable[[torch.dtype | None], Objective] | None = None
    holder: Holder | None = None
    wrap: Callable[[DetectionModel], torch.nn.Module] | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


#: Rank of a process -> what it begins with; picklable, where there is more than one process.
Start = Callable[[int], TrainingSetup]


@dataclass(frozen=True)
class TrainingResult:
    """A model that reached the end of its schedule, or gave up rising.

    Attributes:
        final: path of the averaged weights of the last step.
        best: path of the weights that did best on the validation images; None without any.
        scores: theirs, with the step.
        unreadable: files that could not be read and were passed over, and why.
    """

    final: Path
    best: Path | None
    scores: Mapping[str, float]
    unreadable: Mapping[str, str]

    def metrics(self) -> dict[str, Any]:
        """For ``metrics.json``."""
        chosen = {} if self.best is None else {"best": self.best.name, "val": dict(self.scores)}
        return {"checkpoint": self.final.name, **chosen, "unreadable": dict(self.unreadable)}


def metrics_of(done: TrainingResult | None) -> dict[str, Any] | None:
    """For ``metrics.json``; None for a run that was asked to stop."""
    return None if done is None else done.metrics()


def run_training(
    start: Start, config: NetworkConfig, run: Run, title: str | None = None
) -> TrainingResult | None:
    """Train to the end, or resume it.

    Args:
        start: what each process begins with.
        config: of the phase.
        run: whose folder takes checkpoints, ``best.pt``, ``best.json`` and ``final.pt``.
        title: of the progress bar.

    Returns:
        None if the run was asked to stop; it resumes from its checkpoint when run again.
    """
    work = partial(_train, start, config, run, title)
    return run_distributed(work, config.seed)


def _train(
    start: Start, config: NetworkConfig, run: Run, title: str | None, rank: int
) -> TrainingResult | None:
    with told_in_one_line(config.device):
        begun = start(rank)
        try:
            return _train_here(begun, config, run, title, rank)
        finally:
            begun.close()


def _train_here(
    begun: TrainingSetup, config: NetworkConfig, run: Run, title: str | None, rank: int
) -> TrainingResult | None:
    model, device = begun.model, next(begun.model.parameters()).device
    probe = partial(_probe, model, config)
    plan = plan_of(config, begun.images, *portions(config, probe, device, run.folder / "batch.txt"))
    exam = exam_of(config)
    validation = None
    if exam is not None:
        validation = Validation(
            score=lambda averaged: exam.score(student_of(averaged)),
            keep=partial(_keep, run, config),
            patience=config.patience,
        )
    autocast = short_float(device) if config.amp else None
    objective = None if begun.objective is None else begun.objective(autocast)
    holder = begun.holder or read_holder(
        config.hold, config.model, config.spec.channels, config.labels, device
    )
    if holder is not None:
        objective = holder.around(objective or partial(detection_loss, autocast=autocast))
    averaged = train(
        model if begun.wrap is None else begun.wrap(model),
        begun.source(Share(plan.images, rank, place().processes)),
        plan,
        run,
        objective=objective,
        validation=validation,
        title=title,
    )
    if averaged is None:
        return None
    final = save_weights(run, student_of(averaged), config, "final.pt")
    if exam is None:
        return TrainingResult(final, None, {}, begun.unreadable)
    unreadable = {**begun.unreadable, **exam.unreadable}
    return TrainingResult(final, run.best, run.read("best.json"), unreadable)


def exam_of(config: NetworkConfig) -> Validator | None:
    """The images that choose the best weights, or None where a config names none.

    Raises:
        DataError: their truth can't be read.
    """
    if config.val is None or config.val_root is None:
        return None
    root, hw = config.val_root, config.val_hw
    if hw is None:
        images = read_truth(root / "truth" / f"{config.val}.json")["images"]
        sides = [max(int(image[side]) for image in images) if images else _STRIDE
                 for side in ("height", "width")]  # fmt: skip
        hw = (-(-sides[0] // _STRIDE) * _STRIDE, -(-sides[1] // _STRIDE) * _STRIDE)
    channels = config.spec.channels
    return Validator(root, config.val, config.labels, channels, hw, config.val_images)


def shared_inputs(config: NetworkConfig, made_by: str) -> list[RequiredInput]:
    """What options of every phase ask for: a teacher, and the truth of validation."""
    teacher = config.hold.teacher
    needed = [] if teacher is None else [RequiredInput(teacher, "the teacher of 'hold'")]
    if config.val is None or config.val_root is None:
        return needed
    return [*needed, RequiredInput(config.val_root / "truth" / f"{config.val}.json", made_by)]


def take_start(
    model: DetectionModel,
    config: NetworkConfig,
    source: Source,
    change: Callable[[], None] | None = None,
) -> None:
    """Give a model the weights that its run starts from: ``pretrained``, or its own.

    Args:
        model: changed.
        config: names a run's weights, a released float.onnx, or neither.
        source: draws what the normalisation of a float.onnx is recalibrated on, the same in
            all processes, at steps that training never reaches.
        change: called once a float.onnx is taken, before its normalisation is recalibrated.
    """
    if config.pretrained is None:
        return
    if config.pretrained.suffix == ".onnx":
        warm_start(model, read_weights(config.pretrained), config.class_rows)
        if change is not None:
            change()
        recalibrate(model, config, source)
    else:
        take_weights(model, config.pretrained)


def recalibrate(model: DetectionModel, config: NetworkConfig, source: Source) -> None:
    """Give a model of folded weights the normalisation of the crops that it is to see."""
    draw, device = source(Share(config.step_images)), next(model.parameters()).device
    batches = (collate(draw(FAR + i), device) for i in range(RECALIBRATION_BATCHES))
    recalibrate_batchnorm(model, [batch["img"] for batch in batches])


def maker_of(config: CropConfig, device: torch.device) -> Maker:
    """What makes the pixels of crops: OpenCV where they are drawn, or the device itself.

    Args:
        config: of the phase; says which.
        device: that is trained on.
    """
    if config.crops == "opencv" or (config.crops == "auto" and device.type == "cpu"):
        return apply
    return CropRenderer(FrameStore(device, config.frames_share)).prepare


def mixed(
    samplers: Sequence[Sampler],
    shares: Sequence[float],
    seed: int,
    make: Maker = apply,
) -> Source:
    """Draw each crop of a step from the seed, the step and its place in it alone.

    So a step shows the same crops however many processes share it, and threads may draw
    several steps at once.

    Args:
        samplers: of the sets that are mixed.
        shares: of a step that comes from each but the first, which takes the rest.
        seed: of the run.
        make: makes the crops that are drawn; see :func:`maker_of`.
    """

    def source(share: Share) -> DrawBatch:
        def draw(step: int) -> list[DrawnCrop]:
            order = mix_order(share.images, shares, step)
            return [
                make(
                    samplers[order[i]]
                    .at(0 if step >= FAR else step)
                    .drawing_from(np.random.default_rng((seed, step, i)))
                    .draw_params()
                )
                for i in share.numbers
            ]

        return draw

    return source


def mix_order(images: int, shares: Sequence[float], step: int) -> list[int]:
    """Which set each image of a step is from, spread so that every part of a step has all.

    A share that is no whole number of images is kept over the steps: of 12 images 4 % are one
    in every second step, neither one in each nor none.

    Args:
        images: of a step.
        shares: of each set but the first, which takes the rest.
        step: number of the step.
    """
    counts = [0]
    for which, share in enumerate(shares, 1):
        whole, part = divmod(round(images * share, 6), 1)
        # Each set begins elsewhere, so that they do not all take one more in the same step.
        start = which * _GOLDEN % 1
        more = math.floor((step + 1) * part + start) - math.floor(step * part + start)
        counts.append(min(int(whole) + more, images - sum(counts)))
    counts[0] = images - sum(counts)
    places = [
        ((number + 0.5) / count, which)
        for which, count in enumerate(counts)
        for number in range(count)
    ]
    return [which for _, which in sorted(places)]


def images_of(samplers: Sequence[Sampler]) -> int:
    """Pictures that some samplers draw from: those of an epoch."""
    return sum(sampler.frames for sampler in samplers)


def _keep(
    run: Run, config: NetworkConfig, learner: torch.nn.Module, scores: Mapping[str, float]
) -> None:
    save_weights(run, student_of(learner), config)
    run.write("best.json", dict(scores))


def _probe(model: Any, config: NetworkConfig, images: int) -> torch.Tensor:
    """The loss of some grey images with an object each: what memory is probed with."""
    channels = config.spec.channels
    shape = (config.imgsz, config.imgsz, channels)
    pixels = np.full(shape if channels > 1 else shape[:2], 114, np.uint8)
    box = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32) * np.float32(config.imgsz)
    crop: Crop = (pixels, box, np.zeros(1, np.int64))
    device = next(model.parameters()).device
    batch = collate([crop] * images, device)
    # A copy: its normalisation must not learn from grey.
    model = copy.deepcopy(model).train()
    return detection_loss(model, batch, short_float(device) if config.amp else None)[0]

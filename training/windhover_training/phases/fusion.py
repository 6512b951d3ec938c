"""Train a detector on registered RGB + thermal frames: ``train fusion``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from windhover_evaluation.fan_out import open_executor
from windhover_training.data.augment.crops import CropSampler
from windhover_training.data.augment.cutouts import read_cutouts
from windhover_training.data.augment.other_camera import OtherCamera
from windhover_training.data.augment.real_rgb import RealRgbSampler
from windhover_training.data.augment.rgbt_crops import (
    NightRgb,
    RgbtSampler,
    ThermalOnlySampler,
    load_frames,
    load_thermal,
)
from windhover_training.data.augment.samples import Sample, load_colour
from windhover_training.data.readers.pictures import read_truth
from windhover_training.data.render.live_scenes import LiveSampler, LiveScenes

from ..config import class_ids
from ..engine.fusion import RgbtModel
from ..engine.hold import Holder
from ..engine.mining import MiningConfig, mine
from ..engine.model import build_as, choose_device
from ..engine.objective import set_criterion
from ..engine.stock import COCO_ROWS, begin_as_stock, class_layers, read_stock
from ..engine.teachers import read_holder
from ..engine.thermal_side import take_thermal_side
from ..engine.validation import Validator
from ..engine.warm_start import read_weights
from ..fusion_config import FusionConfig, SceneStream
from ..progress import progress_bar
from ..runs import Run
from .base import Phase, RequiredInput
from .labels import check_numbers
from .training import (
    Sampler,
    Source,
    TrainingResult,
    TrainingSetup,
    images_of,
    maker_of,
    metrics_of,
    mixed,
    recalibrate,
    run_training,
    shared_inputs,
    take_start,
)

#: Split of scenes with nothing to find.
CLEAR = "clear"
Place = tuple[float, float]
Places = dict[int, list[Place]]
#: HIT-UAV's class ids to rgbt-n's. Its bicycles are no motorcycles: blurred away.
THERMAL_LABELS = ("person", "vehicle", "two-wheeler")
THERMAL_CLASSES = {0: 0, 1: 3}
_MINED = "hard_negatives.json"
_STRIDE = 32


def build_fusion(config: FusionConfig) -> RgbtModel:
    """The untrained model that a config asks for, on the device that it is trained on."""
    return build_as(config.spec).to(choose_device(config.device))


def source_of(
    config: FusionConfig, places: Places | None = None, render: Executor | None = None
) -> tuple[Source, int]:
    """What draws a step's crops, and how many frames it draws from.

    Args:
        config: the run's settings.
        places: x, y of hard negatives in empty scenes, by row of the split ``clear``.
        render: processes that make scenes as they are needed, where ``data`` asks for that.
    """
    if isinstance(config.data, Path):
        check_numbers(config.data, ["train"], config.labels)
    start = np.random.default_rng(config.seed)
    cutouts = read_cutouts(config.cutouts) if config.cutouts is not None else ()

    def over(frames: list[Sample]) -> RgbtSampler:
        return RgbtSampler(
            frames, config.imgsz, config.class_weights, config.augmentation, start, cutouts
        )

    def of_split(split: str) -> Sampler:
        data = config.data
        if isinstance(data, SceneStream):
            assert render is not None
            return LiveSampler(LiveScenes(split, data, render), over, data.scenes * data.frames)
        frames = load_frames(data, split)
        if split == CLEAR and places:
            frames = [_with_places(frame, places.get(row)) for row, frame in enumerate(frames)]
        return over(frames)

    samplers: list[Sampler] = [of_split("train")]
    shares: list[float] = []
    if config.armed_share:
        samplers.append(of_split("armed"))
        shares.append(config.armed_share)
    if config.clear.share:
        samplers.append(of_split(CLEAR))
        shares.append(config.clear.share)
    for sampler, share in _real_samplers(config, start):
        samplers.append(sampler)
        shares.append(share)
    make = maker_of(config, choose_device(config.device))
    return mixed(samplers, shares, config.seed, make), images_of(samplers)


def _real_samplers(
    config: FusionConfig, rng: np.random.Generator
) -> Iterator[tuple[CropSampler, float]]:
    """Samplers of real pictures of one camera, and the share of a batch of each."""
    thermal: list[Sample] = []
    for data in config.thermal_only:
        check_numbers(data, ["train"], THERMAL_LABELS)
        thermal += load_thermal(data, "train", THERMAL_CLASSES)
    pictures = [load_colour(own.data, own.splits, config.labels) for own in config.real_rgb]
    sets = list(zip(config.real_rgb, pictures, strict=True))
    as_they_are = [each for own, frames in sets if own.mosaic is None for each in frames]
    made = config.night_rgb or any(own.made_thermal for own in config.real_rgb)
    other = OtherCamera.of(thermal, as_they_are) if made else None
    size, weights = config.imgsz, config.class_weights
    if thermal and config.thermal_share:
        unlabelled = class_ids(config.thermal_unlabelled, config.labels)
        night = None if other is None else NightRgb(other, config.night_rgb, config.augmentation)
        change = config.thermal_augmentation
        yield (
            ThermalOnlySampler(thermal, size, weights, change, rng, unlabelled, night),
            config.thermal_share,
        )
    for own, frames in sets:
        unlabelled = [row for row, label in enumerate(config.labels) if label not in own.labelled]
        warm = None if other is None else (other, own.made_thermal)
        yield (
            RealRgbSampler(
                frames, size, weights, own.augmentation, rng, unlabelled, own.mosaic, warm
            ),
            own.share,
        )


def run_fusion(config: FusionConfig, run: Run) -> TrainingResult | None:
    """Run the phase to its end, or resume it; as :func:`.training.run_training`."""
    # Before any step, so that a resumed run finds what was found first.
    places = mine_clear(config, run) if config.clear.mined else {}
    return run_training(partial(_start, config, places), config, run)


def prepare(config: FusionConfig, source: Source) -> RgbtModel:
    """Build the model with the weights that it starts from; as :func:`.training.take_start`."""
    model = build_fusion(config)
    if config.stock is not None and config.pretrained is None:
        begin_as_stock(model, read_stock(config.stock), config.labels)
        recalibrate(model, config, source)
    elif config.thermal_pretrained is not None:
        weights = read_weights(config.thermal_pretrained)
        take_start(model, config, source, partial(take_thermal_side, model, weights))
    else:
        take_start(model, config, source)
    return model


def _holder(config: FusionConfig) -> Holder | None:
    """What holds scores near those of the teacher, or of the stock start on both cameras."""
    model, hold, marked = config.model, config.hold, bool(config.real_rgb)
    if hold.teacher is not None or config.stock is None or not hold.weight:
        device = choose_device(config.device)
        return read_holder(hold, model, config.channels, config.labels, device, marked=marked)
    start, weights = build_fusion(config), read_stock(config.stock)
    begin_as_stock(start, weights, config.labels)
    layers = [layer.to(choose_device(config.device)) for layer in class_layers(weights)]
    return Holder(start, layers, COCO_ROWS, config.labels, hold, marked=marked)


def _with_places(frame: Sample, places: Sequence[Place] | None) -> Sample:
    if not places:
        return frame
    return replace(frame, places=np.array(places, np.float32))


def mine_clear(config: FusionConfig, run: Run) -> Places:
    """Middles of what the starting weights wrongly find, kept in the run's folder."""
    assert isinstance(config.data, Path)
    truth = read_truth(config.data / "truth" / f"{CLEAR}.json")["images"]
    if not (run.folder / _MINED).is_file():
        height, width = (-(-truth[0][side] // _STRIDE) * _STRIDE for side in ("height", "width"))
        labels, most = config.labels, config.clear.mined
        exam = Validator(config.data, CLEAR, labels, 4, (height, width), most, empty=True)
        model = prepare(config, source_of(config)[0]).eval()
        limits = MiningConfig(score=config.clear.score)
        with progress_bar("looking for hard negatives") as progress:
            found = mine(model, exam, CLEAR, limits, progress)
        run.write(_MINED, [each.model_dump() for each in found])
    rows = {image["id"]: row for row, image in enumerate(truth)}
    places: Places = {}
    for each in run.read(_MINED):
        x0, y0, x1, y1 = each["box"]
        places.setdefault(rows[each["image_id"]], []).append(((x0 + x1) / 2, (y0 + y1) / 2))
    return places


def _start(config: FusionConfig, places: Places, _: int) -> TrainingSetup:
    with ExitStack() as stack:
        render = None
        if isinstance(config.data, SceneStream):
            render = stack.enter_context(open_executor(config.data.jobs))
        source, images = source_of(config, places, render)
        model = prepare(config, source)
        set_criterion(model, config.loss)
        holder = _holder(config)
        return TrainingSetup(model, images, source, holder=holder, close=stack.pop_all().close)


def _needs(config: FusionConfig) -> list[RequiredInput]:
    wanted = {"train": 1.0, "armed": config.armed_share, CLEAR: config.clear.share}
    splits = [split for split, share in wanted.items() if share]
    render, needed = "windhover-train data render-rgbt", []
    if isinstance(config.data, Path):
        truth, made_by = config.data / "truth", f"{render} --out {config.data}"
        needed = [RequiredInput(truth / f"{split}.json", made_by) for split in splits]
    for data in config.thermal_only:
        convert = f"windhover-train data convert hit-uav ROOT --out {data}"
        needed.append(RequiredInput(data / "truth" / "train.json", convert))
    if config.cutouts is not None:
        listed = config.cutouts / "_annotations.coco.json"
        needed.append(RequiredInput(listed, "a COCO folder of close-up pictures of weapons"))
    weights = "the weights to start from: a released float.onnx, or final.pt of a run"
    named = (config.pretrained, config.thermal_pretrained, config.stock)
    given = [path for path in named if path is not None]
    convert = "windhover-train data convert"
    for own in config.real_rgb:
        truths = [own.data / "truth" / f"{split}.json" for split in own.splits]
        needed += [RequiredInput(path, convert) for path in truths]
    needed += shared_inputs(config, render)
    return needed + [RequiredInput(path, weights) for path in given]


def _run(config: FusionConfig, run: Run) -> dict[str, Any] | None:
    return metrics_of(run_fusion(config, run))


PHASE = Phase("train fusion", FusionConfig, _needs, _run)

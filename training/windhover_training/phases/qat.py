"""Phase 4: train on with every tensor rounded as the HTP rounds it: ``train qat``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from pydantic import Field

from windhover.errors import ConfigError
from windhover.inference.build import build_context
from windhover.model import Bundle
from windhover_training.data.augment.heavy import HeavyAugmentation, HeavySampler
from windhover_training.data.readers.pictures import KINDS, load_pictures

from ..config import ModelSpec, ReleaseConfig, load_config
from ..engine.loop import short_float, train
from ..engine.memory import told_in_one_line
from ..engine.merge import WINDOW
from ..engine.model import choose_device, load_model
from ..engine.objective import detection_loss
from ..engine.place import place
from ..engine.processes import run_distributed
from ..engine.qat import QuantisationSimulation
from ..engine.settings import Share, plan_of
from ..engine.teachers import read_holder
from ..evaluate.score import quick_score
from ..export.bundle import ExportedGraphs, calibration_images, write
from ..export.graph import export_core, finish_float, shape_of
from ..export.quantise import output_quantisation, with_quantised_ends
from ..runs import Run
from ..training_config import TrainingConfig
from .base import Phase, RequiredInput
from .pictures import in_turn

#: Nothing is changed but mirrored: the model knows the rest.
MILD = HeavyAugmentation(
    mosaic=0, mixup=0, copy_paste=0, degrees=0, scale=(1.0, 1.0), shear=0, perspective=0,
    flipud=0.5, fliplr=0.5, hsv_h=0, hsv_s=0, hsv_v=0.2,
)  # fmt: skip


class QatConfig(TrainingConfig):
    """What is trained on, and which release it is for.

    The learning rate is the guide's: rounding is learnt, nothing else.

    Attributes:
        release: config of the release: checkpoint, size and calibration are its own.
        model: Ultralytics model file, needed where the checkpoint is a released bundle.
        calibration_images: that the first ranges are from, of the release's.
        data: converted set to train on.
        splits: of it.
        imgsz: side of a training image, pixels.
        augmentation: how images are changed.
        scored_on: set and split that is scored before and after.
        frames: of it, evenly from all.
    """

    release: Path
    model: str = "yolo11n.yaml"
    calibration_images: int = Field(16, gt=0)
    data: Path
    splits: list[str] = Field(["train"], min_length=1)
    imgsz: int = Field(320, ge=32, multiple_of=32)
    augmentation: HeavyAugmentation = MILD
    steps: int | None = Field(200, gt=0)
    batch: int = Field(8, gt=0)
    lr0: float = Field(1e-6, gt=0)
    lrf: float = Field(0.1, gt=0, le=1)
    warmup_steps: int | None = Field(10, ge=0)
    amp: bool = False
    scored_on: tuple[Path, str]
    frames: int = Field(60, gt=0)


def _needs(config: QatConfig) -> list[RequiredInput]:
    made = "windhover-train data convert or data render-rgbt"
    truths = [config.data / "truth" / f"{split}.json" for split in config.splits]
    scored, split = config.scored_on
    needed = [RequiredInput(path, made) for path in (*truths, scored / "truth" / f"{split}.json")]
    needed.append(RequiredInput(config.release, "the repository"))
    if config.hold.teacher is not None:
        needed.append(RequiredInput(config.hold.teacher, "the teacher of 'hold'"))
    if config.release.exists():
        release = load_config(config.release, ReleaseConfig)
        needed.append(RequiredInput(release.checkpoint, "an earlier phase, or a released bundle"))
        needed += [
            RequiredInput(root / "truth" / "train.json", made) for root in release.calibration.data
        ]
    return needed


@dataclass(frozen=True)
class _Trained:
    """What training leaves to be scored and exported."""

    learner: QuantisationSimulation
    core: onnx.ModelProto
    labels: list[str]
    left_out: dict[str, int]


def _train(config: QatConfig, release: ReleaseConfig, run: Run, rank: int) -> _Trained | None:
    model, spec = load_model(release.checkpoint, config.model)
    _check_size(config, release, spec)
    core = export_core(model, release.height, release.width, spec.channels)
    model.to(choose_device(config.device))
    settings = release.calibration.model_copy(update={"images": config.calibration_images})
    images = calibration_images(settings, KINDS[spec.channels], release.height, release.width)
    learner = QuantisationSimulation(model, images, release.calibration.score_range)
    if rank == 0:
        _bundle(release, learner, core, spec.labels, run.folder / "before")
    flaws: Counter[str] = Counter()
    pictures = load_pictures(config.data, config.splits, spec.channels, spec.labels, flaws)
    sampler = HeavySampler(pictures, config.imgsz, spec.channels, config.augmentation, config.seed)
    plan = plan_of(config, len(pictures), config.batch, config.accumulate)
    share = Share(plan.images, rank, place().processes)
    hold, device = config.hold, choose_device(config.device)
    holder = read_holder(hold, config.model, spec.channels, spec.labels, device)
    objective = None
    if holder is not None:
        autocast = short_float(device) if config.amp else None
        objective = holder.around(partial(detection_loss, autocast=autocast))
    with told_in_one_line(config.device):
        averaged = train(learner, in_turn(sampler)(share), plan, run, objective=objective)
    return None if averaged is None else _Trained(averaged, core, spec.labels, dict(flaws))


def _run(config: QatConfig, run: Run) -> Mapping[str, Any] | None:
    release = load_config(config.release, ReleaseConfig)
    done = run_distributed(partial(_train, config, release, run), config.seed)
    if done is None:
        return None
    before = Bundle.load(run.folder / "before")
    after = _bundle(release, done.learner, done.core, done.labels, run.folder / "bundle")
    # Names an op that is not on the HTP.
    build_context(after.root / "int8.onnx", run.folder / f"{release.soc}.bin", release.soc)
    scored = {
        "float": quick_score(after, "float", *config.scored_on, config.frames),
        "before": quick_score(before, "int8", *config.scored_on, config.frames),
        "after": quick_score(after, "int8", *config.scored_on, config.frames),
    }
    return {"int8": str(after.root / "int8.onnx"), "ap50": scored, "left_out": done.left_out}


def _check_size(config: QatConfig, release: ReleaseConfig, spec: ModelSpec) -> None:
    if spec.fusion != "cbam":
        return
    least = max(WINDOW << int(level[1:]) for level in spec.levels)
    sides = {"imgsz": config.imgsz, "height": release.height, "width": release.width}
    for name, side in sides.items():
        if side < least:
            raise ConfigError(
                f"{name} {side}: two backbones that meet at {', '.join(spec.levels)} are traced "
                f"for at least {least} pixels; make it larger"
            )


def _bundle(
    release: ReleaseConfig,
    learner: QuantisationSimulation,
    core: onnx.ModelProto,
    labels: list[str],
    out: Path,
) -> Bundle:
    """float.onnx as it was and int8.onnx as it is now, for scoring and for the release."""
    out.mkdir(parents=True, exist_ok=True)
    _, count, height, width = shape_of(core.graph.input[0])
    quantised = with_quantised_ends(learner.export(height, width, count))
    onnx.save(finish_float(core), out / "float.onnx")
    onnx.save(quantised, out / "int8.onnx")
    reg_max = shape_of(core.graph.output[0])[1] // 4
    exported = ExportedGraphs(labels, KINDS[count], output_quantisation(quantised), reg_max)
    return write(release, out, exported, {"iou": release.iou}, {})


PHASE = Phase("train qat", QatConfig, _needs, _run)

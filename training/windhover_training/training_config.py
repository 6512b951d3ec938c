"""How every phase trains: one schedule, one optimiser, one place, the same names everywhere.

Names are Ultralytics' where it has one (``epochs``, ``batch``, ``lr0``, ``lrf``,
``warmup_epochs``, ``momentum``, ``weight_decay``, ``patience``, ``imgsz``, ``device``,
``workers``, ``seed``, ``amp``, ``pretrained``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, model_validator

from .config import LossConfig, ModelSpec, Strict, class_rows

#: Images a step where the batch is left to be chosen: the guide's.
NOMINAL: Final = 64

_BOTH: Final = ("batch", "accumulate", "weight_decay", "clip_norm", "ema")
_OF_SCHEDULE: Final = (
    "epochs", "lr0", "warmup_epochs", "amp", "patience", "device", "workers",
    "checkpoint_seconds",
)  # fmt: skip
_PROCESSES: Final = "--nproc-per-node of the command line"
#: Keys that configs had up to 0.2.0 -> what they are called now.
FORMER_KEYS: Final[Mapping[str, str]] = {
    "crop": "imgsz",
    "size": "imgsz",
    "init": "pretrained",
    "start": "pretrained",
    "start_classes": "pretrained_classes",
    "backbone_rate": "rates.backbone",
    "taken_rate": "rates.head",
    "optimisation.steps": "steps",
    "optimisation.lr": "lr0",
    "optimisation.final_lr": "lrf (a part of lr0)",
    "optimisation.warmup": "warmup_steps",
    "optimisation.bfloat16": "amp",
    "optimisation.keep_statistics": "keep_statistics",
    "processes": _PROCESSES,
    "schedule.processes": _PROCESSES,
    "schedule.final_lr": "lrf",
    "schedule.validate_every": "validate_epochs",
    **{f"optimisation.{key}": key for key in _BOTH},
    **{f"schedule.{key}": key for key in (*_BOTH, *_OF_SCHEDULE)},
}


class LayerRates(Strict):
    """Shares of the learning rate, by layer. A layer with 0 is frozen.

    A level finer than stride 8 always has the whole rate.

    Attributes:
        backbone: of the backbone, of both where there are two.
        colour: of the RGB backbone where there are two; None for that of ``backbone``.
        shared: of the backbone's layers that see both cameras; None for that of ``backbone``.
        head: of the neck and the head.
        merge: of what joins two backbones.
        addition: of what adds the thermal backbone behind the merge (``thermal_level``); None for
            that of ``merge``.
    """

    backbone: float = Field(1.0, ge=0, le=1)
    colour: float | None = Field(None, ge=0, le=1)
    shared: float | None = Field(None, ge=0, le=1)
    head: float = Field(1.0, ge=0, le=1)
    merge: float = Field(1.0, ge=0, le=1)
    addition: float | None = Field(None, ge=0, le=1)


class HoldConfig(Strict):
    """How strongly class scores are held near a teacher's.

    On real RGB pictures only where a phase has such sets (``real_rgb``), else on all. Where an
    object is labelled its class is free. The distance is a sum over cells, and over stock's 80
    classes: with a weight of 0.1 and ``others`` of 0.1 it draws about as much as labels do.

    Attributes:
        weight: of the distance beside the objective; 0 for none.
        teacher: ``best.pt`` or ``final.pt`` of a run, a released bundle, or stock weights as
            ``.onnx`` or ``.npz``; by default the ``stock`` that the model starts as.
        labels: factor of a label of ours that the teacher knows too; 1 where none is given.
        others: factor of the teacher's other classes, where the head's hidden layers are as
            wide as the teacher's.
        enlarged: let the teacher look at twice the size as well, and hold what it finds there,
            too: it finds small objects that it misses at the size that is trained at. A level of
            stride 4 is held near the teacher's finest one, in scores and boxes.
    """

    weight: float = Field(0.0, ge=0)
    teacher: Path | None = None
    labels: dict[str, float] = Field(default_factory=dict)
    others: float = Field(0.5, ge=0)
    enlarged: bool = False


class TrainingConfig(Strict):
    """What all phases share: AdamW with a linear warm-up and a cosine from ``lr0``.

    Attributes:
        name: of the run.
        epochs: how long; an epoch shows as many images as the sets hold.
        steps: how long, instead.
        minutes: how long, in place of either: the cosine ends when they are over, validations
            included. Such a run is resumed with the time that is left, and does not end with
            the same weights twice.
        batch: images a forward pass, of all processes together; ``auto`` takes as many as fit
            into memory and makes up to 64 a step by accumulation.
        accumulate: forward passes a step; with ``auto`` it is chosen too.
        lr0: learning rate after the warm-up.
        lrf: part of it that is left at the end.
        warmup_epochs: of the linear warm-up.
        warmup_steps: the same, instead.
        momentum: AdamW's first beta.
        weight_decay: of convolution kernels.
        clip_norm: greatest norm of the gradient.
        ema: decay of the averaged weights, a step.
        amp: mixed precision: bfloat16, or float16 with a scaled loss on a GPU that lacks it.
        keep_statistics: normalisation keeps the statistics that the model starts with, but for
            a level finer than stride 8.
        rates: shares of the learning rate, by layer.
        hold: keeps class scores near a teacher's.
        val: split that chooses ``best.pt`` and ends the training; None for no validation.
        val_data: converted set that it is of; by default the one that is trained on.
        val_images: most images of it, evenly spread; None for all.
        val_imgsz: height and width of the validation input, pixels; by default ``imgsz``
            where whole pictures are trained on, else the frames' own.
        validate_epochs: epochs between two validations.
        validate_steps: the same, instead.
        patience: validations without a better score after which training ends; 0 for never.
        device: auto, cpu, cuda or cuda:N.
        workers: threads that prepare images ahead.
        seed: of everything that is drawn.
        checkpoint_seconds: a checkpoint is written at least this often.
    """

    #: See :func:`.config.load_config`.
    FORMER: ClassVar[Mapping[str, str]] = FORMER_KEYS
    name: str
    epochs: int | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)
    batch: Annotated[int, Field(gt=0)] | Literal["auto"] = 16
    accumulate: int = Field(1, gt=0)
    lr0: float = Field(1e-3, gt=0)
    lrf: float = Field(0.01, gt=0, le=1)
    warmup_epochs: float | None = Field(None, ge=0)
    warmup_steps: int | None = Field(None, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    clip_norm: float = Field(10.0, gt=0)
    ema: float = Field(0.998, gt=0, lt=1)
    amp: bool = True
    keep_statistics: bool = False
    rates: LayerRates = LayerRates()
    hold: HoldConfig = HoldConfig()
    val: str | None = None
    val_data: Path | None = None
    val_images: int | None = Field(None, gt=0)
    val_imgsz: tuple[int, int] | None = None
    validate_epochs: float | None = Field(None, gt=0)
    validate_steps: int | None = Field(None, gt=0)
    patience: int = Field(15, ge=0)
    device: str = "auto"
    workers: int = Field(0, ge=0, le=64)
    seed: int = 1
    checkpoint_seconds: float = Field(240.0, gt=0, le=600)

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, values: Any) -> Any:
        """One length, one warm-up, one interval: what is given, else the class's, else these."""
        if not isinstance(values, Mapping):
            return values
        length = cls._one_of(values, {"epochs": 100, "steps": None})
        whole = length["epochs"] is not None and values.get("minutes") is None
        warmup = {"warmup_epochs": 3.0, "warmup_steps": None}
        interval = {"validate_epochs": 1.0, "validate_steps": None}
        if not whole:
            warmup = {"warmup_epochs": None, "warmup_steps": 100}
            interval = {"validate_epochs": None, "validate_steps": 500}
        return {**values, **length, **cls._one_of(values, warmup), **cls._one_of(values, interval)}

    @classmethod
    def _one_of(cls, values: Mapping[str, Any], default: Mapping[str, Any]) -> Mapping[str, Any]:
        given = {key: values[key] for key in default if values.get(key) is not None}
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} say the same; give one of them")
        own = {key: cls.model_fields[key].default for key in default}
        if not given:
            return default if all(value is None for value in own.values()) else own
        return {key: given.get(key) for key in default}

    @model_validator(mode="after")
    def _hold_has_a_teacher(self) -> TrainingConfig:
        if self.hold.weight and self.hold.teacher is None and not getattr(self, "stock", None):
            raise ValueError("hold needs a teacher: weights that it holds near to")
        return self

    @model_validator(mode="after")
    def _whole_cells(self) -> TrainingConfig:
        if self.val_imgsz is not None and any(side < 32 or side % 32 for side in self.val_imgsz):
            raise ValueError("val_imgsz: both sides must be multiples of 32")
        return self

    @property
    def step_images(self) -> int:
        """Images a step, of all processes together; of ``auto`` what it aims at."""
        return NOMINAL if self.batch == "auto" else self.batch * self.accumulate


class NetworkConfig(TrainingConfig):
    """What a phase that trains a detection network says of it.

    Attributes:
        model: Ultralytics model file; ``yolo11n-p2.yaml`` has a level of stride 4.
        labels: in the order of the network's class ids.
        imgsz: side of a training image, pixels.
        loss: focal weighting and class weights.
        pretrained: what to start from: ``best.pt`` or ``final.pt`` of a run, an Ultralytics
            checkpoint, or float.onnx of a released bundle; or nothing.
        pretrained_classes: of a float.onnx the class that each label takes, or none of them;
            by default the one of the same place.
    """

    model: str = "yolo11n.yaml"
    labels: list[str] = Field(min_length=1)
    imgsz: int = Field(640, ge=32, multiple_of=32)
    loss: LossConfig = LossConfig()
    pretrained: Path | None = None
    pretrained_classes: tuple[int | None, ...] | None = None

    @model_validator(mode="after")
    def _one_a_label(self) -> NetworkConfig:
        weights, count = self.loss.class_weights, len(self.labels)
        if weights and len(weights) != count:
            raise ValueError(f"loss has {len(weights)} class weights for {count} labels")
        class_rows(self.labels, self.pretrained_classes, "pretrained_classes")
        return self

    @model_validator(mode="after")
    def _val_has_a_set(self) -> NetworkConfig:
        if self.val is not None and self.val_root is None:
            raise ValueError(f"val {self.val!r} needs val_data, the set that it is of")
        return self

    @property
    def spec(self) -> ModelSpec:
        """What its model is built from."""
        return ModelSpec.model_validate(self.model_dump())

    @property
    def val_root(self) -> Path | None:
        """Set that validates: ``val_data``, else the one that is trained on, if it is one."""
        own = getattr(self, "data", None)
        return self.val_data or (own if isinstance(own, Path) else None)

    @property
    def val_hw(self) -> tuple[int, int] | None:
        """Height and width of the validation input; None for the frames' own."""
        return self.val_imgsz

    @property
    def class_rows(self) -> list[int | None]:
        """For each label the class of a float.onnx that it takes."""
        return class_rows(self.labels, self.pretrained_classes, "pretrained_classes")


class CropConfig(NetworkConfig):
    """What a phase that is trained on crops of frames says of how they are made.

    Attributes:
        crops: ``opencv`` makes them on the CPU, ``torch`` on the device that is trained on;
            ``auto`` is ``torch`` on a GPU and ``opencv`` without one. Both make the same crops
            but for rounding and the noise's own values.
        frames_share: largest part of a GPU's free memory that frames may take with ``torch``;
            windows of the other frames are sent for each crop.
    """

    crops: Literal["auto", "opencv", "torch"] = "auto"
    frames_share: float = Field(0.5, ge=0, le=0.9)

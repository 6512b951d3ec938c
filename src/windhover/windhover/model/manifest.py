"""What ``bundle.yaml`` may say: the declaration of a model bundle, as types.

The fields, in the order of the file: who the model is, what goes in,
what raw heads come out, the thresholds it was tuned for, where it came from,
and the files with their hashes. Everything is validated when it is read, so
the rest of the code never asks whether a declaration makes sense.
"""

from __future__ import annotations

from enum import Enum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from windhover.errors import ConfigError
from windhover.imaging.agc import ToneConfig

FORMAT_VERSION = 1
"""The only ``format`` of bundle.yaml that this code reads and writes."""

CHANNEL_COUNT = {"rgb": 3, "thermal": 1, "rgbt": 4}
"""Image planes each kind of model takes: B,G,R / T / B,G,R,T."""

DEFAULT_POINT = "balanced"
"""The operating point that ``thresholds`` stands for, which every bundle has."""

REG_MAX = {"yolo11": 16, "yolo26": 1}
"""Distance bins per box side of each head family; 1 means no distribution."""


class Role(str, Enum):
    """What a file of a bundle is for; the value is its key under ``files``."""

    FLOAT_ONNX = "float_onnx"
    INT8_ONNX = "int8_onnx"
    INT8_DLC = "int8_dlc"
    QCS8550_BIN = "qcs8550_bin"


STANDARD_FILES = {
    Role.FLOAT_ONNX: "float.onnx",
    Role.INT8_ONNX: "int8.onnx",
    Role.INT8_DLC: "int8.dlc",
    Role.QCS8550_BIN: "qcs8550.bin",
}
"""File name that a bundle's writer looks for, per role."""


class _Strict(BaseModel):
    """Read-only, and a misspelt key is an error rather than a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Label = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")]
PointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class InputSpec(_Strict):
    """The one image input of the graph, ``(batch, height, width, channels)`` uint8."""

    name: str = Field(min_length=1)
    height: int = Field(ge=32, le=8192)
    width: int = Field(ge=32, le=8192)
    channels: int = Field(ge=1, le=4)
    layout: Literal["nhwc"] = "nhwc"
    dtype: Literal["uint8"] = "uint8"
    batch: int = Field(default=1, ge=1, le=64)

    @property
    def hw(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.height, self.width

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the graph's input tensor."""
        return self.batch, self.height, self.width, self.channels


class OutputSpec(_Strict):
    """One raw head output, ``(1, height/stride, width/stride, channels)``.

    ``scale`` and ``zero_point`` say what a uint8 output means:
    ``real = (q - zero_point) * scale``. An output that comes as float32 is
    taken as it is.
    """

    name: str = Field(min_length=1)
    stride: int = Field(ge=1, le=256)
    kind: Literal["box", "score"]
    scale: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    zero_point: int | None = Field(default=None, ge=0, le=255)

    @model_validator(mode="after")
    def _check_quantisation(self) -> OutputSpec:
        if (self.scale is None) != (self.zero_point is None):
            raise ValueError(f"output {self.name} needs both scale and zero_point, or neither")
        return self


class HeadSpec(_Strict):
    """The raw outputs that the graph ends at and how their boxes are coded.

    Attributes:
        family: whose coding it is.
        reg_max: distance bins of a box side: 16 of yolo11, 1 of yolo26.
        strides: of the head's levels, rising: 8, 16, 32, with 4 before them where a model has
            that level.
        outputs: a box and a score tensor a stride, in the order that the graph gives them.
    """

    family: Literal["yolo11", "yolo26"]
    reg_max: int
    strides: tuple[int, ...] = Field(min_length=1, max_length=8)
    outputs: tuple[OutputSpec, ...]

    @model_validator(mode="after")
    def _check_outputs(self) -> HeadSpec:
        if self.reg_max != REG_MAX[self.family]:
            raise ValueError(
                f"reg_max {self.reg_max} does not go with {self.family}, "
                f"which has {REG_MAX[self.family]}"
            )
        if list(self.strides) != sorted(set(self.strides)):
            raise ValueError(f"strides must rise without repeats, not {list(self.strides)}")
        names = [o.name for o in self.outputs]
        if len(set(names)) != len(names):
            raise ValueError(f"output names must differ, not {names}")
        declared = sorted((o.stride, o.kind) for o in self.outputs)
        wanted = sorted((s, k) for s in self.strides for k in ("box", "score"))
        if declared != wanted:
            raise ValueError(
                "outputs must hold one box and one score tensor for each of the strides "
                f"{list(self.strides)}, not {[f'{k} at {s}' for s, k in declared]}"
            )
        return self

    @property
    def box_channels(self) -> int:
        """Channels of a box output: left, top, right, bottom, ``reg_max`` bins each."""
        return 4 * self.reg_max


class Thresholds(_Strict):
    """Where detections are cut, as tuned when the model was validated.

    Attributes:
        score: least score of a detection, 0..1, strictly exceeded.
        iou: boxes of one class that overlap more than this are one object.
        max_detections: most detections in a frame.
        per_class: label -> least score, where it differs from ``score``.
    """

    score: Fraction = 0.25
    iou: Fraction = 0.6
    max_detections: int = Field(default=300, ge=1, le=10_000)
    per_class: dict[str, Fraction] = Field(default_factory=dict)

    def score_vector(self, labels: tuple[str, ...]) -> tuple[float, ...]:
        """Least score of each class, in the order of ``labels``."""
        return tuple(self.per_class.get(label, self.score) for label in labels)


def _inside(value: str) -> str:
    """A relative path that stays inside the bundle."""
    parts = PurePosixPath(value)
    if parts.is_absolute() or ".." in parts.parts or set(value) & set("\\:\0"):
        raise ValueError(f"path {value!r} must be relative and stay inside the bundle")
    return value


class FileSpec(_Strict):
    """A file of the bundle: where, its hash and its length in bytes."""

    path: str = Field(min_length=1, max_length=255)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1, le=1 << 30)

    @field_validator("path")
    @classmethod
    def _path_inside(cls, value: str) -> str:
        return _inside(value)


class SecondLookSpec(_Strict):
    """A second graph that looks at chips of what the first one found.

    Attributes:
        bundle: folder inside the bundle that holds the second graph as a bundle of its own.
        sha256: of that folder's bundle.yaml, so that the parent's signature covers it.
        span_m: side of a chip, metres.
        look_at: labels of the first look that chips are cut around.
        find_rate: share of objects that one look finds at the second graph's thresholds.
        false_rate: share of chips without an object in which one look finds something.
    """

    bundle: str = Field(min_length=1, max_length=64)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    span_m: float = Field(gt=0.1, le=50.0)
    look_at: tuple[Label, ...] = Field(min_length=1)
    find_rate: float = Field(default=0.7, gt=0.0, lt=1.0)
    false_rate: float = Field(default=0.03, gt=0.0, lt=1.0)

    @field_validator("bundle")
    @classmethod
    def _bundle_inside(cls, value: str) -> str:
        return _inside(value)


class Manifest(_Strict):
    """All of ``bundle.yaml``.

    Attributes:
        thresholds: what is cut by default: the operating point ``balanced``.
        operating_points: name -> label -> least score of each label, for ``balanced``
            (near best F1) and others, such as ``quiet`` (few false alarms). Bundles from before
            they existed have none: ``thresholds`` is their ``balanced``.
        second_look: a second graph inside the bundle.
        provenance: where the model came from and what it scores, for the card.
    """

    format: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: str = Field(min_length=1, max_length=32)
    labels: tuple[Label, ...] = Field(min_length=1, max_length=1000)
    channels: Literal["rgb", "thermal", "rgbt"]
    input: InputSpec
    tone: ToneConfig = ToneConfig()
    head: HeadSpec
    thresholds: Thresholds = Thresholds()
    operating_points: dict[PointName, dict[Label, Fraction]] = Field(default_factory=dict)
    second_look: SecondLookSpec | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)
    files: dict[Role, FileSpec] = Field(min_length=1)

    @property
    def modality(self) -> Literal["rgb", "thermal", "rgbt"]:
        """Which cameras' pictures the model is for; the file's key is ``channels``."""
        return self.channels

    @model_validator(mode="after")
    def _check_consistency(self) -> Manifest:
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise ValueError(f"labels must differ, but {twice} appear more than once")
        if self.input.channels != CHANNEL_COUNT[self.modality]:
            raise ValueError(
                f"a {self.modality} model has {CHANNEL_COUNT[self.modality]} input channels, "
                f"not {self.input.channels}"
            )
        coarsest = self.head.strides[-1]
        if any(side % stride for side in self.input.hw for stride in self.head.strides):
            raise ValueError(
                f"input {self.input.width}x{self.input.height} must divide by every stride "
                f"up to {coarsest}"
            )
        unknown = sorted(set(self.thresholds.per_class) - set(self.labels))
        if unknown:
            raise ValueError(f"thresholds.per_class names {unknown}, which are not labels")
        self._check_points()
        if self.second_look is not None:
            absent = sorted(set(self.second_look.look_at) - set(self.labels))
            if absent:
                raise ValueError(f"second_look.look_at names {absent}, which are not labels")
        return self

    def _check_points(self) -> None:
        for point, scores in self.operating_points.items():
            if set(scores) != set(self.labels):
                raise ValueError(f"operating_points.{point} must give a score for each label")
        balanced = self.operating_points.get(DEFAULT_POINT)
        if self.operating_points and balanced is None:
            raise ValueError(f"operating_points must have {DEFAULT_POINT}")
        if balanced is not None:
            own = dict(zip(self.labels, self.thresholds.score_vector(self.labels), strict=True))
            if own != balanced:
                raise ValueError(f"thresholds must be those of operating_points.{DEFAULT_POINT}")

    @property
    def point_names(self) -> tuple[str, ...]:
        """The operating points that there are, the default one first."""
        return (DEFAULT_POINT, *(name for name in self.operating_points if name != DEFAULT_POINT))

    def thresholds_at(self, point: str = DEFAULT_POINT) -> Thresholds:
        """Thresholds of an operating point.

        Raises:
            ConfigError: there is none of that name.
        """
        if point not in self.point_names:
            raise ConfigError(
                f"{self.name} {self.version} has no operating point {point!r}; it has "
                f"{', '.join(self.point_names)}"
            )
        if point == DEFAULT_POINT:
            return self.thresholds
        scores = self.operating_points[point]
        return self.thresholds.model_copy(
            update={"score": min(scores.values()), "per_class": dict(scores)}
        )

    def output_shape(self, output: OutputSpec) -> tuple[int, int, int, int]:
        """Shape that the graph must give ``output``."""
        channels = self.head.box_channels if output.kind == "box" else len(self.labels)
        height, width = self.input.hw
        return self.input.batch, height // output.stride, width // output.stride, channels

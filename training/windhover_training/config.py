"""Typed configuration: YAML files under ``training/configs`` validated by pydantic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from windhover.errors import ConfigError

Range = tuple[float, float]


class Strict(BaseModel):
    """Base of every config: read-only, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Augmentation(Strict):
    """Ranges and probabilities of the crop sampler; lengths in pixels, levels in 0..255.

    Attributes:
        fade: of each object of ``fade_classes``: its contrast against the ground is changed.
        tone: how often a tone curve and local contrast are changed, as another camera's tone
            mapping would.
        turned: class -> how often all of that class in a crop are turned from warm to cold, or
            back: parked cars, which are warmer than the ground by day and colder by night.
    """

    scale_near: Range = (0.8, 1.3)
    scale_wide: Range = (0.65, 2.5)
    wide_probability: float = Field(0.45, ge=0, le=1)
    on_object: float = Field(0.88, ge=0, le=1)
    flip_horizontal: float = Field(0.5, ge=0, le=1)
    flip_vertical: float = Field(0.25, ge=0, le=1)
    transpose: float = Field(0.25, ge=0, le=1)
    stretch: float = Field(0.25, ge=0, le=1)
    invert: float = Field(0.3, ge=0, le=1)
    gain: Range = (0.55, 1.6)
    level: float = Field(35.0, ge=0, le=128)
    gradient: float = Field(0.2, ge=0, le=1)
    tone: float = Field(0.0, ge=0, le=1)
    blur: float = Field(0.15, ge=0, le=1)
    noise: float = Field(0.3, ge=0, le=1)
    fade: float = Field(0.0, ge=0, le=1)
    fade_classes: list[int] = [0]
    turned: dict[int, Annotated[float, Field(ge=0, le=1)]] = {}
    lamps: float = Field(0.0, ge=0, le=1)
    flight_weights: dict[str, float] = {}


class RenderedMix(Strict):
    """How rendered scenes are mixed in: a pool is rendered once, then drawn from."""

    share: float = Field(0.0, ge=0, le=0.9)
    pool: Path | None = None


class LossConfig(Strict):
    """The classification part of the loss.

    Attributes:
        focal: use the focal loss (Lin et al., "Focal Loss for Dense Object Detection",
            ICCV 2017, eq. 5) in place of the plain one.
        alpha: weight of an object's own class against all others, 0..1.
        gamma: how much what is already known well counts less; 0 is not focal.
        class_weights: a factor for each label, in their order; empty for none.
    """

    focal: bool = False
    alpha: float = Field(0.25, gt=0, lt=1)
    gamma: float = Field(2.0, ge=0)
    class_weights: tuple[float, ...] = ()


class ModelSpec(BaseModel):
    """What is needed to build a model again; every training config has these keys.

    Other keys are left alone: this also reads a whole config. ``head_classes`` is how many
    classes the head's hidden layers are made for, if not one a label. The thermal backbone goes
    on to ``thermal_level``.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    labels: list[str]
    channels: int = 4
    fusion: Literal["cbam", "early", "rgb", "thermal"] | None = None
    levels: tuple[str, ...] = ("p3",)
    head_classes: int | None = Field(None, gt=0)
    thermal_level: str | None = None


def class_ids(names: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Where some labels stand among a model's.

    Raises:
        ValueError: one is none of them.
    """
    unknown = [name for name in names if name not in labels]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no label; there are {', '.join(labels)}")
    return [list(labels).index(name) for name in names]


def class_rows(
    labels: Sequence[str], taken: Sequence[int | None] | None, key: str
) -> list[int | None]:
    """For each label the class of other weights that it takes.

    Args:
        labels: of the model.
        taken: as a config gives them; None for those of the same place.
        key: of the config.

    Raises:
        ValueError: they are not one a label.
    """
    if taken is None:
        return list(range(len(labels)))
    if len(taken) != len(labels):
        raise ValueError(f"{key} are {len(taken)} for {len(labels)} labels")
    return list(taken)


RangeMethod = Literal["minmax", "percentile", "mse", "entropy"]


class QuantisationConfig(Strict):
    """How a graph is quantised, and which training images it is calibrated on.

    Attributes:
        method: how the ranges of inner activations are chosen.
        percentile: for the method of that name.
        score_range: largest score of the outputs as a logit; 8 is a score of 0.9997.
        per_channel: one weight scale an output channel instead of one a tensor.
        a16: beginnings of names of layers whose activations get 16 bits.
    """

    data: list[Path]
    images: int = Field(48, gt=0)
    method: RangeMethod = "mse"
    percentile: float = Field(99.999, gt=50, le=100)
    score_range: float = Field(8.0, ge=4, le=32)
    per_channel: bool = True
    a16: list[str] = []
    seed: int = 0


class LabelledSplit(Strict):
    """A split that thresholds are chosen on, or that is scored.

    Attributes:
        data: converted or rendered set.
        split: of it.
        labelled: labels that count there; empty for all that it holds.
        frames: so many images, evenly from all; None for all.
    """

    data: Path
    split: str
    frames: int | None = Field(None, gt=0)
    labelled: tuple[str, ...] = ()

    @property
    def truth(self) -> Path:
        """COCO file of the split."""
        return self.data / "truth" / f"{self.split}.json"

    @property
    def pictures(self) -> Path:
        """Folder of the split's pictures."""
        return self.data / "images" / self.split


def _pair_as_split(value: Any) -> Any:
    """``[folder, split]`` as a mapping; anything else as it is."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return {"data": value[0], "split": value[1]}
    return value


ScoredSplit = Annotated[LabelledSplit, BeforeValidator(_pair_as_split)]


class ReleaseConfig(Strict):
    """One model bundle: what it is made from and what it is scored on.

    Attributes:
        checkpoint: ``best.pt`` or ``final.pt`` of a run, an Ultralytics ``.pt`` or ONNX, or a
            released bundle, whose float.onnx is quantised again.
        quantised: int8.onnx that ``train qat`` made, instead of quantising here.
        scores: name of a set -> what is reported: ``[folder, split]`` where all its labels count.
        thresholds_on: splits that the operating point ``balanced`` is chosen on: the best mean
            F1 of all of them.
        least_precision: of some labels, which their thresholds are to reach there.
        least_score: of some labels, below which their thresholds may not be; for a label that
            a model hardly knows.
        quiet_on: splits with nothing to find (of ``labelled``): for ``quiet`` thresholds are
            raised until anything is found in no more than ``alarms`` of their images, a
            share. Not ``empty``.
        point_frames: images of each set that precision and recall are counted on where a
            released bundle gets other operating points; None for all.
        empty: folder and split with nothing to find, for false alarms.
        ablation: metrics.json of ``train ablation``.
        tracking: metrics.json of a flight through detector and tracker, as ``windhover demo``
            and ``windhover replay`` write it.
        soc: chip that the graph is compiled for.
        htp_frames: images of each set that go through the HTP or its emulator; 0 for none.
        stress_frames: images that are changed by occlusion, glare and blur.
        jobs: processes that score the sets at the same time.
    """

    name: str
    version: str
    checkpoint: Path
    quantised: Path | None = None
    height: int = Field(512, multiple_of=32)
    width: int = Field(640, multiple_of=32)
    calibration: QuantisationConfig
    iou: float = Field(0.6, gt=0, lt=1)
    scores: dict[str, ScoredSplit]
    thresholds_on: tuple[LabelledSplit, ...] = Field(min_length=1)
    least_precision: dict[str, float] = {}
    least_score: dict[str, float] = {}
    quiet_on: tuple[LabelledSplit, ...] = ()
    alarms: float = Field(0.01, gt=0, lt=1)
    point_frames: int | None = Field(None, gt=0)
    empty: tuple[Path, str] | None = None
    ablation: Path | None = None
    tracking: Path | None = None
    soc: str = "qcs8550"
    htp_frames: int = Field(24, ge=0)
    stress_frames: int = Field(60, gt=0)
    jobs: int = Field(1, gt=0, le=64)
    provenance: dict[str, Any]


Config = TypeVar("Config", bound=BaseModel)


def load_config(
    path: Path, kind: type[Config], settings: Mapping[str, Any] | None = None
) -> Config:
    """Read and validate a YAML config.

    Args:
        path: the file; relative paths inside it are relative to the working folder.
        kind: the pydantic model to validate against.
        settings: dotted keys and values that take the place of the file's.

    Raises:
        ConfigError: the file can't be read, or a key is unknown, missing or out of range. Keys
            of ``kind.FORMER`` are refused with what they are called now.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}); give a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML ({error})") from error
    for key, value in (settings or {}).items():
        _set(values, key.split("."), value, path)
    _refuse_former(values, getattr(kind, "FORMER", {}), path)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(f"{path}: {where}: {first['msg']}{more}; correct it") from error


def _set(values: Any, keys: list[str], value: Any, path: Path) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {}) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {'.'.join(keys)} can't be set: it is not inside a mapping")
    values[keys[-1]] = value


def _refuse_former(values: Any, former: Mapping[str, str], path: Path) -> None:
    found = [f"{key} is now {former[key]}" for key in former_keys(values, former)]
    if found:
        raise ConfigError(f"{path}: {'; '.join(found)}; rename them (CHANGELOG.md has the list)")


def _dotted(values: Any) -> Iterator[str]:
    """Keys of a mapping and, as ``a.b``, of the mappings in it."""
    for key, value in values.items() if isinstance(values, Mapping) else ():
        yield str(key)
        yield from (f"{key}.{inner}" for inner in _dotted(value))


def former_keys(values: Any, former: Mapping[str, str]) -> list[str]:
    """Keys of a config that an earlier version wrote and this one calls otherwise."""
    return [key for key in _dotted(values) if key in former]

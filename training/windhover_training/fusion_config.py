"""Settings of the RGB + thermal phases."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from .config import Augmentation, Range, Strict
from .training_config import CropConfig


class RgbtAugmentation(Strict):
    """What is done to crops of registered RGB + thermal frames; lengths in pixels."""

    scale_near: Range = (0.8, 1.25)
    scale_wide: Range = (0.6, 1.7)
    wide_probability: float = Field(0.35, ge=0, le=1)
    on_object: float = Field(0.7, ge=0, le=1)
    rgb_gain: Range = (0.6, 1.5)
    rgb_tint: float = Field(0.08, ge=0, le=0.5)
    rgb_noise: float = Field(7.0, ge=0, le=60)
    blur: float = Field(0.12, ge=0, le=1)
    thermal_gain: Range = (0.65, 1.4)
    thermal_level: float = Field(25.0, ge=0, le=128)
    thermal_invert: float = Field(0.05, ge=0, le=1)
    thermal_tone: float = Field(0.0, ge=0, le=1)
    misregistration: float = Field(1.2, ge=0, le=20)
    blank_rgb: float = Field(0.1, ge=0, le=1)
    blank_thermal: float = Field(0.1, ge=0, le=1)
    stale_thermal: float = Field(0.04, ge=0, le=1)
    paste: float = Field(0.25, ge=0, le=1)


class ClearConfig(Strict):
    """Scenes with nothing to find, of the set's split ``clear``.

    Attributes:
        share: of a batch.
        mined: frames, evenly from all, that the starting weights look at first: crops are
            then centred (``on_object``) on what they wrongly find. 0 for none.
        score: of a find that counts.
    """

    share: float = Field(0.0, ge=0, le=0.9)
    mined: int = Field(0, ge=0)
    score: float = Field(0.1, gt=0, lt=1)


class SceneStream(Strict):
    """Scenes that are rendered while training reads them, in place of a set on disk.

    Attributes:
        scenes: in the pool of each split at a time.
        first: number of the first scene of each split; 0 is that of ``data render-rgbt``.
        frames: of each scene.
        steps: training steps after which the oldest scene makes way for the next.
        jobs: processes that render, beside those that train.
        textures: folder of pictures for the ground (``data cut-textures``), or none.
    """

    scenes: int = Field(64, gt=0)
    first: int = Field(0, ge=0)
    frames: int = Field(4, gt=0)
    steps: int = Field(4, gt=0)
    jobs: int = Field(1, gt=0, le=256)
    textures: Path | None = None


class RealRgb(Strict):
    """Real RGB pictures in every batch, with thermal blank but for ``made_thermal``.

    Attributes:
        data: converted set.
        splits: of it.
        labelled: labels that the set has all of; of the others nothing is judged.
        share: of a batch.
        mosaic: heights of the rows, pixels, of frames that are made of whole pictures side
            by side; for pictures from the ground, whose people are large. None shows the
            pictures as they are.
    """

    data: Path
    splits: tuple[str, ...] = ("train",)
    labelled: tuple[str, ...] = ()
    share: float = Field(gt=0, le=0.9)
    mosaic: Range | None = None
    made_thermal: float = Field(0.0, ge=0, le=1)
    augmentation: RgbtAugmentation = RgbtAugmentation()


class FusionConfig(CropConfig):
    """One run of ``train fusion``.

    Attributes:
        data: set of ``data render-rgbt``, or scenes that are made as they are needed.
        armed_share: share of a batch that comes from the set's split of armed crowds.
        clear: how empty scenes are shown.
        thermal_only: sets of HIT-UAV, converted, or one of them; their crops have no RGB but for
            ``night_rgb``.
        thermal_share: share of a batch that comes from them.
        night_rgb: part of those crops that have a dark RGB picture of another place, taken of
            those ``real_rgb`` sets that are shown as they are.
        thermal_unlabelled: labels that they show without a box.
        cutouts: folder of close-up weapon pictures to paste from (``augmentation.paste`` is
            the share of unarmed people that get one), or none.
        class_weights: how strongly frames and objects of each class are drawn.
        head_classes: how many classes the head's hidden layers are made for; 80 for stock.
        thermal_level: level behind the merge to which the thermal backbone goes on, to be added
            there: it then has layers of its own, and RGB with thermal blank gives what it gave.
        stock: stock weights that a run without ``pretrained`` starts as (:mod:`.engine.stock`), and
            that ``hold`` holds it near to.
        thermal_pretrained: released float.onnx of a network for thermal alone, whose backbone the
            thermal side takes in place of that of ``pretrained``.
        real_rgb: sets of real RGB pictures.
    """

    fusion: Literal["cbam", "early", "rgb", "thermal"] = "cbam"
    levels: tuple[Literal["p2", "p3", "p4", "p5"], ...] = ("p3",)
    data: Path | SceneStream
    armed_share: float = Field(0.0, ge=0, le=0.9)
    clear: ClearConfig = ClearConfig()
    thermal_only: tuple[Path, ...] = ()
    thermal_share: float = Field(0.25, ge=0, le=0.9)
    night_rgb: float = Field(0.0, ge=0, le=1)
    thermal_unlabelled: tuple[str, ...] = ()
    thermal_augmentation: Augmentation = Augmentation()
    cutouts: Path | None = None
    imgsz: int = Field(256, ge=32, multiple_of=32)
    class_weights: list[float]
    augmentation: RgbtAugmentation = RgbtAugmentation()
    head_classes: int | None = Field(None, gt=0)
    thermal_level: Literal["p4"] | None = None
    stock: Path | None = None
    thermal_pretrained: Path | None = None
    real_rgb: tuple[RealRgb, ...] = ()

    @field_validator("thermal_only", mode="before")
    @classmethod
    def _one_set(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str | Path) else given

    @model_validator(mode="after")
    def _what_scenes_lack(self) -> FusionConfig:
        if isinstance(self.data, SceneStream) and self.clear.mined:
            raise ValueError("clear.mined looks at a set on disk; make one, or set it to 0")
        return self

    @model_validator(mode="after")
    def _thermal_side_of(self) -> FusionConfig:
        folded = self.pretrained is not None and self.pretrained.suffix == ".onnx"
        if self.thermal_pretrained is not None and not (folded and self.fusion == "cbam"):
            raise ValueError("thermal_pretrained needs fusion: cbam and a float.onnx in pretrained")
        return self

    @model_validator(mode="after")
    def _goes_on_behind(self) -> FusionConfig:
        if self.thermal_level is None:
            return self
        if self.fusion != "cbam" or len(self.levels) > 1 or self.levels[0] >= self.thermal_level:
            raise ValueError("thermal_level needs fusion: cbam and one finer level in levels")
        if not self.keep_statistics:
            raise ValueError("thermal_level needs keep_statistics: a black picture has none")
        return self

    @model_validator(mode="after")
    def _what_is_made_of(self) -> FusionConfig:
        if self.night_rgb and all(own.mosaic is not None for own in self.real_rgb):
            raise ValueError("night_rgb needs a set of real_rgb without mosaic to make RGB of")
        if any(own.made_thermal for own in self.real_rgb) and not self.thermal_only:
            raise ValueError("made_thermal makes thermal of thermal_only; name that set")
        return self

    @property
    def channels(self) -> int:
        """Input channels of the model: B, G, R, T."""
        return 4

"""Settings of ``train second-look``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from .config import Range, Strict
from .training_config import CropConfig


class ChipAugmentation(Strict):
    """What is done to chips; lengths in pixels of the chip, levels in 0..255.

    Attributes:
        shift: the chip's middle moves by at most this, each way.
        gain: brightness, a factor.
        tint: largest relative change of one colour.
        contrast: share of chips whose contrast is changed.
        grey: share of chips that are made grey.
        blur: share of chips that are blurred.
        noise: share of chips with noise, of at most ``noise_level``.
        coarse: share of chips as a camera of fewer pixels sees them.
    """

    shift: float = Field(14.0, ge=0, le=80)
    gain: Range = (0.5, 1.8)
    tint: float = Field(0.12, ge=0, le=0.5)
    contrast: float = Field(0.3, ge=0, le=1)
    grey: float = Field(0.25, ge=0, le=1)
    blur: float = Field(0.3, ge=0, le=1)
    noise: float = Field(0.4, ge=0, le=1)
    noise_level: float = Field(9.0, ge=0, le=60)
    coarse: float = Field(0.25, ge=0, le=1)


class ChipPool(Strict):
    """One source of chips.

    Attributes:
        data: set in the layout of ``data render-chips`` and ``data cut-chips``.
        splits: of it.
        share: of a batch.
        scale: range of the factor that chips are enlarged by.
        empty_weight: how often a chip without an object is drawn, beside 1 for one with.
    """

    data: Path
    splits: tuple[str, ...] = ("train",)
    share: float = Field(gt=0, le=1)
    scale: Range = (0.8, 1.25)
    empty_weight: float = Field(0.8, gt=0)


class SecondLookConfig(CropConfig):
    """One run of ``train second-look``.

    Attributes:
        channels: of the RGB camera.
        pools: where chips come from; their shares add up to 1.
        augmentation: how chips are changed.
        stock: COCO weights that a run without ``pretrained`` starts from.
    """

    channels: int = Field(3, ge=3, le=3)
    pools: tuple[ChipPool, ...] = Field(min_length=1)
    imgsz: int = Field(160, ge=32, multiple_of=32)
    augmentation: ChipAugmentation = ChipAugmentation()
    stock: Path | None = None

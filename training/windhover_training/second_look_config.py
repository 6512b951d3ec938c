"""Settings of ``train second-look``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from .config import LossConfig, Optimisation, Range, Strict


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


class SecondLookConfig(Strict):
    """One run of ``train second-look``.

    Attributes:
        pools: where chips come from; their shares add up to 1.
        stock: COCO weights that a run without ``init`` starts from.
        backbone_rate: share of the learning rate for the backbone that stock gave.
        taken_rate: the same for the neck and the head.
        init: ``final.pt`` of an earlier run to start from.
        device: auto, cpu, cuda or cuda:N.
    """

    name: str
    model: str = "yolo11n.yaml"
    labels: list[str]
    channels: int = Field(3, ge=3, le=3)
    pools: tuple[ChipPool, ...] = Field(min_length=1)
    crop: int = Field(160, multiple_of=32)
    augmentation: ChipAugmentation = ChipAugmentation()
    loss: LossConfig = LossConfig()
    optimisation: Optimisation
    stock: Path | None = None
    backbone_rate: float = Field(0.3, gt=0, le=1)
    taken_rate: float = Field(1.0, gt=0, le=1)
    init: Path | None = None
    seed: int = 1
    device: str = "auto"
    processes: int = Field(1, gt=0, le=64)
    checkpoint_seconds: float = Field(240.0, gt=0, le=600)

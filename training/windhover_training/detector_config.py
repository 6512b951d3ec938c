"""Settings of ``train detector``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from .config import Augmentation, RenderedMix, class_ids
from .training_config import CropConfig


class DetectorConfig(CropConfig):
    """One run of ``train detector``: crops of one camera at native scale.

    Attributes:
        channels: 1 thermal.
        unlabelled: labels that ``data`` shows without a box: nothing is judged of them there.
        data: converted set.
        splits: of it, that are trained on.
        more_data: further sets with the same labels; their ``train`` is drawn from as well.
        head_classes: how many classes the head's hidden layers are made for; 80 to go on from
            weights that started as stock.
        class_weights: how strongly frames and objects of each class are drawn.
        augmentation: how crops are changed.
        rendered: scenes that are mixed in.
    """

    channels: int = 1
    unlabelled: tuple[str, ...] = ()
    data: Path
    splits: list[str] = Field(["train"], min_length=1)
    more_data: tuple[Path, ...] = ()
    head_classes: int | None = Field(None, gt=0)
    imgsz: int = Field(320, ge=32, multiple_of=32)
    class_weights: list[float]
    augmentation: Augmentation = Augmentation()
    rendered: RenderedMix = RenderedMix()

    @model_validator(mode="after")
    def _unlabelled_are_labels(self) -> DetectorConfig:
        class_ids(self.unlabelled, self.labels)
        return self

    @property
    def real(self) -> list[tuple[Path, list[str]]]:
        """Each converted set with the splits of it that are trained on."""
        return [(self.data, self.splits), *((root, ["train"]) for root in self.more_data)]

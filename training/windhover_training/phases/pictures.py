"""What the phases that train on whole pictures share: their config, their inputs, their start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from windhover_training.data.augment.heavy import HeavyAugmentation, HeavySampler
from windhover_training.data.augment.samples import Crop
from windhover_training.data.readers.pictures import Picture, load_pictures

from ..config import class_ids
from ..engine.batches import DrawBatch
from ..engine.model import build_as, choose_device
from ..engine.objective import set_criterion
from ..engine.settings import Share
from ..runs import Run
from ..training_config import NetworkConfig
from .base import RequiredInput
from .labels import check_labels
from .training import Source, TrainingSetup, shared_inputs, take_start


class PictureConfig(NetworkConfig):
    """The config of every phase that trains on whole pictures.

    Attributes:
        channels: 1 thermal, 3 colour, 4 RGB and thermal.
        fusion: kind of model for 4 channels, as of ``train fusion``; None for one backbone.
        levels: where its two backbones meet.
        unlabelled: labels that ``data`` shows without a box: nothing is judged of them, and
            they have no score.
        data: converted or rendered set.
        splits: that are trained on.
        augmentation: how images are changed.
    """

    model: str = "yolo11s.yaml"
    unlabelled: tuple[str, ...] = ()
    channels: int = 3
    fusion: Literal["cbam", "early", "rgb", "thermal"] | None = None
    levels: tuple[Literal["p2", "p3", "p4", "p5"], ...] = ("p3",)
    data: Path
    splits: list[str] = Field(["train"], min_length=1)
    val: str = "val"
    augmentation: HeavyAugmentation = HeavyAugmentation()

    @model_validator(mode="after")
    def _fits(self) -> PictureConfig:
        if self.channels not in {1, 3, 4}:
            raise ValueError(f"channels must be 1, 3 or 4, not {self.channels}")
        if self.fusion is not None and self.channels != 4:
            raise ValueError(f"a fusion of RGB and thermal has 4 channels, not {self.channels}")
        class_ids(self.unlabelled, self.labels)
        if self.val in self.splits and self.val_root == self.data:
            raise ValueError(f"split {self.val!r} can't both be trained on and validate")
        return self

    @property
    def val_hw(self) -> tuple[int, int]:
        """Height and width of the validation input."""
        return self.val_imgsz or (self.imgsz, self.imgsz)


def inputs(
    config: PictureConfig, pretrained_made_by: str = "an earlier phase"
) -> list[RequiredInput]:
    """Truth files and weights that a config asks for."""
    made = f"windhover-train data convert ... --out {config.data}"
    needed = [
        RequiredInput(config.data / "truth" / f"{split}.json", made) for split in config.splits
    ]
    needed += shared_inputs(config, made)
    if config.pretrained is not None:
        needed.append(RequiredInput(config.pretrained, pretrained_made_by))
    return needed


def pictures_of(config: PictureConfig, run: Run, rank: int) -> list[Picture]:
    """The images that are trained on; ``data.json`` in the run folder says what was left out.

    Raises:
        DataError: there is nothing to train on, or the set does not know a label that is not
            under ``unlabelled``: it would be taught as background.
    """
    check_labels(config.data, config.splits, config.labels, config.unlabelled)
    flaws: Counter[str] = Counter()
    pictures = load_pictures(config.data, config.splits, config.channels, config.labels, flaws)
    if rank == 0:
        boxes = Counter(int(k) for picture in pictures for k in picture.classes)
        counts = {
            "images": len(pictures),
            "boxes": {label: boxes[i] for i, label in enumerate(config.labels)},
            "left_out": {text: count for text, count in flaws.items() if count},
        }
        run.write("data.json", counts)
    return pictures


def begin(
    config: PictureConfig, pictures: Sequence[Picture], sampler: HeavySampler | None = None
) -> TrainingSetup:
    """A model with the weights that it starts from, on its device, and its images.

    Args:
        config: of the phase.
        pictures: that lead, each once an epoch.
        sampler: draws training images; by default with the config's augmentation.
    """
    sampler = sampler or sampler_of(config, pictures)
    model = build_as(config.spec)
    model.to(choose_device(config.device))
    source = in_turn(sampler)
    take_start(model, config, source)
    set_criterion(model, config.loss)
    return TrainingSetup(model, len(pictures), source, unreadable=sampler.unreadable)


def sampler_of(config: PictureConfig, pictures: Sequence[Picture]) -> HeavySampler:
    """Draws training images as a config says."""
    return HeavySampler(
        pictures, config.imgsz, config.channels, config.augmentation, config.seed,
        class_ids(config.unlabelled, config.labels),
    )  # fmt: skip


def in_turn(sampler: HeavySampler) -> Source:
    """Each picture leads once an epoch; what is drawn depends on its number alone."""

    def source(share: Share) -> DrawBatch:
        def draw(step: int) -> list[Crop]:
            return [sampler.draw(step * share.images + i) for i in share.numbers]

        return draw

    return source

"""What a network may be held near: a run's weights, a released bundle, stock COCO weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from windhover.errors import ConfigError

from ..training_config import HoldConfig
from .architectures import without_fine_levels
from .hold import Holder
from .model import build_model, load_model
from .stock import COCO_CLASSES, COCO_ROWS, class_layers, read_stock
from .warm_start import warm_start

_STOCK_SUFFIXES = (".onnx", ".npz")
_COLOURS = 3


def read_holder(
    config: HoldConfig,
    architecture: str,
    channels: int,
    labels: Sequence[str],
    device: torch.device,
    *,
    marked: bool = False,
) -> Holder | None:
    """What holds a network near the teacher that its config names; None where it names none.

    Args:
        config: names the teacher and how strongly it counts.
        architecture: of a teacher whose file does not say it.
        channels: of the network's images.
        labels: of the network.
        device: where it is trained.
        marked: see :class:`.Holder`.

    Raises:
        ConfigError: the teacher looks at channels that the images lack, or knows no label.
        DataError: its file can't be read or holds another model.
    """
    if not config.weight or config.teacher is None:
        return None
    if config.teacher.suffix in _STOCK_SUFFIXES:
        weights, seen = read_stock(config.teacher), _COLOURS
        teacher = build_model(without_fine_levels(architecture), _COLOURS, COCO_CLASSES)
        warm_start(teacher, weights, list(range(COCO_CLASSES)))
        layers, rows = class_layers(weights), dict(COCO_ROWS)
    else:
        teacher, spec = load_model(config.teacher, architecture)
        seen = spec.channels
        layers = [branch[-1] for branch in teacher.model[-1].cv3]
        rows = {label: (row,) for row, label in enumerate(spec.labels)}
    check_view(config.teacher, seen, channels)
    teacher.image_channels = seen
    for part in (teacher, *layers):
        part.to(device)
    return Holder(teacher, layers, rows, labels, config, marked=marked)


def check_view(teacher: Path, seen: int, channels: int) -> None:
    """Refuse a teacher that looks at channels that images lack.

    Raises:
        ConfigError: it does.
    """
    if seen != channels and not (channels == 4 and seen in {1, _COLOURS}):
        raise ConfigError(
            f"teacher {teacher} looks at {seen} channels and the student at {channels}; use a "
            "teacher for the same images"
        )

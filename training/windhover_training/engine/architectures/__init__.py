"""Model files of our own, in Ultralytics' format, and what is done once a model is built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml
from torch import nn

from ... import compat  # noqa: F401  (must come before ultralytics)

from ultralytics.nn.tasks import DetectionModel  # isort: skip

_FOLDER: Final = Path(__file__).parent
#: ``yolo11n-p2.yaml`` -> family, scale, variant.
_NAME: Final = re.compile(r"(yolo\d+)([nslmx])(-\w+)\.yaml")
#: Finest stride of Ultralytics' models, and of all that was released.
_COMMON_STRIDE: Final = 8
_BRANCHES: Final = ("cv2", "cv3", "one2one_cv2", "one2one_cv3")


def find_architecture(name: str) -> str | dict[str, Any]:
    """What Ultralytics builds a model from.

    Args:
        name: model file. ``yolo11n-p2.yaml`` and its other scales are ours; any other is
            left to Ultralytics, which looks for a file and among its own.
    """
    parts = _NAME.fullmatch(name)
    path = _FOLDER / f"{parts[1]}{parts[3]}.yaml" if parts is not None else None
    if parts is None or path is None or not path.is_file():
        return name
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {**document, "scale": parts[2], "yaml_file": name}


def without_fine_levels(name: str) -> str:
    """The model file of stock weights: ``yolo11n.yaml`` for ``yolo11n-p2.yaml``."""
    parts = _NAME.fullmatch(name)
    return f"{parts[1]}{parts[2]}.yaml" if parts is not None and parts[3] == "-p2" else name


def sort_levels(model: DetectionModel) -> None:
    """Put the levels of a model's head in the order of their strides, finest first.

    Loss, export and bundles count cells in that order. The branches themselves stay as they are.
    """
    head = model.model[-1]
    order = head.stride.argsort().tolist()
    for name in _BRANCHES:
        branches = getattr(head, name, None)
        if branches is not None:
            setattr(head, name, nn.ModuleList(branches[level] for level in order))
    head.f = [head.f[level] for level in order]
    head.stride = head.stride[order]
    model.stride = head.stride


def fine_levels(model: DetectionModel) -> int:
    """How many levels of a model are finer than stride 8."""
    return int((model.model[-1].stride < _COMMON_STRIDE).sum())


def fine_layers(model: DetectionModel) -> tuple[str, ...]:
    """How the names begin of what a model has for levels finer than stride 8 alone.

    Such a level has branches in the head, the layer that makes its map and, where two backbones
    meet later, a merge of its own.
    """
    head, levels = model.model[-1], range(fine_levels(model))
    branches = [f"model.{head.i}.{name}.{level}." for level in levels for name in _BRANCHES]
    early = [str(end) for end in getattr(model, "merges", ()) if int(end) not in model.meets]
    merges = [f"merges.{end}." for end in early] if levels else []
    return (*(f"model.{head.f[level]}." for level in levels), *branches, *merges)

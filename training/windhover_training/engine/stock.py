"""Starts a network for both cameras as stock YOLO11 on either camera alone.

Both backbones, the neck and the head take the weights that Ultralytics trained on COCO. The
thermal backbone takes its first kernel summed over the colours. Where the cameras meet,
their feature maps are added, less what a black picture gives. So before any training the
network gives stock's scores for an RGB picture without thermal, and stock's scores of the
grey picture for a thermal one without RGB. A network that has learnt people from real
pictures is a better start than any number of rendered ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from windhover.errors import ConfigError, DataError

from .fusion import RgbtModel
from .warm_start import Weights, warm_start

#: Classes that stock networks tell apart: those of COCO.
COCO_CLASSES: Final = 80
#: COCO's rows for a label of ours, the one that a network starts with first: a car is the
#: nearest to a vehicle, and buses and lorries are some too. It has no weapon.
COCO_ROWS: Final = {"person": (0,), "vehicle": (2, 5, 7), "motorcycle": (3,)}
_LAST_CLASS: Final = re.compile(r"model\.\d+\.cv3\.\d+\.2\.weight")
_FIRST: Final = "model.0.conv.weight"


def read_stock(path: Path) -> Weights:
    """Read stock weights with the first kernel for B, G, R.

    Args:
        path: an ``.npz`` with arrays named as in Ultralytics' state dict, normalisation
            folded in and the first kernel for B, G, R already; or an ``.onnx`` that
            Ultralytics exported, which takes R, G, B.

    Raises:
        DataError: the file can't be read or holds no such weights.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                weights = {name: arrays[name].astype(np.float32) for name in arrays.files}
        else:
            tensors = onnx.load(path).graph.initializer
            weights = {
                each.name: numpy_helper.to_array(each).astype(np.float32)
                for each in tensors
                if each.name.startswith("model.")
            }
            if _FIRST in weights:
                weights[_FIRST] = weights[_FIRST][:, ::-1].copy()
    except Exception as error:  # whatever reading a damaged file raises
        raise DataError(f"{path}: can't be read ({error}); give stock weights") from error
    if weights.get(_FIRST, np.empty(0)).shape[1:2] != (3,):
        raise DataError(f"{path}: holds no {_FIRST} for three channels; give stock weights")
    return weights


def begin_as_stock(model: RgbtModel, weights: Weights, labels: Sequence[str]) -> None:
    """Give an untrained network for both cameras the weights of a stock one.

    Args:
        model: of kind ``cbam``, its head made for :data:`COCO_CLASSES`; changed.
        weights: of :func:`read_stock`.
        labels: of the model. One that COCO lacks begins at nothing.

    Raises:
        ConfigError: the model is of another kind.
        DataError: the weights fit no layer of it.
    """
    if model.fusion != "cbam":
        raise ConfigError(f"fusion {model.fusion!r} can't start as stock; use cbam")
    warm_start(model, weights, stock_rows(labels))
    model.gate.make_even()
    for end, merge in model.merges.items():
        if int(end) <= model.meets[0]:
            merge.make_sum(model.blank_features(int(end)))
        else:
            merge.make_second()  # both cameras are in it already


def stock_rows(labels: Sequence[str]) -> list[int | None]:
    """For each label the class of stock that it starts as, or None."""
    return [COCO_ROWS.get(label, (None,))[0] for label in labels]


def class_layers(weights: Weights) -> list[Any]:
    """Stock's last class layers, one a stride, as modules that are not trained.

    Raises:
        DataError: the weights lack one.
    """
    layers = []
    names = sorted(name for name in weights if _LAST_CLASS.fullmatch(name))
    for name in names:
        kernel = torch.from_numpy(weights[name].copy())
        layer = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 1)
        with torch.no_grad():
            layer.weight.copy_(kernel)
            layer.bias.copy_(torch.from_numpy(weights[name.replace("weight", "bias")].copy()))
        layers.append(layer.requires_grad_(False))
    if not layers:
        raise DataError("the stock weights hold no last class layers; give an Ultralytics export")
    return layers

"""Gives a network for both cameras the thermal backbone of one for thermal alone.

A network that learnt thermal alone knows it better than one that learnt both at once. Its
backbone up to where the cameras meet fits, if both began at the same weights. RGB with thermal
blank gives what it gave: the merge makes up for what another backbone gives for a black picture.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from windhover.errors import DataError

from .fusion import RgbtModel
from .warm_start import Weights, take_conv

from ultralytics.nn.modules import Conv  # isort: skip


def take_thermal_side(model: RgbtModel, weights: Weights) -> None:
    """Take a thermal network's backbone, and let RGB with thermal blank give what it gave.

    As :func:`take_thermal_backbone`, then :func:`keep_blank`.
    """
    before = copy.deepcopy(model)
    take_thermal_backbone(model, weights)
    keep_blank(model, before)


def take_thermal_backbone(model: RgbtModel, weights: Weights) -> None:
    """Take a thermal network's backbone as far as the model has one, and nothing else.

    Args:
        model: of kind ``cbam``, with weights of :func:`.warm_start.warm_start`; changed.
        weights: of :func:`.warm_start.read_weights`.

    Raises:
        DataError: a layer is missing, or of another shape.
    """
    layers = list(enumerate(model.model[: model.meets[0] + 1]))
    layers += [(int(i), layer) for i, layer in getattr(model, "thermal", nn.ModuleDict()).items()]
    for index, layer in layers:
        for inner, module in layer.named_modules(prefix=f"model.{index}"):
            if not isinstance(module, Conv):
                continue
            if f"{inner}.conv.weight" not in weights or not take_conv(module, weights, inner):
                raise DataError(f"the thermal weights have no {inner} of this shape")


@torch.no_grad()
def keep_blank(model: RgbtModel, like: RgbtModel) -> None:
    """Let a blank thermal picture add to each merge what it adds in another model.

    Args:
        model: of kind ``cbam``; the biases of its merges are changed.
        like: of the same layers.
    """
    for end in model.early_merges():
        more = _added_by_blank(like, end) - _added_by_blank(model, end)
        model.merges[str(end)].mix.bias += more


def _added_by_blank(model: RgbtModel, end: int) -> torch.Tensor:
    """What a blank thermal picture adds to the merge after layer ``end``, ``(C,)``."""
    merge = model.merges[str(end)]
    blank = model.blank_features(end) if model.settled else merge.blank.flatten()
    return merge.of_thermal(blank, model.gate.for_grey())

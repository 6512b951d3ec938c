"""Gives a network for both cameras the thermal backbone of one for thermal alone.

A network that learnt thermal alone knows it better than one that learnt both at once. Its
backbone up to where the cameras meet fits, if both began at the same weights. RGB with thermal
blank gives what it gave: the merge makes up for what another backbone gives for a black picture.
"""

from __future__ import annotations

import copy

import torch

from windhover.errors import DataError

from .fusion import RgbtModel
from .warm_start import Weights, take_conv

from ultralytics.nn.modules import Conv  # isort: skip

#: Brightness of a grey RGB picture for which a blank thermal one is made up for.
_GREY = 0.45


def take_thermal_side(model: RgbtModel, weights: Weights) -> None:
    """Take a thermal network's backbone, and let RGB with thermal blank give what it gave.

    As :func:`take_thermal_backbone`, then :func:`keep_blank`.
    """
    before = copy.deepcopy(model)
    take_thermal_backbone(model, weights)
    keep_blank(model, before)


def take_thermal_backbone(model: RgbtModel, weights: Weights) -> None:
    """Take a thermal network's backbone up to the first merge, and nothing else.

    Args:
        model: of kind ``cbam``, with weights of :func:`.warm_start.warm_start`; changed.
        weights: of :func:`.warm_start.read_weights`.

    Raises:
        DataError: a layer is missing, or of another shape.
    """
    for index, layer in enumerate(model.model[: model.meets[0] + 1]):
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
    for end in (int(end) for end in model.merges if int(end) <= model.meets[0]):
        more = _added_by_blank(like, end) - _added_by_blank(model, end)
        model.merges[str(end)].mix.bias += more


def _added_by_blank(model: RgbtModel, end: int) -> torch.Tensor:
    """What a blank thermal picture adds to the merge after layer ``end``, ``(C,)``."""
    blank, mix = model.blank_features(end), model.merges[str(end)].mix.weight[:, :, 0, 0]
    grey = torch.full((1, 3, 32, 32), _GREY, device=blank.device)
    return model.gate(grey)[1].flatten() * (mix[:, len(blank) :] @ blank)

"""Weights between those that a network started with and those that it was trained to.

Training on rendered scenes and on thermal costs some of what stock weights know of real RGB.
Weights on the straight line between the start and the end keep most of what was learnt and
give part of that back: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022
(WiSE-FT).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def share_of(name: str, share: float, parts: Mapping[str, float]) -> float:
    """Share of the start in a tensor.

    Args:
        name: of the tensor, as in the model's state.
        share: where no part is named.
        parts: beginnings of names -> their share; the longest that fits counts.
    """
    fitting = [part for part in parts if name.startswith(part)]
    return parts[max(fitting, key=len)] if fitting else share


@torch.no_grad()
def interpolate(
    trained: nn.Module, start: nn.Module, share: float, parts: Mapping[str, float]
) -> None:
    """Move a model's weights towards those that it started with.

    Both models have their normalisation folded into the convolutions, as
    :func:`.warm_start.warm_start` leaves it: between two sets of statistics there is no line.

    Args:
        trained: changed.
        start: of the same layers.
        share: of the start in the result, 0..1.
        parts: see :func:`share_of`.
    """
    end, begin = trained.state_dict(), start.state_dict()
    mixed = {
        name: torch.lerp(value, begin[name], share_of(name, share, parts))
        if value.is_floating_point()
        else value
        for name, value in end.items()
    }
    trained.load_state_dict(mixed)

"""What is trained: a detector, or something around one; and how fast each of its layers learns."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import torch

from windhover.errors import ConfigError

from ..training_config import LayerRates
from .architectures import fine_layers

#: Name of a parameter -> its share of the learning rate.
Rate = Callable[[str], float]

# What stands around a network's own names: distillation's student, AIMET's traced model.
_AROUND: Final = re.compile(r"^(student\.|quantised\.model\.|quantised\.)")
_LAYER: Final = re.compile(r"model\.(\d+)\.")


def student_of(learner: torch.nn.Module) -> torch.nn.Module:
    """The detector inside of what is trained."""
    student = getattr(learner, "student", learner)
    return student if isinstance(student, torch.nn.Module) else learner


def layer_rate(learner: torch.nn.Module, rates: LayerRates) -> Rate:
    """How fast each parameter learns.

    Args:
        learner: whose detector says in ``yaml`` which layers are its backbone.
        rates: shares.
    """
    detector: Any = student_of(learner)
    backbone = len(detector.yaml["backbone"])
    met = min(detector.meets) if hasattr(detector, "meets") else None
    new = _new_layers(learner)
    sides = {
        "colour.": rates.backbone if rates.colour is None else rates.colour,
        "thermal.": rates.backbone,
        "addition.": rates.merge if rates.addition is None else rates.addition,
        "gate.": rates.merge,
        "merges.": rates.merge,
    }

    def share(name: str) -> float:
        name = _AROUND.sub("", name)
        if name.startswith(new):
            return 1.0
        side = next((rate for part, rate in sides.items() if name.startswith(part)), None)
        if side is not None:
            return side
        layer = _LAYER.match(name)
        if layer is None:
            return 1.0
        if int(layer[1]) >= backbone:
            return rates.head
        seen_by_both = met is not None and int(layer[1]) > met
        return rates.backbone if rates.shared is None or not seen_by_both else rates.shared

    return share


def parameter_groups(
    model: torch.nn.Module, weight_decay: float, rate: Rate
) -> list[dict[str, Any]]:
    """Weight decay for convolution kernels only, not for biases and normalisation.

    Args:
        model: layers that do not learn are frozen: they have no gradient from here on.
        weight_decay: of kernels.
        rate: of :func:`layer_rate`.

    Returns:
        Groups for an optimiser; ``share`` is their share of the learning rate.

    Raises:
        ConfigError: nothing is left to learn.
    """
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        share = rate(name)
        if not share:
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            groups.setdefault((share, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise ConfigError("rates: all layers are frozen, nothing is left to learn")
    return [
        {"params": groups[key], "weight_decay": weight_decay if key[1] else 0.0, "share": key[0]}
        for key in sorted(groups, reverse=True)
    ]


def keep_statistics(learner: torch.nn.Module) -> None:
    """Let the normalisation of a model in training keep the statistics that it has.

    That of a level finer than stride 8 goes on, since it begins with weights that change.
    """
    new = _new_layers(learner)
    for name, module in learner.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d) and not _AROUND.sub("", name).startswith(new):
            module.eval()


def _new_layers(learner: torch.nn.Module) -> tuple[str, ...]:
    """How the names begin of what no weights to start from have."""
    detector: Any = student_of(learner)
    # A traced model has no head to look at.
    return fine_layers(detector) if hasattr(detector, "stride") else ()

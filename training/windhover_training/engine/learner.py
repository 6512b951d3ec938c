"""What is trained: a detector, or something around one; and how fast each of its layers learns."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import torch

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
    # What no weights to start from have; a traced model has no head to look at.
    new = fine_layers(detector) if hasattr(detector, "stride") else ()

    def share(name: str) -> float:
        name = _AROUND.sub("", name)
        if name.startswith("colour."):
            return rates.backbone
        layer = _LAYER.match(name)
        if layer is None or name.startswith(new):
            return 1.0
        return rates.backbone if int(layer[1]) < backbone else rates.head

    return share


def parameter_groups(
    model: torch.nn.Module, weight_decay: float, rate: Rate
) -> list[dict[str, Any]]:
    """Weight decay for convolution kernels only, not for biases and normalisation.

    Returns:
        Groups for an optimiser; ``share`` is their share of the learning rate.
    """
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((rate(name), parameter.ndim > 1), []).append(parameter)
    return [
        {"params": groups[key], "weight_decay": weight_decay if key[1] else 0.0, "share": key[0]}
        for key in sorted(groups, reverse=True)
    ]


def keep_statistics(model: torch.nn.Module) -> None:
    """Let every normalisation of a model in training keep the statistics that it has."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()

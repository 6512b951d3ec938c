"""Means: of a model's weights over time, of gradients over processes."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
import torch.distributed as dist

Model = TypeVar("Model", bound=torch.nn.Module)


class WeightAverage(Generic[Model]):
    """Exponential moving average of a model's weights, with a fast start."""

    def __init__(self, model: Model, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self.decay = decay
        self.updates = 0
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Move the average towards ``model``."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / 200))
        source = model.state_dict()
        for name, value in self.model.state_dict().items():
            if not isinstance(value, torch.Tensor):
                continue  # a module's own notes, such as a quantiser's bit width
            if value.dtype.is_floating_point:
                value.lerp_(source[name].detach(), 1 - decay)
            else:
                value.copy_(source[name])


def average_gradients(model: torch.nn.Module) -> None:
    """Replace each process's gradients by their mean over all processes."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    offset = 0
    for gradient in gradients:
        n = gradient.numel()
        gradient.copy_(flat[offset : offset + n].view_as(gradient))
        offset += n

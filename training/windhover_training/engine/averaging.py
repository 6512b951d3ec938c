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


def share_gradients(model: torch.nn.Module) -> None:
    """Replace each process's gradients by their sum over all, and statistics by their mean.

    One collective once a step, after all of a step's forward passes, and not
    DistributedDataParallel's in every backward pass: a process whose memory is short may take
    more passes than the others, and one whose images show no object has no gradient for boxes.

    Args:
        model: whose gradients are of this process's share of the step.
    """
    learnt = [p for p in model.parameters() if p.requires_grad]
    kept = [b for b in model.buffers() if b.dtype.is_floating_point]
    means = [b / dist.get_world_size() for b in kept]
    sums = [torch.zeros_like(p) if p.grad is None else p.grad for p in learnt]
    flat = torch.cat([t.float().reshape(-1) for t in (*sums, *means)])
    dist.all_reduce(flat)
    offset = 0
    for each in (*learnt, *kept):
        part = flat[offset : offset + each.numel()].view_as(each)
        offset += each.numel()
        if isinstance(each, torch.nn.Parameter):
            each.grad = part.clone() if each.grad is None else each.grad.copy_(part)
        else:
            each.copy_(part)


def share_start(model: torch.nn.Module) -> None:
    """Give all processes the leader's weights and statistics."""
    for value in model.state_dict().values():
        if isinstance(value, torch.Tensor):
            dist.broadcast(value, 0)

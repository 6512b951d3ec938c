"""Starts a model from the fused weights of a released bundle's float.onnx.

A released graph has its normalisation folded into its convolutions. They are put back as
convolutions with a normalisation that does nothing, and :func:`recalibrate_batchnorm` then
gives that normalisation the statistics of real crops without changing what the model computes, so
that training goes on from where the bundle is. A model may have finer levels than the weights:
these begin at nothing, so that it finds what the bundle finds and no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from windhover.errors import DataError
from windhover.model.manifest import CHANNEL_COUNT

from .. import compat  # noqa: F401  (must come before ultralytics)

from ultralytics.nn.modules import Conv  # isort: skip
from ultralytics.nn.tasks import DetectionModel  # isort: skip

from .architectures import fine_levels  # isort: skip

Tensor = TypeVar("Tensor")
Weights = dict[str, np.ndarray]

#: What names of our own weights begin with in a released graph.
_OURS: Final = tuple(
    f"model.{part}." for part in ("model", "colour", "gate", "merges", "thermal", "addition")
)
#: What takes the weights of the backbone beside it where it has none of its own.
_BESIDE: Final = ("colour.", "thermal.")
#: A graph for both cameras takes B, G, R, T in its first layers, with zeros for what is not
#: theirs. Input channels of a layer -> which of the four are its own.
_OWN: Final = {1: slice(3, 4), 3: slice(0, 3)}
#: What eight bits lose of a merge's kernel is a convolution of its own in a graph.
_FINE: Final = ".fine.weight"
#: What adds the thermal layers behind the merge.
_ADDITION: Final = "addition.weight"
#: Head, branch and level in the name of a tensor.
_BRANCH: Final = re.compile(r"model\.(\d+)\.((?:one2one_)?cv[23])\.(\d+)\.(.+)")
#: Logit of a class that nothing has been taught of: a score of 0.0001.
_UNKNOWN: Final = -9.0


def read_weights(graph: Path) -> Weights:
    """Initialisers of a float.onnx by the name they have in Ultralytics' state dict.

    Raises:
        DataError: the file can't be read or holds none.
    """
    try:
        model = onnx.load(graph)
    except Exception as error:  # whatever reading a damaged file raises
        raise DataError(f"{graph}: can't be read ({error}); give another float.onnx") from error
    found = {
        i.name.removeprefix("model."): numpy_helper.to_array(i)
        for i in model.graph.initializer
        if i.name.startswith(_OURS)
    }
    tensors = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        kernel = node.input[1] if node.op_type == "Conv" and len(node.input) > 2 else ""
        if kernel.startswith(_OURS) and node.input[2] in tensors:
            # Equal biases may be one tensor, which then bears another layer's name.
            own = kernel.removeprefix("model.").removesuffix("weight") + "bias"
            found[own] = numpy_helper.to_array(tensors[node.input[2]])
    for name in [name for name in found if name.endswith(_FINE)]:
        whole = name.replace(_FINE, ".mix.weight")
        found[whole] = found[whole] + found.pop(name)
    if not found:
        raise DataError(f"{graph}: holds no Ultralytics weights by name; give another float.onnx")
    return found


def line_up(model: DetectionModel, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the head's weights as a model with finer or fewer levels has them.

    Levels are counted from the coarsest. The classes of a level finer than stride 8 that the
    weights lack are set to be found nowhere; its other layers stay as they are.

    Args:
        model: its missing levels are changed.
        weights: by name, such as ``model.23.cv3.0.2.weight``.
    """
    head = model.model[-1]
    parts = {name: _BRANCH.fullmatch(name) for name in weights}
    levels = 1 + max((int(found[3]) for found in parts.values() if found), default=-1)
    more = len(head.cv2) - levels
    if not levels or more > fine_levels(model):
        return dict(weights)
    for branches in (head.cv3, getattr(head, "one2one_cv3", None)):
        for branch in branches[: max(0, more)] if branches is not None else ():
            begin_at_nothing(branch[-1])
    named = {}
    for name, value in weights.items():
        found = parts[name]
        if found is None:
            named[name] = value
        elif int(found[3]) + more >= 0:
            named[f"model.{head.i}.{found[2]}.{int(found[3]) + more}.{found[4]}"] = value
    return named


def check_head(model: DetectionModel, weights: Mapping[str, Any]) -> None:
    """Refuse weights whose class layers are wider or narrower: they would be left out.

    Raises:
        DataError: they are; says what to set.
    """
    other = other_width(model, weights)
    if other is not None:
        raise DataError(
            f"the weights to start from have class layers {other} wide, the model's are "
            f"{_width_inside(model.state_dict())}; set head_classes to {other}"
        )


def check_thermal_level(model: DetectionModel, weights: Mapping[str, Any]) -> None:
    """Refuse weights for both cameras whose thermal layers behind the merge would be left out.

    Raises:
        DataError: they would; says what to set.
    """
    if _ADDITION in weights and hasattr(model, "colour") and not hasattr(model, "addition"):
        raise DataError(
            "the weights to start from have thermal layers behind the merge, the model has none; "
            "set thermal_level to p4"
        )


def other_width(model: DetectionModel, weights: Mapping[str, Any]) -> int | None:
    """How wide the class layers of weights are; None where that is as wide as the model's."""
    width = _width_inside(weights)
    return None if width == _width_inside(model.state_dict()) else width


def _width_inside(weights: Mapping[str, Any]) -> int | None:
    """How many channels the head's last class layers take, or None without any."""
    parts = {name: _BRANCH.fullmatch(name) for name in weights}
    widths = [
        int(weights[name].shape[1])
        for name, found in parts.items()
        if found and found[2] == "cv3" and found[4] == "2.weight"
    ]
    return max(widths, default=None)


@torch.no_grad()
def begin_at_nothing(last: nn.Conv2d) -> nn.Conv2d:
    """Set a last class layer so that it finds nothing anywhere; returns it."""
    last.weight.zero_()
    last.bias.fill_(_UNKNOWN)
    return last


def warm_start(model: DetectionModel, weights: Weights, classes: Sequence[int | None]) -> int:
    """Copy what fits into a model with the same layers.

    The first convolution is spread over other numbers of input channels, so that a grey
    picture gives what it gave before. A colour backbone takes the other one's weights where
    it has none, and a thermal one behind the merge those of the layers beside it; a network of
    the RGB camera alone takes, of weights for both cameras, the RGB backbone. A level that the
    weights lack begins at nothing (:func:`line_up`).

    Args:
        model: untrained; changed.
        weights: of :func:`read_weights`.
        classes: for each of the model's classes the row of the weights' classes it takes,
            or ``None`` to stay as it is.

    Returns:
        How many convolutions were taken over.

    Raises:
        DataError: few fit, they lack a class, the head is wider or narrower on its inside, or
            their thermal backbone goes on further than the model's.
    """
    check_thermal_level(model, weights)
    taken, possible, weights = 0, 0, line_up(model, _of_its_camera(model, weights))
    for name, module in model.named_modules():
        source, part = name, name.split(".")[0] + "."
        if part in _BESIDE and f"{name}.conv.weight" not in weights:
            source = name.replace(part, "model.", 1)
        possible += isinstance(module, Conv)
        if isinstance(module, Conv) and f"{source}.conv.weight" in weights:
            taken += take_conv(module, weights, source)
        elif type(module) is nn.Conv2d and f"{source}.weight" in weights:
            if module.bias is not None:
                taken += _take_last(module, weights, source, classes)
            elif part == "addition.":  # its bias follows from the backbone
                module.load_state_dict({"weight": torch.tensor(weights[f"{source}.weight"])})
    if taken < 0.5 * possible:
        raise DataError(
            f"the weights to start from fit {taken} of the model's {possible} layers; they are of "
            "another model"
        )
    check_head(model, weights)
    if hasattr(model, "remember_blank"):
        model.remember_blank()
        _take_blank(model, weights)
    return taken


def _take_blank(model: DetectionModel, weights: Weights) -> None:
    """Merge a blank thermal picture as the weights' own model does, which takes a constant off."""
    for name, buffer in model.named_buffers():
        less = f"{name.removesuffix('.blank')}.less"
        if name.endswith(".blank") and less in weights:
            buffer.sub_(torch.tensor(weights[less]))


def _of_its_camera(model: DetectionModel, weights: Weights) -> Weights:
    """Weights for both cameras as a network of RGB alone names them; others as they are."""
    alone = not hasattr(model, "colour") and model.yaml["channels"] == CHANNEL_COUNT["rgb"]
    if not alone:
        return weights
    colour = {name: value for name, value in weights.items() if name.startswith("colour.")}
    return weights | {name.replace("colour.", "model.", 1): v for name, v in colour.items()}


def take_conv(module: Conv, weights: Weights, name: str) -> int:
    """Give a convolution the folded weights of that name; 0 where they do not fit, else 1."""
    kernel = torch.from_numpy(weights[f"{name}.conv.weight"].copy())
    own = module.conv.weight
    if kernel.shape[1] != own.shape[1] and kernel.shape[1] == 1:
        kernel = kernel.repeat(1, own.shape[1], 1, 1) / own.shape[1]
    elif kernel.shape[1] == 3 and own.shape[1] == 1:
        # One grey channel then gives what it would give as three.
        kernel = kernel.sum(1, keepdim=True)
    elif kernel.shape[1] == 4 and own.shape[1] in _OWN:
        kernel = kernel[:, _OWN[own.shape[1]]]
    if kernel.shape != own.shape:
        return 0
    with torch.no_grad():
        own.copy_(kernel)
        norm = module.bn
        norm.weight.fill_(1)
        norm.bias.copy_(torch.from_numpy(weights[f"{name}.conv.bias"].copy()))
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.num_batches_tracked.fill_(1)  # its statistics are given
    return 1


def _take_last(
    module: nn.Conv2d, weights: Weights, name: str, classes: Sequence[int | None]
) -> int:
    kernel = torch.from_numpy(weights[f"{name}.weight"].copy())
    bias = torch.from_numpy(weights[f"{name}.bias"].copy())
    if name == "gate.look" and kernel.shape[1] == 4:
        kernel = kernel[:, _OWN[3]]
    most = max((row for row in classes if row is not None), default=-1)
    if ".cv3." in name and most >= len(kernel):
        raise DataError(
            f"the weights to start from have {len(kernel)} classes and none of number {most}; "
            "say in pretrained_classes which one each label takes"
        )
    with torch.no_grad():
        if kernel.shape == module.weight.shape and ".cv3." not in name:
            module.weight.copy_(kernel)
            module.bias.copy_(bias)
            return 1
        if ".cv3." not in name or kernel.shape[1:] != module.weight.shape[1:]:
            return 0
        for row, old in enumerate(classes):
            if old is not None:
                module.weight[row], module.bias[row] = kernel[old], bias[old]
    return 1


@torch.no_grad()
def recalibrate_batchnorm(model: nn.Module, images: list[torch.Tensor]) -> None:
    """Give every normalisation the statistics of ``images``, leaving the function alone.

    Args:
        model: changed; its normalisations must do nothing but add their bias, but for those
            that have no statistics yet, of layers that took no weights. These normalise.
        images: batches as in training.
    """
    sums: dict[nn.BatchNorm2d, list[Any]] = {}

    def watch(norm: nn.BatchNorm2d, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        x = inputs[0].float()
        row = sums.setdefault(norm, [0.0, 0.0, 0])
        row[0] = row[0] + x.sum((0, 2, 3))
        row[1] = row[1] + x.square().sum((0, 2, 3))
        row[2] += x.numel() // x.shape[1]

    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    new = {norm: norm.momentum for norm in norms if not norm.num_batches_tracked}
    hooks = [norm.register_forward_hook(watch) for norm in norms if norm not in new]
    was_training = model.training
    model.eval()
    for norm in new:
        norm.train()
        norm.momentum = None  # the mean of all batches
    for batch in images:
        model(batch)
    for hook in hooks:
        hook.remove()
    for norm, momentum in new.items():
        norm.momentum = momentum
    model.train(was_training)
    for norm, (total, squares, count) in sums.items():
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        norm.bias += mean * norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.weight *= ((variance + norm.eps) / (norm.running_var + norm.eps)).sqrt()
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

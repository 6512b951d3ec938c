"""RGB + thermal detectors: two backbones that meet under a learned gate and CBAM, and rivals.

All take ``(B, 4, H, W)`` B, G, R, T in 0..1, so that one loop, one export and one score
serve them. ``cbam`` runs a backbone for each camera up to P3, weighs them by how light the
scene is, merges them and goes on as one YOLO11. ``early`` puts four channels into one
backbone; ``rgb`` and ``thermal`` look at their own channels only. Where the neck takes a map
from before the merge, as a stride-4 level does of backbones that merge at P3, both cameras'
maps are merged for it alone.

With ``thermal_level`` the thermal backbone goes on behind the merge, beside the layers that both
cameras share, and is added to what these give at that level, less what a black picture gives.
However the thermal side is trained, RGB with thermal blank then gives what it gave. P5 is none:
its pools and its attention see the border from everywhere.

With ``head_classes`` the head's hidden layers are as wide as for that many classes, so that
the weights of a network for so many fit (``stock.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Final, Literal

import torch
from torch import nn

from .. import compat  # noqa: F401  (must come before ultralytics)

from ultralytics.nn.modules import Conv  # isort: skip
from ultralytics.nn.tasks import DetectionModel  # isort: skip
from ultralytics.utils.torch_utils import fuse_conv_and_bn  # isort: skip

from .architectures import find_architecture  # isort: skip
from .assign import NestedAssigner  # isort: skip
from .merge import IlluminationGate, Merge  # isort: skip
from .model import make_ready  # isort: skip

Fusion = Literal["cbam", "early", "rgb", "thermal"]

#: Backbone layer of YOLO11 that ends each level.
LEVELS: Final = {"p2": 2, "p3": 4, "p4": 6, "p5": 10}
_CHANNELS: Final[dict[str, slice]] = {
    "cbam": slice(3, 4),
    "early": slice(0, 4),
    "rgb": slice(0, 3),
    "thermal": slice(3, 4),
}
#: Side of the black picture, pixels: its middle is further from the border than P3 and P4 see.
_BLANK_SIDE: Final = 256


class RgbtModel(DetectionModel):
    """A YOLO11 on B, G, R, T; see the module's description for the kinds."""

    def __init__(
        self,
        architecture: str,
        classes: int,
        fusion: Fusion,
        levels: tuple[str, ...] = ("p3",),
        head_classes: int | None = None,
        thermal_level: str | None = None,
    ) -> None:
        """Build an untrained model.

        Args:
            architecture: Ultralytics model file, such as ``yolo11n.yaml``, or ours with a
                stride-4 level, ``yolo11n-p2.yaml``.
            classes: number of classes.
            fusion: kind.
            levels: where ``cbam`` merges; the RGB backbone ends at the last of them.
            head_classes: how many classes the head's hidden layers are made for; by default
                ``classes``.
            thermal_level: ``p4``, where the thermal backbone, which then goes on behind the merge,
                is added once more; for ``cbam`` at one finer of ``levels``.
        """
        self.fusion, self.wide, self.settled = fusion, False, True
        own = _CHANNELS[fusion]
        channels = own.stop - own.start
        source = find_architecture(architecture)
        super().__init__(source, ch=channels, nc=head_classes or classes, verbose=False)
        make_ready(self, classes, head_classes)
        if fusion == "cbam":
            ends = sorted(LEVELS[level] for level in levels)
            self.colour = copy.deepcopy(self.model[: ends[-1] + 1])
            old = self.colour[0].conv
            self.colour[0].conv = nn.Conv2d(
                3, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False
            )
            self.gate = IlluminationGate()
            #: Backbone layers at which both go on as one.
            self.meets = tuple(ends)
            early = [layer for layer in self.save if layer < ends[0]]
            self.merges = nn.ModuleDict(
                {str(end): Merge(_width(self.model[end])) for end in sorted({*ends, *early})}
            )
            if thermal_level is not None:
                self._go_on(LEVELS[thermal_level])

    def _go_on(self, last: int) -> None:
        """Give the thermal backbone layers behind the merge, which add nothing at first."""
        own = range(self.meets[0] + 1, last + 1)
        self.thermal = nn.ModuleDict({str(i): copy.deepcopy(self.model[i]) for i in own})
        width = _width(self.model[last])
        self.addition = nn.Conv2d(width, width, 1, bias=False)
        nn.init.zeros_(self.addition.weight)
        for end in self.early_merges():
            merge = self.merges[str(end)]
            width = merge.mix.out_channels
            merge.register_buffer("blank", torch.zeros(width, 1, 1))
            merge.register_buffer("less", torch.zeros(width, 1, 1))
        self.settled = False

    def init_criterion(self) -> Any:
        """Ultralytics' detection loss with cells for what lies inside other boxes."""
        criterion = super().init_criterion()
        criterion.assigner = NestedAssigner.like(criterion.assigner)
        return criterion

    def widen(self) -> None:
        """Let the first layers take all four channels, with zeros for what is not theirs.

        The function is the same. The exported graph then begins with convolutions of its one
        input, where slices would each be an operator that only moves bytes.
        """
        self.wide = True
        stem = self.model[0].conv
        self.model[0].conv = _widened(stem, _CHANNELS[self.fusion])
        if "merges" in self._modules:
            self.colour[0].conv = _widened(self.colour[0].conv, _CHANNELS["rgb"])
            self.gate.look = _widened(self.gate.look, _CHANNELS["rgb"])

    def split_merges(self) -> None:
        """Let eight bits keep each merge (:meth:`Merge.split`); the function is the same."""
        for merge in self.merges.values() if "merges" in self._modules else ():
            merge.split()

    def fuse(self, verbose: bool = True, imgsz: int = 640) -> RgbtModel:
        """Fold normalisation into convolutions everywhere, and what a black picture gives."""
        self.settle()
        super().fuse(verbose, imgsz)
        for part in ("colour", "thermal"):
            for layer in self._modules.get(part, nn.Sequential()).modules():
                if isinstance(layer, Conv) and hasattr(layer, "bn"):
                    layer.conv = fuse_conv_and_bn(layer.conv, layer.bn)
                    del layer.bn
                    layer.forward = layer.forward_fuse
        return self

    @torch.no_grad()
    def blank_features(self, end: int) -> torch.Tensor:
        """What layer ``end`` of the thermal backbone gives for a black picture, ``(C,)``."""
        was_training = self.training
        self.eval()
        blank = self._blanks([end])[end].flatten()
        self.train(was_training)
        return blank

    @torch.no_grad()
    def remember_blank(self) -> None:
        """From now on merge a blank thermal picture as these weights do, however they change.

        For a model with ``thermal_level``; others are left alone.
        """
        for end in self.early_merges() if "addition" in self._modules else ():
            self.merges[str(end)].blank.copy_(self.blank_features(end)[:, None, None])

    @torch.no_grad()
    def settle(self) -> None:
        """Make constants of what is taken from the thermal map, for these weights."""
        if self.settled:
            return
        for end in self.early_merges():
            merge = self.merges[str(end)]
            merge.less.copy_(self.blank_features(end)[:, None, None] - merge.blank)
        kernel = self.addition.weight[:, :, 0, 0]
        less = -kernel @ self.blank_features(self._last())
        self.addition.bias = nn.Parameter(less, requires_grad=False)
        self.settled = True

    def early_merges(self) -> list[int]:
        """Layers after which the thermal backbone is merged before it has seen RGB."""
        return [int(end) for end in self.merges if int(end) <= self.meets[0]]

    def _last(self) -> int:
        """Layer at which the thermal backbone ends."""
        return max(int(i) for i in self.thermal)

    def _blanks(self, ends: Iterable[int]) -> dict[int, torch.Tensor]:
        """What layers of the thermal backbone give for a black picture, ``(1, C, 1, 1)`` each."""
        first = self.model[0].conv.weight
        x = first.new_zeros(1, first.shape[1], _BLANK_SIDE, _BLANK_SIDE)
        wanted, found = set(ends), {}
        for i in range(max(wanted) + 1):
            x = self.model[i](x) if i <= self.meets[0] else self.thermal[str(i)](x)
            if i in wanted:
                found[i] = x[:, :, x.shape[2] // 2, x.shape[3] // 2][:, :, None, None]
        return found

    def _less(self) -> dict[int, torch.Tensor]:
        """What is taken from the thermal map, so that a blank picture adds what it did at first.

        Returns:
            Layer -> ``(1, C, 1, 1)`` or ``(C, 1, 1)``; empty without ``thermal_level``.
        """
        if "addition" not in self._modules:
            return {}
        if self.settled:  # what the addition takes is in its bias
            return {end: self.merges[str(end)].less for end in self.early_merges()}
        less = self._blanks([*self.early_merges(), self._last()])
        for end in self.early_merges():
            less[end] = less[end] - self.merges[str(end)].blank
        return less

    def _predict_once(self, x: torch.Tensor, *_: Any, **__: Any) -> Any:
        return self.model[-1](self.neck(x))

    def neck(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps that the head takes, from ``(B, 4, H, W)`` in 0..1."""
        rgb = x if self.wide else x[:, :3]
        saved: list[torch.Tensor | None] = []
        merges = self._modules.get("merges")
        weights = self.gate(rgb) if merges is not None else None
        own = self._modules.get("thermal", {})
        less = self._less()
        # Ultralytics probes the strides with as many channels as the backbone has.
        thermal = x = x if self.wide or x.shape[1] != 4 else x[:, _CHANNELS[self.fusion]]
        for module in self.model[:-1]:
            if module.f != -1:
                x = (
                    saved[module.f]
                    if isinstance(module.f, int)
                    else [x if j == -1 else saved[j] for j in module.f]
                )
            x = seen = module(x)
            end = str(module.i)
            if merges is not None and module.i < len(self.colour):
                thermal = x
                rgb = self.colour[module.i](rgb)
                if end in merges:
                    warm = x - less[module.i] if module.i in less else x
                    seen = merges[end](rgb, warm, weights)
                    x = seen if module.i in self.meets else x
            elif end in own:
                thermal = own[end](thermal)
                if module.i == self._last():
                    warm = thermal - less[module.i] if module.i in less else thermal
                    x = seen = x + self.addition(warm)
            saved.append(seen if module.i in self.save else None)
        return [saved[i] for i in self.model[-1].f]


def _widened(layer: nn.Conv2d, own: slice) -> nn.Conv2d:
    wide = nn.Conv2d(
        4,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        bias=layer.bias is not None,
    ).to(layer.weight.device)
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[:, own] = layer.weight
        if layer.bias is not None:
            wide.bias.copy_(layer.bias)
    return wide


def _width(module: nn.Module) -> int:
    """Channels that a backbone block gives: those of its last convolution."""
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    return int(
        module.cv2.conv.out_channels if hasattr(module, "cv2") else convolutions[-1].out_channels
    )

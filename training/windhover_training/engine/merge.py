"""What joins two backbones: a gate that sees how light it is, and a merge with attention.

CBAM: Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional

#: Brightness of a grey RGB picture for which a blank thermal one is made up for.
_GREY: Final = 0.45
#: The guide's weight of RGB by day and by night, and the mean levels taken for these.
DAY_WEIGHT: Final = 0.7
_DAY_LEVEL: Final = 0.45
_NIGHT_LEVEL: Final = 0.12
#: Side of the windows that are pooled over, cells.
WINDOW: Final = 16


def _window(x: torch.Tensor) -> int:
    """Side of a window in a map that may be smaller; what is traced has no size and is larger."""
    return WINDOW if isinstance(x, torch.fx.Proxy) else min(WINDOW, *x.shape[-2:])


class IlluminationGate(nn.Module):
    """How much each camera counts, from the RGB picture alone.

    It starts as the guide's rule, RGB 0.7 to thermal 0.3 in a picture as bright as day and
    the reverse in one as dark as night, and is trained from there. Pooled before anything
    else, it costs next to nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 8, 1)
        self.weigh = nn.Conv2d(8, 2, 1)
        logit = torch.logit(torch.tensor(DAY_WEIGHT)).item()
        slope = 2 * logit / (_DAY_LEVEL - _NIGHT_LEVEL)
        middle = (_DAY_LEVEL + _NIGHT_LEVEL) / 2
        with torch.no_grad():
            self.look.weight[0] = 1 / 3
            self.look.bias.zero_()
            self.weigh.weight.zero_()
            self.weigh.weight[:, 0, 0, 0] = torch.tensor([slope, -slope])
            self.weigh.bias.copy_(torch.tensor([-slope * middle, slope * middle]))

    @torch.no_grad()
    def make_even(self) -> None:
        """Start with one half for each camera, whatever the light."""
        self.weigh.weight.zero_()
        self.weigh.bias.zero_()

    def for_grey(self) -> torch.Tensor:
        """Weight of thermal beside a grey RGB picture, ``(1,)``."""
        weight = self.look.weight
        grey = weight.new_full((1, weight.shape[1], 2 * WINDOW, 2 * WINDOW), _GREY)
        return self(grey)[1].flatten()

    def forward(self, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map ``(B, 3, H, W)`` to the weights of RGB and thermal, ``(B, 1, 1, 1)`` in 0..1."""
        coarse = functional.avg_pool2d(rgb, _window(rgb))
        seen = functional.adaptive_avg_pool2d(functional.relu(self.look(coarse)), 1)
        weights = torch.sigmoid(self.weigh(seen))
        return weights[:, :1], weights[:, 1:]


class Cbam(nn.Module):
    """Channel attention, then spatial attention; both start at one half everywhere.

    The maximum of the channel branch is a mean of maxima over windows of 16x16 cells: over
    a whole frame one maximum is nearly always high, so a network that learned on crops
    would see other values in flight than in training.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)
        for layer in (self.excite, self.spatial):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh ``(B, C, H, W)`` by channel and by place."""
        mean = functional.adaptive_avg_pool2d(x, 1)
        peak = functional.adaptive_avg_pool2d(functional.max_pool2d(x, _window(x)), 1)
        hidden = functional.relu(self.squeeze(mean)) + functional.relu(self.squeeze(peak))
        x = x * torch.sigmoid(self.excite(hidden))
        place = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(place))


class Merge(nn.Module):
    """Two feature maps into one of the same shape: weighed, mixed, attended."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 1)
        #: What eight bits lose of the kernel, in an exported graph.
        self.fine: nn.Conv2d | None = None
        self.attention = Cbam(channels)
        with torch.no_grad():
            # At first it is the weighed sum: the attentions' two halves are made up for.
            both = torch.cat([torch.eye(channels), torch.eye(channels)], 1)
            self.mix.weight.copy_(4 * both[:, :, None, None])
            self.mix.bias.zero_()

    @torch.no_grad()
    def make_sum(self, blank: torch.Tensor) -> None:
        """Start as the sum of both maps less ``blank``, under a gate that gives each one half.

        Args:
            blank: ``(C,)``, what a backbone gives for a black picture. With one camera black
                the sum is then the other camera's map.
        """
        identity = torch.eye(self.mix.out_channels, device=self.mix.weight.device)
        both = torch.cat([identity, identity], 1)
        # The gate's half and the two halves of the attention are made up for.
        self.mix.weight.copy_(8 * both[:, :, None, None])
        self.mix.bias.copy_(-4 * blank)

    @torch.no_grad()
    def make_second(self) -> None:
        """Start as the second map alone, under a gate that gives each one half."""
        identity = torch.eye(self.mix.out_channels, device=self.mix.weight.device)
        both = torch.cat([torch.zeros_like(identity), identity], 1)
        self.mix.weight.copy_(8 * both[:, :, None, None])
        self.mix.bias.zero_()

    @torch.no_grad()
    def split(self) -> None:
        """Share the kernel between two convolutions, of which eight bits keep all that counts.

        Each row holds about 8 for its own channel of either camera, and what was learnt beside that
        is mostly smaller than half a step of eight bits over such a range. The second convolution
        has what the first loses.
        """
        kernel = self.mix.weight
        step = kernel.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-9) / 127
        self.fine = nn.Conv2d(self.mix.in_channels, self.mix.out_channels, 1, bias=False)
        self.fine.to(kernel.device).weight.copy_(kernel - (kernel / step).round() * step)
        kernel -= self.fine.weight

    def of_thermal(self, features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """What ``(C,)`` of the thermal map adds to the mixed map under the gate's weight."""
        return weight * (self.mix.weight[:, len(features) :, 0, 0] @ features)

    def forward(
        self, rgb: torch.Tensor, thermal: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """Merge two ``(B, C, H, W)`` maps under the gate's two weights."""
        both = torch.cat([rgb * weights[0], thermal * weights[1]], 1)
        mixed = self.mix(both)
        return self.attention(mixed if self.fine is None else mixed + self.fine(both))

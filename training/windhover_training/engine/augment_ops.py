"""Changes of crops on a device: what :mod:`windhover_training.data.augment.apply` does, at once.

Every function takes a batch and one set of parameters a crop. What is random was drawn
before, but for noise. Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from windhover_training.data.augment.apply import EMPTY_SIDE
from windhover_training.data.augment.lamps import heads_of, pole_of
from windhover_training.data.augment.params import (
    LOCAL_SIGMA,
    ColourParams,
    Fade,
    Lamps,
    Noise,
    Patch,
    ThermalParams,
)

#: Array -> its copy on the device.
Upload = Callable[[NDArray[np.generic]], torch.Tensor]
_HEADS = 5


def change_colour(x: torch.Tensor, changes: Sequence[ColourParams], up: Upload) -> torch.Tensor:
    """Change sharpness, exposure, contrast, tint and noise.

    Args:
        x: ``(B, 3, S, S)`` float32 levels 0..255.
        changes: one a crop.
        up: to the device.
    """
    for row, change in enumerate(changes):
        if change.coarse:
            shrink = up(coarse_matrix(x.shape[-1], change.coarse))
            x[row] = shrink @ x[row] @ shrink.T
    mixes = [change.mix() for change in changes]
    matrix = up(np.stack([matrix for matrix, _ in mixes]))
    of_mean = up(np.stack([of_mean for _, of_mean in mixes]))
    offset = (x.mean((2, 3)) * of_mean).sum(1)[:, None, None]
    x = torch.baddbmm(offset, matrix, x.flatten(2)).view_as(x)
    x = blur(x, [change.blur for change in changes], up)
    return add_noise(x, [change.noise for change in changes], up)


def change_thermal(x: torch.Tensor, changes: Sequence[ThermalParams], up: Upload) -> torch.Tensor:
    """Change objects' contrast, lamps, gain, level, polarity, sharpness and noise.

    Args:
        x: ``(B, S, S)`` float32 levels 0..255, of which single ones are whole.
        changes: one a crop.
        up: to the device.
    """
    kept = [row for row, change in enumerate(changes) if change.keep_empty]
    hidden = unseen(x[up(np.array(kept))]) if kept else None
    fade_objects(x, [change.fades for change in changes], up)
    light_lamps(x, [change.lamps for change in changes], up)
    x = change_levels(x, changes, up)
    x = change_tone(x, changes, up)
    x = blur(x[:, None], [change.blur for change in changes], up)[:, 0]
    x = add_noise(x, [change.noise for change in changes], up)
    if hidden is not None:
        rows = up(np.array(kept))
        x[rows] = x[rows].masked_fill(hidden, 0.0)
    return x


def change_levels(x: torch.Tensor, changes: Sequence[ThermalParams], up: Upload) -> torch.Tensor:
    """Stretch, invert, gain, level and gradient of ``(B, S, S)``."""
    columns = [(c.invert, c.gain, c.level, *c.gradient) for c in changes]
    invert, gain, level, rows, across = up(np.array(columns, np.float32)).T[..., None, None]
    factor, offset = torch.ones_like(gain), torch.zeros_like(gain)
    stretched = [row for row, change in enumerate(changes) if change.stretch]
    if stretched:
        where = up(np.array(stretched))
        low, high = percentiles(x[where])
        factor[where] = (255.0 / (high - low).clamp(min=16.0))[:, None, None]
        offset[where] = -low[:, None, None] * factor[where]
    factor, offset = factor * (1 - 2 * invert), torch.lerp(offset, 255.0 - offset, invert)
    mean = factor * x.mean((1, 2), keepdim=True) + offset
    x = x * (factor * gain) + ((offset - mean) * gain + mean + level)
    ramp = up(np.linspace(-1, 1, x.shape[-1], dtype=np.float32))
    return x + ramp[:, None] * rows + ramp * across


def change_tone(x: torch.Tensor, changes: Sequence[ThermalParams], up: Upload) -> torch.Tensor:
    """Tone curve and local contrast of ``(B, S, S)``."""
    curved = [row for row, change in enumerate(changes) if change.gamma != 1.0]
    if curved:
        gamma = up(np.array([changes[row].gamma for row in curved], np.float32))[:, None, None]
        where = up(np.array(curved))
        x[where] = 255 * (x[where].clamp(0, 255) / 255) ** gamma
    if any(change.local for change in changes):
        share = up(np.array([change.local for change in changes], np.float32))[:, None, None]
        sigmas = [LOCAL_SIGMA if change.local else 0.0 for change in changes]
        x = x + share * (x - blur(x[:, None].clone(), sigmas, up)[:, 0])
    return x


def percentiles(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The 1st and the 99th percentile of each of ``(B, S, S)``, its levels rounded."""
    levels = x.flatten(1).round().clamp(0, 255)
    counts = levels.new_zeros((len(x), 256))
    counts.scatter_add_(1, levels.long(), torch.ones_like(levels))
    below, last = counts.cumsum(1), levels.shape[1] - 1
    found = []
    for share in (0.01, 0.99):
        place = share * last
        first = (below <= int(np.floor(place))).sum(1).float()
        second = (below <= int(np.ceil(place))).sum(1).float()
        found.append(first + (second - first) * (place % 1))
    return found[0], found[1]


def fade_objects(x: torch.Tensor, fades: Sequence[Sequence[Fade]], up: Upload) -> None:
    """Change objects' contrast in ``(B, S, S)``, in place: of each crop the first, and so on."""
    for turn in range(max(map(len, fades), default=0)):
        rows = [row for row, own in enumerate(fades) if len(own) > turn]
        _fade(x, rows, [fades[row][turn] for row in rows], up)


def _fade(x: torch.Tensor, rows: Sequence[int], fades: Sequence[Fade], up: Upload) -> None:
    """One object of each of some crops."""
    size = x.shape[-1]
    windows = [fade.window(size) for fade in fades]
    along, across = np.zeros((2, len(fades), size), np.float32)
    rings = [_ring(window) for window in windows]
    longest = max(len(ring) for ring in rings)
    # Beyond its own length each ring repeats its first pixel, which is made infinite below.
    places = np.stack([np.resize(ring, (longest, 2)) for ring in rings])
    unused = np.arange(longest) >= np.array([len(ring) for ring in rings])[:, None]
    for row, (fade, window) in enumerate(zip(fades, windows, strict=True)):
        x1, y1, x2, y2 = window
        along[row, y1:y2], across[row, x1:x2] = fade.factors(window)
    where = up(np.array(rows))
    at = up(places)
    ring = x[where[:, None], at[..., 0], at[..., 1]]
    ordered = ring.masked_fill(up(unused), torch.inf).sort(1).values
    # Of an even number of levels the median is the mean of the middle two.
    middle = up(np.array([[len(ring) // 2 - 1, len(ring) // 2] for ring in rings]))
    ground = ordered.gather(1, middle).mean(1)[:, None, None]
    factor = up(along)[:, :, None] * up(across)[:, None, :]
    own = x[where]
    x[where] = (own + (own - ground) * factor).clamp(0, 255)


def _ring(window: tuple[int, int, int, int]) -> NDArray[np.int64]:
    """``(L, 2)`` rows and columns of a window's outermost pixels, corners twice."""
    x1, y1, x2, y2 = window
    across, along = np.arange(x1, x2), np.arange(y1, y2)
    rows = [np.full(len(across), y1), np.full(len(across), y2 - 1), along, along]
    columns = [across, across, np.full(len(along), x1), np.full(len(along), x2 - 1)]
    return np.stack([np.concatenate(rows), np.concatenate(columns)], axis=1)


def light_lamps(x: torch.Tensor, lamps: Sequence[Lamps | None], up: Upload) -> None:
    """Draw groups of lamps into ``(B, S, S)``, in place."""
    lit = [(row, lamp) for row, lamp in enumerate(lamps) if lamp is not None]
    if not lit:
        return
    rows = up(np.array([row for row, _ in lit]))
    own, size = x[rows], x.shape[-1]
    place = up(np.arange(size, dtype=np.float32))
    across, along = place[None, None, :], place[None, :, None]
    ground = own.mean((1, 2), keepdim=True)
    steel = [(0.0, 0.0) if lamp.steel is None else (1.0, lamp.steel) for _, lamp in lit]
    there, above = up(np.array(steel, np.float32)).T[..., None, None]
    pole = up(np.array([lamp.pole for _, lamp in lit], np.float32)).T[..., None, None]
    own = own + there * pole_of(across, along, pole, torch) * (ground + above - own)
    heads = np.zeros((len(lit), _HEADS, 8), np.float32)
    heads[:, :, 2:4] = 1.0  # half axes of heads that are none
    for number, (_, lamp) in enumerate(lit):
        heads[number, : len(lamp.heads)] = lamp.heads
    shape = up(heads).permute(1, 2, 0)[..., None, None]
    values = [(lamp.angle, lamp.softness, lamp.heat) for _, lamp in lit]
    angle, softness, heat = up(np.array(values, np.float32)).T[..., None, None]
    heat = torch.maximum(heat, ground + 40).clamp(max=255.0)
    covered = heads_of(across, along, shape, angle, softness, torch)
    x[rows] = (own + covered * (heat - own)).clamp(0, 255)


def lay_colour(x: torch.Tensor, patches: Sequence[Patch], up: Upload) -> None:
    """Lay cut-outs into one crop, ``(3, S, S)``, under its own light, in place."""
    for patch in patches:
        window = x[_under(patch)]
        light = (window.mean() / 110).clamp(0.08, 1.3) * patch.light
        layer = (up(patch.bgr).permute(2, 0, 1) * light).clamp(max=255)
        window += up(patch.alpha) * (layer - window)


def lay_thermal(x: torch.Tensor, patches: Sequence[Patch], up: Upload) -> None:
    """Lay cut-outs into one crop's thermal, ``(S, S)``, in place."""
    for patch in patches:
        window = x[_under(patch)]
        level = (torch.quantile(window, 0.25) + patch.warmth).clamp(0, 255)
        window += up(patch.alpha) * (level - window)


def _under(patch: Patch) -> tuple[object, ...]:
    (x, y), (height, width) = patch.corner, patch.alpha.shape
    return np.s_[..., y : y + height, x : x + width]


def unseen(x: torch.Tensor) -> torch.Tensor:
    """Where each of ``(B, S, S)`` thermal pictures shows nothing: 0 over a wide area."""
    empty = (x[:, None] == 0).to(x.dtype)
    eroded = -_largest(-empty)
    return _largest(eroded)[:, 0] > 0


def _largest(x: torch.Tensor) -> torch.Tensor:
    """Maximum over a square around each pixel, one axis after the other."""
    half = EMPTY_SIDE // 2
    x = functional.max_pool2d(x, (EMPTY_SIDE, 1), 1, (half, 0))
    return functional.max_pool2d(x, (1, EMPTY_SIDE), 1, (0, half))


def blur(x: torch.Tensor, sigmas: Sequence[float], up: Upload) -> torch.Tensor:
    """Blur those of ``(B, C, S, S)`` whose standard deviation is above 0."""
    rows = [row for row, sigma in enumerate(sigmas) if sigma]
    if not rows:
        return x
    where, channels = up(np.array(rows)), x.shape[1]
    kernels = np.stack([gaussian(sigmas[row], max(sigmas)) for row in rows])
    kernel = up(np.repeat(kernels, channels, axis=0))
    own, half = x[where], kernel.shape[1] // 2
    flat = functional.pad(own, (half, half, half, half), "reflect").flatten(0, 1)[None]
    groups = len(rows) * channels
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=groups)
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=groups)
    x[where] = flat.view_as(own)
    return x


def gaussian(sigma: float, widest: float) -> NDArray[np.float32]:
    """Weights of a blur, as wide as OpenCV's of the widest one in floats."""
    # getGaussianKernel's own rule for the length: four standard deviations each way.
    half = (round(widest * 8 + 1) | 1) // 2
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def add_noise(x: torch.Tensor, noises: Sequence[Noise | None], up: Upload) -> torch.Tensor:
    """Add noise to those crops of ``(B, ..., S, S)`` that have some.

    All of a batch comes from one generator, of the first one's seed.
    """
    own = [(row, noise) for row, noise in enumerate(noises) if noise is not None]
    if not own:
        return x
    rows = up(np.array([row for row, _ in own]))
    level = up(np.array([noise.level for _, noise in own], np.float32))
    source = torch.Generator(x.device).manual_seed(own[0][1].seed)
    shape = (len(own), *x.shape[1:])
    drawn = torch.empty(shape, device=x.device).normal_(generator=source)
    x[rows] += drawn * level.view(-1, *[1] * (x.dim() - 1))
    return x


def coarse_matrix(size: int, side: int) -> NDArray[np.float32]:
    """``(size, size)``: rows averaged down to ``side`` and enlarged again, linearly.

    As ``cv2.resize`` does with ``INTER_AREA`` and ``INTER_LINEAR``, along one axis.
    """
    edges = np.arange(side + 1) * size / side
    cells = np.arange(size)
    covered = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    down = covered.clip(0) * side / size
    place = ((np.arange(size) + 0.5) * side / size - 0.5).clip(0, side - 1)
    first = np.minimum(place.astype(int), side - 2)
    up = np.zeros((size, side))
    up[np.arange(size), first] = 1 - (place - first)
    up[np.arange(size), first + 1] = place - first
    return (up @ down).astype(np.float32)

"""Lamp heads and floodlights drawn into thermal crops: hot, a person's size, and no person.

A lit lamp is the commonest false alarm on real thermal by night, and the few flights that a
model learns from show it few of them. Their shapes are formulas, which NumPy and torch
evaluate alike: ``xp`` is either module.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover_training.data.augment.params import Lamps

#: Places tried for a group before a crop is left as it is.
_TRIES = 6
#: A cooler middle's half axes, as a part of its head's.
_MIDDLE = 0.55
#: The normal distribution's edge as a logistic one.
_LOGISTIC = 1.702


def draw_lamps(
    size: int, boxes: NDArray[np.float32], scale: float, rng: np.random.Generator
) -> Lamps | None:
    """Draw one group of lamps where no object is; None where a place was not found.

    One head on an arm, or a row of up to five floodlights on a pole, as hot as people are.

    Args:
        size: side of the crop, pixels.
        boxes: ``(N, 4)`` x1, y1, x2, y2 of all objects, crop pixels; they are kept clear.
        scale: crop pixels a source pixel.
        rng: source of randomness.
    """
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.4, 0.15, 0.15, 0.2, 0.1]))
    radius = scale * rng.uniform(2.0, 5.0)
    along = rng.uniform(2.1, 3.2) * radius
    angle = rng.uniform(-0.9, 0.9)
    step = along * np.array([np.cos(angle), np.sin(angle)])
    offsets = (np.arange(count) - (count - 1) / 2)[:, None] * step
    offsets = offsets + rng.normal(0, 0.15 * radius, offsets.shape)
    pole = scale * rng.uniform(0, 45) * np.array([rng.uniform(-0.3, 0.3), 1.0])
    shown = np.concatenate([offsets - 2 * radius, offsets + 2 * radius])
    low, high = shown.min(axis=0), shown.max(axis=0)
    for _ in range(_TRIES):
        centre = rng.uniform(0, size, 2)
        meets = (boxes[:, :2] < centre + high) & (boxes[:, 2:] > centre + low)
        if not meets.all(axis=1).any():
            break
    else:
        return None
    steel = float(rng.uniform(-60, 50)) if rng.random() < 0.7 else None
    middles = centre + offsets
    axes = radius * rng.uniform((0.8, 0.7), (1.5, 1.1), (count, 2))
    # A cooler middle or rim: no flat disc that nothing real looks like.
    inner = middles + rng.uniform(-0.7, 0.7, (count, 2)) * axes
    peaks, cooler = rng.uniform(0.7, 1.0, (count, 1)), rng.uniform(0, 0.6, (count, 1))
    heads = np.concatenate([middles, axes, peaks, inner, cooler], axis=1).astype(np.float32)
    width = max(1.0, 0.8 * scale)
    return Lamps(
        heads=heads,
        angle=float(angle),
        softness=float(scale * rng.uniform(0.5, 1.0)),
        heat=float(rng.uniform(170, 255)),
        pole=(*centre.tolist(), *(centre + pole).tolist(), width),
        steel=steel,
    )


def reach(lamps: Lamps, size: int) -> tuple[int, int, int, int]:
    """Columns and rows x1, y1, x2, y2 of the crop that a group changes; may be none."""
    # Beyond four standard deviations of the edge less than half a level is left.
    margin = lamps.heads[:, 2:4].max(axis=1, keepdims=True) + 4 * lamps.softness + 1
    corners = [lamps.heads[:, :2] - margin, lamps.heads[:, :2] + margin]
    if lamps.steel is not None:
        ends = np.array(lamps.pole[:4]).reshape(2, 2)
        corners += [ends - lamps.pole[4] - 1, ends + lamps.pole[4] + 1]
    points = np.concatenate(corners)
    x1, y1 = np.floor(points.min(axis=0)).clip(0, size).astype(int).tolist()
    x2, y2 = np.ceil(points.max(axis=0) + 1).clip(0, size).astype(int).tolist()
    return x1, y1, x2, y2


def heads_of(x: Any, y: Any, heads: Any, angle: Any, softness: Any, xp: Any) -> Any:
    """How much of a group's heat each pixel has, 0..1.

    Args:
        x: columns of the pixels.
        y: their rows; both broadcast to what is returned.
        heads: as :attr:`.Lamps.heads`: the eight values of each head in turn, each of which
            broadcasts too. A head of peak 0 is none.
        angle: of the axes, radians.
        softness: standard deviation of the edges, pixels.
        xp: numpy or torch.
    """
    cos, sin = xp.cos(angle), xp.sin(angle)
    out = x * 0 + y * 0
    for cx, cy, a, b, peak, ix, iy, cooler in heads:
        head = _ellipse(x - cx, y - cy, a, b, cos, sin, softness, xp)
        middle = _ellipse(x - ix, y - iy, a * _MIDDLE, b * _MIDDLE, cos, sin, softness, xp)
        out = xp.maximum(out, head * peak * (1 - middle * cooler))
    return out


def _ellipse(x: Any, y: Any, a: Any, b: Any, cos: Any, sin: Any, softness: Any, xp: Any) -> Any:
    """Coverage of an ellipse around the origin whose edge is blurred."""
    radius = xp.hypot((x * cos + y * sin) / a, (y * cos - x * sin) / b)
    inside = (1 - radius) * xp.sqrt(a * b)
    # Beyond this it is 0 or 1 to a hundred digits, and an exponential would overflow.
    return 1 / (1 + xp.exp((-_LOGISTIC * inside / softness).clip(-80, 80)))


def pole_of(x: Any, y: Any, pole: Any, xp: Any) -> Any:
    """Coverage 0..1 of a pole: a line with an edge of a pixel.

    Args:
        x: columns of the pixels.
        y: their rows.
        pole: the five values of :attr:`.Lamps.pole`.
        xp: numpy or torch.
    """
    x1, y1, x2, y2, width = pole
    dx, dy = x2 - x1, y2 - y1
    length = dx * dx + dy * dy + 1e-6
    along = (((x - x1) * dx + (y - y1) * dy) / length).clip(0, 1)
    away = xp.hypot(x - x1 - along * dx, y - y1 - along * dy)
    return (width / 2 + 0.5 - away).clip(0, 1)


def light_lamps(crop: NDArray[np.float32], lamps: Lamps) -> None:
    """Draw a group into a ``(S, S)`` thermal crop, in place."""
    x1, y1, x2, y2 = reach(lamps, crop.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    ground = float(crop.mean())
    part = crop[y1:y2, x1:x2]
    x = np.arange(x1, x2, dtype=np.float32)
    y = np.arange(y1, y2, dtype=np.float32)[:, None]
    if lamps.steel is not None:
        part += pole_of(x, y, lamps.pole, np) * (ground + lamps.steel - part)
    heat = min(max(lamps.heat, ground + 40), 255.0)
    angle, softness = np.float32(lamps.angle), np.float32(lamps.softness)
    part += heads_of(x, y, lamps.heads, angle, softness, np) * (heat - part)
    np.clip(part, 0, 255, out=part)

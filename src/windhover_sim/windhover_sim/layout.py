"""Where roads, squares, car parks, trees and buildings are.

The world is a square of ``PERIOD_M`` metres that repeats, its origin at the
ground point in the middle of the first frame. Streets run along the axes; the
drone's heading is random, so in the image they run anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: Side of the square of ground that is drawn and then repeats, metres.
PERIOD_M = 128.0


@dataclass(frozen=True, slots=True)
class Rect:
    """Axis-aligned ground rectangle, metres."""

    x0: float
    y0: float
    x1: float
    y1: float

    def contains(self, x: float, y: float, margin: float = 0.0) -> bool:
        """Whether a point is inside the rectangle enlarged by ``margin``."""
        return (
            self.x0 - margin <= x <= self.x1 + margin and self.y0 - margin <= y <= self.y1 + margin
        )

    @property
    def corners(self) -> list[tuple[float, float]]:
        """Four corners, anticlockwise seen from above."""
        return [(self.x0, self.y0), (self.x1, self.y0), (self.x1, self.y1), (self.x0, self.y1)]


@dataclass(frozen=True, slots=True)
class Spot:
    """A place and a heading (radians) on the ground."""

    x: float
    y: float
    heading: float


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree or a bush: trunk foot, crown radius and crown centre height, metres."""

    x: float
    y: float
    radius: float
    height: float
    kind: int
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Building:
    """A block with a flat roof: footprint and height, metres."""

    footprint: Rect
    height: float
    tone: float


@dataclass(frozen=True, slots=True)
class Layout:
    """The static parts of a scene; lists may be empty."""

    road: Rect | None
    lane_x: tuple[float, float]
    cross: Rect | None
    walks: list[Rect]
    plaza: Rect | None
    court: bool
    lot: Rect | None
    slots: list[Spot] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    lamps: list[Spot] = field(default_factory=list)
    bins: list[Spot] = field(default_factory=list)
    path: list[tuple[float, float]] = field(default_factory=list)

    def is_paved(self, x: float, y: float) -> bool:
        """Whether a point is paved rather than grass."""
        made = [self.road, self.cross, self.plaza, self.lot, *self.walks]
        return any(rect is not None and rect.contains(x, y) for rect in made)


def make_layout(rng: np.random.Generator, reach: float, clutter: float) -> Layout:
    """Draw a place from a random generator.

    Args:
        rng: random generator.
        reach: half width of the ground in the first frame, metres.
        clutter: density of trees, buildings and furniture; 0 for none.
    """
    half = PERIOD_M / 2
    side = float(rng.choice([-1.0, 1.0]))
    centre = side * float(rng.uniform(0.15, 0.7)) * reach
    width = float(rng.uniform(6.2, 8.2))
    edge0, edge1 = centre - width / 2, centre + width / 2
    has_road = rng.random() < 0.85
    road = Rect(edge0, -half, edge1, half) if has_road else None
    cross = None
    if has_road and rng.random() < 0.35:
        y = float(rng.uniform(-0.9, 0.9)) * reach
        cross = Rect(-half, y - 3.0, half, y + 3.0)
    walk = float(rng.uniform(1.6, 3.2))
    walks = [Rect(edge0 - walk, -half, edge0, half), Rect(edge1, -half, edge1 + walk, half)]
    plaza: Rect | None = _square(rng, -side, edge0 - walk, edge1 + walk, reach, (16, 30), (20, 38))
    lot: Rect | None = _square(rng, side, edge0 - walk, edge1 + walk, reach, (13, 17), (22, 40))
    plaza = plaza if rng.random() < 0.75 else None
    lot = lot if rng.random() < 0.65 else None
    path = _path(rng, half)
    layout = Layout(
        road=road,
        lane_x=(centre - width / 4, centre + width / 4),
        cross=cross,
        walks=walks if has_road else [],
        plaza=plaza,
        court=bool(rng.random() < 0.5),
        lot=lot,
        slots=_slots(lot) if lot else _kerbside(rng, edge0, edge1, reach),
        path=path,
    )
    layout.buildings.extend(_buildings(rng, layout, reach, clutter))
    layout.trees.extend(_trees(rng, layout, reach, clutter))
    _add_furniture(rng, layout, reach, clutter)
    return layout


def _square(
    rng: np.random.Generator,
    side: float,
    left: float,
    right: float,
    reach: float,
    depth: tuple[float, float],
    length: tuple[float, float],
) -> Rect:
    """A rectangle that touches the road's walk on one side."""
    d, n = float(rng.uniform(*depth)), float(rng.uniform(*length))
    y = float(rng.uniform(-0.5, 0.5)) * reach
    if side < 0:
        return Rect(left - d, y - n / 2, left, y + n / 2)
    return Rect(right, y - n / 2, right + d, y + n / 2)


def _slots(lot: Rect) -> list[Spot]:
    """Two facing rows of 2.5 m parking slots, cars heading across the lot."""
    count = int((lot.y1 - lot.y0) // 2.5)
    rows = [(lot.x0 + 2.7, 0.0), (lot.x1 - 2.7, np.pi)]
    return [Spot(x, lot.y0 + 1.25 + 2.5 * i, h) for x, h in rows for i in range(count)]


def _kerbside(rng: np.random.Generator, edge0: float, edge1: float, reach: float) -> list[Spot]:
    """Slots of 6.2 m along both sides of the road, for a scene with no car park."""
    ys = np.arange(-1.6 * reach, 1.6 * reach, 6.2) + rng.uniform(0, 3)
    left = [Spot(edge0 - 1.1, float(y), -np.pi / 2) for y in ys]
    return left + [Spot(edge1 + 1.1, float(y), np.pi / 2) for y in ys]


def _path(rng: np.random.Generator, half: float) -> list[tuple[float, float]]:
    """A trodden path that wanders across the square."""
    xs = np.linspace(-half, half, 9)
    ys = np.cumsum(rng.normal(0, 6, 9)) + rng.uniform(-25, 25)
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def _buildings(
    rng: np.random.Generator, layout: Layout, reach: float, clutter: float
) -> list[Building]:
    found: list[Building] = []
    for _ in range(int(rng.poisson(1.6 * clutter))):
        w, d = rng.uniform(8, 20, 2)
        angle = rng.uniform(0, 2 * np.pi)
        far = reach * rng.uniform(0.9, 1.5) + 8
        x, y = far * np.cos(angle), far * np.sin(angle)
        rect = Rect(float(x - w / 2), float(y - d / 2), float(x + w / 2), float(y + d / 2))
        taken = [layout.road, layout.cross, layout.plaza, layout.lot, *layout.walks]
        taken += [other.footprint for other in found]
        if any(_overlap(rect, other) for other in taken if other is not None):
            continue
        found.append(Building(rect, float(rng.uniform(3.2, 9.5)), float(rng.random())))
    return found


def _overlap(a: Rect, b: Rect) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


def _trees(rng: np.random.Generator, layout: Layout, reach: float, clutter: float) -> list[Tree]:
    """Trees in clumps on grass and in rows along the walks, bushes anywhere green."""
    trees: list[Tree] = []

    def add(x: float, y: float, bush: bool) -> None:
        blocked = any(b.footprint.contains(x, y, 2.5) for b in layout.buildings)
        if blocked or layout.is_paved(x, y):
            return
        if any((x - o.x) ** 2 + (y - o.y) ** 2 < (0.7 * o.radius) ** 2 for o in trees):
            return
        radius = float(rng.uniform(0.5, 1.3) if bush else rng.uniform(1.3, 3.3))
        height = radius * 0.7 if bush else float(rng.uniform(2.2, 3.2)) + radius
        bare = bool(not bush and rng.random() < 0.2)
        trees.append(Tree(float(x), float(y), radius, height, int(rng.integers(8)), bare))

    for _ in range(int(rng.poisson(5 * clutter))):
        cx, cy = rng.uniform(-1.5, 1.5, 2) * reach
        for dx, dy in rng.normal(0, 4.0, (int(rng.integers(1, 6)), 2)):
            add(cx + dx, cy + dy, bool(rng.random() < 0.35))
    for walk in layout.walks[: int(2 * min(1.0, clutter))]:
        edge = walk.x0 - 0.9 if rng.random() < 0.5 else walk.x1 + 0.9
        if rng.random() < 0.6:
            for y in np.arange(-1.6 * reach, 1.6 * reach, float(rng.uniform(6, 11))):
                add(edge, float(y + rng.normal(0, 0.3)), bool(rng.random() < 0.3))
    return trees


def _add_furniture(rng: np.random.Generator, layout: Layout, reach: float, clutter: float) -> None:
    """Lamp posts along the road, boxes and bins on the walks."""
    for walk in layout.walks[: int(2 * min(1.0, clutter))]:
        offset = float(rng.uniform(0, 20))
        for y in np.arange(-1.8 * reach, 1.8 * reach, 24.0):
            layout.lamps.append(Spot(walk.x0 + 0.4, float(y) + offset, float(walk.x0 > 0) * np.pi))
    for _ in range(int(rng.poisson(6 * clutter))):
        x, y = rng.uniform(-1, 1, 2) * reach
        layout.bins.append(Spot(float(x), float(y), float(rng.uniform(0, np.pi))))

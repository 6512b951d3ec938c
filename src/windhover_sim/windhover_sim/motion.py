"""How people and vehicles move: paths made once, read at any instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from windhover_sim.camera import Floats
from windhover_sim.layout import Layout

_STEP_S: Final = 0.1
#: Metres walked in one full cycle of the gait, at a walk.
_CYCLE_M: Final = 1.5


@dataclass(frozen=True, slots=True)
class Path:
    """A path sampled every 0.1 s.

    Attributes:
        states: ``(T, 4)``: x, y in metres, heading in radians (unwrapped),
            metres walked so far.
    """

    states: Floats

    @property
    def is_stationary(self) -> bool:
        """Whether it stays in one place."""
        return len(self.states) == 2

    def at(self, t: float) -> tuple[float, float, float, float]:
        """State at ``t`` seconds, linear between samples, held at the ends."""
        place = min(max(t / _STEP_S, 0.0), len(self.states) - 1.0)
        low = min(int(place), len(self.states) - 2)
        share = place - low
        x, y, heading, walked = self.states[low] * (1 - share) + self.states[low + 1] * share
        return float(x), float(y), float(heading), float(walked)

    def speed(self, t: float) -> float:
        """Speed at ``t`` seconds, metres a second."""
        place = int(min(max(t / _STEP_S, 0.0), len(self.states) - 2.0))
        return float((self.states[place + 1, 3] - self.states[place, 3]) / _STEP_S)


def samples(duration_s: float) -> int:
    """States a path needs to cover a clip."""
    return int(np.ceil(duration_s / _STEP_S)) + 2


def gait_phase(walked: float, stature: float) -> float:
    """Phase of the walking cycle, radians, after a distance in metres."""
    return 2 * np.pi * walked / (_CYCLE_M * stature)


def stationary_path(x: float, y: float, heading: float) -> Path:
    """The path of a body that does not move."""
    return Path(np.tile([x, y, heading, 0.0], (2, 1)))


def walking_paths(
    rng: np.random.Generator,
    starts: Floats,
    speeds: Floats,
    obstacles: Floats,
    layout: Layout,
    duration_s: float,
) -> list[Path]:
    """Paths of people who stroll around where they started.

    Headings drift at random and turn back home from far away; people keep off
    obstacles and out of each other's way, slow down and set off again.

    Args:
        rng: random generator.
        starts: ``(N, 2)`` metres.
        speeds: ``(N,)`` usual speed, metres a second; 0 stands still.
        obstacles: ``(M, 3)`` discs x, y, radius, metres.
        layout: where walls are.
        duration_s: seconds.
    """
    count, steps = len(starts), samples(duration_s)
    states = np.zeros((steps, count, 4))
    place, walked = starts.copy(), np.zeros(count)
    heading = rng.uniform(0, 2 * np.pi, count)
    turn = np.zeros(count)
    pause = rng.uniform(0, 2 * np.pi, count)
    walls = [b.footprint for b in layout.buildings]
    for step in range(steps):
        states[step] = np.column_stack([place, heading, walked])
        turn = 0.9 * turn + rng.normal(0, 0.12, count)
        home = starts - place
        away = np.hypot(home[:, 0], home[:, 1])
        bearing = np.arctan2(home[:, 1], home[:, 0])
        error = np.angle(np.exp(1j * (bearing - heading)))
        turn += 0.08 * np.clip((away - 9) / 6, 0, 1) * error
        rate = np.clip(1.3 + 1.6 * np.sin(0.35 * step * _STEP_S + pause), 0, 1) * speeds
        push = _push(place, obstacles)
        heading = heading + turn * _STEP_S * np.minimum(1.0, rate + 0.2) * 2.5
        velocity = np.column_stack([np.cos(heading), np.sin(heading)]) * rate[:, None]
        moving = speeds > 0
        move = np.where(moving[:, None], velocity + push, 0.0) * _STEP_S
        nxt = place + move
        for wall in walls:
            blocked = np.array([wall.contains(float(x), float(y), 0.4) for x, y in nxt], bool)
            heading = np.where(blocked, heading + np.pi * 0.6, heading)
            nxt = np.where(blocked[:, None], place, nxt)
        walked = walked + np.hypot(*(nxt - place).T)
        place = nxt
    return [Path(states[:, index]) for index in range(count)]


def _push(place: Floats, obstacles: Floats) -> Floats:
    """``(N, 2)`` velocity, metres a second, that keeps people off things and apart."""
    others = np.column_stack([place, np.full(len(place), 0.25)])
    discs = np.concatenate([others, obstacles])
    gap = place[:, None] - discs[None, :, :2]
    distance = np.hypot(gap[..., 0], gap[..., 1])
    inside = np.clip(discs[None, :, 2] + 0.45 - distance, 0, None)
    distance[distance < 1e-6] = np.inf
    return np.asarray((gap / distance[..., None] * (3.0 * inside)[..., None]).sum(axis=1))


def driving_path(
    start: tuple[float, float], heading: float, speed: float, phase: float, duration_s: float
) -> Path:
    """Drive straight on at a speed that breathes by a fifth.

    Args:
        start: metres.
        heading: radians.
        speed: metres a second.
        phase: of the change of speed; the same for all in one lane, so that
            they keep their distance.
        duration_s: seconds.
    """
    t = np.arange(samples(duration_s)) * _STEP_S
    run = speed * (t + 0.2 / 0.4 * (np.cos(phase) - np.cos(0.4 * t + phase)))
    x, y = start[0] + np.cos(heading) * run, start[1] + np.sin(heading) * run
    return Path(np.column_stack([x, y, np.full_like(t, heading), run]))


def circling_path(
    centre: tuple[float, float], radius: float, speed: float, phase: float, duration_s: float
) -> Path:
    """Ride round a circle, anticlockwise when ``speed`` is positive."""
    t = np.arange(samples(duration_s)) * _STEP_S
    angle = phase + speed * t / radius
    heading = angle + np.sign(speed) * np.pi / 2
    x, y = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    return Path(np.column_stack([x, y, heading, np.abs(speed) * t]))

"""What is in a scene: objects of the truth on their paths, and bodies that stand still."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from windhover_sim.camera import Floats
from windhover_sim.config import SCENE_LABELS
from windhover_sim.layout import Rect
from windhover_sim.motion import Path, gait_phase
from windhover_sim.paint import Target
from windhover_sim.people import Person
from windhover_sim.shapes import Shape
from windhover_sim.vehicles import RigidBody

#: Rows of the truth's labels.
PERSON, WEAPON, TWO_WHEELER, VEHICLE, BICYCLE = range(len(SCENE_LABELS))


@dataclass(frozen=True, slots=True)
class Actor:
    """An object of the truth: a body, its path and its names."""

    body: Person | RigidBody
    path: Path
    targets: tuple[Target, ...]
    start_phase: float = 0.0

    def named(self, *, thermal: bool) -> tuple[Target, ...]:
        """The targets of one camera's truth; in thermal a two-wheeler has its riders in it."""
        machine = self.targets[0]
        if thermal and machine.class_id in (TWO_WHEELER, BICYCLE):
            return (replace(machine, class_id=TWO_WHEELER),)
        return self.targets

    def shape(self, t: float) -> Shape:
        """The body at ``t`` seconds."""
        x, y, heading, walked = self.path.at(t)
        if isinstance(self.body, RigidBody):
            return self.body.shape(x, y, heading)
        speed = self.path.speed(t)
        # Short steps at low speed; a standing figure sways by a few degrees.
        stride = float(np.clip(speed / 1.35, 0, 1) if speed < 2 else 1.0 + (speed - 2) * 0.35)
        phase = self.start_phase + gait_phase(walked, self.body.stature)
        if stride < 0.05:
            stride, phase = 0.06, self.start_phase + 0.8 * t
        return self.body.shape(x, y, heading, phase, min(stride, 1.35))

    def velocity(self, t: float) -> Floats:
        """``(3,)`` metres a second."""
        before, after = self.path.at(t - 0.05), self.path.at(t + 0.05)
        return np.array([after[0] - before[0], after[1] - before[1], 0.0]) * 10.0

    def centre(self, t: float) -> tuple[float, float, float]:
        """Middle of the body at ``t`` seconds, world metres."""
        x, y, _, _ = self.path.at(t)
        return x, y, 0.9 if isinstance(self.body, Person) else 0.7

    def headlamps(self, t: float) -> tuple[Floats, Floats] | None:
        """``(2, 3)`` world metres and ``(3,)`` where they shine; ``None`` if it isn't driving."""
        if not isinstance(self.body, RigidBody) or self.targets[0].class_id != VEHICLE:
            return None
        if self.path.is_stationary:
            return None
        x, y, heading, _ = self.path.at(t)
        ahead = np.array([np.cos(heading), np.sin(heading), 0.0])
        aside = np.array([-ahead[1], ahead[0], 0.0])
        front = np.array([x, y, 0.7]) + (self.body.radius - 0.45) * ahead
        return np.array([front + 0.6 * aside, front - 0.6 * aside]), ahead

    @property
    def radius(self) -> float:
        """Of a sphere round the middle that contains the body, metres."""
        return 1.9 if isinstance(self.body, Person) else self.body.radius

    @property
    def is_moving(self) -> bool:
        """Whether its shadow is drawn in each frame, not once on the ground's map."""
        return isinstance(self.body, Person) or not self.path.is_stationary


@dataclass(frozen=True, slots=True)
class Fixture:
    """A body that stands still and is not in the truth."""

    shape: Shape
    centre: Floats
    footprint: Rect | None = None

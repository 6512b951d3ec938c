"""All objects of a scene, and where they are at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path as FilePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from windhover_sim.actors import BICYCLE, PERSON, TWO_WHEELER, VEHICLE, WEAPON, Actor, Fixture
from windhover_sim.camera import Camera, Flight, Floats
from windhover_sim.climate import Climate
from windhover_sim.clutter import (
    TreePainter,
    box_shape,
    building_shape,
    crown_points,
    lamp_shape,
    trunk_shape,
)
from windhover_sim.config import SceneConfig
from windhover_sim.glare import Glare
from windhover_sim.ground import TEXTURE_SCALE, Ground
from windhover_sim.kinds import LOOKALIKES
from windhover_sim.layout import PERIOD_M, Rect, Spot, make_layout
from windhover_sim.motion import (
    Path,
    circling_path,
    driving_path,
    stationary_path,
    walking_paths,
)
from windhover_sim.paint import Target
from windhover_sim.people import Person, make_person, varied_person, with_carried_item
from windhover_sim.shapes import Shape, capsule_shadows, face_shadow
from windhover_sim.street import street_shape
from windhover_sim.textures import Cover, Covered, draw_textures, read_covers
from windhover_sim.two_wheelers import make_bicycle, make_motorcycle, make_panelled_motorcycle
from windhover_sim.vehicles import RigidBody, make_car, make_lorry

_SPEEDS: Final = {"walk": 1.35, "run": 3.4}


class World:
    """A scene's contents, all drawn from the seed in one fixed order."""

    def __init__(self, config: SceneConfig) -> None:
        self.config = config
        # One stream a part, so that more cars do not change the people's faces.
        streams = [
            np.random.default_rng(child) for child in np.random.SeedSequence(config.seed).spawn(11)
        ]
        flight, weather, place, ground, woods, crowd, traffic, props, extra, varied = streams[:10]
        self._varied, self._finish = varied, streams[10]
        self.flight = Flight(config, flight)
        self.climate = Climate.at(config.hour, weather)
        if config.variety:
            self.climate = self.climate.varied(varied, config.variety)
        self.glare = Glare.draw(self._finish, config.variety) if config.variety else None
        self.reach = _view_radius(self.flight.camera("thermal", 0.0))
        self.layout = make_layout(place, self.reach, config.clutter)
        textures = (
            draw_textures(FilePath(config.textures), varied, TEXTURE_SCALE)
            if config.textures
            else None
        )
        self.ground = Ground(ground, self.layout, self.climate, textures)
        self.woods = TreePainter(woods, self.climate)
        self.fixtures = self._make_fixtures(props)
        self._last_id = 0
        self._parked: list[tuple[float, float, float]] = []
        parked = self._cars(traffic)
        bikes = self._two_wheelers(traffic, config.n_motorcycles, make_motorcycle, TWO_WHEELER)
        people = self._people(crowd, extra)
        cycles = self._two_wheelers(varied, config.n_bicycles, make_bicycle, BICYCLE)
        self.actors = [*parked, *bikes, *people, *cycles]
        self._add_static_shadows()

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _make_fixtures(self, rng: np.random.Generator) -> list[Fixture]:
        climate, layout = self.climate, self.layout
        found = []
        for building in layout.buildings:
            r = building.footprint
            centre = np.array([(r.x0 + r.x1) / 2, (r.y0 + r.y1) / 2, building.height / 2])
            covers = self._draw_covers("wall", "roof")
            shape = building_shape(building, climate, rng, 0.5 * self.config.variety, covers)
            found.append(Fixture(shape, centre, r))
        found += [
            Fixture(lamp_shape(lamp, climate), np.array([lamp.x, lamp.y, 3.0]))
            for lamp in layout.lamps
        ]
        for spot in layout.bins:
            shape = box_shape(spot, climate, rng)
            found.append(Fixture(shape, np.array([spot.x, spot.y, 0.4])))
        found += self._street()
        for tree in layout.trees:
            if tree.height > 2:
                middle = np.array([tree.x, tree.y, tree.height / 2])
                found.append(Fixture(trunk_shape(tree, climate), middle))
        return found

    def _draw_covers(self, *materials: Covered) -> tuple[Cover, Cover] | None:
        """Pictures of two materials; ``None`` where the scene has no textures of one."""
        if not self.config.textures:
            return None
        choices = [read_covers(FilePath(self.config.textures), each) for each in materials]
        if not all(choices):
            return None
        first, second = (each[int(self._finish.integers(len(each)))] for each in choices)
        return first, second

    def _street(self) -> list[Fixture]:
        """What stands about in a varied scene."""
        rng, config = self._varied, self.config
        found = []
        for _ in range(int(rng.poisson(14 * config.variety * config.clutter))):
            x, y = (float(v) for v in rng.uniform(-1, 1, 2) * self.reach)
            shape = street_shape(Spot(x, y, float(rng.uniform(0, np.pi))), self.climate, rng)
            if not any(b.footprint.contains(x, y, 1.0) for b in self.layout.buildings):
                found.append(Fixture(shape, np.array([x, y, 0.5])))
        return found

    def _cars(self, rng: np.random.Generator) -> list[Actor]:
        config, layout = self.config, self.layout
        moving = round(0.4 * config.n_cars) if layout.road is not None else 0
        actors = []
        for path in self._lanes(rng, moving):
            body = make_car(rng, self.climate, engine_warmth=float(rng.uniform(0.7, 1.0)))
            if self._varied.random() < 0.3 * config.variety:
                body = make_lorry(self._varied, self.climate, engine_warmth=0.9)
            actors.append(Actor(body, path, (Target(self._next_id(), VEHICLE),)))
        for spot in self._parking(rng, config.n_cars - moving):
            engine_warmth = float(rng.choice([0.0, 0.25, 0.8], p=[0.7, 0.2, 0.1]))
            body = make_car(rng, self.climate, engine_warmth)
            turn = np.pi if rng.random() < 0.35 else 0.0
            heading = spot.heading + turn + float(rng.normal(0, 0.03))
            path = stationary_path(spot.x + float(rng.normal(0, 0.15)), spot.y, heading)
            for ahead in (-1.6, 0.0, 1.6):
                along = spot.x + ahead * np.cos(heading), spot.y + ahead * np.sin(heading)
                self._parked.append((float(along[0]), float(along[1]), 1.2))
            actors.append(Actor(body, path, (Target(self._next_id(), VEHICLE),)))
            if self.climate.phase[0] > 0.3:
                self.ground.add_warm_patch(spot.x, spot.y, 1.2, 1.5 + 3.0 * engine_warmth)
        return actors

    def _lanes(self, rng: np.random.Generator, count: int) -> list[Path]:
        """Paths of cars that drive in the two lanes, each lane at one speed."""
        duration = self.config.duration_s
        paths = []
        for lane, (x, heading) in enumerate(
            zip(self.layout.lane_x, (-np.pi / 2, np.pi / 2), strict=True)
        ):
            share = (count + 1 - lane) // 2
            speed, phase = float(rng.uniform(4, 11)), float(rng.uniform(0, 2 * np.pi))
            back = float(rng.uniform(-0.8, 0.5)) * self.reach
            for _ in range(share):
                y = back if heading > 0 else -back
                paths.append(driving_path((x, y), heading, speed, phase, duration))
                back -= 9.0 + float(rng.uniform(0, 14)) + 0.4 * speed * duration / max(share, 1)
        return paths

    def _parking(self, rng: np.random.Generator, count: int) -> list[Spot]:
        """Free slots, those in the first frame's view first, then kerbside grass."""
        slots = list(self.layout.slots)
        rng.shuffle(slots)
        slots.sort(key=lambda spot: not self._in_first_view(spot.x, spot.y))
        slots = slots[:count]
        while len(slots) < count:
            x, y = rng.uniform(-1.2, 1.2, 2) * self.reach
            near = any((x - s.x) ** 2 + (y - s.y) ** 2 < 36 for s in slots)
            # Now and then a crowded or overgrown place is taken, so that this ends.
            if (near or self._blocked(float(x), float(y), 3.0)) and rng.random() < 0.97:
                continue
            slots.append(Spot(float(x), float(y), float(rng.uniform(0, 2 * np.pi))))
        return slots

    def _two_wheelers(
        self,
        rng: np.random.Generator,
        count: int,
        make: Callable[[np.random.Generator, Climate, bool], RigidBody],
        class_id: int,
    ) -> list[Actor]:
        actors = []
        duration = self.config.duration_s
        for index in range(count):
            ridden = bool(rng.random() < 0.75)
            body = make(rng, self.climate, ridden)
            if class_id == TWO_WHEELER and self._finish.random() < 0.75 * self.config.variety:
                body = make_panelled_motorcycle(self._finish, self.climate, ridden)
            x, y = self._free_point(rng, 1.5)
            if not ridden:
                path = stationary_path(x, y, float(rng.uniform(0, 2 * np.pi)))
            elif self.layout.road is not None and rng.random() < 0.6:
                side = 1 if index % 2 else -1
                edge = self.layout.road.x1 - 0.8 if side > 0 else self.layout.road.x0 + 0.8
                speed = float(rng.uniform(3, 9))
                lead = speed * duration * float(rng.uniform(0.0, 0.6))
                start = (edge, float(rng.uniform(-0.8, 0.8)) * self.reach - side * lead)
                path = driving_path(
                    start, side * np.pi / 2, speed, float(rng.uniform(0, 6)), duration
                )
            else:
                speed = float(rng.uniform(2.5, 6)) * float(rng.choice([-1, 1]))
                phase = float(rng.uniform(0, 2 * np.pi))
                radius = float(rng.uniform(0.2, 0.5)) * self.reach
                centre = (x - radius * np.cos(phase), y - radius * np.sin(phase))
                path = circling_path(centre, radius, speed, phase, duration)
            machine = Target(self._next_id(), class_id)
            riders = [Target(self._next_id(), PERSON, machine.track_id) for _ in range(body.riders)]
            actors.append(Actor(body, path, (machine, *riders)))
        return actors

    def _people(self, rng: np.random.Generator, extra: np.random.Generator) -> list[Actor]:
        """Everyone on foot.

        What came later than the first scenes is drawn from ``extra``, so that those
        stay as they were.
        """
        config = self.config
        count = config.n_people + config.n_armed
        bodies = [make_person(rng, self.climate, i < config.n_armed) for i in range(count)]
        if config.weapon_kinds != ("rifle",):
            for row in range(config.n_armed):
                kind = str(extra.choice(config.weapon_kinds))
                bodies[row] = with_carried_item(bodies[row], kind, extra, self.climate)
        others = []
        for _ in range(config.n_lookalikes):
            body = make_person(extra, self.climate, True)
            others.append(
                with_carried_item(body, str(extra.choice(LOOKALIKES)), extra, self.climate)
            )
        bodies, others = ([self._dressed(each) for each in group] for group in (bodies, others))
        return self._walkers(rng, bodies, extra) + self._walkers(extra, others, extra)

    def _dressed(self, person: Person) -> Person:
        """The same figure in the clothes of a varied scene and of its pictures."""
        if self.config.variety:
            person = varied_person(person, self._varied, self.climate, self.config.variety)
        return replace(person, cloth=self._draw_covers("cloth", "cloth"))

    def _walkers(
        self, rng: np.random.Generator, bodies: list[Person], extra: np.random.Generator
    ) -> list[Actor]:
        config, count = self.config, len(bodies)
        if not count:
            return []
        starts: list[tuple[float, float]] = []
        for _ in range(count):
            start = self._free_point(rng, 0.6)
            if starts and rng.random() < config.crowding:
                x, y = starts[int(rng.integers(len(starts)))]
                near = x + float(rng.normal(0, 1.2)), y + float(rng.normal(0, 1.2))
                start = start if self._blocked(*near, 0.6) else near
            starts.append(start)
        if config.occlusion:
            starts = [self._position_near_cover(start, extra) for start in starts]
        speeds = np.array([_SPEEDS.get(b.posture, 0.0) for b in bodies])
        speeds *= rng.uniform(0.75, 1.2, count)
        paths = walking_paths(
            rng, np.array(starts), speeds, self._obstacles(), self.layout, config.duration_s
        )
        phases = rng.uniform(0, 2 * np.pi, count)
        actors = []
        for body, path, phase in zip(bodies, paths, phases, strict=True):
            person = self._next_id()
            targets: tuple[Target, ...] = (Target(person, PERSON),)
            if body.armed:
                targets += (Target(self._next_id(), WEAPON, person),)
            actors.append(Actor(body, path, targets, float(phase)))
        return actors

    def _position_near_cover(
        self, start: tuple[float, float], rng: np.random.Generator
    ) -> tuple[float, float]:
        """``start``, or at random a place that something nearby half hides."""
        hides = [(t.x, t.y, 0.9 * t.radius) for t in self.layout.trees] + self._parked
        hides = [(x, y, r) for x, y, r in hides if self._in_first_view(x, y)]
        if not hides or rng.random() >= self.config.occlusion:
            return start
        x, y, radius = hides[int(rng.integers(len(hides)))]
        angle = float(rng.uniform(0, 2 * np.pi))
        reach = radius * float(rng.uniform(0.5, 1.3)) + 0.4
        near = x + reach * float(np.cos(angle)), y + reach * float(np.sin(angle))
        return start if self._blocked(*near, 0.3) else near

    def _free_point(self, rng: np.random.Generator, room: float) -> tuple[float, float]:
        """A ground point that the thermal camera sees at some time of the clip."""
        x = y = 0.0
        for _ in range(60):
            t = float(rng.uniform(0, self.config.duration_s))
            camera = self.flight.camera("thermal", t if self.config.speed_mps else 0.0)
            lens = camera.intrinsics
            pixel = rng.uniform([0.03, 0.03], [0.97, 0.97]) * [lens.width, lens.height]
            x, y = (float(v) for v in camera.to_ground(pixel[None])[0])
            far = np.hypot(x - camera.position[0], y - camera.position[1])
            if not np.isfinite(far) or far > 2.2 * self.config.altitude_m:
                continue
            on_road = self.layout.road is not None and self.layout.road.contains(x, y, 0.5)
            if not self._blocked(x, y, room) and (not on_road or rng.random() < 0.15):
                return x, y
        return (x, y) if np.isfinite(x + y) else (0.0, 0.0)

    def _blocked(self, x: float, y: float, room: float) -> bool:
        layout = self.layout
        if any(b.footprint.contains(x, y, room) for b in layout.buildings):
            return True
        if any((x - cx) ** 2 + (y - cy) ** 2 < (r + room) ** 2 for cx, cy, r in self._parked):
            return True
        return any((x - t.x) ** 2 + (y - t.y) ** 2 < (0.3 + room) ** 2 for t in layout.trees)

    def _obstacles(self) -> Floats:
        """``(M, 3)`` discs x, y, radius that people walk round: stems and parked cars."""
        trees = [(tree.x, tree.y, 0.3) for tree in self.layout.trees]
        return np.array([*trees, *self._parked], float).reshape(-1, 3)

    def _in_first_view(self, x: float, y: float) -> bool:
        camera = self.flight.camera("thermal", 0.0)
        pixel, depth = camera.project(np.array([x, y, 0.5]))
        lens = camera.intrinsics
        inside = 0 < pixel[0] < lens.width and 0 < pixel[1] < lens.height
        return bool(depth > 0 and inside)

    def _add_static_shadows(self) -> None:
        for lamp in self.layout.lamps:
            head = 1.75 * np.array([np.cos(lamp.heading), np.sin(lamp.heading)])
            self.ground.add_lamp(lamp.x + float(head[0]), lamp.y + float(head[1]))
        if not self.climate.casts_shadows:
            return
        sun = self.climate.sun
        still = [actor.shape(0.0) for actor in self.actors if not actor.is_moving]
        for shape in [fixture.shape for fixture in self.fixtures] + still:
            for outline in capsule_shadows(shape.capsules, sun):
                self.ground.add_shadow(outline)
        for shape in still:
            for outline in face_shadow(shape.faces, sun):
                self.ground.add_shadow(outline)
        for fixture in self.fixtures:
            if len(fixture.shape.faces):
                self.ground.add_shadow(_shadow_points(fixture.shape.faces.reshape(-1, 3), sun))
        for tree in self.layout.trees:
            self.ground.add_shadow(_shadow_points(crown_points(tree), sun), dappled=True)

    def headlamps(self, t: float) -> Iterator[tuple[Floats, Floats]]:
        """Lamps, ``(2, 3)`` world metres, and where they shine, ``(3,)``, of all that drives."""
        lamps = (actor.headlamps(t) for actor in self.actors)
        yield from filter(None, lamps)

    @cached_property
    def fixture_spheres(self) -> tuple[Floats, Floats]:
        """``(N, 3)`` centres and ``(N,)`` radii of spheres that contain the fixtures, metres."""
        radii = [
            np.linalg.norm(_points(fixture.shape) - fixture.centre, axis=1).max() + 0.2
            for fixture in self.fixtures
        ]
        centres = np.array([fixture.centre for fixture in self.fixtures])
        return centres.reshape(-1, 3), np.array(radii, float)


def _shadow_points(points: Floats, sun: Floats) -> Floats:
    """``(N, 2)`` where the shadows of ``(N, 3)`` points fall, metres."""
    return np.asarray(points[:, :2] - points[:, 2:] * (sun[:2] / sun[2]))


def _points(shape: Shape) -> Floats:
    """``(N, 3)`` points whose hull is about the body's."""
    ends = shape.capsules.reshape(-1, 4)[:, :3]
    return np.concatenate([ends, shape.faces.reshape(-1, 3)])


def _view_radius(camera: Camera) -> float:
    """Half of what the camera sees of the ground across its middle, metres."""
    lens = camera.intrinsics
    slant = float(np.linalg.norm(camera.position))
    return float(np.clip(slant * lens.width / 2 / lens.focal, 8, 0.4 * PERIOD_M))


def is_behind(points: Floats, eye: Floats, rect: Rect) -> NDArray[np.bool_]:
    """Which ground points a footprint stands in front of, seen from ``eye``.

    Args:
        points: ``(N, 2)`` metres.
        eye: ``(2,)`` ground point under the camera.
        rect: footprint.

    Returns:
        ``(N,)`` whether the line from the eye to the point crosses the footprint.
    """
    step = points - eye
    step = np.where(np.abs(step) < 1e-9, 1e-9, step)
    low = (np.array([rect.x0, rect.y0]) - eye) / step
    high = (np.array([rect.x1, rect.y1]) - eye) / step
    enter = np.minimum(low, high).max(axis=1)
    leave = np.maximum(low, high).min(axis=1)
    return np.asarray((enter < leave) & (enter < 1) & (leave > 0))

"""Scenes, rendered frame by frame in any order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import ConfigError
from windhover_sim.bands import lit_tiles
from windhover_sim.camera import NEAR_M, Camera, Floats, Intrinsics
from windhover_sim.config import SCENE_LABELS, SceneConfig
from windhover_sim.glare import add_headlamps, glints
from windhover_sim.ground import horizon_mask, render_ground
from windhover_sim.layout import Rect, Tree
from windhover_sim.outlines import Outline, outline_all
from windhover_sim.paint import Canvas, Target
from windhover_sim.people import Person
from windhover_sim.sensor import THERMAL_EXPOSURE_S, RgbSensor, ThermalSensor
from windhover_sim.shapes import Shape, capsule_shadows, face_shadow
from windhover_sim.truth import SceneTruth
from windhover_sim.weather import apply_weather
from windhover_sim.world import World, is_behind

Which = Literal["thermal", "rgb", "both"]

#: Stamp of the first frame, nanoseconds: 2024-01-01 00:00 UTC.
START_NS: Final = 1_704_067_200_000_000_000

_FAR_M: Final = 220.0
#: Light of a lamp over the light of the night, and its colour.
_LAMP_GAIN: Final = np.float32(3.5)
_LAMP_BGR: Final = np.array([0.62, 0.9, 1.1], np.float32)
#: A body outside the image still counts while its shadow may reach into it.
_SHADOW_ROOM_M: Final = 3.0
#: A close-up is drawn no smaller than this, pixels.
_LEAST_PATCH_PX: Final = 24


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """One frame of a scene, for the cameras that were requested.

    Attributes:
        index: of the frame.
        stamp_ns: capture time, nanoseconds.
        altitude_m: height of the drone over the ground, metres.
        thermal: ``(H, W)`` uint16 raw counts, hundredths of a kelvin, or ``None``.
        rgb: ``(H, W, 3)`` uint8 BGR, or ``None``.
        thermal_truth: objects in the thermal image; a two-wheeler with its riders.
        rgb_truth: objects in the RGB image; a two-wheeler without.
        thermal_camera: lens and pose of the thermal camera.
        rgb_camera: lens and pose of the RGB camera.
    """

    index: int
    stamp_ns: int
    altitude_m: float
    thermal: NDArray[np.uint16] | None
    rgb: NDArray[np.uint8] | None
    thermal_truth: SceneTruth
    rgb_truth: SceneTruth
    thermal_camera: Camera
    rgb_camera: Camera

    @property
    def truth(self) -> SceneTruth:
        """Truth of the camera that was rendered; of the thermal one when both were."""
        return self.rgb_truth if self.thermal is None else self.thermal_truth


@dataclass(frozen=True, slots=True)
class ScenePerson:
    """One person of a scene at one instant.

    Attributes:
        track_id: as in the truth.
        centre: ``(3,)`` world, metres.
        armed: whether a weapon is carried.
        carries: kind of what is carried, ``nothing`` without.
        held: how it is carried, such as ``slung``; "" without.
    """

    track_id: int
    centre: Floats
    armed: bool
    carries: str
    held: str


@dataclass(frozen=True, slots=True)
class SceneThing:
    """Something in a scene that is no person, at one instant.

    Attributes:
        label: as in the truth; "" for what is not in it, such as a bin, a lamp or a trunk.
        centre: ``(3,)`` world, metres.
    """

    label: str
    centre: Floats


class Scene:
    """A scene drawn from its configuration.

    ``render(i)`` depends on the configuration and ``i`` only, whatever was
    rendered before.
    """

    def __init__(self, config: SceneConfig) -> None:
        self.config = config
        self._world = World(config)
        self._sensors = np.random.SeedSequence([config.seed, 1]).spawn(2)

    @property
    def length(self) -> int:
        """How many frames there are."""
        return self.config.length

    @cached_property
    def _thermal_sensor(self) -> ThermalSensor:
        return ThermalSensor(self.config, np.random.default_rng(self._sensors[0]))

    @cached_property
    def _rgb_sensor(self) -> RgbSensor:
        rng = np.random.default_rng(self._sensors[1])
        return RgbSensor(self.config, self._world.climate, rng)

    def camera(self, index: int, which: str) -> Camera:
        """Lens and pose of the ``thermal`` or ``rgb`` camera in a frame."""
        return self._world.flight.camera(which, self._time(index))

    def render(self, index: int, which: Which = "thermal") -> SceneFrame:
        """Draw a frame.

        Args:
            index: 0 to ``length - 1``.
            which: the camera to draw, or both.

        Raises:
            ConfigError: no such frame or camera.
        """
        t = self._time(index)
        if which not in ("thermal", "rgb", "both"):
            raise ConfigError(f"scene camera {which!r} must be one of thermal, rgb, both")
        thermal = rgb = None
        thermal_truth = rgb_truth = SceneTruth()
        cameras = {name: self._world.flight.camera(name, t) for name in ("thermal", "rgb")}
        if which in ("thermal", "both"):
            celsius, thermal_truth = self._paint("thermal", cameras["thermal"], t)
            celsius = self._with_weather(celsius, cameras["thermal"], index, thermal=True)
            blur = self._image_motion("thermal", t, THERMAL_EXPOSURE_S)
            thermal = self._thermal_sensor.expose(celsius, blur, index)
        if which in ("rgb", "both"):
            colour, rgb_truth = self._paint("rgb", cameras["rgb"], t)
            colour = self._with_weather(colour, cameras["rgb"], index, thermal=False)
            blur = self._image_motion("rgb", t, self._rgb_sensor.exposure_s)
            rgb = self._rgb_sensor.expose(colour, blur, index)
        return SceneFrame(
            index=index,
            stamp_ns=START_NS + round(index * 1e9 / self.config.rate_hz),
            altitude_m=float(cameras["thermal"].position[2]),
            thermal=thermal,
            rgb=rgb,
            thermal_truth=thermal_truth,
            rgb_truth=rgb_truth,
            thermal_camera=cameras["thermal"],
            rgb_camera=cameras["rgb"],
        )

    def people(self, index: int) -> list[ScenePerson]:
        """Everyone on foot in the scene at a frame, in view or not."""
        t = self._time(index)
        return [
            ScenePerson(
                track_id=actor.targets[0].track_id,
                centre=np.array(actor.centre(t)),
                armed=actor.body.armed,
                carries=actor.body.kind if actor.body.carry else "nothing",
                held=actor.body.carry or "",
            )
            for actor in self._world.actors
            if isinstance(actor.body, Person)
        ]

    def things(self, index: int) -> list[SceneThing]:
        """What is no person in the scene at a frame, in view or not, buildings left out."""
        t = self._time(index)
        moving = [
            SceneThing(SCENE_LABELS[actor.targets[0].class_id], np.array(actor.centre(t)))
            for actor in self._world.actors
            if not isinstance(actor.body, Person)
        ]
        fixed = [
            SceneThing("", fixture.centre)
            for fixture in self._world.fixtures
            if fixture.footprint is None
        ]
        return moving + fixed

    def close_up(
        self, index: int, aim: Floats, size: int, span_m: float, width: int
    ) -> tuple[NDArray[np.uint8], SceneTruth, float]:
        """Draw a square patch of the RGB camera's picture, without drawing the rest.

        It is what a camera of ``width`` pixels sees of ``span_m`` metres around ``aim``: drawn
        at that camera's own resolution, with its blur and noise, then enlarged to ``size``
        where that is finer.

        Args:
            index: of the frame.
            aim: ``(3,)`` world, the patch's centre, metres.
            size: side of the patch, pixels.
            span_m: side of the patch at ``aim``, metres.
            width: of the camera's full picture, pixels.

        Returns:
            ``(size, size, 3)`` uint8 BGR; the truth in its pixels; and pixels of the camera's
            picture to one of the patch.

        Raises:
            ConfigError: no such frame.
        """
        t = self._time(index)
        camera = self._world.flight.camera("rgb", t)
        distance = float(np.linalg.norm(aim - camera.position))
        full = Intrinsics.from_hfov((width, width), self.config.rgb_hfov_deg).focal
        native = span_m * full / distance
        side = int(np.clip(round(native), _LEAST_PATCH_PX, size))
        focal = side * distance / span_m
        patch = Camera(
            Intrinsics(side, side, focal), camera.position, _aimed(camera.rotation, camera, aim)
        )
        colour, truth = self._paint("rgb", patch, t)
        colour = self._with_weather(colour, patch, index, thermal=False)
        blur = self._image_motion("rgb", t, self._rgb_sensor.exposure_s)
        blur = blur * (focal / camera.intrinsics.focal)
        image = self._rgb_sensor.expose(colour, blur, index)
        if side < size:
            image = np.asarray(
                cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8
            )
        return image, truth.scaled(size / side), native / size

    def _time(self, index: int) -> float:
        if not 0 <= index < self.length:
            raise ConfigError(f"scene has no frame {index}: it has {self.length}, from 0")
        return index / self.config.rate_hz

    def _with_weather(
        self, image: NDArray[np.float32], camera: Camera, index: int, *, thermal: bool
    ) -> NDArray[np.float32]:
        climate = self._world.climate
        return apply_weather(image, camera, self.config, climate, index, thermal=thermal)

    def _image_motion(self, which: str, t: float, exposure_s: float) -> Floats:
        """``(2,)`` pixels that the ground in the middle moves while exposing."""
        flight = self._world.flight
        camera = flight.camera(which, t)
        middle = np.array([[camera.intrinsics.width / 2, camera.intrinsics.height / 2]])
        ground = np.append(camera.to_ground(middle)[0], 0.0)
        if not np.isfinite(ground).all():
            return np.zeros(2)
        early, _ = flight.camera(which, t - exposure_s / 2).project(ground)
        late, _ = flight.camera(which, t + exposure_s / 2).project(ground)
        return np.asarray(late - early)

    def _paint(
        self, which: str, camera: Camera, t: float
    ) -> tuple[NDArray[np.float32], SceneTruth]:
        """The ideal picture and its truth."""
        world, thermal = self._world, which == "thermal"
        image = render_ground(world.ground.thermal if thermal else world.ground.colour, camera)
        bodies = self._visible_bodies(camera, t, thermal)
        self._paint_shadows(image, camera, bodies, thermal)
        self._paint_sky(image, camera, thermal)
        canvas = Canvas(camera, image)
        glare = None if thermal else world.glare
        for item in self._far_to_near(camera, bodies):
            if isinstance(item, Tree):
                world.woods.paint(canvas, item, thermal)
            elif item.outline is not None:
                shape = item.shape
                values = shape.celsius if thermal else shape.bgr
                if glare is not None and shape.glossy:
                    values = values + glints(shape, camera, world.climate)
                canvas.draw_body(shape, item.outline, values, item.targets)
        if not thermal and self._rgb_sensor.lamps_lit:
            # What stands under a lamp takes the light of the ground behind it,
            # which is near enough at these sizes.
            light = render_ground(world.ground.lamplight, camera)
            for tile in lit_tiles(light):
                image[tile] *= 1 + _LAMP_GAIN * light[tile][..., None] * _LAMP_BGR
        if glare is not None:
            for lamps, ahead in world.headlamps(t) if self._rgb_sensor.lamps_lit else ():
                add_headlamps(image, camera, lamps, ahead)
            glare.add(image, camera, world.climate)
        return image, canvas.truth()

    def _visible_bodies(self, camera: Camera, t: float, thermal: bool) -> list[_VisibleBody]:
        """Bodies near the view, outlined."""
        world = self._world
        found: list[tuple[Shape, Floats, tuple[Target, ...], Rect | None, bool]] = []
        centres = np.array([actor.centre(t) for actor in world.actors]).reshape(-1, 3)
        radii = np.array([actor.radius for actor in world.actors])
        for row in np.flatnonzero(_in_view(camera, centres, radii + _SHADOW_ROOM_M)):
            actor = world.actors[row]
            targets = actor.named(thermal=thermal)
            found.append((actor.shape(t), centres[row], targets, None, actor.is_moving))
        for row in np.flatnonzero(_in_view(camera, *world.fixture_spheres)):
            fixture = world.fixtures[row]
            found.append((fixture.shape, fixture.centre, (), fixture.footprint, False))
        outlines = outline_all(camera, [row[0] for row in found])
        return [
            _VisibleBody(*row, outline=outline)
            for row, outline in zip(found, outlines, strict=True)
        ]

    def _far_to_near(self, camera: Camera, bodies: list[_VisibleBody]) -> list[Tree | _VisibleBody]:
        items: list[Tree | _VisibleBody] = [*bodies, *self._world.layout.trees]
        if not items:
            return []
        points = np.array(
            [
                (item.x, item.y, item.height) if isinstance(item, Tree) else item.centre
                for item in items
            ]
        )
        _, depth = camera.project(points)
        for row, item in enumerate(items):
            # A long wall has no single depth: it is painted after all it hides.
            if isinstance(item, _VisibleBody) and item.footprint is not None:
                hidden = is_behind(points[:, :2], camera.position[:2], item.footprint)
                hidden[row] = False
                depth[row] = depth[hidden].min() - 1e-3 if hidden.any() else np.inf
        return [items[row] for row in np.argsort(-depth, kind="stable")]

    def _paint_shadows(
        self, image: NDArray[np.float32], camera: Camera, bodies: list[_VisibleBody], thermal: bool
    ) -> None:
        """Shadows of moving bodies; those of static ones are on the ground's map."""
        climate = self._world.climate
        moving = [body.shape for body in bodies if body.is_moving]
        if not climate.casts_shadows or not moving:
            return
        shade = np.zeros(image.shape[:2], np.uint8)
        outlines = [capsule_shadows(shape.capsules, climate.sun) for shape in moving]
        outlines += [face_shadow(shape.faces, climate.sun) for shape in moving]
        _fill_polygons(shade, np.concatenate(outlines), camera.ground_to_image())
        for tile in lit_tiles(shade):
            share = shade[tile].astype(np.float32) * np.float32(climate.sunlight / 255)
            if thermal:
                # Ground cools within seconds by a few tenths, not by the full shade.
                image[tile] -= np.float32(0.9) * share
            else:
                image[tile] *= 1 - np.float32(climate.darkened(0.6)) * share[..., None]

    def _paint_sky(self, image: NDArray[np.float32], camera: Camera, thermal: bool) -> None:
        mask = horizon_mask(camera)
        if mask is None:
            return
        if thermal:
            image[mask] = self._world.climate.air_c - 18.0
        else:
            image[mask] = (226.0, 206.0, 188.0)


@dataclass(frozen=True, slots=True)
class _VisibleBody:
    """A body of capsules and faces in one frame; no ``targets`` outside the truth."""

    shape: Shape
    centre: Floats
    targets: tuple[Target, ...]
    footprint: Rect | None
    is_moving: bool
    outline: Outline | None


def _aimed(rotation: Floats, camera: Camera, aim: Floats) -> Floats:
    """``(3, 3)`` world-to-optical rotation that looks at ``aim``, as upright as ``rotation``."""
    forward = (aim - camera.position) / np.linalg.norm(aim - camera.position)
    right = np.cross(rotation[1], forward)
    right /= np.linalg.norm(right)
    return np.array([right, np.cross(forward, right), forward])


def _in_view(camera: Camera, centres: Floats, radii: Floats) -> NDArray[np.bool_]:
    """Which spheres, ``(N, 3)`` and ``(N,)`` metres, may show in the image."""
    pixels, depth = camera.project(centres)
    lens = camera.intrinsics
    room = radii * lens.focal / np.maximum(depth, NEAR_M)
    inside = (pixels > -room[:, None]).all(axis=1)
    inside &= (pixels < room[:, None] + [lens.width, lens.height]).all(axis=1)
    return np.asarray(inside & (depth > 1.5) & (depth < _FAR_M))


def _fill_polygons(shade: NDArray[np.uint8], outlines: Floats, to_image: Floats) -> None:
    """Fill ``(N, 12, 2)`` ground polygons, metres, on an image."""
    points = outlines @ to_image[:, :2].T + to_image[:, 2]
    front = points[..., 2].min(axis=1) > NEAR_M
    pixels = points[front, :, :2] / points[front, :, 2:] - 0.5
    # Far outside, fixed-point coordinates would overflow.
    pixels = pixels[np.abs(pixels).max(axis=(1, 2)) < 8000]
    for polygon in np.round(pixels * 16).astype(np.int32):
        cv2.fillConvexPoly(shade, polygon, 255, cv2.LINE_AA, 4)

"""A scene that can be asked for any of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import ConfigError
from windhover.sources.scene.camera import Camera, Floats
from windhover.sources.scene.config import SceneConfig
from windhover.sources.scene.ground import horizon_mask, view
from windhover.sources.scene.layout import PERIOD_M, Tree
from windhover.sources.scene.paint import Canvas
from windhover.sources.scene.sensor import THERMAL_EXPOSURE_S, RgbSensor, ThermalSensor
from windhover.sources.scene.shapes import Shape, capsule_shadows
from windhover.sources.scene.truth import SceneTruth
from windhover.sources.scene.world import Actor, Fixture, World, behind

Which = Literal["thermal", "rgb", "both"]

#: Stamp of the first frame, nanoseconds: 2024-01-01 00:00 UTC.
START_NS: Final = 1_704_067_200_000_000_000

_FAR_M: Final = 220.0


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """One instant of a scene, as seen by the cameras that were asked for.

    Attributes:
        index: of the frame.
        stamp_ns: capture time, nanoseconds.
        altitude_m: height of the drone over the ground, metres.
        thermal: ``(H, W)`` uint16 raw counts, hundredths of a kelvin, or ``None``.
        rgb: ``(H, W, 3)`` uint8 BGR, or ``None``.
        thermal_truth: objects in the thermal image.
        rgb_truth: objects in the RGB image.
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
            blur = self._image_motion("thermal", t, THERMAL_EXPOSURE_S)
            thermal = self._thermal_sensor.expose(celsius, blur, index)
        if which in ("rgb", "both"):
            colour, rgb_truth = self._paint("rgb", cameras["rgb"], t)
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

    def _time(self, index: int) -> float:
        if not 0 <= index < self.length:
            raise ConfigError(f"scene has no frame {index}: it has {self.length}, from 0")
        return index / self.config.rate_hz

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
        image = view(world.ground.thermal if thermal else world.ground.colour, camera)
        actors = [(actor, actor.shape(t)) for actor in world.actors if _near(actor, camera, t)]
        self._paint_shadows(image, camera, actors, thermal)
        self._paint_sky(image, camera, thermal)
        canvas = Canvas(camera, image)
        for item in self._far_to_near(camera, actors, t):
            if isinstance(item, Tree):
                world.woods.paint(canvas, item, thermal)
            elif isinstance(item, Fixture):
                values = item.shape.celsius if thermal else item.shape.bgr
                canvas.body(item.shape, values)
            else:
                actor, shape = item
                canvas.body(shape, shape.celsius if thermal else shape.bgr, actor.targets)
        return image, canvas.truth()

    def _far_to_near(
        self, camera: Camera, actors: list[tuple[Actor, Shape]], t: float
    ) -> list[Tree | Fixture | tuple[Actor, Shape]]:
        world = self._world
        items: list[Tree | Fixture | tuple[Actor, Shape]] = [*actors]
        centres = [np.array([*a.path.at(t)[:2], a.mass_height]) for a, _ in actors]
        for tree in world.layout.trees:
            items.append(tree)
            centres.append(np.array([tree.x, tree.y, tree.height]))
        for fixture in world.fixtures:
            items.append(fixture)
            centres.append(fixture.centre)
        if not items:
            return []
        points = np.array(centres)
        _, depth = camera.project(points)
        for row, item in enumerate(items):
            # A long wall has no single depth: it is painted after all it hides.
            if isinstance(item, Fixture) and item.footprint is not None:
                hidden = behind(points[:, :2], camera.position[:2], item.footprint)
                hidden[row] = False
                depth[row] = depth[hidden].min() - 1e-3 if hidden.any() else np.inf
        return [items[row] for row in np.argsort(-depth, kind="stable")]

    def _paint_shadows(
        self,
        image: NDArray[np.float32],
        camera: Camera,
        actors: list[tuple[Actor, Shape]],
        thermal: bool,
    ) -> None:
        """Shadows of what moves; those of what stands are on the ground's map."""
        climate = self._world.climate
        moving = {id(actor) for actor in self._world.moving()}
        if not climate.casts_shadows:
            return
        shade = np.zeros(image.shape[:2], np.uint8)
        to_image = camera.ground_to_image()
        for actor, shape in actors:
            if id(actor) not in moving:
                continue
            outlines = capsule_shadows(shape.capsules, climate.sun)
            if len(shape.faces):
                corners = shape.faces.reshape(-1, 3)
                flat = corners[:, :2] - corners[:, 2:] * (climate.sun[:2] / climate.sun[2])
                hull = cv2.convexHull(flat.astype(np.float32))[:, 0].astype(float)
                _stamp(shade, hull, to_image)
            for outline in outlines:
                _stamp(shade, outline, to_image)
        share = shade.astype(np.float32) * np.float32(climate.sunlight / 255)
        if thermal:
            # Ground cools within seconds by a few tenths, not by the full shade.
            image -= np.float32(0.9) * share
        else:
            image *= 1 - np.float32(0.6) * share[..., None]

    def _paint_sky(self, image: NDArray[np.float32], camera: Camera, thermal: bool) -> None:
        mask = horizon_mask(camera)
        if mask is None:
            return
        if thermal:
            image[mask] = self._world.climate.air_c - 18.0
        else:
            image[mask] = (226.0, 206.0, 188.0)


def _near(actor: Actor, camera: Camera, t: float) -> bool:
    """Whether an actor is in front of the camera and not too far to draw."""
    x, y, _, _ = actor.path.at(t)
    _, depth = camera.project(np.array([x, y, 1.0]))
    return bool(1.5 < depth < _FAR_M)


def _stamp(shade: NDArray[np.uint8], outline: Floats, to_image: Floats) -> None:
    """Fill a ground polygon, metres, on an image."""
    if np.abs(outline).max() > 4 * PERIOD_M:
        return
    points = np.column_stack([outline, np.ones(len(outline))]) @ to_image.T
    if points[:, 2].min() < 0.5:
        return
    pixels = points[:, :2] / points[:, 2:] - 0.5
    if np.abs(pixels).max() > 8000:
        return
    cv2.fillConvexPoly(shade, np.round(pixels * 16).astype(np.int32), 255, cv2.LINE_AA, 4)

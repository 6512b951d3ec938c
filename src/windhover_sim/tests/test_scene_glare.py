"""Glints, bloom, a low sun's veil and headlamps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from windhover_sim import Scene, SceneConfig
from windhover_sim.actors import VEHICLE
from windhover_sim.camera import Camera, Intrinsics, look_rotation
from windhover_sim.climate import Climate
from windhover_sim.glare import Glare, add_headlamps, glints
from windhover_sim.shapes import Shape, box_faces
from windhover_sim.world import World

LENS = Intrinsics.from_hfov((320, 240), 60.0)
DOWN = Camera(LENS, np.array([0.0, 0.0, 30.0]), look_rotation(0.0, np.pi / 2, 0.0))
OBLIQUE = Camera(LENS, np.array([0.0, 0.0, 30.0]), look_rotation(0.0, 0.8, 0.0))
NOON = dataclasses.replace(
    Climate.at(13.0, np.random.default_rng(1)), sun=np.array([0.0, 0.0, 1.0]), sunlight=1.0
)
PLAIN_LENS = Glare(bloom=1.0, veil=0.0, ghosts=np.empty((0, 3)))


def block() -> Shape:
    faces = np.array(box_faces((-1, 1), (-1, 1), (0.0, 1.0)))
    return Shape(
        capsules=np.empty((0, 8)),
        faces=faces,
        layer=np.zeros(5, np.int64),
        celsius=np.zeros(5, np.float32),
        bgr=np.full((5, 3), 90, np.float32),
        entity=np.zeros(5, np.uint8),
        glossy=True,
    )


def test_what_is_no_brighter_than_white_does_not_bloom() -> None:
    image = np.full((240, 320, 3), 254, np.float32)
    before = image.copy()
    PLAIN_LENS.add(image, DOWN, NOON)
    np.testing.assert_array_equal(image, before)


def test_a_bright_spot_blooms_less_with_distance() -> None:
    image = np.full((240, 320, 3), 40, np.float32)
    image[116:124, 156:164] = 1500
    PLAIN_LENS.add(image, DOWN, NOON)
    row = image[120, :, 1]
    assert row[150] > row[140] > row[120] >= 40
    assert row[150] > 60
    assert row[10] == pytest.approx(40, abs=0.5)


def test_the_sun_is_mirrored_where_the_angle_is_right() -> None:
    top, *sides = glints(block(), DOWN, NOON)[:, 0]
    assert top > 500
    assert max(sides) < 1
    low = dataclasses.replace(NOON, sun=np.array([0.8, 0.0, 0.6]))
    assert glints(block(), DOWN, low)[0, 0] < 50
    night = dataclasses.replace(NOON, sunlight=0.0)
    assert not glints(block(), DOWN, night).any()


def test_the_veil_is_thickest_towards_the_sun() -> None:
    ahead = dataclasses.replace(NOON, sun=np.array([0.98, 0.0, 0.2]))
    lens = Glare(bloom=0.0, veil=80.0, ghosts=np.empty((0, 3)))
    image = np.full((240, 320, 3), 60, np.float32)
    lens.add(image, OBLIQUE, ahead)
    assert image[5].mean() > image[120].mean() > image[235].mean() >= 60
    behind = np.full((240, 320, 3), 60, np.float32)
    lens.add(behind, OBLIQUE, dataclasses.replace(NOON, sun=np.array([-0.98, 0.0, 0.2])))
    assert float(behind.max()) == 60


def test_ghosts_lie_on_the_line_from_the_sun_through_the_middle() -> None:
    ahead = dataclasses.replace(NOON, sun=np.array([0.98, 0.0, 0.2]))
    ghost = np.array([[0.5, 0.04, 60.0]])
    flat, with_ghost = (np.full((240, 320, 3), 60, np.float32) for _ in range(2))
    Glare(0.0, 60.0, np.empty((0, 3))).add(flat, OBLIQUE, ahead)
    Glare(0.0, 60.0, ghost).add(with_ghost, OBLIQUE, ahead)
    rows, columns = np.nonzero((with_ghost - flat)[..., 1] > 1)
    assert abs(columns.mean() - 160) < 6  # the sun stands straight ahead
    assert rows.mean() > 130


def test_headlamps_blind_from_the_front_alone() -> None:
    lamps = np.array([[12.0, 0.6, 0.7], [12.0, -0.6, 0.7]])
    towards, away = (np.zeros((240, 320, 3), np.float32) for _ in range(2))
    camera = Camera(LENS, np.array([0.0, 0.0, 8.0]), look_rotation(0.0, 0.55, 0.0))
    add_headlamps(towards, camera, lamps, np.array([-1.0, 0.0, 0.0]))
    add_headlamps(away, camera, lamps, np.array([1.0, 0.0, 0.0]))
    assert towards.max() > 255
    assert away.max() == 0
    pixels, _ = camera.project(lamps)
    for x, y in pixels.astype(int):
        assert towards[y, x].max() > 255
    add_headlamps(towards, camera, lamps * [-1, 1, 1], np.array([-1.0, 0.0, 0.0]))  # behind it


def test_a_plain_scene_has_none_of_it_and_a_varied_one_repeats() -> None:
    config = SceneConfig(seed=2, n_cars=4, rgb_size=(320, 240), thermal_size=(160, 128))
    assert Scene(config)._world.glare is None
    varied = dataclasses.replace(config, variety=1.0, time_of_day="night")
    first, again = (Scene(varied).render(3, "rgb").rgb for _ in range(2))
    np.testing.assert_array_equal(first, again)
    bloom = {Glare.draw(np.random.default_rng(seed), 1.0).bloom for seed in range(5)}
    assert min(bloom) > 0
    assert max(bloom) <= 1


def test_what_drives_has_its_lamps_in_front_and_what_is_parked_has_none() -> None:
    world = World(SceneConfig(seed=1, n_cars=8, n_people=0, n_armed=0, n_motorcycles=1))
    driving = [
        actor
        for actor in world.actors
        if actor.targets[0].class_id == VEHICLE and not actor.path.is_stationary
    ]
    found = list(world.headlamps(1.0))
    assert 0 < len(found) == len(driving) < 8
    for actor, (lamps, ahead) in zip(driving, found, strict=True):
        centre = np.array(actor.centre(1.0))
        assert ((lamps - centre) @ ahead > 1.5).all()
        assert float(actor.velocity(1.0) @ ahead) > 0
        assert np.linalg.norm(lamps[0] - lamps[1]) == pytest.approx(1.2)

"""Varied scenes: other light, cameras, clothes and ground, with a truth that stays true."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from windhover.errors import ConfigError
from windhover_sim import Scene, SceneConfig
from windhover_sim.camera_look import CameraLook
from windhover_sim.climate import Climate
from windhover_sim.clutter import building_shape
from windhover_sim.layout import Building, Rect, Spot
from windhover_sim.street import _KINDS, street_shape
from windhover_sim.textures import draw_textures
from windhover_sim.vehicles import make_lorry

PLAIN = SceneConfig(
    seed=6,
    altitude_m=25.0,
    time_of_day="day",
    n_people=8,
    n_armed=2,
    n_motorcycles=2,
    n_cars=3,
    duration_s=1.0,
    rate_hz=2.0,
    thermal_size=(320, 256),
    rgb_size=(480, 320),
)
VARIED = dataclasses.replace(PLAIN, variety=1.0)


def tiles(folder: Path, colour: tuple[int, int, int] = (200, 40, 90)) -> Path:
    rng = np.random.default_rng(0)
    picture = np.clip(np.array(colour) + rng.normal(0, 12, (80, 60, 1)), 0, 255).astype(np.uint8)
    assert cv2.imwrite(str(folder / "a.png"), picture)
    rows = [
        {"file": "a.png", "material": name, "pixels_per_metre": 40.0}
        for name in ("grass", "dirt", "asphalt", "paving")
    ]
    (folder / "textures.yaml").write_text(yaml.safe_dump(rows), encoding="utf-8")
    return folder


def test_a_varied_scene_is_another_picture_and_the_same_twice() -> None:
    plain = Scene(PLAIN).render(1, "both")
    first, again = (Scene(VARIED).render(1, "both") for _ in range(2))
    for name in ("rgb", "thermal"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert (getattr(first, name) != getattr(plain, name)).mean() > 0.5, name
    truth = first.rgb_truth
    assert len(truth) > 6
    assert (truth.boxes[:, 2:] > truth.boxes[:, :2]).all()


def test_the_ground_takes_its_colours_from_the_pictures(tmp_path: Path) -> None:
    config = dataclasses.replace(
        PLAIN, n_people=0, n_armed=0, n_cars=0, n_motorcycles=0, clutter=0.0
    )
    textured = dataclasses.replace(config, textures=str(tiles(tmp_path)))
    plain, real = (Scene(each).render(0, "both") for each in (config, textured))
    assert real.rgb is not None
    assert plain.rgb is not None
    blue, green, red = (float(np.median(real.rgb[..., c])) for c in range(3))
    assert blue > red > green
    assert not (plain.rgb[..., 0].astype(int) > plain.rgb[..., 1] + 20).mean() > 0.1
    assert (real.thermal != plain.thermal).mean() > 0.5


def test_a_tile_repeats_without_a_seam(tmp_path: Path) -> None:
    found = draw_textures(tiles(tmp_path), np.random.default_rng(3), 32.0)
    assert set(found) == {"grass", "dirt", "asphalt", "paving"}
    tile = found["grass"]
    height, width = tile.bgr.shape[:2]
    rows = tile.rows(height - 1, height + 1, 2 * width)
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[:, :width], rows[:, width:])
    assert tile.tones(300).shape == (300, 300)
    assert float(tile.tone.std()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "not a list of textures"),
        ("[]", "must be one of grass"),
        ("- {file: a.png, material: lava, pixels_per_metre: 1}", "lava"),
        ("- {file: gone.png, material: grass, pixels_per_metre: 1}", "not a picture"),
        ("- {file: a.png}", "not a list of textures"),
    ],
)
def test_a_bad_folder_of_textures_is_told(tmp_path: Path, index: str | None, message: str) -> None:
    if index is not None:
        (tmp_path / "textures.yaml").write_text(index, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        Scene(dataclasses.replace(PLAIN, textures=str(tmp_path)))


def test_a_look_without_variety_is_nearly_the_picture_itself() -> None:
    rng = np.random.default_rng(1)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 3)
    out = CameraLook.draw(rng, 0.0).apply(picture)
    assert np.abs(out.astype(int) - picture).max() <= 12
    assert np.abs(out.astype(int) - picture).mean() < 2
    other = CameraLook.draw(rng, 1.0).apply(picture)
    assert np.abs(other.astype(int) - picture).mean() > 3


def test_varied_days_can_be_hotter_and_their_sun_anywhere() -> None:
    heights, air = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        base = Climate.at(13.0, rng)
        other = base.varied(rng, 1.0)
        assert np.linalg.norm(other.sun) == pytest.approx(1.0)
        assert 1.0 <= other.shadow <= 1.4
        heights.append(float(np.degrees(np.arcsin(other.sun[2]))))
        air.append(other.air_c - base.air_c)
    assert min(heights) < 25
    assert max(heights) > 65
    assert min(air) >= 0
    assert max(air) > 9
    night = Climate.at(1.0, np.random.default_rng(1))
    np.testing.assert_array_equal(night.varied(np.random.default_rng(2), 1.0).sun, night.sun)


def test_windows_shine_by_night_alone() -> None:
    building = Building(Rect(0, 0, 10, 10), 9.0, 0.5)
    bright = {}
    for hour in (1.0, 13.0):
        climate = Climate.at(hour, np.random.default_rng(1))
        shape = building_shape(building, climate, np.random.default_rng(2), 0.5)
        bright[hour] = float((shape.bgr.max(axis=1) > 255).mean())
    assert bright[1.0] > 0.1
    assert bright[13.0] == 0.0


@pytest.mark.parametrize("kind", list(_KINDS))
def test_street_things_stand_on_the_ground_and_are_of_a_size(kind: str) -> None:
    climate = Climate.at(13.0, np.random.default_rng(1))
    shape = _KINDS[kind][1](Spot(3.0, 4.0, 0.5), climate, np.random.default_rng(2))
    assert len(shape.capsules) + len(shape.faces) == len(shape.bgr) == len(shape.celsius)
    points = np.concatenate([shape.capsules.reshape(-1, 4)[:, :3], shape.faces.reshape(-1, 3)])
    assert (points[:, 2] >= 0).all()
    assert points[:, 2].max() < 3.5
    assert np.linalg.norm(points[:, :2] - [3, 4], axis=1).max() < 9
    assert np.isfinite(shape.celsius).all()


def test_every_kind_of_street_thing_is_drawn() -> None:
    assert sum(chance for chance, _ in _KINDS.values()) == pytest.approx(1.0)
    climate = Climate.at(13.0, np.random.default_rng(1))
    rng = np.random.default_rng(5)
    outlines = {
        (len(shape.capsules) > 0, len(shape.faces) > 0)
        for shape in (street_shape(Spot(0, 0, 0), climate, rng) for _ in range(40))
    }
    assert outlines == {(True, False), (False, True)}


def test_a_lorry_is_longer_than_any_car() -> None:
    climate = Climate.at(13.0, np.random.default_rng(1))
    for seed in range(8):
        body = make_lorry(np.random.default_rng(seed), climate, 0.5)
        low, high = body.faces.reshape(-1, 3).min(axis=0), body.faces.reshape(-1, 3).max(axis=0)
        assert 5.5 < high[0] - low[0] < 8.6
        assert 2.5 < high[2] < 3.5
        assert low[2] >= -0.01

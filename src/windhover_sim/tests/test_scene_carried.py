"""What people carry, the weather, and that older scenes stay as they were."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from windhover.errors import ConfigError
from windhover_sim import SCENE_LABELS, Scene, SceneConfig, parse_scene_uri
from windhover_sim.carried import _ITEMS, canopy, carried_parts
from windhover_sim.climate import Climate
from windhover_sim.kinds import LOOKALIKES, WEAPON_KINDS
from windhover_sim.people import POSTURES, make_person, with_carried_item

CLOSE = SceneConfig(
    seed=4,
    altitude_m=20.0,
    time_of_day="day",
    n_people=0,
    n_armed=0,
    n_motorcycles=0,
    n_cars=2,
    duration_s=1.0,
    rate_hz=2.0,
    thermal_size=(320, 256),
    rgb_size=(480, 320),
)


def labels_of(config: SceneConfig) -> list[str]:
    truth = Scene(config).render(0, "rgb").rgb_truth
    return [SCENE_LABELS[i] for i in truth.class_ids]


def test_options_at_their_defaults_change_no_pixel() -> None:
    # These pixels are those of the scenes that the released figures were measured on.
    frame = Scene(SceneConfig(seed=3, time_of_day="day")).render(5, "both")
    assert frame.rgb is not None
    assert frame.thermal is not None
    digest = hashlib.md5(frame.rgb.tobytes() + frame.thermal.tobytes()).hexdigest()
    assert digest == "2f7f538ba985de1be11345a8a6d31cb5"


@pytest.mark.parametrize("kind", WEAPON_KINDS)
def test_weapons_of_all_kinds_are_in_the_truth(kind: str) -> None:
    config = dataclasses.replace(CLOSE, n_armed=8, weapons=kind)
    assert labels_of(config).count("weapon") >= 3


def test_lookalikes_are_people_without_weapons() -> None:
    found = labels_of(dataclasses.replace(CLOSE, n_lookalikes=10))
    assert found.count("person") >= 5
    assert "weapon" not in found


def test_lookalikes_leave_everyone_else_where_they_were() -> None:
    alone = Scene(dataclasses.replace(CLOSE, n_people=4, n_armed=2)).render(0, "thermal")
    among = Scene(dataclasses.replace(CLOSE, n_people=4, n_armed=2, n_lookalikes=5))
    truth = among.render(0, "thermal").thermal_truth
    boxes = {tuple(box) for box in truth.amodal.round(3).tolist()}
    before = {tuple(box) for box in alone.thermal_truth.amodal.round(3).tolist()}
    assert before <= boxes


@pytest.mark.parametrize("kind", WEAPON_KINDS + LOOKALIKES)
@pytest.mark.parametrize("posture", POSTURES)
def test_items_have_a_colour_and_a_warmth_for_every_part(kind: str, posture: str) -> None:
    rng = np.random.default_rng(1)
    climate = Climate.at(13.0, rng)
    base = dataclasses.replace(make_person(rng, climate, True), posture=posture)
    person = with_carried_item(base, kind, rng, climate)
    shape = person.shape(0.0, 0.0, 0.3, 0.5, 0.5)
    parts = len(shape.capsules) + len(shape.faces)
    assert len(shape.celsius) == len(shape.bgr) == len(shape.layer) == len(shape.entity) == parts
    assert len(person.celsius) == parts
    assert np.isfinite(shape.capsules).all()
    assert (shape.entity == 1).any() == (kind in WEAPON_KINDS)


def test_items_have_the_length_that_is_given() -> None:
    for kind, (_, _, holds) in _ITEMS.items():
        if "raised" in holds or kind == "closed_umbrella":
            continue
        ends = carried_parts(kind, "stand", holds[0], 1.0).reshape(-1, 4)[:, :3]
        gaps = np.linalg.norm(ends[:, None] - ends[None], axis=-1)
        assert 0.95 < gaps.max() < 1.1, kind
    ring = canopy("stand")[0]
    assert 1.8 < ring[:, 2].mean() < 2.2


def test_weather_takes_contrast_and_is_the_same_twice() -> None:
    scene = dataclasses.replace(CLOSE, n_people=4, noise=0.0)
    clear = Scene(scene).render(1, "both")
    for change in ({"fog": 0.9}, {"rain": 0.9}, {"defocus": 3.0}):
        config = dataclasses.replace(scene, **change)
        first, again = (Scene(config).render(1, "both") for _ in range(2))
        for name in ("rgb", "thermal"):
            changed = getattr(first, name)
            np.testing.assert_array_equal(changed, getattr(again, name))
            assert float(changed.std()) < float(getattr(clear, name).std()), (change, name)
        np.testing.assert_array_equal(first.rgb_truth.boxes, clear.rgb_truth.boxes)


def test_occlusion_hides_people() -> None:
    # Over several scenes, since any one person may be put on the near side.
    shares = {}
    for wanted in (0.0, 1.0):
        seen = []
        for seed in range(3):
            config = SceneConfig(
                seed=seed, n_people=25, n_armed=0, occlusion=wanted, clutter=2.0, duration_s=1.0
            )
            truth = Scene(config).render(0, "thermal").thermal_truth
            seen += truth.visibility[truth.class_ids == 0].tolist()
        shares[wanted] = float(np.mean(np.array(seen) < 0.9))
    assert shares[1.0] > shares[0.0] + 0.05


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("scene:?weapons=spoon", "must name one or more of rifle, shotgun, pistol"),
        ("scene:?weapons=", "must name one or more"),
        ("scene:?fog=1.5", "fog=1.5 is out of range: 0 to 1"),
        ("scene:?rain=-1", "rain=-1.0 is out of range: 0 to 1"),
        ("scene:?defocus=9", "defocus=9.0 is out of range: 0 to 5"),
        ("scene:?lookalikes=1.5", "lookalikes='1.5' is not a whole number"),
        ("scene:?crowding=2", "crowding=2.0 is out of range"),
        ("scene:?occlusion=2", "occlusion=2.0 is out of range"),
    ],
)
def test_bad_options_are_refused(uri: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_scene_uri(uri)
    assert message in str(caught.value)


def test_options_come_from_the_uri() -> None:
    config = parse_scene_uri("scene:?weapons=rifle,pistol&lookalikes=4&fog=0.5&rain=1").config
    assert config.weapon_kinds == ("rifle", "pistol")
    assert (config.n_lookalikes, config.fog, config.rain) == (4, 0.5, 1.0)

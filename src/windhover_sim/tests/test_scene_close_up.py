"""A close-up shows what a camera of that resolution sees there, with truth in its pixels."""

from dataclasses import replace

import numpy as np
import pytest

from windhover.errors import ConfigError
from windhover_sim import SCENE_LABELS, Scene, SceneConfig

SIZE, SPAN_M = 160, 2.9
CONFIG = SceneConfig(
    seed=5, altitude_m=40.0, pitch_deg=65.0, n_people=14, n_armed=12, n_cars=0, n_motorcycles=0,
    occlusion=0.0, crowding=0.0, rgb_size=(1280, 720), weapons="rifle",
)  # fmt: skip


@pytest.fixture(scope="module")
def scene():
    return Scene(CONFIG)


def in_view(scene, index):
    """People near the frame's middle, where its flat picture stretches little, with their box."""
    frame = scene.render(index, "rgb")
    truth = frame.rgb_truth
    rows = {int(i): row for row, i in enumerate(truth.track_ids)}
    for person in scene.people(index):
        row = rows.get(person.track_id)
        if row is None or truth.visibility[row] < 0.95:
            continue
        box = truth.boxes[row]
        if (box[:2] > (350, 180)).all() and (box[2:] < (930, 540)).all():
            yield person, box


@pytest.mark.parametrize("width", [1280, 3840])
def test_a_person_is_in_the_middle_at_the_scale_of_the_camera(scene, width):
    people = list(in_view(scene, 0))
    assert len(people) >= 2
    for person, box in people:
        image, truth, scale = scene.close_up(0, person.centre, SIZE, SPAN_M, width)
        assert image.shape == (SIZE, SIZE, 3)
        row = truth.track_ids.tolist().index(person.track_id)
        found = truth.boxes[row]
        middle = (found[:2] + found[2:]) / 2
        # Whoever lies has the centre of a standing person all the same.
        assert np.abs(middle - SIZE / 2).max() < 35
        # The same object in pixels of the camera's own picture.
        sides = (found[2:] - found[:2]) * scale * (1280 / width)
        assert sides == pytest.approx(box[2:] - box[:2], rel=0.2, abs=1.5)


def test_weapons_belong_to_their_carriers(scene):
    armed = [person for person, _ in in_view(scene, 0) if person.armed]
    assert armed
    for person in armed:
        _, truth, _ = scene.close_up(0, person.centre, SIZE, SPAN_M, 3840)
        weapons = [label == "weapon" for label in truth.labels]
        assert person.track_id in truth.carrier_ids[weapons]
        assert person.carries == "rifle"


def test_a_coarser_camera_shows_less_detail(scene):
    person, _ = next(in_view(scene, 0))
    sharpness = []
    for width in (640, 1280, 3840):
        image, _, _ = scene.close_up(0, person.centre, SIZE, SPAN_M, width)
        sharpness.append(np.abs(np.diff(image.astype(float), axis=1)).mean())
    assert sharpness == sorted(sharpness)


def test_the_same_close_up_is_drawn_again(scene):
    person, _ = next(in_view(scene, 0))
    first, again = (scene.close_up(0, person.centre, SIZE, SPAN_M, 3840)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_frame_that_is_not_there_is_refused(scene):
    with pytest.raises(ConfigError, match="has no frame"):
        scene.close_up(10_000, np.zeros(3), SIZE, SPAN_M, 3840)


def test_a_thing_is_in_the_middle_of_its_close_up():
    scene = Scene(replace(CONFIG, n_people=0, n_armed=0, n_motorcycles=6, n_cars=3, motion=0.0))
    things = scene.things(0)
    assert [thing.label for thing in things].count("two-wheeler") == 6
    assert [thing.label for thing in things].count("vehicle") >= 3
    for thing in things:
        if thing.label != "two-wheeler":
            continue
        _, truth, _ = scene.close_up(0, thing.centre, SIZE, SPAN_M, 3840)
        middles = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2
        bikes = truth.class_ids == SCENE_LABELS.index("two-wheeler")
        assert np.abs(middles[bikes] - SIZE / 2).max(axis=1).min() < 25

"""Which scene ``windhover demo`` flies with which model; the flight itself is other tests'."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover_bringup.cli.demo import demo
from windhover_bringup.runtime import recorded_run
from windhover_sim import parse_scene_uri


@pytest.fixture
def source_of(monkeypatch, tmp_path):
    """The scene that a command would fly, with the settings of its cameras."""
    flown = []
    monkeypatch.setattr(recorded_run, "run_and_report", lambda settings, *_: flown.append(settings))

    def call(**options):
        demo(**{"out": tmp_path, "model": "rgbt-n", "scene": "", "rgb_size": "", **options})
        (settings,) = flown
        return settings

    return call


def scene_of(settings, camera):
    return parse_scene_uri(settings[f"{camera}_camera"]["source"]).config


def test_a_model_that_looks_twice_flies_armed_people_in_full_resolution(source_of):
    settings = source_of(frames=None, backend=None, label_map=None)
    rgb, thermal = scene_of(settings, "rgb"), scene_of(settings, "thermal")
    assert rgb == thermal
    assert (rgb.rgb_size, rgb.length, rgb.altitude_m, rgb.hour) == ((3840, 2160), 60, 40.0, 13.0)
    assert min(rgb.n_people, rgb.n_armed, rgb.n_lookalikes) > 0
    assert settings["rgb_camera"]["detect_width"] == 1280
    assert settings["rgb_camera"]["rate"] == 0.0


def test_the_thermal_camera_alone_flies_by_night(source_of):
    settings = source_of(model="thermal-n", frames=None, backend=None, label_map=None)
    scene = scene_of(settings, "thermal")
    assert (scene.seed, scene.hour, scene.length) == (1, 1.0, 240)


def test_what_is_given_is_flown(source_of):
    options = {"rgb_size": "640x360", "frames": 3, "scene": "scene:demo?seed=9"}
    scene = scene_of(source_of(backend=None, label_map=None, **options), "rgb")
    assert (scene.seed, scene.rgb_size, scene.length) == (9, (640, 360), 3)

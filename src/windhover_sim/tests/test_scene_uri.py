"""Scene configuration and URIs: what they set and what they refuse."""

from __future__ import annotations

import pytest

from windhover.errors import ConfigError
from windhover_sim import PRESETS, SceneConfig, parse_scene_uri


def test_uri_sets_scene_and_view() -> None:
    parsed = parse_scene_uri(
        "scene:crowd?seed=7&altitude=45&pitch=50&time=dusk&people=3&rate=10&frames=25"
        "&camera=rgb&size=960x540&hfov=70"
    )
    config = parsed.config
    assert (config.seed, config.altitude_m, config.pitch_deg) == (7, 45.0, 50.0)
    assert (config.n_people, config.n_armed) == (3, PRESETS["crowd"].n_armed)
    assert config.hour == 19.5
    assert config.length == 25
    assert config.rgb_size == (960, 540)
    assert config.rgb_hfov_deg == 70.0
    assert config.thermal_size == (640, 512)
    assert (parsed.camera, parsed.encoding) == ("rgb", "bgr8")


def test_defaults_are_the_thermal_demo() -> None:
    for uri in ("scene:", "scene:demo", "scene:demo?"):
        parsed = parse_scene_uri(uri)
        assert parsed.config == PRESETS["demo"]
        assert (parsed.camera, parsed.encoding) == ("thermal", "mono16")
    assert parse_scene_uri("scene:?encoding=mono8").encoding == "mono8"
    assert parse_scene_uri("scene:?time=6.5").config.hour == 6.5


@pytest.mark.parametrize("frames", [1, 7, 29, 300, 301])
@pytest.mark.parametrize("rate", [7, 15, 30])
def test_frames_is_an_exact_count(frames: int, rate: int) -> None:
    assert parse_scene_uri(f"scene:?rate={rate}&frames={frames}").config.length == frames


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("video:demo", "must start with 'scene:'"),
        ("scene:moon", "demo, crossing, empty, crowd"),
        ("scene:?alt=3", "'alt'; known keys: seed, altitude"),
        ("scene:?altitude=4", "altitude_m=4.0 is out of range: 5 to 200"),
        ("scene:?altitude=high", "altitude='high' is not a number"),
        ("scene:?altitude=nan", "out of range"),
        ("scene:?people=2.5", "people='2.5' is not a whole number"),
        ("scene:?people=-1", "n_people=-1 is out of range: 0 to 200"),
        ("scene:?pitch=91", "15 to 90"),
        ("scene:?time=noon", "must be day, dusk, night or an hour"),
        ("scene:?time=25", "0 to 24"),
        ("scene:?frames=0", "frames=0 is out of range: 1 to"),
        ("scene:?camera=sonar", "thermal, rgb"),
        ("scene:?camera=rgb&encoding=mono16", "must be one of bgr8"),
        ("scene:?size=640", "WIDTHxHEIGHT"),
        ("scene:?size=10x10", "64 to 4096"),
    ],
)
def test_a_bad_uri_names_what_is_wrong(uri: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_scene_uri(uri)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_checks_its_own_values() -> None:
    with pytest.raises(ConfigError, match="n_cars=61 is out of range: 0 to 60"):
        SceneConfig(n_cars=61)
    with pytest.raises(ConfigError, match="thermal_size=63"):
        SceneConfig(thermal_size=(63, 512))

"""A scene plays through the same door as every other source."""

import numpy as np
import pytest

from windhover.errors import SourceError
from windhover.sources import Source, open_source

URI = "scene:demo?seed=3&frames=3&rate=10&size=96x64&people=2&armed=0&motorcycles=0&cars=0"


def test_a_scene_is_a_source_with_the_shared_options():
    source = open_source(URI, start_stamp_ns=500, frame_id="nose", loop=True)
    assert isinstance(source, Source)
    assert (source.live, source.length, source.rate_hz) == (False, None, 10)
    frames = [frame for frame, _ in zip(source, range(5), strict=False)]
    source.close()
    assert [frame.stamp_ns for frame in frames] == [500 + i * 10**8 for i in range(5)]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert {(f.encoding, f.image.shape, f.frame_id) for f in frames} == {
        ("mono16", (64, 96), "nose")
    }
    np.testing.assert_array_equal(frames[3].image, frames[0].image)
    assert not np.array_equal(frames[1].image, frames[0].image)


def test_a_given_rate_replaces_the_timing():
    source = open_source(URI, rate_hz=4)
    assert (source.length, source.rate_hz) == (3, 4)
    assert [frame.stamp_ns for frame in source] == [0, 250_000_000, 500_000_000]


def test_the_camera_is_the_callers_unless_the_uri_names_one():
    assert next(iter(open_source(URI, camera="rgb"))).encoding == "bgr8"
    named = open_source(f"{URI}&camera=thermal", camera="rgb")
    assert next(iter(named)).encoding == "mono16"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("scene:nowhere", "no scene named 'nowhere'"),
        ("scene:demo?wind=3", "unknown key 'wind'"),
        ("scene:demo?altitude=high", "altitude"),
    ],
)
def test_bad_scenes_are_named(uri, message):
    with pytest.raises(SourceError, match=message):
        open_source(uri)

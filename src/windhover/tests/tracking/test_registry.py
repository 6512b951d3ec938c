"""Trackers are made by name, and wrong settings are named."""

import pytest

from windhover.errors import ConfigError
from windhover.tracking import TRACKERS, Tracker, make_tracker
from windhover.tracking.bytetrack import ByteTracker, ByteTrackParams


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_every_tracker_is_made_with_its_defaults(name):
    assert isinstance(make_tracker(name), Tracker)


def test_settings_come_as_model_or_mapping():
    for params in (ByteTrackParams(lost_seconds=4.0), {"lost_seconds": 4.0}):
        tracker = make_tracker("bytetrack", params)
        assert isinstance(tracker, ByteTracker)
        assert tracker.params.lost_seconds == 4.0


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("sort", None, ["'sort'", "bytetrack"]),
        ("bytetrack", {"lost_seconds": -1}, ["lost_seconds", "greater than or equal to 0"]),
        ("bytetrack", {"lost_frames": 30}, ["lost_frames", "no such setting"]),
        ("bytetrack", {"high_score": "much"}, ["high_score", "number"]),
    ],
)
def test_wrong_settings_are_named_in_one_line(name, params, words):
    with pytest.raises(ConfigError) as caught:
        make_tracker(name, params)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_every_setting_is_described_and_bounded(name):
    """Nodes declare ROS parameters from these, with ranges and descriptions."""
    for field_name, field in TRACKERS[name].params.model_fields.items():
        assert field.description, field_name
        limits = {type(item).__name__ for item in field.metadata}
        if field.annotation in (int, float):
            assert limits & {"Ge", "Gt"}, field_name
            assert limits & {"Le", "Lt"}, field_name

"""Altitudes are known while they are fresh, and outside the model's band they are reported."""

import math

import pytest

from windhover.health.altitude import ALTITUDE_FRESH_S, AltitudeMonitor


def test_an_altitude_is_unknown_once_it_is_old():
    now = [0.0]
    altitude = AltitudeMonitor(lambda: now[0])
    assert altitude.altitude_m is None
    assert altitude.update(40.0)
    now[0] = ALTITUDE_FRESH_S
    assert altitude.altitude_m == 40.0
    now[0] += 0.1
    assert altitude.altitude_m is None
    assert altitude.outside(30.0, 50.0) == ""


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_change_nothing(value):
    altitude = AltitudeMonitor()
    assert altitude.update(40.0)
    assert not altitude.update(value)
    assert altitude.altitude_m == 40.0


@pytest.mark.parametrize(
    ("metres", "outside"), [(29.9, True), (30.0, False), (50.0, False), (62.0, True), (-2.0, True)]
)
def test_outside_the_band_it_is_reported_with_the_band(metres, outside):
    altitude = AltitudeMonitor()
    altitude.update(metres)
    text = altitude.outside(30.0, 50.0)
    assert bool(text) == outside
    if outside:
        assert f"altitude {metres:.1f} m is outside 30-50 m" in text

"""What the command line's values do to a config."""

import pytest

pytest.importorskip("rclpy")

from windhover_bringup.runtime.settings import settings_of

SOURCE = "scene:empty?frames=3"


@pytest.mark.parametrize(("backend", "watched", "pace"), [("cpu", True, 1.0), ("dlc", False, 0.0)])
def test_an_emulator_is_waited_for(blob_bundle, monkeypatch, backend, watched, pace):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    config = settings_of(None, SOURCE, str(blob_bundle), backend)
    assert config.has_monitor() is watched
    assert config["thermal_camera"].get("rate", 1.0) == pace
    assert not config.has_monitor(waits=True)
    given = settings_of(None, SOURCE, str(blob_bundle), backend, rate=0.5)
    assert given["thermal_camera"]["rate"] == 0.5

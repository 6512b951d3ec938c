"""A package outside the tree adds a source, a tracker and a backend with one line each."""

import os
import subprocess
import sys
import textwrap

import pytest

from windhover.errors import ConfigError
from windhover.registry import Registry

MODULE = """
import numpy as np
from pydantic import BaseModel, Field
from windhover.inference import BackendEntry
from windhover.sources.files import ImageFiles
from windhover.sources.kinds import SourceKind
from windhover.tracking import TrackerKind
from windhover.tracking.bytetrack import ByteTracker, ByteTrackParams


class PluginParams(ByteTrackParams):
    pass


def open_source(rest, uri, options):
    return ImageFiles(rest, uri, options)


SOURCE = SourceKind(open_source, "plugin:PATH", live=True)
TRACKER = TrackerKind(PluginParams, ByteTracker)
BACKEND = BackendEntry(lambda bundle: None, frozenset(), lambda: (True, "a plug-in"),
                       in_auto=lambda: False)
"""

ENTRY_POINTS = """
[windhover.sources]
plugin = windhover_plugin:SOURCE
[windhover.trackers]
plugin = windhover_plugin:TRACKER
bytetrack = windhover_plugin:TRACKER
[windhover.backends]
plugin = windhover_plugin:BACKEND
broken = windhover_plugin:NOTHING
wrong = windhover_plugin:SOURCE
"""


@pytest.fixture
def plugin(tmp_path):
    """A folder that holds an installed package with entry points of ours."""
    (tmp_path / "windhover_plugin.py").write_text(MODULE)
    info = tmp_path / "windhover_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: windhover-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def run(plugin, code):
    path = os.pathsep.join(filter(None, (str(plugin), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_library_takes_each_kind_of_part(plugin):
    run(
        plugin,
        """
        import windhover_plugin
        from windhover.inference import BACKENDS, available_backends
        from windhover.sources import SOURCES, is_device, kind_of
        from windhover.tracking import TRACKERS, make_tracker
        assert kind_of("plugin:x") is windhover_plugin.SOURCE and is_device("plugin:x")
        assert "plugin" in SOURCES and list(TRACKERS) == ["bytetrack", "plugin"]
        assert make_tracker("plugin", {"lost_seconds": 2.0}).params.lost_seconds == 2.0
        assert BACKENDS["plugin"] is windhover_plugin.BACKEND
        """,
    )


def test_a_built_in_part_cannot_be_replaced_and_the_log_says_so(plugin):
    done = run(
        plugin,
        """
        from windhover.tracking import TRACKERS
        from windhover.tracking.bytetrack import ByteTrackParams
        assert list(TRACKERS)
        assert TRACKERS["bytetrack"].params is ByteTrackParams
        """,
    )
    assert "'bytetrack' is registered twice" in done.stderr


@pytest.mark.parametrize(("name", "words"), [("broken", "cannot be imported"), ("wrong", "not a")])
def test_a_part_that_does_not_load_is_named_when_it_is_asked_for(plugin, name, words):
    run(
        plugin,
        f"""
        from windhover.errors import ConfigError
        from windhover.inference import BACKENDS
        assert len(list(BACKENDS)) == 6
        try:
            BACKENDS[{name!r}]
        except ConfigError as error:
            assert {words!r} in str(error) and {name!r} in str(error), error
        else:
            raise AssertionError("it was loaded")
        """,
    )


@pytest.mark.ros
def test_nodes_config_and_help_follow(plugin):
    run(
        plugin,
        """
        from windhover_bringup.runtime.config import SECTIONS, Config
        from windhover_detector.params import DetectorParams
        assert DetectorParams(backend="plugin").backend == "plugin"
        tracker = SECTIONS["tracker"](tracker="plugin", plugin={"lost_seconds": 2.0})
        assert tracker.plugin.lost_seconds == 2.0
        """,
    )


def test_names_come_in_order_and_unknown_ones_are_key_errors():
    registry = Registry("windhover.nothing", int, {"one": 1, "two": 2})
    assert list(registry) == ["one", "two"]
    assert len(registry) == 2
    assert "three" not in registry
    with pytest.raises(KeyError):
        registry["three"]
    assert issubclass(ConfigError, Exception)

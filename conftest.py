"""What holds for the tests of every package."""

import importlib.util

from test.support.domain import isolate

# Every test process talks in a ROS domain of its own, on this machine only.
isolate()

pytest_plugins = ["test.support.fixtures", "test.support.fake_v4l2"]

if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    # A machine under load is no fault of the code: no test of ours is a race.
    settings.register_profile("windhover", deadline=None)
    settings.load_profile("windhover")

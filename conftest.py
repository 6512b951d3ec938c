"""Configuration of the tests of every package."""

import importlib.util

from embedded.domain import isolate

# Every test process has its own ROS domain, on this machine only.
isolate()

pytest_plugins = [
    "tests.support.fixtures", "tests.support.processes", "tests.support.fake_v4l2",
]  # fmt: skip

if importlib.util.find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    # A machine under load is no fault of the code: no test of ours is a race.
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    # The same code gives the same result; --hypothesis-profile=explore looks at other examples.
    settings.register_profile("windhover", patient, derandomize=True)
    settings.register_profile("explore", patient, max_examples=500)
    settings.load_profile("windhover")

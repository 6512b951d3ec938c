"""Every test process talks in a ROS domain of its own, on this machine only."""

from test.support.domain import isolate

isolate()

pytest_plugins = ["test.support.fixtures"]

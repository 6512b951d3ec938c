"""Short versions of the faults; ``make faults`` runs the long ones and times them."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from tests.faults import catalogue, drone, scenarios, surroundings

pytestmark = pytest.mark.slow
SHORT = {
    scenarios.camera_unplugged: {"length_s": 1.0},
    scenarios.thermal_frozen: {"length_s": 1.0},
    scenarios.backend_fails: {"every": 10},
    scenarios.backend_hangs: {},
    scenarios.peer_floods: {"length_s": 1.0},
    scenarios.malformed_messages: {"length_s": 1.0},
    scenarios.clock_jumps: {"length_s": 1.0},
    scenarios.node_killed: {"nodes": ("detector", "recorder")},
    scenarios.disk_full: {},
    scenarios.memory_short: {"length_s": 1.0},
    drone.rgb_4k_unplugged: {"length_s": 1.0},
    drone.second_look_fails: {"length_s": 1.0},
    drone.chip_budget_exceeded: {"frames": 20},
    surroundings.clock_stops: {"length_s": 0.0},
    surroundings.disk_full_own_process: {},
    surroundings.two_chains: {"patience_s": 0.5},
}


@pytest.mark.parametrize("fault", SHORT, ids=lambda f: f.__name__)
def test_tracks_come_back_and_nothing_crashes(ros, fault, blob_bundle, tmp_path):
    """Each waits for tracks to flow again, so that one that stays away fails."""
    outcome = fault(tmp_path, blob_bundle, **SHORT[fault])
    assert outcome.intact, outcome


def test_every_fault_has_its_short_version():
    assert set(SHORT) | {scenarios.soak} == set(catalogue.SCENARIOS.values())

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from tests.support.fixtures import wait_for
from windhover.errors import WindhoverError
from windhover_bringup.runtime.node_states import NodeStates
from windhover_ros.lifecycle import StageNode
from windhover_ros.runner import StopRequest, spin_in_threads


@pytest.fixture
def states(ros):
    made = NodeStates(["stage", "stagee"], diagnostics=True)
    with spin_in_threads([made.node]):
        yield made
    made.close()


@pytest.fixture
def stage(nodes):
    return nodes.add(StageNode("stage", {"autostart": False}))


def test_an_active_node_is_seen_and_its_diagnostics_are_kept(states, stage):
    wait_for(lambda: states.state("stage") == "unconfigured", "its state")
    stage.bring_up()
    with StopRequest() as stop:
        states.wait_active(["stage"], stop)
    wait_for(lambda: states.report("stage").get("state") == "active", "its diagnostics")
    stage.trigger_shutdown()
    wait_for(lambda: states.report("stage").get("state") == "finalized", "its last ones")


def test_a_node_that_does_not_exist_is_named(states, stage):
    wait_for(lambda: states.state("stage") == "unconfigured", "its state")
    with StopRequest() as stop, pytest.raises(WindhoverError) as caught:
        states.wait_active(["stage", "stagee"], stop, timeout_s=0.3)
    assert "there is no node stagee in namespace / (nodes there: " in str(caught.value)
    assert "stage is unconfigured: /diagnostics says why" in str(caught.value)

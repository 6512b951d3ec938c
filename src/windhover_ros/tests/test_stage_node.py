import threading

import pytest

from windhover.errors import SourceError

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from tests.support.fixtures import PATIENCE_S, wait_for
from windhover_ros import qos
from windhover_ros.lifecycle import StageNode, StageParams

FAST = {"retry_min_s": 0.1, "retry_max_s": 0.2}


class Fragile(StageNode[StageParams]):
    """Fails to configure a number of times."""

    def __init__(self, failures=0, **overrides):
        super().__init__("fragile", {**FAST, **overrides})
        self.failures_left = failures
        self.calls = []
        self.out = self.advertise(String, "out", qos.result(0.2))

    def configure(self):
        self.calls.append("configure")
        if self.failures_left:
            self.failures_left -= 1
            raise SourceError("camera 7 is not there; plug it in")

    def start(self):
        self.calls.append("start")

    def stop(self):
        self.calls.append("stop")

    def release(self):
        self.calls.append("release")


def statuses(messages):
    return [(s.level[0], s.message) for m in messages for s in m.status if s.name == "fragile"]


def test_it_retries_until_what_it_needs_is_there_and_says_so(nodes):
    heard = nodes.listener(DiagnosticArray, "/diagnostics", 50)
    node = Fragile(failures=3)
    assert not node.bring_up()
    assert node.state == "unconfigured"
    assert isinstance(node.last_error, SourceError)
    nodes.add(node)
    wait_for(lambda: node.state == "active", "recovery")
    assert node.calls.count("configure") == 4
    wait_for(
        lambda: (2, "camera 7 is not there; plug it in") in statuses(heard), "the error's report"
    )
    wait_for(lambda: statuses(heard)[-1][1] != "camera 7 is not there; plug it in", "all clear")


def test_a_worker_that_fails_is_taken_down_and_brought_up_again(nodes):
    node = nodes.add(Fragile())
    node.bring_up()
    node.calls.clear()
    threading.Thread(target=node.fail, args=(SourceError("it broke"),)).start()
    wait_for(lambda: "start" in node.calls, "recovery")
    wait_for(lambda: node.state == "active", "recovery")
    assert node.calls == ["stop", "release", "configure", "start"]


def test_an_unexpected_error_is_survived_too(nodes):
    node = nodes.add(Fragile())
    node.start = lambda: 1 / 0
    assert not node.bring_up()
    assert node.state == "inactive"
    assert "ZeroDivisionError" in node.health.report().message
    del node.start
    wait_for(lambda: node.state == "active", "recovery")


def test_a_manager_drives_it_by_the_standard_services(nodes):
    node = nodes.add(Fragile(autostart=False))
    caller = nodes.add(rclpy.create_node("manager"))
    client = caller.create_client(ChangeState, "/fragile/change_state")
    assert client.wait_for_service(PATIENCE_S)
    for transition, state in (
        (Transition.TRANSITION_CONFIGURE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
        (Transition.TRANSITION_DEACTIVATE, "inactive"),
        (Transition.TRANSITION_CLEANUP, "unconfigured"),
    ):
        request = ChangeState.Request()
        request.transition.id = transition
        future = client.call_async(request)
        wait_for(future.done, f"answer to {transition}")
        assert future.result().success
        assert node.state == state
    assert node.calls == ["configure", "start", "stop", "release"]


def test_what_a_manager_took_down_stays_down(nodes):
    node = nodes.add(Fragile())
    node.bring_up()
    node.trigger_deactivate()
    ticks = []
    node.create_timer(0.1, lambda: ticks.append(node.state))
    wait_for(lambda: len(ticks) > 15, "some ticks")
    assert set(ticks) == {"inactive"}


def test_results_are_muted_until_it_is_active(nodes):
    got = nodes.listener(String, "out", qos.result())
    node = nodes.add(Fragile(autostart=False))
    wait_for(lambda: node.out.get_subscription_count() == 1, "discovery")
    node.out.publish(String(data="too early"))
    node.bring_up()
    node.out.publish(String(data="now"))
    wait_for(lambda: got, "the message")
    assert [m.data for m in got] == ["now"]


def test_a_peer_whose_qos_does_not_match_is_reported(nodes):
    node = nodes.add(Fragile(**{"qos_overrides./out.publisher.reliability": "best_effort"}))
    node.bring_up()
    profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    nodes.listener(String, "out", profile)
    wait_for(lambda: node.health.counter("qos_incompatible_out"), "the mismatch")
    report = node.health.report()
    assert "RELIABILITY" in report.message
    assert "qos_overrides./out" in report.message


def test_silence_against_the_deadline_is_reported(nodes):
    node = nodes.add(Fragile())
    node.bring_up()
    nodes.listener(String, "out", qos.result())
    node.out.publish(String(data="once"))
    wait_for(lambda: node.health.counter("deadline_missed_out"), "the missed deadline")
    assert "out missed its deadline" in node.health.report().values.values()

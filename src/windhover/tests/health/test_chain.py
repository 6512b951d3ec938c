"""Which stage of a chain is at fault, and what is done about it."""

import pytest

from windhover.health.chain import ChainMonitor, ChainStage, worst_of
from windhover.health.level import Hysteresis, Level, Status
from windhover.health.recovery import RecoveryPolicy, Step
from windhover.health.stage import StageLimits, StageMonitor, StageReport

NAMES = ("camera", "detector", "tracker")
ACTIVE = {"state": "active"}


def chain_of(**limits):
    stages = {}
    for name, inputs in zip(NAMES, ((), ("camera",), ("detector",)), strict=True):
        stages[name] = ChainStage(
            StageMonitor(name, f"/{name}", StageLimits(stale_after_s=0.75, **limits), 0.0),
            inputs,
            Hysteresis(0.0, 0.0),
            RecoveryPolicy(max_steps=2),
        )
    return ChainMonitor(stages)


def run(chain, seconds, start_s=0.0, working=NAMES, values=ACTIVE, rate_hz=10):
    """Results of some stages and a report of each every second; gives the time at the end."""
    for step in range(int(seconds * rate_hz)):
        now_s = start_s + step / rate_hz
        for name in working:
            chain.add_result(name, 20_000_000, int(now_s * 1e9))
        if step % rate_hz == 0:
            for name in NAMES:
                chain.add_report(name, StageReport(Level.OK, "", now_s, values))
        chain.check(now_s)
    return start_s + seconds


def steps(chain, start_s, seconds):
    """Steps that are due for each stage while time goes on without a result."""
    due = []
    for tick in range(int(seconds * 4)):
        now_s = start_s + tick / 4
        chain.check(now_s)
        due += [(name, step) for name in NAMES if (step := chain.next_step(name, now_s))]
    return due


def test_a_chain_that_works_is_left_alone():
    chain = chain_of()
    now_s = run(chain, 5.0)
    assert [chain.next_step(name, now_s) for name in chain] == [None] * 3
    assert worst_of(chain.status(name) for name in chain) == Status(
        Level.OK, "all stages give results"
    )


def test_only_the_stage_that_has_input_and_gives_nothing_is_recovered():
    chain = chain_of()
    now_s = run(chain, 5.0)
    now_s = run(chain, 2.5, now_s, working=("camera",))
    assert chain.next_step("camera", now_s) is None
    assert chain.next_step("tracker", now_s) is None
    assert chain.status("tracker").text == "tracker waits for detector"
    chain.next_step("detector", now_s)
    assert chain.next_step("detector", now_s + 0.3) is Step.REACTIVATE


def test_a_stage_that_is_down_and_says_so_recovers_by_itself():
    chain = chain_of()
    now_s = run(chain, 5.0)
    run(chain, 2.5, now_s, working=("camera",), values={"state": "unconfigured"})
    assert steps(chain, now_s + 2.5, 3.0) == []


def test_a_source_that_ended_is_not_stalled():
    chain = chain_of()
    now_s = run(chain, 5.0)
    run(chain, 1.0, now_s, working=(), values={**ACTIVE, "source_state": "ended"})
    assert steps(chain, now_s + 1.0, 5.0) == []


def test_after_the_last_step_it_is_given_up_and_that_is_an_error():
    chain = chain_of()
    now_s = run(chain, 5.0)
    for _ in range(20):
        now_s = run(chain, 1.0, now_s, working=("camera",))
        chain.next_step("detector", now_s)
        chain.next_step("detector", now_s + 0.4)
    status = chain.status("detector")
    assert status.level is Level.ERROR
    assert "given up after 2 recovery steps: restart the process" in status.text


def test_a_restarted_stage_has_time_to_load():
    chain = chain_of()
    now_s = run(chain, 5.0)
    now_s = run(chain, 1.0, now_s, working=("camera",))
    chain.on_restart("detector", now_s)
    run(chain, 2.0, now_s, working=("camera",))
    assert chain.next_step("detector", now_s + 2.0) is None


@pytest.mark.parametrize(
    ("given_hz", "found_hz", "level"),
    [(20, 20, Level.OK), (20, 11, Level.OK), (20, 10, Level.WARN), (30, 4, Level.WARN)],
)
def test_frames_that_are_lost_between_two_processes_are_missed(given_hz, found_hz, level):
    """The detector's own counter stays at 0: it never had them."""
    chain = chain_of(max_drop_share=0.5)
    for second in range(8):
        for name, rate in (("camera", given_hz), ("detector", found_hz)):
            values = {**ACTIVE, "dropped": "0", "frames": str(rate * second)}
            chain.add_report(name, StageReport(Level.OK, "", float(second), values))
            for step in range(rate):
                chain.add_result(name, 1, int((second + step / rate) * 1e9))
    chain.check(7.9)
    assert chain.status("detector").level is level
    assert chain["detector"].monitor.drop_share() == pytest.approx(1 - found_hz / given_hz)

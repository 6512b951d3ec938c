import itertools

from windhover.health.recovery import RecoveryPolicy, Step


def steps_of(policy, bad, start_s, seconds, step_s=0.25):
    """(time, step) of every step that is taken."""
    taken = []
    for tick in range(int(seconds / step_s)):
        now = start_s + tick * step_s
        step = policy.next_step(bad, now)
        if step is not None:
            taken.append((now - start_s, step))
    return taken


def test_steps_get_stronger_and_waits_longer():
    taken = steps_of(RecoveryPolicy(stall_delay_s=0.5, backoff_s=1.0), True, 0.0, 20.0)
    assert [step for _, step in taken[:5]] == [
        Step.REACTIVATE, Step.RECONFIGURE, Step.RECONFIGURE, Step.RESTART, Step.RESTART,
    ]  # fmt: skip
    times = [at for at, _ in taken]
    assert times[0] == 0.5
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert waits[:3] == [1.0, 2.0, 4.0]


def test_a_short_interruption_takes_no_step():
    policy = RecoveryPolicy(stall_delay_s=0.5)
    assert policy.next_step(True, 0.0) is None
    assert policy.next_step(False, 0.25) is None
    assert policy.next_step(True, 0.5) is None
    assert policy.next_step(True, 0.9) is None


def test_steps_are_capped_within_the_window():
    policy = RecoveryPolicy(max_steps=4, window_s=100.0)
    assert len(steps_of(policy, True, 0.0, 90.0)) == 4
    assert policy.exhausted
    assert steps_of(policy, True, 101.0, 5.0)


def test_a_healthy_stage_starts_at_the_first_step_again():
    policy = RecoveryPolicy(reset_after_s=30.0)
    assert steps_of(policy, True, 0.0, 3.0)[-1][1] is Step.RECONFIGURE
    steps_of(policy, False, 3.0, 10.0)
    assert steps_of(policy, True, 13.0, 2.0)[0][1] is Step.RECONFIGURE
    steps_of(policy, False, 20.0, 31.0)
    assert steps_of(policy, True, 60.0, 2.0)[0][1] is Step.REACTIVATE

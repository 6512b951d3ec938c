import itertools

from windhover.health.recovery import Ladder, Step


def walk(ladder, bad, start_s, seconds, step_s=0.25):
    """(time, step) of every step that is taken."""
    taken = []
    for tick in range(int(seconds / step_s)):
        now = start_s + tick * step_s
        step = ladder.look(bad, now)
        if step is not None:
            taken.append((now - start_s, step))
    return taken


def test_steps_get_stronger_and_waits_longer():
    taken = walk(Ladder(after_s=0.5, wait_s=1.0), True, 0.0, 20.0)
    assert [step for _, step in taken[:5]] == [
        Step.REACTIVATE, Step.RECONFIGURE, Step.RECONFIGURE, Step.RESTART, Step.RESTART,
    ]  # fmt: skip
    times = [at for at, _ in taken]
    assert times[0] == 0.5
    waits = [b - a for a, b in itertools.pairwise(times)]
    assert waits[:3] == [1.0, 2.0, 4.0]


def test_a_short_stumble_is_left_alone():
    ladder = Ladder(after_s=0.5)
    assert ladder.look(True, 0.0) is None
    assert ladder.look(False, 0.25) is None
    assert ladder.look(True, 0.5) is None
    assert ladder.look(True, 0.9) is None


def test_there_is_a_cap_which_time_lifts():
    ladder = Ladder(most=4, window_s=100.0)
    assert len(walk(ladder, True, 0.0, 90.0)) == 4
    assert ladder.given_up
    assert walk(ladder, True, 101.0, 5.0)


def test_a_stage_that_stayed_well_begins_at_the_first_step_again():
    ladder = Ladder(well_after_s=30.0)
    assert walk(ladder, True, 0.0, 3.0)[-1][1] is Step.RECONFIGURE
    walk(ladder, False, 3.0, 10.0)
    assert walk(ladder, True, 13.0, 2.0)[0][1] is Step.RECONFIGURE
    walk(ladder, False, 20.0, 31.0)
    assert walk(ladder, True, 60.0, 2.0)[0][1] is Step.REACTIVATE

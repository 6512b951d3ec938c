"""Which runs hang: by how long runs took before, and never by how busy the machine is."""

import pytest

from windhover.health.watchdog import MAX_WAIT_S, RunWatchdog

PERIOD_S = 0.25


class Clock:
    """Monotonic seconds that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def hung_after(clock, watchdog, seconds, slowest_s, period_s=PERIOD_S):
    """What the watchdog says after a run was checked on for so long."""
    answer = None
    for _ in range(round(seconds / period_s)):
        clock.now += period_s
        answer = watchdog.hung_s(slowest_s, PERIOD_S)
    return answer


def test_a_run_hangs_once_it_takes_five_times_the_slowest(clock):
    watchdog = RunWatchdog(0.4, clock)
    assert watchdog.hung_s(0.2, PERIOD_S) is None
    with watchdog.run():
        assert hung_after(clock, watchdog, 1.0, slowest_s=0.2) is None
        assert hung_after(clock, watchdog, 0.25, slowest_s=0.2) == pytest.approx(1.25)
    assert hung_after(clock, watchdog, 5.0, slowest_s=0.2) is None


def test_a_run_shorter_than_the_patience_never_hangs(clock):
    watchdog = RunWatchdog(0.4, clock)
    with watchdog.run():
        assert hung_after(clock, watchdog, 0.25, slowest_s=0.001) is None
        assert hung_after(clock, watchdog, 0.25, slowest_s=0.001) == pytest.approx(0.5)


def test_how_long_a_first_run_takes_is_not_known(clock):
    watchdog = RunWatchdog(0.4, clock)
    with watchdog.run():
        assert hung_after(clock, watchdog, 60.0, slowest_s=0.0) is None


def test_after_a_pause_of_the_process_the_run_has_its_chance(clock):
    watchdog = RunWatchdog(0.4, clock)
    with watchdog.run():
        assert hung_after(clock, watchdog, 0.25, slowest_s=0.01) is None
        clock.now += 3.0
        assert watchdog.hung_s(0.01, PERIOD_S) is None
        assert hung_after(clock, watchdog, 0.25, slowest_s=0.01) == pytest.approx(3.5)


def test_a_run_that_failed_is_over(clock):
    watchdog = RunWatchdog(0.4, clock)
    with pytest.raises(RuntimeError), watchdog.run():
        raise RuntimeError
    assert hung_after(clock, watchdog, 5.0, slowest_s=0.01) is None


@pytest.mark.parametrize(
    ("slowest_s", "in_work_s", "expected"),
    [
        (0.0, 0.0, MAX_WAIT_S),  # nothing is known of runs yet
        (0.0, 4.0, MAX_WAIT_S - 4.0),
        (0.01, 0.0, 0.4),
        (0.2, 0.0, 1.0),
        (0.2, 0.3, 0.7),
        (0.2, 30.0, 0.05),
        (30.0, 0.0, MAX_WAIT_S),
    ],
)
def test_stopping_waits_as_long_as_a_run_may_take(clock, slowest_s, in_work_s, expected):
    watchdog = RunWatchdog(0.4, clock)
    with watchdog.frame():
        clock.now += in_work_s
        assert watchdog.stop_wait_s(slowest_s) == pytest.approx(expected)
    assert watchdog.stop_wait_s(slowest_s) == pytest.approx(
        MAX_WAIT_S if not slowest_s else min(MAX_WAIT_S, max(0.4, 5 * slowest_s))
    )

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover_cameras.pacing import MAX_DELAY_NS, MAX_GAP_NS, Pacer

NOW = 1_700_000_000_000_000_000


class Bench:
    """A pacer with a clock that only waiting moves."""

    def __init__(self, rate=1.0, live=False, keep=False, start=None, clock=0):
        self.clock = clock
        self.rate = rate
        self.waited = []
        self.pacer = Pacer(
            rate=lambda: self.rate,
            live=live,
            keep_stamps=keep,
            now_ns=lambda: NOW + self.clock,
            wait=self.wait,
            monotonic_ns=lambda: self.clock,
            start=start,
        )

    def wait(self, seconds):
        self.waited.append(seconds)
        self.clock += round(seconds * 1e9)

    def play(self, *stamps):
        return [self.pacer.pace(stamp) for stamp in stamps]


def test_frames_are_paced_by_their_stamps_and_stamped_when_due():
    bench = Bench()
    assert bench.play(100, 100 + 40_000_000, 100 + 100_000_000) == [
        NOW, NOW + 40_000_000, NOW + 100_000_000,
    ]  # fmt: skip
    assert bench.waited == pytest.approx([0.04, 0.06])


def test_speed_scales_waits_and_stamps_alike():
    bench = Bench(rate=4.0)
    assert bench.play(0, 40_000_000) == [NOW, NOW + 10_000_000]
    assert bench.waited == pytest.approx([0.01])


def test_rate_0_never_waits_and_keeps_distances():
    bench = Bench(rate=0.0)
    assert bench.play(0, 40_000_000, 90_000_000) == [NOW, NOW + 40_000_000, NOW + 90_000_000]
    assert bench.waited == []


def test_recorded_stamps_can_be_kept():
    bench = Bench(keep=True)
    assert bench.play(7, 40_000_007) == [7, 40_000_007]
    assert bench.waited == pytest.approx([0.04])


def test_a_live_source_is_neither_paced_nor_restamped():
    bench = Bench(live=True)
    assert bench.play(NOW - 5, NOW + 10**10, NOW) == [NOW - 5, NOW + 10**10, NOW]
    assert bench.waited == []
    assert bench.pacer.went_back


def test_time_continues_when_recorded_time_goes_back():
    bench = Bench()
    first = bench.play(10**9, 10**9 + 40_000_000)
    back = bench.pacer.pace(5)
    assert bench.pacer.went_back
    assert back > first[-1]
    after = bench.pacer.pace(5 + 40_000_000)
    assert not bench.pacer.went_back
    assert after == back + 40_000_000


def test_a_long_gap_in_a_recording_is_not_waited_for():
    bench = Bench()
    bench.play(0, MAX_GAP_NS + 1)
    assert bench.waited == []


def test_late_playback_does_not_catch_up():
    bench = Bench()
    bench.play(0)
    bench.clock += 2 * MAX_DELAY_NS
    assert bench.play(40_000_000) == [NOW + 2 * MAX_DELAY_NS]
    bench.play(80_000_000)
    assert bench.waited == pytest.approx([0.04])


def test_a_new_speed_counts_from_the_next_frame():
    bench = Bench()
    bench.play(0, 40_000_000)
    bench.rate = 2.0
    bench.play(80_000_000, 120_000_000)
    assert bench.waited == pytest.approx([0.04, 0.02])


@given(
    st.lists(st.integers(0, 10**12), min_size=2, max_size=30),
    st.sampled_from([0.0, 0.5, 1.0, 7.0]),
)
def test_stamps_always_increase(stamps, rate):
    out = Bench(rate=rate).play(*stamps)
    assert all(later > earlier for earlier, later in pairwise(out))


@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_two_cameras_are_synchronised_whenever_each_started(rate):
    """Stamps and dues alike count from one start, also for one that is late."""
    start = 1_000, NOW + 2_000_000_000
    early = Bench(rate=rate, start=start)
    late = Bench(rate=rate, start=start, clock=4_000_000_000)
    first = early.play(1_000, 1_000 + 40_000_000, 1_000 + 12_000_000_000)
    second = late.play(1_000 + 20_000_000, 1_000 + 12_000_000_000)
    assert first == [
        NOW + 2_000_000_000,
        NOW + 2_000_000_000 + round(40_000_000 / rate),
        NOW + 2_000_000_000 + round(12_000_000_000 / rate),
    ]
    assert second == [NOW + 2_000_000_000 + round(20_000_000 / rate), first[2]]
    assert early.clock == late.clock == first[2] - NOW


def test_unpaced_cameras_are_synchronised_too():
    start = 1_000, NOW
    assert Bench(rate=0.0, start=start).play(1_040) == [NOW + 40]

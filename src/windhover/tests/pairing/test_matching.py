import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover.pairing.matching import Pairer, PairingPolicy
from windhover.types import Frame

MS = 1_000_000
IMAGE = np.zeros((1, 1), np.uint8)


def frame(stamp_ns, index=0):
    return Frame(IMAGE, "mono8", stamp_ns, "x", index)


def stream(rate_hz, seconds, offset_ms=0.0, jitter_ms=0.0, drift=0.0, loss=0.0, seed=0):
    """Stamps of a camera, nanoseconds."""
    rng = random.Random(seed)
    stamps = []
    for index in range(int(rate_hz * seconds)):
        at = offset_ms + 1e3 * index / rate_hz * (1 + drift) + rng.uniform(-1, 1) * jitter_ms
        if rng.random() >= loss:
            stamps.append(round(at * MS) + 10**15)
    return stamps


def replay(pairer, rgb, thermal, latency_ms=(20, 10)):
    """Frames arrive some time after they were taken; gives the decisions."""
    events = [(s + latency_ms[0] * MS, "rgb", s) for s in rgb]
    events += [(s + latency_ms[1] * MS, "thermal", s) for s in thermal]
    return run(pairer, sorted(events))


def run(pairer, events):
    decided = []
    now = 0
    for now, which, stamp in events:
        due = pairer.due_ns()
        while due is not None and due <= now:
            decided += pairer.take(due)
            due = pairer.due_ns()
        (pairer.add_rgb if which == "rgb" else pairer.add_thermal)(frame(stamp), now)
        decided += pairer.take(now)
    return decided + pairer.take(now + 10**9)


def pairs(decided):
    return [(m.rgb.stamp_ns, m.thermal.stamp_ns) for m in decided if m.rgb and m.thermal]


events = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["rgb", "thermal"]), st.integers(0, 800)),
    max_size=80,
)


@settings(max_examples=300)
@given(events, st.integers(1, 60), st.integers(0, 100), st.integers(1, 8), st.booleans())
def test_any_frames_in_any_order(steps, tolerance, wait, capacity, alone):
    policy = PairingPolicy(
        tolerance_ns=tolerance * MS,
        wait_ns=wait * MS,
        capacity=capacity,
        jump_ns=100 * MS,
        stale_ns=200 * MS,
        thermal_alone=alone,
    )
    pairer = Pairer(policy)
    now, given_rgb, heard, decided = 0, [], [], []
    for step, which, stamp in steps:
        now += step * MS
        if which == "rgb":
            given_rgb.append(stamp * MS)
            pairer.add_rgb(frame(stamp * MS, len(given_rgb)), now)
        else:
            heard.append(stamp * MS)
            pairer.add_thermal(frame(stamp * MS), now)
        fresh = pairer.take(now)
        # No stall: nothing is held beyond its time, and memory is bounded.
        due = pairer.due_ns()
        assert due is None or now < due <= now + policy.wait_ns
        assert pairer.held <= 2 * capacity
        kept_now = pairer._thermal.stamps
        for match in fresh:
            if match.offset_ns is not None:
                assert abs(match.offset_ns) <= policy.tolerance_ns
                assert match.thermal.stamp_ns - match.rgb.stamp_ns == match.offset_ns
                if match is fresh[-1] and not pairer.counts.resets:
                    nearest = min((abs(t - match.rgb.stamp_ns) for t in kept_now), default=None)
                    assert nearest is None or nearest >= abs(match.offset_ns)
            elif match.rgb and match is fresh[-1] and kept_now:
                nearest = min(abs(t - match.rgb.stamp_ns) for t in kept_now)
                assert nearest > policy.tolerance_ns or pairer.counts.resets
        decided += fresh
    decided += pairer.take(now + policy.wait_ns)
    indices = [m.rgb.index for m in decided if m.rgb]
    assert len(set(indices)) == len(indices)
    counts = pairer.counts
    led = counts.pairs + counts.rgb_alone
    assert len(indices) == led
    assert led + counts.late >= len(given_rgb)
    assert (counts.rgb, counts.thermal) == (len(given_rgb), len(heard))
    if not counts.resets:
        out = [(m.rgb or m.thermal).stamp_ns for m in decided]
        assert out == sorted(set(out))
    assert alone or counts.thermal_alone == 0


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(5, 60), st.floats(5, 60), st.floats(0, 0.3))
def test_a_pair_differs_by_at_most_half_a_thermal_period(seed, rgb, thermal, loss):
    decided = replay(
        Pairer(PairingPolicy(thermal_period_ns=int(1e9 / thermal))),
        stream(rgb, 3, offset_ms=seed % 97, jitter_ms=1, seed=seed),
        stream(thermal, 3, jitter_ms=1, loss=loss, seed=seed + 1),
    )
    assert decided
    for a, b in pairs(decided):
        assert abs(a - b) <= 1e9 / thermal / 2 + 2 * MS


def test_the_nearest_of_all_is_found_with_steady_streams():
    rgb, thermal = stream(30, 20, offset_ms=7, drift=3e-4), stream(25, 20)
    found = dict(pairs(replay(Pairer(PairingPolicy(thermal_period_ns=40 * MS)), rgb, thermal)))
    for stamp in rgb[5:-5]:
        best = min(abs(t - stamp) for t in thermal)
        assert abs(found[stamp] - stamp) == best


def test_the_period_is_measured_through_loss_and_jitter():
    pairer = Pairer()
    replay(pairer, stream(30, 10), stream(9, 10, jitter_ms=3, loss=0.3, seed=4))
    assert pairer.thermal_period_ns == pytest.approx(111 * MS, rel=0.05)
    assert 2 * pairer.tolerance_ns == pytest.approx(pairer.thermal_period_ns, abs=2)


def test_each_frame_of_a_faster_rgb_stream_gets_a_thermal_frame():
    decided = replay(Pairer(PairingPolicy(thermal_period_ns=111 * MS)), stream(30, 5), stream(9, 5))
    assert len(pairs(decided)) >= 0.95 * 150
    assert len({b for _, b in pairs(decided)}) <= 45


def test_frames_of_one_instant_pair_at_once():
    pairer = Pairer()
    for index in range(10):
        stamp = index * 33 * MS
        pairer.add_thermal(frame(stamp), stamp)
        pairer.add_rgb(frame(stamp), stamp)
        (match,) = pairer.take(stamp)
        assert match.offset_ns == 0


def test_a_close_earlier_frame_is_used_without_waiting():
    pairer = Pairer(PairingPolicy(thermal_period_ns=40 * MS))
    pairer.add_thermal(frame(0), 0)
    pairer.add_rgb(frame(10 * MS), 10 * MS)
    assert [m.offset_ns for m in pairer.take(10 * MS)] == [-10 * MS]
    pairer.add_rgb(frame(25 * MS), 25 * MS)
    assert pairer.take(25 * MS) == []
    pairer.add_thermal(frame(40 * MS), 41 * MS)
    assert [m.offset_ns for m in pairer.take(41 * MS)] == [15 * MS]


def test_a_stalled_thermal_stream_delays_nothing():
    pairer = Pairer()
    rgb, thermal = stream(30, 6), [s for s in stream(30, 6) if not 2 <= (s - 10**15) / 1e9 < 4]
    decided = replay(pairer, rgb, thermal)
    assert len(decided) == len(rgb)
    alone = [m.rgb.stamp_ns for m in decided if m.thermal is None]
    assert len(alone) == pytest.approx(60, abs=3)
    # Once it is stale no frame waits for it any more.
    late = pairer.policy
    pairer = Pairer()
    pairer.add_thermal(frame(0), 0)
    pairer.add_rgb(frame(400 * MS), 400 * MS)
    assert pairer.take(400 * MS) == []
    assert not pairer.thermal_stale(400 * MS)
    now = late.stale_ns + MS
    pairer.add_rgb(frame(now), now)
    assert [m.thermal for m in pairer.take(now)] == [None, None]
    assert pairer.thermal_stale(now)


def test_before_the_first_thermal_frame_rgb_comes_out_alone():
    pairer = Pairer()
    pairer.add_rgb(frame(5), 5)
    assert [m.thermal for m in pairer.take(5)] == [None]


def test_while_rgb_is_stale_thermal_may_come_out_alone():
    rgb, thermal = stream(30, 1), stream(30, 3)
    silent = replay(Pairer(), rgb, thermal)
    assert len(silent) == len(rgb)
    pairer = Pairer(PairingPolicy(thermal_alone=True))
    decided = replay(pairer, rgb, thermal)
    alone = [m.thermal.stamp_ns for m in decided if m.rgb is None]
    assert len(alone) == pytest.approx(45, abs=4)
    assert pairer.counts.thermal_alone == len(alone)
    out = [(m.rgb or m.thermal).stamp_ns for m in decided]
    assert out == sorted(out)


@pytest.mark.parametrize("step_s", [-5, 5])
@pytest.mark.parametrize("thermal_late", [0, 7])
def test_a_clock_step_costs_a_few_frames(step_s, thermal_late):
    """The cameras may see the step some frames apart."""
    pairer = Pairer()
    taken = stream(30, 6)
    events = []
    for index, at in enumerate(taken):
        stepped = step_s * 10**9
        events.append((at, "rgb", at + stepped * (index >= 90)))
        events.append((at + MS, "thermal", at + stepped * (index >= 90 + thermal_late)))
    decided = run(pairer, events)
    assert len(decided) == len(taken)
    assert len(pairs(decided)) >= len(taken) - 2 - thermal_late
    assert all(abs(a - b) <= pairer.tolerance_ns for a, b in pairs(decided))


def test_one_wrong_stamp_is_survived():
    taken = stream(30, 4)
    rgb, thermal = list(taken), list(taken)
    thermal[40] += 60 * 10**9
    rgb[60] += 60 * 10**9
    events = [(t, "rgb", s) for t, s in zip(taken, rgb, strict=True)]
    events += [(t + MS, "thermal", s) for t, s in zip(taken, thermal, strict=True)]
    decided = run(Pairer(), sorted(events))
    assert len(pairs(decided)) >= len(taken) - 4


def test_swapped_frames_come_out_in_order():
    taken = stream(30, 4)
    swapped = [s for a, b in zip(taken[::2], taken[1::2], strict=True) for s in (b, a)]
    events = [(t + 5 * MS, "rgb", s) for t, s in zip(taken, swapped, strict=True)]
    events += [(t, "thermal", s) for t, s in zip(taken, swapped, strict=True)]
    pairer = Pairer()
    decided = run(pairer, sorted(events))
    out = [m.rgb.stamp_ns for m in decided]
    assert out == sorted(out)
    # Of each swapped couple the older one comes too late, as the newer had its partner.
    assert len(out) + pairer.counts.late == len(taken)
    assert {a - b for a, b in pairs(decided)} == {0}


def test_the_same_stream_twice_gives_the_same_pairs():
    rgb = stream(30, 5, jitter_ms=8, loss=0.3, seed=1)
    thermal = stream(25, 5, jitter_ms=8, loss=0.3, seed=2)
    assert pairs(replay(Pairer(), rgb, thermal)) == pairs(replay(Pairer(), rgb, thermal))


def test_a_recording_waits_without_limit():
    pairer = Pairer(PairingPolicy(wait_ns=None))
    pairer.add_rgb(frame(10 * MS), 0)
    assert pairer.take(10**12) == []
    assert pairer.due_ns() is None
    pairer.add_thermal(frame(12 * MS), 0)
    assert [m.offset_ns for m in pairer.take(0)] == [2 * MS]
    pairer.add_rgb(frame(50 * MS), 0)
    assert pairer.take(0) == []
    pairer.end_thermal()
    assert [m.thermal for m in pairer.take(0)] == [None]

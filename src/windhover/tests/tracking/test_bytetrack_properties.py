"""What must hold for any detections at all."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from windhover.tracking import make_tracker
from windhover.types import Detections

S = 1_000_000_000
EMPTY = Detections()


def _grid(low, high):
    """Numbers in quarters: exact in float32, also after a shift by a power of two."""
    return st.integers(low * 4, high * 4).map(lambda n: n / 4)


@st.composite
def frames(draw, most_frames=8, most_boxes=8):
    """Any boxes in any frame: tracks form, are lost and die."""
    result = []
    for _ in range(draw(st.integers(1, most_frames))):
        count = draw(st.integers(0, most_boxes))
        corner = draw(hnp.arrays(np.float32, (count, 2), elements=_grid(0, 80)))
        side = draw(hnp.arrays(np.float32, (count, 2), elements=_grid(1, 40)))
        scores = draw(
            hnp.arrays(np.float32, count, elements=st.sampled_from([0.2, 0.7, 0.75, 0.9]))
        )
        labels = draw(hnp.arrays(np.int32, count, elements=st.integers(0, 1)))
        result.append(Detections(np.concatenate((corner, corner + side), 1), scores, labels))
    return result


@st.composite
def smooth_flights(draw):
    """Objects on straight paths, seen at 10 Hz for some seconds, some with gaps."""
    seed = draw(st.integers(0, 10**6))
    count = draw(st.integers(1, 10))
    rng = np.random.default_rng(seed)
    start, side = rng.uniform(0, 400, (count, 2)), rng.uniform(8, 50, (count, 2))
    speed = rng.uniform(-30, 30, (count, 2))
    labels = rng.integers(0, 2, count).astype(np.int32)
    result = []
    for k in range(25):
        centre = start + speed * k / 10 + rng.normal(0, 0.5, (count, 2))
        boxes = np.concatenate((centre - side / 2, centre + side / 2), 1).astype(np.float32)
        scores = rng.choice([0.2, 0.7, 0.9], count).astype(np.float32)
        seen = rng.random(count) < 0.85
        result.append(Detections(boxes[seen], scores[seen], labels[seen]))
    return result


def play(sequence, rate_hz=10.0, **params):
    tracker = make_tracker(params=params)
    return [tracker.update(rows, round(k / rate_hz * S)) for k, rows in enumerate(sequence)]


def same(one, other):
    np.testing.assert_array_equal(one.track_ids, other.track_ids)
    np.testing.assert_array_equal(one.class_ids, other.class_ids)
    np.testing.assert_array_equal(one.scores, other.scores)


@given(frames(), st.integers(0, 7))
def test_ids_are_positive_unique_and_never_come_back(sequence, reset_after):
    tracker = make_tracker(params={"lost_seconds": 0.15})
    last_seen, highest = {}, 0
    for k, rows in enumerate(sequence):
        tracks = tracker.update(rows, k * S // 10)
        numbers = tracks.track_ids.tolist()
        assert len(set(numbers)) == len(numbers)
        for number in numbers:
            assert number > 0
            # An id that is back was away for no longer than lost_seconds, and an
            # id not met before is above all ids of the frames before.
            if number in last_seen:
                assert k - last_seen[number] <= 1
            last_seen[number] = k
        highest = max([highest, *numbers])
        if k == reset_after:
            tracker.reset()
            last_seen.clear()
            floor = highest
            assert all(n > floor for n in tracker.update(rows, 0).track_ids)
            tracker.reset()


@given(frames())
def test_a_track_may_have_one_class_for_life(sequence):
    classes = {}
    for tracks in play(sequence, class_change_overlap=1.0):
        for number, label in zip(tracks.track_ids.tolist(), tracks.class_ids.tolist(), strict=True):
            assert classes.setdefault(number, label) == label


@given(frames())
def test_scores_published_are_scores_detected(sequence):
    for rows, tracks in zip(sequence, play(sequence), strict=True):
        pool = rows.scores.tolist()
        for score in tracks.scores.tolist():
            pool.remove(score)
        assert np.isfinite(tracks.boxes).all()
        assert (tracks.boxes[:, 2:] > tracks.boxes[:, :2]).all()


@given(frames(), st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter(sequence, random):
    shuffled = []
    for rows in sequence:
        order = list(range(len(rows)))
        random.shuffle(order)
        shuffled.append(rows[np.array(order, np.intp)])
    for one, other in zip(play(sequence), play(shuffled), strict=True):
        same(one, other)
        np.testing.assert_array_equal(one.boxes, other.boxes)


@given(smooth_flights(), st.integers(-2048, 2048), st.integers(-2048, 2048))
@settings(max_examples=20)
def test_a_shifted_scene_gives_shifted_tracks(sequence, dx, dy):
    shift = np.array([dx, dy, dx, dy], np.float32)
    moved = [Detections(r.boxes + shift, r.scores, r.class_ids) for r in sequence]
    for one, other in zip(play(sequence), play(moved), strict=True):
        same(one, other)
        np.testing.assert_allclose(one.boxes + shift, other.boxes, atol=2e-2)


@given(smooth_flights(), st.integers(2, 5))
@settings(max_examples=20)
def test_frames_without_detections_between_change_nothing(sequence, factor):
    """10 Hz, every frame, against a faster camera whose other frames come out empty."""
    # An empty frame is a miss and may end a track that is not confirmed: here it waits.
    seconds = {"tentative_seconds": 5.0, "recover_seconds": 0.52}
    padded = [rows for frame in sequence for rows in [frame, *[EMPTY] * (factor - 1)]]
    slow = play(sequence, 10.0, **seconds)
    fast = play(padded, 10.0 * factor, **seconds)
    assert all(len(tracks) == 0 for k, tracks in enumerate(fast) if k % factor)
    for one, other in zip(slow, fast[::factor], strict=True):
        same(one, other)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)


@given(smooth_flights(), st.floats(0.2, 5.0))
@settings(max_examples=20)
def test_slow_motion_gives_the_same_ids(sequence, factor):
    """Time stretched, with all settings in seconds stretched alike."""
    seconds = {
        "lost_seconds": 2.0,
        "recover_seconds": 0.52,
        "tentative_seconds": 0.15,
        "velocity_memory_s": 4.0,
        "size_memory_s": 0.5,
        "clock_jump_s": 3.0,
    }
    rates = {
        "velocity_noise": (1.0, 1.5),
        "velocity_noise_px": (20.0, 1.5),
        "initial_velocity": (1.9, 1.0),
        "initial_velocity_px": (50.0, 1.0),
        "position_noise": (0.27, 0.5),
        "first_speed_gate": (90.0, 1.0),
    }
    stretched = {name: value * factor for name, value in seconds.items()}
    stretched |= {name: value / factor**power for name, (value, power) in rates.items()}
    normal = play(sequence, 10.0, **seconds, **{name: v for name, (v, _) in rates.items()})
    slow = play(sequence, 10.0 / factor, **stretched)
    for one, other in zip(normal, slow, strict=True):
        same(one, other)


@st.composite
def fast_objects(draw):
    """A lone object and how it moves: box sides, pixels a second, rate and first frame."""
    rate_hz = draw(st.integers(5, 30))
    width, height = draw(st.floats(6, 150)), draw(st.floats(6, 150))
    sides_a_frame = draw(st.floats(0.0, 2.5))
    angle = draw(st.floats(0, 2 * np.pi))
    speed = sides_a_frame * max(width, height) * rate_hz
    velocity = speed * np.array([np.cos(angle), np.sin(angle)])
    return np.array([width, height]), velocity, rate_hz, draw(st.booleans())


@given(fast_objects(), st.floats(0.3, 0.99))
@example((np.array([6.0, 77.0]), np.array([404.25, 0.0]), 21, False), 0.5)
@example((np.array([6.0, 63.0]), np.array([330.75, 0.0]), 21, True), 0.5)
def test_a_lone_object_gets_one_track_however_fast(moving, score):
    side, velocity, rate_hz, first_frame_empty = moving
    sequence = [EMPTY] if first_frame_empty else []
    for k in range(12):
        centre = 500 + velocity * k / rate_hz
        box = np.concatenate((centre - side / 2, centre + side / 2))[None].astype(np.float32)
        sequence.append(Detections(box, np.full(1, score, np.float32), np.zeros(1, np.int32)))
    seen = [tracks.track_ids.tolist() for tracks in play(sequence, rate_hz)]
    assert {number for numbers in seen for number in numbers} == {1}
    # Its first move is only a guess until a third detection bears it out.
    assert all(seen[3:])


@given(frames(), st.integers(-64, 64), st.integers(-64, 64))
def test_known_camera_motion_is_compensated(sequence, dx, dy):
    """A camera that shifts and says so: tracks are those of a still one, shifted."""
    still, moving = (make_tracker() for _ in range(2))
    for k, rows in enumerate(sequence):
        shift = np.array([dx, dy, dx, dy], np.float32) * k
        moved = Detections(rows.boxes + shift, rows.scores, rows.class_ids)
        step = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]])
        one = still.update(rows, k * S // 10, None, np.eye(3))
        other = moving.update(moved, k * S // 10, None, step)
        same(one, other)
        np.testing.assert_allclose(one.boxes + shift, other.boxes, atol=1e-2)


@given(frames(), st.integers(0, 2**32 - 1))
def test_any_homography_leaves_valid_boxes(sequence, seed):
    rng = np.random.default_rng(seed)
    tracker = make_tracker()
    for k, rows in enumerate(sequence):
        bent = np.eye(3) + rng.normal(0, 1, (3, 3)) * [[0.1, 0.1, 40], [0.1, 0.1, 40], [1e-3] * 3]
        tracks = tracker.update(rows, k * S // 10, None, bent)
        assert np.isfinite(tracks.boxes).all()
        assert (tracks.boxes[:, 2:] > tracks.boxes[:, :2]).all()

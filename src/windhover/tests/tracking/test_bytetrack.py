"""What the tracker does with time, scores, classes and bad input."""

import numpy as np
import pytest

from windhover.tracking import make_tracker
from windhover.tracking.base import Tracker
from windhover.types import Detections

EMPTY = Detections()
S = 1_000_000_000


def made(**settings):
    """A tracker whose sure, faint and starting scores are the paper's."""
    return make_tracker(params={"high_score": 0.5, "new_track_score": 0.6, **settings})


def ids(tracks):
    return tracks.track_ids.tolist()


def test_is_a_tracker():
    assert isinstance(made(), Tracker)


def test_the_first_frame_is_reported_at_once(frame_of):
    tracks = made().update(frame_of([(50, 50, 20, 40), (200, 50, 20, 40)]), 0)
    assert ids(tracks) == [1, 2]
    np.testing.assert_allclose(tracks.boxes[0], [40, 30, 60, 70])
    assert tracks.boxes.dtype == np.float32
    assert tracks.scores.dtype == np.float32
    assert tracks.class_ids.dtype == np.int32
    assert tracks.track_ids.dtype == np.int64


def test_a_later_object_is_reported_on_its_second_detection(frame_of, play):
    still = (50, 50, 20, 40)
    new = (200, 50, 20, 40)
    frames = [frame_of([still])] + [frame_of([still, new])] * 3
    assert [ids(t) for t in play(made(), frames)] == [[1], [1], [1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("settings", "frame_reported"),
    [({"confirm_hits": 1}, 1), ({"confirm_hits": 4}, 4), ({"confirm_seconds": 0.5}, 6)],
)
def test_confirmation_counts_hits_and_seconds(frame_of, play, settings, frame_reported):
    frames = [EMPTY] + [frame_of([(50, 50, 20, 40)])] * 10
    seen = play(made(**settings), frames, rate_hz=10)
    assert [k for k, tracks in enumerate(seen) if len(tracks)] == list(range(frame_reported, 11))


def test_clutter_of_one_frame_is_never_reported(frame_of, play):
    frames = [EMPTY, frame_of([(50, 50, 20, 40)]), *[EMPTY] * 10, frame_of([(50, 50, 20, 40)])]
    assert all(len(tracks) == 0 for tracks in play(made(), frames))


def test_boxes_are_the_filters_estimate(frame_of, play):
    """Noisy boxes of a still object come out steadier than they went in."""
    rng = np.random.default_rng(0)
    true = np.array([100, 100, 40, 40])
    frames = [frame_of([true + rng.normal(0, 1.5, 4)]) for _ in range(200)]
    seen = play(made(), frames)
    raw = np.std([rows.boxes[0] for rows in frames[50:]], axis=0)
    smooth = np.std([tracks.boxes[0] for tracks in seen[50:]], axis=0)
    assert (smooth < 0.9 * raw).all()
    np.testing.assert_allclose(
        np.mean([t.boxes[0] for t in seen[50:]], axis=0), [80, 80, 120, 120], atol=0.7
    )


def test_objects_that_cross_keep_their_ids(frame_of, play):
    rate = 15
    t = np.arange(4 * rate) / rate
    frames = [
        frame_of([(100 + 60 * s, 100 + 5 * s, 24, 40), (340 - 60 * s, 120 - 5 * s, 24, 40)])
        for s in t
    ]
    seen = play(made(), frames, rate)
    assert all(ids(tracks) == [1, 2] for tracks in seen)
    last = seen[-1].boxes
    assert last[0, 0] > last[1, 0], "the ids swapped where the objects met"


@pytest.mark.parametrize("rate", [5, 10, 30])
@pytest.mark.parametrize(("gap_s", "same"), [(1.6, True), (2.6, False)])
def test_occlusion_is_measured_in_seconds(frame_of, play, rate, gap_s, same):
    def at(second):
        return frame_of([(100 + 20 * second, 100, 30, 30)])

    steps = range(int(7 * rate))
    frames = [EMPTY if 3 < k / rate <= 3 + gap_s else at(k / rate) for k in steps]
    seen = play(made(lost_seconds=2.0), frames, rate)
    assert ids(seen[-1]) == ([1] if same else [2])


def test_dropped_frames_age_tracks_as_empty_ones_do(frame_of):
    box = frame_of([(100, 100, 30, 30)])
    for gap_s, expected in ((1.9, [1]), (2.1, [])):
        tracker = made(lost_seconds=2.0)
        tracker.update(box, 0)
        assert ids(tracker.update(box, round(gap_s * S))) == expected


def test_empty_frames_age_tracks_and_free_them(frame_of, play):
    tracker = made(lost_seconds=2.0)
    play(tracker, [frame_of([(100, 100, 30, 30)])] + [EMPTY] * 59)
    assert len(tracker) == 1
    tracker.update(EMPTY, 3 * S)
    assert len(tracker) == 0


def test_unseen_tracks_are_not_published(frame_of, play):
    box = frame_of([(100, 100, 30, 30)])
    assert [ids(t) for t in play(made(), [box, EMPTY, box])] == [[1], [], [1]]


def test_faint_detections_continue_a_track(frame_of, play):
    box = [(100, 100, 30, 30)]
    scores = [0.9, 0.9, 0.3, 0.2, 0.15, 0.3, 0.9]
    seen = play(made(), [frame_of(box, s) for s in scores])
    assert [ids(t) for t in seen] == [[1]] * 7
    assert [round(float(t.scores[0]), 2) for t in seen] == scores


def test_faint_detections_neither_start_nor_revive_tracks(frame_of, play):
    box = [(100, 100, 30, 30)]
    assert not any(len(t) for t in play(made(), [frame_of(box, 0.4)] * 10))
    # Unseen for longer than recover_seconds: only a sure detection brings it back.
    frames = [frame_of(box)] + [EMPTY] * 20 + [frame_of(box, 0.4)] * 5 + [frame_of(box)]
    seen = play(made(recover_seconds=0.5), frames)
    assert [ids(t) for t in seen[-6:]] == [[]] * 5 + [[1]]


def test_between_high_and_new_scores_a_track_continues_but_does_not_start(frame_of, play):
    box = [(100, 100, 30, 30)]
    assert not any(len(t) for t in play(made(), [frame_of(box, 0.55)] * 5))
    seen = play(made(), [frame_of(box, 0.7)] + [frame_of(box, 0.55)] * 5)
    assert all(ids(t) == [1] for t in seen)


def test_high_score_detections_are_matched_first(frame_of, play):
    first = frame_of([(100, 100, 30, 30)])
    # The faint box fits better, yet the sure one takes the track.
    both = frame_of([(100, 100, 30, 30), (106, 100, 30, 30)], [0.3, 0.9])
    seen = play(made(), [first, both])
    assert ids(seen[1]) == [1]
    assert seen[1].scores[0] == np.float32(0.9)


def test_a_track_need_not_take_another_class(frame_of, play):
    """A person who stops where a vehicle was detected stays a person."""
    person = frame_of([(100, 100, 30, 30)], classes=0)
    vehicle = frame_of([(100, 100, 30, 30)], classes=1)
    faint_vehicle = frame_of([(100, 100, 30, 30)], 0.3, classes=1)
    frames = [person] * 3 + [faint_vehicle] * 3 + [vehicle] * 3 + [person]
    seen = play(made(class_change_overlap=1.0), frames)
    assert [ids(t) for t in seen] == [[1]] * 3 + [[]] * 4 + [[2]] * 2 + [[1]]
    classes = {(i, c) for t in seen for i, c in zip(ids(t), t.class_ids.tolist(), strict=True)}
    assert classes == {(1, 0), (2, 1)}


def test_a_detector_that_mixes_up_classes_costs_no_id(frame_of, play):
    """Two frames of another class: the id stays and reports what most votes were for."""
    box = [(100, 100, 30, 30)]
    votes = [0, 0, 0, 1, 1, 0, 0, 1, 0]
    seen = play(made(), [frame_of(box, classes=c) for c in votes])
    assert [ids(t) for t in seen] == [[1]] * 9
    assert all(t.class_ids.tolist() == [0] for t in seen)
    # If the first look was wrong, the rest outvotes it.
    seen = play(made(), [frame_of(box, classes=c) for c in [1, 0, 0, 0]])
    assert [t.class_ids.tolist() for t in seen[2:]] == [[0], [0]]


def test_another_class_is_only_taken_at_the_same_place(frame_of, play):
    person, aside = (100, 100, 30, 30), (112, 100, 30, 30)
    frames = [frame_of([person])] * 5 + [frame_of([aside], classes=1)] * 3
    assert ids(play(made(), frames)[-1]) == [2]


def test_an_object_that_turned_while_hidden_is_found_again(frame_of, play):
    """Unseen for a second and a half, it comes out beside where it was expected."""
    rate = 10
    before = [frame_of([(100 + 6 * k, 100, 16, 24)]) for k in range(15)]
    after = [frame_of([(230, 140 + 3 * k, 16, 24)]) for k in range(5)]
    seen = play(made(), before + [EMPTY] * rate + after, rate)
    assert ids(seen[-1]) == [1]
    by_overlap = play(made(refind_gate=0.0), before + [EMPTY] * rate + after, rate)
    assert ids(by_overlap[-1]) == [2]


def test_a_much_larger_object_is_not_found_again(frame_of, play):
    before = [frame_of([(100 + 6 * k, 100, 16, 24)]) for k in range(15)]
    after = [frame_of([(230, 140, 60, 80)])] * 5
    assert ids(play(made(), before + [EMPTY] * 10 + after, 10)[-1]) == [2]


def test_a_fast_object_needs_a_third_detection(frame_of, play):
    """Two false alarms of one frame each, a move apart, are no object."""
    alarms = [EMPTY, frame_of([(100, 100, 30, 30)]), frame_of([(145, 100, 30, 30)])]
    assert all(len(t) == 0 for t in play(made(), [*alarms, *[EMPTY] * 5]))
    elsewhere = frame_of([(145, 190, 30, 30)])
    assert all(len(t) == 0 for t in play(made(), [*alarms, elsewhere]))
    onward = [frame_of([(145 + 45 * k, 100, 30, 30)]) for k in range(1, 4)]
    assert [ids(t) for t in play(made(), alarms + onward)] == [[]] * 3 + [[1]] * 3


@pytest.mark.parametrize(("step", "found"), [(89, True), (91, False)])
def test_first_moves_are_limited_in_distance(frame_of, play, step, found):
    frames = [EMPTY] + [frame_of([(100 + step * k, 100, 30, 20)]) for k in range(6)]
    assert bool(len(play(made(first_distance_gate=3.0), frames, 5)[-1])) is found


@pytest.mark.parametrize(("step", "found"), [(59, True), (61, False)])
def test_first_moves_are_limited_in_speed(frame_of, play, step, found):
    frames = [EMPTY] + [frame_of([(100 + step * k, 100, 30, 20)]) for k in range(6)]
    assert bool(len(play(made(first_speed_gate=20.0), frames, 10)[-1])) is found


def test_a_first_move_is_no_change_of_size_or_class(frame_of, play):
    first = [EMPTY, frame_of([(100, 100, 30, 30)])]
    larger = [frame_of([(100 + 45 * k, 100, 60, 60)]) for k in range(1, 3)]
    other = [frame_of([(100 + 45 * k, 100, 30, 30)], classes=1) for k in range(1, 3)]
    for rest in (larger, other):
        assert all(len(t) == 0 for t in play(made(), first + rest))


def test_fast_objects_side_by_side_keep_their_places(frame_of, play):
    """Each moves by more than the distance between them."""
    frames = [EMPTY]
    frames += [
        frame_of([(100 + 80 * k, 100, 30, 30), (150 + 80 * k, 100, 30, 30)]) for k in range(6)
    ]
    last = play(made(), frames)[-1]
    assert ids(last) == [1, 2]
    assert last.boxes[0, 0] < last.boxes[1, 0]


def test_a_reported_object_does_not_jump_to_one_of_two_others(frame_of, play):
    """Missed in the second frame of all, with two new ones beside it."""
    first = frame_of([(100, 100, 30, 30)])
    others = frame_of([(150, 100, 30, 30), (100, 150, 30, 30)])
    seen = play(made(), [first, others, others, first])
    assert [ids(t) for t in seen] == [[1], [], [2, 3], [1]]


def test_a_track_that_overlaps_at_speed_keeps_its_id(frame_of, play):
    """Half a width a frame, the camera known to be still: the velocity was learnt too slowly."""
    tracker = made()
    frames = [frame_of([(100 + 15 * k, 100, 30, 30)]) for k in range(60)]
    seen = [tracker.update(rows, k * S // 60, None, np.eye(3)) for k, rows in enumerate(frames)]
    assert all(ids(t) == [1] for t in seen)


def test_neighbours_of_different_class_do_not_swap(frame_of, play):
    """Person and motorcycle pass through each other; overlap alone would swap them."""
    rate = 10
    frames = []
    for s in np.arange(30) / rate:
        boxes = [(100 + 40 * s, 100, 30, 30), (220 - 40 * s, 100, 30, 30)]
        frames.append(frame_of(boxes, classes=[0, 2]))
    for tracks in play(made(), frames, rate):
        assert dict(zip(ids(tracks), tracks.class_ids.tolist(), strict=True)) == {1: 0, 2: 2}


def test_class_blind_tracks_report_the_majority(frame_of, play):
    box = [(100, 100, 30, 30)]
    votes = [1, 0, 0, 0, 1, 0, 0, 1, 0]
    seen = play(made(class_aware=False), [frame_of(box, classes=c) for c in votes])
    assert all(ids(t) == [1] for t in seen)
    assert [int(t.class_ids[0]) for t in seen[3:]] == [0] * 6


def test_votes_weigh_by_score(frame_of, play):
    box = [(100, 100, 30, 30)]
    frames = [frame_of(box, 0.95, classes=1)] + [frame_of(box, 0.2, classes=0)] * 3
    seen = play(made(class_aware=False), frames)
    assert [int(t.class_ids[0]) for t in seen] == [1] * 4


def test_tiny_boxes_survive_jitter(frame_of, play):
    """A person of 6 x 8 px whose box jumps by its own width."""
    jitter = [0, 3, -3, 3, -3, 2, -3, 3]
    frames = [frame_of([(100 + dx, 100, 6, 8)]) for dx in jitter]
    assert all(ids(t) == [1] for t in play(made(), frames))
    plain = play(made(min_side_px=0.0), frames)
    assert any(ids(t) != [1] for t in plain)


def test_a_small_step_back_of_stamps_does_no_harm(frame_of):
    tracker = made()
    stamps = [0.0, 0.1, 0.2, 0.15, 0.3, 0.3, 0.0, 0.1, 0.2]
    boxes = [10, 20, 30, 25, 40, 40, 45, 50, 55]
    for stamp, x in zip(stamps, boxes, strict=True):
        tracks = tracker.update(frame_of([(x, 100, 30, 30)]), round(stamp * S))
        assert ids(tracks) == [1]
        assert np.isfinite(tracks.boxes).all()


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 5.0, -5.0])
def test_a_clock_jump_starts_new_ids(frame_of, jump_s):
    tracker = made(lost_seconds=60.0, clock_jump_s=3.0)
    box = frame_of([(100, 100, 30, 30)])
    start = 10**18
    for k in range(5):
        assert ids(tracker.update(box, start + k * S // 10)) == [1]
    after = start + round(jump_s * S)
    for k in range(5):
        tracks = tracker.update(box, after + k * S // 10)
        assert ids(tracks) == [2]
        np.testing.assert_allclose(tracks.boxes[0], box.boxes[0], atol=0.5)


def test_reset_forgets_tracks_but_not_ids(frame_of):
    tracker = made()
    box = frame_of([(100, 100, 30, 30)])
    tracker.update(box, 10 * S)
    tracker.reset()
    assert len(tracker) == 0
    assert ids(tracker.update(box, 0)) == [2]


def test_invalid_boxes_are_dropped(frame_of):
    nan, inf = np.nan, np.inf
    rows = np.array(
        [
            [90, 90, 110, 110],
            [nan, 10, 20, 20],
            [10, 10, inf, 20],
            [-inf, 10, inf, 20],
            [50, 50, 50, 60],
            [60, 60, 50, 70],
            [200, 200, 220, 220],
        ],
        np.float32,
    )
    scores = np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.9, nan], np.float32)
    bad = Detections(rows, scores, np.zeros(7, np.int32))
    tracker = made()
    for k in range(3):
        tracks = tracker.update(bad, k * S // 30)
        assert ids(tracks) == [1]
        assert np.isfinite(tracks.boxes).all()
    assert len(tracker) == 1


def test_the_detections_are_not_modified(frame_of):
    rows = frame_of([(300, 100, 30, 30), (100, 100, 30, 30)], [0.6, 0.9])
    before = rows.boxes.copy()
    tracker = made()
    first = tracker.update(rows, 0)
    kept = first.boxes.copy()
    tracker.update(frame_of([(310, 100, 30, 30), (110, 100, 30, 30)]), S // 30)
    np.testing.assert_array_equal(rows.boxes, before)
    np.testing.assert_array_equal(first.boxes, kept)


def test_memory_stays_bounded_under_clutter(frame_of):
    """New clutter in every frame: what is kept does not grow with time."""
    rng = np.random.default_rng(0)
    tracker = made(lost_seconds=2.0)
    sizes = []
    for k in range(300):
        boxes = np.column_stack((rng.uniform(0, 1280, (50, 2)), np.full((50, 2), 12.0)))
        tracker.update(frame_of(boxes), k * S // 30)
        sizes.append(len(tracker))
    assert max(sizes[200:]) <= 1.2 * max(sizes[50:100])

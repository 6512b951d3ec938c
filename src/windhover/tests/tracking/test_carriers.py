"""Which person carries which weapon, as seen over time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.tracking.carriers import CarrierLinks, CarrierParams
from windhover.types import Detections, Tracks

LABELS = ("person", "weapon", "vehicle")
PERSON, WEAPON, VEHICLE = range(3)
S = 1_000_000_000


def tracks(*rows):
    """Rows of id, class, centre x, centre y, width, height."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    half = table[:, 4:] / 2
    return Tracks(
        np.concatenate((table[:, 2:4] - half, table[:, 2:4] + half), axis=1).astype(np.float32),
        np.full(len(table), 0.8, np.float32),
        table[:, 1].astype(np.int32),
        table[:, 0].astype(np.int64),
    )


def play(frames, rate_hz=10, **params):
    links = CarrierLinks(CarrierParams(**params))
    return [links.update(rows, LABELS, k * S // rate_hz) for k, rows in enumerate(frames)]


def carrier(result, weapon=7):
    return int(result.carrier_ids[result.track_ids.tolist().index(weapon)])


def test_a_weapon_on_a_person_is_linked_after_link_seconds():
    frame = tracks((3, PERSON, 100, 100, 12, 24), (7, WEAPON, 106, 98, 14, 4))
    seen = play([frame] * 10, link_seconds=0.4)
    assert [carrier(each) for each in seen] == [0] * 5 + [3] * 5
    assert seen[-1].carrier_scores.tolist() == [0.0, 1.0]
    # Both are still tracks of their own, untouched.
    np.testing.assert_array_equal(seen[-1].track_ids, frame.track_ids)
    np.testing.assert_array_equal(seen[-1].boxes, frame.boxes)


@pytest.mark.parametrize("rate", [5, 10, 30])
def test_links_count_seconds(rate):
    frame = tracks((3, PERSON, 100, 100, 12, 24), (7, WEAPON, 106, 98, 14, 4))
    seen = play([frame] * 2 * rate, rate, link_seconds=0.4)
    first = next(k for k, each in enumerate(seen) if carrier(each))
    # A frame counts for a tenth of a second at most: slow cameras need more looks.
    assert first / rate == pytest.approx(0.45 if rate >= 10 else 0.9, abs=0.11)


def test_a_passer_by_does_not_take_the_link_over():
    frames = []
    for k in range(40):
        passer = 40 + 4 * k
        frames.append(
            tracks(
                (3, PERSON, 100, 100, 12, 24),
                (4, PERSON, passer, 102, 12, 24),
                (7, WEAPON, 104, 98, 14, 4),
            )
        )
    seen = play(frames)
    assert {carrier(each) for each in seen[8:]} == {3}


def test_a_weapon_that_changes_hands_is_linked_again():
    first = tracks((3, PERSON, 100, 100, 12, 24), (4, PERSON, 150, 100, 12, 24),
                   (7, WEAPON, 104, 98, 14, 4))  # fmt: skip
    then = tracks((3, PERSON, 100, 100, 12, 24), (4, PERSON, 150, 100, 12, 24),
                  (7, WEAPON, 152, 98, 14, 4))  # fmt: skip
    seen = play([first] * 20 + [then] * 60)
    assert carrier(seen[19]) == 3
    assert carrier(seen[-1]) == 4


def test_a_weapon_on_the_ground_has_no_carrier():
    frame = tracks((3, PERSON, 100, 100, 12, 24), (7, WEAPON, 160, 98, 14, 4))
    assert {carrier(each) for each in play([frame] * 30)} == {0}


def test_a_vehicle_carries_nothing():
    frame = tracks((3, VEHICLE, 100, 100, 40, 24), (7, WEAPON, 104, 98, 14, 4))
    assert {carrier(each) for each in play([frame] * 30)} == {0}


def test_one_person_may_carry_two():
    frame = tracks((3, PERSON, 100, 100, 12, 24), (7, WEAPON, 104, 98, 14, 4),
                   (8, WEAPON, 97, 104, 6, 4))  # fmt: skip
    last = play([frame] * 10)[-1]
    assert (carrier(last, 7), carrier(last, 8)) == (3, 3)


@pytest.mark.parametrize(("gap_s", "kept"), [(1.5, True), (2.5, False)])
def test_a_link_outlasts_a_person_unseen_for_some_time(gap_s, kept):
    both = tracks((3, PERSON, 100, 100, 12, 24), (7, WEAPON, 104, 98, 14, 4))
    alone = tracks((7, WEAPON, 104, 98, 14, 4))
    seen = play([both] * 10 + [alone] * round(gap_s * 10), unseen_seconds=2.0)
    assert carrier(seen[-1]) == (3 if kept else 0)


def test_without_weapons_the_tracks_are_unchanged():
    frame = tracks((3, PERSON, 100, 100, 12, 24))
    assert all(result is frame for result in play([frame] * 3))
    assert play([tracks()])[0].carrier_ids.tolist() == []


def test_no_label_no_link():
    frame = tracks((3, PERSON, 100, 100, 12, 24), (7, WEAPON, 106, 98, 14, 4))
    assert carrier(play([frame] * 10, weapon_labels=[])[-1]) == 0


def detections(frame, carriers):
    """What a frame's tracks were made of, each box a little off."""
    return Detections(frame.boxes + 0.4, frame.scores, frame.class_ids, np.float32(carriers))


def test_where_the_detector_knows_the_carrier_the_nearer_person_is_not_taken():
    frame = tracks(
        (3, PERSON, 100, 100, 12, 24), (4, PERSON, 112, 100, 12, 24), (7, WEAPON, 108, 98, 14, 4)
    )
    nobody = [np.nan] * 4
    seen = detections(frame, [nobody, nobody, [94.5, 88, 106, 112]])
    for given_detections, expected in ((None, 4), (seen, 3)):
        links = CarrierLinks()
        for k in range(12):
            result = links.update(frame, LABELS, k * S // 10, given_detections)
        assert carrier(result) == expected
    assert result.carrier_scores.tolist() == pytest.approx([0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    "carriers",
    [
        [[np.nan] * 4] * 2,
        # A person that is no track, and one who carries another class's object.
        [[np.nan] * 4, [300, 300, 312, 324]],
        [[94, 88, 106, 112], [np.nan] * 4],
    ],
)
def test_a_carrier_that_is_no_track_is_as_good_as_unknown(carriers):
    frame = tracks((3, PERSON, 100, 100, 12, 24), (7, WEAPON, 106, 98, 14, 4))
    alone, known = CarrierLinks(), CarrierLinks()
    for k in range(8):
        without = alone.update(frame, LABELS, k * S // 10)
        result = known.update(frame, LABELS, k * S // 10, detections(frame, carriers))
        np.testing.assert_array_equal(result.carrier_ids, without.carrier_ids)
        np.testing.assert_allclose(result.carrier_scores, without.carrier_scores)


def test_tracks_that_ended_are_forgotten():
    links = CarrierLinks()
    for k in range(400):
        frame = tracks((2 * k + 1, PERSON, 100, 100, 12, 24), (2 * k + 2, WEAPON, 104, 98, 14, 4))
        links.update(frame, LABELS, k * S // 10)
    assert len(links._votes) < 100
    assert len(links._seen_ns) < 100
    links.reset()
    assert not links._votes


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_a_carrier_is_a_person_that_was_seen(seed, frames):
    rng = np.random.default_rng(seed)
    links, people = CarrierLinks(), set()
    for k in range(frames):
        count = int(rng.integers(0, 8))
        rows = [
            (n + 1, n % 3, *rng.uniform(0, 60, 2), *rng.uniform(2, 30, 2)) for n in range(count)
        ]
        given_tracks = tracks(*rows)
        people |= {row[0] for row in rows if row[1] == PERSON}
        stamp = int(rng.integers(-2, 10)) * S // 10 + k * S // 10
        result = links.update(given_tracks, LABELS, stamp)
        linked = result.carrier_ids > 0
        assert set(result.carrier_ids[linked].tolist()) <= people
        assert (result.class_ids[linked] == WEAPON).all()
        assert ((result.carrier_scores >= 0) & (result.carrier_scores <= 1 + 1e-6)).all()
        assert (result.carrier_scores[~linked] == 0).all()

"""Track scores against cases worked out by hand, and against TrackEval's."""

from __future__ import annotations

import importlib.util
import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover.errors import DataError
from windhover.types import Tracks
from windhover_evaluation.tracking.scores import (
    TrackScores,
    TrackTable,
    evaluate_tracks,
    iou_matrix,
)

GOLDEN = Path(__file__).parent / "golden" / "trackeval.json"
Row = tuple[int, int, int]  # frame, id, place along x


def table(rows: Sequence[Row], class_id: int = 0, ignored: Sequence[int] = ()) -> TrackTable:
    """Boxes of 20 x 20 px; places 10 apart overlap by a third."""
    place = np.array([row[2] for row in rows], np.float64)
    boxes = np.stack([place, 0 * place, place + 20, 0 * place + 20], axis=1).reshape(-1, 4)
    return TrackTable(
        frames=np.array([row[0] for row in rows], np.int64),
        ids=np.array([row[1] for row in rows], np.int64),
        boxes=boxes,
        class_ids=np.full(len(rows), class_id, np.int32),
        ignored=np.array([n in ignored for n in range(len(rows))], np.bool_),
    )


def scores(truth: TrackTable, result: TrackTable) -> TrackScores:
    return evaluate_tracks(truth, result, ["person"], 4)


def from_rows(rows: Sequence[Sequence[float]]) -> TrackTable:
    values = np.array(rows, np.float64).reshape(-1, 6)
    return TrackTable(
        values[:, 0].astype(np.int64),
        values[:, 1].astype(np.int64),
        values[:, 2:],
        np.zeros(len(values), np.int32),
        np.zeros(len(values), np.bool_),
    )


def test_iou_by_hand() -> None:
    boxes = np.array([[0, 0, 20, 20], [10, 0, 30, 20], [50, 0, 50, 20]], float)
    np.testing.assert_allclose(iou_matrix(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]])
    assert iou_matrix(np.empty((0, 4)), boxes).shape == (0, 3)


def test_perfect_tracks_score_one() -> None:
    truth = table([(f, n, 100 * n + f) for f in range(4) for n in range(3)])
    result = table([(f, n + 50, 100 * n + f) for f in range(4) for n in range(3)])
    overall = scores(truth, result).overall
    assert overall.mota == overall.idf1 == overall.motp == 1.0
    assert overall.hota == pytest.approx(1.0)
    assert (overall.clear.switches, overall.clear.fragments) == (0, 0)
    assert (overall.objects, overall.tracks, overall.clear.mostly_tracked) == (3, 3, 3)


def test_one_switch_by_hand() -> None:
    # One object over 4 frames, tracked as 1, 1, 2, 2.
    truth = table([(f, 7, 0) for f in range(4)])
    overall = scores(truth, table([(0, 1, 0), (1, 1, 0), (2, 2, 0), (3, 2, 0)])).overall
    assert overall.clear.switches == 1
    assert overall.mota == pytest.approx(1 - 1 / 4)
    # Only one of the two tracks may stand for it: 2 of 4 boxes right.
    assert overall.idf1 == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))
    # Every box is found; each shares 2 of 4 frames with its track.
    assert overall.det_a == pytest.approx(1.0)
    assert overall.ass_a == pytest.approx(0.5)
    assert overall.hota == pytest.approx(np.sqrt(0.5))


def test_misses_false_alarms_and_fragment_by_hand() -> None:
    # Missed in frame 1 while another track is there; a false alarm in frame 3.
    truth = table([(f, 7, 0) for f in range(4)] + [(f, 8, 200) for f in range(4)])
    result = table([(f, 1, 0) for f in (0, 2, 3)] + [(f, 2, 200) for f in range(4)] + [(3, 3, 400)])
    overall = scores(truth, result).overall
    counts = overall.clear
    assert (counts.true_positives, counts.false_negatives, counts.false_positives) == (7, 1, 1)
    assert (counts.switches, counts.fragments) == (0, 1)
    assert overall.mota == pytest.approx(1 - 2 / 8)
    assert overall.idf1 == pytest.approx(14 / 16)
    # Matched in 3 of 4 frames: neither mostly tracked nor mostly lost.
    assert (counts.mostly_tracked, counts.mostly_lost) == (1, 0)


def test_boxes_that_overlap_too_little_do_not_match() -> None:
    overall = scores(table([(0, 7, 0)]), table([(0, 1, 10)])).overall
    assert overall.clear.true_positives == 0
    assert overall.mota == pytest.approx(-1.0)
    # HOTA looks from IoU 0.05 on, and 1/3 reaches 6 of its 19 thresholds.
    assert overall.det_a == pytest.approx(6 / 19)


def test_wrong_class_is_a_miss_and_a_false_alarm() -> None:
    truth, result = table([(0, 7, 0)], class_id=0), table([(0, 1, 0)], class_id=1)
    both = evaluate_tracks(truth, result, ["person", "vehicle"], 1)
    assert both.overall.clear.false_negatives == both.overall.clear.false_positives == 1
    assert [each.label for each in both.classes] == ["person", "vehicle"]
    assert both.classes[0].mota == 0.0
    assert np.isnan(both.classes[1].mota)


def test_ignored_objects_are_neither_missed_nor_false_alarms() -> None:
    truth = table([(0, 7, 0), (0, 8, 200), (0, 9, 400)], ignored=[1, 2])
    overall = scores(truth, table([(0, 1, 0), (0, 2, 201)])).overall
    assert overall.mota == 1.0
    assert (overall.objects, overall.tracks) == (1, 1)


def test_nothing_there_and_nothing_found() -> None:
    empty, one = table([]), table([(0, 7, 0)])
    nothing = scores(empty, empty).overall
    assert np.isnan([nothing.mota, nothing.idf1, nothing.hota, nothing.motp]).all()
    missed = scores(one, empty).overall
    assert (missed.mota, missed.idf1, missed.hota) == (0.0, 0.0, 0.0)
    assert missed.clear.mostly_lost == 1
    invented = scores(empty, one).overall
    assert np.isnan(invented.mota)
    assert (invented.idf1, invented.hota) == (0.0, 0.0)


def test_tables_come_from_tracks() -> None:
    tracks = Tracks(
        np.array([[0, 0, 20, 20]], np.float32),
        np.array([0.9], np.float32),
        np.array([0], np.int32),
        np.array([5], np.int64),
    )
    collected = TrackTable.collect([(0, tracks), (1, Tracks()), (2, tracks)])
    assert collected.frames.tolist() == [0, 2]
    assert scores(table([(0, 1, 0), (2, 1, 0)]), collected).overall.mota == 1.0
    assert len(TrackTable.collect([])) == 0


def test_malformed_tables_are_refused() -> None:
    with pytest.raises(DataError, match="id 7 occurs twice in frame 0"):
        scores(table([(0, 7, 0), (0, 7, 100)]), table([]))
    broken = table([(3, 7, 0)])
    broken.boxes[0, 1] = np.nan
    with pytest.raises(DataError, match="id 7 in frame 3"):
        scores(table([]), broken)


def assert_same(counts: Any, expected: dict[str, float]) -> None:
    ours = {
        "MOTA": counts.mota,
        "MOTP": counts.motp,
        "CLR_TP": counts.clear.true_positives,
        "CLR_FP": counts.clear.false_positives,
        "CLR_FN": counts.clear.false_negatives,
        "IDSW": counts.clear.switches,
        "Frag": counts.clear.fragments,
        "MT": counts.clear.mostly_tracked,
        "ML": counts.clear.mostly_lost,
        "IDF1": counts.idf1,
        "IDTP": counts.ids.true_positives,
        "IDFP": counts.ids.false_positives,
        "IDFN": counts.ids.false_negatives,
        "HOTA": counts.hota,
        "DetA": counts.det_a,
        "AssA": counts.ass_a,
    }
    if not expected["CLR_TP"]:
        # TrackEval gives 0 for the overlap of no boxes; for us there is none to tell.
        assert np.isnan(ours.pop("MOTP"))
        expected = {name: value for name, value in expected.items() if name != "MOTP"}
    assert ours == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("case", json.loads(GOLDEN.read_text()))
def test_equal_to_what_trackeval_gave(case: dict[str, Any]) -> None:
    counts = scores(from_rows(case["truth"]), from_rows(case["result"])).overall
    assert_same(counts, case["trackeval"])


@pytest.mark.skipif(
    importlib.util.find_spec("trackeval") is None,
    reason="TrackEval is not installed; what it gave is in golden/trackeval.json",
)
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.integers(1, 15),
    objects=st.integers(1, 8),
    noise=st.floats(0, 8),
)
def test_equal_to_trackeval_live(seed: int, frames: int, objects: int, noise: float) -> None:
    maker = runpy.run_path(str(GOLDEN.with_name("make_trackeval.py")))
    rows = maker["sequence"](seed, frames, objects, noise)
    if not rows["truth"] or not rows["result"]:
        return
    counts = scores(from_rows(rows["truth"]), from_rows(rows["result"])).overall
    assert_same(counts, maker["trackeval_scores"](rows, frames))

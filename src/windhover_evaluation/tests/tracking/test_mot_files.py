"""Truth and result files: how they are read and scored, and which are refused."""

import json

import numpy as np
import pytest

from windhover.errors import ConfigError, DataError
from windhover_evaluation.report.baseline import Baseline
from windhover_evaluation.tracking.mot_files import evaluate_mot, read_pair
from windhover_evaluation.tracking.scores import TrackTable, evaluate_tracks


@pytest.fixture
def write(tmp_path):
    def _write(name, rows):
        path = tmp_path / name
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
        return path

    return _write


def walk(ids, frames, x=10, seventh=1, *rest):
    return [
        (frame, ids, x + 2 * frame, 40, 20, 30, seventh, *rest) for frame in range(1, frames + 1)
    ]


def test_scores_are_those_of_the_tables(write, tmp_path):
    truth = write("gt.txt", walk(1, 10) + walk(2, 10, 200))
    lost = [row for row in walk(7, 10) if row[0] < 6] + [row for row in walk(8, 10) if row[0] > 7]
    pair = read_pair(truth, write("res.txt", lost + walk(9, 10, 200)))
    scores, compared = evaluate_mot(pair, tmp_path / "out", {"truth": "gt.txt"})
    assert compared == []
    assert scores.overall.clear.switches == 1
    assert scores.overall.clear.fragments == 1
    assert scores.overall.mota == pytest.approx(1 - (2 + 1) / 20)
    again = evaluate_tracks(pair.truth, pair.result, ("all",), 10)
    assert scores.overall.hota == again.overall.hota
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["tracking"]["overall"]["id_switches"] == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Tracks against truth" in page
    assert "Against the baseline" not in page


def test_rows_out_of_order_score_the_same(write):
    rows = walk(1, 10) + walk(2, 10, 200)
    straight = read_pair(write("a.txt", rows), write("b.txt", rows))
    mixed = read_pair(write("c.txt", rows[::-1]), write("d.txt", rows[::2] + rows[1::2]))
    for pair in (straight, mixed):
        assert evaluate_tracks(pair.truth, pair.result, pair.labels, 10).overall.hota == 1.0


def test_missing_frames_and_different_lengths_count_and_are_reported(write):
    truth = write("gt.txt", walk(1, 10))
    short = [row for row in walk(1, 6) if row[0] not in (2, 3)]
    pair = read_pair(truth, write("res.txt", short))
    scores = evaluate_tracks(pair.truth, pair.result, pair.labels, pair.frames)
    assert pair.frames == 10
    assert scores.overall.clear.false_negatives == 6
    assert "frames 1 to 10, result 1 to 6" in pair.warnings[0]


def test_rows_with_flag_0_are_neither_missed_nor_false(write):
    truth = write("gt.txt", walk(1, 5) + walk(2, 5, 200, 0))
    pair = read_pair(truth, write("res.txt", walk(1, 5) + walk(9, 5, 200)))
    counts = evaluate_tracks(pair.truth, pair.result, pair.labels, 5).overall.clear
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (5, 0, 0)


def test_classes_are_matched_by_name(write):
    truth = write("gt.txt", walk(1, 5, 10, 1, 1, 1.0) + walk(2, 5, 200, 1, 4, 1.0)
                  + walk(3, 5, 400, 1, 2, 1.0))  # fmt: skip
    result = write("res.txt", walk(1, 5, 10, 0.9, 0, -1, -1) + walk(2, 5, 200, 0.9, 1, -1, -1))
    pair = read_pair(
        truth, result, ["person", "vehicle"], ["person", "weapon", "two-wheeler", "vehicle"]
    )
    scores = evaluate_tracks(pair.truth, pair.result, pair.labels, 5)
    assert [each.hota for each in scores.classes] == [1.0, 1.0]
    assert any("5 rows of classes other than person, vehicle" in each for each in pair.warnings)


def test_classes_asked_for_where_there_are_none(write):
    truth, result = write("gt.txt", walk(1, 5)), write("res.txt", walk(1, 5))
    with pytest.raises(DataError, match="no class"):
        read_pair(truth, result, ["person"])
    with pytest.raises(ConfigError, match="--labels"):
        read_pair(truth, result, None, ["person"])


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(1, 1, 5, 5, "nan", 9, 1)], "line 1: NaN"),
        ([(1, 1, 5, 5, 9, -9, 1)], "line 1: box of 9 x -9"),
        ([(1, 1.5, 5, 5, 9, 9, 1)], "id 1.5 in frame 1"),
        ([(1, 1, 5, 5, 9, 9, 1), (1, 1, 9, 5, 9, 9, 1)], "id 1 occurs twice in frame 1"),
        ([], "holds no rows"),
    ],
)
@pytest.mark.parametrize("bad", ["gt.txt", "res.txt"])
def test_a_bad_file_is_one_line(write, tmp_path, rows, reason, bad):
    files = {name: write(name, rows if name == bad else walk(1, 3)) for name in
             ("gt.txt", "res.txt")}  # fmt: skip
    with pytest.raises(DataError) as caught:
        evaluate_mot(read_pair(files["gt.txt"], files["res.txt"]), tmp_path / "out", {})
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_regression_is_in_the_file_and_on_the_page(write, tmp_path):
    truth = write("gt.txt", walk(1, 10))
    evaluate_mot(read_pair(truth, write("a.txt", walk(1, 10))), tmp_path / "a", {})
    worse = read_pair(truth, write("b.txt", walk(1, 7)))
    _, compared = evaluate_mot(worse, tmp_path / "b", {}, Baseline.read(tmp_path / "a"))
    assert {each.name for each in compared if each.regression} >= {
        "tracking.overall.HOTA",
        "tracking.overall.MOTA",
    }
    written = json.loads((tmp_path / "b" / "metrics.json").read_text())
    assert written["baseline"] == [each.as_dict() for each in compared]
    # Marks between the parts of a name let a narrow screen break it.
    page = (tmp_path / "b" / "report.html").read_text().replace("<wbr>", "")
    assert "tracking.overall.HOTA" in page


def test_several_sequences_add_up_by_their_boxes():
    from windhover_evaluation.tracking.scores import add_scores

    def table(count):
        frames = np.arange(count)
        boxes = np.tile([0.0, 0.0, 10.0, 10.0], (count, 1))
        return TrackTable(frames, np.ones(count, np.int64), boxes, np.zeros(count, np.int32),
                          np.zeros(count, np.bool_))  # fmt: skip

    good = evaluate_tracks(table(30), table(30), ("a",), 30)
    half = evaluate_tracks(table(10), table(5), ("a",), 10)
    assert add_scores([good, half]).mota == pytest.approx(35 / 40)


VISDRONE = [*walk(1, 10, 10, 1, 1, 0, 0), *walk(2, 10, 200, 1, 4, 1, 2)]
REGION = [(frame, 0, 400, 40, 200, 150, 0, 0, 0, 0) for frame in range(1, 11)]


def test_visdrone_truth_has_its_classes_and_regions(write):
    # Two regions a frame under one id; tracks of any class in them are neither right nor wrong.
    other = [(frame, 0, 100, 300, 90, 90, 0, 0, 0, 0) for frame in range(1, 11)]
    truth = write("gt.txt", [*VISDRONE, *REGION, *other])
    tracks = [*walk(1, 10, 10, 0.9, 0, -1, -1), *walk(2, 10, 200, 0.9, 1, -1, -1),
              *walk(3, 10, 450, 0.9, 0, -1, -1), *walk(4, 10, 480, 0.9, 1, -1, -1)]  # fmt: skip
    result = write("res.txt", tracks)
    pair = read_pair(truth, result, ["person", "vehicle"])
    scores = evaluate_tracks(pair.truth, pair.result, pair.labels, pair.frames)
    assert [each.hota for each in scores.classes] == [1.0, 1.0]
    assert not pair.warnings
    # Without classes too.
    pair = read_pair(truth, result)
    assert evaluate_tracks(pair.truth, pair.result, pair.labels, 10).overall.mota == 1.0
    # Names in other words, and a model with other labels.
    named = read_pair(truth, result, ["person", "vehicle"], ["pedestrian", "x", "y", "car"])
    assert evaluate_tracks(named.truth, named.result, named.labels, 10).overall.mota == 1.0
    kept = read_pair(truth, result, ["person", "vehicle"], None, {"car": "ignore"})
    assert evaluate_tracks(kept.truth, kept.result, kept.labels, 10).classes[1].objects == 0


def test_mot17_classes_by_name(write):
    static, distractor = walk(2, 5, 200, 0, 7, 1.0), walk(3, 5, 400, 0, 8, 1.0)
    occluder = walk(4, 5, 600, 0, 11, 1.0)
    truth = write("gt.txt", [*walk(1, 5, 10, 1, 1, 1.0), *static, *distractor, *occluder])
    tracks = [walk(n, 5, x, 0.9, 0, -1, -1) for n, x in ((1, 10), (2, 200), (3, 400))]
    result = write("res.txt", [row for rows in tracks for row in rows])
    pair = read_pair(truth, result, ["person"], ["mot17"])
    counts = evaluate_tracks(pair.truth, pair.result, pair.labels, 5).overall.clear
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (5, 0, 0)


def test_world_coordinates_are_no_classes(write):
    rows = [(*row, -13.25, 3.5, 0) for row in walk(1, 5, 10, 1)]
    pair = read_pair(write("gt.txt", rows), write("res.txt", walk(1, 5)))
    assert evaluate_tracks(pair.truth, pair.result, pair.labels, 5).overall.mota == 1.0
    with pytest.raises(DataError, match="no class"):
        read_pair(write("gt.txt", rows), write("res.txt", walk(1, 5)), ["person"])


def test_ignored_rows_without_an_id(write):
    unknown = [(frame, -1, x, 40, 20, 30, 0, 0, 0) for frame in range(1, 6) for x in (300, 500)]
    truth = write("gt.txt", [*walk(1, 5, 10, 1, 1, 1), *unknown])
    pair = read_pair(truth, write("res.txt", [*walk(1, 5), *walk(2, 5, 296)]))
    assert evaluate_tracks(pair.truth, pair.result, pair.labels, 5).overall.mota == 1.0


@pytest.mark.parametrize(
    ("start", "end", "encoding"),
    [("", ",", "utf-8"), ("", ",,", "utf-8"), ("", "", "utf-8-sig"), ("  ", " ", "utf-8")],
)
def test_truth_as_spreadsheets_write_it(tmp_path, write, start, end, encoding):
    lines = [f"{start}{','.join(map(str, row))}{end}" for row in walk(1, 5, 10, 1, 1, 1)]
    (tmp_path / "gt.txt").write_text("\r\n".join(lines), encoding=encoding)
    pair = read_pair(tmp_path / "gt.txt", write("res.txt", walk(1, 5)))
    assert evaluate_tracks(pair.truth, pair.result, pair.labels, 5).overall.hota == 1.0


def test_a_truth_without_an_object_is_refused(write):
    result = write("res.txt", walk(1, 5, 10, 0.9, 0, -1, -1))
    with pytest.raises(DataError, match="none of its 5 rows is an object"):
        read_pair(write("gt.txt", walk(1, 5, 10, 0)), result)
    with pytest.raises(DataError, match="none of its 5 rows is an object of person"):
        read_pair(write("gt.txt", walk(1, 5, 10, 1, 4, 1)), result, ["person"], ["visdrone"])


def test_an_id_that_occurs_twice_names_both_lines(write):
    rows = [*walk(1, 3), (2, 1, 9, 5, 9, 9, 1)]
    with pytest.raises(DataError, match=r"gt\.txt line 4: id 1 .* frame 2, first in line 2"):
        read_pair(write("gt.txt", rows), write("res.txt", walk(1, 3)))
    with pytest.raises(DataError, match=r"res\.txt line 4: id 1 .* frame 2, first in line 2"):
        read_pair(write("gt.txt", walk(1, 3)), write("res.txt", rows))


def test_frames_counted_from_0_and_from_1_are_pointed_out(write):
    from_0 = [(row[0] - 1, *row[1:]) for row in walk(1, 5)]
    pair = read_pair(write("gt.txt", from_0), write("res.txt", walk(1, 5)))
    assert "count from 0 and the other from 1?" in pair.warnings[0]

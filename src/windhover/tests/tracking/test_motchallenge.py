"""MOTChallenge files: what is read, what is refused, what is written."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windhover.errors import ConfigError, DataError
from windhover.tracking import make_tracker
from windhover.tracking.motchallenge import read_detections, track_file, write_mot
from windhover.types import Tracks


@pytest.fixture
def write(tmp_path):
    def _write(text, name="det.txt"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write


def test_reads_boxes_scores_and_frames(write):
    path = write("1,-1,10.5,20.25,30,40,0.9,-1,-1,-1\n3,-1,1,2,3,4,0.5,-1,-1,-1\n")
    read = read_detections(path)
    assert read.frames.tolist() == [1, 3]
    np.testing.assert_allclose(read.rows.boxes, [[10.5, 20.25, 40.5, 60.25], [1, 2, 4, 6]])
    np.testing.assert_allclose(read.rows.scores, [0.9, 0.5])
    assert read.rows.class_ids.tolist() == [0, 0]


def test_frames_without_rows_come_out_empty(write):
    read = read_detections(write("2,-1,1,2,3,4,0.5\n5,-1,1,2,3,4,0.6\n5,-1,9,9,3,4,0.7\n"))
    assert [(n, len(rows)) for n, rows in read] == [(1, 0), (2, 1), (3, 0), (4, 0), (5, 2)]


def test_rows_in_any_order_are_sorted_by_frame(write):
    lines = [f"{k},-1,{10 * k},20,30,40,0.{k}" for k in range(1, 8)]
    ordered = read_detections(write("\n".join(lines)))
    mixed = read_detections(write("\n".join(lines[::2] + lines[1::2]), "mixed.txt"))
    np.testing.assert_array_equal(ordered.frames, mixed.frames)
    np.testing.assert_array_equal(ordered.rows.boxes, mixed.rows.boxes)


@pytest.mark.parametrize(
    ("tail", "label"),
    [
        ("", 0),
        (",2", 2),
        (",2.0", 2),
        (",-1", 0),
        (",3,1.0", 3),
        (",3,-1,-1", 3),
        (",-1,-1,-1", 0),
        (",3,4.5,0.2", 0),
        (",0.7,-1,-1", 0),
    ],
)
def test_the_eighth_field_is_a_class_where_it_can_be_one(write, tail, label):
    read = read_detections(write(f"1,-1,10,20,30,40,0.9{tail}\n"))
    assert read.rows.class_ids.tolist() == [label]


def test_blanks_blank_lines_and_windows_line_ends(write):
    read = read_detections(write("1 -1 10 20 30 40 0.9\r\n\r\n 2, -1, 10, 20, 30, 40, 0.8\r\n"))
    assert read.frames.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,-1,nan,20,30,40,0.9", "NaN"),
        ("1,-1,10,20,inf,40,0.9", "infinite"),
        ("1,-1,10,20,30,40,nan", "NaN"),
        ("1,-1,10,20,1e38,40,0.9", "huge"),
        ("1,-1,10,20,-30,40,0.9", "-30 x 40"),
        ("1,-1,10,20,30,0,0.9", "30 x 0"),
        ("1.5,-1,10,20,30,40,0.9", "frame 1.5"),
        ("-1,-1,10,20,30,40,0.9", "frame -1"),
        ("20000000,-1,10,20,30,40,0.9", "frame 20000000"),
        ("1,-1,10,20,30,40", "6 fields"),
        ("1,-1,10,twenty,30,40,0.9", "twenty"),
        ("1,-1,10,,30,40,0.9", "''"),
        ("1,-1,10,20,30,40,0.9,1.5", "class 1.5"),
        ("1,-1,10,20,30,40,0.9,nan", "class nan"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(write, row, reason):
    path = write(f"1,-1,10,20,30,40,0.9\n\n{row}\n")
    with pytest.raises(DataError) as caught:
        read_detections(path)
    message = str(caught.value)
    assert f"{path} line 3" in message
    assert reason in message
    assert "\n" not in message


def test_files_that_are_no_detection_files(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_detections(tmp_path / "none.txt")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(DataError, match="not a text file"):
        read_detections(tmp_path / "image.png")
    with pytest.raises(DataError, match=r"[Dd]irectory"):
        read_detections(tmp_path)


def test_results_are_sub_pixel_rows_of_ten_fields(tmp_path):
    tracks = Tracks(
        np.array([[10.25, 20.5, 30.125, 60.0]], np.float32),
        np.array([0.875], np.float32),
        np.array([2], np.int32),
        np.array([7], np.int64),
    )
    out = tmp_path / "new" / "res.txt"
    write_mot(out, [(3, tracks), (4, Tracks())])
    assert out.read_text() == "3,7,10.250,20.500,19.875,39.500,0.8750,-1,-1,-1\n"


def test_a_failed_run_leaves_the_old_result(tmp_path):
    out = tmp_path / "res.txt"
    out.write_text("old")

    def breaks():
        yield 1, Tracks()
        raise RuntimeError("detector gone")

    with pytest.raises(RuntimeError):
        write_mot(out, breaks())
    assert out.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["res.txt"]


def test_an_unwritable_result(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="choose another place"):
        write_mot(tmp_path / "file" / "res.txt", [])


def rows_of(path):
    return np.loadtxt(path, delimiter=",", ndmin=2)


def test_tracks_a_file_from_end_to_end(write, tmp_path):
    """Two objects, one unseen for a second, and frames that the file leaves out."""
    lines = []
    for frame in range(1, 91):
        lines.append(f"{frame},-1,{100 + frame},50,20,40,0.9,-1,-1,-1")
        if not 31 <= frame <= 60:
            lines.append(f"{frame},-1,300,{50 + frame},20,40,0.8,-1,-1,-1")
    lines = [line for line in lines if not 10 <= int(line.split(",")[0]) <= 12]
    out = tmp_path / "res.txt"
    calls = []
    summary = track_file(
        write("\n".join(lines)), out, 30.0, progress=lambda *done: calls.append(done)
    )
    table = rows_of(out)
    assert table.shape[1] == 10
    assert set(table[:, 1]) == {1, 2}
    assert (np.diff(table[:, 0]) >= 0).all()
    assert not set(table[:, 0]) & {10, 11, 12}
    np.testing.assert_allclose(table[table[:, 1] == 1][-1, 2:6], [190, 50, 20, 40], atol=1.0)
    assert (table[:, 7:] == -1).all()
    assert summary.frames == 90
    assert summary.tracks == 2
    assert summary.boxes == len(table)
    assert summary.detections == len(lines)
    assert summary.seconds == pytest.approx(3.0)
    assert calls[-1] == (90, 90)


@pytest.mark.parametrize(("rate", "same"), [(30.0, True), (10.0, False)])
def test_missing_frames_age_tracks_by_the_rate(write, tmp_path, rate, same):
    """A gap of 40 frames: 1.4 s at 30 Hz, 4.1 s at 10 Hz, against lost_seconds of 2."""
    frames = [*range(1, 11), *range(51, 61)]
    det = write("\n".join(f"{k},-1,100,50,20,40,0.9" for k in frames))
    out = tmp_path / "res.txt"
    track_file(det, out, rate, make_tracker(params={"lost_seconds": 2.0}))
    assert (set(rows_of(out)[:, 1]) == {1}) is same


def test_two_runs_give_the_same_bytes(write, tmp_path):
    rng = np.random.default_rng(0)
    lines = [
        f"{k},-1,{x:.2f},{y:.2f},20,30,{s:.3f},{c}"
        for k in range(1, 60)
        for x, y, s, c in zip(
            rng.uniform(0, 300, 12),
            rng.uniform(0, 300, 12),
            rng.uniform(0, 1, 12),
            rng.integers(0, 3, 12),
            strict=True,
        )
    ]
    det = write("\n".join(lines))
    track_file(det, tmp_path / "a.txt")
    track_file(det, tmp_path / "b.txt")
    assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "b.txt").read_bytes()
    assert (tmp_path / "a.txt").stat().st_size > 0


def test_a_file_without_rows_gives_a_result_without_rows(write, tmp_path):
    summary = track_file(write(""), tmp_path / "res.txt")
    assert (tmp_path / "res.txt").read_text() == ""
    assert (summary.frames, summary.tracks) == (0, 0)


@pytest.mark.parametrize("rate", [0.0, -30.0, float("nan"), float("inf")])
def test_a_rate_must_be_positive(write, tmp_path, rate):
    with pytest.raises(ConfigError, match="rate"):
        track_file(write("1,-1,1,1,5,5,0.9\n"), tmp_path / "res.txt", rate)


FIELDS = st.sampled_from(
    [
        "1",
        "0",
        "-1",
        "2.5",
        "1e9",
        "1e400",
        "nan",
        "inf",
        "",
        " ",
        "x",
        "\u0661",
        "\u00b2",
        "1_0",
        "\0",
    ]
)


@given(st.lists(st.lists(FIELDS, max_size=12), max_size=5), st.sampled_from([",", " ", ";"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_rows_give_boxes_or_one_line(write, rows, separator):
    path = write("\n".join(separator.join(row) for row in rows))
    problem = ""
    try:
        read = read_detections(path)
    except DataError as error:
        problem = str(error)
    if problem:
        assert str(path) in problem
        return
    boxes = read.rows.boxes
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2:] >= boxes[:, :2]).all()

"""``windhover evaluate tracks`` on the command line, and the gate that a baseline is."""

import json

import cv2
import numpy as np
import pytest

from windhover_bringup.cli import main


def rows(number, frames, x, seventh=1):
    return [
        f"{frame},{number},{x + 2 * frame},40,20,30,{seventh},-1,-1,-1"
        for frame in range(1, frames + 1)
    ]


@pytest.fixture
def files(tmp_path):
    def _files(**named):
        for name, lines in named.items():
            (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
        return tmp_path

    return _files


def evaluate(folder, result, out, *more):
    given = ["--truth", folder / "gt.txt", "--result", folder / f"{result}.txt", "--out", out]
    return main(["evaluate", "tracks", *map(str, [*given, *more])])


def test_tracks_are_scored_and_a_worse_run_closes_the_gate(files, capsys):
    folder = files(
        gt=rows(1, 20, 10) + rows(2, 20, 300),
        good=rows(5, 20, 10, 0.9) + rows(6, 20, 300, 0.9),
        bad=rows(5, 20, 10, 0.9) + rows(6, 9, 300, 0.9),
    )
    assert evaluate(folder, "good", folder / "good") == 0
    out = capsys.readouterr().out
    assert "HOTA" in out
    assert "1.000" in out
    metrics = json.loads((folder / "good" / "metrics.json").read_text())
    assert metrics["tracking"]["overall"]["IDF1"] == 1.0
    assert (folder / "good" / "report.html").is_file()

    assert evaluate(folder, "good", folder / "again", "--baseline", folder / "good") == 0
    assert "0 worse" in capsys.readouterr().out

    assert evaluate(folder, "bad", folder / "bad", "--baseline", folder / "good") == 1
    out = capsys.readouterr().out
    assert "worse" in out
    assert "tracking.overall.HOTA" in out
    # What was found is written all the same, for whoever looks why.
    assert json.loads((folder / "bad" / "metrics.json").read_text())["baseline"]

    assert evaluate(folder, "bad", folder / "wide", "--baseline", folder / "good",
                    "--tolerance", 1.0, "--ratio", 100) == 0  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"good": ["1,5,10,nan,20,30,0.9"]}, "line 1: NaN"),
        ({"good": ["1,5,10,40,-20,30,0.9"]}, "-20 x 30"),
        ({"good": ["1,5,10,40,20"]}, "5 fields"),
        ({"good": []}, "holds no rows"),
        ({"gt": ["1,1,10,40,20,30,1", "1,1,50,40,20,30,1"]}, "id 1 occurs twice in frame 1"),
    ],
)
def test_bad_files_are_one_line_and_status_2(files, capsys, change, reason):
    folder = files(**{"gt": rows(1, 5, 10), "good": rows(5, 5, 10), **change})
    assert evaluate(folder, "good", folder / "out") == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


def test_a_baseline_that_is_none(files, capsys):
    folder = files(gt=rows(1, 5, 10), good=rows(5, 5, 10))
    assert evaluate(folder, "good", folder / "out", "--baseline", folder / "nowhere") == 2
    assert "earlier run" in capsys.readouterr().err
    assert evaluate(folder, "none", folder / "out") == 2
    assert "No such file" in capsys.readouterr().err


def test_classes_of_a_truth_are_mapped(files, capsys):
    truth = [f"{row[: row.rindex(',-1,-1,-1')]},{1 + n // 5},1" for n, row in
             enumerate(rows(1, 5, 10) + rows(2, 5, 300))]  # fmt: skip
    result = [row.replace(",-1,-1,-1", ",0,-1,-1") for row in rows(5, 5, 10, 0.9)]
    folder = files(gt=truth, good=result)
    named = ["--labels", "person", "--truth-labels", "pedestrian,moto"]
    assert evaluate(folder, "good", folder / "a", *named) == 0
    assert "warning: " in capsys.readouterr().err
    assert evaluate(folder, "good", folder / "b", *named, "--map", "moto=person") == 0
    metrics = json.loads((folder / "b" / "metrics.json").read_text())
    assert metrics["tracking"]["overall"]["objects"] == 2
    assert evaluate(folder, "good", folder / "c", "--map", "moto=person") == 2
    assert "need --labels" in capsys.readouterr().err


@pytest.fixture
def pictures(tmp_path):
    """A person in each of two pictures, and their truth."""
    (tmp_path / "images").mkdir()
    for name in "ab":
        picture = np.full((96, 160), 30, np.uint8)
        picture[10:34, 10:34] = 230
        assert cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), picture)
    write_truth(tmp_path)
    return tmp_path


def write_truth(folder, **changes):
    truth = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in "ab"],
        "categories": [{"id": "1", "name": "pedestrian"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": "1", "bbox": [10, 10, 24, 24]} for n in "ab"
        ],
    } | changes
    (folder / "truth.json").write_text(json.dumps(truth))


def score(folder, model, out, *more):
    given = ["--model", model, "--images", folder / "images", "--truth", folder / "truth.json"]
    return main(["evaluate", "detections", *map(str, [*given, "--out", folder / out, *more])])


def test_identical_runs_are_no_regression_and_latency_is_compared_on_request(
    pictures, blob_bundle, capsys
):
    assert score(pictures, blob_bundle, "first") == 0
    path = pictures / "first" / "metrics.json"
    metrics = json.loads(path.read_text())
    for stage in metrics["latency_ms"].values():
        stage["p50"] = stage["p99"] = 1e-6
    path.write_text(json.dumps(metrics))
    assert score(pictures, blob_bundle, "again", "--baseline", path) == 0
    assert "0 worse" in capsys.readouterr().out
    assert score(pictures, blob_bundle, "slow", "--baseline", path, "--latency") == 1
    assert "latency_ms.total.p50" in capsys.readouterr().out
    assert score(pictures, blob_bundle, "alone", "--latency") == 2
    assert "--baseline" in capsys.readouterr().err


def test_a_run_that_scored_nothing_is_no_success(pictures, blob_bundle, capsys):
    write_truth(pictures, annotations=[{"id": 1, "image_id": 9, "category_id": 1, "bbox": [1] * 4}])
    assert score(pictures, blob_bundle, "out") == 2
    captured = capsys.readouterr()
    assert "none of its 1 annotations is an object" in captured.err
    assert "nan" not in captured.out
    # Images that are known to be empty score false alarms.
    write_truth(pictures, annotations=[])
    assert score(pictures, blob_bundle, "empty") == 0
    out = capsys.readouterr().out
    assert "2 of 2 images hold no object: 2 false alarms, in 2 of them" in out
    assert "nan" not in out

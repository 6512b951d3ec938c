"""``windhover evaluate tracks`` on the command line, and the gate that a baseline is."""

import json

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

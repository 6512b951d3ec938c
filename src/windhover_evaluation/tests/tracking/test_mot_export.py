"""Truth and tracks as MOTChallenge files: the scores survive the way through them."""

from __future__ import annotations

import configparser
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from windhover_evaluation.tracking.mot_export import MotSequence, write_mot_folder
from windhover_evaluation.tracking.mot_files import read_pair
from windhover_evaluation.tracking.scores import (
    ANY_CLASS,
    TrackScores,
    TrackTable,
    evaluate_tracks,
)

LABELS = ("person", "two-wheeler")
SEQUENCE = MotSequence("flight", 40, 15.0, 640, 512)


def tables() -> tuple[TrackTable, TrackTable]:
    """Six objects over 40 frames; tracks lose some, swap ids and see things that are not there."""
    rng = np.random.default_rng(3)
    truth, result = [], []
    for number in range(6):
        x, y = rng.uniform(50, 500, 2)
        for frame in range(40):
            box = np.array([x + 3 * frame, y, x + 3 * frame + 30, y + 40])
            truth.append((frame, number, *box, number % 2, number == 5))
            if rng.random() < 0.8:
                track = 100 + number + (10 if frame > 25 and number == 2 else 0)
                result.append((frame, track, *(box + rng.normal(0, 3, 4)), number % 2, False))
        result.append((3, 900 + number, 600, 400, 620, 430 + number, number % 2, False))
    return table(truth), table(result)


def table(rows: list[tuple[float, ...]]) -> TrackTable:
    columns = np.array(rows, np.float64)
    return TrackTable(
        columns[:, 0].astype(np.int64),
        columns[:, 1].astype(np.int64),
        columns[:, 2:6],
        columns[:, 6].astype(np.int32),
        columns[:, 7].astype(np.bool_),
    )


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, TrackScores]:
    truth, result = tables()
    write_mot_folder(tmp_path, SEQUENCE, truth, result, LABELS)
    return tmp_path, evaluate_tracks(truth, result, LABELS, 40)


def test_seqinfo_says_what_the_sequence_is(written: tuple[Path, TrackScores]) -> None:
    folder, _ = written
    for path in [folder / "seqinfo.ini", *folder.glob("trackeval/*/gt/flight/seqinfo.ini")]:
        parser = configparser.ConfigParser()
        parser.read(path)
        assert parser["Sequence"]["seqlength"] == "40"
        assert float(parser["Sequence"]["framerate"]) == 15.0
        assert (parser["Sequence"]["imwidth"], parser["Sequence"]["imheight"]) == ("640", "512")


def test_the_truth_of_all_classes_scores_the_same_when_it_is_read_again(
    written: tuple[Path, TrackScores],
) -> None:
    folder, scores = written
    _, result = tables()
    text = folder / "res.txt"
    text.write_text(
        "".join(
            f"{frame + 1},{n},{x1},{y1},{x2 - x1},{y2 - y1},0.9,{label},-1,-1\n"
            for frame, n, (x1, y1, x2, y2), label in zip(
                result.frames, result.ids, result.boxes, result.class_ids, strict=True
            )
        )
    )
    pair = read_pair(folder / "gt" / "gt.txt", text, LABELS)
    assert pair.warnings == ()
    again = evaluate_tracks(pair.truth, pair.result, LABELS, pair.frames)
    assert again.overall.hota == pytest.approx(scores.overall.hota, abs=1e-4)
    assert again.overall.mota == pytest.approx(scores.overall.mota)
    assert pair.truth.ids.min() == 1


def test_a_region_of_all_classes_is_left_out(tmp_path: Path) -> None:
    truth, result = tables()
    region = table([(0, -1, 0, 0, 99, 99, ANY_CLASS, True)])
    both = TrackTable(
        *(
            np.concatenate([getattr(truth, name), getattr(region, name)])
            for name in ("frames", "ids", "boxes", "class_ids", "ignored")
        )
    )
    write_mot_folder(tmp_path / "a", SEQUENCE, both, result, LABELS)
    write_mot_folder(tmp_path / "b", SEQUENCE, truth, result, LABELS)
    assert (tmp_path / "a/gt/gt.txt").read_text() == (tmp_path / "b/gt/gt.txt").read_text()


def test_a_class_without_a_track_has_an_empty_file(tmp_path: Path) -> None:
    truth, result = tables()
    write_mot_folder(tmp_path, SEQUENCE, truth, result[result.class_ids == 0], LABELS)
    assert (tmp_path / "trackeval/two-wheeler/trackers/windhover/data/flight.txt").read_text() == ""


@pytest.mark.skipif(
    importlib.util.find_spec("trackeval") is None,
    reason="TrackEval is not installed (pip install trackeval)",
)
def test_trackeval_reads_the_folders_and_gives_our_scores(
    written: tuple[Path, TrackScores],
) -> None:
    import trackeval  # type: ignore[import-not-found,unused-ignore]

    folder, scores = written
    for counts in scores.classes:
        base = folder / "trackeval" / counts.label
        settings = trackeval.datasets.MotChallenge2DBox.get_default_dataset_config()
        settings.update(
            GT_FOLDER=str(base / "gt"), TRACKERS_FOLDER=str(base / "trackers"),
            SKIP_SPLIT_FOL=True, SEQ_INFO={"flight": None}, PRINT_CONFIG=False,
        )  # fmt: skip
        quiet = {"PRINT_CONFIG": False}
        off = dict.fromkeys(
            ("PRINT_RESULTS", "PRINT_CONFIG", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES",
             "TIME_PROGRESS", "OUTPUT_EMPTY_CLASSES"), False,
        )  # fmt: skip
        results, _ = trackeval.Evaluator(
            {**trackeval.Evaluator.get_default_eval_config(), **off}
        ).evaluate(
            [trackeval.datasets.MotChallenge2DBox(settings)],
            [trackeval.metrics.HOTA(quiet), trackeval.metrics.CLEAR(quiet),
             trackeval.metrics.Identity(quiet)],
        )  # fmt: skip
        theirs = results["MotChallenge2DBox"]["windhover"]["COMBINED_SEQ"]["pedestrian"]
        assert theirs["HOTA"]["HOTA"].mean() == pytest.approx(counts.hota, abs=1e-3)
        assert theirs["CLEAR"]["MOTA"] == pytest.approx(counts.mota, abs=1e-3)
        assert theirs["Identity"]["IDF1"] == pytest.approx(counts.idf1, abs=1e-3)

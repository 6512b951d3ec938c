"""A recorded run scored against truth: sizes, categories and thresholds are the run's."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover_bringup.cli import main

FRAMES = 4


@pytest.fixture
def folder(tmp_path):
    """Four pictures of a person and of a vehicle that has another name, and their truth."""
    images = tmp_path / "images"
    images.mkdir()
    for k in range(FRAMES):
        picture = np.full((96, 160), 30, np.uint8)
        picture[10:34, 10:34] = 230
        picture[50:90, 100:140] = 140
        assert cv2.imwrite(str(images / f"{k}.png"), picture)
    write_truth(tmp_path)
    return tmp_path


def write_truth(folder, size=(160, 96), **changes):
    truth = {
        "images": [
            {"id": str(k), "file_name": f"{k}.png", "width": size[0], "height": size[1]}
            for k in range(FRAMES)
        ],
        "categories": [{"id": 1, "name": "persons"}, {"id": 2, "name": "carro"}],
        "annotations": [
            {"id": 2 * k + label, "image_id": k, "category_id": label, "iscrowd": "0",
             "track_id": str(label), "bbox": [[10, 10, 24, 24], [100, 50, 40, 40]][label - 1]}
            for k in range(FRAMES) for label in (1, 2)
        ],
    } | changes  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(truth))


def replay(folder, model, *more):
    given = [folder / "images", "--model", model, "--truth", folder / "truth.json"]
    return main(["replay", *map(str, given), "--out", str(folder / "out"), *more])


def test_truth_of_other_words_is_scored_with_a_mapping(folder, blob_bundle):
    assert replay(folder, blob_bundle, "--map", "carro=vehicle") == 0
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    vehicle = metrics["detection"]["classes"]["vehicle"]
    assert (vehicle["recall"], vehicle["truth_categories"]) == (1.0, ["carro"])
    assert metrics["tracking"]["classes"]["person"]["objects"] == 1


@pytest.mark.parametrize("rule", ["carro=boat", "caro=vehicle", "carro"])
def test_a_mapping_that_fits_nothing_is_one_line(folder, blob_bundle, capsys, rule):
    assert replay(folder, blob_bundle, "--map", rule) == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error:")]
    assert rule.partition("=")[0] in line


def test_scores_are_those_of_the_threshold_that_the_detector_ran_with(folder, blob_bundle):
    config = folder / "config.yaml"
    config.write_text("/**/detector:\n  ros__parameters: {score_threshold: 0.9}\n")
    assert replay(folder, blob_bundle, "--config", str(config)) == 0
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert metrics["run"]["score_threshold"] == "0.9"
    assert metrics["detection"]["classes"]["person"]["score_threshold"] == 0.9
    page = (folder / "out" / "report.html").read_text()
    assert "<dt>score_threshold</dt><dd>0.9</dd>" in page
    assert "<td>0.9</td>" in page


def test_truth_of_another_size_is_refused(folder, blob_bundle, capsys):
    write_truth(folder, size=(320, 192))
    assert replay(folder, blob_bundle) == 2
    err = capsys.readouterr().err
    assert "frame 0 is 160x96 pixels" in err
    assert "gives 320x192 for it" in err


def test_a_truth_with_nothing_to_score_is_refused(folder, blob_bundle, capsys):
    truth = json.loads((folder / "truth.json").read_text())
    elsewhere = [each | {"image_id": 99} for each in truth["annotations"]]
    write_truth(folder, annotations=elsewhere)
    assert replay(folder, blob_bundle) == 2
    assert "none of its 8 annotations is an object" in capsys.readouterr().err


def test_a_run_leaves_its_tracks_and_truth_as_other_tools_take_them(folder, blob_bundle, capsys):
    assert replay(folder, blob_bundle, "--map", "carro=vehicle") == 0
    mot = folder / "out" / "mot"
    assert len((mot / "gt" / "gt.txt").read_text().splitlines()) == 2 * FRAMES
    assert f"seqLength={FRAMES}\nimWidth=160\nimHeight=96\n" in (mot / "seqinfo.ini").read_text()
    tracks = mot / "trackeval" / "vehicle" / "trackers" / "windhover" / "data" / "out.txt"
    scored = folder / "scored"
    given = [mot / "trackeval/vehicle/gt/out/gt/gt.txt", "--result", tracks, "--out", scored]
    assert main(["evaluate", "tracks", "--truth", *map(str, given)]) == 0
    whole = json.loads((folder / "out" / "metrics.json").read_text())["tracking"]
    alone = json.loads((scored / "metrics.json").read_text())["tracking"]
    assert alone["overall"]["HOTA"] == pytest.approx(whole["classes"]["vehicle"]["HOTA"], abs=1e-4)


def test_tracks_are_scored_against_the_coco_truth_that_the_run_had(folder, blob_bundle):
    assert replay(folder, blob_bundle, "--map", "carro=vehicle") == 0
    given = ["--truth", folder / "truth.json", "--result", folder / "out" / "tracks.txt"]
    more = ["--labels", "person,vehicle", "--map", "carro=vehicle", "--out", folder / "scored"]
    assert main(["evaluate", "tracks", *map(str, [*given, *more])]) == 0
    whole = json.loads((folder / "out" / "metrics.json").read_text())["tracking"]
    again = json.loads((folder / "scored" / "metrics.json").read_text())["tracking"]
    for name, score in whole["overall"].items():
        assert again["overall"][name] == pytest.approx(score, abs=1e-4)


def test_frames_of_the_report_say_what_was_missed(folder, blob_bundle):
    assert replay(folder, blob_bundle, "--map", "carro=vehicle") == 0
    page = (folder / "out" / "report.html").read_text()
    assert page.count("2 of 2 objects found, 0 missed, 0 false") >= FRAMES
    assert "even distances" in page
    assert "objects in the truth" in page


def test_a_run_says_at_its_start_what_runs_and_what_to_open(folder, blob_bundle, capsys):
    assert replay(folder, blob_bundle, "--map", "carro=vehicle") == 0
    errors = capsys.readouterr().err
    assert "model   blob 1.0.0, thermal 320x256\n" in errors
    assert f"next    {folder / 'out' / 'report.html'} and " in errors

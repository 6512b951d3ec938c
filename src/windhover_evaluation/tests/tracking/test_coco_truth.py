"""Tracks are scored against COCO truth of a video as against MOTChallenge truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from windhover.errors import ConfigError, DataError
from windhover_evaluation.tracking.mot_files import read_pair
from windhover_evaluation.tracking.scores import TrackScores, evaluate_tracks

FRAMES = 12


def document(**changes: Any) -> dict[str, Any]:
    """A person and a car that move; images in an order that is not that of their names."""
    images = [
        {"id": 100 + n, "file_name": f"f{n}.jpg", "width": 640, "height": 512}
        for n in reversed(range(FRAMES))
    ]
    annotations = [
        {"id": 2 * n + k, "image_id": 100 + n, "category_id": 5 + k, "track_id": f"obj-{k}",
         "bbox": [50 + 3 * n + 200 * k, 100, 30, 40]}
        for n in range(FRAMES)
        for k in range(2)
    ]  # fmt: skip
    categories = [{"id": 5, "name": "pedestrian"}, {"id": 6, "name": "car"}]
    return {
        "images": images,
        "annotations": annotations,
        "categories": categories,
        **changes,
    }


def rows(frames: range = range(FRAMES)) -> str:
    return "".join(
        f"{n + 1},{7 + k},{50 + 3 * n + 200 * k},100,30,40,0.9,{k},-1,-1\n"
        for n in frames
        for k in range(2)
    )


Write = Callable[..., tuple[Path, Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(data: dict[str, Any], result: str) -> tuple[Path, Path]:
        (tmp_path / "truth.json").write_text(json.dumps(data))
        (tmp_path / "res.txt").write_text(result)
        return tmp_path / "truth.json", tmp_path / "res.txt"

    return _write


def score(pair: Any) -> TrackScores:
    return evaluate_tracks(pair.truth, pair.result, pair.labels, pair.frames)


@pytest.mark.parametrize("labels", [None, ["person", "vehicle"]])
def test_perfect_tracks_score_one(write: Write, labels: list[str] | None) -> None:
    pair = read_pair(*write(document(), rows()), labels)
    assert pair.warnings == ()
    assert pair.frames == FRAMES
    assert score(pair).overall.hota == 1.0
    assert score(pair).overall.objects == 2


def test_frames_without_anything_count_and_are_no_mismatch(write: Write) -> None:
    data = document()
    data["annotations"] = [each for each in data["annotations"] if each["image_id"] < 110]
    pair = read_pair(*write(data, rows(range(2, 8))))
    assert pair.warnings == ()
    assert (pair.first, pair.frames) == (1, FRAMES)
    counts = score(pair).overall.clear
    assert (counts.true_positives, counts.false_negatives, counts.false_positives) == (12, 8, 0)


def test_a_result_beyond_the_video_is_reported(write: Write) -> None:
    pair = read_pair(*write(document(), rows(range(FRAMES + 3))))
    assert "result 1 to 15" in pair.warnings[0]


def test_regions_hide_tracks_and_need_no_id(write: Write) -> None:
    data = document()
    data["categories"].append({"id": 9, "name": "DontCare"})
    data["annotations"].append(
        {"id": 900, "image_id": 100, "category_id": 9, "bbox": [400, 300, 100, 100]}
    )
    pair = read_pair(*write(data, rows() + "1,50,420,320,20,30,0.9,0,-1,-1\n"), ["person"])
    assert score(pair).overall.clear.false_positives == 0


def test_objects_without_an_id_are_left_out_with_a_warning(write: Write) -> None:
    data = document()
    del data["annotations"][0]["track_id"]
    pair = read_pair(*write(data, rows()))
    assert "1 objects without a track_id" in pair.warnings[0]


def test_what_can_not_be_scored_is_refused(write: Write) -> None:
    data = document()
    for each in data["annotations"]:
        each.pop("track_id")
    with pytest.raises(DataError, match="no annotation has a track_id"):
        read_pair(*write(data, rows()))
    data = document()
    for n, each in enumerate(data["images"]):
        each["video_id"] = n % 2
    with pytest.raises(DataError, match="holds 2 videos"):
        read_pair(*write(data, rows()))
    with pytest.raises(ConfigError, match="names its classes"):
        read_pair(*write(document(), rows()), ["person"], ["pedestrian"])
    truth, result = write(document(), rows())
    truth.write_text("1,1,2,3,4,5,1")
    with pytest.raises(DataError, match="is not JSON"):
        read_pair(truth, result)

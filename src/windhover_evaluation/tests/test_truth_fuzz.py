"""Truth files of any content: scores or a WindhoverError in one line, never another exception.

The tests try a few hundred inputs. 10,000 of each were tried once with
``--hypothesis-profile=explore`` and ``max_examples`` raised; what they found is kept as examples.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from windhover.errors import WindhoverError
from windhover_evaluation.detection.scores import Predictions, evaluate_detections
from windhover_evaluation.detection.truth_file import load_truth
from windhover_evaluation.tracking.mot_files import read_pair
from windhover_evaluation.tracking.scores import evaluate_tracks

LABELS = ("person", "vehicle")
VALID: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "a.png", "width": 100, "height": 80, "altitude": 40.0},
        {"id": "b", "file_name": "set/b.png", "rgb": "rgb/b.png", "thermal": "thermal/b.png"},
    ],
    "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "cars"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [10, 20, 30, 40], "iscrowd": 0},
        {"id": 2, "image_id": "b", "category_id": 1, "bbox": [1, 2, 4, 8], "track_id": 7},
        {"id": 3, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]},
    ],
}
ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["0", "1", "7.0", "-1", "nan", "1e999", "\ud800", "a\\b.png", "person?", ""]),
    st.lists(st.integers(-5, 5) | st.text(max_size=2), max_size=5),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        found += [each for key, item in value.items() for each in paths(item, (*path, key))]
    elif isinstance(value, list):
        found += [each for i, item in enumerate(value) for each in paths(item, (*path, i))]
    return found


PATHS = paths(VALID)
CHANGES = st.lists(
    st.tuples(st.sampled_from(PATHS), st.sampled_from(["set", "drop", "twice"]), ODD_VALUES),
    min_size=1,
    max_size=4,
)


def changed(changes: list[tuple[tuple[Any, ...], str, Any]]) -> dict[str, Any]:
    document = copy.deepcopy(VALID)
    for path, how, odd in changes:
        _change(_at(document, path[:-1]), path[-1], how, odd)
    return document


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path; ``None`` where an earlier change removed it."""
    for key in path:
        if not _has(document, key):
            return None
        document = document[key]
    return document


def _has(parent: Any, key: Any) -> bool:
    if isinstance(parent, dict):
        return key in parent
    return isinstance(parent, list) and isinstance(key, int) and key < len(parent)


def _change(parent: Any, key: Any, how: str, odd: Any) -> None:
    if not _has(parent, key):
        return
    if how == "drop":
        del parent[key]
    elif how == "twice" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    else:
        parent[key] = odd


def score_coco(path: Path) -> None:
    try:
        truth = load_truth(path, LABELS)
        truth.require_objects()
        evaluate_detections(truth, Predictions.collect([]), 0.5)
    except WindhoverError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most inputs raise none


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=300)
@given(CHANGES)
@example([(("annotations", 1, "track_id"), "set", 2.0**63)])
def test_any_coco_document(folder: Path, changes: list[tuple[tuple[Any, ...], str, Any]]) -> None:
    path = folder / "truth.json"
    path.write_text(json.dumps(changed(changes)))
    score_coco(path)


@settings(max_examples=100)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
@example(b"\xff\xfe{\x00")
@example(b"[" * 100_000)
def test_any_bytes_as_coco(folder: Path, data: bytes) -> None:
    path = folder / "truth.json"
    path.write_bytes(data)
    score_coco(path)


FIELDS = st.one_of(
    st.integers(-2, 12).map(str),
    st.floats(-1e3, 1e3).map(str),
    st.sampled_from(["", " ", "-1", "nan", "inf", "1e400", "1.5", "x", "9999999999", "\ufeff"]),
)
ROWS = st.lists(
    st.tuples(st.lists(FIELDS, min_size=1, max_size=12), st.sampled_from([",", " ", "\t", ", "])),
    max_size=6,
)
GOOD_ROW = "{frame},{id},10,10,20,20,1,1,1"


@settings(max_examples=300)
@given(
    ROWS, st.integers(0, 5), st.sampled_from([None, LABELS]), st.sampled_from([None, "visdrone"])
)
def test_any_tracking_truth(
    folder: Path,
    rows: list[tuple[list[str], str]],
    good: int,
    labels: tuple[str, ...] | None,
    names: str | None,
) -> None:
    lines = [GOOD_ROW.format(frame=n, id=n) for n in range(good)]
    lines += [between.join(fields) for fields, between in rows]
    (folder / "gt.txt").write_text("\n".join(lines))
    (folder / "res.txt").write_text("1,1,10,10,20,20,0.9,0,-1,-1\n")
    try:
        given_names = [names] if names and labels else None
        pair = read_pair(folder / "gt.txt", folder / "res.txt", labels, given_names)
        evaluate_tracks(pair.truth, pair.result, pair.labels, pair.frames)
    except WindhoverError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most inputs raise none

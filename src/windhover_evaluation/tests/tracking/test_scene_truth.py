"""Scene truth as track truth, with the renderer itself."""

from __future__ import annotations

import numpy as np

from windhover.types import Tracks
from windhover_evaluation.tracking.scene_truth import MIN_VISIBILITY, scene_track_truth
from windhover_evaluation.tracking.scores import TrackTable, evaluate_tracks
from windhover_sim import SCENE_LABELS, SceneSource, SceneTruth


def scene_truth(*rows: tuple[str, int, float, float]) -> SceneTruth:
    """Rows of label, id, side in pixels, visibility."""
    boxes = np.array([[10 * i, 0, 10 * i + side, side] for _, i, side, _ in rows], np.float32)
    return SceneTruth(
        boxes=boxes.reshape(-1, 4),
        amodal=boxes.reshape(-1, 4),
        class_ids=np.array([SCENE_LABELS.index(name) for name, *_ in rows], np.int32),
        track_ids=np.array([i for _, i, _, _ in rows], np.int64),
        visibility=np.array([seen for *_, seen in rows], np.float32),
        carrier_ids=np.zeros(len(rows), np.int64),
    )


def test_labels_are_the_models_and_hidden_objects_are_ignored() -> None:
    frames = [
        (0, scene_truth(("vehicle", 1, 30, 1.0), ("weapon", 2, 8, 1.0), ("person", 3, 9, 1.0))),
        (1, scene_truth(("person", 3, 9, MIN_VISIBILITY / 2), ("person", 4, 3, 1.0))),
        (2, SceneTruth()),
    ]
    table = scene_track_truth(frames, ("person", "vehicle"))
    assert table.frames.tolist() == [0, 0, 1, 1]
    assert table.ids.tolist() == [1, 3, 3, 4]
    assert table.class_ids.tolist() == [1, 0, 0, 0]
    assert table.ignored.tolist() == [False, False, True, True]
    assert len(scene_track_truth([], ("person",))) == 0


def test_a_rendered_scene_tracked_perfectly_scores_one() -> None:
    labels = ("person", "two-wheeler", "vehicle")
    source = SceneSource.from_uri("scene:demo?seed=3&frames=3&people=4&armed=1&cars=2")
    truths = [(n, source.render(n).truth) for n in range(3)]
    table = scene_track_truth(truths, labels)
    assert len(table)
    kept = table[~table.ignored]
    rows = [kept[kept.frames == n] for n in range(3)]
    result = TrackTable.collect(
        (
            n,
            Tracks(
                part.boxes.astype(np.float32),
                np.ones(len(part), np.float32),
                part.class_ids,
                part.ids,
            ),
        )
        for n, part in enumerate(rows)
    )
    overall = evaluate_tracks(table, result, labels, 3).overall
    assert overall.mota == overall.idf1 == 1.0

"""Truth of a rendered scene in the form that track scores take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from windhover_evaluation.tracking.scores import TrackTable
from windhover_sim.config import SCENE_LABELS
from windhover_sim.truth import SceneTruth

#: Objects less visible than this share need not be tracked.
MIN_VISIBILITY = 0.3

#: Objects whose longer side is shorter than this, in pixels, need not be either.
MIN_SIDE_PX = 4.0


def scene_track_truth(
    frames: Iterable[tuple[int, SceneTruth]], labels: Sequence[str]
) -> TrackTable:
    """Join the truth of a scene's frames.

    Objects that are hardly visible are ignored: a track may continue through a short
    occlusion or end there, and both are right.

    Args:
        frames: frame number and what is in it.
        labels: the model's labels; objects of other classes are left out.
    """
    places = {name: number for number, name in enumerate(labels)}
    class_of = np.array([places.get(name, -1) for name in SCENE_LABELS], np.int32)
    numbers = [np.empty(0, np.int64)]
    parts = [SceneTruth()]
    for number, truth in frames:
        known = truth[class_of[truth.class_ids] >= 0]
        numbers.append(np.full(len(known), number, np.int64))
        parts.append(known)
    boxes = np.concatenate([part.boxes for part in parts]).astype(np.float64)
    visibility = np.concatenate([part.visibility for part in parts])
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
    return TrackTable(
        frames=np.concatenate(numbers),
        ids=np.concatenate([part.track_ids for part in parts]),
        boxes=boxes,
        class_ids=class_of[np.concatenate([part.class_ids for part in parts])],
        ignored=(visibility < MIN_VISIBILITY) | (longer < MIN_SIDE_PX),
    )

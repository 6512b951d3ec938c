"""Track truth from COCO JSON whose annotations have a ``track_id``: one video to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from windhover.errors import DataError
from windhover.sources.files import natural_key
from windhover_evaluation.detection.coco_values import read_json_object
from windhover_evaluation.detection.truth import NO_TRACK, Truth
from windhover_evaluation.detection.truth_file import load_truth
from windhover_evaluation.tracking.scores import TrackTable


@dataclass(frozen=True, slots=True)
class CocoTracks:
    """Track truth of one video.

    Attributes:
        table: frames count from 1, in natural order of the images' names.
        frames: how many images there are.
        warnings: what was left out.
    """

    table: TrackTable
    frames: int
    warnings: tuple[str, ...]


def is_coco(path: str | Path) -> bool:
    """Whether a truth file is to be read as COCO JSON, and not as MOTChallenge text."""
    return Path(path).suffix.lower() == ".json"


def read_coco_tracks(
    path: str | Path, labels: Sequence[str] | None = None, mapping: Mapping[str, str] | None = None
) -> CocoTracks:
    """Read track truth from COCO JSON.

    Args:
        path: see :func:`windhover_evaluation.detection.truth_file.load_truth`.
        labels: what the table's ``class_ids`` index; ``None`` makes all boxes one class, 0.
        mapping: label by category name, where it is not in the table of
            :mod:`windhover_evaluation.detection.categories`.

    Raises:
        DataError: it can't be read, holds several videos, or no annotation has a ``track_id``.
    """
    data = read_json_object(Path(path))
    images = [each for each in data.get("images") or [] if isinstance(each, dict)]
    videos = {str(each["video_id"]) for each in images if "video_id" in each}
    if len(videos) > 1:
        raise DataError(f"{path}: holds {len(videos)} videos; give a file with one of them")
    categories = [each for each in data.get("categories") or [] if isinstance(each, dict)]
    names = list(dict.fromkeys(str(each.get("name")) for each in categories))
    truth = load_truth(path, labels or names, mapping)
    table = truth_tracks(truth.of_images(rows_in_order(truth)))
    if table is None:
        raise DataError(f"{path}: no annotation has a track_id, so no track can be scored")
    warnings = [f"{path}: {problem}" for problem in truth.problems]
    assert truth.track_ids is not None
    loose = int(np.count_nonzero((truth.track_ids == NO_TRACK) & ~truth.ignored))
    if loose:
        warnings.append(f"{path}: {loose} objects without a track_id left out")
    classes = table.class_ids if labels else np.minimum(table.class_ids, 0).astype(np.int32)
    numbered = TrackTable(table.frames + 1, table.ids, table.boxes, classes, table.ignored)
    return CocoTracks(numbered, len(truth.images), tuple(warnings))


def rows_in_order(truth: Truth) -> list[int]:
    """Indices of a truth's images, in natural order of their names."""
    return sorted(
        range(len(truth.images)), key=lambda row: natural_key(truth.images[row].file_name)
    )


def truth_tracks(truth: Truth) -> TrackTable | None:
    """Truth as tracks, frames being the images from 0; ``None`` where it has no ``track_id``.

    Objects without one are left out; ignored regions are kept, and need none.
    """
    if truth.track_ids is None:
        return None
    # ANY_LABEL of a region is ANY_CLASS of a table: both hide objects of every class.
    kept = (truth.track_ids != NO_TRACK) | truth.ignored
    return TrackTable(
        truth.image_rows[kept],
        truth.track_ids[kept],
        truth.boxes[kept],
        truth.label_ids[kept],
        truth.ignored[kept],
    )

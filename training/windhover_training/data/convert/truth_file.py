"""Truth files of sets whose images are listed one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from windhover.files import write_json


def write_truth(path: Path, rows: Iterable[Mapping[str, Any]], labels: Sequence[str]) -> int:
    """Write a COCO file, with ids counted from 1.

    Args:
        path: such as ``truth/<split>.json``.
        rows: one an image: its record, without an id, as ``image``, and as ``annotations``
            those of its objects, without ``id`` and ``image_id``.
        labels: names of category 0 and on.

    Returns:
        How many images it lists.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in rows:
        images.append({"id": len(images) + 1, **row["image"]})
        for box in row["annotations"]:
            ids = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append({**ids, **box})
    categories = [{"id": i, "name": name} for i, name in enumerate(labels)]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})
    return len(images)

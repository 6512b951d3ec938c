"""The one layout that every set is converted to.

``images/<split>/<rgb|thermal>/<name>.<suffix>``, ``labels/<split>/<rgb|thermal>/<name>.txt``
(YOLO), ``truth/<split>.json`` (COCO; an image's ``file_name`` is relative to
``images/<split>`` and ``rgb`` and ``thermal`` name both of a pair), ``rgb.yaml`` and
``thermal.yaml`` (Ultralytics), and ``conversion.yaml`` (what was kept and dropped).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.files import atomic_path, write_atomic
from windhover.sources.files import read_image
from windhover_evaluation.fan_out import HERE, Progress, Workers
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.records import IGNORE, MODALITIES, LabelledFrame

REPORT = "conversion.yaml"
_BLUR = 25.0  # px, standard deviation: nothing of a person or a car is left
_JPEG_QUALITY = 95
_CHUNK = 64  # frames a task; most are two links and a small file


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How images get into a set.

    Attributes:
        fill: splits whose ignore regions are blurred, so that training takes nothing in
            them for background. Truth keeps the regions either way.
        copy: copy files; hard links are made otherwise where the file system allows.
    """

    fill: frozenset[str] = frozenset({"train"})
    copy: bool = False


def write_set(
    root: Path,
    splits: Mapping[str, Sequence[LabelledFrame]],
    labels: Sequence[str],
    summary: Summary,
    options: WriteOptions | None = None,
    progress: Progress | None = None,
    workers: Workers = HERE,
    **facts: Any,
) -> None:
    """Write all splits of a set.

    Args:
        root: folder to write into; see ``outputs.new_folder``.
        splits: name -> frames.
        labels: names of the class ids.
        summary: goes into the report; receives the splits that are empty.
        options: how images are written.
        progress: called with frames done and frames in all.
        workers: that write images and labels.
        **facts: more for the report, such as how the split was made.

    Raises:
        DataError: there is no frame at all, or a file can't be written.
    """
    options = options or WriteOptions()
    total = sum(map(len, splits.values()))
    if not total:
        raise DataError(f"nothing usable is left ({summary.worst()}); no data set was written")
    before = 0
    for split, frames in splits.items():
        if not frames:
            summary.add("missing", f"split: {split} is empty")
        place = partial(_place, root, split, options)
        report = partial(_tell, progress, before, total) if progress is not None else None
        placed = list(workers.map(place, frames, chunk=_CHUNK, progress=report))
        _write_truth(root, split, placed, labels)
        before += len(frames)
    _write_yaml(root, splits, labels)
    _write_report(root, splits, labels, summary, facts)


def _tell(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _place(root: Path, split: str, options: WriteOptions, frame: LabelledFrame) -> LabelledFrame:
    fill = split in options.fill and bool((frame.class_ids == IGNORE).any())
    fill = fill and not frame.extra.get("filled", False)
    placed = {}
    for modality, source in frame.images.items():
        folder = root / "images" / split / modality
        folder.mkdir(parents=True, exist_ok=True)
        if fill:
            placed[modality] = _write_filled(source, folder / frame.name, frame)
        else:
            placed[modality] = folder / f"{frame.name}{source.suffix.lower()}"
            link_or_copy(source, placed[modality], copy=options.copy)
        text = "".join(yolo_lines(frame))
        write_text(root / "labels" / split / modality / f"{frame.name}.txt", text)
    extra = dict(frame.extra) | ({"filled": True} if fill else {})
    return replace(frame, images=placed, extra=extra)


def link_or_copy(source: Path, target: Path, *, copy: bool = False) -> None:
    """Give a file a second name, or copy it where that can't be done.

    Raises:
        DataError: neither can be done.
    """
    try:
        if not copy:
            try:
                os.link(source.resolve(), target)
                return
            except FileExistsError:
                target.unlink()
                os.link(source.resolve(), target)
                return
            except OSError:
                pass  # another file system, or one without links
        with atomic_path(target) as part:
            shutil.copyfile(source, part)
    except OSError as error:
        raise DataError(f"{target}: can't be written ({error.strerror}); free some space") from None


def write_text(path: Path, text: str) -> None:
    """Write a small file into a folder that is renamed when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_filled(source: Path, target: Path, frame: LabelledFrame) -> Path:
    pixels, _ = read_image(source)
    lossy = pixels.ndim == 3  # colour is much larger without loss, and was lossy before
    target = target.with_name(f"{target.name}{'.jpg' if lossy else '.png'}")
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if lossy else []
    if not cv2.imwrite(str(target), fill_ignored(pixels, frame.boxes, frame.class_ids), options):
        raise DataError(f"{target}: can't be written; free some space")
    return target


def fill_ignored(
    pixels: NDArray[Any], boxes: NDArray[np.float64], class_ids: NDArray[np.int64]
) -> NDArray[Any]:
    """Blur ignore regions away so that training takes nothing in them for background.

    Labelled objects inside a region stay as they are.

    Args:
        pixels: ``(H, W)`` or ``(H, W, C)``, 8 or 16 bit.
        boxes: ``(N, 4)`` left, top, width, height in pixels.
        class_ids: ``(N,)``.

    Returns:
        The same shape and type; ``pixels`` itself if nothing is ignored.
    """
    if not (class_ids == IGNORE).any():
        return pixels
    mask = np.zeros(pixels.shape[:2], bool)
    for ignored in (True, False):
        for x, y, w, h in boxes[(class_ids == IGNORE) == ignored]:
            mask[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = ignored
    out = pixels.copy()
    out[mask] = cv2.GaussianBlur(pixels, (0, 0), _BLUR)[mask]
    return out


def yolo_lines(frame: LabelledFrame) -> list[str]:
    """``class centre-x centre-y width height`` of each object, as shares of the image."""
    lines = []
    for class_id, (x, y, w, h) in zip(
        frame.class_ids[frame.objects], frame.boxes[frame.objects], strict=True
    ):
        cx, cy = (x + w / 2) / frame.width, (y + h / 2) / frame.height
        sides = f"{w / frame.width:.6f} {h / frame.height:.6f}"
        lines.append(f"{class_id} {cx:.6f} {cy:.6f} {sides}\n")
    return lines


def _write_truth(
    root: Path, split: str, frames: Sequence[LabelledFrame], labels: Sequence[str]
) -> None:
    """Write one split's truth row by row: millions of boxes would not fit as Python objects."""
    path = root / "truth" / f"{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    base = root / "images" / split
    categories = [{"id": i, "name": name} for i, name in enumerate(labels)]
    lists = {
        "categories": iter(categories),
        "images": (_image_row(i, frame, base) for i, frame in enumerate(frames, start=1)),
        "annotations": _coco_rows(frames, len(labels)),
    }
    with path.open("w", encoding="utf-8") as stream:
        for place, (name, rows) in enumerate(lists.items()):
            stream.write(f'{"," if place else "{"}"{name}": [')
            for number, row in enumerate(rows):
                stream.write(("," if number else "") + "\n" + json.dumps(row))
            stream.write("]\n")
        stream.write("}\n")


def _image_row(image_id: int, frame: LabelledFrame, base: Path) -> dict[str, Any]:
    files = {m: str(frame.images[m].relative_to(base)) for m in MODALITIES if m in frame.images}
    return {
        "id": image_id,
        "file_name": next(iter(files.values())),
        **files,
        "height": frame.height,
        "width": frame.width,
        "flight": frame.flight,
        "source": frame.source,
        "time_of_day": frame.time_of_day,
        "time_source": frame.time_source,
        "altitude": frame.altitude,
        "altitude_source": frame.altitude_source,
        **frame.extra,
    }


def _coco_rows(frames: Sequence[LabelledFrame], labels: int) -> Iterator[dict[str, Any]]:
    row_id = 0
    for image_id, frame in enumerate(frames, start=1):
        for xywh, class_id, track in zip(frame.boxes, frame.class_ids, frame.tracks, strict=True):
            # A region is ignored for every class, and COCO has no way to say so but this.
            for category in [int(class_id)] if class_id >= 0 else range(labels):
                row_id += 1
                row = _coco_row(row_id, image_id, category, xywh, class_id < 0)
                yield row | ({"track_id": int(track)} if track >= 0 else {})


def _coco_row(
    row_id: int, image_id: int, category: int, xywh: NDArray[np.float64], crowd: bool
) -> dict[str, Any]:
    return {
        "id": row_id,
        "image_id": image_id,
        "category_id": category,
        "bbox": [round(float(v), 3) for v in xywh],
        "area": round(float(xywh[2] * xywh[3]), 3),
        "iscrowd": int(crowd),
    }


def _write_yaml(
    root: Path, splits: Mapping[str, Sequence[LabelledFrame]], labels: Sequence[str]
) -> None:
    for modality in MODALITIES:
        used = [s for s, frames in splits.items() if any(modality in f.images for f in frames)]
        if not used:
            continue
        paths = {split: f"images/{split}/{modality}" for split in used}
        channels = {"channels": 1} if modality == "thermal" else {}
        document = {**paths, "names": dict(enumerate(labels)), **channels}
        write_atomic(root / f"{modality}.yaml", yaml.safe_dump(document, sort_keys=False))


def _write_report(
    root: Path,
    splits: Mapping[str, Sequence[LabelledFrame]],
    labels: Sequence[str],
    summary: Summary,
    facts: Mapping[str, Any],
) -> None:
    flights = {
        split: sorted({frame.flight for frame in frames}) for split, frames in splits.items()
    }
    report = {
        **facts,
        "labels": list(labels),
        "images": {split: len(frames) for split, frames in splits.items()},
        "flights": flights,
        "summary": summary.as_dict(),
    }
    write_atomic(root / REPORT, yaml.safe_dump(report, sort_keys=False, allow_unicode=True))

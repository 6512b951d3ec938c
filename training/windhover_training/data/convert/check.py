"""Published frames -> frames that can be trained on; what is wrong is counted, never fatal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import SourceError
from windhover.sources.files import read_image
from windhover_evaluation.fan_out import HERE, Progress, Workers
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.boxes import Xywh, clean_box
from windhover_training.data.readers.labels import DROPPED, IGNORED, LabelMap
from windhover_training.data.readers.metadata import Flight, altitude_of, tell_unused
from windhover_training.data.readers.records import MODALITIES, LabelledFrame, RawFrame

#: Mean level of a visible image's channels, 0..255, below which it is taken for one of the
#: night. AU-AIR's 40 images of the day are at 99-129, rendered nights at 42-63, dusk between.
DARK = 75.0
_CHUNK = 32  # frames a task: some tenths of a second


def check_frames(
    raws: Iterable[RawFrame],
    labels: LabelMap,
    source: str,
    summary: Summary,
    *,
    table: dict[str, Flight] | None = None,
    workers: Workers = HERE,
    progress: Progress | None = None,
) -> list[LabelledFrame]:
    """Check every frame: its images, their sizes, its boxes and what is known of it.

    Args:
        raws: as a reader gives them.
        labels: what becomes of each class.
        source: name of the data set.
        summary: receives what was kept, changed and dropped.
        table: flight -> altitude, for frames that say none themselves.
        workers: that decode images.
        progress: called with frames done and frames in all.

    Returns:
        The usable frames, in the reader's order.
    """
    checked: list[LabelledFrame] = []
    names: set[str] = set()
    todo = list(raws)
    merged = _merging(labels)
    check = partial(_check_frame, labels, merged, source, table or {})
    for frame, notes in workers.map(check, todo, chunk=_CHUNK, progress=progress):
        if frame is not None and frame.name in names:
            summary.add("dropped", "image: name given twice", frame.name)
            continue
        summary.update(notes)
        if frame is not None:
            names.add(frame.name)
            checked.append(frame)
    tell_unused(table or {}, {raw.flight for raw in todo}, summary)
    return checked


def _check_frame(
    labels: LabelMap, merged: frozenset[str], source: str, table: dict[str, Flight], raw: RawFrame
) -> tuple[LabelledFrame | None, Summary]:
    notes = Summary()
    return _Check(labels, merged, source, table, notes).frame(raw), notes


def _merging(labels: LabelMap) -> frozenset[str]:
    counts = Counter(target for target in labels.classes.values())
    return frozenset(label for label in labels.labels if counts[label] > 1)


@dataclass(frozen=True, slots=True)
class _Check:
    labels: LabelMap
    merged: frozenset[str]
    source: str
    table: dict[str, Flight]
    notes: Summary

    def frame(self, raw: RawFrame) -> LabelledFrame | None:
        name = re.sub(r"[^\w.-]+", "_", raw.name)
        images = {m: path for m in MODALITIES if (path := getattr(raw, m)) is not None}
        pixels = self._pixels(images, name)
        if not pixels:
            return None
        sizes = {(p.shape[1], p.shape[0]) for p in pixels.values()}
        width, height = next(iter(sizes))
        if len(sizes) > 1:
            both = " and ".join(f"{p.shape[1]}x{p.shape[0]}" for p in pixels.values())
            what = "image: visible and thermal differ in size"
            self.notes.add("dropped", what, f"{name} ({both})")
            return None
        if raw.size is not None and raw.size != (width, height):
            item = f"{name} ({width}x{height}, not {raw.size[0]}x{raw.size[1]})"
            self.notes.add("dropped", "image: size is not what its boxes are for", item)
            return None
        boxes, class_ids, tracks = self._boxes(raw, name, width, height)
        self.notes.add("kept", "image" if len(images) == 1 else "pair of images")
        if not len(boxes):
            self.notes.add("kept", "image without a box")
        altitude, altitude_source = self._altitude(raw, name)
        time, time_source = self._time(raw, name, pixels.get("rgb"))
        return LabelledFrame(
            name=name,
            flight=raw.flight,
            source=self.source,
            images=images,
            width=width,
            height=height,
            boxes=boxes,
            class_ids=class_ids,
            tracks=tracks,
            altitude=altitude,
            altitude_source=altitude_source,  # type: ignore[arg-type]
            time_of_day=time,
            time_source=time_source,
            extra=dict(raw.extra) | ({"published_split": raw.split} if raw.split else {}),
        )

    def _pixels(self, images: dict[str, Path], name: str) -> dict[str, NDArray[Any]]:
        pixels: dict[str, NDArray[Any]] = {}
        for modality, path in images.items():
            kind = f"{modality} image of a pair" if len(images) > 1 else "image"
            if not path.is_file():
                self.notes.add("dropped", f"{kind}: missing", name)
                return {}
            try:
                pixels[modality], _ = read_image(
                    path, camera="rgb" if modality == "rgb" else "thermal"
                )
            except SourceError:
                self.notes.add("dropped", f"{kind}: damaged", name)
                return {}
        return pixels

    def _boxes(
        self, raw: RawFrame, name: str, width: int, height: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        boxes: list[Xywh] = []
        class_ids: list[int] = []
        tracks: list[int] = []
        seen: set[tuple[int, Xywh]] = set()
        for box in raw.boxes:
            published, target = self.labels.name(box.category), self.labels.target(box.category)
            if target is None or target == DROPPED:
                what = "unknown class" if target is None else "the label map leaves out"
                self.notes.add("dropped", f"box: {what} {published}", name)
                continue
            xywh, said = clean_box(box.bbox, width, height)
            if xywh is None:
                self.notes.add("dropped", f"box: {said}", name)
                continue
            class_id = self.labels.class_id(target)
            if (class_id, xywh) in seen:
                self.notes.add("dropped", "box: given twice", name)
                continue
            if said:
                self.notes.add("changed", f"box: {said}", name)
            if target in self.merged:
                self.notes.add("merged", f"box: {published} -> {target}")
            self.notes.add("kept", "ignore region" if target == IGNORED else f"box: {target}")
            seen.add((class_id, xywh))
            boxes.append(xywh)
            class_ids.append(class_id)
            tracks.append(-1 if box.track is None else box.track)
        rows = np.array(boxes, np.float64).reshape(-1, 4)
        return rows, np.array(class_ids, np.int64), np.array(tracks, np.int64)

    def _altitude(self, raw: RawFrame, name: str) -> tuple[float | None, str | None]:
        flight = self.table.get(raw.flight)
        choices = [(raw.altitude, raw.altitude_source or "measured")]
        choices += [(flight.altitude, "table")] if flight is not None else []
        for altitude, how in choices:
            if altitude_of(altitude) is not None:
                return altitude, how
        self.notes.add("missing", "image: without altitude", name)
        return None, None

    def _time(
        self, raw: RawFrame, name: str, rgb: NDArray[Any] | None
    ) -> tuple[str | None, str | None]:
        flight = self.table.get(raw.flight)
        published = raw.time_of_day or (flight.time_of_day if flight is not None else None)
        if published:
            return published, "published"
        if rgb is None:
            self.notes.add("missing", "image: without time of day", name)
            return None, None
        self.notes.add("missing", "image: time of day judged from brightness", name)
        return ("night" if float(rgb.mean()) < DARK else "day"), "estimate"

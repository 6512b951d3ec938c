"""The frames that an altitude filter looks at, from each kind of folder it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError, SourceError
from windhover.sources.files import read_image
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers import vt_mot
from windhover_training.data.readers.boxes import clean_box
from windhover_training.data.readers.dataset import load_set
from windhover_training.data.readers.labels import CONFIGS, LabelMap, load_label_map
from windhover_training.data.readers.metadata import METADATA, altitude_of, read_metadata
from windhover_training.data.readers.records import LabelledFrame, RawFrame


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an estimate of one frame's altitude is made from.

    Attributes:
        boxes: ``(N, 4)`` float64, left, top, width, height in pixels.
        people: ``(N,)`` bool: a person; a car otherwise.
        image: ``(width, height)`` in pixels.
        pitch: the camera's, in degrees, where the frame says.
    """

    boxes: NDArray[np.float64]
    people: NDArray[np.bool_]
    image: tuple[int, int]
    pitch: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One frame that is kept or not.

    Attributes:
        flight: whose altitude a table or an estimate may give.
        files: what belongs to it, annotations too, relative to the input folder.
        record: what is written of it.
        altitude: metres above ground, if known.
        source: how it is known.
        sizes: for an estimate; ``None`` where there is nothing to make one from.
        frame: of a converted set, with its split.
    """

    flight: str
    files: tuple[str, ...]
    record: Mapping[str, Any]
    altitude: float | None = None
    source: str | None = None
    sizes: Sizes | None = None
    frame: tuple[str, LabelledFrame] | None = None

    def described(self) -> dict[str, Any]:
        """The frame's record with its altitude and where that is from."""
        return {**self.record, "altitude": self.altitude, "altitude_source": self.source}


def list_candidates(root: Path, summary: Summary) -> list[Candidate]:
    """All frames of a converted set, of VT-MOT, or of a metadata file.

    Args:
        root: the folder.
        summary: receives what could not be read.

    Raises:
        DataError: ``root`` is none of these.
    """
    if (root / "truth").is_dir():
        return _of_converted(root)
    if vt_mot.is_published(root):
        return _of_vt_mot(root, summary)
    if (root / METADATA).is_file():
        return _of_metadata(root, summary)
    raise DataError(
        f"{root}: neither a converted set, nor VT-MOT with <split>/<sequence>/visible, nor a "
        f"folder with {METADATA}"
    )


def _of_converted(root: Path) -> list[Candidate]:
    loaded = load_set(root)
    person, vehicle = (
        loaded.labels.index(label) if label in loaded.labels else -2
        for label in ("person", "vehicle")
    )
    found = []
    for split, frames in loaded.splits.items():
        for frame in frames:
            images = [str(path.relative_to(root)) for path in frame.images.values()]
            known = np.isin(frame.class_ids, (person, vehicle))
            pitch = frame.extra.get("angle")
            label = Path(images[0].replace("images", "labels", 1)).with_suffix(".txt")
            found.append(
                Candidate(
                    frame.flight,
                    (),  # written again, not linked
                    {"image_path": images[0], "annotation_path": str(label)},
                    altitude_of(frame.altitude),
                    frame.altitude_source or "measured",
                    Sizes(
                        frame.boxes[known],
                        frame.class_ids[known] == person,
                        (frame.width, frame.height),
                        float(pitch) if isinstance(pitch, (int, float)) else None,
                    ),
                    (split, frame),
                )
            )
    return found


def _of_vt_mot(root: Path, summary: Summary) -> list[Candidate]:
    labels = load_label_map(CONFIGS / "vt_mot.yaml")
    sizes: dict[str, tuple[int, int] | None] = {}
    found = []
    for raw in vt_mot.read(root, summary):
        if raw.flight not in sizes:
            sizes[raw.flight] = _image_size(raw)
        paths = [str(path.relative_to(root)) for path in (raw.rgb, raw.thermal) if path is not None]
        gt = Path(paths[0]).parent.parent / "gt" / "gt.txt"
        files = (*paths, str(gt)) if (root / gt).is_file() else tuple(paths)
        record = {
            "image_path": paths[0],
            "thermal_path": paths[1],
            "annotation_path": str(gt),
            "sequence": raw.flight,
            "frame": raw.extra["frame"],
        }
        image = sizes[raw.flight]
        found.append(
            Candidate(
                raw.flight,
                files,
                record,
                altitude_of(raw.altitude),
                raw.altitude_source,
                _sizes(raw, labels, image) if image is not None else None,
            )
        )
    return found


def _image_size(raw: RawFrame) -> tuple[int, int] | None:
    try:
        pixels, _ = read_image(raw.rgb or Path())
    except SourceError:
        return None
    return pixels.shape[1], pixels.shape[0]


def _sizes(raw: RawFrame, labels: LabelMap, image: tuple[int, int]) -> Sizes:
    rows = [(clean_box(b.bbox, *image)[0], labels.target(b.category)) for b in raw.boxes]
    rows = [(xywh, target) for xywh, target in rows if xywh and target in ("person", "vehicle")]
    boxes = np.array([xywh for xywh, _ in rows], np.float64).reshape(-1, 4)
    return Sizes(boxes, np.array([target == "person" for _, target in rows], bool), image)


def _of_metadata(root: Path, summary: Summary) -> list[Candidate]:
    found = []
    seen: set[str] = set()
    for number, record in enumerate(read_metadata(root / METADATA, summary)):
        image, annotation = record.get("image_path"), record.get("annotation_path")
        item = str(image or f"{METADATA} #{number}")
        files = [name for name in (image, annotation) if isinstance(name, str) and name]
        if not isinstance(image, str) or not image:
            summary.add("dropped", "frame: has no image_path", item)
        elif image in seen:
            summary.add("dropped", "frame: listed twice", item)
        elif not all(_within(root, name) for name in files):
            summary.add("dropped", "frame: a path leads out of the folder", item)
        else:
            seen.add(image)
            flight = str(record.get("sequence") or Path(image).parent)
            altitude = altitude_of(record.get("altitude"))
            source = str(record.get("altitude_source", "measured"))
            found.append(Candidate(flight, tuple(files), record, altitude, source))
    return found


def _within(root: Path, name: str) -> bool:
    return (root / name).resolve().is_relative_to(root.resolve())

"""Detections and tracks to and from vision_msgs/Detection2DArray.

Contract: the header is the source image's; boxes are in source pixels,
sub-pixel, as centre and size; ``class_id`` is the label's name; ``id`` is the
track id, empty for a detection that has none.

``results[0]`` is what the object is. A track of something that is carried has a
second result that says by whom: its ``class_id`` is ``carried_by:<track id>`` and
its score is the object's times the share of the evidence that points to that
person. It is never above the object's own, so that whoever takes the best
result still finds the object's class. Carrier and carried are both in the message
as detections of their own whenever they are seen.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from windhover.errors import DataError
from windhover.types import ARMED, RELATION, BoxArray, Detections, Tracks
from windhover_ros.cdr import CdrReader, CdrWriter, detection_struct

# geometry_msgs/PoseWithCovariance as constructed: at the origin, no rotation,
# zero covariance. A 2D detection has no pose to give.
_NO_POSE = struct.pack("<43d", *([0.0] * 6 + [1.0] + [0.0] * 36))


@dataclass(frozen=True, slots=True)
class ResultArray:
    """A received Detection2DArray, as columns.

    Attributes:
        stamp_ns: of the image that it belongs to.
        frame_id: of that image.
        boxes: ``(N, 4)`` float32, ``x1, y1, x2, y2``, source pixels.
        scores: ``(N,)`` float32, of each object's best hypothesis.
        class_names: label of the best hypothesis; empty where there is none.
        ids: track id, or empty.
        carrier_ids: track id of the person that carries the object; 0 for none.
        carrier_scores: that relation's score over the object's own.
        armed: probability that a person carries a weapon; NaN where it is not reported.
    """

    stamp_ns: int
    frame_id: str
    boxes: BoxArray = field(default_factory=lambda: np.empty((0, 4), np.float32))
    scores: np.ndarray[Any, np.dtype[np.float32]] = field(
        default_factory=lambda: np.empty(0, np.float32)
    )
    class_names: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    carrier_ids: list[int] = field(default_factory=list)
    carrier_scores: list[float] = field(default_factory=list)
    armed: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.class_names)


def serialize_results(
    stamp_ns: int,
    frame_id: str,
    results: Detections | Tracks,
    labels: Sequence[str],
) -> bytes:
    """Build the bytes of a Detection2DArray; an empty one has no detections.

    Args:
        stamp_ns: of the source image, nanoseconds.
        frame_id: of the source image.
        results: boxes in source pixels.
        labels: names that ``class_ids`` index.

    Returns:
        CDR bytes, ready for ``publisher.publish``.
    """
    ids = [str(i) for i in results.track_ids.tolist()] if isinstance(results, Tracks) else None
    relations = _relations(results) if isinstance(results, Tracks) else {}
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    frame = frame_id.encode() + b"\0"
    names = [label.encode() + b"\0" for label in labels]
    head = CdrWriter()
    head.header(stamp_ns, frame_id)
    head.pack("I", len(results))
    parts = [head.getvalue()]
    at = len(parts[0]) - 4
    boxes = np.asarray(results.boxes, np.float64)
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()
    sizes = (boxes[:, 2:] - boxes[:, :2]).tolist()
    columns = zip(centres, sizes, results.scores.tolist(), results.class_ids.tolist(), strict=True)
    for row, ((x, y), (width, height), score, class_id) in enumerate(columns):
        if at % 4:
            parts.append(bytes(-at % 4))
            at += -at % 4
        name = names[class_id]
        text = (ids[row].encode() if ids else b"") + b"\0"
        hypotheses: list[object] = [len(name), name, score, _NO_POSE]
        relation = relations.get(row)
        if relation is not None:
            hypotheses += [len(relation[0]), relation[0], relation[1], _NO_POSE]
        layout = detection_struct(
            at % 8, len(frame), len(name), len(relation[0]) if relation is not None else 0
        )
        parts.append(
            layout.pack(
                seconds, nanoseconds, len(frame), frame, len(hypotheses) // 4, *hypotheses,
                x, y, 0.0, width, height, len(text),
            )
        )  # fmt: skip
        parts.append(text)
        at += layout.size + len(text)
    return b"".join(parts)


def _relations(tracks: Tracks) -> dict[int, tuple[bytes, float]]:
    """Class and score of each row's second result, where it has one."""
    names = dict.fromkeys(np.flatnonzero(~np.isnan(tracks.armed)).tolist(), ARMED)
    shares = tracks.armed.tolist()
    for row in np.flatnonzero(tracks.carrier_ids).tolist():
        names[row] = f"{RELATION}:{tracks.carrier_ids[row]}"
        shares[row] = float(tracks.carrier_scores[row])
    return {
        row: (name.encode() + b"\0", float(tracks.scores[row]) * shares[row])
        for row, name in names.items()
    }


def deserialize_results(data: bytes) -> ResultArray:
    """Read a Detection2DArray received as bytes (``raw=True``).

    Args:
        data: the serialised message.

    Returns:
        Its columns; a detection's best hypothesis counts.

    Raises:
        DataError: the bytes are not such a message.
    """
    reader = CdrReader(data)
    stamp_ns, frame_id = reader.header()
    count = reader.integer()
    boxes: list[tuple[float, float, float, float]] = []
    scores: list[float] = []
    names: list[str] = []
    ids: list[str] = []
    carriers: list[int] = []
    shares: list[float] = []
    armed: list[float] = []
    for _ in range(count):
        reader.header()
        name, score, carrier, share, probability = _hypotheses(reader)
        x, y, _, width, height = reader.numbers("d", 5)
        boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        ids.append(reader.string())
        names.append(name)
        scores.append(score)
        carriers.append(carrier)
        shares.append(share)
        armed.append(probability)
    return ResultArray(
        stamp_ns,
        frame_id,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        names,
        ids,
        carriers,
        shares,
        armed,
    )


def _hypotheses(reader: CdrReader) -> tuple[str, float, int, float, float]:
    """Best class and its score; carrier and that relation's share of the score; armed."""
    best: tuple[str, float] | None = None
    carrier: tuple[int, float] = (0, 0.0)
    armed = np.nan
    for _ in range(reader.integer()):
        name = reader.string()
        score = reader.numbers("d")[0]
        reader.skip("d", 43)
        kind, _, number = name.partition(":")
        if kind == RELATION and number.isdecimal():
            carrier = int(number), score
        elif name == ARMED and best is not None:
            armed = score
        elif best is None or score > best[1]:
            best = name, score
    name, score = best or ("", 0.0)
    if score <= 0.0:
        return name, score, carrier[0], 0.0, np.nan
    return name, score, carrier[0], carrier[1] / score, armed / score


class LabelTable:
    """Class ids of label names; a new name gets the next id.

    A node that receives results knows labels by name only; its tracker needs integers.
    """

    def __init__(self, labels: Sequence[str] = ()) -> None:
        self.labels: list[str] = list(labels)
        self._ids = {name: i for i, name in enumerate(self.labels)}

    def ids(self, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Class ids of names, ``(N,)`` int32."""
        for name in names:
            if name not in self._ids:
                self._ids[name] = len(self.labels)
                self.labels.append(name)
        return np.array([self._ids[name] for name in names], np.int32)


def to_detections(message: ResultArray, table: LabelTable) -> Detections:
    """The detections in a message, highest score first.

    Raises:
        DataError: a coordinate or score is not a finite number.
    """
    if not (np.isfinite(message.boxes).all() and np.isfinite(message.scores).all()):
        raise DataError("a detection holds a coordinate or score that is not a number")
    order = np.argsort(-message.scores, kind="stable")
    return Detections(
        message.boxes[order], message.scores[order], table.ids(message.class_names)[order]
    )


def to_tracks(message: ResultArray, table: LabelTable) -> Tracks:
    """The tracks in a message; ids that are not integers are left out."""
    rows = [i for i, text in enumerate(message.ids) if text.isdecimal()]
    picked = np.array(rows, np.intp)
    return Tracks(
        message.boxes[picked],
        message.scores[picked],
        table.ids(message.class_names)[picked],
        np.array([int(message.ids[i]) for i in rows], np.int64),
        np.array([message.carrier_ids[i] for i in rows], np.int64),
        np.array([message.carrier_scores[i] for i in rows], np.float32),
        armed=np.array([message.armed[i] for i in rows], np.float32),
    )


def label_info(labels: Sequence[str], threshold: float) -> Any:
    """A vision_msgs/LabelInfo that maps class numbers to names."""
    from vision_msgs.msg import LabelInfo, VisionClass

    return LabelInfo(
        class_map=[VisionClass(class_id=i, class_name=name) for i, name in enumerate(labels)],
        threshold=float(threshold),
    )

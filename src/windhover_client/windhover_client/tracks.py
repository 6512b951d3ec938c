"""Tracks as typed objects, read from vision_msgs/Detection2DArray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_CARRIED_BY = "carried_by:"
_ARMED = "armed"


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in pixels of the source image, measured from its outer corner.

    Attributes:
        x1: left edge.
        y1: top edge.
        x2: right edge.
        y2: bottom edge.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def center(self) -> tuple[float, float]:
        """``(x, y)`` of the centre, pixels."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.y2 - self.y1


@dataclass(frozen=True, slots=True)
class Track:
    """One tracked object in one image.

    Attributes:
        id: lasts as long as the track and is not used again in a run of the tracker.
        label: class name, such as ``person``.
        score: 0 to 1.
        box: in the source image.
        carried_by: id of the person's track that carries it; ``None`` where not known.
        carried_score: score of that relation, 0 to ``score``.
        armed: probability that this person carries a weapon, 0 to 1; ``None`` where the
            tracker does not report it.
    """

    id: int
    label: str
    score: float
    box: Box
    carried_by: int | None = None
    carried_score: float = 0.0
    armed: float | None = None


@dataclass(frozen=True, slots=True)
class TracksUpdate:
    """All tracks of one image.

    Attributes:
        stamp_ns: time at which the image was captured, nanoseconds of the ROS clock.
        frame_id: tf frame of the camera.
        tracks: empty where nothing is seen.
        session: counts starts of the tracker as seen by this client, from 1. Ids of
            different sessions are not related.
    """

    stamp_ns: int
    frame_id: str
    tracks: tuple[Track, ...]
    session: int = 1

    def by_label(self, *labels: str) -> tuple[Track, ...]:
        """The tracks whose label is one of ``labels``."""
        return tuple(track for track in self.tracks if track.label in labels)

    def by_id(self, track_id: int) -> Track | None:
        """The track of that id, ``None`` where it is not in this image."""
        return next((track for track in self.tracks if track.id == track_id), None)


def read_tracks(message: Any, session: int = 1) -> TracksUpdate:
    """Convert a vision_msgs/Detection2DArray of the topic ``tracks``.

    Args:
        message: as received.
        session: of the update.

    Raises:
        ValueError: a track has no result, or an id that is no number.
    """
    stamp = message.header.stamp
    return TracksUpdate(
        stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec,
        frame_id=message.header.frame_id,
        tracks=tuple(_read_track(detection) for detection in message.detections),
        session=session,
    )


def _read_track(detection: Any) -> Track:
    if not detection.results:
        raise ValueError(f"track {detection.id!r} has no result")
    best = detection.results[0].hypothesis
    center, width, height = detection.bbox.center.position, *_size(detection.bbox)
    carrier, score = _carrier(detection.results[1:])
    return Track(
        id=int(detection.id),
        label=best.class_id,
        score=best.score,
        box=Box(
            center.x - width / 2, center.y - height / 2,
            center.x + width / 2, center.y + height / 2,
        ),
        carried_by=carrier,
        carried_score=score,
        armed=_armed(detection.results[1:], best.score),
    )  # fmt: skip


def _size(box: Any) -> tuple[float, float]:
    return box.size_x, box.size_y


def _carrier(results: Any) -> tuple[int | None, float]:
    for result in results:
        name = result.hypothesis.class_id
        if name.startswith(_CARRIED_BY):
            return int(name.removeprefix(_CARRIED_BY)), result.hypothesis.score
    return None, 0.0


def _armed(results: Any, score: float) -> float | None:
    for result in results:
        if result.hypothesis.class_id == _ARMED and score > 0.0:
            return float(result.hypothesis.score / score)
    return None

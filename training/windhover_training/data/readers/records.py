"""What readers of data sets give and what the converted layout holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: Class id of a region that is neither taught nor scored.
IGNORE = -1

AltitudeSource = Literal["measured", "table", "estimate"]
MODALITIES = ("rgb", "thermal")


@dataclass(frozen=True, slots=True)
class RawBox:
    """One box as its publisher wrote it.

    Attributes:
        category: the publisher's name or number of the class.
        bbox: whatever stands for left, top, width, height in pixels; not checked yet.
        track: the publisher's track id, if there is one.
    """

    category: str | int
    bbox: object
    track: int | None = None


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One frame as published, before anything in it was checked.

    Attributes:
        name: unique in its set; the stem of what is written.
        flight: what must stay on one side of a split: a flight, a sequence or a place.
        rgb: visible image, if the set has one.
        thermal: thermal image, if the set has one.
        boxes: as published.
        size: ``(width, height)`` in pixels that the annotations are for, if they say.
        altitude: metres above ground.
        altitude_source: how it is known.
        time_of_day: ``day``, ``night`` or ``dusk``.
        split: the publisher's own split, only where it keeps sequences whole.
        extra: more facts for the image's record, such as the camera's angle.
    """

    name: str
    flight: str
    rgb: Path | None = None
    thermal: Path | None = None
    boxes: tuple[RawBox, ...] = ()
    size: tuple[int, int] | None = None
    altitude: float | None = None
    altitude_source: AltitudeSource | None = None
    time_of_day: str | None = None
    split: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """One frame whose images can be read and whose boxes lie in them.

    Attributes:
        name: unique in its set.
        flight: what must stay on one side of a split.
        source: the data set it comes from.
        images: modality (``rgb``, ``thermal``) -> file; at least one. Where there are two
            they are pixel-aligned.
        width: pixels, of every one of its images.
        height: pixels.
        boxes: ``(N, 4)`` float64, left, top, width, height in pixels.
        class_ids: ``(N,)`` int64, indices into the set's labels, or :data:`IGNORE`.
        tracks: ``(N,)`` int64, the publisher's track ids, -1 where there is none.
        altitude: metres above ground.
        altitude_source: how it is known.
        time_of_day: ``day``, ``night`` or ``dusk``.
        time_source: ``published``, or ``estimate`` where it was judged from brightness.
        extra: more facts for the image's record.
    """

    name: str
    flight: str
    source: str
    images: Mapping[str, Path]
    width: int
    height: int
    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    tracks: NDArray[np.int64]
    altitude: float | None = None
    altitude_source: AltitudeSource | None = None
    time_of_day: str | None = None
    time_source: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def objects(self) -> NDArray[np.bool_]:
        """``(N,)`` bool: which boxes are objects and not ignore regions."""
        return self.class_ids >= 0

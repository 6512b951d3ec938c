"""Drawing detections and tracks so that a person can read them.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with
any colour vision can tell apart; class names and ids are also written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.imaging.formats import to_bgr
from windhover.types import BoxArray, Image

Bgr = tuple[int, int, int]

_COLOURS: tuple[Bgr, ...] = (
    (0, 159, 230),  # orange
    (233, 180, 86),  # sky blue
    (66, 228, 240),  # yellow
    (167, 121, 204),  # reddish purple
    (115, 158, 0),  # bluish green
    (0, 94, 213),  # vermillion
    (178, 114, 0),  # blue
)
_DARK: Bgr = (16, 16, 16)
_LIGHT: Bgr = (245, 245, 245)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MAX_COVER = 0.1
"""Share of any object that a label may hide."""


@dataclass(frozen=True, slots=True)
class _Style:
    """Sizes that follow the picture's."""

    font: float
    weight: int
    line: int
    margin: int
    text_height: int

    @property
    def plate_height(self) -> int:
        """Rows of a label's plate."""
        return self.text_height + 2 * self.margin

    def plate_width(self, text: str) -> int:
        """Columns of the plate that holds ``text``."""
        return _text_width(text, self.font, self.weight) + 2 * self.margin


def class_colour(class_id: int) -> Bgr:
    """The colour of a class, for plots that go with an overlay.

    Args:
        class_id: index into the bundle's labels.

    Returns:
        Blue, green, red, each 0..255; repeats after seven classes.
    """
    return _COLOURS[class_id % len(_COLOURS)]


def draw_overlay(
    image: Image,
    encoding: str,
    boxes: BoxArray,
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int32],
    labels: Sequence[str],
    track_ids: NDArray[np.int64] | None = None,
    caption: str | None = None,
    *,
    zoom: int = 1,
) -> NDArray[np.uint8]:
    """Draw boxes, ids, labels and scores over a copy of a frame.

    A label goes where it hides neither another label nor an object; where there is
    no such place it is shortened, first to id and score and then left out: the box's
    colour and the legend still tell the class.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` as ``encoding`` says.
        encoding: one of :data:`windhover.imaging.formats.CANONICAL`; ``mono16`` is
            tone-mapped.
        boxes: ``(N, 4)`` float, ``x1, y1, x2, y2``, pixels of ``image``.
        scores: ``(N,)`` in 0..1.
        class_ids: ``(N,)`` indices into ``labels``.
        labels: the bundle's class names.
        track_ids: ``(N,)``, for tracks.
        caption: a line of text for the top of the picture.
        zoom: whole factor by which the picture is enlarged before it is drawn on,
            for small sensors shown on large screens.

    Returns:
        ``(H * zoom, W * zoom, 3)`` uint8 B, G, R; a new array.

    Raises:
        EncodingError: ``image`` is not what ``encoding`` says.
    """
    canvas = _enlarged(to_bgr(image, encoding), zoom, owned=encoding != "bgr8")
    style = _style_for(canvas)
    rects = _outer_pixels(boxes * zoom, style)
    top = _draw_bar(canvas, caption, class_ids, labels, style)
    _draw_boxes(canvas, rects, class_ids, style)
    order = np.argsort(-scores if track_ids is None else track_ids, kind="stable")
    placer = _Placer(rects, canvas.shape[0], canvas.shape[1], top)
    for row in order.tolist():
        class_id = int(class_ids[row])
        for text in _texts(class_id, float(scores[row]), labels, track_ids, row):
            spot = placer.place(row, style.plate_width(text), style.plate_height, style.line)
            if spot is not None:
                _draw_plate(canvas, spot, text, class_colour(class_id), style)
                break
    return canvas


class _Placer:
    """Finds room for labels among the boxes and the labels placed before."""

    def __init__(self, rects: NDArray[np.int32], height: int, width: int, top: int) -> None:
        self._rects = rects.astype(np.float32)
        sides = self._rects[:, 2:] - self._rects[:, :2]
        self._areas = np.maximum(sides[:, 0] * sides[:, 1], 1)
        self._plates = np.empty((len(rects), 4), np.float32)
        self._count = 0
        self._limits = (top, height, width)

    def place(self, row: int, width: int, height: int, gap: int) -> tuple[int, int] | None:
        """Take the first free spot at a box.

        Args:
            row: of the box.
            width: columns of the plate.
            height: rows of the plate.
            gap: pixels between box and plate.

        Returns:
            The plate's left column and top row; ``None`` where nothing is free.
        """
        x1, y1, x2, y2 = self._rects[row].tolist()
        above, below = y1 - gap - height, y2 + gap
        right, left = x2 + gap, x1 - gap - width
        lefts = [x1, x2 - width, x1, x2 - width, right, left, right, left, right, left]
        tops = [above, above, below, below, y1, y1, y2 - height, y2 - height, above, above]
        if x2 - x1 > 1.5 * width and y2 - y1 > 3 * height:
            lefts.append(x1 + gap)  # large objects can carry their own label
            tops.append(y1 + gap)
        spots = np.array([lefts, tops], np.float32).T
        candidates = np.hstack([spots, spots + np.array([width, height], np.float32)])
        chosen = self._first_free(candidates, row)
        if chosen is None:
            return None
        self._plates[self._count] = candidates[chosen]
        self._count += 1
        return int(spots[chosen, 0]), int(spots[chosen, 1])

    def _first_free(self, candidates: NDArray[np.float32], row: int) -> int | None:
        top, height, width = self._limits
        inside = (
            (candidates[:, 0] >= 0)
            & (candidates[:, 1] >= top)
            & (candidates[:, 2] <= width)
            & (candidates[:, 3] <= height)
        )
        hidden = _overlaps(candidates, self._rects) / self._areas
        hidden[:, row] = 0
        free = inside & (hidden <= _MAX_COVER).all(1)
        # One pixel more on each side keeps neighbouring plates apart.
        grown = candidates + np.array([-1, -1, 1, 1], np.float32)
        free &= (_overlaps(grown, self._plates[: self._count]) <= 0).all(1)
        found = np.flatnonzero(free)
        return int(found[0]) if len(found) else None


def _overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Areas in common, ``(len(first), len(second))`` pixels."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    areas: NDArray[np.float32] = sides[..., 0] * sides[..., 1]
    return areas


def _texts(
    class_id: int,
    score: float,
    labels: Sequence[str],
    track_ids: NDArray[np.int64] | None,
    row: int,
) -> list[str]:
    """What a label may say, longest first."""
    name = _class_name(class_id, labels)
    if track_ids is None:
        return [f"{name} {score:.2f}", f"{score:.2f}"]
    track_id = int(track_ids[row])
    return [f"{track_id} {name} {score:.2f}", f"{track_id} {score:.2f}", f"{track_id}"]


def _class_name(class_id: int, labels: Sequence[str]) -> str:
    return labels[class_id] if 0 <= class_id < len(labels) else f"class {class_id}"


def _enlarged(bgr: NDArray[np.uint8], zoom: int, *, owned: bool) -> NDArray[np.uint8]:
    if zoom > 1:
        size = (bgr.shape[1] * zoom, bgr.shape[0] * zoom)
        return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return np.ascontiguousarray(bgr) if owned else bgr.copy()


def _style_for(canvas: NDArray[np.uint8]) -> _Style:
    # Video walls and phones alike show the whole picture, so text takes a share of
    # it, but never less than the 8 rows that its letters need.
    size = min(canvas.shape[0], canvas.shape[1] * 3 / 4)
    font = max(0.4, 0.4 + (size - 480) * 0.0006)
    weight = 1 if font < 0.75 else 2
    (_, height), _ = cv2.getTextSize("0", _FONT, font, weight)
    line = max(1, round(size / 600))
    return _Style(font, weight, line, max(2, round(height * 0.3)), height)


@lru_cache(maxsize=4096)
def _text_width(text: str, font: float, weight: int) -> int:
    (width, _), _ = cv2.getTextSize(text, _FONT, font, weight)
    return int(width)


def _outer_pixels(boxes: NDArray[np.float32], style: _Style) -> NDArray[np.int32]:
    """Rectangles whose lines lie around the objects, not on them."""
    grown = np.empty(boxes.shape, np.float32)
    grown[:, :2] = np.floor(boxes[:, :2]) - style.line
    grown[:, 2:] = np.ceil(boxes[:, 2:]) + style.line - 1
    # OpenCV's drawing counts in 16 bits and wraps beyond.
    return np.clip(np.nan_to_num(grown), -30_000, 30_000).astype(np.int32)


def _draw_boxes(
    canvas: NDArray[np.uint8],
    rects: NDArray[np.int32],
    class_ids: NDArray[np.int32],
    style: _Style,
) -> None:
    # A dark rim outside keeps the line visible on white-hot ground; all rims come
    # first, as one would hide the line of a neighbour.
    rim = style.line
    for x1, y1, x2, y2 in rects.tolist():
        cv2.rectangle(canvas, (x1 - rim, y1 - rim), (x2 + rim, y2 + rim), _DARK, rim)
    for (x1, y1, x2, y2), class_id in zip(rects.tolist(), class_ids.tolist(), strict=True):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), class_colour(class_id), style.line)


def _draw_plate(
    canvas: NDArray[np.uint8], spot: tuple[int, int], text: str, colour: Bgr, style: _Style
) -> None:
    x, y = spot
    corner = (x + style.plate_width(text) - 1, y + style.plate_height - 1)
    cv2.rectangle(canvas, spot, corner, colour, cv2.FILLED)
    _write(canvas, text, x + style.margin, y, _ink_on(colour), style)


def _write(canvas: NDArray[np.uint8], text: str, x: int, top: int, ink: Bgr, style: _Style) -> None:
    baseline = (x, top + style.margin + style.text_height)
    cv2.putText(canvas, text, baseline, _FONT, style.font, ink, style.weight, cv2.LINE_AA)


def _ink_on(colour: Bgr) -> Bgr:
    blue, green, red = colour
    return _DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else _LIGHT


def _draw_bar(
    canvas: NDArray[np.uint8],
    caption: str | None,
    class_ids: NDArray[np.int32],
    labels: Sequence[str],
    style: _Style,
) -> int:
    """Draw the caption and the legend of what is in sight; gives the rows it takes."""
    counts = sorted(
        zip(*(a.tolist() for a in np.unique(class_ids, return_counts=True)), strict=True)
    )
    if not caption and not counts:
        return 0
    height = style.plate_height + 2 * style.margin
    bar = canvas[:height]
    np.copyto(bar, (bar * 0.35).astype(np.uint8))
    right = canvas.shape[1] - 2 * style.margin
    for class_id, count in reversed(counts):
        text = f"{_class_name(class_id, labels)} {count}"
        right -= _text_width(text, style.font, style.weight)
        _write(canvas, text, right, style.margin, _LIGHT, style)
        side = style.text_height
        right -= side + 2 * style.margin
        top = 2 * style.margin
        corner = (right + side, top + side)
        cv2.rectangle(canvas, (right, top), corner, class_colour(class_id), cv2.FILLED)
        right -= 4 * style.margin
    if caption:
        while caption and _text_width(caption, style.font, style.weight) > right:
            caption = caption[:-1]
        _write(canvas, caption, 2 * style.margin, style.margin, _LIGHT, style)
    return height

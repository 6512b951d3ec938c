"""Drawing detections and tracks so that a person can read them.

The picture keeps its place and size; caption and legend are in a footer below it. Colours
are by class (:mod:`.class_colours`); class names and ids are also written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.imaging.class_colours import UNKNOWN, Bgr, class_colours
from windhover.imaging.formats import to_bgr
from windhover.types import BoxArray, Image, class_name

_Rect = tuple[int, int, int, int]

_DARK: Bgr = (16, 16, 16)
_LIGHT: Bgr = (245, 245, 245)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FOOTER: Bgr = (28, 24, 20)
_MAX_COVER = 0.02
"""Share of another object that a label may hide: none of a person, a corner of a lorry."""
_MAX_LABELS = 0.08
"""Share of the picture that all labels may take: with more objects they get shorter."""


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
    carrier_ids: NDArray[np.int64] | None = None,
) -> NDArray[np.uint8]:
    """Draw boxes, ids, labels and scores over a copy of a frame.

    A label goes where it hides neither another label nor an object; where there is
    no such place it is shortened, first to id and score and then left out: the box's
    colour and the legend below the picture still show the class.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` as ``encoding`` has it.
        encoding: one of :data:`windhover.imaging.formats.CANONICAL`; ``mono16`` is
            tone-mapped.
        boxes: ``(N, 4)`` float, ``x1, y1, x2, y2``, pixels of ``image``.
        scores: ``(N,)`` in 0..1.
        class_ids: ``(N,)`` indices into ``labels``.
        labels: the bundle's class names.
        track_ids: ``(N,)``, for tracks.
        caption: a line of text for the footer.
        zoom: integer factor by which the picture is enlarged before it is drawn on,
            for small sensors shown on large screens.
        carrier_ids: ``(N,)`` track id of the person that carries each object, 0 for none;
            labels end in ``by`` and that id.

    Returns:
        ``(H * zoom + footer, W * zoom, 3)`` uint8 B, G, R; a new array, whose first
        ``H * zoom`` rows are the picture. The footer's height depends on the picture's size
        alone, so that the frames of a video have one size.

    Raises:
        EncodingError: ``image`` does not match ``encoding``.
    """
    canvas = _enlarge(to_bgr(image, encoding), zoom, owned=encoding != "bgr8")
    style = _style_for(canvas)
    colours = _Palette(labels)
    rects = _outer_pixels(boxes * zoom, style)
    _draw_boxes(canvas, rects, class_ids, colours, style)
    order = np.argsort(-scores if track_ids is None else track_ids, kind="stable")
    placer = _Placer(rects, canvas.shape[0], canvas.shape[1])
    texts = [
        _texts(class_id, score, labels, track_ids, carrier_ids, row)
        for row, (class_id, score) in enumerate(
            zip(class_ids.tolist(), scores.tolist(), strict=True)
        )
    ]
    first = _first_length(texts, canvas.shape[0] * canvas.shape[1], style)
    for row in order.tolist():
        class_id = int(class_ids[row])
        for text in texts[row][first:]:
            spot = placer.place(row, style.plate_width(text), style.plate_height, style.line)
            if spot is not None:
                _draw_plate(canvas, spot, text, colours[class_id], style)
                break
    footer = _footer(canvas.shape[1], caption, class_ids, labels, colours, style)
    return np.concatenate((canvas, footer))


class _Palette:
    """Colour by class id, also of ids that the labels do not have."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._colours = class_colours(labels)

    def __getitem__(self, class_id: int) -> Bgr:
        return self._colours[class_id] if 0 <= class_id < len(self._colours) else UNKNOWN


class _Placer:
    """Finds room for labels among the boxes and the labels placed before.

    Plain numbers in lists: each question concerns a few rectangles, for which
    arrays cost more than they save.
    """

    def __init__(self, rects: NDArray[np.int32], height: int, width: int) -> None:
        self._rects: list[_Rect] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in rects.tolist()]
        self._plates: list[_Rect] = []
        self._limits = (height, width)

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
        own = x1, y1, x2, y2 = self._rects[row]
        bottom, end = self._limits
        # As far as any spot goes, and the pixel that plates keep between them.
        reach_x, reach_y = gap + width + 1, gap + height + 1
        reach = (x1 - reach_x, y1 - reach_y, x2 + reach_x, y2 + reach_y)
        near = [rect for rect in _overlapping(self._rects, reach) if rect is not own]
        plates = _overlapping(self._plates, reach)
        for x, y in _spots(x1, y1, x2, y2, width, height, gap):
            if x < 0 or y < 0 or x + width > end or y + height > bottom:
                continue
            plate = (x, y, x + width, y + height)
            # One pixel more on each side keeps neighbouring plates apart.
            grown = (x - 1, y - 1, x + width + 1, y + height + 1)
            if _overlapping(plates, grown):
                continue
            if all(_overlap(rect, plate) <= _MAX_COVER * _area(rect) for rect in near):
                self._plates.append(plate)
                return x, y
        return None


def _spots(
    x1: int, y1: int, x2: int, y2: int, width: int, height: int, gap: int
) -> list[tuple[int, int]]:
    """Where a label may stand at a box, the best first."""
    above, below = y1 - gap - height, y2 + gap
    right, left = x2 + gap, x1 - gap - width
    spots = [(x1, above), (x2 - width, above), (x1, below), (x2 - width, below)]
    spots += [(right, y1), (left, y1), (right, y2 - height), (left, y2 - height)]
    spots += [(right, above), (left, above)]
    if x2 - x1 > 1.5 * width and y2 - y1 > 3 * height:
        spots.append((x1 + gap, y1 + gap))  # large objects can carry their own label
    return spots


def _overlapping(rects: Sequence[_Rect], area: _Rect) -> list[_Rect]:
    """Those that have pixels in common with an area."""
    x1, y1, x2, y2 = area
    return [
        rect for rect in rects if rect[0] < x2 and x1 < rect[2] and rect[1] < y2 and y1 < rect[3]
    ]


def _overlap(first: _Rect, second: _Rect) -> int:
    """Pixels in common."""
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    return across * down if across > 0 and down > 0 else 0


def _area(rect: _Rect) -> int:
    return max(1, (rect[2] - rect[0]) * (rect[3] - rect[1]))


def _first_length(texts: Sequence[Sequence[str]], pixels: int, style: _Style) -> int:
    """Index of the longest texts that together leave enough of the picture to be seen."""
    lengths = len(texts[0]) if texts else 1
    for length in range(lengths - 1):
        width = sum(style.plate_width(each[length]) for each in texts)
        if width * style.plate_height <= _MAX_LABELS * pixels:
            return length
    return lengths - 1


def _texts(
    class_id: int,
    score: float,
    labels: Sequence[str],
    track_ids: NDArray[np.int64] | None,
    carrier_ids: NDArray[np.int64] | None,
    row: int,
) -> list[str]:
    """What a label may say, longest first."""
    name = class_name(class_id, labels)
    if track_ids is None:
        return [f"{name} {score:.2f}", f"{score:.2f}"]
    track_id = int(track_ids[row])
    carrier = 0 if carrier_ids is None else int(carrier_ids[row])
    by = f" by {carrier}" if carrier else ""
    return [f"{track_id} {name} {score:.2f}{by}", f"{track_id} {score:.2f}{by}", f"{track_id}{by}"]


def _enlarge(bgr: NDArray[np.uint8], zoom: int, *, owned: bool) -> NDArray[np.uint8]:
    if zoom > 1:
        size = (bgr.shape[1] * zoom, bgr.shape[0] * zoom)
        return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return np.ascontiguousarray(bgr) if owned else bgr.copy()


def _style_for(canvas: NDArray[np.uint8]) -> _Style:
    # Video walls and phones both show the full picture, so text takes a share of
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
    """Rectangles with their lines around the objects, not on them."""
    grown = np.empty(boxes.shape, np.float32)
    grown[:, :2] = np.floor(boxes[:, :2]) - style.line
    grown[:, 2:] = np.ceil(boxes[:, 2:]) + style.line - 1
    # OpenCV's drawing counts in 16 bits and wraps beyond.
    return np.clip(np.nan_to_num(grown), -30_000, 30_000).astype(np.int32)


def _draw_boxes(
    canvas: NDArray[np.uint8],
    rects: NDArray[np.int32],
    class_ids: NDArray[np.int32],
    colours: _Palette,
    style: _Style,
) -> None:
    # A dark rim outside keeps the line visible on white-hot ground; all rims come
    # first, as one would hide the line of a neighbour.
    rim = style.line
    # The small come last: what a person carries lies in the person's box.
    areas = (rects[:, 2:] - rects[:, :2]).astype(np.float64).prod(axis=1)
    order = np.argsort(-areas, kind="stable")
    rects, class_ids = rects[order], class_ids[order]
    for x1, y1, x2, y2 in rects.tolist():
        cv2.rectangle(canvas, (x1 - rim, y1 - rim), (x2 + rim, y2 + rim), _DARK, rim)
    for (x1, y1, x2, y2), class_id in zip(rects.tolist(), class_ids.tolist(), strict=True):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colours[class_id], style.line)


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


def _footer(
    width: int,
    caption: str | None,
    class_ids: NDArray[np.int32],
    labels: Sequence[str],
    colours: _Palette,
    style: _Style,
) -> NDArray[np.uint8]:
    """Caption to the left, legend of the classes in the picture to the right."""
    height = style.plate_height + 2 * style.margin
    footer = np.full((height + height % 2, width, 3), _FOOTER, np.uint8)
    counts = sorted(
        zip(*(a.tolist() for a in np.unique(class_ids, return_counts=True)), strict=True)
    )
    right = width - 2 * style.margin
    for class_id, count in reversed(counts):
        text = f"{class_name(class_id, labels)} {count}"
        right -= _text_width(text, style.font, style.weight)
        _write(footer, text, right, style.margin, _LIGHT, style)
        side = style.text_height
        right -= side + 2 * style.margin
        top = 2 * style.margin
        corner = (right + side, top + side)
        cv2.rectangle(footer, (right, top), corner, colours[class_id], cv2.FILLED)
        right -= 4 * style.margin
    if caption:
        while caption and _text_width(caption, style.font, style.weight) > right:
            caption = caption[:-1]
        _write(footer, caption, 2 * style.margin, style.margin, _LIGHT, style)
    return footer

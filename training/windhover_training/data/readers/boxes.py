"""Published boxes -> boxes that lie in their image."""

from __future__ import annotations

import math

MIN_SIDE = 2.0  # px; less is a slip of the annotator's hand, or the sliver of a clipped box

Xywh = tuple[float, float, float, float]


def clean_box(bbox: object, width: int, height: int) -> tuple[Xywh | None, str]:
    """Clip one box to its image, or say why it is none.

    Args:
        bbox: left, top, width, height in pixels, measured from the outer corner of the
            first pixel; anything at all.
        width: of the image, pixels.
        height: of the image, pixels.

    Returns:
        The box and ``""``; or the box and what was changed; or ``None`` and why not.
    """
    numbers = _numbers(bbox)
    if numbers is None:
        return None, "not four numbers"
    x, y, w, h = numbers
    finite = all(map(math.isfinite, numbers))
    if not finite or w <= 0 or h <= 0:
        return None, "no area" if finite else "not finite"
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    if x2 <= x1 or y2 <= y1:
        return None, "outside its image"
    inside = x >= 0 and y >= 0 and x + w <= width and y + h <= height
    # A box that is inside keeps its own numbers: sums and differences would round them.
    clipped = numbers if inside else (x1, y1, x2 - x1, y2 - y1)
    if min(clipped[2:]) < MIN_SIDE:
        return None, f"under {MIN_SIDE:g} px in its image"
    return clipped, "" if inside else "clipped to its image"


def _numbers(bbox: object) -> Xywh | None:
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4:
        return None
    try:
        x, y, w, h = (float(v) for v in bbox)
    except (TypeError, ValueError):
        return None
    return x, y, w, h

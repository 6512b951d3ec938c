"""One colour a class, by its name, for overlays and plots of every model.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with
any colour vision can distinguish. Those with the most contrast to both black and white come
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

Bgr = tuple[int, int, int]

ORANGE: Bgr = (0, 159, 230)
SKY_BLUE: Bgr = (233, 180, 86)
GREEN: Bgr = (115, 158, 0)
PURPLE: Bgr = (167, 121, 204)
VERMILLION: Bgr = (0, 94, 213)
BLUE: Bgr = (178, 114, 0)
YELLOW: Bgr = (66, 228, 240)

#: Of a class that a model's labels do not name.
UNKNOWN: Bgr = (160, 160, 160)

_BY_NAME: dict[str, Bgr] = {
    "person": ORANGE,
    "pedestrian": ORANGE,
    "vehicle": SKY_BLUE,
    "car": SKY_BLUE,
    "two-wheeler": GREEN,
    "motorcycle": GREEN,
    "weapon": PURPLE,
}
_OTHERS = (VERMILLION, BLUE, YELLOW, ORANGE, SKY_BLUE, GREEN, PURPLE)


def class_colours(labels: Sequence[str]) -> tuple[Bgr, ...]:
    """The colour of each class.

    Args:
        labels: all class names of a model, in its order. Names in this module's table have
            their own colour; others get those that are left, in order, and repeat after that.

    Returns:
        Blue, green, red of each label, each 0..255.
    """
    return _class_colours(tuple(labels))


def hex_colours(labels: Sequence[str]) -> dict[str, str]:
    """The same by label, as ``#rrggbb``."""
    colours = zip(labels, class_colours(labels), strict=True)
    return {label: f"#{r:02x}{g:02x}{b:02x}" for label, (b, g, r) in colours}


@lru_cache(maxsize=64)
def _class_colours(labels: tuple[str, ...]) -> tuple[Bgr, ...]:
    own: dict[str, Bgr] = {}
    for label in labels:
        colour = _BY_NAME.get(label)
        # Two names of one thing (person, pedestrian) in one model are two classes.
        if colour is not None and colour not in own.values():
            own[label] = colour
    free = [colour for colour in _OTHERS if colour not in own.values()] or list(_OTHERS)
    others = [label for label in labels if label not in own]
    given = {label: free[number % len(free)] for number, label in enumerate(others)}
    return tuple(own.get(label) or given[label] for label in labels)

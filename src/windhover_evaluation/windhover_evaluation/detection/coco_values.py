"""Values of COCO JSON as annotation tools write them, read as they are meant.

Ids come as numbers, as text (``"7"``) or as floats (``7.0``), flags as ``0`` or ``"0"``, sizes
as text, and files begin with a byte order mark. Shared by evaluation and training.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from windhover.errors import DataError

Identifier = int | str
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})(\.0+)?")
_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises:
        DataError: the file can't be read, is not JSON or holds something else.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path}: can't be read ({error.strerror}); give the path of a COCO JSON file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: is not JSON ({error}); give a complete, uncompressed COCO JSON file"
        ) from error
    if not isinstance(data, dict):
        raise DataError(
            f"{path}: holds a {type(data).__name__}, not a COCO object with images, categories "
            "and annotations; a results file can't serve as truth"
        )
    return data


def identifier(value: Any) -> Identifier | None:
    """An id in the one form in which ids are compared; ``None`` for what is none.

    ``7``, ``7.0``, ``"7"`` and ``"7.0"`` are one id; ``"007"`` is a name.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        return int(float(text)) if _WHOLE.fullmatch(text) and "." in text else _of_text(text)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def _of_text(text: str) -> Identifier | None:
    return int(text) if _WHOLE.fullmatch(text) else (text or None)


def flag(value: Any) -> bool:
    """A flag such as ``iscrowd``; one that is not given is false.

    Raises:
        ValueError: it is neither true nor false.
    """
    if value is None:
        return False
    if isinstance(value, str):
        known = _FLAGS.get(value.strip().casefold())
        if known is None:
            raise ValueError(f"{value[:40]!r} is neither 0 nor 1")
        return known
    if isinstance(value, (bool, int, float)) and not math.isnan(value):
        return bool(value)
    raise ValueError(f"{str(value)[:40]} is neither 0 nor 1")


def number(value: Any) -> float | None:
    """A finite number, given as one or as text; ``None`` for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def pixels(value: Any) -> int:
    """A width or height; 0 where it is not given.

    Raises:
        ValueError: it is not an integer number of pixels.
    """
    if value is None:
        return 0
    size = number(value)
    if size is None or size < 0 or not size.is_integer():
        raise ValueError(f"{str(value)[:40]!r} is no number of pixels")
    return int(size)


def corners(annotation: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """``x1, y1, x2, y2`` of an annotation's ``bbox``, else of its polygons, pixels.

    ``None`` where neither gives four finite numbers. A box without area is returned as it is.
    """
    bbox = annotation.get("bbox")
    if bbox in (None, []):
        return _around(annotation.get("segmentation"))
    values = _numbers(bbox)
    if values is None or len(values) != 4:
        return None
    x, y, width, height = values
    return x, y, x + width, y + height


def _around(polygons: Any) -> tuple[float, float, float, float] | None:
    """The box around polygons ``[[x, y, x, y, ...], ...]``."""
    if not isinstance(polygons, list) or not polygons:
        return None
    parts = [_numbers(polygon) for polygon in polygons]
    values: list[float] = []
    for part in parts:
        if part is None or len(part) < 6 or len(part) % 2:
            return None
        values += part
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])


def _numbers(values: Any) -> list[float] | None:
    if not isinstance(values, list):
        return None
    found = [number(value) for value in values]
    return None if None in found else [value for value in found if value is not None]

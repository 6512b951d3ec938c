"""How large objects are where a network sees them, and what that asks of the network.

A size is that of a box after the letterbox, in pixels of the network input; "side" is the
square root of its area, as COCO has it. Nothing here is trained or scored: the advice
follows from sizes alone, and the rule it uses is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.imaging.letterbox import Letterbox
from windhover_evaluation.detection.groups import altitude_band
from windhover_training.data.readers.dataset import ConvertedSet

LIMITS = (8, 16, 32)  # px
#: Classes whose recall decides the input, where a set has them.
PRIORITY = ("person", "weapon")
#: An object counts as resolved by a head whose cells it spans twice in both directions.
CELLS = 2
#: Share of the priority classes' objects that must be resolved.
WANTED = 0.9
STRIDES = {"P3": 8, "P2": 4}
#: Floating-point operations with a P2 head over those without, by Ultralytics' get_flops at
#: 640: YOLOv8n 12.4 / 8.2 G = 1.51, YOLO26n 7.6 / 5.9 G = 1.29. The dearer one is taken.
P2_COST = 1.5
_SIDES = (640, 768, 960, 1280)


@dataclass(frozen=True, slots=True)
class Sizes:
    """All objects of a set, ``N`` rows, and all its frames, ``F`` rows.

    Attributes:
        labels: names of the class ids.
        size: ``(N, 2)`` float64, width and height in source pixels.
        class_ids: ``(N,)`` int64.
        frame: ``(N,)`` int64, row of the object's frame.
        image: ``(F, 2)`` int64, width and height of each frame in pixels.
        light: ``(F,)`` time of day, ``unknown`` where none is.
        altitude: ``(F,)`` float64, metres, NaN where unknown.
        split: ``(F,)`` names of splits.
    """

    labels: tuple[str, ...]
    size: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    frame: NDArray[np.int64]
    image: NDArray[np.int64]
    light: NDArray[np.str_]
    altitude: NDArray[np.float64]
    split: NDArray[np.str_]

    def at_input(self, input_wh: tuple[int, int]) -> NDArray[np.float64]:
        """``(N, 2)`` widths and heights in pixels of a network input, after the letterbox."""
        sizes, rows = np.unique(self.image, axis=0, return_inverse=True)
        boxes = [Letterbox((int(h), int(w)), input_wh[::-1]) for w, h in sizes]
        scales = np.array([box.scale for box in boxes])
        return self.size * scales[rows.reshape(-1)][self.frame][:, None]

    @property
    def bands(self) -> NDArray[np.str_]:
        """``(F,)`` altitude band of each frame, such as ``30-50 m``."""
        names = ["unknown" if np.isnan(a) else altitude_band(float(a)) for a in self.altitude]
        return np.array(names, dtype=np.str_)


def measure(sets: Sequence[ConvertedSet]) -> Sizes:
    """Collect the objects of one set or of several with the same labels.

    Raises:
        DataError: labels differ, or there is no object at all.
    """
    labels = sets[0].labels
    if any(each.labels != labels for each in sets):
        raise DataError("the sets' labels differ; convert them with one list of labels")
    frames = [(split, f) for each in sets for split, fs in each.splits.items() for f in fs]
    counts = [int(frame.objects.sum()) for _, frame in frames]
    if not sum(counts):
        raise DataError(f"{sets[0].root}: has no object in it; convert or filter it again")
    return Sizes(
        labels=labels,
        size=np.concatenate([frame.boxes[frame.objects, 2:] for _, frame in frames]),
        class_ids=np.concatenate([frame.class_ids[frame.objects] for _, frame in frames]),
        frame=np.repeat(np.arange(len(frames)), counts),
        image=np.array([(frame.width, frame.height) for _, frame in frames]),
        light=np.array([frame.time_of_day or "unknown" for _, frame in frames]),
        altitude=np.array(
            [np.nan if f.altitude is None else f.altitude for _, f in frames], np.float64
        ),
        split=np.array([split for split, _ in frames]),
    )


def describe(sizes: Sizes, input_wh: tuple[int, int]) -> dict[str, Any]:
    """Everything that ``data stats`` says, as plain values for JSON."""
    at_input = sizes.at_input(input_wh)
    classes = {
        label: _class(at_input[sizes.class_ids == number], sizes, number)
        for number, label in enumerate(sizes.labels)
        if (sizes.class_ids == number).any()
    }
    return {
        "input": list(input_wh),
        "frames": len(sizes.image),
        "frames_without_object": int(len(sizes.image) - len(np.unique(sizes.frame))),
        "objects": len(sizes.class_ids),
        "altitude_m": _range(sizes.altitude),
        "classes": classes,
        "splits": _groups(sizes, sizes.split),
        "light": _groups(sizes, sizes.light),
        "altitude": _groups(sizes, sizes.bands),
        "advice": advise(sizes),
    }


def _class(at_input: NDArray[np.float64], sizes: Sizes, number: int) -> dict[str, Any]:
    side = np.sqrt(at_input.prod(axis=1))
    frames = np.unique(sizes.frame[sizes.class_ids == number])
    return {
        "objects": len(side),
        "frames": len(frames),
        "width_px": _percentiles(at_input[:, 0]),
        "height_px": _percentiles(at_input[:, 1]),
        "side_px": _percentiles(side),
        "share_below_px": {str(limit): float((side < limit).mean()) for limit in LIMITS},
    }


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    found = np.percentile(values, (5, 50, 95))
    return {name: float(v) for name, v in zip(("p5", "p50", "p95"), found, strict=True)}


def _range(values: NDArray[np.float64]) -> list[float] | None:
    known = values[~np.isnan(values)]
    return [float(known.min()), float(known.max())] if len(known) else None


def _groups(sizes: Sizes, groups: NDArray[np.str_]) -> dict[str, Any]:
    found = {}
    for name in sorted(set(groups.tolist()), key=_band_key):
        own = sizes.class_ids[groups[sizes.frame] == name]
        counts = Counter(sizes.labels[i] for i in own.tolist())
        found[name] = {
            "frames": int((groups == name).sum()),
            "objects": {label: counts[label] for label in sizes.labels if counts[label]},
        }
    return found


def _band_key(name: str) -> tuple[float, str]:
    digits = "".join(c if c.isdigit() else " " for c in name).split()
    return (float(digits[0]) if digits else np.inf, name)


def advise(sizes: Sizes) -> dict[str, Any]:
    """The cheapest input and head that resolve enough of the priority classes.

    Returns:
        The rule in words, all choices with the share that each resolves, the ``choice``
        (``None`` where none is enough) and the ``best`` whatever it costs.
    """
    wanted = [i for i, label in enumerate(sizes.labels) if label in PRIORITY]
    present = set(np.unique(sizes.class_ids).tolist())
    wanted = [i for i in wanted if i in present] or sorted(present)
    rows: list[dict[str, Any]] = []
    tiled = [0] if (sizes.image > 640).any() else []
    for side, head in ((side, head) for side in (*_SIDES, *tiled) for head in STRIDES):
        at_input = sizes.at_input((side, side)) if side else sizes.size
        resolved = np.sqrt(at_input.prod(axis=1)) >= CELLS * STRIDES[head]
        cost = (side / 640) ** 2 if side else _tiles(sizes)
        rows.append(
            {
                "input": f"{side}x{side}" if side else "tiles of 640x640, not scaled",
                "head": head,
                "cost": round(cost * (P2_COST if head == "P2" else 1), 2),
                "resolved": {
                    sizes.labels[i]: float(resolved[sizes.class_ids == i].mean()) for i in wanted
                },
            }
        )
    rows.sort(key=lambda row: row["cost"])
    enough = [row for row in rows if min(row["resolved"].values()) >= WANTED]
    return {
        "rule": (
            f"an object is resolved if its side is {CELLS} cells of the finest head or more; "
            f"at least {WANTED:.0%} of {', '.join(sizes.labels[i] for i in wanted)} is wanted; "
            "cost is relative to 640x640 with P3, by operations and not measured in time"
        ),
        "choices": rows,
        "choice": enough[0] if enough else None,
        "best": max(rows, key=lambda row: (min(row["resolved"].values()), -row["cost"])),
    }


def _tiles(sizes: Sizes) -> float:
    return float(np.mean([ceil(w / 640) * ceil(h / 640) for w, h in sizes.image.tolist()]))

"""Clusters of box sizes by IoU, for choosing input size and strides.

YOLO11 and YOLO26 are anchor-free: nothing here is passed to them. k-means with the
distance 1 - IoU is that of Redmon & Farhadi, "YOLO9000: Better, Faster, Stronger" (2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover_training.data.describe.stats import Sizes, advise

#: A box is within reach of an anchor whose sides differ from its own by less than this
#: factor: YOLOv5's criterion for the best possible recall.
REACH = 4.0
STRIDES = (4, 8, 16, 32)
_ROUNDS = 200
_MOST = 200_000  # boxes; a random sample of so many says the same as millions


@dataclass(frozen=True, slots=True)
class Anchors:
    """Clusters of box sizes.

    Attributes:
        sizes: ``(K, 2)`` float64, width and height in pixels, by area.
        members: ``(K,)`` int64, how many boxes are nearest to each.
        mean_iou: mean over boxes of the IoU with the nearest.
        recall: best possible recall, the share of boxes that one of them has in reach.
    """

    sizes: NDArray[np.float64]
    members: NDArray[np.int64]
    mean_iou: float
    recall: float


def iou_of_sizes(sizes: NDArray[np.float64], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of boxes that share a corner.

    Args:
        sizes: ``(N, 2)`` widths and heights.
        anchors: ``(K, 2)`` widths and heights.

    Returns:
        ``(N, K)`` in 0..1.
    """
    smaller = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    return smaller / (sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - smaller)


def best_possible_recall(sizes: NDArray[np.float64], anchors: NDArray[np.float64]) -> float:
    """Share of boxes that have an anchor within :data:`REACH`, in 0..1."""
    ratio = sizes[:, None] / anchors[None]
    worst = np.maximum(ratio, 1 / ratio).max(axis=2)
    return float((worst.min(axis=1) < REACH).mean())


def cluster(sizes: NDArray[np.float64], count: int = 9, seed: int = 0, starts: int = 5) -> Anchors:
    """Cluster box sizes so that each is as like its centre as can be.

    Args:
        sizes: ``(N, 2)`` float64, widths and heights above 0, at least one row.
        count: clusters wanted; there are fewer if there are fewer different sizes.
        seed: of the starting centres.
        starts: the best of so many runs is taken.

    Returns:
        Deterministic for one seed.
    """
    rng = np.random.default_rng(seed)
    if len(sizes) > _MOST:
        sizes = sizes[rng.choice(len(sizes), _MOST, replace=False)]
    count = min(count, len(np.unique(sizes, axis=0)))
    runs = [_run(sizes, _start(sizes, count, rng)) for _ in range(starts)]
    centres = max(runs, key=lambda found: iou_of_sizes(sizes, found).max(axis=1).mean())
    centres = centres[np.argsort(centres.prod(axis=1), kind="stable")]
    overlap = iou_of_sizes(sizes, centres)
    return Anchors(
        sizes=centres,
        members=np.bincount(overlap.argmax(axis=1), minlength=len(centres)),
        mean_iou=float(overlap.max(axis=1).mean()),
        recall=best_possible_recall(sizes, centres),
    )


def _start(sizes: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """k-means++: each next centre is likely to be far from those there are."""
    centres = sizes[rng.integers(len(sizes))][None]
    while len(centres) < count:
        distance = np.clip(1 - iou_of_sizes(sizes, centres).max(axis=1), 0, None) ** 2
        distance[distance < 1e-12] = 0
        if not distance.any():
            break
        chosen = rng.choice(len(sizes), p=distance / distance.sum())
        centres = np.concatenate([centres, sizes[chosen][None]])
    return centres


def _run(sizes: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    nearest = np.full(len(sizes), -1)
    for _ in range(_ROUNDS):
        now = iou_of_sizes(sizes, centres).argmax(axis=1)
        if (now == nearest).all():
            break
        nearest = now
        members = np.bincount(nearest, minlength=len(centres))
        # The median, for a mean is drawn to the few largest boxes of a cluster.
        moved = [
            np.median(sizes[nearest == k], axis=0) if members[k] else centres[k]
            for k in range(len(centres))
        ]
        centres = np.array(moved)
    return centres


def stride_of(size: NDArray[np.float64]) -> int:
    """The coarsest head stride of which a box of this size spans two cells, at least 4."""
    side = float(np.sqrt(size.prod()))
    return max((stride for stride in STRIDES if side >= 2 * stride), default=STRIDES[0])


def describe_anchors(found: Anchors, sizes: Sizes, input_wh: tuple[int, int]) -> dict[str, Any]:
    """What ``anchors`` writes, as plain values for JSON."""
    known = sizes.altitude[~np.isnan(sizes.altitude)]
    altitudes = f"{known.min():.0f}-{known.max():.0f}m" if len(known) else "unknown"
    strides = [stride_of(size) for size in found.sizes]
    advice = advise(sizes)
    choice = advice["choice"] or advice["best"]
    return {
        "altitude_range": altitudes,
        "anchors": [[round(float(v), 1) for v in size] for size in found.sizes],
        "n_anchors": len(found.sizes),
        "input": list(input_wh),
        "boxes": len(sizes.class_ids),
        "members": found.members.tolist(),
        "mean_iou": found.mean_iou,
        "best_possible_recall": found.recall,
        "strides": strides,
        "suggested_strides": sorted(set(strides)),
        "suggested_input": {
            "input": choice["input"],
            "head": choice["head"],
            "resolved": min(choice["resolved"].values()),
        },
        "note": "YOLO11 and YOLO26 are anchor-free: these clusters describe box sizes, to choose "
        "input size and strides by, and no model uses them.",
    }

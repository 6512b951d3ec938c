"""From raw head outputs to boxes: YOLO11 (distributions) and YOLO26 (distances).

Both families are anchor-free. Each cell of a head's grid has, for its centre,
the distances to the box's left, top, right and bottom side in units of the
stride, and a logit per class. YOLO26 gives each distance as one number. YOLO11
gives it as logits of a distribution over 0, 1, .. reg_max-1 whose expectation
is the distance (distribution focal loss: Li et al., "Generalized Focal Loss",
NeurIPS 2020, arXiv:2006.04388, eq. 3-6). The tensors are those that enter the
decoding of the Ultralytics ``Detect`` head, laid out NHWC; a golden test holds
the results equal to it.

The threshold is applied to the raw class logits (the sigmoid rises, so
``sigmoid(x) > t`` is ``x > log(t / (1 - t))``), for uint8 outputs to the
integers themselves; a distribution is only unfolded for cells that pass it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError
from windhover.model.manifest import Manifest, OutputSpec
from windhover.types import BoxArray, Detections

_Raw = NDArray[Any]
_Floats = NDArray[np.float32]

# exp() of more than this is infinite in float32.
_EXP_LIMIT = 88.0


@dataclass(frozen=True, slots=True)
class _Level:
    """One stride of the head, with what never changes from frame to frame."""

    stride: int
    box: OutputSpec
    score: OutputSpec
    box_index: int
    score_index: int
    shape: tuple[int, int]
    centres: _Floats
    """``(h*w, 2)``: x, y of the cells' centres in units of the stride."""


@dataclass(frozen=True, slots=True)
class _Survivors:
    """Cells of one level that passed the threshold."""

    cells: NDArray[np.intp]
    logits: _Floats
    class_ids: NDArray[np.int32]


class Decoder:
    """Decodes the outputs of one bundle's graph.

    The grids of cell centres are made once here. Not safe to share between
    threads only in so far as NumPy arrays are: it keeps no state.

    Args:
        manifest: gives input size, head, labels. A
            :class:`~windhover.model.bundle.Bundle` is one.
        score_threshold: least score, 0..1, strictly exceeded; one number for
            all classes or one per class in label order.
    """

    def __init__(self, manifest: Manifest, score_threshold: float | Sequence[float]) -> None:
        self._classes = len(manifest.labels)
        self._reg_max = manifest.head.reg_max
        self._levels = _levels(manifest)
        self._bins = np.stack(
            (np.arange(self._reg_max, dtype=np.float32), np.ones(self._reg_max, np.float32)), axis=1
        )
        thresholds = np.broadcast_to(np.asarray(score_threshold, np.float64), (self._classes,))
        self._logit_thresholds = [_logit(t) for t in thresholds.tolist()]

    def decode(self, outputs: Sequence[_Raw]) -> Detections:
        """Boxes of all cells whose best class passes the threshold.

        A cell gives one detection at most: the best of the classes that pass
        their own threshold (the lower class id of equals), as in Ultralytics'
        NMS with ``multi_label=False``. Classes with NaN logits do not pass.

        Args:
            outputs: in the order of the head's ``outputs``, each
                ``(1, h, w, channels)``, float32, or uint8 where the bundle
                declares scale and zero point for it.

        Returns:
            ``x1, y1, x2, y2`` in pixels of the graph's input (letterboxed,
            origin at the outer corner of its first pixel), sub-pixel and
            unclipped, best score first, not yet suppressed.

        Raises:
            BackendError: the outputs are not those the bundle declares.
        """
        self._check(outputs)
        logits, classes, sides, centres, strides = [], [], [], [], []
        for level in self._levels:
            found = self._survivors(level, outputs[level.score_index])
            logits.append(found.logits)
            classes.append(found.class_ids)
            sides.append(self._raw_sides(level, outputs[level.box_index], found.cells))
            centres.append(level.centres[found.cells])
            strides.append(np.full(len(found.cells), level.stride, np.float32))
        order = np.argsort(-np.concatenate(logits), kind="stable")
        scores = _sigmoid(np.concatenate(logits)[order])
        distances = self._distances(np.concatenate(sides)[order])
        boxes = _boxes(
            distances, np.concatenate(centres)[order], np.concatenate(strides)[order, None]
        )
        return Detections(boxes, scores, np.concatenate(classes)[order])

    def _check(self, outputs: Sequence[_Raw]) -> None:
        if len(outputs) != 2 * len(self._levels):
            raise BackendError(
                f"the backend gave {len(outputs)} outputs where the bundle declares "
                f"{2 * len(self._levels)}; export the bundle again"
            )
        for level in self._levels:
            for spec, index, channels in (
                (level.box, level.box_index, 4 * self._reg_max),
                (level.score, level.score_index, self._classes),
            ):
                array, shape = outputs[index], (1, *level.shape, channels)
                decodable = array.dtype == np.float32 or (
                    array.dtype == np.uint8 and spec.scale is not None
                )
                if array.shape != shape or not decodable:
                    raise BackendError(
                        f"output {spec.name} came as {array.dtype} {array.shape} where the "
                        f"bundle declares {shape}; export the bundle again"
                    )

    def _survivors(self, level: _Level, scores: _Raw) -> _Survivors:
        flat = scores.reshape(-1)
        # Nearly all cells hold nothing, so one flat comparison that finds the
        # few that do comes first, and only those are looked at class by class.
        if flat.dtype == np.uint8:
            thresholds = _integer_thresholds(self._logit_thresholds, level.score)
            least = int(thresholds.min())
            hits = np.flatnonzero(flat >= least) if least < 256 else np.empty(0, np.intp)
            passed = flat[hits] >= thresholds[hits % self._classes]
        else:
            limits = np.array(self._logit_thresholds, np.float32)
            hits = np.flatnonzero(flat > limits.min())
            passed = flat[hits] > limits[hits % self._classes]
        hits = hits[passed]
        values = _dequantise(flat[hits], level.score)
        cells, class_ids = np.divmod(hits, self._classes)
        best = _best_of_each_cell(cells, values)
        return _Survivors(cells[best], values[best], class_ids[best].astype(np.int32))

    def _raw_sides(self, level: _Level, boxes: _Raw, cells: NDArray[np.intp]) -> _Floats:
        """``(N, 4 * reg_max)`` box outputs of the cells, as float32."""
        rows = boxes.reshape(-1, 4 * self._reg_max)[cells]
        return _dequantise(rows, level.box)

    def _distances(self, sides: _Floats) -> _Floats:
        """``(N, 4)`` left, top, right, bottom in strides."""
        if self._reg_max == 1:
            return sides
        bins = sides.reshape(-1, self._reg_max)
        # Softmax and expectation in one product: the sums of k*e^x and of e^x.
        weights = np.exp(bins - bins.max(axis=1, keepdims=True)) @ self._bins
        distances: _Floats = weights[:, 0] / weights[:, 1]
        return distances.reshape(-1, 4)


def _levels(manifest: Manifest) -> tuple[_Level, ...]:
    place = {(o.stride, o.kind): (i, o) for i, o in enumerate(manifest.head.outputs)}
    levels = []
    for stride in manifest.head.strides:
        box_index, box = place[stride, "box"]
        score_index, score = place[stride, "score"]
        height, width = manifest.input.height // stride, manifest.input.width // stride
        y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
        centres = np.stack((x.ravel(), y.ravel()), axis=1)
        levels.append(_Level(stride, box, score, box_index, score_index, (height, width), centres))
    return tuple(levels)


def _logit(score: float) -> float:
    if score <= 0.0:
        return -math.inf
    return math.inf if score >= 1.0 else math.log(score / (1.0 - score))


def _integer_thresholds(logits: Sequence[float], spec: OutputSpec) -> NDArray[np.int16]:
    """Least uint8 value, per class, that stands for more than the logit; 256 for none."""
    scale, zero_point = spec.scale or 1.0, spec.zero_point or 0
    # Kept within reach before the floor, which an infinite threshold has not.
    exact = (min(max(x / scale + zero_point, -1.0), 255.0) for x in logits)
    return np.array([math.floor(x) + 1 for x in exact], np.int16)


def _dequantise(values: _Raw, spec: OutputSpec) -> _Floats:
    if values.dtype == np.uint8 and spec.scale is not None and spec.zero_point is not None:
        return (values.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)
    return values.astype(np.float32, copy=False)


def _best_of_each_cell(cells: NDArray[np.intp], values: _Floats) -> NDArray[np.intp]:
    """Rows of the highest value in each run of equal ``cells``, the first of equals."""
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    if len(starts) == len(cells):
        return starts
    highest = np.maximum.reduceat(values, starts)
    runs = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(cells)))
    tops = np.flatnonzero(values == highest[runs])
    return tops[np.flatnonzero(np.diff(cells[tops], prepend=-1))]


def _sigmoid(logits: _Floats) -> _Floats:
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-np.maximum(logits, -_EXP_LIMIT)))


def _boxes(distances: _Floats, centres: _Floats, strides: _Floats) -> BoxArray:
    boxes = np.empty((len(distances), 4), np.float32)
    np.subtract(centres, distances[:, :2], out=boxes[:, :2])
    np.add(centres, distances[:, 2:], out=boxes[:, 2:])
    boxes *= strides
    return boxes

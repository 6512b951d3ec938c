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

# exp() of more than 88 is infinite in float32, of less than -103 zero.
_EXP_LIMIT = 88.0
# Within this the sums over a distribution's bins neither overflow nor vanish.
_SOFTMAX_LIMIT = 80.0


@dataclass(frozen=True, slots=True)
class _Level:
    """One stride of the head: which outputs are its own and where its cells start."""

    box: OutputSpec
    score: OutputSpec
    box_index: int
    score_index: int
    hw: tuple[int, int]
    first_cell: int

    @property
    def cells(self) -> int:
        return self.hw[0] * self.hw[1]


@dataclass(frozen=True, slots=True)
class _Hits:
    """Cells and classes over the threshold, in rising order of cell, then class.

    Cells are counted through all levels, row by row, finest level first.
    """

    cells: NDArray[np.intp]
    class_ids: NDArray[np.int32]
    logits: _Floats

    def __getitem__(self, rows: NDArray[np.intp]) -> _Hits:
        return _Hits(self.cells[rows], self.class_ids[rows], self.logits[rows])


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
        self._first_cells = [level.first_cell for level in self._levels[1:]]
        self._centres, self._strides = _grid(manifest)
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
        hits = self._hits(outputs)
        hits = hits[_best_of_each_cell(hits)]
        distances = self._distances(self._raw_sides(outputs, hits.cells))
        order = np.argsort(-hits.logits, kind="stable")
        hits = hits[order]
        boxes = _boxes(distances[order], self._centres[hits.cells], self._strides[hits.cells])
        return Detections(boxes, _sigmoid(hits.logits), hits.class_ids)

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
                array, shape = outputs[index], (1, *level.hw, channels)
                decodable = array.dtype == np.float32 or (
                    array.dtype == np.uint8 and spec.scale is not None
                )
                if array.shape != shape or not decodable:
                    raise BackendError(
                        f"output {spec.name} came as {array.dtype} {array.shape} where the "
                        f"bundle declares {shape}; export the bundle again"
                    )

    def _hits(self, outputs: Sequence[_Raw]) -> _Hits:
        # Nearly all cells hold nothing: one flat comparison per level finds the
        # few that do, and only those are looked at any further.
        places, logits = [], []
        for level in self._levels:
            flat = outputs[level.score_index].reshape(-1)
            found = self._over_threshold(flat, level.score)
            logits.append(_dequantise(flat[found], level.score))
            places.append(found + level.first_cell * self._classes)
        cells, class_ids = np.divmod(np.concatenate(places), self._classes)
        return _Hits(cells, class_ids.astype(np.int32), np.concatenate(logits))

    def _over_threshold(self, flat: _Raw, spec: OutputSpec) -> NDArray[np.intp]:
        """Places in a level's flattened class logits that pass their class's threshold."""
        thresholds: NDArray[Any]
        if flat.dtype == np.uint8:
            thresholds = _integer_thresholds(self._logit_thresholds, spec)
        else:
            thresholds = np.array(self._logit_thresholds, np.float32)
        least = thresholds.min()
        if flat.dtype == np.uint8 and least >= 255:
            return np.empty(0, np.intp)
        found = np.flatnonzero(flat > least)
        if least == thresholds.max():
            return found
        return found[flat[found] > thresholds[found % self._classes]]

    def _raw_sides(self, outputs: Sequence[_Raw], cells: NDArray[np.intp]) -> _Floats:
        """``(N, 4 * reg_max)`` box outputs of cells in rising order, as float32."""
        parts = np.split(cells, np.searchsorted(cells, self._first_cells))
        sides = []
        for level, part in zip(self._levels, parts, strict=True):
            rows = outputs[level.box_index].reshape(level.cells, -1)
            sides.append(_dequantise(rows[part - level.first_cell], level.box))
        return np.concatenate(sides)

    def _distances(self, sides: _Floats) -> _Floats:
        """``(N, 4)`` left, top, right, bottom in strides."""
        if self._reg_max == 1:
            return sides
        bins = sides.reshape(-1, self._reg_max)
        # The usual shift by each row's maximum costs more than all the rest, so
        # it is made only where a sum could overflow or vanish without it.
        if np.abs(bins).max(initial=0.0) > _SOFTMAX_LIMIT:
            bins = bins - bins.max(axis=1, keepdims=True)
        # Softmax and expectation in one product: the sums of k*e^x and of e^x.
        sums = np.exp(bins) @ self._bins
        distances: _Floats = sums[:, 0] / sums[:, 1]
        return distances.reshape(-1, 4)


def _levels(manifest: Manifest) -> tuple[_Level, ...]:
    place = {(o.stride, o.kind): (i, o) for i, o in enumerate(manifest.head.outputs)}
    levels: list[_Level] = []
    first_cell = 0
    for stride in manifest.head.strides:
        box_index, box = place[stride, "box"]
        score_index, score = place[stride, "score"]
        hw = manifest.input.height // stride, manifest.input.width // stride
        levels.append(_Level(box, score, box_index, score_index, hw, first_cell))
        first_cell += levels[-1].cells
    return tuple(levels)


def _grid(manifest: Manifest) -> tuple[_Floats, _Floats]:
    """Of every cell: centre ``(A, 2)`` x, y in units of its stride, and stride ``(A, 1)``."""
    centres, strides = [], []
    for stride in manifest.head.strides:
        height, width = manifest.input.height // stride, manifest.input.width // stride
        y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
        centres.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full((height * width, 1), stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)


def _logit(score: float) -> float:
    if score <= 0.0:
        return -math.inf
    return math.inf if score >= 1.0 else math.log(score / (1.0 - score))


def _integer_thresholds(logits: Sequence[float], spec: OutputSpec) -> NDArray[np.int16]:
    """Per class the greatest uint8 value that does not pass: -1 all pass, 255 none."""
    scale, zero_point = spec.scale or 1.0, spec.zero_point or 0
    # Kept in reach before the floor, which infinity has not.
    exact = (min(max(x / scale + zero_point, -1.0), 255.0) for x in logits)
    return np.array([math.floor(x) for x in exact], np.int16)


def _dequantise(values: _Raw, spec: OutputSpec) -> _Floats:
    if values.dtype == np.uint8 and spec.scale is not None and spec.zero_point is not None:
        return (values.astype(np.float32) - np.float32(spec.zero_point)) * np.float32(spec.scale)
    return values.astype(np.float32, copy=False)


def _best_of_each_cell(hits: _Hits) -> NDArray[np.intp]:
    """Rows with the highest logit of their cell, the first of equals."""
    starts = np.flatnonzero(np.diff(hits.cells, prepend=-1))
    if len(starts) == len(hits.cells):
        return starts
    highest = np.maximum.reduceat(hits.logits, starts)
    runs = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(hits.cells)))
    tops = np.flatnonzero(hits.logits == highest[runs])
    return tops[np.flatnonzero(np.diff(hits.cells[tops], prepend=-1))]


def _sigmoid(logits: _Floats) -> _Floats:
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-np.maximum(logits, -_EXP_LIMIT)))


def _boxes(distances: _Floats, centres: _Floats, strides: _Floats) -> BoxArray:
    boxes = np.empty((len(distances), 4), np.float32)
    np.subtract(centres, distances[:, :2], out=boxes[:, :2])
    np.add(centres, distances[:, 2:], out=boxes[:, 2:])
    boxes *= strides
    return boxes

"""How close a compiled graph comes to the one it was made from, on the same frames.

Two views: per raw output the signal-to-quantisation-noise ratio
(``10 log10(sum(reference^2) / sum((reference - other)^2))``, in dB), and the
detections that both have. Neither needs truth; accuracy is another matter (see
:mod:`windhover_evaluation.detection.model_evaluation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

from windhover.boxes import iou_matrix
from windhover.inference.base import Backend
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.model.manifest import OutputSpec
from windhover.types import Detections, Frame

MATCH_IOU = 0.5
#: Lowest score of a grid cell whose outputs are compared.
MIN_CELL_SCORE = 0.01


@dataclass(frozen=True, slots=True)
class Fidelity:
    """One backend against the reference over all frames.

    Attributes:
        sqnr_db: per output, by name; infinite where nothing differs, NaN where no cell
            counts. Cells count that have a score above :data:`MIN_CELL_SCORE`, in either
            for scores, which are compared as 0..1, and in the reference for boxes: a
            difference elsewhere neither adds a detection nor moves one, and ranges are
            clipped there on purpose.
        reference_count: detections of the reference.
        other_count: detections of the other.
        matched: pairs of one class with an IoU of at least :data:`MATCH_IOU`.
        mean_iou: of the pairs; NaN without any.
        mean_score_change: mean absolute difference of the pairs' scores.
    """

    sqnr_db: Mapping[str, float]
    reference_count: int
    other_count: int
    matched: int
    mean_iou: float
    mean_score_change: float


class _OutputProbe:
    """A backend that keeps its last outputs as real values."""

    def __init__(self, inner: Backend, outputs: Sequence[OutputSpec]) -> None:
        self.name, self.device = inner.name, inner.device
        self._inner = inner
        self._specs = outputs
        self.real: list[NDArray[np.float64]] = []

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        outputs = self._inner.run(image)
        self.real = [_to_real(o, spec) for o, spec in zip(outputs, self._specs, strict=True)]
        return outputs

    def close(self) -> None:
        self._inner.close()


@dataclass(slots=True)
class _Totals:
    signal: NDArray[np.float64]
    noise: NDArray[np.float64]
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    ious: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)


def compare_backends(
    bundle: Bundle, reference: Backend, others: Mapping[str, Backend], frames: Iterable[Frame]
) -> dict[str, Fidelity]:
    """Run frames through a reference and others, and compare their outputs.

    Args:
        bundle: that all of them run.
        reference: such as the cpu backend with ``precision="float"``.
        others: by name.
        frames: of any size.

    Returns:
        By the names of ``others``.

    Raises:
        BackendError: a run failed.
        ConfigError: a frame's encoding does not suit the bundle.
    """
    outputs = bundle.head.outputs
    probes = {name: _OutputProbe(backend, outputs) for name, backend in others.items()}
    base = _OutputProbe(reference, outputs)
    base_detector = Detector(bundle, base)
    detectors = {name: Detector(bundle, tap) for name, tap in probes.items()}
    zeros = np.zeros(len(outputs))
    sums = {name: _Totals(zeros.copy(), zeros.copy()) for name in probes}
    for frame in frames:
        expected = base_detector.detect(frame)
        for name, detector in detectors.items():
            found = detector.detect(frame)
            for i, (mine, other) in enumerate(zip(base.real, probes[name].real, strict=True)):
                cells = _scored_cells(outputs, base.real, i)
                if outputs[i].kind == "score":
                    cells = cells | _scored_cells(outputs, probes[name].real, i)
                sums[name].signal[i] += np.square(mine[cells]).sum()
                sums[name].noise[i] += np.square(mine[cells] - other[cells]).sum()
            sums[name].counts += (len(expected.scores), len(found.scores))
            _match(expected, found, sums[name])
    names = [spec.name for spec in outputs]
    return {name: _summary(names, total) for name, total in sums.items()}


def _to_real(output: NDArray[np.generic], spec: OutputSpec) -> NDArray[np.float64]:
    """Box outputs dequantised, scores as 0..1."""
    values = output.astype(np.float64)
    if output.dtype == np.uint8 and spec.scale is not None and spec.zero_point is not None:
        values = (values - spec.zero_point) * spec.scale
    return values if spec.kind == "box" else expit(values)


def _scored_cells(
    specs: Sequence[OutputSpec], values: Sequence[NDArray[np.float64]], index: int
) -> NDArray[np.bool_]:
    """Cells ``(1, h, w)`` at an output's stride with a score above :data:`MIN_CELL_SCORE`."""
    stride = specs[index].stride
    scores = next(i for i, s in enumerate(specs) if (s.stride, s.kind) == (stride, "score"))
    scored: NDArray[np.bool_] = values[scores].max(axis=-1) > MIN_CELL_SCORE
    return scored


def _match(expected: Detections, found: Detections, sums: _Totals) -> None:
    overlaps = iou_matrix(expected.boxes.astype(np.float64), found.boxes.astype(np.float64))
    overlaps[expected.class_ids[:, None] != found.class_ids[None, :]] = 0.0
    for row, column in zip(*linear_sum_assignment(-overlaps), strict=True):
        if overlaps[row, column] >= MATCH_IOU:
            sums.ious.append(float(overlaps[row, column]))
            sums.changes.append(float(abs(expected.scores[row] - found.scores[column])))


def _summary(names: Sequence[str], sums: _Totals) -> Fidelity:
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10.0 * np.log10(sums.signal / sums.noise)
    return Fidelity(
        dict(zip(names, decibels.tolist(), strict=True)),
        int(sums.counts[0]),
        int(sums.counts[1]),
        len(sums.ious),
        float(np.mean(sums.ious)) if sums.ious else float("nan"),
        float(np.mean(sums.changes)) if sums.changes else float("nan"),
    )

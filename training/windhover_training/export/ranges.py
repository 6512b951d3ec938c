"""Activation ranges from calibration images: what eight bits are spent on.

One histogram a tensor, which grows with the values and not with the images. A range is
chosen by what is lost where the tensor is used: values that enter a SiLU are compared
behind it, where everything far below zero is zero anyway. Nearly all of a picture is
ground, so the places where the model sees something count as much as all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper
from scipy.special import expit

from windhover.errors import DataError

from ..config import RangeMethod

Floats = NDArray[np.float64]
Range = tuple[float, float]

BINS = 4096
_SAMPLE = 1 << 17  # values of a tensor that one image adds; the extremes are always exact
_LEVELS = 256
_STEPS = np.linspace(0.2, 1.0, 41)
# What takes over its input's range unchanged.
PASSING = {"MaxPool", "Resize", "Reshape", "Transpose", "Slice", "Split", "Squeeze", "Unsqueeze"}


@dataclass
class Histogram:
    """How often values occur, in bins around zero whose width doubles when they must."""

    width: float = 2.0**-20
    low: float = np.inf
    high: float = -np.inf

    def __post_init__(self) -> None:
        self.counts: Floats = np.zeros(BINS)

    @property
    def centres(self) -> Floats:
        """Middle of each bin."""
        return np.asarray((np.arange(BINS) - BINS // 2 + 0.5) * self.width, np.float64)

    def add(self, values: NDArray[np.floating], weight: float = 1.0) -> None:
        """Count values ``weight`` times each; their extremes widen the bins."""
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        # Doubling folds two neighbours into one, with zero staying on a bin's edge.
        while max(-low, high) >= self.width * (BINS // 2):
            folded = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.pad(folded, BINS // 4)
            self.width *= 2
        places = np.floor(values / self.width).astype(np.int64) + BINS // 2
        self.counts += weight * np.bincount(places.reshape(-1), minlength=BINS)


def choose_range(
    histogram: Histogram,
    method: RangeMethod,
    percentile: float = 99.999,
    behind: Callable[[Floats], Floats] | None = None,
) -> Range:
    """Choose what a tensor's 256 levels cover.

    Args:
        histogram: of its values.
        method: ``minmax`` covers all; ``percentile`` leaves out as many at either end as lie
            beyond that percentile; ``mse`` and ``entropy`` try ever narrower ranges and keep
            the one with the least squared error or Kullback-Leibler divergence.
        percentile: for ``percentile``, 50..100.
        behind: what the values go through next; errors are compared behind it.

    Returns:
        Low and high, with zero between them.
    """
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if method == "minmax":
        return low, high
    if method == "percentile":
        share = np.cumsum(histogram.counts) / histogram.counts.sum()
        tail = (100.0 - percentile) / 100.0
        edges = histogram.centres
        first = edges[np.searchsorted(share, tail)]
        last = edges[min(int(np.searchsorted(share, 1.0 - tail)), BINS - 1)]
        return min(max(low, float(first)), 0.0), max(min(high, float(last)), 0.0)
    cost = _divergence if method == "entropy" else _squared_error
    use = behind or (lambda values: values)
    best = low, high
    # One end after the other, twice: the two hardly depend on each other.
    for _ in range(2):
        lows = [(low * step, best[1]) for step in _STEPS]
        best = min(lows, key=lambda ends: cost(histogram, ends, use))
        highs = [(best[0], high * step) for step in _STEPS]
        best = min(highs, key=lambda ends: cost(histogram, ends, use))
    return best


def sigmoid(values: Floats) -> Floats:
    """``1 / (1 + exp(-x))``."""
    result: Floats = expit(values)
    return result


def silu(values: Floats) -> Floats:
    """``x * sigmoid(x)``."""
    return values * sigmoid(values)


def _quantised(values: Floats, ends: Range) -> tuple[Floats, Floats]:
    low, high = ends
    scale = max(high - low, 1e-12) / (_LEVELS - 1)
    zero = np.round(-low / scale)
    levels = np.clip(np.round(values / scale) + zero, 0, _LEVELS - 1)
    return (levels - zero) * scale, levels


def _squared_error(histogram: Histogram, ends: Range, behind: Callable[[Floats], Floats]) -> float:
    used = np.flatnonzero(histogram.counts)
    values = histogram.centres[used]
    error = behind(values) - behind(_quantised(values, ends)[0])
    return float(histogram.counts[used] @ np.square(error))


def _divergence(histogram: Histogram, ends: Range, behind: Callable[[Floats], Floats]) -> float:
    del behind  # which values occur is counted before they are used
    used = np.flatnonzero(histogram.counts)
    counts = histogram.counts[used]
    levels = _quantised(histogram.centres[used], ends)[1].astype(np.int64)
    shared = np.bincount(levels, counts, _LEVELS) / np.maximum(
        np.bincount(levels, minlength=_LEVELS), 1
    )
    return float(counts @ np.log(counts / shared[levels]))


def observe(
    core: onnx.ModelProto,
    images: Iterable[NDArray[np.float32]],
    focus: Callable[[Mapping[str, NDArray[np.float32]]], NDArray[np.bool_]],
) -> dict[str, Histogram]:
    """Run a graph on images and count the values of every activation.

    Args:
        core: float graph with one image input, channels first.
        images: what it takes.
        focus: from the graph's outputs, where in the image the model sees something: a mask
            ``(h, w)`` of any resolution. Those places weigh as much as all the rest, and of
            the outputs only they count, unless there are none in all images.

    Returns:
        By tensor, in the graph's order. Tensors that only pass another's values on are not
        in it.

    Raises:
        DataError: there are no images.
    """
    makers = {name: node.op_type for node in core.graph.node for name in node.output}
    ends = [output.name for output in core.graph.output]
    inner = [name for name, kind in makers.items() if kind not in PASSING]
    names = list(dict.fromkeys([*inner, *ends]))
    session = _session_with(core, [name for name in names if name not in ends])
    entry = session.get_inputs()[0].name
    histograms = {name: Histogram() for name in names}
    near = {name: Histogram() for name in ends}
    for image in images:
        values = dict(zip(names, session.run(names, {entry: image}), strict=True))
        mask = focus({name: values[name] for name in ends})
        for name, value in values.items():
            if value.dtype != np.float32:
                continue
            flat = value.reshape(-1)
            histograms[name].add(flat[:: max(1, flat.size // _SAMPLE)])
            histograms[name].add(np.array([flat.min(), flat.max()]))
            if value.ndim == 4 and mask.any():
                seen = value[0][:, resized(mask, value.shape[2:])]
                weight = min(flat.size, _SAMPLE) / max(seen.size, 1)
                histograms[name].add(seen, weight)
                if name in near:
                    near[name].add(seen)
    if not any(np.isfinite(each.low) for each in histograms.values()):
        raise DataError("there are no calibration images; give a converted data set with some")
    found = {**histograms, **{name: each for name, each in near.items() if np.isfinite(each.low)}}
    return {name: each for name, each in found.items() if np.isfinite(each.low)}


def _session_with(core: onnx.ModelProto, more: list[str]) -> ort.InferenceSession:
    """A session that gives inner tensors too."""
    model = onnx.ModelProto()
    model.CopyFrom(core)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in more)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def resized(mask: NDArray[np.bool_], size: Sequence[int]) -> NDArray[np.bool_]:
    """The mask at another resolution; a cell counts that touches a place that does."""
    height, width = size
    rows, columns = np.nonzero(mask)
    small = np.zeros((height, width), bool)
    # Every cell of the mask covers these rows and columns there.
    for down in range(-(-height // mask.shape[0])):
        for right in range(-(-width // mask.shape[1])):
            y = np.minimum(rows * height // mask.shape[0] + down, height - 1)
            x = np.minimum(columns * width // mask.shape[1] + right, width - 1)
            small[y, x] = True
    return small


def next_functions(core: onnx.ModelProto) -> dict[str, Callable[[Floats], Floats]]:
    """What is behind a tensor that is used in nothing but a SiLU (Sigmoid and Mul) or a Sigmoid."""
    takers: dict[str, list[onnx.NodeProto]] = {}
    for node in core.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    found: dict[str, Callable[[Floats], Floats]] = {}
    for name, nodes in takers.items():
        kinds = sorted(node.op_type for node in nodes)
        if kinds == ["Sigmoid"]:
            found[name] = sigmoid
        elif kinds == ["Mul", "Sigmoid"]:
            gate = next(node for node in nodes if node.op_type == "Sigmoid").output[0]
            product = next(node for node in nodes if node.op_type == "Mul")
            if set(product.input) == {name, gate}:
                found[name] = silu
    return found

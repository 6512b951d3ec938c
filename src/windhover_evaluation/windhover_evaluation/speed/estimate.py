"""Estimate of a graph's time on a QCS8550, from the graph alone.

Nothing is run. The graph is counted as the HTP would run it in 8 bits, each tensor
element one byte, quantisation and reshaping free:

- **floor**: no run can be faster. The larger of all multiply-accumulates at the
  HTP's 48 TOPS INT8 (two operations each) and of what has to cross external memory
  once (weights, input, outputs) at 67.2 GB/s (LPDDR5X-8400, 64 bit).
- **likely range**: the same arithmetic at the share of 48 TOPS that published 8-bit
  models reach on this chip: YOLO11n 640 in 1.6 ms with 3.25 GMAC (8.5 %) and ResNet50
  224 in 0.904 ms with 4.09 GMAC (19 %). A detector with attention and many
  small layers is nearer to the first.
- **scaled**: the published YOLO11n times, multiplied by this graph's share of its MACs.

The published times are Qualcomm AI Hub's for "QCS8550 (Proxy)" as .dlc, inference
alone (quic/ai-hub-models, perf.yaml of each model; ResNet50 with QAIRT 2.41). The
MACs of YOLO11n are half the 6.5 GFLOPs that Ultralytics states, those of ResNet50
torchvision's.

Whether activations fit the VTCM follows from the largest sum of tensors that are alive
at once, in the graph's order. The compiler tiles what does not fit, so more than
8 MiB means traffic to external memory and not a graph that can't run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from windhover.errors import BackendError
from windhover.inference.ort import one_line
from windhover.inference.soc import SOCS
from windhover.model.bundle import Bundle
from windhover.model.manifest import Role

FORMAT = "windhover-estimate/1"
SOC = SOCS["qcs8550"]
PEAK_OPS_PER_S = 48e12
MEMORY_BYTES_PER_S = 67.2e9


@dataclass(frozen=True, slots=True)
class Published:
    """A model's published inference time on a QCS8550.

    Attributes:
        name: model and input size.
        precision: ``w8a8``, ``w8a16`` or ``float``.
        macs: multiply-accumulates of a frame.
        ms: milliseconds of a frame.
    """

    name: str
    precision: str
    macs: float
    ms: float

    @property
    def utilisation(self) -> float:
        """Share of the peak that it reaches."""
        return 2.0 * self.macs / (PEAK_OPS_PER_S * self.ms / 1e3)


YOLO11N = tuple(
    Published("YOLO11n 640", precision, 3.25e9, ms)
    for precision, ms in (("w8a8", 1.6), ("w8a16", 4.2), ("float", 3.9))
)
RESNET50 = Published("ResNet50 224", "w8a8", 4.09e9, 0.904)

_VIEWS = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
)
"""Ops whose output counts as their input's memory."""


@dataclass(frozen=True, slots=True)
class GraphCost:
    """What a graph has to do for one frame, in 8 bits.

    Attributes:
        macs: multiply-accumulates of convolutions and matrix products.
        weight_bytes: of all constants that these ops read.
        activation_bytes: read and written by all ops, were nothing kept between them.
        io_bytes: of the graph's input and outputs.
        peak_bytes: the most that is alive at once, weights apart.
        ops: count of each kind, most frequent first; views are left out.
    """

    macs: int
    weight_bytes: int
    activation_bytes: int
    io_bytes: int
    peak_bytes: int
    ops: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What that would take on a QCS8550. None of it was measured on one.

    Attributes:
        file: that was looked at.
        cost: of the graph.
        compute_floor_ms: arithmetic at the peak.
        memory_floor_ms: weights, input and outputs once across external memory.
        likely_ms: from the best to the poorest published use of the peak.
        scaled_ms: published YOLO11n times by precision, scaled by MACs.
    """

    file: str
    cost: GraphCost
    compute_floor_ms: float
    memory_floor_ms: float
    likely_ms: tuple[float, float]
    scaled_ms: Mapping[str, float]

    @property
    def soc(self) -> str:
        """The chip, in words."""
        return str(SOC)

    @property
    def ops(self) -> Mapping[str, int]:
        """Count of each kind of op."""
        return self.cost.ops

    @property
    def floor_ms(self) -> float:
        """No run can be faster."""
        return max(self.compute_floor_ms, self.memory_floor_ms)

    @property
    def fits_vtcm(self) -> bool:
        """Whether all activations that are alive at once fit the VTCM."""
        return self.cost.peak_bytes <= SOC.vtcm_mb * 2**20

    def as_dict(self) -> dict[str, Any]:
        """For JSON; says of itself that it is an estimate."""
        return {
            "format": FORMAT,
            "estimate": "from the graph alone; nothing was measured on a device",
            "soc": self.soc,
            **asdict(self),
            "floor_ms": self.floor_ms,
            "vtcm_bytes": SOC.vtcm_mb * 2**20,
            "fits_vtcm": self.fits_vtcm,
            "assumed": {
                "peak_ops_per_s": PEAK_OPS_PER_S,
                "memory_bytes_per_s": MEMORY_BYTES_PER_S,
                "published": [
                    {**asdict(each), "utilisation": each.utilisation}
                    for each in (*YOLO11N, RESNET50)
                ],
            },
        }

    def lines(self) -> list[tuple[str, str, str]]:
        """What, how much and from what, for a table."""
        cost = self.cost
        best, poorest = self.likely_ms
        fit = "fits" if self.fits_vtcm else "does not fit, so it is tiled:"
        return [
            ("arithmetic", f"{cost.macs / 1e9:.2f} GMAC", self.file),
            ("weights", f"{cost.weight_bytes / 2**20:.2f} MiB", "one byte each"),
            (
                "activation traffic",
                f"{cost.activation_bytes / 2**20:.1f} MiB",
                "read and written by each op, were nothing kept between ops",
            ),
            (
                "largest activations alive",
                f"{cost.peak_bytes / 2**20:.2f} MiB",
                f"{fit} {SOC.vtcm_mb} MiB VTCM",
            ),
            (
                "floor",
                f"{self.floor_ms:.3f} ms",
                f"arithmetic at 48 TOPS INT8 {self.compute_floor_ms:.3f} ms, weights and "
                f"input/output at 67.2 GB/s {self.memory_floor_ms:.3f} ms",
            ),
            (
                "likely, w8a8",
                f"{best:.1f} to {poorest:.1f} ms",
                f"{RESNET50.utilisation:.0%} (published ResNet50) down to "
                f"{YOLO11N[0].utilisation:.1%} (published YOLO11n) of 48 TOPS",
            ),
            *(
                (
                    f"YOLO11n scaled by MACs, {each.precision}",
                    f"{self.scaled_ms[each.precision]:.1f} ms",
                    f"published {each.ms:g} ms at 640x640 with {each.macs / 1e9:g} GMAC",
                )
                for each in YOLO11N
            ),
        ]


def estimate_bundle(bundle: Bundle) -> Estimate:
    """Estimate a bundle's time on a QCS8550 from its int8.onnx, else its float.onnx.

    Raises:
        BackendError: the package onnx is not installed, the bundle has no ONNX
            graph, or it can't be read.
    """
    for role in (Role.INT8_ONNX, Role.FLOAT_ONNX):
        path = bundle.file(role)
        if path is not None:
            return estimate(count(path), path.name)
    raise BackendError(f"bundle {bundle.name} has no ONNX graph to estimate from; add float.onnx")


def estimate(cost: GraphCost, file: str = "") -> Estimate:
    """Turn a graph's cost into time; see the module's text.

    Args:
        cost: of the graph.
        file: that the cost was counted from.
    """
    moved = cost.weight_bytes + cost.io_bytes
    at_peak_ms = 2e3 * cost.macs / PEAK_OPS_PER_S
    return Estimate(
        file,
        cost,
        at_peak_ms,
        1e3 * moved / MEMORY_BYTES_PER_S,
        (at_peak_ms / RESNET50.utilisation, at_peak_ms / YOLO11N[0].utilisation),
        {each.precision: each.ms * cost.macs / each.macs for each in YOLO11N},
    )


def count(path: Path) -> GraphCost:
    """Count what an ONNX graph with fixed shapes has to do.

    Raises:
        BackendError: the package onnx is not installed, or the file can't be read
            or has shapes that are not fixed.
    """
    try:
        import onnx
    except ImportError as error:
        raise BackendError(
            "an estimate reads the ONNX graph, and onnx is not installed; pip install onnx"
        ) from error
    try:
        model = with_shapes(onnx.load(path))
    except Exception as error:  # protobuf's and onnx's own errors share no public base
        raise BackendError(
            f"{path} can't be read as an ONNX graph ({one_line(error)}); export the bundle again"
        ) from error
    return _Counter(model.graph, path).cost()


def with_shapes(model: Any) -> Any:
    """The ONNX model with the shape of every tensor."""
    import onnx

    for node in model.graph.node:
        # ONNX Runtime's 16-bit ones, of which ONNX knows no shapes, are like its own.
        if node.op_type in _VIEWS and node.domain == "com.microsoft":
            node.domain = ""
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


class _Counter:
    """Walks a graph once, with each view standing for the tensor it is of."""

    def __init__(self, graph: Any, path: Path) -> None:
        self._graph = graph
        self._path = path
        self._sizes = {each.name: tuple(each.dims) for each in graph.initializer}
        constants = set(self._sizes)
        for info in (*graph.input, *graph.value_info, *graph.output):
            dims = info.type.tensor_type.shape.dim
            self._sizes.setdefault(info.name, tuple(dim.dim_value for dim in dims))
        self._roots: dict[str, str] = {}
        self._nodes = []
        for node in graph.node:
            if node.op_type == "Constant":
                constants.add(node.output[0])
            elif node.op_type in _VIEWS:
                self._roots[node.output[0]] = self._root(node.input[0])
            else:
                self._nodes.append(node)
        self._constants = constants

    def cost(self) -> GraphCost:
        """Cost of the graph."""
        outputs = [each.name for each in self._graph.output]
        inputs = [each.name for each in self._graph.input if each.name not in self._constants]
        traffic = sum(
            self._bytes(name) for node in self._nodes for name in (*self._read(node), *node.output)
        )
        weights = {
            root
            for node in self._nodes
            if node.op_type in ("Conv", "Gemm", "MatMul")
            for root in map(self._root, node.input)
            if root in self._constants
        }
        return GraphCost(
            macs=sum(map(self._macs, self._nodes)),
            weight_bytes=sum(map(self._bytes, weights)),
            activation_bytes=traffic,
            io_bytes=sum(map(self._bytes, (*inputs, *outputs))),
            peak_bytes=self._peak(inputs, outputs),
            ops=dict(Counter(node.op_type for node in self._nodes).most_common()),
        )

    def _root(self, name: str) -> str:
        return self._roots.get(name, name)

    def _read(self, node: Any) -> list[str]:
        """Activations that an op reads."""
        roots = (self._root(name) for name in node.input if name)
        return [root for root in roots if root not in self._constants]

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self._sizes.get(name)
        if shape is None or 0 in shape:
            raise BackendError(
                f"{self._path}: the shape of {name} is not fixed; export it with fixed shapes"
            )
        return shape

    def _bytes(self, name: str) -> int:
        return prod(self._shape(name))

    def _macs(self, node: Any) -> int:
        if node.op_type == "Conv":
            # Weights are (out, in / groups, kernel..): a row is what one output value takes.
            weights = self._shape(node.input[1])
            return self._bytes(node.output[0]) * prod(weights[1:])
        if node.op_type in ("MatMul", "Gemm"):
            turned = node.op_type == "Gemm" and any(
                each.name == "transA" and each.i for each in node.attribute
            )
            depth = self._shape(node.input[0])[0 if turned else -1]
            return self._bytes(node.output[0]) * depth
        return 0

    def _peak(self, inputs: Sequence[str], outputs: Sequence[str]) -> int:
        last: dict[str, int] = {}
        for step, node in enumerate(self._nodes):
            last.update(dict.fromkeys(self._read(node), step))
        last.update(dict.fromkeys(map(self._root, outputs), len(self._nodes)))
        alive = {name: self._bytes(name) for name in inputs}
        peak = sum(alive.values())
        for step, node in enumerate(self._nodes):
            alive.update({name: self._bytes(name) for name in node.output if name})
            peak = max(peak, sum(alive.values()))
            alive = {name: size for name, size in alive.items() if last.get(name, -1) > step}
        return peak

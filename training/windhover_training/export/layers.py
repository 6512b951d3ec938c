"""Which layers of a quantised graph are furthest from the float one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from windhover.errors import ConfigError

from .graph import INPUT
from .ranges import Floats, next_functions


@dataclass(frozen=True, slots=True)
class Layer:
    """One activation, float against quantised, over all images.

    Attributes:
        name: of the tensor in float.onnx.
        op: what makes it.
        sqnr_db: signal to noise, behind the SiLU or Sigmoid that the tensor enters, if any.
        drop_db: how much less that is than the least of the layer's inputs: noise that is
            made here and not only passed on.
    """

    name: str
    op: str
    sqnr_db: float
    drop_db: float


def compare_layers(
    exact: Path, quantised: Path, images: Iterable[NDArray[np.uint8]]
) -> list[Layer]:
    """Compare every activation that both graphs have, worst first.

    Args:
        exact: float.onnx.
        quantised: int8.onnx, QDQ: what a QuantizeLinear takes is compared as its
            DequantizeLinear gives it.
        images: ``(1, H, W, C)`` uint8, what both take.

    Raises:
        ConfigError: the two have no inner tensors of the same names.
    """
    floats, integers = onnx.load(exact), onnx.load(quantised)
    makers = {name: node for node in floats.graph.node for name in node.output}
    pairs = {name: twin for name, twin in _twins(integers).items() if name in makers}
    if not pairs:
        raise ConfigError(
            f"{quantised} has no inner tensors named as in {exact}, so its layers can't be "
            "compared; quantise that float.onnx"
        )
    names = list(pairs)
    first, second = _session(floats, names), _session(integers, list(pairs.values()))
    behind = next_functions(floats)
    signal, noise = np.zeros(len(names)), np.zeros(len(names))
    for image in images:
        mine = first.run(names, {INPUT: image})
        other = second.run(list(pairs.values()), {INPUT: image})
        for i, (a, b) in enumerate(zip(mine, other, strict=True)):
            use = behind.get(names[i], lambda values: values)
            wanted: Floats = use(a.astype(np.float64))
            signal[i] += np.square(wanted).sum()
            noise[i] += np.square(wanted - use(b.astype(np.float64))).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = dict(zip(names, (10 * np.log10(signal / noise)).tolist(), strict=True))
    layers = [
        Layer(name, makers[name].op_type, db, _drop(name, db, makers, decibels))
        for name, db in decibels.items()
        if np.isfinite(db)
    ]
    return sorted(layers, key=lambda layer: layer.sqnr_db)


def _twins(model: onnx.ModelProto) -> dict[str, str]:
    """Tensor -> what it is once it went through a QuantizeLinear and a DequantizeLinear."""
    sources = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    return {
        sources[node.input[0]]: node.output[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in sources
    }


def _session(model: onnx.ModelProto, names: list[str]) -> ort.InferenceSession:
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in known
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Fused operators would not give their inner tensors.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _drop(
    name: str, decibels: float, makers: dict[str, onnx.NodeProto], known: dict[str, float]
) -> float:
    """Walk back over tensors without a figure to the nearest inputs that have one."""
    waiting, seen, before = list(makers[name].input), set(), []
    while waiting:
        source = waiting.pop()
        if source in seen:
            continue
        seen.add(source)
        if source in known:
            before.append(known[source])
        elif source in makers:
            waiting.extend(makers[source].input)
    finite = [each for each in before if np.isfinite(each)]
    return min(finite) - decibels if finite else 0.0

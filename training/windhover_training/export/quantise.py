"""Post-training quantisation with ONNX Runtime's QNN recipe: 8-bit QDQ, uint8 at both ends.

Activations are uint8 per tensor, weights int8 per channel, biases int32. The calibration
images come from the training split only.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType, quantize
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config

from .graph import CORE_INPUT, INPUT, OUTPUTS, TO_NCHW, TO_NHWC, rename, set_ends

Method = Literal["minmax", "percentile", "entropy"]
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


class _Images(CalibrationDataReader):
    def __init__(self, images: Iterable[NDArray[np.uint8]]) -> None:
        self._images: Iterator[NDArray[np.uint8]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._images, None)
        if image is None:
            return None
        scaled = image.astype(np.float32) * np.float32(1 / 255)
        return {CORE_INPUT: np.ascontiguousarray(scaled.transpose(TO_NCHW))}


def quantise(
    core: onnx.ModelProto,
    images: Iterable[NDArray[np.uint8]],
    method: Method = "minmax",
    *,
    per_channel: bool = True,
) -> onnx.ModelProto:
    """Quantise the core graph to 8 bits.

    Args:
        core: float graph from scaled pixels to raw heads.
        images: calibration images, each ``(1, H, W, C)`` uint8.
        method: how activation ranges are chosen.
        per_channel: one weight scale an output channel instead of one a tensor.

    Returns:
        QDQ graph with a uint8 input ``images`` and uint8 outputs.
    """
    pixel = {
        "quant_type": QuantType.QUInt8,
        "scale": np.array(1 / 255, np.float32),
        "zero_point": np.array(0, np.uint8),
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "core.onnx", Path(folder) / "qdq.onnx"
        onnx.save(core, source)
        config = get_qnn_qdq_config(
            str(source),
            _Images(images),
            calibrate_method=_METHODS[method],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=per_channel,
            init_overrides={CORE_INPUT: [pixel]},
        )
        quantize(str(source), str(target), config)
        model = onnx.load(target)
    return with_quantised_ends(model)


def with_quantised_ends(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put uint8 NHWC ends on a QDQ graph.

    The graph then takes the camera's bytes and gives bytes, which saves a float copy of
    every tensor that crosses to the accelerator. The transposes stand between
    DequantizeLinear and QuantizeLinear like every other operator, so that an accelerator's
    compiler sees them as quantised and folds them into its own layout.

    Args:
        model: QDQ graph, channels first, with float input ``pixels`` and float outputs.

    Returns:
        The graph with uint8 ``images`` in and uint8 outputs under the same names.

    Raises:
        ValueError: the graph does not begin with one QuantizeLinear or an output does not
            come from a DequantizeLinear.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    first = [n for n in graph.node if CORE_INPUT in n.input]
    if len(first) != 1 or first[0].op_type != "QuantizeLinear":
        raise ValueError(f"input {CORE_INPUT} is not quantised by one QuantizeLinear")
    scales = list(first[0].input[1:])
    front = [
        helper.make_node("DequantizeLinear", [INPUT, *scales], ["pixels_nhwc"], "pixels_dq"),
        helper.make_node("Transpose", ["pixels_nhwc"], [CORE_INPUT], "to_nchw", perm=list(TO_NCHW)),
    ]
    for i, node in enumerate(front):
        graph.node.insert(i, node)
    for name in OUTPUTS:
        last = next(n for n in graph.node if name in n.output)
        if last.op_type != "DequantizeLinear":
            raise ValueError(f"output {name} does not come from a DequantizeLinear")
        scales = list(last.input[1:])
        rename(graph, name, f"{name}_nchw")
        nchw, nhwc = f"{name}_nchw", f"{name}_nhwc"
        graph.node.append(
            helper.make_node("Transpose", [nchw], [nhwc], f"{name}_to_nhwc", perm=list(TO_NHWC))
        )
        graph.node.append(
            helper.make_node("QuantizeLinear", [nhwc, *scales], [name], f"{name}_quantise")
        )
    set_ends(graph, TensorProto.UINT8)
    onnx.checker.check_model(model)
    return model


def output_quantisation(model: onnx.ModelProto) -> dict[str, tuple[float, int]]:
    """Read ``(scale, zero_point)`` of each uint8 output from its QuantizeLinear.

    Raises:
        ValueError: an output does not come from a QuantizeLinear.
    """
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    found = {}
    for name in OUTPUTS:
        node = makers[name]
        if node.op_type != "QuantizeLinear":
            raise ValueError(f"output {name} comes from a {node.op_type}, not a QuantizeLinear")
        found[name] = float(constants[node.input[1]]), int(constants[node.input[2]])
    return found

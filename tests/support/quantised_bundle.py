"""A tiny quantised detector in the form that a release's int8.onnx has.

One convolution and two heads with fixed weights, 8-bit QDQ, uint8 NHWC at both
ends: compiles for an HTP in well under a second and runs on its emulator in
milliseconds. It detects nothing; backends are compared on its raw outputs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from windhover.model.bundle import Bundle, write_bundle

HW = (32, 64)
STRIDE = 8
FOREIGN_OP = "shrink_the_scores"
LABELS = ("person", "vehicle")
FEATURES = 16
FEATURE_SCALE, HEAD_SCALE, HEAD_ZERO_POINT, WEIGHT_SCALE = 0.02, 0.05, 128, 0.002


class _Graph:
    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(seed)

    def const(self, name: str, value: object, dtype: type) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def scales(self, name: str, scale: float, zero_point: int) -> list[str]:
        return [
            self.const(f"{name}_scale", scale, np.float32),
            self.const(f"{name}_zero_point", zero_point, np.uint8),
        ]

    def quantised(self, value: str, name: str, scale: float, zero_point: int) -> str:
        scales = self.scales(name, scale, zero_point)
        integers = self.op("QuantizeLinear", [value, *scales], f"{name}_q")
        return self.op("DequantizeLinear", [integers, *scales], f"{name}_dq")

    def conv(
        self, value: str, name: str, channels: tuple[int, int], stride: int, scale: float
    ) -> str:
        """A convolution whose kernel is its stride; ``scale`` is its input's."""
        shape = (channels[1], channels[0], stride, stride)
        weights = self.rng.integers(-127, 128, shape)
        scales = [
            self.const(f"{name}_w_scale", WEIGHT_SCALE, np.float32),
            self.const(f"{name}_w_zero", 0, np.int8),
        ]
        kernel = self.op(
            "DequantizeLinear", [self.const(f"{name}_w", weights, np.int8), *scales], f"{name}_w_dq"
        )
        bias = self.op(
            "DequantizeLinear",
            [
                self.const(f"{name}_b", self.rng.integers(-900, 900, channels[1]), np.int32),
                self.const(f"{name}_b_scale", WEIGHT_SCALE * scale, np.float32),
                self.const(f"{name}_b_zero", 0, np.int32),
            ],
            f"{name}_b_dq",
        )
        return self.op(
            "Conv", [value, kernel, bias], name, strides=[stride, stride], kernel_shape=[stride] * 2
        )


def _make_model(seed: int, head_scale: float, foreign_op: bool) -> onnx.ModelProto:
    graph = _Graph(seed)
    pixels = graph.op(
        "DequantizeLinear", ["images", *graph.scales("pixels", 1 / 255, 0)], "pixels_nhwc"
    )
    planes = graph.op("Transpose", [pixels], "pixels_nchw", perm=[0, 3, 1, 2])
    features = graph.conv(planes, "stem", (1, FEATURES), STRIDE, 1 / 255)
    features = graph.quantised(
        graph.op("Relu", [features], "stem_relu"), "features", FEATURE_SCALE, 0
    )
    infos = []
    for name, depth in (("box_s8", 4), ("score_s8", len(LABELS))):
        head = graph.conv(features, f"{name}_conv", (FEATURES, depth), 1, FEATURE_SCALE)
        head = graph.quantised(head, f"{name}_nchw", head_scale, HEAD_ZERO_POINT)
        if foreign_op and name == "score_s8":
            head = graph.op("Shrink", [head], FOREIGN_OP)
        head = graph.op("Transpose", [head], f"{name}_nhwc", perm=[0, 2, 3, 1])
        graph.op("QuantizeLinear", [head, *graph.scales(name, head_scale, HEAD_ZERO_POINT)], name)
        shape = [1, HW[0] // STRIDE, HW[1] // STRIDE, depth]
        infos.append(helper.make_tensor_value_info(name, TensorProto.UINT8, shape))
    source = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, *HW, 1])
    proto = helper.make_graph(graph.nodes, "tiny", [source], infos, graph.constants)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def write_manifest(directory: Path) -> Bundle:
    """Write the bundle of whatever standard files lie in ``directory``."""
    heads = [
        {"name": name, "stride": STRIDE, "kind": kind, "scale": HEAD_SCALE,
         "zero_point": HEAD_ZERO_POINT}
        for name, kind in (("box_s8", "box"), ("score_s8", "score"))
    ]  # fmt: skip
    return write_bundle(
        directory,
        {
            "name": directory.name,
            "version": "1.0.0",
            "labels": list(LABELS),
            "channels": "thermal",
            "input": {"name": "images", "height": HW[0], "width": HW[1], "channels": 1},
            "head": {"family": "yolo26", "reg_max": 1, "strides": [STRIDE], "outputs": heads},
            "thresholds": {"score": 0.25, "iou": 0.5, "max_detections": 300},
            "provenance": {"made_by": "tests/support/quantised_bundle.py"},
        },
    )


def build_quantised_bundle(
    directory: Path, seed: int = 0, head_scale: float = HEAD_SCALE
) -> Bundle:
    """Write int8.onnx and the manifest into ``directory`` (made if need be).

    Args:
        directory: becomes the bundle's folder.
        seed: of the weights.
        head_scale: of the outputs; the manifest says ``HEAD_SCALE`` regardless.
    """
    directory.mkdir(parents=True, exist_ok=True)
    onnx.save(_make_model(seed, head_scale, foreign_op=False), directory / "int8.onnx")
    return write_manifest(directory)


def write_onnx_with_foreign_op(path: Path) -> None:
    """Write the graph with one more op, :data:`FOREIGN_OP`, that no HTP has."""
    onnx.save(_make_model(0, HEAD_SCALE, foreign_op=True), path)

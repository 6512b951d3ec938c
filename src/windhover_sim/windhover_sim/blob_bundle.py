"""A small real model bundle whose detections are known exactly.

The ONNX graph detects bright rectangles: it has no training in it, and yet it
is a YOLO-shaped detector from uint8 NHWC pixels to raw heads at two strides, so
everything from letterbox to NMS works on it as on a trained model.

For the cell centred at (x, y) the distance to the rectangle's left side is the
number of bright pixels in a row to the left of x. A convolution counts the dark
ones among the first 1, 2, .. REACH pixels; the distance is how many of these
counts are zero. The same goes for the other sides. A cell whose centre is
bright on all sides scores, the more so the more central it is in its
rectangle. So each rectangle with sides of 12 to REACH pixels gives exactly its
own box once, whatever its position; rectangles must not touch.

Labels: ``person`` for 200..255, ``vehicle`` for 128..199. Anything darker is
ground. The score is the sigmoid of 6 less half the off-centre distance in
strides. An ``rgb`` bundle looks at the red plane only, that is channel 2; an
``rgbt`` bundle at the brighter of red and thermal, so that it goes on without either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from windhover.model.bundle import Bundle, write_bundle
from windhover.model.manifest import CHANNEL_COUNT, REG_MAX

LABELS = ("person", "vehicle")
PERSON_LEVEL, VEHICLE_LEVEL = 200, 128
STRIDES = (8, 16)
REACH = 96
SCORE_SCALE, SCORE_ZERO_POINT = 0.125, 200
BOX_SCALE, BOX_ZERO_POINT = 0.125, 255


class _Graph:
    """Collects nodes; every method returns the name of what it adds."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def const(self, value: Any, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def slice(self, value: str, starts: list[int], step: int = 1) -> str:
        """From ``starts`` (y, x) of an NCHW tensor to its end."""
        end = np.iinfo(np.int32).max
        columns = ([*starts], [end, end], [2, 3], [step, step])
        return self.op("Slice", value, *(self.const(c, np.int64) for c in columns))

    def is_less(self, value: str, than: float) -> str:
        return self.op("Cast", self.op("Less", value, self.const(than)), to=TensorProto.FLOAT)


def _run_length(graph: _Graph, dark: str, stride: int, side: int) -> str:
    """(1, 1, h, w): bright pixels in a row from each cell's centre to one side.

    ``side`` is 0 left, 1 top, 2 right, 3 bottom. Kernel k sees the k+1 pixels
    that are nearest to the centre on that side.
    """
    along_y, forwards = side in (1, 3), side >= 2
    axis, half = (2 if along_y else 3), stride // 2
    nearest_first = np.tri(REACH, dtype=np.float32)
    kernel = nearest_first if forwards else nearest_first[:, ::-1]
    # Beyond the image is dark. Each window then starts at a cell's corner, or
    # at its centre where it looks forwards.
    pads = np.zeros((2, 4), np.int64)
    pads[int(forwards), axis] = REACH - half
    padded = graph.op(
        "Pad", dark, graph.const(pads.ravel(), np.int64), graph.const(1.0), mode="constant"
    )
    starts = [half, half]
    if not forwards:
        starts[axis - 2] = 0
    window = graph.slice(padded, starts)
    weights = kernel[:, None, :, None] if along_y else kernel[:, None, None, :]
    counts = graph.op("Conv", window, graph.const(weights), strides=[stride, stride])
    clear = graph.is_less(counts, 0.5)
    return graph.op("ReduceSum", clear, graph.const([1], np.int64), keepdims=1)


def _distribution(graph: _Graph, strides_away: str, reg_max: int) -> str:
    """Logits (1, reg_max, h, w) whose softmax has the distance as expectation."""
    if reg_max == 1:
        return strides_away
    bins = graph.const(np.arange(reg_max).reshape(1, -1, 1, 1))
    off = graph.op("Abs", graph.op("Sub", strides_away, bins))
    weight = graph.op("Max", graph.op("Sub", graph.const(1.0), off), graph.const(1e-12))
    return graph.op("Log", weight)


def _level(graph: _Graph, dark: str, grey: str, stride: int, reg_max: int) -> tuple[str, str]:
    """Box and score tensors (1, C, h, w) of one stride."""
    runs = [_run_length(graph, dark, stride, side) for side in range(4)]
    away = [graph.op("Div", run, graph.const(float(stride))) for run in runs]
    box = graph.op("Concat", *[_distribution(graph, a, reg_max) for a in away], axis=1)
    off_x = graph.op("Abs", graph.op("Sub", away[0], away[2]))
    off_y = graph.op("Abs", graph.op("Sub", away[1], away[3]))
    half_off = graph.op("Mul", graph.op("Add", off_x, off_y), graph.const(0.5))
    nearest = graph.op("Min", *runs)
    outside = graph.op("Mul", graph.is_less(nearest, 0.5), graph.const(30.0))
    sampled = graph.slice(grey, [stride // 2, stride // 2], stride)
    dimmer = graph.is_less(sampled, PERSON_LEVEL - 0.5)
    penalty = graph.op(
        "Concat",
        graph.op("Mul", dimmer, graph.const(30.0)),
        graph.op("Mul", graph.op("Sub", graph.const(1.0), dimmer), graph.const(30.0)),
        axis=1,
    )
    central = graph.op("Sub", graph.op("Sub", graph.const(6.0), half_off), outside)
    return box, graph.op("Sub", central, penalty)


def _make_model(
    shape: tuple[int, int, int, int],
    reg_max: int,
    outputs: list[dict[str, Any]],
    quantised: bool,
) -> onnx.ModelProto:
    batch, *hw, channels = shape
    graph = _Graph()
    image = graph.op("Cast", "images", to=TensorProto.FLOAT)
    # Thermal is the last plane of B,G,R,T and red the last of B,G,R.
    plane = graph.op("Gather", image, graph.const([channels - 1], np.int64), axis=3)
    if channels == CHANNEL_COUNT["rgbt"]:
        plane = graph.op(
            "Max", plane, graph.op("Gather", image, graph.const([2], np.int64), axis=3)
        )
    grey = graph.op("Transpose", plane, perm=[0, 3, 1, 2])
    dark = graph.is_less(grey, VEHICLE_LEVEL - 0.5)
    tensors = {}
    for stride in STRIDES:
        box, score = _level(graph, dark, grey, stride, reg_max)
        tensors[f"box_s{stride}"], tensors[f"score_s{stride}"] = box, score
    infos = []
    for output in outputs:
        name, stride = output["name"], output["stride"]
        kind = TensorProto.UINT8 if quantised else TensorProto.FLOAT
        last = tensors[name]
        if quantised:
            scale = graph.const(output["scale"])
            zero_point = graph.const(output["zero_point"], np.uint8)
            last = graph.op("QuantizeLinear", last, scale, zero_point)
        graph.op("Transpose", last, output=name, perm=[0, 2, 3, 1])
        depth = 4 * reg_max if output["kind"] == "box" else len(LABELS)
        sides = [batch, hw[0] // stride, hw[1] // stride, depth]
        infos.append(helper.make_tensor_value_info(name, kind, sides))
    source = helper.make_tensor_value_info("images", TensorProto.UINT8, list(shape))
    proto = helper.make_graph(graph.nodes, "blobs", [source], infos, graph.constants)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def build_blob_bundle(
    directory: Path,
    *,
    height: int = 512,
    width: int = 640,
    channels: str = "thermal",
    family: str = "yolo11",
    quantised: bool = False,
    batch: int = 1,
) -> Bundle:
    """Write the bundle into ``directory`` (made if need be) and load it.

    Args:
        directory: becomes the bundle's folder, its name the bundle's name.
        height: of the input, a multiple of 16.
        width: of the input, a multiple of 16.
        channels: ``thermal``, ``rgb`` or ``rgbt``.
        family: ``yolo11`` or ``yolo26``.
        quantised: also write int8.onnx, whose outputs are uint8; distances are
            then exact only for rectangles whose distances are whole strides.
        batch: images of one run.
    """
    directory.mkdir(parents=True, exist_ok=True)
    reg_max = REG_MAX[family]
    outputs: list[dict[str, Any]] = []
    for stride in STRIDES:
        for kind in ("box", "score"):
            output: dict[str, Any] = {"name": f"{kind}_s{stride}", "stride": stride, "kind": kind}
            if quantised:
                box = (BOX_SCALE, BOX_ZERO_POINT if reg_max > 1 else 0)
                quant = box if kind == "box" else (SCORE_SCALE, SCORE_ZERO_POINT)
                output |= {"scale": quant[0], "zero_point": quant[1]}
            outputs.append(output)
    planes = CHANNEL_COUNT[channels]
    shape = (batch, height, width, planes)
    onnx.save(
        _make_model(shape, reg_max, outputs, quantised=False),
        directory / "float.onnx",
    )
    if quantised:
        onnx.save(
            _make_model(shape, reg_max, outputs, quantised=True),
            directory / "int8.onnx",
        )
    return write_bundle(
        directory,
        {
            "name": directory.name,
            "version": "1.0.0",
            "labels": list(LABELS),
            "channels": channels,
            "input": {
                "name": "images",
                "height": height,
                "width": width,
                "channels": planes,
                "batch": batch,
            },
            "head": {
                "family": family,
                "reg_max": reg_max,
                "strides": list(STRIDES),
                "outputs": outputs,
            },
            "thresholds": {"score": 0.25, "iou": 0.5, "max_detections": 300},
            "provenance": {"made_by": "tests/support/blob_bundle.py"},
        },
    )

"""Cuts an exported Ultralytics ONNX graph back to its raw heads.

Ultralytics' exporter puts decoding, and at times NMS, behind the last convolutions of the
``Detect`` head. Eight bits can't serve box coordinates and scores in one tensor, so those parts
are removed: a bundle's graph ends at the convolutions, and the library decodes. The cut is
found by structure: going back from the graph's outputs, the first convolutions that are met
are those of the head, one for boxes and one for scores at each stride.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference, version_converter

from windhover.errors import ConfigError, DataError
from windhover.model.manifest import REG_MAX
from windhover_training.data.readers.pictures import KINDS

from .graph import CORE_INPUT, OPSET, head_names, rename, shape_of

#: Side that a graph of no fixed size gets where none is asked for: Ultralytics' default.
DEFAULT_SIDE = 640
_QUANTISED = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"}
_BRANCH = re.compile(r"\bcv([23])\.(\d+)\.")
_KINDS = {"2": "box", "3": "score"}


@dataclass(frozen=True)
class Head:
    """A last convolution of the head.

    Attributes:
        kind: ``box`` or ``score``.
        tensor: its output.
        channels: of that.
    """

    kind: str
    tensor: str
    channels: int


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read a graph.

    Raises:
        DataError: the file can't be read or holds no graph.
    """
    try:
        model = onnx.load(path)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
    except Exception as error:  # protobuf's and onnx's own errors share no public base
        raise DataError(f"{path}: is no ONNX graph ({type(error).__name__})") from error
    if not model.graph.node:
        raise DataError(f"{path}: is no ONNX graph, or an empty one")
    return model


def class_names(model: onnx.ModelProto) -> list[str] | None:
    """Names of the classes as Ultralytics' exporter notes them; None if it did not."""
    text = _metadata(model).get("names")
    if text is None:
        return None
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names)]
    return [str(name) for name in names] if isinstance(names, list) else None


def input_size(model: onnx.ModelProto) -> tuple[int, int] | None:
    """Height and width of a graph of fixed size; None for one of any size."""
    height, width = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[2:4])
    return (height, width) if height and width else None


def cut_at_heads(
    model: onnx.ModelProto, size: tuple[int, int] | None, where: str
) -> onnx.ModelProto:
    """Make the core graph of an exported detector.

    Args:
        model: float graph that Ultralytics exported; it is not changed.
        size: height and width of the input; None for the graph's own, or 640x640.
        where: file name, for messages.

    Returns:
        Channels first at both ends, as :func:`.graph.export_core` makes it: input ``pixels``
        (1, C, H, W) float32 0..1 in the graph's own order of colours, outputs ``box_s8``,
        ``score_s8`` and so on.

    Raises:
        ConfigError: the graph is quantised, of another size or task, or has no such heads.
    """
    _check(model, where)
    model = copy.deepcopy(model)
    height, width = _sized(model, size, where)
    heads = _heads(model.graph, where)
    graph = model.graph
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(head.tensor, TensorProto.FLOAT, None) for head in heads
    )
    del graph.value_info[:]
    model = onnxslim.slim(model)
    if _opset(model) < OPSET:
        model = version_converter.convert_version(model, OPSET)
    return _named(shape_inference.infer_shapes(model), heads, (height, width), where)


def reverse_colours(core: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Make a graph that takes R, G, B one that takes B, G, R, in its first kernel.

    Raises:
        ConfigError: the input does not go straight into one convolution.
    """
    core = copy.deepcopy(core)
    takers = [node for node in core.graph.node if CORE_INPUT in node.input]
    if len(takers) != 1 or takers[0].op_type != "Conv":
        names = ", ".join(sorted({node.op_type for node in takers})) or "nothing"
        raise ConfigError(
            f"{where}: its input goes into {names} and not straight into a convolution; "
            "export it without preprocessing inside"
        )
    _change(core.graph, takers[0].input[1], lambda kernel: kernel[:, ::-1])
    return core


def select_classes(core: onnx.ModelProto, rows: Sequence[int]) -> onnx.ModelProto:
    """Keep some classes of a core graph, in the order of ``rows``."""
    core = copy.deepcopy(core)
    graph = core.graph
    makers = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        if output.name.startswith("score"):
            for name in makers[output.name].input[1:]:
                _change(graph, name, lambda values: values[list(rows)])
            output.type.tensor_type.shape.dim[1].dim_value = len(rows)
    del graph.value_info[:]
    onnx.checker.check_model(core)
    return core


def _check(model: onnx.ModelProto, where: str) -> None:
    task = _metadata(model).get("task", "detect")
    if task != "detect":
        raise ConfigError(f"{where}: is a model for the task {task!r}; only detectors can be used")
    quantised = sorted({node.op_type for node in model.graph.node} & _QUANTISED)
    if quantised:
        raise ConfigError(
            f"{where}: is quantised already ({quantised[0]}); give the float export, which is "
            "quantised here for the HTP"
        )
    inputs = model.graph.input
    if len(inputs) != 1 or len(shape_of(inputs[0])) != 4:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ConfigError(f"{where}: a detector has one input (N, C, H, W), and this has {names}")
    if inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise ConfigError(f"{where}: its input is not float32; export it with half=False")
    channels = shape_of(model.graph.input[0])[1]
    if channels not in KINDS:
        raise ConfigError(f"{where}: takes {channels or 'any number of'} channels, not 1, 3 or 4")


def _sized(model: onnx.ModelProto, size: tuple[int, int] | None, where: str) -> tuple[int, int]:
    """Fix the input's shape; returns height and width."""
    fixed = input_size(model)
    height, width = size or fixed or (DEFAULT_SIDE, DEFAULT_SIDE)
    if fixed is not None and fixed != (height, width):
        raise ConfigError(
            f"{where}: is for {fixed[1]}x{fixed[0]} images and {width}x{height} are asked for; "
            "export it with dynamic=True, or for that size, or give best.pt"
        )
    if height % 32 or width % 32:
        raise ConfigError(f"--size {width}x{height}: both sides must be multiples of 32")
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, value in zip(dims, (1, shape_of(model.graph.input[0])[1], height, width), strict=True):
        dim.Clear()
        dim.dim_value = value
    return height, width


def _heads(graph: onnx.GraphProto, where: str) -> list[Head]:
    """The head's last convolutions in no order that matters, boxes and scores in pairs.

    Raises:
        ConfigError: what is found is no YOLO head.
    """
    kernels = {tensor.name: tensor for tensor in graph.initializer}
    found = list(_last_convolutions(graph, kernels))
    counts = [int(kernels[node.input[1]].dims[0]) for node in found]
    bins = REG_MAX["yolo11" if _has_distributions(graph, kernels) else "yolo26"]
    kinds = [_kind(node, count, 4 * bins) for node, count in zip(found, counts, strict=True)]
    heads = [
        Head(kind, node.output[0], count)
        for node, count, kind in zip(found, counts, kinds, strict=True)
        if kind is not None
    ]
    boxes = [head for head in heads if head.kind == "box"]
    scores = [head for head in heads if head.kind == "score"]
    complete = (
        len(heads) == len(found)
        and len(boxes) == len(scores) > 0
        and all(head.channels == 4 * bins for head in boxes)
        and len({head.channels for head in scores}) == 1
    )
    if not complete:
        shown = ", ".join(map(str, counts)) or "none"
        raise ConfigError(
            f"{where}: its boxes are decoded in a way that can't be cut off (last convolutions "
            f"with {shown} channels, where pairs with {4 * bins} and one a class are needed); "
            "give best.pt, or an ONNX export of Ultralytics' YOLOv8, YOLO11 or YOLO26"
        )
    return heads


def _last_convolutions(
    graph: onnx.GraphProto, kernels: Mapping[str, onnx.TensorProto]
) -> Iterator[onnx.NodeProto]:
    """Convolutions from which the outputs are reached through no other one."""
    makers = {name: node for node in graph.node for name in node.output}
    waiting, seen = [output.name for output in graph.output], set[str]()
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.output[0] in seen:
            continue
        seen.add(node.output[0])
        if node.op_type == "Conv" and not _sums_bins(node, kernels):
            yield node
        elif node.op_type != "Shape":
            waiting += node.input


def _has_distributions(graph: onnx.GraphProto, kernels: Mapping[str, onnx.TensorProto]) -> bool:
    return any(node.op_type == "Conv" and _sums_bins(node, kernels) for node in graph.node)


def _sums_bins(node: onnx.NodeProto, kernels: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a convolution is the mean of a distribution: one kernel of 0, 1, 2, ..."""
    kernel = kernels.get(node.input[1])
    if kernel is None or list(kernel.dims) != [1, REG_MAX["yolo11"], 1, 1]:
        return False
    return bool((numpy_helper.to_array(kernel).ravel() == np.arange(REG_MAX["yolo11"])).all())


def _kind(node: onnx.NodeProto, channels: int, box_channels: int) -> str | None:
    """Boxes or scores: as the exporter's names say, else by the channels."""
    if node.input[1] and (named := _BRANCH.search(node.input[1].replace("one2one_", ""))):
        return _KINDS[named.group(1)]
    if named := _BRANCH.search(node.name.replace("one2one_", "").replace("/", ".")):
        return _KINDS[named.group(1)]
    return "box" if channels == box_channels else "score"


def _named(
    model: onnx.ModelProto, heads: Sequence[Head], hw: tuple[int, int], where: str
) -> onnx.ModelProto:
    """Give input and outputs the names of a core graph, finest stride first."""
    graph = model.graph
    shapes = {value.name: shape_of(value) for value in [*graph.output, *graph.value_info]}
    strides: dict[int, dict[str, Head]] = {}
    for head in heads:
        shape = shapes.get(head.tensor, [])
        if len(shape) != 4 or not all(shape):
            raise ConfigError(f"{where}: the shape of {head.tensor} is not known; give best.pt")
        stride = hw[0] // shape[2]
        if [cells * stride for cells in shape[2:]] != list(hw):
            raise ConfigError(f"{where}: {head.tensor} has no square cells; give best.pt")
        strides.setdefault(stride, {})[head.kind] = head
    if any(set(pair) != {"box", "score"} for pair in strides.values()):
        raise ConfigError(f"{where}: boxes and scores are at different strides; give best.pt")
    del graph.output[:]
    names = iter(head_names(sorted(strides)))
    for stride in sorted(strides):
        for kind in ("box", "score"):
            head, name = strides[stride][kind], next(names)
            rename(graph, head.tensor, name)
            value = helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[head.tensor])
            graph.output.append(value)
    rename(graph, graph.input[0].name, CORE_INPUT)
    graph.input[0].name = CORE_INPUT
    del graph.value_info[:], model.metadata_props[:]
    onnx.checker.check_model(model)
    return model


def _change(graph: onnx.GraphProto, name: str, change: Any) -> None:
    """Replace a constant by what ``change`` makes of it."""
    for tensor in graph.initializer:
        if tensor.name == name:
            values: NDArray[Any] = np.ascontiguousarray(change(numpy_helper.to_array(tensor)))
            tensor.CopyFrom(numpy_helper.from_array(values, name))


def _metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})

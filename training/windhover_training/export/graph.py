"""From averaged weights to float.onnx: raw heads, uint8 NHWC in, float32 NHWC out."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from ultralytics.nn.tasks import DetectionModel

from windhover.errors import ConfigError
from windhover.model import Bundle, Role

from ..engine.fusion import RgbtModel
from ..engine.model import is_ultralytics, load_weights, raw_heads

OPSET = 17
INPUT = "images"
CORE_INPUT = "pixels"
TO_NCHW = (0, 3, 1, 2)
TO_NHWC = (0, 2, 3, 1)


class Heads(torch.nn.Module):
    """The fused model up to its raw heads.

    Box range and score range differ by orders of magnitude; they leave the graph as
    tensors of their own so that eight bits serve each of them well.
    """

    def __init__(self, model: DetectionModel) -> None:
        super().__init__()
        model = copy.deepcopy(model).eval()
        # Fusing drops one of YOLO26's two heads: keep the one that is used.
        model.model[-1].end2end = getattr(model.model[-1], "one2one_cv2", None) is not None
        self.model = model.fuse(verbose=False)
        if isinstance(self.model, RgbtModel):
            self.model.widen()
            self.model.split_merges()

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map ``(1, C, H, W)`` float 0..1 to the raw heads, each ``(1, channels, h, w)``."""
        return tuple(raw_heads(self.model, pixels))


def head_names(strides: Sequence[int]) -> list[str]:
    """Output names in the order of :func:`..engine.model.raw_heads`: box_s8, score_s8, ..."""
    return [f"{kind}_s{stride}" for stride in strides for kind in ("box", "score")]


def output_names(graph: onnx.GraphProto) -> list[str]:
    """Names of a graph's outputs in order."""
    return [output.name for output in graph.output]


def load_core(source: Path, height: int, width: int) -> tuple[onnx.ModelProto, list[str]]:
    """The float graph that is to be quantised, and its labels.

    Args:
        source: ``best.pt`` or ``final.pt`` of a run; a checkpoint or ONNX graph that
            Ultralytics wrote; or a released bundle, whose float.onnx is then quantised again.
        height: input rows, a multiple of 32.
        width: input columns, a multiple of 32.

    Raises:
        BundleError: the bundle is damaged.
        ConfigError: the bundle's graph is of another size, or it has none.
        DataError: the file holds no averaged weights.
    """
    if not source.is_dir() and is_ultralytics(source):
        from .ultralytics_model import read_ultralytics  # it is built on this module

        source_model = read_ultralytics(source, (), (height, width))
        return source_model.core, source_model.labels
    if not source.is_dir():
        model, spec = load_weights(source)
        return export_core(model, height, width, spec.channels), spec.labels
    bundle = Bundle.load(source)
    path = bundle.file(Role.FLOAT_ONNX)
    if path is None or bundle.input.hw != (height, width):
        raise ConfigError(
            f"{source}: its float.onnx is for {bundle.input.width}x{bundle.input.height} images"
            f" and {width}x{height} are asked for; a graph keeps its size"
            if path
            else f"{source}: the bundle has no float.onnx to quantise"
        )
    return unfinished(onnx.load(path)), list(bundle.labels)


def export_core(model: DetectionModel, height: int, width: int, channels: int) -> onnx.ModelProto:
    """Export the part between scaled pixels and raw heads: what is quantised.

    Args:
        model: in eval mode; it is not changed.
        height: input rows, a multiple of 32.
        width: input columns, a multiple of 32.
        channels: input channels.

    Returns:
        Slimmed and checked graph, channels first at both ends: input ``pixels``
        (1, C, H, W) float32 0..1, outputs as :func:`head_names` has them.
        :func:`finish_float` and :func:`.quantise.quantise` put the bundle's ends on it.
    """
    strides = [int(stride) for stride in model.stride]
    return export_heads(Heads(model).eval(), (1, channels, height, width), strides)


def export_heads(
    heads: torch.nn.Module, shape: tuple[int, int, int, int], strides: Sequence[int]
) -> onnx.ModelProto:
    """Trace a module that gives raw heads; see :func:`export_core`."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "core.onnx")
        with torch.no_grad(), warnings.catch_warnings():
            # The TorchScript exporter is chosen on purpose: its graphs are what ONNX Runtime's
            # and AIMET's quantisers know, and it keeps to opset 17.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            torch.onnx.export(
                heads,
                (torch.zeros(shape),),
                path,
                opset_version=OPSET,
                input_names=[CORE_INPUT],
                output_names=head_names(strides),
                dynamo=False,
            )
        graph = onnxslim.slim(onnx.load(path))
    onnx.checker.check_model(graph)
    return graph


def finish_float(core: onnx.ModelProto) -> onnx.ModelProto:
    """Make float.onnx: raw uint8 NHWC pixels in, float32 NHWC heads out.

    Args:
        core: what :func:`export_core` made.

    Returns:
        A checked graph with the division by 255 and the transposes inside.
    """
    model = copy.deepcopy(core)
    graph = model.graph
    constants: dict[str, NDArray[Any]] = {
        "pixel_scale": np.array(1 / 255, np.float32),
        "pixel_zero": np.array(0, np.uint8),
    }
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    front = [
        # Not a Cast: the HTP's compiler takes one from bytes as one from truth values, so that
        # every pixel above 0 becomes 1.
        helper.make_node("DequantizeLinear", [INPUT, *constants], ["pixels_nhwc"], "scale_pixels"),
        helper.make_node("Transpose", ["pixels_nhwc"], [CORE_INPUT], "to_nchw", perm=list(TO_NCHW)),
    ]
    for i, node in enumerate(front):
        graph.node.insert(i, node)
    for name in output_names(graph):
        rename(graph, name, f"{name}_nchw")
        graph.node.append(
            helper.make_node(
                "Transpose", [f"{name}_nchw"], [name], f"{name}_to_nhwc", perm=list(TO_NHWC)
            )
        )
    set_ends(graph, TensorProto.FLOAT)
    onnx.checker.check_model(model)
    return model


def unfinished(model: onnx.ModelProto) -> onnx.ModelProto:
    """Undo :func:`finish_float`: the core graph of a float.onnx.

    Raises:
        ConfigError: the graph has other ends.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    made = {"scale_pixels", "to_nchw"}
    made |= {f"{name}_to_nhwc" for name in output_names(graph)}
    if not made <= {node.name for node in graph.node}:
        raise ConfigError("the float.onnx was not written by this exporter; give a checkpoint")
    made.add("cast_pixels")  # of bundles up to thermal-n 0.1.3 and rgbt-n 0.1.0
    kept = [node for node in graph.node if node.name not in made]
    del graph.node[:]
    graph.node.extend(kept)
    for constant in [i for i in graph.initializer if i.name in ("pixel_scale", "pixel_zero")]:
        graph.initializer.remove(constant)
    _, height, width, channels = shape_of(graph.input[0])
    shapes = {output.name: shape_of(output) for output in graph.output}
    del graph.input[:], graph.output[:]
    graph.input.append(
        helper.make_tensor_value_info(CORE_INPUT, TensorProto.FLOAT, [1, channels, height, width])
    )
    for name, (_, h, w, c) in shapes.items():
        rename(graph, f"{name}_nchw", name)
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c, h, w]))
    onnx.checker.check_model(model)
    return model


def set_ends(graph: onnx.GraphProto, output_type: int) -> None:
    """Declare the bundle's input and outputs, channels last, in place of the core's."""
    _, channels, height, width = shape_of(graph.input[0])
    declared = {o.name: shape_of(o) for o in graph.output}
    del graph.input[:], graph.output[:]
    graph.input.append(
        helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, height, width, channels])
    )
    for name, (_, c, h, w) in declared.items():
        graph.output.append(helper.make_tensor_value_info(name, output_type, [1, h, w, c]))


def shape_of(value: onnx.ValueInfoProto) -> list[int]:
    """Fixed shape of a graph input or output."""
    return [d.dim_value for d in value.type.tensor_type.shape.dim]


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a tensor wherever a node makes or takes it; graph ends keep their names."""
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new
    for info in [v for v in graph.value_info if v.name == old]:
        graph.value_info.remove(info)

"""Post-training quantisation with ONNX Runtime's QNN recipe: 8-bit QDQ, uint8 at both ends.

Activations are uint8 per tensor, weights int8 per channel, biases int32. Activation ranges
are ours (:mod:`.ranges`), from images of the training split only.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType, quantize
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config

from windhover.errors import ConfigError

from ..config import QuantisationConfig
from .graph import CORE_INPUT, INPUT, TO_NCHW, TO_NHWC, output_names, rename, set_ends, shape_of
from .ranges import PASSING, Histogram, Range, choose_range, next_functions, observe, resized

_PIXEL = {
    "quant_type": QuantType.QUInt8,
    "scale": np.array(1 / 255, np.float32),
    "zero_point": np.array(0, np.uint8),
}
_SEEN = 0.01  # least score of a place where the model sees something
_BOX_ROOM = 1.05  # box ranges come from few places, so they are a little wider than those


class _Blank(CalibrationDataReader):
    """One black image: ONNX Runtime insists on calibrating, and all ranges are ours."""

    def __init__(self, shape: list[int]) -> None:
        self._images = iter([np.zeros(shape, np.float32)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._images, None)
        return None if image is None else {CORE_INPUT: image}


def quantise(
    core: onnx.ModelProto,
    images: Iterable[NDArray[np.uint8]],
    settings: QuantisationConfig,
    found: Mapping[str, Histogram] | None = None,
) -> onnx.ModelProto:
    """Quantise the core graph to 8 bits, and to 16 where the settings say so.

    Args:
        core: float graph from scaled pixels to raw heads.
        images: calibration images, each ``(1, H, W, C)`` uint8.
        settings: how ranges are chosen.
        found: what :func:`look` gave for these images, if it was asked before.

    Returns:
        QDQ graph with a uint8 input ``images`` and uint8 outputs.

    Raises:
        ConfigError: the settings name a layer that the graph has not.
        DataError: there are no images.
    """
    ranges = activation_ranges(core, found or look(core, images), settings)
    if settings.a16:
        # In 8 bits the recipe hands a range on by itself, in 16 it does not.
        ranges |= handed_on(core, ranges)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "core.onnx", Path(folder) / "qdq.onnx"
        onnx.save(core, source)
        config = get_qnn_qdq_config(
            str(source),
            _Blank(shape_of(core.graph.input[0])),
            calibrate_method=CalibrationMethod.MinMax,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=settings.per_channel,
            init_overrides={CORE_INPUT: [_PIXEL], **_wide(core, ranges, settings.a16)},
        )
        # The pixels too, where they are first taken apart into colour and thermal.
        config.extra_options["ForceQuantizeNoInputCheck"] = True
        # Only now: the recipe decides by what is named beforehand where types change.
        # The pixels' 8 bits are given; where a layer takes them in 16, those are not.
        known = {**ranges, CORE_INPUT: (0.0, 1.0)}
        _set_ranges(config.extra_options["TensorQuantOverrides"], known)
        quantize(str(source), str(target), config)
        model = onnx.load(target)
    return with_quantised_ends(with_own_weights(model))


def look(core: onnx.ModelProto, images: Iterable[NDArray[np.uint8]]) -> dict[str, Histogram]:
    """Count the values of every activation on calibration images.

    Raises:
        DataError: there are no images.
    """
    scaled = (
        np.ascontiguousarray((image.astype(np.float32) / np.float32(255)).transpose(TO_NCHW))
        for image in images
    )
    return observe(core, scaled, _where_it_sees)


def activation_ranges(
    core: onnx.ModelProto, found: Mapping[str, Histogram], settings: QuantisationConfig
) -> dict[str, Range]:
    """Choose the range of every activation.

    Scores are logits: their range is given by hand and symmetric, so that no score is cut
    off at one half because the calibration images had nothing confident at its stride. Box
    outputs only matter where there is something, and only those places are looked at.

    Returns:
        By tensor; the pixels have none, as theirs is 0..1.
    """
    behind = next_functions(core)
    ends = set(output_names(core.graph))
    ranges = {}
    for name, histogram in found.items():
        if name in ends and name.startswith("score"):
            # 255 steps around a zero point of 128.
            limit = settings.score_range
            ranges[name] = (-limit, limit * 127 / 128)
        elif name in ends:
            low, high = choose_range(histogram, "minmax")
            ranges[name] = (low * _BOX_ROOM, high * _BOX_ROOM)
        else:
            # 16 bits have levels enough for all values.
            method = "minmax" if name.startswith(tuple(settings.a16)) else settings.method
            ranges[name] = choose_range(histogram, method, settings.percentile, behind.get(name))
    return ranges


def _where_it_sees(outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Mask at the finest stride of the cells at which a score is above :data:`_SEEN`."""
    least = np.log(_SEEN / (1 - _SEEN))
    scores = [value for name, value in outputs.items() if name.startswith("score")]
    size = max((value.shape[2:] for value in scores), key=lambda hw: hw[0])
    mask = np.zeros(size, bool)
    for value in scores:
        mask |= resized(value[0].max(axis=0) > least, size)
    return mask


def handed_on(core: onnx.ModelProto, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges of what only passes another tensor's values on, such as a pool."""
    found: dict[str, Range] = {}
    for node in core.graph.node:
        source = found.get(node.input[0], ranges.get(node.input[0])) if node.input else None
        if node.op_type in PASSING and source is not None:
            found.update({name: source for name in node.output if name not in ranges})
    return found


def _wide(
    core: onnx.ModelProto, known: Iterable[str], prefixes: Iterable[str]
) -> dict[str, list[dict[str, Any]]]:
    """Overrides that give the activations of named layers 16 bits."""
    inner = set(known) - set(output_names(core.graph))
    overrides = {}
    for prefix in prefixes:
        chosen = [name for name in inner if name.startswith(prefix)]
        if not chosen:
            raise ConfigError(f"a16 names {prefix!r}, which begins no layer of the graph")
        overrides.update({name: [{"quant_type": QuantType.QUInt16}] for name in chosen})
    return overrides


def _set_ranges(overrides: dict[str, list[dict[str, Any]]], ranges: Mapping[str, Range]) -> None:
    """Add ranges to what ONNX Runtime is given for each tensor, where the recipe has no scale."""
    for name, (low, high) in ranges.items():
        row = overrides.setdefault(name, [{}])[0]
        for each in (row, row.get("convert")):
            if each is not None and "scale" not in each:
                each.update(rmin=np.float32(low), rmax=np.float32(high))


def with_own_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give each layer its own copy of an int8 weight that several layers share.

    ONNX Runtime can't keep 8-bit sums exact on x86 without VNNI where a weight is shared
    (``session.x64quantprecision``). Channel attention shares its small ones.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    held = {each.name: each for each in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    taken: set[str] = set()
    for node in list(graph.node):
        for place, name in enumerate(node.input):
            maker = makers.get(name)
            if maker is None or maker.op_type != "DequantizeLinear":
                continue
            weight = held.get(maker.input[0])
            if weight is None or weight.data_type != TensorProto.INT8:
                continue
            if name not in taken:
                taken.add(name)
                continue
            own = f"{name}_of_{node.name}"
            copied = [_copy_as(graph, held[each], f"{own}_{each}") for each in maker.input]
            twin = helper.make_node("DequantizeLinear", copied, [own], f"{maker.name}_{node.name}")
            twin.attribute.extend(maker.attribute)
            graph.node.insert(list(graph.node).index(node), twin)
            node.input[place] = own
    return model


def _copy_as(graph: onnx.GraphProto, tensor: TensorProto, name: str) -> str:
    twin = TensorProto()
    twin.CopyFrom(tensor)
    twin.name = name
    graph.initializer.append(twin)
    return name


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
        ValueError: the graph does not begin with QuantizeLinear or an output does not come
            from a DequantizeLinear.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    first = [n for n in graph.node if CORE_INPUT in n.input]
    if not first or any(node.op_type != "QuantizeLinear" for node in first):
        raise ValueError(f"input {CORE_INPUT} is not quantised everywhere")
    scales = list(first[0].input[1:])
    front = [
        helper.make_node(
            "DequantizeLinear", [INPUT, *scales], ["pixels_nhwc"], "images_dequantise"
        ),
        helper.make_node("Transpose", ["pixels_nhwc"], [CORE_INPUT], "to_nchw", perm=list(TO_NCHW)),
    ]
    for i, node in enumerate(front):
        graph.node.insert(i, node)
    for name in output_names(graph):
        last = next(n for n in graph.node if name in n.output)
        if last.op_type != "DequantizeLinear":
            raise ValueError(f"output {name} does not come from a DequantizeLinear")
        scales = _eight_bits(graph, last)
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


def _eight_bits(graph: onnx.GraphProto, last: onnx.NodeProto) -> list[str]:
    """Scale and zero point of an output, which is brought to 8 bits where a layer has 16."""
    scale, zero_point = list(last.input[1:])
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    if constants[zero_point].dtype == np.uint8:
        return [scale, zero_point]
    # 65,535 steps are 257 times 255.
    names = [f"{scale}_8", f"{zero_point}_8"]
    narrow = (
        np.float32(constants[scale] * 257),
        np.uint8(np.round(constants[zero_point] / 257)),
    )
    for name, value in zip(names, narrow, strict=True):
        graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    output = last.output[0]
    last.output[0] = f"{output}_16"
    levels = f"{output}_levels"
    graph.node.append(
        helper.make_node("QuantizeLinear", [f"{output}_16", *names], [levels], f"{output}_narrow")
    )
    graph.node.append(
        helper.make_node("DequantizeLinear", [levels, *names], [output], f"{output}_narrowed")
    )
    return names


def output_quantisation(model: onnx.ModelProto) -> dict[str, tuple[float, int]]:
    """Read ``(scale, zero_point)`` of each uint8 output from its QuantizeLinear.

    Raises:
        ValueError: an output does not come from a QuantizeLinear.
    """
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    found = {}
    for name in output_names(model.graph):
        node = makers[name]
        if node.op_type != "QuantizeLinear":
            raise ValueError(f"output {name} comes from a {node.op_type}, not a QuantizeLinear")
        found[name] = float(constants[node.input[1]]), int(constants[node.input[2]])
    return found

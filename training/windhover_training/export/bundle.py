"""Writes the graphs and the manifest of a model bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.imaging.formats import Modality, to_channels
from windhover.imaging.letterbox import Letterbox
from windhover.model import Bundle, write_bundle
from windhover.model.manifest import CHANNEL_COUNT, REG_MAX, STANDARD_FILES
from windhover.types import Frame
from windhover_evaluation.detection.frames import read_cameras
from windhover_training.data.readers.dataset import load_set
from windhover_training.data.readers.pictures import KINDS
from windhover_training.data.readers.records import MODALITIES

from ..config import QuantisationConfig, ReleaseConfig
from .graph import INPUT, finish_float, load_core, shape_of
from .quantise import output_quantisation, quantise


class BundleIdentity(Protocol):
    """What a manifest takes from a config."""

    @property
    def name(self) -> str:
        """Of the bundle."""

    @property
    def version(self) -> str:
        """Of the bundle."""

    @property
    def height(self) -> int:
        """Rows of the graph's input."""

    @property
    def width(self) -> int:
        """Columns of the graph's input."""


@dataclass(frozen=True, slots=True)
class ExportedGraphs:
    """What the manifest says of the graphs.

    Attributes:
        labels: of the classes, in order.
        channels: ``thermal``, ``rgb`` or ``rgbt``.
        quantisation: output -> ``(scale, zero_point)`` of int8.onnx, in the graph's order.
        reg_max: distance bins of a box side.
    """

    labels: list[str]
    channels: str
    quantisation: dict[str, tuple[float, int]]
    reg_max: int


def calibration_images(
    settings: QuantisationConfig, channels: Modality, height: int, width: int
) -> Iterator[NDArray[np.uint8]]:
    """Draw training images of several data sets, an equal share of each.

    Args:
        settings: names the sets, of which only the ``train`` split is touched.
        channels: ``thermal``, ``rgb`` or ``rgbt``.
        height: rows of the graph's input.
        width: columns of the graph's input.

    Yields:
        ``(1, height, width, C)`` uint8, letterboxed as in flight.
    """
    rng = np.random.default_rng(settings.seed)
    for root in settings.data:
        frames = load_set(root).splits.get("train", [])
        share = min(len(frames), settings.images // len(settings.data))
        for i in sorted(rng.choice(len(frames), share, replace=False)):
            files = tuple(frames[i].images.get(camera) for camera in MODALITIES)
            frame = read_cameras(files, "thermal").frame(channels)
            yield letterboxed(frame, channels, (height, width))


def letterboxed(frame: Frame, channels: Modality, hw: tuple[int, int]) -> NDArray[np.uint8]:
    """``(1, H, W, C)`` uint8 of a frame, as in flight."""
    pixels = to_channels(frame.image, frame.encoding, channels)
    canvas = np.empty((1, *hw, CHANNEL_COUNT[channels]), np.uint8)
    target = canvas[0, :, :, 0] if channels == "thermal" else canvas[0]
    Letterbox((frame.height, frame.width), hw).apply(pixels, out=target)
    return canvas


def export_graphs(config: ReleaseConfig, out: Path) -> ExportedGraphs:
    """Write ``float.onnx`` and ``int8.onnx``.

    Args:
        config: which checkpoint, input size, calibration.
        out: bundle folder, made if needed.

    Raises:
        ConfigError: the checkpoint or the settings do not suit.
        DataError: the checkpoint is damaged, or there are no calibration images.
    """
    core, labels = load_core(config.checkpoint, config.height, config.width)
    out.mkdir(parents=True, exist_ok=True)
    channels = KINDS[shape_of(core.graph.input[0])[1]]
    if config.quantised is None:
        images = calibration_images(config.calibration, channels, config.height, config.width)
        quantised = quantise(core, images, config.calibration)
    else:
        quantised = read_quantised(config.quantised)
    onnx.save(finish_float(core), out / "float.onnx")
    onnx.save(quantised, out / "int8.onnx")
    reg_max = shape_of(core.graph.output[0])[1] // 4
    return ExportedGraphs(labels, channels, output_quantisation(quantised), reg_max)


def keep_graphs(source: Path, out: Path) -> ExportedGraphs:
    """Copy the graphs of a released bundle, which stay what they are.

    Args:
        source: its folder.
        out: bundle folder, made if needed.

    Raises:
        BundleError: it is damaged.
    """
    bundle = Bundle.load(source)
    out.mkdir(parents=True, exist_ok=True)
    for role in bundle.files:
        shutil.copyfile(bundle.root / bundle.files[role].path, out / STANDARD_FILES[role])
    quantisation = {
        output.name: (output.scale, output.zero_point)
        for output in bundle.head.outputs
        if output.scale is not None and output.zero_point is not None
    }
    return ExportedGraphs(list(bundle.labels), bundle.modality, quantisation, bundle.head.reg_max)


def write_float(core: onnx.ModelProto, labels: Sequence[str], out: Path) -> Bundle:
    """Write a bundle of float.onnx alone, for scoring a graph that is not released.

    Args:
        core: as :func:`.graph.export_core` makes it.
        labels: of its classes, in order.
        out: folder, made if needed; the bundle has its name.
    """
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(finish_float(core), out / "float.onnx")
    _, channels, height, width = shape_of(core.graph.input[0])
    heads = {output.name: shape_of(output) for output in core.graph.output}
    bins = next(iter(heads.values()))[1] // 4
    outputs = [
        {"name": name, "stride": height // shape[2], "kind": name.split("_s")[0]}
        for name, shape in heads.items()
    ]
    families = {bins: family for family, bins in REG_MAX.items()}
    manifest = {
        "name": out.name,
        "version": "0",
        "labels": list(labels),
        "channels": KINDS[channels],
        "input": {"name": INPUT, "height": height, "width": width, "channels": channels},
        "head": {
            "family": families[bins],
            "reg_max": bins,
            "strides": sorted({height // shape[2] for shape in heads.values()}),
            "outputs": outputs,
        },
    }
    return write_bundle(out, manifest)


def read_quantised(path: Path) -> onnx.ModelProto:
    """Read the int8.onnx of a quantisation-aware training.

    Raises:
        DataError: it can't be read.
    """
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's and onnx's own errors share no public base
        raise DataError(f"{path}: is no ONNX graph; train it by 'train qat'") from error


def write(
    config: BundleIdentity,
    out: Path,
    exported: ExportedGraphs,
    thresholds: dict[str, Any],
    provenance: dict[str, Any],
    points: Mapping[str, Mapping[str, float]] | None = None,
    second_look: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write ``bundle.yaml`` over the graphs in ``out`` and read it back verified."""
    outputs: list[dict[str, Any]] = []
    for name, (scale, zero_point) in exported.quantisation.items():
        kind, stride = name.split("_s")
        quantisation = {"scale": scale, "zero_point": zero_point}
        outputs.append({"name": name, "stride": int(stride), "kind": kind, **quantisation})
    families = {bins: family for family, bins in REG_MAX.items()}
    manifest = {
        "name": config.name,
        "version": config.version,
        "labels": exported.labels,
        "channels": exported.channels,
        "input": {
            "name": INPUT,
            "height": config.height,
            "width": config.width,
            "channels": CHANNEL_COUNT[exported.channels],
            "layout": "nhwc",
            "dtype": "uint8",
        },
        "head": {
            "family": families[exported.reg_max],
            "reg_max": exported.reg_max,
            "strides": sorted({output["stride"] for output in outputs}),
            "outputs": outputs,
        },
        "thresholds": thresholds,
        **({"operating_points": points} if points else {}),
        **({"second_look": second_look} if second_look else {}),
        "provenance": provenance,
    }
    return write_bundle(out, manifest)

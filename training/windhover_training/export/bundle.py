"""Writes the graphs and the manifest of a model bundle from a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from windhover.model import Bundle, write_bundle

from ..config import ReleaseConfig
from ..data.dataset import load_set
from .graph import INPUT, OUTPUTS, export_core, finish_float, load_checkpoint
from .quantise import output_quantisation, quantise


def calibration_images(roots: list[Path], count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Draw training images of several data sets, an equal share of each.

    Args:
        roots: converted data sets; only their ``train`` split is touched.
        count: images in all.
        seed: decides which.

    Yields:
        ``(1, H, W, 1)`` uint8.
    """
    rng = np.random.default_rng(seed)
    for root in roots:
        frames = load_set(root).splits.get("train", [])
        paths = sorted(frame.images["thermal"] for frame in frames if "thermal" in frame.images)
        chosen = rng.choice(len(paths), min(len(paths), count // len(roots)), replace=False)
        for i in sorted(chosen):
            yield cv2.imread(str(paths[i]), cv2.IMREAD_GRAYSCALE)[None, :, :, None]


def export_graphs(config: ReleaseConfig, out: Path) -> dict[str, tuple[float, int]]:
    """Write ``float.onnx`` and ``int8.onnx``.

    Args:
        config: which checkpoint, input size, calibration.
        out: bundle folder, made if needed.

    Returns:
        Output name -> ``(scale, zero_point)`` of int8.onnx.
    """
    out.mkdir(parents=True, exist_ok=True)
    model, trained = load_checkpoint(config.checkpoint)
    core = export_core(model, config.height, config.width, trained.channels)
    onnx.save(finish_float(core), out / "float.onnx")
    c = config.calibration
    images = calibration_images(c.data, c.images, c.seed)
    quantised = quantise(core, images, c.method, per_channel=c.per_channel)
    onnx.save(quantised, out / "int8.onnx")
    return output_quantisation(quantised)


def write(
    config: ReleaseConfig,
    out: Path,
    quantisation: dict[str, tuple[float, int]],
    thresholds: dict[str, Any],
    provenance: dict[str, Any],
) -> Bundle:
    """Write ``bundle.yaml`` over the graphs in ``out`` and read it back verified."""
    _, trained = load_checkpoint(config.checkpoint)
    outputs = []
    for name in OUTPUTS:
        kind, stride = name.split("_s")
        scale, zero_point = quantisation[name]
        outputs.append(
            {
                "name": name,
                "stride": int(stride),
                "kind": kind,
                "scale": scale,
                "zero_point": zero_point,
            }
        )
    manifest = {
        "name": config.name,
        "version": config.version,
        "labels": trained.labels,
        "channels": "thermal",
        "input": {
            "name": INPUT,
            "height": config.height,
            "width": config.width,
            "channels": trained.channels,
            "layout": "nhwc",
            "dtype": "uint8",
        },
        "head": {"family": "yolo11", "reg_max": 16, "strides": [8, 16, 32], "outputs": outputs},
        "thresholds": thresholds,
        "provenance": provenance,
    }
    return write_bundle(out, manifest)

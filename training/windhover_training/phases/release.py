"""Export, score and describe a model bundle."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from windhover.model import Bundle

from ..config import ReleaseConfig
from ..evaluate.score import best_thresholds, score
from ..export.bundle import export_graphs, write
from ..export.card import write_card
from ..runs import environment

_TOOLS = ("torch", "ultralytics", "onnx", "onnxruntime", "onnxslim")


def export(config: ReleaseConfig, out: Path) -> Bundle:
    """Write the graphs and a manifest with the library's default thresholds."""
    return write(config, out, export_graphs(config, out), {"iou": config.iou}, {})


def verify(config: ReleaseConfig, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Score float.onnx and int8.onnx on every set that the config names.

    Returns:
        Set name -> ``float`` and ``int8`` -> scores.
    """
    return {
        name: {p: score(bundle, p, root, split) for p in ("float", "int8")}
        for name, (root, split) in config.scores.items()
    }


def release(config: ReleaseConfig, out: Path) -> dict[str, dict[str, Any]]:
    """Write a whole bundle: graphs, thresholds, measured metrics, model card.

    Thresholds are those of best F1 of the INT8 graph on a split that is neither trained
    nor reported.

    Returns:
        The metrics that were written.
    """
    exported = export_graphs(config, out)
    bundle = write(config, out, exported, {"iou": config.iou}, {})
    per_class = best_thresholds(bundle, "int8", *config.thresholds_on)
    thresholds = {
        "score": min(per_class.values()),
        "iou": config.iou,
        "max_detections": 300,
        "per_class": per_class,
    }
    bundle = write(config, out, exported, thresholds, {})
    metrics = verify(config, bundle)
    provenance = {
        **config.provenance,
        "metrics": metrics,
        "tools": {name: importlib.metadata.version(name) for name in _TOOLS},
        "git": environment()["git"],
    }
    bundle = write(config, out, exported, thresholds, provenance)
    write_card(bundle, out / "README.md")
    return metrics

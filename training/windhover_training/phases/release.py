"""Export, quantise, compile, score, judge and describe a model bundle."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError, DataError
from windhover.inference.build import build_htp_files
from windhover.inference.qnn_api.library import load_libraries
from windhover.model import Bundle
from windhover_evaluation.fan_out import open_workers
from windhover_evaluation.fidelity.variants import variant_names
from windhover_training.data.readers.dataset import load_set

from ..config import ReleaseConfig
from ..evaluate.score import best_thresholds, false_alarms, quiet_thresholds, score
from ..evaluate.stress import stress
from ..export.bundle import export_graphs, write
from ..export.card import CARD_KEYS, write_card
from ..runs import environment
from .checklist import Evidence, Item, as_dict, checklist
from .verify import verify

_TOOLS = ("torch", "ultralytics", "onnx", "onnxruntime", "onnxslim")

Say = Callable[[str], None]


def export(config: ReleaseConfig, out: Path) -> Bundle:
    """Write the graphs and a manifest with the library's default thresholds."""
    return write(config, out, export_graphs(config, out), {"iou": config.iou}, {})


def release(
    config: ReleaseConfig,
    out: Path,
    report: Path,
    profile: Path | None = None,
    say: Say = lambda _: None,
) -> list[Item]:
    """Write a whole bundle: graphs, thresholds, measured metrics, checklist, model card.

    Thresholds are those of best F1 of the INT8 graph on a split that is neither trained
    nor reported. The bundle is written whatever the checklist says; its status is in
    bundle.yaml and on the card.

    Args:
        config: what it is made from and what it is scored on.
        out: bundle folder.
        report: folder for the comparison of float, INT8 and HTP.
        profile: what ``windhover-train profile`` wrote, if a device was at hand.
        say: receives a line for each step.

    Returns:
        The checklist.

    Raises:
        BackendError: an op does not run on the HTP; names it.
        ConfigError: the config does not suit.
        DataError: a set or a file of figures is missing or damaged.
    """
    # Before hours of work, not after them.
    lacking = sorted(CARD_KEYS - config.provenance.keys())
    if lacking:
        raise ConfigError(f"the card needs provenance.{', provenance.'.join(lacking)}; write them")
    given = {"profile": profile, "ablation": config.ablation, "tracking": config.tracking}
    sources = {name: path for name, path in given.items() if path is not None}
    figures = {name: _read(path) for name, path in sources.items()}
    say("exporting and quantising")
    exported = export_graphs(config, out)
    bundle = write(config, out, exported, {"iou": config.iou}, {})
    say("choosing thresholds on the INT8 graph")
    per_class = _thresholds(config, bundle)
    thresholds = {
        "score": min(per_class.values(), default=bundle.thresholds.score),
        "iou": config.iou,
        "max_detections": 300,
        "per_class": per_class,
    }
    say("compiling for the HTP")
    build_htp_files(out, config.soc)
    bundle = write(config, out, exported, thresholds, {})
    say("scoring float.onnx and int8.onnx")
    metrics = score_all(config, bundle)
    fidelity = None
    if config.htp_frames:
        say(f"comparing with the HTP on {config.htp_frames} images a set")
        names = variant_names("cpu,dlc")
        fidelity = verify(config, bundle, names, config.htp_frames, report).as_dict()
    say("changing images by occlusion, glare and blur")
    first = next(iter(config.scores.values()), None)
    evidence = Evidence(
        bundle,
        metrics,
        scenes=_scenes(config),
        profile=figures.get("profile"),
        ablation=figures.get("ablation"),
        alarms=None if config.empty is None else false_alarms(bundle, *config.empty),
        stress={} if first is None else stress(bundle, *first, config.stress_frames),
        tracking=figures.get("tracking"),
        sources=sources,
    )
    items = checklist(evidence)
    provenance = {
        **config.provenance,
        "thresholds": _how_chosen(config),
        "metrics": metrics,
        **({"fidelity": fidelity} if fidelity else {}),
        "checklist": as_dict(items),
        "tools": {
            **{name: importlib.metadata.version(name) for name in _TOOLS},
            "qnn": load_libraries().build,
        },
        "git": environment()["git"],
    }
    bundle = write(config, out, exported, thresholds, provenance)
    write_card(bundle, out / "README.md")
    return items


def _how_chosen(config: ReleaseConfig) -> str:
    """In words, for the card."""
    words = f"best F1 of the INT8 graph on {config.thresholds_on[1]}"
    if config.least_precision:
        each = ", ".join(f"{label} {least}" for label, least in config.least_precision.items())
        words += f" where the precision is at least {each}"
    for label, least in config.least_score.items():
        words += f", {label} at least {least}"
    if config.quiet_on is not None:
        words += (
            f", raised until each class is found in at most {config.alarms:.0%} of the scenes "
            f"of {config.quiet_on[1]}, in which there is nothing"
        )
    return words


def _thresholds(config: ReleaseConfig, bundle: Bundle) -> dict[str, float]:
    chosen = best_thresholds(bundle, "int8", *config.thresholds_on, config.least_precision)
    least = {label: config.least_score.get(label, 0.0) for label in chosen}
    if config.quiet_on is not None:
        quiet = quiet_thresholds(bundle, "int8", *config.quiet_on, config.alarms)
        least = {label: max(score, quiet[label]) for label, score in least.items()}
    return {label: max(score, least[label]) for label, score in chosen.items()}


def score_all(config: ReleaseConfig, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Score float.onnx and int8.onnx on every set that the config names.

    Returns:
        Set name -> ``float`` and ``int8`` -> scores.
    """
    tasks = [(name, p) for name in config.scores for p in ("float", "int8")]
    places = [config.scores[name] for name, _ in tasks]
    arguments = [(bundle, p, *place) for (_, p), place in zip(tasks, places, strict=True)]
    with open_workers(config.jobs) as workers:
        found = list(workers.map(_score_one, arguments))
    scores: dict[str, dict[str, Any]] = {name: {} for name in config.scores}
    for (name, p), each in zip(tasks, found, strict=True):
        scores[name][p] = each
    return scores


def _score_one(arguments: tuple[Bundle, str, Path, str]) -> dict[str, Any]:
    return score(*arguments)


def _scenes(config: ReleaseConfig) -> int:
    flights = {
        (root, frame.flight)
        for root, split in config.scores.values()
        for frame in load_set(root).splits[split]
    }
    return len(flights)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read ({error}); measure it, or leave it out") from error
    return found

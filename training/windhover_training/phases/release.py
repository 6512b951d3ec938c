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
from windhover.model.manifest import DEFAULT_POINT
from windhover_evaluation.fan_out import open_workers
from windhover_evaluation.fidelity.variants import variant_names
from windhover_training.data.readers.dataset import load_set

from ..config import LabelledSplit, ReleaseConfig
from ..evaluate.points import PLATEAU, choose_points, listed, quiet_words
from ..evaluate.score import false_alarms, points_of, score
from ..evaluate.stress import stress
from ..export.bundle import export_graphs, keep_graphs, write
from ..export.card import CARD_KEYS, write_card
from ..export.second_look import keep_second_look
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
    keep: Path | None = None,
) -> list[Item]:
    """Write a whole bundle: graphs, thresholds, measured metrics, checklist, model card.

    Thresholds are chosen on the INT8 graph, on splits that are neither trained nor reported
    (:mod:`..evaluate.points`). The bundle is written whatever the checklist says; its status is in
    bundle.yaml and on the card.

    Args:
        config: what it is made from and what it is scored on.
        out: bundle folder.
        report: folder for the comparison of float, INT8 and HTP.
        profile: what ``windhover-train profile`` wrote, if a device was at hand.
        say: receives a line for each step.
        keep: released bundle whose graphs and second look are taken as they are, in place of
            the config's checkpoint; thresholds, scores and card are made again.

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
    if keep is not None:
        _require_scores(config, Bundle.load(keep))
    given = {"profile": profile, "ablation": config.ablation, "tracking": config.tracking}
    sources = {name: path for name, path in given.items() if path is not None}
    figures = {name: _read(path) for name, path in sources.items()}
    second_look = None
    if keep is None:
        say("exporting and quantising")
        exported = export_graphs(config, out)
    else:
        exported = keep_graphs(keep, out)
        second_look = keep_second_look(keep, out)
    bundle = write(config, out, exported, {"iou": config.iou}, {})
    say("choosing thresholds on the INT8 graph")
    points = choose_points(config, bundle)
    balanced = points[DEFAULT_POINT]
    thresholds = {
        "score": min(balanced.values()),
        "iou": config.iou,
        "max_detections": 300,
        "per_class": balanced,
    }
    if keep is None:
        say("compiling for the HTP")
        build_htp_files(out, config.soc)
    bundle = write(config, out, exported, thresholds, {}, points, second_look)
    if keep is None:
        say("scoring float.onnx and int8.onnx")
        metrics = score_all(config, bundle)
    else:
        say("counting what is found at each operating point")
        metrics = _rescored(config, bundle, Bundle.load(keep))
    fidelity = None
    if config.htp_frames:
        say(f"comparing with the HTP on {config.htp_frames} images a set")
        names = variant_names("cpu,dlc")
        fidelity = verify(config, bundle, names, config.htp_frames, report).as_dict()
    elif keep is not None:
        fidelity = Bundle.load(keep).provenance.get("fidelity")
    say("changing images by occlusion, glare and blur")
    first = next(((s.data, s.split) for s in config.scores.values()), None)
    evidence = Evidence(
        bundle,
        metrics,
        scenes=_scenes(config),
        profile=figures.get("profile"),
        ablation=figures.get("ablation"),
        alarms={} if config.empty is None else false_alarms(bundle, *config.empty),
        stress={} if first is None else stress(bundle, *first, config.stress_frames),
        tracking=figures.get("tracking"),
        sources=sources,
    )
    items = checklist(evidence)
    provenance = {
        **config.provenance,
        "thresholds": _how_chosen(config),
        **({"alarms": {k: list(v) for k, v in evidence.alarms.items()}} if evidence.alarms else {}),
        "metrics": metrics,
        **({"fidelity": fidelity} if fidelity else {}),
        "checklist": as_dict(items),
        "tools": {
            **{name: importlib.metadata.version(name) for name in _TOOLS},
            "qnn": load_libraries().build,
        },
        "git": environment()["git"],
    }
    bundle = write(config, out, exported, thresholds, provenance, points, second_look)
    write_card(bundle, out / "README.md")
    return items


def _how_chosen(config: ReleaseConfig) -> str:
    """In words, for the card."""
    words = (
        f"lowest within {PLATEAU} of the best mean F1 of the INT8 graph on "
        f"{listed(config.thresholds_on)}"
    )
    if config.least_precision:
        each = ", ".join(f"{label} {least}" for label, least in config.least_precision.items())
        words += f" where the precision is at least {each}"
    for label, least in config.least_score.items():
        words += f", {label} at least {least}"
    if config.quiet_on:
        words += f"; {quiet_words(config.quiet_on, config.alarms)}"
    return words


def _rescored(config: ReleaseConfig, bundle: Bundle, kept: Bundle) -> dict[str, dict[str, Any]]:
    """AP as the kept graphs have it, and what int8.onnx finds at the new operating points."""
    known: Mapping[str, Any] = kept.provenance["metrics"]
    scores: dict[str, dict[str, Any]] = {}
    for name, place in config.scores.items():
        scores[name] = {p: _without_points(known[name][p]) for p in ("float", "int8")}
        labels = list(known[name]["int8"]["all"])
        frames = config.point_frames or place.frames
        found = points_of(bundle, place.data, place.split, labels, frames)
        scores[name]["int8"]["points"] = found
    return scores


def _require_scores(config: ReleaseConfig, kept: Bundle) -> None:
    """Refuse to keep graphs that were never scored on a set of the config."""
    known = kept.provenance.get("metrics", {})
    missing = [name for name in config.scores if name not in known]
    if missing:
        raise ConfigError(
            f"{kept.root} has no scores of {', '.join(missing)}; leave --keep out, or that set"
        )


def _without_points(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores that do not depend on thresholds."""
    own = {"precision", "recall"}
    return {
        group: {
            label: {k: v for k, v in row.items() if k not in own} if isinstance(row, dict) else row
            for label, row in rows.items()
        }
        if isinstance(rows, dict)
        else rows
        for group, rows in scores.items()
        if group != "points"
    }


def score_all(config: ReleaseConfig, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Score float.onnx and int8.onnx on every set that the config names.

    Returns:
        Set name -> ``float`` and ``int8`` -> scores.
    """
    tasks = [(name, p) for name in config.scores for p in ("float", "int8")]
    arguments = [(bundle, p, config.scores[name]) for name, p in tasks]
    with open_workers(config.jobs) as workers:
        found = list(workers.map(_score_one, arguments))
    scores: dict[str, dict[str, Any]] = {name: {} for name in config.scores}
    for (name, p), each in zip(tasks, found, strict=True):
        scores[name][p] = each
    return scores


def _score_one(arguments: tuple[Bundle, str, LabelledSplit]) -> dict[str, Any]:
    bundle, precision, scored = arguments
    return score(
        bundle,
        precision,
        scored.data,
        scored.split,
        frames=scored.frames,
        labelled=scored.labelled,
    )


def _scenes(config: ReleaseConfig) -> int:
    flights = {
        (scored.data, frame.flight)
        for scored in config.scores.values()
        for frame in load_set(scored.data).splits[scored.split]
    }
    return len(flights)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read ({error}); measure it, or leave it out") from error
    return found

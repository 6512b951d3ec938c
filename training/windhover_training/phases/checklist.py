"""The training guide's production deployment checklist, each item with its figure.

An item is passed by a figure that was measured, failed by one, or not measured. A release
is ready when all are passed, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from windhover.model import Bundle, Role
from windhover.model.manifest import DEFAULT_POINT

Status = Literal["pass", "fail", "not measured"]

FRAME_MS, WEAPON_RECALL, WEAPON_PRECISION, SCENES = 30.0, 0.85, 0.80, 100
NIGHT_MAP50, FUSION_MAP50, FALSE_ALARMS = 0.70, 0.80, 0.01
MODEL_MB, MEMORY_MIB, KEPT_UNDER_STRESS = 20.0, 500.0, 0.8


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist.

    Attributes:
        name: as the guide has it.
        status: see :data:`Status`.
        figure: what was found, or what is missing.
        how: how the figure was got, or how to get it.
    """

    name: str
    status: Status
    figure: str
    how: str


@dataclass(frozen=True)
class Evidence:
    """All that the checklist is judged by; what was not measured is ``None`` or empty.

    Attributes:
        bundle: that is released.
        metrics: set -> precision -> group -> label -> scores.
        scenes: distinct flights and scenes among the scored images.
        profile: what ``windhover-train profile`` wrote.
        ablation: kind of fusion -> group -> label -> scores, of ``train ablation``.
        alarms: operating point -> images without anything to find, and those in which
            something was found.
        stress: mAP50 ``clean`` and under each recipe.
        tracking: metrics.json of a flight through detector and tracker.
        sources: name of one of the above -> file it was read from.
    """

    bundle: Bundle
    metrics: Mapping[str, Any]
    scenes: int = 0
    profile: Mapping[str, Any] | None = None
    ablation: Mapping[str, Any] | None = None
    alarms: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    stress: Mapping[str, float] = field(default_factory=dict)
    tracking: Mapping[str, Any] | None = None
    sources: Mapping[str, Path] = field(default_factory=dict)


def checklist(evidence: Evidence) -> list[Item]:
    """Judge every item, in the guide's order."""
    return [judge(evidence) for judge in _JUDGES]


def is_ready(items: Sequence[Item]) -> bool:
    """Whether all items are passed."""
    return all(item.status == "pass" for item in items)


def as_dict(items: Sequence[Item]) -> dict[str, Any]:
    """Plain values for bundle.yaml."""
    return {
        "status": "ready" if is_ready(items) else "not ready",
        "items": [asdict(item) for item in items],
    }


def replace_item(judged: Mapping[str, Any], item: Item) -> dict[str, Any]:
    """A checklist of bundle.yaml with one item judged again."""
    rows = [asdict(item) if row["name"] == item.name else row for row in judged["items"]]
    ready = all(row["status"] == "pass" for row in rows)
    return {"status": "ready" if ready else "not ready", "items": rows}


def _judged(passed: bool) -> Status:
    return "pass" if passed else "fail"


def _dlc(e: Evidence) -> Item:
    name, how = "Model exported to .dlc format", "every op is on the HTP, or it is not written"
    path = e.bundle.file(Role.INT8_DLC)
    if path is None:
        return Item(name, "fail", "no int8.dlc", "windhover-train export dlc")
    return Item(name, "pass", f"{path.name}, {path.stat().st_size / 1e6:.2f} MB", how)


def _profiled(e: Evidence) -> Item:
    name = "Profiled on real QCS8550 hardware"
    if e.profile is None:
        return Item(name, "not measured", "no device", "windhover-train profile --device ...")
    device = e.profile["device"]
    right = "8550" in str(device.get("soc", ""))
    return Item(name, _judged(right), f"{device['name']}, SoC {device.get('soc')}", _from(e))


def _latency(e: Evidence) -> Item:
    name = f"Latency < {FRAME_MS:.0f}ms confirmed"
    timed = _fastest(e)
    if timed is None:
        what = "no device" if e.profile is None else "the profile tells no p99"
        return Item(name, "not measured", what, "windhover-train profile --device ...")
    p99 = timed["latency"]["p99_ms"]
    figure = f"p99 {p99:.1f} ms, inference by backend {timed['backend']}"
    return Item(name, _judged(p99 < FRAME_MS), figure, _from(e))


def _weapons(e: Evidence) -> Item:
    name = "Accuracy >= 85% weapon recall"
    found = [
        (each, {**scores["int8"]["all"]["weapon"], **_balanced(scores)["weapon"]})
        for each, scores in e.metrics.items()
        if "weapon" in scores["int8"]["all"]
    ]
    if not found:
        what = "no set holds weapons" if "weapon" in e.bundle.labels else "the model has no weapon"
        return Item(name, "not measured", what, "train and score a model with that class")
    enough = all(
        row["recall"] >= WEAPON_RECALL and row["precision"] >= WEAPON_PRECISION for _, row in found
    )
    figure = "; ".join(
        f"{each}: recall {row['recall']:.3f} at precision {row['precision']:.3f}, "
        f"{row['boxes']} weapons"
        for each, row in found
    )
    how = f"int8.onnx at the bundle's thresholds; precision >= {WEAPON_PRECISION} is asked too"
    return Item(name, _judged(enough), figure, how)


def _scenes(e: Evidence) -> Item:
    figure = f"{e.scenes} held-out flights and scenes"
    how = "distinct flights of the images that are scored"
    return Item("Tested on 100+ diverse scenes", _judged(e.scenes >= SCENES), figure, how)


def _night(e: Evidence) -> Item:
    name = "Night performance validated"
    found = {
        each: _map50(scores["int8"]["night"])
        for each, scores in e.metrics.items()
        if "night" in scores["int8"]
    }
    if not found:
        return Item(name, "not measured", "no images by night", "score a set with night in it")
    figure = "; ".join(f"{each}: mAP50 {value:.3f}" for each, value in found.items())
    how = f"int8.onnx on the images by night; at least {NIGHT_MAP50:.2f} is asked"
    return Item(name, _judged(min(found.values()) >= NIGHT_MAP50), figure, how)


def _fusion(e: Evidence) -> Item:
    name = "Thermal fusion working (day/night transition smooth)"
    if e.bundle.modality != "rgbt":
        return Item(name, "not measured", f"a {e.bundle.modality} model", "train fusion")
    if e.ablation is None:
        return Item(name, "not measured", "no ablation", "windhover-train train ablation")
    own = {kind: {g: _map50(rows) for g, rows in found.items() if g in ("all", "day", "night")}
           for kind, found in e.ablation.items()}  # fmt: skip
    alone = [own[kind] for kind in ("rgb", "thermal") if kind in own]
    best, joined = max(own.values(), key=lambda row: row["all"]), own["cbam"]
    better = all(joined[group] > single[group] for single in alone for group in joined)
    figure = "; ".join(
        f"{kind} " + "/".join(f"{row[group]:.3f}" for group in row) for kind, row in own.items()
    )
    passed = better and best is joined and joined["all"] >= FUSION_MAP50
    how = (
        f"mAP50 {'/'.join(joined)} of one budget each ({_source(e, 'ablation')}); asked: CBAM at "
        f"least {FUSION_MAP50:.2f} and above either camera alone, by day and by night"
    )
    return Item(name, _judged(passed), figure, how)


def _alarms(e: Evidence) -> Item:
    return judge_alarms(e.alarms)


def judge_alarms(alarms: Mapping[str, tuple[int, int]]) -> Item:
    """The item of false alarms.

    Args:
        alarms: operating point -> images without anything to find, and those with a find.
    """
    name = "False positive rate < 1%"
    if not any(images for images, _ in alarms.values()):
        return Item(name, "not measured", "no empty scenes", "name a set of them as 'empty'")
    figure = "; ".join(
        f"{point}: {found} of {images} frames ({found / images:.1%})"
        for point, (images, found) in alarms.items()
    )
    how = "int8.onnx on scenes without anything to find; one operating point must pass"
    fewest = min(found / images for images, found in alarms.values())
    return Item(name, _judged(fewest < FALSE_ALARMS), figure, how)


def _size(e: Evidence) -> Item:
    sizes = {role: spec.bytes / 1e6 for role, spec in e.bundle.files.items()}
    shipped = [sizes[role] for role in (Role.INT8_DLC, Role.QCS8550_BIN) if role in sizes]
    largest = max(shipped or sizes.values())
    figure = f"{largest:.2f} MB"
    how = "the larger of int8.dlc and the compiled graph"
    return Item("Model size < 20MB", _judged(largest < MODEL_MB), figure, how)


def _memory(e: Evidence) -> Item:
    name = "VRAM usage < 500MB"
    timed = _fastest(e)
    if timed is None or "peak_mib" not in timed:
        return Item(name, "not measured", "no device", "windhover-train profile --device ...")
    peak = timed["peak_mib"]
    figure = f"{peak:.0f} MiB at most"
    how = f"resident memory of the process that runs backend {timed['backend']}; {_from(e)}"
    return Item(name, _judged(peak < MEMORY_MIB), figure, how)


def _tracking(e: Evidence) -> Item:
    name = "Integration with tracking pipeline tested"
    if e.tracking is None or not e.tracking.get("tracking"):
        return Item(name, "not measured", "no flight", "windhover demo or replay, then 'tracking'")
    overall = e.tracking["tracking"]["overall"]
    figure = f"HOTA {overall['HOTA']:.3f}, IDF1 {overall['IDF1']:.3f}"
    how = f"detector and tracker as ROS nodes over a flight ({_source(e, 'tracking')})"
    return Item(name, _judged(overall["tracks"] > 0 and overall["HOTA"] > 0), figure, how)


def _edges(e: Evidence) -> Item:
    name = "Edge cases handled (occlusion, glare, motion blur)"
    if not e.stress:
        return Item(name, "not measured", "no images", "windhover-train release does it")
    clean = e.stress["clean"]
    others = {each: value for each, value in e.stress.items() if each != "clean"}
    figure = f"mAP50 {clean:.3f} clean, " + ", ".join(f"{v:.3f} {k}" for k, v in others.items())
    how = (
        f"test images changed by a fixed recipe; {KEPT_UNDER_STRESS:.0%} of clean is asked of each"
    )
    kept = all(value >= KEPT_UNDER_STRESS * clean for value in others.values())
    return Item(name, _judged(kept), figure, how)


_JUDGES: Sequence[Callable[[Evidence], Item]] = (
    _dlc, _profiled, _latency, _weapons, _scenes, _night, _fusion, _alarms, _size, _memory,
    _tracking, _edges,
)  # fmt: skip


def _balanced(scores: Mapping[str, Any]) -> Mapping[str, Any]:
    """Label -> precision and recall at the default operating point."""
    found: Mapping[str, Any] = scores["int8"].get("points", {}).get(DEFAULT_POINT)
    return scores["int8"]["all"] if found is None else found


def _map50(rows: Mapping[str, Any]) -> float:
    values = [row["ap50"] for label, row in rows.items() if label != "images"]
    return float(sum(values) / len(values)) if values else 0.0


def _fastest(e: Evidence) -> Mapping[str, Any] | None:
    """The backend of a profile with the least p99."""
    runs = [
        run for run in (e.profile or {}).get("backends", []) if "p99_ms" in run.get("latency", {})
    ]
    return min(runs, key=lambda run: run["latency"]["p99_ms"], default=None)


def _source(e: Evidence, name: str) -> str:
    return str(e.sources.get(name, "given"))


def _from(e: Evidence) -> str:
    return f"windhover-train profile, {_source(e, 'profile')}"

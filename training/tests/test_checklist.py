"""The release checklist: what passes an item, what fails it, and what is not measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.quantised_bundle import build_quantised_bundle
from windhover_training.phases.checklist import Evidence, Item, as_dict, checklist, is_ready

ROW = {"ap50": 0.9, "ap50_95": 0.6, "precision": 0.9, "recall": 0.9, "boxes": 40}


def metrics(**changes: float) -> dict[str, Any]:
    groups = {"all": {"weapon": {**ROW, **changes}}, "night": {"weapon": {**ROW, **changes}}}
    return {"set": {"int8": groups, "float": groups}}


@pytest.fixture
def complete(tmp_path: Path) -> Evidence:
    """Evidence that passes every item."""
    bundle = build_quantised_bundle(tmp_path / "tiny")
    (bundle.root / "int8.dlc").write_bytes(b"x" * 1000)
    spec = {"path": "int8.dlc", "sha256": "0" * 64, "bytes": 1000}
    files = {role: each.model_dump() for role, each in bundle.files.items()}
    changed = type(bundle).model_validate(
        {**bundle.model_dump(), "files": {**files, "int8_dlc": spec}, "channels": "rgbt",
         "input": {**bundle.input.model_dump(), "channels": 4}, "labels": ["weapon", "person"]}
    )  # fmt: skip
    changed._root = bundle.root
    profile = {
        "device": {"name": "board", "soc": "QCS8550"},
        "backends": [
            {"backend": "cpu", "latency": {"p99_ms": 40.0}, "peak_mib": 90.0},
            {"backend": "dlc", "latency": {"p99_ms": 9.0}, "peak_mib": 210.0},
        ],
    }
    ablation = {
        kind: {group: {"person": {"ap50": value}} for group in ("all", "day", "night")}
        for kind, value in (("rgb", 0.6), ("thermal", 0.7), ("early", 0.8), ("cbam", 0.85))
    }
    return Evidence(
        changed,
        metrics(),
        scenes=120,
        profile=profile,
        ablation=ablation,
        alarms={"balanced": (200, 9), "quiet": (200, 1)},
        stress={"clean": 0.8, "occlusion": 0.7, "glare": 0.75, "motion blur": 0.7},
        tracking={"tracking": {"overall": {"HOTA": 0.5, "IDF1": 0.6, "tracks": 9}}},
        sources={"profile": Path("profile.json")},
    )


def find(evidence: Evidence, name: str) -> Item:
    return next(item for item in checklist(evidence) if name in item.name)


def test_all_of_the_guides_items_pass(complete: Evidence) -> None:
    items = checklist(complete)
    assert len(items) == 12
    assert {item.status for item in items} == {"pass"}
    assert is_ready(items)
    assert as_dict(items)["status"] == "ready"
    assert find(complete, "Latency").figure == "p99 9.0 ms, inference by backend dlc"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"metrics": metrics(recall=0.84)}, "weapon recall"),
        ({"metrics": metrics(precision=0.79)}, "weapon recall"),
        ({"metrics": metrics(ap50=0.69)}, "Night"),
        ({"scenes": 99}, "100+"),
        ({"alarms": {"balanced": (200, 9), "quiet": (200, 2)}}, "False positive"),
        ({"stress": {"clean": 0.8, "glare": 0.63}}, "Edge cases"),
        ({"tracking": {"tracking": {"overall": {"HOTA": 0, "IDF1": 0, "tracks": 0}}}}, "tracking"),
        ({"profile": {"device": {"name": "a", "soc": "SM8650"}, "backends": []}}, "Profiled"),
        ({"ablation": {k: {"all": {"person": {"ap50": v}}}
                       for k, v in (("rgb", 0.9), ("thermal", 0.7), ("cbam", 0.85))}}, "fusion"),
    ],
)  # fmt: skip
def test_a_figure_that_falls_short_fails(
    complete: Evidence, change: dict[str, Any], name: str
) -> None:
    evidence = replace(complete, **change)
    assert find(evidence, name).status == "fail"
    assert not is_ready(checklist(evidence))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"profile": None}, ["Profiled", "Latency", "VRAM"]),
        ({"ablation": None}, ["fusion"]),
        ({"alarms": {}}, ["False positive"]),
        ({"alarms": {"balanced": (0, 0)}}, ["False positive"]),
        ({"stress": {}}, ["Edge cases"]),
        ({"tracking": None}, ["tracking"]),
        ({"metrics": {"set": {"int8": {"all": {"person": ROW}}}}}, ["weapon recall", "Night"]),
    ],
)
def test_what_was_not_measured_is_no_release(
    complete: Evidence, change: dict[str, Any], names: list[str]
) -> None:
    evidence = replace(complete, **change)
    for name in names:
        item = find(evidence, name)
        assert item.status == "not measured"
        assert item.how
    assert as_dict(checklist(evidence))["status"] == "not ready"

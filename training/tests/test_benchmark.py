"""The benchmark: trains candidates alike, measures each graph, decides by the budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import onnx
import torch
from onnx import TensorProto

from windhover.errors import ConfigError, DataError
from windhover.model import Bundle
from windhover_evaluation.fidelity.agreement import Fidelity
from windhover_training.engine.model import load_weights, raw_heads
from windhover_training.engine.validation import TorchBackend, Validator, manifest_of
from windhover_training.evaluate import candidate
from windhover_training.evaluate.candidate import Budget, CandidateResult
from windhover_training.phases.base import execute
from windhover_training.phases.benchmark import PHASE, BenchmarkConfig, as_table
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

HERE = Path(__file__).parent
BUDGET = Budget(model_mb=20, inference_ms=14, int8_loss=0.02)
ROW = CandidateResult(
    model="yolo11n",
    precision="int8",
    map50=0.60,
    map50_95=0.40,
    float_map50=0.61,
    model_mb=3.0,
    cpu_ms=30.0,
    emulator=None,
    emulator_note="not asked for",
    estimate_ms=(0.7, 1.6),
)


@pytest.mark.parametrize(
    ("change", "keep", "why"),
    [
        ({}, True, "time on the device not measured"),
        ({"device_ms": 3.9}, True, "3.9 ms on the device"),
        ({"device_ms": 15.0}, False, "15.0 ms of 14 on the device"),
        ({"model_mb": 21.0}, False, "21.0 MB of 20"),
        ({"map50": 0.55}, False, "INT8 loses 0.060 mAP50"),
        ({"map50": 0.55, "precision": "fp16"}, True, "not measured"),
        ({"estimate_ms": (15.0, 30.0)}, False, "at least 15.0 ms estimated"),
        # A measured time counts, not an estimate.
        ({"estimate_ms": (15.0, 30.0), "device_ms": 9.0}, True, "9.0 ms"),
    ],
)
def test_the_verdict_follows_the_budget(change: dict, keep: bool, why: str) -> None:
    found = replace(ROW, **change).verdict(BUDGET)
    assert found[0] is keep
    assert why in found[1]


def test_no_estimate_and_no_cpu_time_is_called_the_devices() -> None:
    table = as_table([ROW], BUDGET)
    assert "| not measured |" in table
    assert "not the drone's" in table
    assert "no measurement" in table


def test_nearness_on_the_emulator_is_told_with_and_without_common_boxes() -> None:
    near = Fidelity({"box_s8": 17.4, "score_s8": 28.5}, 11, 12, 10, 0.97, 0.03)
    assert "10 of 11, IoU 0.970, least SQNR 17.4 dB" in as_table(
        [replace(ROW, emulator=near)], BUDGET
    )
    none = replace(near, matched=0, mean_iou=math.nan)
    assert "0 of 11, least SQNR" in as_table([replace(ROW, emulator=none)], BUDGET)
    blind = replace(none, reference_count=0, sqnr_db={"box_s8": math.nan})
    assert "| float finds nothing there |" in as_table([replace(ROW, emulator=blind)], BUDGET)


def test_a_device_is_asked_for_the_time_of_its_fastest_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(candidate, "add_to_bundle", lambda root, soc: Bundle.load(root))
    monkeypatch.setattr(candidate, "open_device", asked.append)
    runs = [
        {"backend": "cpu", "latency": {"average_ms": 30.0, "p50_ms": 29.0}},
        {"backend": "dlc", "latency": {"average_ms": 2.2, "p50_ms": 2.0}},
        {"backend": "qnn", "failure": "no device"},
    ]
    monkeypatch.setattr(candidate, "profile", lambda device, plan: {"backends": runs})
    bundle = Bundle.load("thermal-n")
    assert candidate.on_device(bundle, "adb:7") == 2.0
    assert asked == ["adb:7"]
    runs[:] = runs[2:]
    with pytest.raises(DataError, match="adb:7 measured no latency"):
        candidate.on_device(bundle, "adb:7")


def test_a_device_that_is_none_is_told_before_any_training(
    epoch_settings: Callable[..., dict], tmp_path: Path
) -> None:
    config = BenchmarkConfig(**epoch_settings(1) | {"timed_on": "serial:1"})
    with pytest.raises(ConfigError, match="serial:1"):
        execute(PHASE, config, tmp_path / "run")
    assert not (tmp_path / "run/yolo11n").exists()


def test_candidates_are_trained_exported_and_judged(
    epoch_settings: Callable[..., dict], tmp_path: Path
) -> None:
    settings = epoch_settings(1, epochs=1, batch=6)
    candidates = [
        {"model": str(HERE / "tiny11.yaml"), "precisions": ["int8", "fp16"]},
        {"model": str(HERE / "tiny26.yaml"), "precisions": ["int8"]},
    ]
    more = {"candidates": candidates, "calibration_images": 4, "emulator_images": 0}
    config = BenchmarkConfig(**settings | more)
    assert execute(PHASE, config, tmp_path / "run")
    metrics = Run(tmp_path / "run").metrics()
    assert metrics is not None
    rows = metrics["candidates"]
    assert [(r["model"], r["precision"]) for r in rows] == [
        ("tiny11", "int8"), ("tiny11", "fp16"), ("tiny26", "int8")
    ]  # fmt: skip
    for row in rows:
        assert row["cpu_ms"] > 0
        assert row["model_mb"] > 0
        assert row["device_ms"] is None
        assert row["emulator"] is None
        assert not math.isnan(row["map50"])
    table = (tmp_path / "run/benchmark.md").read_text()
    assert table.count("\n| tiny") == 3
    half = onnx.load(tmp_path / "run/tiny11/fp16/float.onnx")
    kinds = {t.data_type for t in half.graph.initializer if len(t.dims) == 4}
    assert kinds == {TensorProto.FLOAT16}
    own = (tmp_path / "run/tiny11/bundle/float.onnx").stat().st_size
    assert (tmp_path / "run/tiny11/fp16/float.onnx").stat().st_size < own
    check_validation_equals_the_exported_graph(tmp_path / "run", config)


def check_validation_equals_the_exported_graph(run: Path, config: BenchmarkConfig) -> None:
    """What scores a model in training gives the raw heads that are exported, of both families."""
    exam = Validator(config.data, "val", config.labels, 1, (64, 64))
    _, frame = next(iter(exam.frames()))
    pixels = frame.image[None, :, :, None]
    for name in ("tiny11", "tiny26"):
        model, _ = load_weights(run / name / "best.pt")
        manifest = manifest_of(model, config.labels, 1, 64, 64)
        with torch.no_grad():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            expected = raw_heads(model, images)
        outputs = TorchBackend(model, manifest).run(pixels)
        for found, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(found, wanted.permute(0, 2, 3, 1), atol=1e-5)
        assert manifest.head.family == {"tiny11": "yolo11", "tiny26": "yolo26"}[name]

"""Quantisation-aware training: it moves the weights, and what it exports runs whole on the HTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import onnx
import torch
import yaml

from windhover.model import Bundle
from windhover_training.cli import main
from windhover_training.config import ModelSpec
from windhover_training.engine.model import build_as, build_model, load_model, save_weights
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

LABELS = ["person", "vehicle", "two-wheeler"]
TINY = Path(__file__).parent / "tiny11.yaml"


@pytest.fixture
def config(tiny: Path, convert, tmp_path: Path) -> Path:
    convert(tiny, tmp_path / "data", {"test": ["day-60m-00100"]})
    torch.manual_seed(0)
    spec = ModelSpec(model=str(TINY), labels=LABELS, channels=1)
    checkpoint = save_weights(Run(tmp_path / "run"), build_model(str(TINY), 1, 3), spec)
    data = str(tmp_path / "data")
    release = {
        "name": "tiny", "version": "0", "checkpoint": str(checkpoint), "height": 128, "width": 160,
        "calibration": {"data": [data], "images": 2}, "scores": {},
        "thresholds_on": [{"data": data, "split": "test"}], "provenance": {},
    }  # fmt: skip
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(release))
    values = {
        "name": "qat", "release": str(tmp_path / "release.yaml"), "model": str(TINY), "data": data,
        "imgsz": 96, "scored_on": [data, "test"], "frames": 1,
        "steps": 3, "batch": 2, "lr0": 1e-3, "warmup_steps": 0,
    }  # fmt: skip
    (tmp_path / "qat.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "qat.yaml"


def weights(path: Path) -> dict[str, np.ndarray]:
    graph = onnx.load(path).graph
    return {
        t.name: onnx.numpy_helper.to_array(t)
        for t in graph.initializer
        if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    }


def test_it_trains_exports_and_is_released(config: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="no HTP emulator: make train-env installs it")
    run = tmp_path / "qat"
    assert main(["train", "qat", "--config", str(config), "--run", str(run)]) == 0
    before, after = weights(run / "before/int8.onnx"), weights(run / "bundle/int8.onnx")
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)
    # Compiled with every op on the HTP, or the phase would have named one and failed.
    assert (run / "qcs8550.bin").stat().st_size > 1000
    assert set(json.loads((run / "metrics.json").read_text())["ap50"]) == {
        "float", "before", "after",
    }  # fmt: skip
    bundle = Bundle.load(run / "bundle")
    for output in bundle.head.outputs:
        if output.kind == "score":
            assert output.zero_point == 128
            assert output.scale == pytest.approx(8 / 128, rel=1e-3)

    # The release takes the trained graph as it is.
    values = yaml.safe_load((tmp_path / "release.yaml").read_text())
    values["quantised"] = str(run / "bundle/int8.onnx")
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(values))
    out = ["--config", str(tmp_path / "release.yaml"), "--out", str(tmp_path / "released")]
    assert main(["export", "onnx", *out]) == 0
    released = (tmp_path / "released/int8.onnx").read_bytes()
    assert released == (run / "bundle/int8.onnx").read_bytes()


def test_a_released_bundle_gives_its_weights_back(config: Path, tmp_path: Path) -> None:
    out = ["--config", str(tmp_path / "release.yaml"), "--out", str(tmp_path / "b")]
    assert main(["export", "onnx", *out]) == 0
    first, _ = load_model(tmp_path / "run/best.pt", str(TINY))
    second, spec = load_model(tmp_path / "b", str(TINY))
    assert spec.labels == LABELS
    images = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        expected, found = first(images)[1], second(images)[1]
    torch.testing.assert_close(found["scores"], expected["scores"], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found["boxes"], expected["boxes"], atol=1e-3, rtol=1e-3)


def test_two_backbones_are_trained_too(
    shapes: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="no HTP emulator: make train-env installs it")
    labels, data = ["upright", "lying"], str(shapes(4))
    torch.manual_seed(0)
    spec = ModelSpec(model="yolo11n.yaml", labels=labels, channels=4, fusion="cbam")
    checkpoint = save_weights(Run(tmp_path / "run"), build_as(spec), spec)
    release = {
        "name": "two", "version": "0", "checkpoint": str(checkpoint), "height": 128, "width": 160,
        "calibration": {"data": [data], "images": 1}, "scores": {},
        "thresholds_on": [{"data": data, "split": "val"}], "provenance": {},
    }  # fmt: skip
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(release))
    values = {
        "name": "qat", "release": str(tmp_path / "release.yaml"), "data": data, "imgsz": 128,
        "scored_on": [data, "val"], "frames": 1,
        "steps": 2, "batch": 2, "lr0": 1e-3, "warmup_steps": 0,
    }  # fmt: skip
    (tmp_path / "qat.yaml").write_text(yaml.safe_dump(values))
    run = tmp_path / "qat"
    command = ["train", "qat", "--config", str(tmp_path / "qat.yaml"), "--run", str(run)]
    assert main([*command, "--set", "imgsz=96"]) == 2
    assert "imgsz 96: two backbones that meet at p3 are traced for at least 128 pixels" in (
        capsys.readouterr().err
    )
    assert main([*command, "--force"]) == 0
    # What the HTP compiles is the whole graph: the gate and the attention too.
    assert (run / "qcs8550.bin").stat().st_size > 1000
    bundle = Bundle.load(run / "bundle")
    assert bundle.modality == "rgbt"
    first, last = (weights(run / part / "int8.onnx") for part in ("before", "bundle"))
    # Both backbones begin as one: what is stored once before is stored twice after.
    assert any((first[name] != last[name]).any() for name in first.keys() & last.keys())

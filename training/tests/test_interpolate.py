"""Weights between those that a network began with and those that it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import onnx
import torch
import yaml

from windhover_training.cli import main
from windhover_training.config import ModelSpec
from windhover_training.engine.fusion import RgbtModel
from windhover_training.engine.interpolate import interpolate, share_of
from windhover_training.engine.model import (
    build_as,
    build_model,
    load_weights,
    raw_heads,
    save_weights,
)
from windhover_training.engine.stock import begin_as_stock, read_stock
from windhover_training.engine.warm_start import read_weights, warm_start
from windhover_training.export.graph import export_core, finish_float
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

LABELS = ["person", "weapon", "motorcycle", "vehicle"]
SPEC = ModelSpec(model="yolo11n.yaml", labels=LABELS, fusion="cbam", head_classes=80)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stock weights, and the float.onnx of a network that began as them and went elsewhere."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    stock = build_model("yolo11n.yaml", 3, 80).eval().fuse(verbose=False)
    np.savez(folder / "stock.npz", **{
        name: value.numpy() for name, value in stock.state_dict().items() if ".dfl." not in name
    })  # fmt: skip
    trained = build_as(SPEC)
    begin_as_stock(trained, read_stock(folder / "stock.npz"), LABELS)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    onnx.save(finish_float(export_core(trained.eval(), 192, 192, 4)), folder / "float.onnx")
    return folder


def start_of(files: Path) -> RgbtModel:
    model = build_as(SPEC)
    assert isinstance(model, RgbtModel)
    begin_as_stock(model, read_stock(files / "stock.npz"), LABELS)
    return model.eval()


def trained_of(files: Path) -> RgbtModel:
    model = build_as(SPEC)
    assert isinstance(model, RgbtModel)
    warm_start(model, read_weights(files / "float.onnx"), [0, 1, 2, 3])
    return model.eval()


def heads(model: RgbtModel) -> list[torch.Tensor]:
    picture = torch.rand(1, 4, 192, 192, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        return raw_heads(model, picture)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_the_line_are_the_two_networks(files: Path, share: float) -> None:
    mixed = trained_of(files)
    interpolate(mixed, start_of(files), share, {})
    expected = start_of(files) if share else trained_of(files)
    for own, other in zip(heads(mixed), heads(expected), strict=True):
        torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-4)


def test_parts_have_shares_of_their_own(files: Path) -> None:
    mixed, start, end = trained_of(files), start_of(files), trained_of(files)
    interpolate(mixed, start, 0.25, {"colour.": 1.0, "colour.0.": 0.0})
    own, first, last = mixed.state_dict(), start.state_dict(), end.state_dict()
    for name, share in (
        ("colour.2.cv1.conv.weight", 1.0),
        ("colour.0.conv.weight", 0.0),
        ("model.9.cv1.conv.weight", 0.25),
        ("model.9.cv1.bn.bias", 0.25),
        ("merges.4.mix.weight", 0.25),
    ):
        expected = (1 - share) * last[name] + share * first[name]
        torch.testing.assert_close(own[name], expected)
        assert not torch.equal(first[name], last[name]), name


def test_the_longest_beginning_counts() -> None:
    parts = {"model.2": 0.1, "model.23.": 0.2, "model.23.cv3": 0.3}
    assert share_of("model.23.cv3.0.0.conv.weight", 0.5, parts) == 0.3
    assert share_of("model.23.cv2.0.0.conv.weight", 0.5, parts) == 0.2
    assert share_of("colour.0.conv.weight", 0.5, parts) == 0.5


def test_the_phase_writes_a_checkpoint_that_a_release_takes(files: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    values = {
        "name": "mixed", "labels": LABELS, "trained": str(files / "float.onnx"),
        "stock": str(files / "stock.npz"), "start_share": 0.5, "height": 192, "width": 192,
    }  # fmt: skip
    config.write_text(yaml.safe_dump(values))
    arguments = ["train", "interpolate", "--config", str(config), "--run", str(tmp_path / "run")]
    assert main(arguments) == 0
    assert json.loads((tmp_path / "run/metrics.json").read_text())["checkpoint"] == "final.pt"
    model, spec = load_weights(tmp_path / "run/final.pt")
    assert spec.labels == LABELS
    expected = trained_of(files)
    interpolate(expected, start_of(files), 0.5, {})
    assert isinstance(model, RgbtModel)
    for own, other in zip(heads(model), heads(expected), strict=True):
        torch.testing.assert_close(own, other)


def test_a_run_is_mixed_with_the_bundle_that_it_went_on_from(files: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    later = trained_of(files)
    with torch.no_grad():
        for parameter in later.parameters():
            parameter.mul_(1.01)
    checkpoint = save_weights(run, later, SPEC)
    values = {
        "name": "mixed", "labels": LABELS, "trained": str(checkpoint),
        "start": str(files / "float.onnx"), "start_share": 0.3, "parts": {"colour.": 1.0},
        "height": 192, "width": 192,
    }  # fmt: skip
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(values))
    arguments = ["train", "interpolate", "--config", str(config), "--run", str(tmp_path / "mean")]
    assert main(arguments) == 0
    model, _ = load_weights(tmp_path / "mean/final.pt")
    own, first, last = model.state_dict(), trained_of(files).state_dict(), later.state_dict()
    kernel = "model.9.cv1.conv.weight"
    scale = last["model.9.cv1.bn.weight"] / torch.sqrt(last["model.9.cv1.bn.running_var"] + 1e-3)
    folded = last[kernel] * scale[:, None, None, None]
    torch.testing.assert_close(own[kernel], 0.3 * first[kernel] + 0.7 * folded)
    torch.testing.assert_close(own["colour.0.conv.weight"], first["colour.0.conv.weight"])


@pytest.mark.parametrize("kind", ["bundle", "run"])
def test_the_rgb_side_of_a_network_for_both_cameras(files: Path, tmp_path: Path, kind: str) -> None:
    given = files / "float.onnx"
    if kind == "run":
        given = save_weights(Run(tmp_path / "both"), trained_of(files), SPEC)
    labels, rows = ["person", "motorcycle", "vehicle"], [0, 2, 3]
    config = tmp_path / "config.yaml"
    values = {
        "name": "rgb", "labels": labels, "fusion": None, "channels": 3, "trained_classes": rows,
        "trained": str(given), "stock": str(files / "stock.npz"),
        "start_share": 0.25, "height": 192, "width": 192,
    }  # fmt: skip
    config.write_text(yaml.safe_dump(values))
    arguments = ["train", "interpolate", "--config", str(config), "--run", str(tmp_path / "run")]
    assert main(arguments) == 0
    model, spec = load_weights(tmp_path / "run/final.pt")
    assert (spec.channels, spec.fusion, spec.head_classes) == (3, None, 80)
    own, start, both = model.state_dict(), read_stock(files / "stock.npz"), trained_of(files)
    trained = both.state_dict()
    for name, there in (
        ("model.0.conv.weight", "colour.0.conv.weight"),
        ("model.2.cv1.conv.weight", "colour.2.cv1.conv.weight"),
        ("model.9.cv1.conv.weight", "model.9.cv1.conv.weight"),
    ):
        expected = 0.75 * trained[there] + 0.25 * torch.from_numpy(start[name])
        torch.testing.assert_close(own[name], expected)
    last = trained["model.23.cv3.1.2.weight"][rows]
    first = torch.from_numpy(start["model.23.cv3.1.2.weight"][[0, 3, 2]])
    torch.testing.assert_close(own["model.23.cv3.1.2.weight"], 0.75 * last + 0.25 * first)


def test_the_thermal_side_moves_towards_a_network_for_thermal_alone(
    files: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    alone = build_model("yolo11n.yaml", 1, 3, 80).eval()
    with torch.no_grad():
        for name, parameter in alone.named_parameters():
            if name.endswith("bn.bias"):
                parameter.uniform_(-0.5, 0.5)
    onnx.save(finish_float(export_core(alone, 192, 192, 1)), tmp_path / "thermal.onnx")
    config = tmp_path / "config.yaml"
    values = {
        "name": "mixed", "labels": LABELS, "trained": str(files / "float.onnx"),
        "start": str(files / "float.onnx"), "start_share": 1.0, "height": 192, "width": 192,
        "thermal": str(tmp_path / "thermal.onnx"), "thermal_share": 0.7,
    }  # fmt: skip
    config.write_text(yaml.safe_dump(values))
    arguments = ["train", "interpolate", "--config", str(config), "--run", str(tmp_path / "run")]
    assert main(arguments) == 0
    model, _ = load_weights(tmp_path / "run/final.pt")
    start, theirs = trained_of(files), read_weights(tmp_path / "thermal.onnx")
    own, before = model.state_dict(), start.state_dict()
    kernel = "model.2.cv1.conv.weight"
    expected = 0.3 * before[kernel] + 0.7 * torch.from_numpy(theirs[kernel].copy())
    torch.testing.assert_close(own[kernel], expected)
    for name in ("model.5.conv.weight", "colour.2.cv1.conv.weight", "merges.4.mix.weight"):
        torch.testing.assert_close(own[name], before[name])
    assert isinstance(model, RgbtModel)
    # A picture as bright as what the merge makes up for, its border left out.
    picture = torch.full((1, 4, 192, 192), 0.45)
    picture[:, 3] = 0
    inner = (..., slice(6, -6), slice(6, -6))

    def merged(network: RgbtModel) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        hook = network.merges["4"].mix.register_forward_hook(lambda *given: seen.append(given[2]))
        with torch.no_grad():
            network.eval().neck(picture)
        hook.remove()
        return seen[0][inner]

    def moved() -> float:
        return float((merged(model) - merged(start)).abs().mean())

    made_up_for = moved()
    model.merges["4"].mix.bias.data = before["merges.4.mix.bias"]
    assert made_up_for < 0.1 * moved()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": None}, "both cameras"),
        ({"channels": 3}, "both cameras"),
        ({"trained_classes": [0]}, "trained_classes are 1 for"),
        ({"fusion": None, "channels": 3, "thermal": "float.onnx"}, "thermal is for networks"),
    ],
)
def test_cameras_and_classes_that_do_not_fit_are_refused(
    files: Path, tmp_path: Path, capsys, changes: dict[str, object], message: str
) -> None:
    config = tmp_path / "config.yaml"
    values = {
        "name": "x", "labels": LABELS, "trained": str(files / "float.onnx"),
        "stock": str(files / "stock.npz"), "start_share": 0.5,
    }  # fmt: skip
    config.write_text(yaml.safe_dump(values | changes))
    assert main(["train", "interpolate", "--config", str(config), "--run", str(tmp_path / "r")])
    assert message in capsys.readouterr().err


def test_two_starts_or_none_are_refused(files: Path, tmp_path: Path, capsys) -> None:
    config = tmp_path / "config.yaml"
    values = {"name": "mixed", "labels": LABELS, "trained": str(files / "float.onnx")}
    arguments = ["train", "interpolate", "--config", str(config), "--run", str(tmp_path / "r")]
    both = {"start": str(files / "float.onnx"), "stock": str(files / "stock.npz")}
    for starts in ({}, both):
        config.write_text(yaml.safe_dump(values | starts | {"start_share": 0.5}))
        assert main(arguments) == 2
        assert "not both" in capsys.readouterr().err
    config.write_text(yaml.safe_dump(values | {"stock": "s.npz", "stock_share": 0.5}))
    assert main(arguments) == 2
    assert "start_share" in capsys.readouterr().err


def test_without_its_inputs_it_says_what_makes_them(files: Path, tmp_path: Path, capsys) -> None:
    config = tmp_path / "config.yaml"
    values = {
        "name": "mixed", "labels": LABELS, "trained": str(files / "float.onnx"),
        "stock": str(tmp_path / "none.npz"), "start_share": 0.5,
    }  # fmt: skip
    config.write_text(yaml.safe_dump(values))
    assert main(["train", "interpolate", "--config", str(config), "--run", str(tmp_path / "r")])
    error = capsys.readouterr().err
    assert "none.npz" in error
    assert error.count("\n") == 1

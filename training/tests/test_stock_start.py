"""A network for both cameras that starts as stock YOLO11 on either camera alone."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from ultralytics.nn.tasks import DetectionModel

from windhover.errors import ConfigError, DataError
from windhover_training.config import ModelSpec
from windhover_training.engine.fusion import RgbtModel
from windhover_training.engine.model import build_as, build_model, raw_heads
from windhover_training.engine.stock import COCO_CLASSES, begin_as_stock, read_stock
from windhover_training.engine.warm_start import read_weights, warm_start
from windhover_training.export.graph import export_core, finish_float

pytestmark = pytest.mark.train_env

LABELS = ["person", "weapon", "motorcycle", "vehicle"]
#: COCO's person, motorcycle and car.
COCO_ROWS = [0, 3, 2]
OURS = [0, 2, 3]
SIZE = 192
#: Half a kernel of border, where a black picture gives something else than in its middle,
#: reaches this far in, in cells, before attention spreads a little of it over all.
BORDER = 4


def folded(model: DetectionModel) -> dict[str, np.ndarray]:
    """Weights as a stock file has them: by name, normalisation folded in."""
    return {
        name: value.numpy().astype(np.float32)
        for name, value in model.fuse(verbose=False).state_dict().items()
        if not name.endswith("num_batches_tracked") and ".dfl." not in name
    }


@pytest.fixture(scope="module")
def stock() -> DetectionModel:
    """A network for COCO with weights of no meaning and biases that are not zero."""
    torch.manual_seed(3)
    model = build_model("yolo11n.yaml", 3, COCO_CLASSES).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.8, 1.4)
                module.bias.uniform_(-0.3, 0.3)
    return model


@pytest.fixture(scope="module")
def weights(stock: DetectionModel) -> dict[str, np.ndarray]:
    return folded(stock)


def as_stock(
    weights: dict[str, np.ndarray], levels: tuple[str, ...], name: str = "yolo11n.yaml"
) -> RgbtModel:
    spec = ModelSpec(
        model=name, labels=LABELS, fusion="cbam", levels=levels, head_classes=COCO_CLASSES
    )
    model = build_as(spec)
    assert isinstance(model, RgbtModel)
    begin_as_stock(model, weights, LABELS)
    return model.eval()


@pytest.fixture(scope="module", params=[("p3",), ("p2",), ("p2", "p4")], ids="+".join)
def started(request: pytest.FixtureRequest, weights: dict[str, np.ndarray]) -> RgbtModel:
    return as_stock(weights, request.param)


def picture(channels: int) -> torch.Tensor:
    return torch.rand(1, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


def inner(x: torch.Tensor) -> torch.Tensor:
    edge = min(BORDER, x.shape[-1] // 3)
    return x[..., edge:-edge, edge:-edge]


def assert_scores_of_stock(
    started: RgbtModel, stock: DetectionModel, seen: torch.Tensor, rgb: torch.Tensor
) -> None:
    with torch.no_grad():
        got, wanted = raw_heads(started, seen), raw_heads(stock, rgb)
    for ours, theirs in zip(got[1::2], wanted[1::2], strict=True):
        a, b = inner(ours)[:, OURS], inner(theirs)[:, COCO_ROWS]
        assert float((a - b).abs().mean()) < 0.02 * float(b.std() + b.abs().mean())
        # What COCO lacks begins at nothing.
        assert float(ours[:, 1].sigmoid().max()) < 0.001
    for ours, theirs in zip(got[::2], wanted[::2], strict=True):
        a, b = inner(ours), inner(theirs)
        assert float((a - b).abs().mean()) < 0.02 * float(b.std() + b.abs().mean())


def test_with_thermal_blank_it_has_stocks_scores_on_rgb(
    started: RgbtModel, stock: DetectionModel
) -> None:
    rgb = picture(3)
    assert_scores_of_stock(started, stock, torch.cat([rgb, torch.zeros_like(rgb[:, :1])], 1), rgb)


def test_with_rgb_blank_it_has_stocks_scores_on_grey(
    started: RgbtModel, stock: DetectionModel
) -> None:
    grey = picture(1)
    rgb = grey.expand(-1, 3, -1, -1)
    assert_scores_of_stock(started, stock, torch.cat([torch.zeros_like(rgb), grey], 1), rgb)


@pytest.mark.parametrize(("levels", "merges"), [(("p2",), {"2"}), (("p3",), {"2", "4"})])
def test_a_stride_4_level_begins_at_nothing_and_sees_both_cameras(
    levels: tuple[str, ...], merges: set[str], weights: dict[str, np.ndarray]
) -> None:
    torch.manual_seed(4)
    plain, fine = (as_stock(weights, levels, f"yolo11n{end}.yaml") for end in ("", "-p2"))
    both = torch.cat([picture(3), picture(1)], 1)
    with torch.no_grad():
        wanted, got = raw_heads(plain, both), raw_heads(fine, both)
        # Its boxes depend on either camera.
        without = [raw_heads(fine, both * kept)[0] for kept in both.new_tensor(
            [[1, 1, 1, 0], [0, 0, 0, 1]]
        )[:, :, None, None]]  # fmt: skip
    for ours, theirs in zip(got[2:], wanted, strict=True):
        assert torch.equal(ours, theirs)
    assert got[1].shape == (1, len(LABELS), SIZE // 4, SIZE // 4)
    assert float(got[1].sigmoid().max()) < 0.001
    assert set(fine.merges) == merges
    assert all(float((each - got[0]).abs().max()) > 1e-5 for each in without)


def test_the_head_keeps_the_hidden_channels_of_80_classes(started: RgbtModel) -> None:
    for branch in started.model[-1].cv3:
        assert (branch[-1].in_channels, branch[-1].out_channels) == (80, 4)
    assert started.model[-1].no == 4 + 4 * started.model[-1].reg_max


def test_a_run_goes_on_from_the_released_graph_of_both_cameras(
    started: RgbtModel, tmp_path: Path
) -> None:
    model = copy.deepcopy(started)
    with torch.no_grad():
        # So that nothing that is left out could be right by chance.
        for parameter in (*model.gate.parameters(), *model.merges.parameters()):
            parameter.add_(torch.randn_like(parameter) * 0.05)
        model.colour[0].bn.bias.add_(0.2)
    onnx.save(finish_float(export_core(model, SIZE, SIZE, 4)), tmp_path / "float.onnx")
    levels = tuple(f"p{ {2: 2, 4: 3, 6: 4}[end] }" for end in started.meets)
    again = RgbtModel("yolo11n.yaml", len(LABELS), "cbam", levels, head_classes=COCO_CLASSES)
    warm_start(again, read_weights(tmp_path / "float.onnx"), range(len(LABELS)))
    seen = torch.cat([picture(3), picture(1)], 1)
    with torch.no_grad():
        pairs = zip(raw_heads(again.eval(), seen), raw_heads(model, seen), strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_stock_weights_are_read_from_both_kinds_of_file(
    weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "stock.npz", **weights)
    graph = helper.make_graph(
        [], "stock", [], [],
        [
            numpy_helper.from_array(
                np.ascontiguousarray(value[:, ::-1]) if name == "model.0.conv.weight" else value,
                name,
            )
            for name, value in weights.items()
        ],
    )  # fmt: skip
    onnx.save(helper.make_model(graph), tmp_path / "stock.onnx")
    for file in ("stock.npz", "stock.onnx"):
        got = read_stock(tmp_path / file)
        for name in ("model.0.conv.weight", "model.1.conv.weight", "model.1.conv.bias"):
            np.testing.assert_array_equal(got[name], weights[name])


def test_a_file_without_stock_weights_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(DataError, match=r"model\.0\.conv\.weight"):
        read_stock(tmp_path / "other.npz")
    with pytest.raises(DataError, match="can't be read"):
        read_stock(tmp_path / "missing.npz")


def test_only_two_backbones_can_start_as_stock(weights: dict[str, np.ndarray]) -> None:
    model = RgbtModel("yolo11n.yaml", 4, "early", head_classes=COCO_CLASSES)
    with pytest.raises(ConfigError, match="use cbam"):
        begin_as_stock(model, weights, LABELS)

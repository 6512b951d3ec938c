"""The RGB + thermal network: gate, attention, blank cameras, the weights it starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import onnxruntime as ort
import torch

from windhover.errors import DataError
from windhover_training.config import ModelSpec
from windhover_training.engine.fusion import RgbtModel
from windhover_training.engine.merge import IlluminationGate, Merge
from windhover_training.engine.model import build_as, raw_heads
from windhover_training.engine.warm_start import read_weights, recalibrate_batchnorm, warm_start

pytestmark = pytest.mark.train_env

REPOSITORY = Path(__file__).parents[2]
THERMAL_N = REPOSITORY / "models/thermal-n/float.onnx"
CLASSES = [0, None, 2, 1]  # thermal-n's rows for person, weapon, motorcycle, vehicle


@pytest.fixture(scope="module")
def started() -> RgbtModel:
    model = RgbtModel("yolo11n.yaml", 4, "cbam", head_classes=80)
    warm_start(model, read_weights(THERMAL_N), CLASSES)
    return model.eval()


def picture(seed: int = 0, size: int = 96) -> torch.Tensor:
    return torch.rand(1, 4, size, size, generator=torch.Generator().manual_seed(seed))


def test_gate_starts_as_the_guides_rule() -> None:
    gate = IlluminationGate()
    for level, expected in ((0.45, 0.7), (0.12, 0.3)):
        rgb, thermal = gate(torch.full((1, 3, 64, 64), level))
        assert rgb.item() == pytest.approx(expected, abs=1e-4)
        assert thermal.item() == pytest.approx(1 - expected, abs=1e-4)


def test_gate_is_learnt() -> None:
    gate = IlluminationGate()
    rgb, _ = gate(torch.full((1, 3, 64, 64), 0.3))
    rgb.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in gate.parameters())


def test_merge_starts_as_the_weighed_sum() -> None:
    rgb, thermal = torch.randn(2, 1, 32, 40, 40).unbind(0)
    weights = (torch.full((1, 1, 1, 1), 0.7), torch.full((1, 1, 1, 1), 0.3))
    merged = Merge(32)(rgb, thermal, weights)
    torch.testing.assert_close(merged, 0.7 * rgb + 0.3 * thermal, rtol=1e-4, atol=1e-5)


def in_eight_bits(kernel: torch.Tensor) -> torch.Tensor:
    """Rounded as int8.onnx has weights: symmetric, a scale an output channel."""
    step = kernel.abs().amax((1, 2, 3), keepdim=True) / 127
    return (kernel / step).round() * step


@torch.no_grad()
def test_eight_bits_keep_what_a_merge_has_learnt() -> None:
    merge = Merge(16)
    merge.mix.weight += 0.02 * torch.randn(merge.mix.weight.shape)
    whole = merge.mix.weight.clone()
    maps = torch.rand(1, 16, 8, 8), torch.rand(1, 16, 8, 8)
    weights = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 0.5)
    before = merge(*maps, weights)
    merge.split()
    torch.testing.assert_close(merge(*maps, weights), before)
    assert merge.fine is not None
    kept = in_eight_bits(merge.mix.weight) + in_eight_bits(merge.fine.weight)
    assert (kept - whole).abs().max() < 0.01 * (in_eight_bits(whole) - whole).abs().max()


@pytest.mark.parametrize("fusion", ["cbam", "early", "rgb", "thermal"])
def test_all_kinds_take_four_channels_and_give_heads(fusion: str) -> None:
    model = build_as(ModelSpec(model="yolo11n.yaml", labels=list("abcd"), fusion=fusion)).eval()
    with torch.no_grad():
        heads = raw_heads(model, picture())
    assert [tuple(h.shape[1:]) for h in heads[:2]] == [(64, 12, 12), (4, 12, 12)]
    assert all(torch.isfinite(h).all() for h in heads)


@pytest.mark.parametrize(("fusion", "ignored"), [("rgb", slice(3, 4)), ("thermal", slice(0, 3))])
def test_rivals_of_one_camera_do_not_look_at_the_other(fusion: str, ignored: slice) -> None:
    model = RgbtModel("yolo11n.yaml", 4, fusion).eval()
    other = picture()
    other[:, ignored] = 0.5
    with torch.no_grad():
        for a, b in zip(raw_heads(model, picture()), raw_heads(model, other), strict=True):
            torch.testing.assert_close(a, b)


def test_more_levels_merge_more_often() -> None:
    model = RgbtModel("yolo11n.yaml", 4, "cbam", ("p3", "p4", "p5")).eval()
    assert set(model.merges) == {"4", "6", "10"}
    with torch.no_grad():
        assert len(raw_heads(model, picture())) == 6


def test_it_starts_where_the_bundle_is(started: RgbtModel) -> None:
    grey = torch.randint(0, 256, (1, 1, 512, 640), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        heads = raw_heads(started, grey.expand(1, 4, -1, -1) / 255)
    session = ort.InferenceSession(str(THERMAL_N), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"images": grey.permute(0, 2, 3, 1).numpy().astype(np.uint8)})
    for output, wanted, head in zip(session.get_outputs(), expected, heads, strict=True):
        got = head.permute(0, 2, 3, 1).numpy()
        if output.name.startswith("score"):
            got = got[..., [0, 3, 2]]
        np.testing.assert_allclose(got, wanted, atol=2e-3)


def test_settling_changes_statistics_and_not_the_function() -> None:
    model = RgbtModel("yolo11n.yaml", 4, "cbam", head_classes=80)
    warm_start(model, read_weights(THERMAL_N), CLASSES)
    model.eval()
    with torch.no_grad():
        before = raw_heads(model, picture(3))
        recalibrate_batchnorm(model, [picture(i).expand(2, -1, -1, -1) for i in range(3)])
        after = raw_heads(model, picture(3))
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert float(model.model[0].bn.running_mean.abs().max()) > 1e-3


def test_a_blank_camera_leaves_the_other(started: RgbtModel) -> None:
    for channels in (slice(0, 3), slice(3, 4)):
        blank = picture(5)
        blank[:, channels] = 0
        other = blank.clone()
        seen = slice(3, 4) if channels.start == 0 else slice(0, 3)
        other[:, seen] = 1 - other[:, seen]
        with torch.no_grad():
            first, second = (raw_heads(started, x) for x in (blank, other))
        assert all(torch.isfinite(h).all() for h in first)
        # What is left still decides what comes out.
        assert float((first[1] - second[1]).abs().max()) > 0.1


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fit 0 of the model.s 81 layers"):
        warm_start(RgbtModel("yolo11n.yaml", 4, "early"), {}, CLASSES)


@pytest.mark.parametrize("fusion", ["cbam", "early", "rgb", "thermal"])
def test_widened_for_export_it_is_the_same_function(fusion: str) -> None:
    model = RgbtModel("yolo11n.yaml", 4, fusion).eval()
    with torch.no_grad():
        before = raw_heads(model, picture(2))
        model.widen()
        after = raw_heads(model, picture(2))
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert model.model[0].conv.in_channels == 4

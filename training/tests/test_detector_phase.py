"""Training and export on a tiny set: the loss falls, a run resumes, the graph equals torch."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import onnxruntime as ort
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import DataError
from windhover.model import Bundle
from windhover.model.detector import Detector
from windhover.types import Frame
from windhover_training.cli import main
from windhover_training.config import (
    Augmentation,
    LabelledSplit,
    ModelSpec,
    QuantisationConfig,
    ReleaseConfig,
)
from windhover_training.detector_config import DetectorConfig
from windhover_training.engine.batches import DrawBatch
from windhover_training.engine.model import (
    build_model,
    load_model,
    load_weights,
    raw_heads,
    save_weights,
    take_weights,
)
from windhover_training.engine.settings import Share
from windhover_training.engine.warm_start import read_weights, warm_start
from windhover_training.export.bundle import write_float
from windhover_training.export.graph import export_core
from windhover_training.phases.base import execute
from windhover_training.phases.detector import PHASE, _start, samplers_of
from windhover_training.phases.release import export
from windhover_training.phases.training import mix_order, mixed, run_training
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

REPOSITORY = Path(__file__).parents[2]
THERMAL_N = REPOSITORY / "models/thermal-n"
LABELS = ["person", "vehicle", "two-wheeler"]


def tiny_config(data: Path, steps: int) -> DetectorConfig:
    return DetectorConfig(
        name="tiny",
        labels=LABELS,
        data=data,
        imgsz=96,
        class_weights=[1, 1, 1],
        augmentation=Augmentation(
            wide_probability=0, stretch=0, invert=0, gain=(1, 1), level=0, gradient=0, noise=0
        ),
        steps=steps,
        batch=4,
        lr0=4e-3,
        warmup_steps=4,
        ema=0.9,
        amp=False,
    )


@pytest.fixture
def data(tiny: Path, convert, tmp_path: Path) -> Path:
    convert(tiny, tmp_path / "data", {"test": ["day-60m-00100"]})
    return tmp_path / "data"


def draw_of(config: DetectorConfig, share: Share) -> DrawBatch:
    return mixed(samplers_of(config, {}), [], config.seed)(share)


def losses(run: Path) -> list[float]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [r["box_loss"] + r["cls_loss"] + r["dfl_loss"] for r in rows]


def test_a_run_starts_from_a_released_graph_and_computes_what_it_does(data: Path) -> None:
    changes = {"pretrained": THERMAL_N / "float.onnx", "head_classes": 80}
    config = tiny_config(data, 1).model_copy(update=changes)
    model = _start(config, 0).model
    x = torch.from_numpy(np.random.default_rng(1).random((1, 1, 128, 160), np.float32))
    ours = raw_heads(model.eval(), x)
    released, _ = load_model(THERMAL_N, config.model)
    for own, released_one in zip(ours, raw_heads(released, x), strict=True):
        torch.testing.assert_close(own, released_one, atol=2e-3, rtol=1e-3)


def test_a_head_as_wide_as_that_of_other_weights_takes_all_of_them(data: Path) -> None:
    thermal = REPOSITORY / "models/rgbt-n/float.onnx"
    changes = {"pretrained": thermal, "pretrained_classes": (0, 3, 2), "head_classes": 80}
    model = _start(tiny_config(data, 1).model_copy(update=changes), 0).model
    weights = read_weights(thermal)
    head = model.model[-1]
    assert head.nc == 3
    for level, branch in enumerate(head.cv3):
        wanted = weights[f"model.{head.i}.cv3.{level}.2.weight"][[0, 3, 2]]
        np.testing.assert_array_equal(branch[-1].weight.detach().numpy(), wanted)
    np.testing.assert_array_equal(
        model.model[0].conv.weight.detach().numpy(), weights["model.0.conv.weight"][:, 3:]
    )


@pytest.mark.parametrize("file", ["float.onnx", "final.pt"])
def test_weights_of_another_width_are_refused(tmp_path: Path, file: str) -> None:
    """Their class layers would be left out, and these would begin at random."""
    wide = build_model("yolo11n.yaml", 1, 3, 80).eval()
    spec = ModelSpec(model="yolo11n.yaml", labels=LABELS, channels=1, head_classes=80)
    save_weights(Run(tmp_path), wide, spec, "final.pt")
    write_float(export_core(wide, 64, 96, 1), LABELS, tmp_path)
    narrow = build_model("yolo11n.yaml", 1, 3)
    take = {
        "float.onnx": lambda path: warm_start(narrow, read_weights(path), [0, 1, 2]),
        "final.pt": lambda path: take_weights(narrow, path),
    }[file]
    with pytest.raises(DataError, match="set head_classes to 80"):
        take(tmp_path / file)


@pytest.mark.parametrize("width", [None, 80])
def test_a_bundle_tells_how_wide_its_head_is(tmp_path: Path, width: int | None) -> None:
    model = build_model("yolo11n.yaml", 1, 3, width).eval()
    bundle = write_float(export_core(model, 64, 96, 1), LABELS, tmp_path / "bundle")
    loaded, spec = load_model(bundle.root, "yolo11n.yaml")
    assert spec.head_classes == width
    x = torch.rand(1, 1, 64, 96)
    for one, other in zip(raw_heads(model, x), raw_heads(loaded, x), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_more_sets_are_drawn_from_with_the_first(tiny: Path, convert, data: Path, tmp_path) -> None:
    convert(tiny, tmp_path / "other", {})
    config = tiny_config(data, 1)
    (one,) = samplers_of(config, {})
    (both,) = samplers_of(config.model_copy(update={"more_data": (tmp_path / "other",)}), {})
    (other,) = samplers_of(config.model_copy(update={"data": tmp_path / "other"}), {})
    assert len(both.samples) == len(one.samples) + len(other.samples) > len(one.samples)


def test_the_loss_falls_and_the_export_equals_torch(data: Path, tmp_path: Path) -> None:
    assert execute(PHASE, tiny_config(data, 41), tmp_path / "run")
    final = tmp_path / "run/final.pt"
    # The loss is divided by how well boxes are aligned, so it may be small while nothing is.
    found = losses(tmp_path / "run")
    assert found[-1] < 0.6 * max(found[:-1])
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__

    config = ReleaseConfig(
        name="tiny",
        version="0",
        checkpoint=final,
        height=128,
        width=160,
        calibration=QuantisationConfig(data=[data], images=4),
        scores={},
        thresholds_on=(LabelledSplit(data=data, split="test"),),
        provenance={},
    )
    bundle = export(config, tmp_path / "bundle")
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 160, 1), np.uint8)
    session = ort.InferenceSession(tmp_path / "bundle/float.onnx")
    names = [output.name for output in bundle.head.outputs]
    model, _ = load_weights(final)
    with torch.no_grad():
        expected = raw_heads(model, torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255)
    for name, wanted, got in zip(
        names, expected, session.run(names, {"images": image}), strict=True
    ):
        np.testing.assert_allclose(
            got, wanted.permute(0, 2, 3, 1), atol=1e-3, rtol=1e-3, err_msg=name
        )
    assert Bundle.load(bundle.root).labels == tuple(LABELS)
    with Detector(bundle, "cpu", precision="int8") as detector:
        detector.detect(Frame(image[0, :, :, 0], "mono8", 0))


def test_raw_heads_are_what_the_model_itself_computes() -> None:
    model = build_model("yolo11n.yaml", 1, 3).eval()
    images = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        heads = raw_heads(model, images)
        whole = model(images)[1]
    boxes = torch.cat([h.flatten(2) for h in heads[0::2]], dim=2)
    scores = torch.cat([h.flatten(2) for h in heads[1::2]], dim=2)
    torch.testing.assert_close(boxes, whole["boxes"])
    torch.testing.assert_close(scores, whole["scores"])


def test_a_resumed_run_sees_the_crops_it_would_have_seen(data: Path) -> None:
    config = tiny_config(data, 10)
    first, second = draw_of(config, Share(4)), draw_of(config, Share(4))
    first(0)
    for a, b in zip(first(7), second(7), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_processes_share_the_crops_of_a_step(data: Path) -> None:
    config = tiny_config(data, 2)
    whole = draw_of(config, Share(5))(3)
    shares = [draw_of(config, Share(5, rank, 2))(3) for rank in (0, 1)]
    assert [len(share) for share in shares] == [2, 3]
    for alone, shared in zip(whole, [*shares[0], *shares[1]], strict=True):
        np.testing.assert_array_equal(alone[0], shared[0])


def test_every_part_of_a_step_has_crops_of_all_sets() -> None:
    order = mix_order(24, [0.25, 0.125], 3)
    assert [order.count(which) for which in range(3)] == [15, 6, 3]
    for half in (order[:12], order[12:]):
        assert half.count(1) == 3
        assert half.count(2) in {1, 2}


@given(
    st.integers(1, 48),
    st.lists(st.floats(0.01, 0.3), max_size=3),
    st.integers(0, 10**6),
)
def test_shares_are_kept_over_the_steps(images: int, shares: list[float], first: int) -> None:
    steps = 400
    counts = np.zeros(len(shares) + 1)
    for step in range(first, first + steps):
        order = mix_order(images, shares, step)
        assert len(order) == images
        counts += np.bincount(order, minlength=len(counts))
    wanted = np.array([1 - sum(shares), *shares]) * images * steps
    # In a step of few images there may be no room for all that are due.
    assert np.abs(counts - wanted).max() <= (2 if images > 8 else 0.2 * images * steps)


def test_small_shares_of_a_small_step_leave_the_first_set_its_rest() -> None:
    shares = [0.083, 0.083, 0.25, 0.083, 0.083, 0.042, 0.042, 0.083, 0.083]
    drawn = [mix_order(12, shares, step).count(0) for step in range(1000)]
    assert np.mean(drawn) == pytest.approx(12 * (1 - sum(shares)), abs=0.02)
    assert min(drawn) >= 1


def test_a_run_goes_on_from_its_checkpoint(data: Path, tmp_path: Path) -> None:
    for steps in (2, 3):
        config = tiny_config(data, steps)
        run_training(partial(_start, config), config, Run(tmp_path / "run"))
    state = torch.load(tmp_path / "run/last.pt", weights_only=False)
    assert (state["step"], state["updates"]) == (3, 3)


def test_crops_train_by_epochs_and_validate_on_whole_frames(data: Path, tmp_path: Path) -> None:
    changes = {"steps": None, "epochs": 2, "warmup_steps": 0, "val": "test", "val_images": 2}
    values = tiny_config(data, 1).model_dump() | changes | {"validate_steps": None}
    assert execute(PHASE, DetectorConfig.model_validate(values), tmp_path / "run")
    model, spec = load_weights(tmp_path / "run/best.pt")
    assert model.model[-1].nc == len(spec.labels)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert (metrics["best"], metrics["checkpoint"]) == ("best.pt", "final.pt")
    # Eight frames are an epoch of two steps.
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "map50" in row] == [2, 4]
    assert metrics["val"]["step"] in {2, 4}


def test_pictures_that_cannot_be_read_are_passed_over_and_listed(
    data: Path, tmp_path: Path
) -> None:
    damaged = sorted((data / "images/train").rglob("*.*"))[0]
    damaged.unlink()  # a hard link to the published picture
    damaged.write_bytes(b"no picture")
    assert execute(PHASE, tiny_config(data, 1), tmp_path / "run")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert list(metrics["unreadable"]) == [str(damaged)]


def test_a_set_without_one_readable_picture_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for picture in (data / "images/train").rglob("*.*"):
        picture.unlink()
        picture.write_bytes(b"")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny_config(data, 1).model_dump(mode="json")))
    command = ["train", "detector", "--config", str(tmp_path / "run.yaml")]
    assert main([*command, "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "no picture of train can be read" in error
    assert len(error.splitlines()) == 1

"""What keeps a network near its start on real RGB: crops, distance, learning rates."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import cv2
import numpy as np
import torch
from torch.nn import functional

from windhover.errors import ConfigError
from windhover_training.config import ModelSpec
from windhover_training.data.augment.real_rgb import RealRgbSampler, compose
from windhover_training.data.augment.samples import HeldCrop, Sample, ignored, load_colour
from windhover_training.engine.architectures import fine_layers
from windhover_training.engine.batches import collate
from windhover_training.engine.fusion import RgbtModel
from windhover_training.engine.hold import Holder, taught, watched
from windhover_training.engine.learner import keep_statistics, layer_rate, parameter_groups
from windhover_training.engine.model import build_model, load_weights, save_weights
from windhover_training.engine.stock import COCO_ROWS, begin_as_stock, class_layers, read_stock
from windhover_training.engine.teachers import read_holder
from windhover_training.engine.warm_start import warm_start
from windhover_training.fusion_config import FusionConfig, RgbtAugmentation
from windhover_training.phases.base import execute
from windhover_training.phases.bootstrap import PHASE as BOOTSTRAP
from windhover_training.phases.fusion import PHASE, run_fusion
from windhover_training.phases.pictures import PictureConfig
from windhover_training.runs import Run
from windhover_training.training_config import HoldConfig, LayerRates

pytestmark = pytest.mark.train_env

LABELS = ["person", "weapon", "motorcycle", "vehicle"]
PERSON, WEAPON, MOTORCYCLE, VEHICLE = range(4)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    torch.manual_seed(5)
    model = build_model("yolo11n.yaml", 3, 80).eval().fuse(verbose=False)
    return {
        name: value.numpy().astype(np.float32)
        for name, value in model.state_dict().items()
        if value.dtype.is_floating_point and ".dfl." not in name
    }


@pytest.fixture
def started(weights: dict[str, np.ndarray]) -> RgbtModel:
    model = RgbtModel("yolo11n.yaml", len(LABELS), "cbam", head_classes=80)
    begin_as_stock(model, weights, LABELS)
    return model.eval()


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 4, 96, 96, generator=torch.Generator().manual_seed(1))


def distance(holder: Holder, model: RgbtModel, rows: list[int]) -> float:
    x = images()
    with watched(model) as seen:
        model(x)
    held = torch.tensor(rows, dtype=torch.int64)
    return float(holder.distance(x, seen, held).detach())


def held_near(start: RgbtModel, weights: dict[str, np.ndarray], **settings: Any) -> Holder:
    """What holds a network near its start as stock."""
    config = HoldConfig(weight=1, **settings)
    return Holder(start, class_layers(weights), COCO_ROWS, LABELS, config, marked=True)


def stock_holder(
    weights: dict[str, np.ndarray], folder: Path, architecture: str, **settings: Any
) -> Holder:
    """What holds the people of a network near stock weights in a file."""
    np.savez(folder / "stock.npz", **weights)
    hold = HoldConfig(weight=1.0, teacher=folder / "stock.npz", **settings)
    holder = read_holder(hold, architecture, 3, ["person"], torch.device("cpu"))
    assert holder is not None
    return holder


def test_at_the_start_nothing_is_away(started: RgbtModel, weights: dict[str, np.ndarray]) -> None:
    holder = held_near(copy.deepcopy(started), weights)
    # A vehicle starts as a car; it is held as a car, a bus or a lorry, whichever is likelier.
    with torch.no_grad():
        for name in (name for name in weights if name.endswith(".2.weight") and ".cv3." in name):
            bias = weights[name.replace("weight", "bias")]
            assert bias[2] == bias[5] == bias[7]
        for layer in holder._layers:
            for row in (5, 7):
                layer.weight[row], layer.bias[row] = layer.weight[2], layer.bias[2]
    assert distance(holder, started, [0, 2]) == pytest.approx(0, abs=0.05)


def test_a_vehicle_is_held_as_the_likeliest_of_stocks(
    started: RgbtModel, weights: dict[str, np.ndarray]
) -> None:
    holder = held_near(copy.deepcopy(started), weights)
    before = distance(holder, started, [0])
    with torch.no_grad():
        for layer in holder._layers:
            layer.bias[7] += 9
    assert distance(holder, started, [0]) > before + 1


@pytest.mark.parametrize("changed", ["own row", "hidden layer"])
def test_a_model_that_moves_away_is_drawn_back(
    started: RgbtModel, weights: dict[str, np.ndarray], changed: str
) -> None:
    holder = held_near(copy.deepcopy(started), weights)
    branch = started.model[-1].cv3[0]
    with torch.no_grad():
        if changed == "own row":
            branch[-1].bias[MOTORCYCLE] += 9
        else:
            branch[1][1].bn.bias.add_(20.0)
    assert distance(holder, started, [0, 2]) > 0.1
    # Pictures that are not held cost nothing, nor does a weapon, which stock does not know.
    assert distance(holder, started, []) == 0


def test_a_finer_level_than_stocks_is_free(weights: dict[str, np.ndarray]) -> None:
    model = RgbtModel("yolo11n-p2.yaml", len(LABELS), "cbam", ("p2",), head_classes=80)
    begin_as_stock(model, weights, LABELS)
    model.eval()
    holder = held_near(copy.deepcopy(model), weights)
    before = distance(holder, model, [0, 2])
    fine, coarse = (model.model[-1].cv3[level][-1] for level in (0, 1))
    with torch.no_grad():
        fine.bias[PERSON] += 9
    assert distance(holder, model, [0, 2]) == before
    with torch.no_grad():
        coarse.bias[PERSON] += 9
    assert distance(holder, model, [0, 2]) > before + 0.1


def test_a_finer_level_learns_at_the_whole_rate() -> None:
    model = RgbtModel("yolo11n-p2.yaml", len(LABELS), "cbam", ("p2",), head_classes=80)
    rate = layer_rate(model, LayerRates(backbone=0.15, head=0.3))
    wanted = {"merges.2.mix.weight": 1.0, "model.25.cv1.conv.weight": 1.0,
              "model.26.cv2.0.0.conv.weight": 1.0, "model.26.cv3.0.2.bias": 1.0,
              "model.26.cv3.1.2.bias": 0.3, "model.22.cv1.conv.weight": 0.3,
              "model.2.cv1.conv.weight": 0.15}  # fmt: skip
    assert {name: rate(name) for name in wanted} == wanted
    assert wanted.keys() <= dict(model.named_parameters()).keys()


def test_what_stock_does_not_know_is_free(
    started: RgbtModel, weights: dict[str, np.ndarray]
) -> None:
    holder = held_near(copy.deepcopy(started), weights)
    with torch.no_grad():
        started.model[-1].cv3[0][-1].bias[WEAPON] += 8
    assert distance(holder, started, [0, 1, 2]) == pytest.approx(0, abs=0.05)


def test_a_class_is_held_as_strongly_as_asked(
    started: RgbtModel, weights: dict[str, np.ndarray]
) -> None:
    start = copy.deepcopy(started)
    with torch.no_grad():
        started.model[-1].cv3[0][-1].bias[MOTORCYCLE] += 9
    once, six = (
        distance(
            held_near(start, weights, labels={"motorcycle": factor}),
            started,
            [0],
        )
        for factor in (1.0, 6.0)
    )
    assert six == pytest.approx(6 * once, rel=0.02)


def test_parts_of_a_network_learn_at_their_own_rates(started: RgbtModel) -> None:
    rate = layer_rate(started, LayerRates(backbone=0.15, head=0.3))
    wanted = {"merges.4.mix.weight": 1.0, "gate.weigh.bias": 1.0, "colour.0.conv.weight": 0.15,
              "model.0.conv.weight": 0.15, "model.10.cv1.conv.weight": 0.15,
              "model.13.cv1.conv.weight": 0.3, "model.23.cv3.0.2.bias": 0.3}  # fmt: skip
    assert {name: rate(name) for name in wanted} == wanted
    assert wanted.keys() <= dict(started.named_parameters()).keys()
    groups = parameter_groups(started, 0.02, rate)
    assert {group["share"] for group in groups} == {1.0, 0.3, 0.15}
    assert sum(len(group["params"]) for group in groups) == sum(
        each.requires_grad for each in started.parameters()
    )
    assert len(parameter_groups(started, 0.02, layer_rate(started, LayerRates()))) == 2


@pytest.mark.parametrize("colour", [0.0, 0.4])
def test_the_rgb_backbone_can_have_a_rate_of_its_own(started: RgbtModel, colour: float) -> None:
    rate = layer_rate(started, LayerRates(backbone=0.15, colour=colour))
    assert rate("colour.0.conv.weight") == colour
    assert rate("model.0.conv.weight") == rate("model.10.cv1.conv.weight") == 0.15


@pytest.mark.parametrize("shared", [0.0, 0.4])
def test_what_both_cameras_share_can_have_a_rate_of_its_own(
    started: RgbtModel, shared: float
) -> None:
    rate = layer_rate(started, LayerRates(backbone=0.15, shared=shared))
    last = min(started.meets)
    assert rate("colour.0.conv.weight") == rate(f"model.{last}.cv1.conv.weight") == 0.15
    assert rate(f"model.{last + 1}.conv.weight") == rate("model.10.cv1.conv.weight") == shared
    assert rate("model.13.cv1.conv.weight") == 1.0


def test_normalisation_keeps_its_statistics(started: RgbtModel) -> None:
    started.train()
    keep_statistics(started)
    before = started.model[0].bn.running_mean.clone()
    started(images())
    torch.testing.assert_close(started.model[0].bn.running_mean, before)
    assert started.model[-1].training


def test_the_teacher_sees_real_rgb_with_thermal_blank(
    started: RgbtModel, weights: dict[str, np.ndarray]
) -> None:
    holder, shown = held_near(copy.deepcopy(started), weights), []
    holder.teacher.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    distance(holder, started, [0, 2])
    (seen,), given = shown, images()[[0, 2]]
    assert given[:, 3].min() < given[:, 3].max()
    torch.testing.assert_close(seen[:, :3], given[:, :3])
    assert seen[:, 3].abs().max() == 0


def real_sample(size: int = 200) -> Sample:
    pixels = np.random.default_rng(2).integers(0, 256, (size, size, 3), np.uint8)
    boxes = np.float32([[40, 40, 80, 140], [100, 20, 180, 60]])
    return Sample(pixels, boxes, np.array([PERSON, VEHICLE]), "place")


def test_real_crops_have_no_thermal_and_judge_what_is_labelled() -> None:
    sampler = RealRgbSampler(
        [real_sample()], 128, [1.0] * 4, RgbtAugmentation(), np.random.default_rng(0),
        unlabelled=[WEAPON, MOTORCYCLE],
    )  # fmt: skip
    crop = sampler.draw()
    assert isinstance(crop, HeldCrop)
    assert crop.pixels.shape == (128, 128, 4)
    assert len(np.unique(crop.pixels[..., 3])) == 1
    masked = crop.boxes[np.isin(crop.classes, ignored(np.array([WEAPON, MOTORCYCLE])))]
    np.testing.assert_array_equal(masked, [[0, 0, 128, 128]] * 2)
    batch = collate([(crop.pixels, crop.boxes, crop.classes), crop])
    assert batch["held"].tolist() == [1]


def test_a_mosaic_fills_its_square_with_whole_small_pictures() -> None:
    made = compose([real_sample()], 256, (40, 90), np.random.default_rng(4))
    assert made.pixels.shape == (256, 256, 3)
    assert len(made.boxes) == len(made.classes) > 10
    heights = (made.boxes[:, 3] - made.boxes[:, 1])[made.classes == PERSON]
    assert heights.min() >= 9
    assert heights.max() <= 46
    assert (made.classes < 0).any()
    assert made.boxes.min() >= 0
    assert made.boxes.max() <= 256


def write_set(root: Path, kind: str, pixels: np.ndarray, labels: list[str]) -> None:
    folder = root / "images" / "train"
    folder.mkdir(parents=True)
    (root / "truth").mkdir()
    cv2.imwrite(str(folder / "a.png"), pixels)
    height, width = pixels.shape[:2]
    image = {"id": 1, "file_name": "a.png", "height": height, "width": width, "flight": kind}
    box = {"id": 1, "image_id": 1, "category_id": 0, "bbox": [20, 20, 30, 60], "iscrowd": 0}
    document = {
        "images": [image],
        "annotations": [box],
        "categories": [{"id": row, "name": name} for row, name in enumerate(labels)],
    }
    (root / "truth" / "train.json").write_text(json.dumps(document))


@pytest.fixture
def config(tmp_path: Path, weights: dict[str, np.ndarray]) -> FusionConfig:
    rng = np.random.default_rng(0)
    write_set(tmp_path / "rgbt", "s", rng.integers(0, 256, (160, 160, 4), np.uint8), LABELS)
    write_set(tmp_path / "real", "r", rng.integers(0, 256, (160, 160, 3), np.uint8), ["person"])
    np.savez(tmp_path / "stock.npz", **weights)
    return FusionConfig(
        name="held",
        labels=LABELS,
        data=tmp_path / "rgbt",
        imgsz=128,
        class_weights=[1, 1, 1, 1],
        head_classes=80,
        stock=tmp_path / "stock.npz",
        real_rgb=({"data": tmp_path / "real", "labelled": ("person",), "share": 0.5},),
        hold=HoldConfig(weight=1.0),
        rates=LayerRates(backbone=0.15, head=0.3),
        steps=2,
        batch=2,
        lr0=1e-4,
        lrf=0.1,
        warmup_steps=1,
        amp=False,
        keep_statistics=True,
    )


def test_a_run_starts_as_stock_and_is_held(config: FusionConfig, tmp_path: Path) -> None:
    assert all(need.path.exists() for need in PHASE.needs(config))
    done = run_fusion(config, Run(tmp_path / "run"))
    assert done is not None
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert all("hold" in row for row in rows if "box" in row or "lr" in row)
    saved = torch.load(done.final, weights_only=False)
    assert saved["config"]["head_classes"] == 80
    assert saved["ema"]["model.23.cv3.0.2.weight"].shape[:2] == (4, 80)


def test_a_real_set_is_read_with_its_own_labels(config: FusionConfig) -> None:
    (sample,) = load_colour(config.real_rgb[0].data, ["train"], LABELS)
    assert sample.pixels.shape == (160, 160, 3)
    assert sample.classes.tolist() == [PERSON]


def scores_of(path: Path, images: torch.Tensor) -> torch.Tensor:
    model, _ = load_weights(path)
    with torch.no_grad():
        return model(images)[1]["scores"]


def test_any_phase_can_be_held_near_a_teacher(
    epoch_settings: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    settings = epoch_settings(epochs=None, steps=12, warmup_epochs=None, warmup_steps=0, lr0=0.02)
    settings |= {"val_images": 1, "ema": 0.5}
    short = settings | {"steps": 1}
    assert execute(BOOTSTRAP, PictureConfig(**short), tmp_path / "start")
    start = tmp_path / "start/final.pt"
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    before = scores_of(start, images)
    away = {}
    for weight in (0.0, 100.0):
        own = settings | {"pretrained": start, "hold": {"weight": weight, "teacher": start}}
        own |= {"keep_statistics": True, "rates": {"backbone": 0.5}}
        run = tmp_path / str(weight)
        assert execute(BOOTSTRAP, PictureConfig(**own), run)
        after = scores_of(run / "final.pt", images)
        away[weight] = float((after.sigmoid() - before.sigmoid()).abs().mean())
        rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert ("hold" in rows[0]) == (weight > 0)
        # Statistics of the normalisation are the start's, however far the weights have moved.
        kept, first = (torch.load(each, weights_only=False)["ema"] for each in
                       (run / "final.pt", start))  # fmt: skip
        mean = "model.0.bn.running_mean"
        torch.testing.assert_close(kept[mean], first[mean])
    assert away[100.0] < 0.5 * away[0.0]


def test_a_teacher_of_other_labels_or_images_is_refused(
    epoch_settings: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="needs a teacher"):
        PictureConfig(**epoch_settings(hold={"weight": 1.0}))
    device = torch.device("cpu")
    tiny = str(Path(__file__).with_name("tiny11.yaml"))
    spec = ModelSpec(model=tiny, labels=["boat"], channels=3)
    teacher = save_weights(Run(tmp_path), build_model(tiny, 3, 1), spec)
    hold = HoldConfig(weight=1.0, teacher=teacher, others=0)
    with pytest.raises(ConfigError, match="knows none of upright"):
        read_holder(hold, tiny, 3, ["upright"], device)
    with pytest.raises(ConfigError, match="looks at 3 channels and the student at 1"):
        read_holder(hold, tiny, 1, ["boat"], device)
    assert read_holder(HoldConfig(), tiny, 1, ["boat"], device) is None


def test_stock_weights_hold_a_plain_network(weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    holder = stock_holder(weights, tmp_path, "yolo11n.yaml")
    model = build_model("yolo11n.yaml", 3, 80).eval()
    warm_start(model, weights, list(range(80)))
    x = images()[:, :3]
    with watched(model) as seen:
        model(x)
    assert seen.scores is not None
    everyone = torch.arange(3)
    near = holder.distance(x, seen, everyone)
    far = holder.distance(x, replace(seen, scores=seen.scores + 6), everyone)
    assert float(near.detach()) == pytest.approx(0, abs=0.05)
    assert float(far.detach()) > 1


def test_what_a_teacher_finds_at_twice_the_size_is_held_a_stride_coarser(
    weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    holder = stock_holder(weights, tmp_path, "yolo11n.yaml", enlarged=True)
    x = images()[:, :3]
    as_it_is, _ = holder._look(x)
    large, boxes = holder._look(functional.interpolate(x, scale_factor=2, mode="bilinear"))
    wanted, stride_4 = holder._wanted(x)
    assert [each.shape for each in wanted] == [each.shape for each in as_it_is]
    for fine, own, found in zip(large[1:], as_it_is, wanted, strict=False):
        assert (found >= torch.maximum(fine, own)).all()
    # The finest cells of the large picture are four to one; the coarsest are as they were.
    assert (wanted[0] >= large[0][..., ::2, ::2]).all()
    assert (wanted[0] >= large[0][..., 1::2, 1::2]).all()
    torch.testing.assert_close(wanted[-1], as_it_is[-1])
    # A level of stride 4 has the finest cells of the large picture.
    assert stride_4 is not None
    torch.testing.assert_close(stride_4.scores, large[0])
    assert stride_4.boxes.shape[2] == 24 * 24
    torch.testing.assert_close(stride_4.boxes, boxes[:, :, : 24 * 24])


def test_where_an_object_is_labelled_its_class_is_free(
    started: RgbtModel, weights: dict[str, np.ndarray]
) -> None:
    """A car that stock misses is not held down to be missed."""
    start = copy.deepcopy(started)
    batch = {
        "img": images(),
        "batch_idx": torch.tensor([0.0]),
        "cls": torch.tensor([[float(VEHICLE)]]),
        "bboxes": torch.tensor([[0.5, 0.5, 0.25, 0.25]]),  # 36 to 60 px of 96
    }
    with watched(started) as seen:
        started(batch["img"])
    assert seen.scores is not None
    cells = taught(batch, seen.scores, 32)
    assert cells is not None
    assert cells.shape == (3, 12 * 12 + 6 * 6 + 3 * 3, len(LABELS))
    assert cells[0, :144, VEHICLE].reshape(12, 12).nonzero().unique().tolist() == [4, 5, 6, 7]
    assert not cells[1:].any()
    assert not cells[..., :VEHICLE].any()
    for label, cell, drawn in [(VEHICLE, 4 * 12 + 4, False), (VEHICLE, 0, True),
                               (PERSON, 4 * 12 + 4, True)]:  # fmt: skip
        scores = seen.scores.clone()
        scores[0, label, cell] += 20
        holder = held_near(start, weights)
        far, near = (
            holder.distance(batch["img"], replace(seen, scores=each), torch.arange(3), cells)
            for each in (scores, seen.scores)
        )
        away = float((far - near).detach())
        assert away > 1 if drawn else away == 0
    # Of the hidden layers all of stock's rows are held, but for those of the label.
    branch = started.model[-1].cv3[0]
    with torch.no_grad():
        branch[1][1].bn.bias.add_(20.0)
    with watched(started) as moved:
        started(batch["img"])
    everywhere = {**batch, "bboxes": torch.tensor([[0.5, 0.5, 1.0, 1.0]])}
    sums = []
    for where in (None, cells, taught(everywhere, seen.scores, 32)):
        holder = held_near(start, weights, labels={"person": 0, "motorcycle": 0}, others=0)
        kept = replace(moved, scores=seen.scores)
        distance = holder.distance(batch["img"], kept, torch.tensor([0]), where)
        sums.append(float(distance.detach()))
    assert sums[0] > sums[1] > sums[2]


def test_a_network_that_does_not_say_its_strides_is_held(
    started: RgbtModel, weights: dict[str, np.ndarray]
) -> None:
    """As a quantised one."""

    class Quantised(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quantised = started

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            raw = self.quantised(images)[1]
            return {"boxes": raw["boxes"], "scores": raw["scores"] + 3}

    batch = {
        "img": images(),
        "held": torch.arange(3),
        "batch_idx": torch.tensor([0.0]),
        "cls": torch.tensor([[float(VEHICLE)]]),
        "bboxes": torch.tensor([[0.5, 0.5, 0.25, 0.25]]),
    }
    holder = held_near(copy.deepcopy(started), weights)
    held = holder.around(lambda learner, given: (learner(given["img"])["scores"].sum() * 0, {}))
    loss, items = held(Quantised(), batch)
    assert float(items["hold"]) > 0
    assert float(loss.detach()) == pytest.approx(float(items["hold"]))


def test_a_level_of_stride_4_is_held_near_the_finest_one_at_twice_the_size(
    weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    holder = stock_holder(weights, tmp_path, "yolo11n-p2.yaml", enlarged=True)
    model = build_model("yolo11n-p2.yaml", 3, 1).eval()
    x, cells = images()[:, :3], 24 * 24
    with watched(model) as seen:
        model(x)
    assert seen.scores is not None
    assert seen.boxes is not None
    with torch.no_grad():
        holder._layers[0].bias[0] += 9  # it is sure of people
    large, boxes = holder._look(functional.interpolate(x, scale_factor=2, mode="bilinear"))
    scores = torch.cat([large[0][:, :1].flatten(2).logit(), seen.scores[:, :, cells:]], 2)
    same = torch.cat([boxes[:, :, :cells], seen.boxes[:, :, cells:]], 2)
    everyone = torch.arange(3)

    def away(**own: torch.Tensor) -> float:
        return float(holder.distance(x, replace(seen, **own), everyone).detach())

    # Half the teacher's pixels in cells of half its stride: the same scores and distributions.
    at_it = away(scores=scores, boxes=same)
    shifted, surer = same.clone(), scores.clone()
    shifted[:, ::5, :cells] += 3
    surer[:, :, :cells] += 3
    assert at_it < away(scores=scores, boxes=shifted) - 1
    assert at_it < away(scores=surer, boxes=same) - 1


def test_frozen_layers_stay_and_a_finer_level_learns(config: FusionConfig, tmp_path: Path) -> None:
    frozen = LayerRates(backbone=0, head=0, merge=0)
    fine = {"model": "yolo11n-p2.yaml", "rates": frozen, "ema": 0.5, "lr0": 0.01}
    done = run_fusion(config.model_copy(update=fine), Run(tmp_path / "run"))
    assert done is not None
    last = torch.load(tmp_path / "run/last.pt", weights_only=False)["model"]
    start = RgbtModel("yolo11n-p2.yaml", len(LABELS), "cbam", head_classes=80)
    begin_as_stock(start, read_stock(tmp_path / "stock.npz"), LABELS)
    before = start.state_dict()
    new = fine_layers(start)
    assert "merges.2." in new
    kernels = [name for name in before if name.endswith("conv.weight")]
    moved = {name for name in kernels if not torch.equal(before[name], last[name])}
    assert moved == {name for name in kernels if name.startswith(new)}
    with pytest.raises(ConfigError, match="nothing is left to learn"):
        parameter_groups(start, 0.0, lambda _: 0.0)

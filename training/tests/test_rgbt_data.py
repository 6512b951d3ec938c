"""RGB + thermal training data: rendered frames, crops, faults of cameras, one short run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import cv2
import numpy as np
import yaml

from bench.empty_flights import SEEDS as EMPTY_FLIGHTS
from windhover.errors import DataError
from windhover_evaluation.detection.truth_file import load_truth
from windhover_sim import Scene, SceneConfig
from windhover_training.cli import main
from windhover_training.config import Augmentation
from windhover_training.data.augment.apply import unseen
from windhover_training.data.augment.params import CropParams
from windhover_training.data.augment.rgbt_crops import (
    RgbtSampler,
    ThermalOnlySampler,
    load_frames,
    load_thermal,
)
from windhover_training.data.augment.samples import Sample
from windhover_training.data.render import rgbt_scenes as synth
from windhover_training.data.render.rgbt_scenes import (
    RGBT_LABELS,
    Part,
    draw_scene,
    parts,
    render_part,
    truth_rows,
)
from windhover_training.engine.model import load_weights
from windhover_training.engine.settings import Share
from windhover_training.fusion_config import ClearConfig, FusionConfig, RgbtAugmentation
from windhover_training.phases import ablation
from windhover_training.phases.base import execute
from windhover_training.phases.fusion import PHASE, THERMAL_CLASSES, mine_clear, source_of
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

THERMAL_N = Path(__file__).parents[2] / "models/thermal-n/float.onnx"
EMPTY = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
PLAIN = RgbtAugmentation(
    on_object=1,
    misregistration=0,
    blank_rgb=0,
    blank_thermal=0,
    stale_thermal=0,
    blur=0,
    rgb_noise=0,
    rgb_tint=0,
    rgb_gain=(1, 1),
    scale_near=(1, 1),
    scale_wide=(1, 1),
    thermal_gain=(1, 1),
    thermal_level=0,
    thermal_invert=0,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth")
    part = Part("train", range(3, 5), frames=2)
    assert render_part(out, part) == 4
    return out


def test_frames_are_registered_and_truth_is_in_them(scenes: Path) -> None:
    truth = load_truth(scenes / "truth" / "train.json", RGBT_LABELS)
    document = json.loads((scenes / "truth" / "train.json").read_text())
    assert [c["name"] for c in document["categories"]] == list(RGBT_LABELS)
    assert len(truth.images) == 4
    agreements = []
    for image in document["images"]:
        pixels = cv2.imread(str(scenes / "images/train" / image["file_name"]), cv2.IMREAD_UNCHANGED)
        assert pixels.shape == (image["height"], image["width"], 4)
        for row in document["annotations"]:
            x, y, w, h = row["bbox"]
            assert 0 <= x < x + w <= image["width"]
            assert 0 <= y < y + h <= image["height"]
        # Edges of both pictures lie in the same places only if they are registered.
        grey = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)
        edges = [cv2.Canny(cv2.GaussianBlur(p, (0, 0), 2), 20, 60) for p in (grey, pixels[..., 3])]
        edges[1][:, :40] = edges[1][:, -40:] = 0
        near = cv2.dilate(edges[0], np.ones((5, 5))) > 0
        moved = np.roll(near, 40, axis=0)
        on = edges[1] > 0
        agreements.append(float(near[on].mean() - moved[on].mean()))
    assert np.mean(agreements) > 0.1


def test_a_broken_off_set_is_gone_on_with(scenes: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("rendered again what is there")

    monkeypatch.setattr(synth, "Scene", fail)
    assert render_part(scenes, Part("train", range(3, 5), frames=2)) == 4


def test_splits_share_no_seed_and_held_out_scenes_are_as_specified() -> None:
    seeds = [set(EMPTY_FLIGHTS), *(set(part.seeds) for part in parts(50))]
    assert sum(map(len, seeds)) == len(set().union(*seeds))
    for part in parts(50):
        configs = [draw_scene(seed, part) for seed in list(part.seeds)[:40]]
        if part.held_out:
            assert all(30 <= c.altitude_m <= 50 and c.rgb_hfov_deg == 66 for c in configs)
            assert all(c.variety == c.n_bicycles == 0 and not c.textures for c in configs)
        else:
            assert {c.variety > 0 for c in configs} == {True, False}
        if part.armed:
            assert {round(c.altitude_m / 10) for c in configs} >= {3, 4}
        if part.empty:
            assert all(c.n_people + c.n_armed + c.n_lookalikes + c.n_cars == 0 for c in configs)
        elif part.armed:
            assert all(c.n_armed >= 12 and c.n_lookalikes >= 6 for c in configs)
        else:
            assert {c.n_lookalikes > 0 for c in configs} == {True, False}
            assert {c.fog > 0 for c in configs} == {True, False}


def test_varied_scenes_have_the_crowd_of_the_plain_ones_and_bicycles(tmp_path: Path) -> None:
    (part,) = (each for each in parts(50, tmp_path) if each.name == "train")
    pairs = [(draw_scene(s, part), draw_scene(s, replace(part, varied=False))) for s in part.seeds]
    counts = ("n_people", "n_armed", "n_cars", "altitude_m", "hour")
    for name in counts:
        assert all(getattr(varied, name) == getattr(plain, name) for varied, plain in pairs)
    assert {config.textures for config, _ in pairs} == {"", str(tmp_path)}
    assert max(config.n_bicycles for config, _ in pairs) >= 3


def test_riders_are_people_and_bicycles_are_not_judged() -> None:
    config = SceneConfig(
        seed=11, altitude_m=25.0, n_people=0, n_armed=0, n_cars=0, n_motorcycles=8, n_bicycles=6
    )
    frame = Scene(config).render(0, "both")
    rows = truth_rows(frame)
    names = [RGBT_LABELS[row["category_id"]] for row in rows]
    assert set(names) == {"person", "motorcycle"}
    judged = [not row["iscrowd"] for row in rows]
    kinds = frame.rgb_truth.labels
    assert kinds.count("bicycle") >= 2
    for kind, name, counts in zip(kinds, names, judged, strict=True):
        assert name == {"person": "person"}.get(kind, "motorcycle")
        assert kind != "bicycle" or not counts
    assert any(counts for kind, counts in zip(kinds, judged, strict=True) if kind == "two-wheeler")


def marked(box: tuple[int, int, int, int]) -> Sample:
    """A frame that is dark but for one bright object in both pictures."""
    pixels = np.full((200, 260, 4), 60, np.uint8)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = 220
    return Sample(pixels, np.float32([box]), np.array([1]), "f")


def test_boxes_follow_the_pixels_of_both_cameras() -> None:
    sampler = RgbtSampler(
        [marked((100, 80, 130, 96))], 96, [1] * 4, PLAIN, np.random.default_rng(0)
    )
    for _ in range(20):
        crop, boxes, _ = sampler.draw()
        assert crop.shape == (96, 96, 4)
        for x0, y0, x1, y1 in boxes:
            for channel in (0, 3):
                rows, columns = np.nonzero(crop[..., channel] > 140)
                found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                np.testing.assert_allclose(found, (x0, y0, x1, y1), atol=1.0)


def test_thermal_is_moved_apart_and_at_times_a_camera_is_blank() -> None:
    sample, rng = marked((100, 80, 130, 96)), np.random.default_rng(1)
    apart = RgbtSampler([sample], 96, [1] * 4, PLAIN.model_copy(update={"misregistration": 4}), rng)
    gaps = []
    for _ in range(20):
        crop, boxes, _ = apart.draw()
        if len(boxes) and (crop[..., 3] > 140).any():
            centres = [np.argwhere(crop[..., c] > 140).mean(axis=0) for c in (0, 3)]
            gaps.append(np.abs(centres[0] - centres[1]).max())
    assert 1.0 < np.mean(gaps) < 10.0
    for name, channel in (("blank_rgb", 0), ("blank_thermal", 3)):
        sampler = RgbtSampler([sample], 96, [1] * 4, PLAIN.model_copy(update={name: 1.0}), rng)
        crop, boxes, _ = sampler.draw()
        assert crop[..., channel].std() == 0
        assert crop[..., 3 - channel].std() > 0


def test_what_is_too_small_to_judge_is_kept_as_such(scenes: Path) -> None:
    truth = json.loads((scenes / "truth/train.json").read_text())
    sizes = [len(s.classes) for s in load_frames(scenes, "train")]
    assert sum(sizes) == len(truth["annotations"])
    hidden = sum(int((s.classes < 0).sum()) for s in load_frames(scenes, "train"))
    assert hidden == sum(row["iscrowd"] for row in truth["annotations"])


def test_crops_of_empty_scenes_are_centred_on_hard_negatives() -> None:
    empty = Sample(
        np.zeros((400, 400, 4), np.uint8), *EMPTY, "f", places=np.float32([[300.0, 120.0]])
    )
    sampler = RgbtSampler([empty], 64, [1] * 4, PLAIN.model_copy(update={"on_object": 1.0}),
                          np.random.default_rng(0))  # fmt: skip
    for _ in range(20):
        matrix = sampler._warp(empty, 1.0)
        at = matrix @ (300.0, 120.0, 1.0)
        assert ((at > 0) & (at < 64)).all()


def test_the_phase_mines_empty_scenes_once(scenes: Path, tmp_path: Path) -> None:
    render_part(scenes, Part("clear", range(70, 72), frames=1, empty=True))
    config = tiny_fusion(
        scenes,
        pretrained=THERMAL_N,
        pretrained_classes=[0, None, 2, 1],
        head_classes=80,
        clear=ClearConfig(share=0.5, mined=2, score=0.05),
    )
    assert execute(PHASE, config, tmp_path / "run")
    kept = tmp_path / "run/hard_negatives.json"
    rows = json.loads(kept.read_text())
    assert rows == sorted(rows, key=lambda row: -row["score"])
    places = mine_clear(config, Run(tmp_path / "run"))
    assert sum(map(len, places.values())) == len(rows)


def test_what_thermal_does_not_see_stays_zero() -> None:
    thermal = np.full((80, 80), 120, np.uint8)
    thermal[:, :25] = 0
    thermal[40, 60] = 0
    hidden = unseen(thermal)
    assert hidden[:, :25].all()
    assert not hidden[:, 25:].any()


def test_real_thermal_has_no_rgb_and_other_labels_are_blurred(
    tiny: Path, convert, tmp_path: Path
) -> None:
    convert(tiny, tmp_path / "data", {"test": ["day-60m-00100"]})
    samples = load_thermal(tmp_path / "data", "train", THERMAL_CLASSES)
    assert {int(c) for s in samples for c in s.classes} <= set(THERMAL_CLASSES.values())
    sampler = ThermalOnlySampler(samples, 96, [1] * 4, Augmentation(), np.random.default_rng(0))
    crop, _, _ = sampler.draw()
    assert crop.shape == (96, 96, 4)
    assert crop[..., :3].std() == 0
    assert crop[..., 3].std() > 0


def test_real_thermal_may_come_from_several_sets(
    tiny: Path, scenes: Path, convert, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    convert(tiny, one, {"test": ["day-60m-00100"]})
    convert(tiny, other, {})
    sets = [load_thermal(root, "train", THERMAL_CLASSES) for root in (one, other)]
    assert len(sets[0]) != len(sets[1])
    counts = []
    for given in (one, [one], [one, other]):
        config = tiny_fusion(scenes, thermal_only=given, thermal_share=0.5)
        counts.append(source_of(config)[1])
    own = counts[0] - len(sets[0])
    assert counts == [own + len(sets[0])] * 2 + [own + len(sets[0]) + len(sets[1])]


def test_missing_split_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data render-rgbt"):
        load_frames(tmp_path, "train")


def tiny_fusion(data: Path, **changes: object) -> FusionConfig:
    return FusionConfig(
        name="tiny",
        labels=list(RGBT_LABELS),
        data=data,
        imgsz=64,
        class_weights=[1, 1, 1, 1],
        **{"steps": 2, "batch": 2, "warmup_steps": 0, "amp": False} | changes,
    )


def test_the_phase_runs_to_weights_that_load(scenes: Path, tmp_path: Path) -> None:
    config = tiny_fusion(
        scenes, pretrained=THERMAL_N, pretrained_classes=[0, None, 2, 1], head_classes=80
    )
    assert execute(PHASE, config, tmp_path / "run")
    model, spec = load_weights(tmp_path / "run/final.pt")
    assert spec.fusion == "cbam"
    assert hasattr(model, "merges")


def test_armed_crowds_take_their_share(scenes: Path, monkeypatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(
        "windhover_training.phases.fusion.load_frames",
        lambda _, split: [Sample(np.zeros((80, 80, 4), np.uint8), *EMPTY, split)],
    )
    drawn = RgbtSampler.draw_params

    def note(self: RgbtSampler) -> CropParams:
        taken.append(self.samples[0].flight)
        return drawn(self)

    monkeypatch.setattr(RgbtSampler, "draw_params", note)
    config = tiny_fusion(scenes, armed_share=0.5)
    source, _ = source_of(config)
    source(Share(8))(0)
    assert sorted(taken) == ["armed"] * 4 + ["train"] * 4


def test_a_step_is_drawn_from_the_seed_and_the_step_alone(scenes: Path) -> None:
    config = tiny_fusion(scenes)
    one, two = (source_of(config)[0](Share(2)) for _ in range(2))
    one(0)
    for a, b in zip(one(5), two(5), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_unknown_split_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "render-rgbt", "--out", str(tmp_path), "--only", "holiday"]) == 2
    assert "train, armed, clear, val, val-empty, test, empty" in capsys.readouterr().err


def test_ablation_trains_and_tells_each_kind(scenes: Path, tmp_path: Path) -> None:
    base = tiny_fusion(
        scenes, pretrained=THERMAL_N, pretrained_classes=[0, None, 2, 1], head_classes=80
    )
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base.model_dump(mode="json")))
    config = ablation.AblationConfig(
        name="tiny",
        base=tmp_path / "base.yaml",
        steps=1,
        scored_on=(scenes, "train"),
        height=64,
        width=96,
    )
    assert config.of("rgb").thermal_share == 0
    assert config.of("thermal").augmentation.blank_thermal == 0
    assert execute(ablation.PHASE, config, tmp_path / "run")
    table = (tmp_path / "run/table.md").read_text()
    for name in ablation.KINDS.values():
        assert f"| {name} | all | " in table

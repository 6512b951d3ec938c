"""Crops of both cameras that are put together of real pictures of one camera each."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
from pydantic import ValidationError

from windhover_training.config import Augmentation
from windhover_training.data.augment.apply import warped
from windhover_training.data.augment.other_camera import OtherCamera, both_cameras
from windhover_training.data.augment.params import ColourParams, ThermalParams, ThermalView
from windhover_training.data.augment.real_rgb import RealRgbSampler
from windhover_training.data.augment.rgbt_crops import NightRgb, ThermalOnlySampler
from windhover_training.data.augment.samples import Sample, ignored
from windhover_training.fusion_config import FusionConfig, RgbtAugmentation

pytestmark = pytest.mark.train_env

SIZE, GROUND, WARM = 128, 90, 60
PERSON, VEHICLE = 0, 3
NOTHING = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def thermal_sample() -> Sample:
    """Flat ground with a person on the left; the right three quarters are empty."""
    pixels = np.full((400, 600), GROUND, np.uint8)
    pixels[40:64, 30:42] += WARM
    return Sample(pixels, np.float32([[30, 40, 42, 64]]), np.array([PERSON]), "t")


def colour_sample(level: int = 200) -> Sample:
    return Sample(np.full((500, 700, 3), level, np.uint8), *NOTHING, "c")


def other(colour: int = 200) -> OtherCamera:
    return OtherCamera.of([thermal_sample()], [colour_sample(colour)])


def test_a_cut_out_is_an_object_above_its_ground() -> None:
    (cut,) = other().objects[PERSON]
    assert cut[0].max() == 0
    assert cut[cut.shape[0] // 2, cut.shape[1] // 2] == WARM


def test_objects_that_are_cut_off_or_small_are_not_cut_out() -> None:
    sample = thermal_sample()
    at_the_edge = replace(sample, boxes=np.float32([[0, 40, 12, 64]]))
    tiny = replace(sample, boxes=np.float32([[30, 40, 34, 64]]))
    assert OtherCamera.of([at_the_edge, tiny], []).objects == {}


def test_thermal_has_an_object_in_each_box_and_flat_ground_elsewhere() -> None:
    boxes = np.float32([[20, 30, 40, 70], [90, 80, 110, 120]])
    classes = np.array([PERSON, ignored(PERSON)])  # one of them is not judged, and is there
    for seed in range(20):
        made = other().thermal_with(boxes, classes, SIZE, np.random.default_rng(seed))
        assert made is not None
        assert made.shape == (SIZE, SIZE)
        away = np.abs(made.astype(int) - GROUND)
        for x1, y1, x2, y2 in boxes.astype(int):
            assert away[y1:y2, x1:x2].max() >= 0.4 * WARM
            away[y1 - 16 : y2 + 16, x1 - 13 : x2 + 13] = 0
        assert away.max() == 0


def test_a_class_without_cut_outs_is_not_laid() -> None:
    boxes = np.float32([[20, 30, 40, 70]])
    made = other().thermal_with(boxes, np.array([VEHICLE]), SIZE, np.random.default_rng(0))
    assert made is not None
    assert np.ptp(made) == 0


@pytest.mark.parametrize("box", [(0, 0, 9, 9), (125, 125, 128, 128), (0, 60, 128, 70)])
def test_objects_at_the_edge_of_a_crop_are_cut_off_there(box: tuple[int, ...]) -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        assert other().thermal_with(np.float32([box]), np.array([PERSON]), SIZE, rng) is not None


def test_windows_with_objects_are_never_taken() -> None:
    covered = replace(thermal_sample(), boxes=np.float32([[0, 0, 600, 400]]))
    full = OtherCamera.of(
        [covered], [replace(colour_sample(), boxes=np.float32([[0, 0, 700, 500]]))]
    )
    rng = np.random.default_rng(0)
    assert full.night_rgb(SIZE, rng) is None
    assert full.thermal_with(*NOTHING, SIZE, rng) is None


def test_rgb_at_night_is_darker_than_by_day_but_under_lamps() -> None:
    means = [
        float(np.asarray(other().night_rgb(SIZE, np.random.default_rng(seed))).mean())
        for seed in range(60)
    ]
    assert np.median(means) < 100
    assert min(means) < 15


def night(share: float) -> NightRgb:
    return NightRgb(other(), share, RgbtAugmentation())


def test_thermal_crops_keep_their_pixels_and_boxes_beside_rgb_at_night() -> None:
    def drawn(share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        weights = [1.0] * 4
        change = Augmentation(noise=0)
        pool = [thermal_sample()]
        return ThermalOnlySampler(pool, SIZE, weights, change, rng, (), night(share)).draw()

    for seed in range(20):
        alone, with_rgb = drawn(0.0, seed), drawn(1.0, seed)
        np.testing.assert_array_equal(alone[0][..., 3], with_rgb[0][..., 3])
        np.testing.assert_array_equal(alone[1], with_rgb[1])
        assert len(np.unique(alone[0][..., :3])) == 1
    assert len(np.unique(with_rgb[0][..., :3])) > 1


def test_real_rgb_crops_have_thermal_where_their_objects_are() -> None:
    picture = replace(
        colour_sample(), boxes=np.float32([[300, 200, 330, 260]]), classes=np.array([PERSON])
    )
    plain = RgbtAugmentation(on_object=1.0, thermal_invert=0, blur=0)
    sampler = RealRgbSampler(
        [picture], SIZE, [1.0] * 4, plain, np.random.default_rng(0), [1], None, (other(), 1.0)
    )
    for _ in range(20):
        crop = sampler.draw()
        (box,) = crop.boxes[crop.classes == PERSON].round().astype(int)
        x1, y1, x2, y2 = box.tolist()
        thermal = crop.pixels[..., 3].astype(int)
        assert np.ptp(thermal[y1:y2, x1:x2]) > 15
        assert hasattr(crop, "pixels")  # held near stock's scores on the RGB picture


def test_putting_both_together_changes_no_pixel_of_either() -> None:
    sampler = ThermalOnlySampler(
        [thermal_sample()], SIZE, [1.0] * 4, Augmentation(), np.random.default_rng(1)
    )
    params = sampler.draw_params()
    assert isinstance(params.thermal, ThermalView)
    dark = np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    both = both_cameras(params, dark, ColourParams(), ThermalParams())
    assert not isinstance(both.rgb, int)
    assert both.rgb is not None
    assert isinstance(both.thermal, ThermalView)
    np.testing.assert_array_equal(warped(both, both.rgb), dark)
    np.testing.assert_array_equal(warped(both, both.thermal), warped(params, params.thermal))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"night_rgb": 0.5}, "without mosaic"),
        ({"real_rgb": [{"data": "r", "share": 0.5, "made_thermal": 0.5}]}, "thermal_only"),
    ],
)
def test_what_can_not_be_made_is_refused(settings: dict[str, object], message: str) -> None:
    plain = {"name": "x", "labels": ["person"], "data": "d", "class_weights": [1]}
    with pytest.raises(ValidationError, match=message):
        FusionConfig.model_validate(plain | settings)

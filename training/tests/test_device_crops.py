"""Crops that a device makes are those that OpenCV makes; on a device that records its moves."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make train-env")

import cv2
import numpy as np

from windhover_training.config import Augmentation
from windhover_training.data.augment.apply import apply
from windhover_training.data.augment.chip_crops import ChipSampler
from windhover_training.data.augment.crops import CropSampler
from windhover_training.data.augment.cutouts import Cutout
from windhover_training.data.augment.other_camera import OtherCamera
from windhover_training.data.augment.params import CropParams, Noise, ThermalParams, ThermalView
from windhover_training.data.augment.real_rgb import RealRgbSampler
from windhover_training.data.augment.rgbt_crops import NightRgb, RgbtSampler, ThermalOnlySampler
from windhover_training.data.augment.samples import Sample
from windhover_training.engine.batches import collate
from windhover_training.engine.frame_store import FrameStore
from windhover_training.engine.render import CropRenderer
from windhover_training.fusion_config import RgbtAugmentation
from windhover_training.phases.training import maker_of
from windhover_training.second_look_config import ChipAugmentation, SecondLookConfig

pytestmark = pytest.mark.train_env

SIZE = 96
CPU = torch.device("cpu")
#: Greatest distance of a pixel, in levels: both round after the warp and at the end, and a
#: gain or a stretched contrast enlarges what differs in between; a coarse chip is rounded
#: twice more by OpenCV.
MOST, MEAN = 4, 0.5


def frame(height: int, width: int, channels: int, seed: int = 0, classes: int = 4) -> Sample:
    """Soft shapes with a wide rim where thermal shows nothing."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, 256, (height // 8, width // 8, channels), np.uint8)
    pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    pixels = pixels.reshape(height, width, channels)
    if channels == 4:
        pixels[:, :40, 3] = 0
    corner = rng.uniform(0, (width - 40, height - 40), (10, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(6, 36, (10, 2))], 1).astype(np.float32)
    pixels = pixels[..., 0] if channels == 1 else pixels
    return Sample(pixels, boxes, rng.integers(0, classes, 10), f"flight{seed}", 20.0)


def cutout() -> Cutout:
    alpha = np.zeros((16, 128), np.float32)
    alpha[5:11, 4:124] = 1
    return Cutout("rifle", np.full((16, 128, 3), 30, np.uint8), alpha)


def sampler_of(kind: str) -> CropSampler:
    rng = np.random.default_rng(3)
    of_both = RgbtAugmentation(
        blur=0.4, blank_rgb=0.15, blank_thermal=0.15, stale_thermal=0.2, paste=0.7,
        thermal_invert=0.3,
    )  # fmt: skip
    of_heat = Augmentation(
        fade=0.6, fade_classes=[0, 1, 2], lamps=0.7, blur=0.4, gradient=0.5, stretch=0.5,
        tone=0.5,
    )  # fmt: skip
    weights = [1.0] * 4
    if kind == "rgbt":
        frames = [frame(180, 240, 4, seed) for seed in range(3)]
        return RgbtSampler(frames, SIZE, weights, of_both, rng, [cutout()])
    if kind == "real":
        pictures = [frame(180, 240, 3, seed) for seed in range(3)]
        return RealRgbSampler(pictures, SIZE, weights, of_both, rng, [1], (40, 120))
    if kind == "chips":
        chips = [frame(160, 160, 3, seed, 1) for seed in range(3)]
        return ChipSampler(chips, SIZE, ChipAugmentation(coarse=0.5, shift=60), rng, (0.6, 1.6))
    thermal = [frame(120, 160, 1, seed) for seed in range(3)]
    if kind == "thermal and RGB at night":
        empty = replace(frame(500, 600, 3, 8), boxes=np.zeros((0, 4), np.float32))
        night = NightRgb(OtherCamera.of([], [empty]), 0.7, of_both)
        return ThermalOnlySampler(thermal, SIZE, weights, of_heat, rng, (), night)
    kinds = {"thermal": CropSampler, "thermal in four channels": ThermalOnlySampler}
    return kinds[kind](thermal, SIZE, weights, of_heat, rng)


KINDS = [
    "rgbt",
    "real",
    "chips",
    "thermal",
    "thermal in four channels",
    "thermal and RGB at night",
]


def without_noise(params: CropParams) -> CropParams:
    def quiet(view: Any) -> Any:
        if view is None or isinstance(view, int):
            return view
        return replace(view, change=replace(view.change, noise=None))

    return replace(params, rgb=quiet(params.rgb), thermal=quiet(params.thermal))


def levels(images: Any) -> np.ndarray:
    """``(B, S, S, C)`` whole levels."""
    return (images.permute(0, 2, 3, 1).numpy() * 255).round().astype(int)


@pytest.mark.parametrize("kind", KINDS)
def test_torch_and_opencv_make_the_same_crops(kind: str) -> None:
    sampler = sampler_of(kind)
    drawn = [without_noise(sampler.draw_params()) for _ in range(60)]
    renderer = CropRenderer(FrameStore(CPU, 0.5))
    ours = collate([renderer.prepare(params) for params in drawn])
    theirs = collate([apply(params) for params in drawn])
    away = np.abs(levels(ours["img"]) - levels(theirs["img"]))
    assert away.max() <= MOST
    assert away.mean(axis=(1, 2, 3)).max() <= MEAN
    assert ours["img"].is_contiguous(memory_format=torch.channels_last)
    for key in ("batch_idx", "cls", "bboxes", "ignored", "held"):
        assert torch.equal(ours[key], theirs[key])


def test_what_is_compared_has_every_change() -> None:
    drawn = {kind: [sampler_of(kind).draw_params()] for kind in KINDS}
    for kind, own in drawn.items():
        sampler = sampler_of(kind)
        own += [sampler.draw_params() for _ in range(59)]
    heat = [p.thermal.change for p in drawn["thermal"] if isinstance(p.thermal, ThermalView)]
    assert any(len(each.fades) > 1 for each in heat)
    assert any(each.lamps is not None and each.lamps.steel is not None for each in heat)
    for name in ("stretch", "invert", "blur", "noise"):
        assert {bool(getattr(each, name)) for each in heat} == {True, False}
    assert any(p.patches and not isinstance(p.rgb, int) for p in drawn["rgbt"])
    assert {type(p.rgb) for p in drawn["rgbt"]} > {int}
    assert {type(p.thermal) for p in drawn["rgbt"]} > {int}
    assert {p.rgb.change.coarse > 0 for p in drawn["chips"]} == {True, False}
    assert {p.rgb.change.saturation for p in drawn["chips"]} == {0.0, 1.0}


def test_noise_has_the_level_that_was_drawn_and_its_seeds_values() -> None:
    nothing = np.empty((0, 4), np.float32), np.empty(0, np.int64)
    flat = Sample(np.full((SIZE, SIZE), 128, np.uint8), *nothing, "f")
    renderer = CropRenderer(FrameStore(CPU, 0.5))
    matrix = np.array([[1.0, 0, 0], [0, 1.0, 0]])

    def noisy(seed: int) -> CropParams:
        change = ThermalParams(noise=Noise(6.0, seed))
        return CropParams(
            flat, SIZE, 128.0, None, ThermalView(matrix, change), flat.boxes, flat.classes
        )

    drawn = [noisy(1), noisy(2), noisy(1)]
    ours = levels(renderer.render([renderer.prepare(params) for params in drawn]))
    again = levels(renderer.render([renderer.prepare(params) for params in drawn]))
    theirs = np.stack([apply(params)[0] for params in drawn])[..., None].astype(int)
    np.testing.assert_array_equal(ours, again)
    for crops in (ours, theirs):
        assert crops.std(axis=(1, 2, 3)) == pytest.approx([6.0] * 3, rel=0.05)
        assert crops.mean(axis=(1, 2, 3)) == pytest.approx([128.0] * 3, abs=0.3)
        assert (crops[0] != crops[1]).mean() > 0.8


class FakeStore(FrameStore):
    """Of a GPU that is not there: what is sent to it is noted and stays on the CPU."""

    def __init__(self, room: int) -> None:
        super().__init__(torch.device("cuda"), 0.5, free=lambda _: 2 * room)
        self.sent: list[tuple[int, ...]] = []

    def send(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.uint8:
            self.sent.append(tuple(tensor.shape))
        return tensor.clone()


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_sent_once_while_they_fit_and_by_windows_when_not(kind: str) -> None:
    sampler = sampler_of(kind)
    drawn = [without_noise(sampler.draw_params()) for _ in range(24)]
    wanted = CropRenderer(FrameStore(CPU, 0.5))
    expected = wanted.render([wanted.prepare(params) for params in drawn])
    a_frame = drawn[0].sample.pixels.nbytes
    shown = {id(each.sample) for each in drawn}
    for room in (10**9, a_frame, 0):
        store = FakeStore(room)
        renderer = CropRenderer(store)
        batches = [[renderer.prepare(params) for params in drawn] for _ in range(2)]
        for crops in batches:
            assert torch.equal(renderer.render(crops), expected)
        whole = [each for each in store.sent if len(each) == 3]
        windows = [each for each in store.sent if len(each) == 4]
        assert len(whole) == (len(shown) if room == 10**9 else room // max(a_frame, 1))
        assert bool(windows) == (room != 10**9)
        assert store.used_bytes <= room


def test_a_frame_leaves_the_device_with_its_sample() -> None:
    store = FakeStore(120 * 160)
    sample, other = frame(120, 160, 1), frame(120, 160, 1, 1)
    assert store.frame(sample) is not None
    assert store.frame(other) is None
    del sample
    gc.collect()
    assert store.used_bytes == 0
    assert store.frame(other) is not None


@pytest.mark.parametrize(
    ("crops", "device", "on_device"),
    [
        ("auto", "cpu", False), ("auto", "cuda", True), ("opencv", "cuda", False),
        ("torch", "cpu", True),
    ],
)  # fmt: skip
def test_the_config_says_who_makes_crops(crops: str, device: str, on_device: bool) -> None:
    config = SecondLookConfig(
        name="tiny", labels=["weapon"], pools=[{"data": "x", "share": 1.0}], crops=crops
    )
    make = maker_of(config, torch.device(device))
    assert (make is apply) is not on_device

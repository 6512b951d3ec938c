"""Crops that several threads draw at once are those that one thread draws."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

from windhover_training.config import Augmentation
from windhover_training.data.augment.crops import CropSampler
from windhover_training.data.augment.params import CropParams
from windhover_training.data.augment.samples import Sample
from windhover_training.engine.batches import Crop, Prefetcher
from windhover_training.engine.settings import Share
from windhover_training.phases.training import mixed

pytestmark = pytest.mark.train_env


def make_sampler(kind: type[CropSampler] = CropSampler) -> CropSampler:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    box = np.array([[20, 20, 40, 40]], np.float32)
    sample = Sample(pixels, box, np.zeros(1, np.int64), "flight")
    return kind([sample], 32, [1.0], Augmentation(), np.random.default_rng(0))


class Meeting(CropSampler):
    """Lets no draw begin before another thread's has its generator as well."""

    meet = threading.Barrier(2)

    def draw_params(self) -> CropParams:
        self.meet.wait(60)
        return super().draw_params()


def assert_same(a: list[Crop], b: list[Crop]) -> None:
    for one, other in zip(a, b, strict=True):
        for part, twin in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, twin)


def test_two_steps_drawn_at_once_do_not_share_a_generator() -> None:
    draw = mixed([make_sampler(Meeting)], [], 5)(Share(3))
    with ThreadPoolExecutor(2) as pool:
        together = [work.result() for work in (pool.submit(draw, 0), pool.submit(draw, 1))]
    alone = mixed([make_sampler()], [], 5)(Share(3))
    for step, crops in enumerate(together):
        assert_same(crops, alone(step))


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_what_is_prefetched_does_not_depend_on_the_threads(workers: int) -> None:
    draw = mixed([make_sampler(), make_sampler()], [1 / 3], 7)(Share(3))
    prefetcher = Prefetcher(draw, 12, workers)
    try:
        for step in range(12):
            assert_same(list(prefetcher(step)), draw(step))
    finally:
        prefetcher.close()

"""Fidelity of a backend whose differences from the reference are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import expit

from windhover.inference import Backend, open_backend
from windhover.model.bundle import Bundle
from windhover.types import Frame
from windhover_evaluation.fidelity.agreement import MIN_CELL_SCORE, compare_backends
from windhover_sim.blob_bundle import SCORE_SCALE, SCORE_ZERO_POINT, build_blob_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_blob_bundle(
        tmp_path_factory.mktemp("m") / "blobs", height=64, width=96, quantised=True
    )


@pytest.fixture
def frames() -> list[Frame]:
    pictures = []
    for left in (8, 24, 40):
        picture = np.zeros((64, 96), np.uint8)
        picture[16:48, left : left + 32] = 220
        pictures.append(Frame(picture, "mono8", 0))
    return pictures


class Off:
    """A backend whose score outputs are another's plus a constant."""

    name, device = "off", "nowhere"

    def __init__(self, inner: Backend, by: float) -> None:
        self.inner, self.by = inner, by

    def run(self, image: np.ndarray) -> Sequence[np.ndarray]:
        box8, score8, box16, score16 = (np.asarray(o) for o in self.inner.run(image))
        return box8, score8 + np.float32(self.by), box16, score16 + np.float32(self.by)

    def close(self) -> None:
        self.inner.close()


def floats(bundle: Bundle) -> Backend:
    return open_backend(bundle, "cpu", precision="float", threads=1)


def test_the_same_backend_differs_in_nothing(bundle: Bundle, frames: list[Frame]) -> None:
    result = compare_backends(bundle, floats(bundle), {"again": floats(bundle)}, frames)["again"]
    assert set(result.sqnr_db.values()) == {float("inf")}
    assert (result.reference_count, result.other_count, result.matched) == (3, 3, 3)
    assert result.mean_iou == pytest.approx(1.0)
    assert result.mean_score_change == 0.0


def test_a_known_offset(bundle: Bundle, frames: list[Frame]) -> None:
    off = Off(floats(bundle), -0.5)
    result = compare_backends(bundle, floats(bundle), {"off": off}, frames)["off"]
    signal = noise = 0.0
    reference = floats(bundle)
    for frame in frames:
        logits = reference.run(frame.image[None, :, :, None])[1].astype(np.float64)
        seen = expit(logits).max(axis=-1) > MIN_CELL_SCORE
        signal += np.square(expit(logits[seen])).sum()
        noise += np.square(expit(logits[seen]) - expit(logits[seen] - 0.5)).sum()
    expected = 10 * np.log10(signal / noise)
    assert result.sqnr_db["score_s8"] == pytest.approx(expected, abs=1e-3)
    assert result.sqnr_db["box_s8"] == float("inf")
    assert result.mean_score_change > 0


def test_boxes_of_cells_without_a_score_do_not_count(bundle: Bundle) -> None:
    class Elsewhere(Off):
        def run(self, image: np.ndarray) -> Sequence[np.ndarray]:
            box8, score8, box16, score16 = super().run(image)
            return (
                np.where(score8.max(axis=-1, keepdims=True) > -4, box8, 99),
                score8,
                box16,
                score16,
            )

    picture = np.zeros((64, 96), np.uint8)
    picture[16:48, 24:56] = 220
    for image, expected in ((picture, float("inf")), (picture * 0, None)):
        frames = [Frame(image, "mono8", 0)]
        off = Elsewhere(floats(bundle), 0.0)
        found = compare_backends(bundle, floats(bundle), {"off": off}, frames)["off"].sqnr_db
        assert (found["box_s8"] == expected) or (np.isnan(found["box_s8"]) and expected is None)


def test_a_backend_that_detects_nothing(bundle: Bundle, frames: list[Frame]) -> None:
    blind = Off(floats(bundle), -50.0)
    result = compare_backends(bundle, floats(bundle), {"blind": blind}, frames)["blind"]
    assert (result.reference_count, result.other_count, result.matched) == (3, 0, 0)
    assert np.isnan(result.mean_iou)


def test_integers_are_compared_as_real_values(bundle: Bundle, frames: list[Frame]) -> None:
    int8 = open_backend(bundle, "cpu", precision="int8", threads=1)
    result = compare_backends(bundle, floats(bundle), {"int8": int8}, frames)["int8"]
    signal = noise = 0.0
    reference = floats(bundle)
    for frame in frames:
        scores = reference.run(frame.image[None, :, :, None])[1].astype(np.float64)
        steps = np.clip(np.round(scores / SCORE_SCALE) + SCORE_ZERO_POINT, 0, 255)
        kept = (steps - SCORE_ZERO_POINT) * SCORE_SCALE
        seen = np.maximum(expit(scores), expit(kept)).max(axis=-1) > MIN_CELL_SCORE
        signal += np.square(expit(scores[seen])).sum()
        noise += np.square(expit(scores[seen]) - expit(kept[seen])).sum()
    expected = 10 * np.log10(signal / noise)
    assert result.sqnr_db["score_s8"] == pytest.approx(expected, abs=1e-3)
    assert result.matched == 3

"""Thresholds of a release: best F1, enough precision, few false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from windhover.evaluation.detection import PrCurve
from windhover_training.evaluate.score import choose_threshold


def curve(scores: list[float], precision: list[float], recall: list[float]) -> PrCurve:
    return PrCurve(np.float32(scores), np.array(precision), np.array(recall))


FALLING = curve([0.9, 0.7, 0.5, 0.3], [1.0, 0.85, 0.6, 0.4], [0.1, 0.3, 0.7, 0.8])


def test_without_a_wish_it_is_the_best_f1() -> None:
    assert choose_threshold(FALLING, 0.0) == pytest.approx(0.5)


def test_with_enough_precision_it_is_the_best_f1_of_those() -> None:
    assert choose_threshold(FALLING, 0.8) == pytest.approx(0.7)


def test_a_precision_that_is_never_reached_gives_the_highest() -> None:
    low = curve([0.9, 0.7, 0.5], [0.5, 0.6, 0.3], [0.1, 0.2, 0.4])
    assert choose_threshold(low, 0.8) == pytest.approx(0.7)


def test_a_single_lucky_find_does_not_decide() -> None:
    lucky = curve([0.9, 0.7, 0.5], [1.0, 0.5, 0.6], [0.01, 0.2, 0.4])
    assert choose_threshold(lucky, 0.8) == pytest.approx(0.5)

"""Where a threshold is chosen: best F1, enough precision."""

from __future__ import annotations

import numpy as np
import pytest

from windhover_evaluation.detection.operating_points import PrCurve


def curve(scores: list[float], precision: list[float], recall: list[float]) -> PrCurve:
    return PrCurve(np.float32(scores), np.array(precision), np.array(recall))


def choose(of: PrCurve, min_precision: float = 0.0) -> float:
    return of.threshold(of.best(min_precision, 0.05))


FALLING = curve([0.9, 0.7, 0.5, 0.3], [1.0, 0.85, 0.6, 0.4], [0.1, 0.3, 0.7, 0.8])


def test_without_a_minimum_it_is_the_best_f1() -> None:
    assert choose(FALLING) == pytest.approx(0.4)  # half way to the next, which stays out


def test_with_a_minimum_precision_it_is_the_best_f1_of_those() -> None:
    assert choose(FALLING, 0.8) == pytest.approx(0.6)


def test_a_precision_that_is_never_reached_gives_the_highest() -> None:
    low = curve([0.9, 0.7, 0.5], [0.5, 0.6, 0.3], [0.1, 0.2, 0.4])
    assert choose(low, 0.8) == pytest.approx(0.6)


def test_a_single_lucky_detection_does_not_decide() -> None:
    lucky = curve([0.9, 0.7, 0.5], [1.0, 0.5, 0.6], [0.01, 0.2, 0.4])
    assert choose(lucky, 0.8) == pytest.approx(0.25)
    assert lucky.best(0.8) == 0  # without a minimum recall


def test_equal_scores_are_never_separated() -> None:
    equal = curve([0.9, 0.6, 0.6, 0.3], [1.0, 1.0, 0.67, 0.5], [0.3, 0.6, 0.6, 0.6])
    assert equal.best() == 2
    assert choose(equal) == pytest.approx(0.45)


def test_a_class_that_is_hardly_found_still_gets_a_threshold() -> None:
    rare = curve([0.9, 0.7], [1.0, 0.5], [0.02, 0.02])
    assert choose(rare, 0.8) == pytest.approx(0.8)

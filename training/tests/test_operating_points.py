"""Thresholds of best F1 over several sets, and those that let few false alarms through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover_evaluation.detection.operating_points import PrCurve
from windhover_training.evaluate.points import best_score, mean_recall, raised_over


def curve(scores: list[float], right: list[bool], truths: int) -> PrCurve:
    """Of detections, best first, of which some are right."""
    hits = np.cumsum(right)
    return PrCurve(np.array(scores, np.float32), hits / np.arange(1, len(right) + 1), hits / truths)


def test_one_curve_is_cut_where_its_f1_is_best() -> None:
    one = curve([0.9, 0.8, 0.7, 0.3, 0.2], [True, True, True, False, False], 3)
    assert 0.3 <= best_score([one]) < 0.7


def test_where_f1_is_flat_the_lowest_threshold_is_taken() -> None:
    """Past 0.7 every second find is right: F1 stays where it is and recall goes on."""
    scores = np.linspace(0.9, 0.1, 1000).tolist()
    flat = curve(scores, [i < 500 or i % 10 == 0 for i in range(1000)], 800)
    f1 = 2 * flat.precision * flat.recall / (flat.precision + flat.recall)
    chosen = best_score([flat])
    assert f1[flat.scores >= chosen][-1] >= f1.max() - 0.006
    assert chosen < float(flat.scores[f1.argmax()]) - 0.005


def test_each_set_counts_alike_whatever_its_size() -> None:
    """A hundred objects that are found at 0.9 do not hide four that are found at 0.4."""
    sure = curve([0.9] * 100, [True] * 100, 100)
    unsure = curve([0.4] * 4 + [0.2] * 4, [True] * 4 + [False] * 4, 4)
    assert 0.2 <= best_score([sure, unsure]) < 0.4
    assert best_score([sure, unsure]) == best_score([unsure, sure])


def test_false_alarms_of_one_set_raise_what_the_other_would_take() -> None:
    clean = curve([0.5, 0.3], [True, True], 2)
    noisy = curve([0.6, 0.35, 0.34, 0.33, 0.32, 0.31], [True] + [False] * 5, 1)
    assert best_score([clean]) < 0.3
    assert best_score([clean, noisy]) >= 0.35


def test_a_least_precision_raises_the_threshold() -> None:
    one = curve([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, False, True], 3)
    assert best_score([one]) < 0.5
    assert best_score([one], least_precision=0.99) >= 0.8


@pytest.mark.parametrize("precision", [0.0, 0.9])
def test_where_nothing_is_right_a_threshold_is_given_all_the_same(precision: float) -> None:
    none = curve([0.5, 0.4], [False, False], 2)
    assert 0.0 < best_score([none], precision) < 1.0


def found(surest: np.ndarray, thresholds: np.ndarray) -> int:
    """Images in which anything is above its threshold."""
    return int((surest > thresholds[:, None]).any(axis=0).sum())


@given(st.integers(1, 4), st.integers(1, 60), st.floats(0, 0.5), st.integers(0, 2**32 - 1))
def test_quiet_lets_a_share_of_the_images_through_and_no_more(
    labels: int, images: int, alarms: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    surest, least = rng.random((labels, images)), np.round(rng.random(labels), 3)
    raised = raised_over(surest, least, alarms)
    assert (raised >= least).all()
    assert found(surest, raised) <= alarms * images


def test_one_odd_image_silences_no_label() -> None:
    surest = np.full((2, 200), 0.3)
    surest[0, 17], surest[0, 18] = 0.95, 0.6
    raised = raised_over(surest, np.array([0.2, 0.4]), 0.01)
    np.testing.assert_allclose(raised, [0.3, 0.4])
    assert found(surest, raised) == 2
    np.testing.assert_allclose(raised_over(surest, np.array([0.2, 0.4]), 0.0), [0.95, 0.4])


def test_the_image_is_left_out_that_silences_most() -> None:
    """Many show a vehicle at about 0.7, whichever is left out; one alone shows a person."""
    surest = np.full((2, 100), 0.3)
    surest[0, :20] = np.linspace(0.70, 0.65, 20)
    surest[1, 50], surest[1, 51] = 0.66, 0.4
    np.testing.assert_allclose(raised_over(surest, np.array([0.1, 0.25]), 0.01), [0.70, 0.4])


def test_images_are_left_to_the_label_that_gains_recall_by_them() -> None:
    """Vehicles are found at 0.9 all the same; of people only one in two is."""
    surest = np.full((2, 100), 0.1)
    surest[0, 0], surest[1, 1] = 0.7, 0.85
    people = [curve([0.95, 0.6], [True, True], 2)]
    vehicles = [curve([0.95, 0.9], [True, True], 2)]

    def recall(row: int, scores: np.ndarray) -> np.ndarray:
        return mean_recall((people, vehicles)[row], scores)

    least = np.array([0.2, 0.2])
    np.testing.assert_allclose(raised_over(surest, least, 0.01), [0.7, 0.2])
    np.testing.assert_allclose(raised_over(surest, least, 0.01, recall), [0.2, 0.85])


def test_recall_is_the_mean_over_sets() -> None:
    sets = [curve([0.9, 0.5], [True, True], 2), curve([0.6], [True], 4)]
    found = mean_recall(sets, np.array([0.95, 0.7, 0.55, 0.1]))
    np.testing.assert_allclose(found, [0, 0.25, 0.375, 0.625])
    np.testing.assert_array_equal(mean_recall((), np.array([0.5])), [0])


def test_what_is_not_raised_keeps_its_threshold() -> None:
    least = np.array([0.07, 0.269])
    np.testing.assert_array_equal(raised_over(np.full((2, 3), 0.01), least, 1.0), least)
    np.testing.assert_array_equal(raised_over(np.full((2, 3), 0.01), least, 0.0), least)

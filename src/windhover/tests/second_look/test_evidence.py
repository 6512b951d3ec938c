"""Looks add up as Bayes' rule says, and fade."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.second_look.evidence import CarriedEvidence, LookRates

SECOND = 1_000_000_000


def bayes(prior, find, false, looks):
    odds = prior / (1 - prior)
    for found in looks:
        odds *= find / false if found else (1 - find) / (1 - false)
    return odds / (1 + odds)


@given(st.lists(st.booleans(), max_size=3), st.floats(0.01, 0.5))
def test_looks_at_one_time_follow_bayes_rule(looks, prior):
    rates = LookRates(find=0.7, false=0.1, prior=prior)
    evidence = CarriedEvidence(rates)
    for found in looks:
        evidence.add(found, SECOND)
    assert evidence.looks == len(looks)
    if abs(sum(math.log(7) if f else math.log(1 / 3) for f in looks)) < 7:
        assert evidence.probability(SECOND) == pytest.approx(bayes(prior, 0.7, 0.1, looks))


def test_evidence_fades_to_the_prior():
    evidence = CarriedEvidence(LookRates(prior=0.05, half_life_s=10.0))
    evidence.add(True, 0)
    sure = evidence.probability(0)
    assert sure > evidence.probability(10 * SECOND) > evidence.probability(60 * SECOND) > 0.05
    assert evidence.probability(10_000 * SECOND) == pytest.approx(0.05)


@given(st.booleans())
def test_more_of_the_same_is_bounded(found):
    evidence = CarriedEvidence(LookRates(prior=0.5))
    for _ in range(1000):
        evidence.add(found, SECOND)
    assert 0.0005 < evidence.probability(SECOND) < 0.9995


def test_a_clock_that_steps_back_fades_nothing():
    evidence = CarriedEvidence(LookRates())
    evidence.add(True, 100 * SECOND)
    assert evidence.probability(0) == evidence.probability(100 * SECOND)


@pytest.mark.parametrize("wrong", [{"find": 0.0}, {"false": 1.0}, {"half_life_s": 0.0}])
def test_rates_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="between 0 and 1"):
        LookRates(**wrong)

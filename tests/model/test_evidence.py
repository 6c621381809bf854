"""The evidence of a network's output on a person, calculated by hand."""

import math
from dataclasses import astuple

import numpy as np
import pytest

from model.evidence import LARGEST_MARGIN, Evidence, Looks, among_lookalikes, margins

TYPICAL = Looks(mean_margin=0.0, strongest_margin=0.0, area_px=60.0, brightness=54.0)


def test_the_terms_of_typical_looks_are_zero_but_for_the_constant():
    # Brightness 54 is 60 · (1 − 0.1): its logarithm is that of 0.9 + 0.1.
    assert TYPICAL.terms() == pytest.approx((1.0, *[0.0] * 7))


def test_each_weight_counts_its_own_term():
    # Size: log(120 / 60). Brightness: log(174 / 60 + 0.1) = log 3, and that times the mean margin of 2.
    looks = Looks(mean_margin=2.0, strongest_margin=5.0, area_px=120.0, brightness=174.0, likeness=3.0)
    terms = (1.0, 2.0, 5.0, math.log(2), math.log(3), 2 * math.log(3), 3.0, 3 * math.log(2))
    for number, term in enumerate(terms):
        weights = [0.0] * len(terms)
        weights[number] = 0.5
        assert Evidence(*weights, largest=9.0).of(looks) == pytest.approx(0.5 * term)
    assert Evidence(*[0.1] * 8, largest=9.0).of(looks) == pytest.approx(0.1 * sum(terms))


@pytest.mark.parametrize(("margin", "evidence"), [(100.0, 3.0), (-100.0, -3.0), (2.9, 2.9), (-2.9, -2.9)])
def test_a_frame_says_no_more_than_the_bound_either_way(margin, evidence):
    weights = Evidence(mean_margin=1.0, strongest_margin=0.0, largest=3.0)
    assert weights.of(TYPICAL._replace(mean_margin=margin)) == evidence


def test_by_default_a_network_that_is_sure_is_believed_within_the_bound():
    sure = TYPICAL._replace(mean_margin=LARGEST_MARGIN, strongest_margin=LARGEST_MARGIN)
    assert Evidence().of(sure) == Evidence().largest == 3.0
    assert Evidence().of(sure._replace(mean_margin=-LARGEST_MARGIN, strongest_margin=-LARGEST_MARGIN)) == -3.0
    assert Evidence().of(TYPICAL) == 0.0


def test_somebody_black_has_finite_evidence():
    weights = Evidence(log_brightness=-1.0, largest=9.0)
    assert weights.of(TYPICAL._replace(brightness=0.0)) == pytest.approx(math.log(10))


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", list(Evidence.__dataclass_fields__))
def test_a_weight_that_is_not_finite_is_refused(name, weight):
    with pytest.raises(ValueError, match="evidence must have finite weights, got"):
        Evidence(**{name: weight})


@pytest.mark.parametrize("largest", [0.0, -1.0, 20.1, 1e6])
def test_a_bound_that_is_not_positive_or_beyond_all_examples_is_refused(largest):
    with pytest.raises(ValueError, match=rf"the largest evidence must be in \(0, 20\], got {largest}"):
        Evidence(largest=largest)


def test_there_is_a_weight_for_each_term_and_the_bound():
    assert len(astuple(Evidence())) == len(TYPICAL.terms()) + 1


def test_margins_are_logarithms_of_the_ratio_within_their_bound():
    hero, others = np.array([[0.6, 0.5], [1.0, 0.0], [0.0, 0.9]]), np.array([[0.2, 0.5], [0.0, 0.0], [1.0, 0.1]])
    expected = [[math.log(3), 0.0], [LARGEST_MARGIN, 0.0], [-LARGEST_MARGIN, math.log(9)]]
    np.testing.assert_allclose(margins(hero, others), expected, atol=1e-6)


def test_margins_of_a_networks_float32_are_finite():
    tiny = np.array([1e-45, 0.0, 1.0], np.float32)
    assert np.isfinite(margins(tiny, tiny[::-1])).all()


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (5.0, 5.0, 5.0),
        (5.0, -5.0, -2.005),  # −log(0.95·e⁻⁵ + 0.05·e⁵)
        (5.0, 0.0, 2.875),  # a second look that tells nothing leaves one lookalike in twenty
        (-2.0, 5.0, -1.949),
        (1.5, 1.5, 1.5),  # as without a second look
    ],
)
def test_who_is_not_the_hero_is_anybody_or_a_lookalike(first, second, both):
    assert among_lookalikes(first, second, 0.05) == pytest.approx(both, abs=0.001)


@pytest.mark.parametrize(
    ("mean", "strongest", "area_px", "is_worth"),
    [
        (8.0, 11.0, 40.0, True),
        (8.0, 11.0, 39.0, False),  # too small to tell
        (-1.0, 6.0, 800.0, True),  # the hero in part, such as a lookalike nearby
        (-1.0, 2.9, 800.0, False),
        (-2.8, 12.0, 4000.0, False),  # the hero and somebody else in one
        (6.0, 12.0, 2000.0, True),
    ],
)
def test_who_may_be_the_hero_alone_and_is_large_enough_is_worth_a_second_look(mean, strongest, area_px, is_worth):
    looks = TYPICAL._replace(mean_margin=mean, strongest_margin=strongest, area_px=area_px)
    assert looks.is_worth_second_look(40.0) is is_worth

"""Beliefs and probabilities by numbers worked by hand."""

import math

import pytest

from server.flight.identity import CHANCE, LARGEST_SETTLED, PRESENT_S, SETTLED_WORTH, Belief, probabilities

FRAME_S = 0.2


def after(frames: int, evidence: float, belief: Belief) -> Belief:
    for _ in range(frames):
        belief = belief.after(evidence, FRAME_S)
    return belief


def test_nobody_in_view_leaves_the_hero_elsewhere():
    assert probabilities([]) == []


def test_a_person_is_the_hero_with_odds_of_the_chance_times_the_evidence():
    # 1/15 · e⁵ = 9.89: 9.89 / 10.89.
    (probability,) = probabilities([Belief(5.0)])
    assert probability == pytest.approx(9.894 / 10.894, abs=1e-3)


def test_there_is_one_hero_two_who_look_alike_share_the_probability():
    one, other = probabilities([Belief(8.0), Belief(8.0)])
    assert one == other
    odds = CHANCE * math.exp(8.0)
    assert one == pytest.approx(odds / (1 + 2 * odds))
    assert one < 0.5


def test_who_is_refused_is_not_the_hero_and_leaves_the_others_as_they_are():
    assert probabilities([None, Belief(5.0)]) == [0.0, *probabilities([Belief(5.0)])]


def test_any_number_of_frames_of_the_same_look_is_worth_no_more_than_three():
    long = after(500, 1.5, Belief(1.5))
    assert long.present == pytest.approx(1.5)
    assert long.nats == pytest.approx(1.5 + SETTLED_WORTH * 1.5) == pytest.approx(4.5)
    assert probabilities([long])[0] < 0.9


def test_the_nearer_look_of_a_slight_resemblance_takes_longer():
    frames = [
        next(n for n in range(99) if probabilities([after(n, nats, Belief(nats))])[0] > 0.9) for nats in (5, 4, 3)
    ]
    assert frames == sorted(frames)
    assert frames[0] == 0
    assert frames[2] * FRAME_S < 2.0


def test_a_track_that_passes_to_somebody_else_is_noticed_within_some_frames():
    hero = after(50, 5.0, Belief(5.0))
    assert probabilities([hero])[0] > 0.98
    frames = next(n for n in range(20) if probabilities([after(n, -5.0, hero)])[0] < 0.5)
    assert frames * FRAME_S <= PRESENT_S


def test_the_settled_belief_is_bounded_so_that_anybody_can_be_talked_out_of_it():
    assert after(500, 5.0, Belief(5.0)).settled == pytest.approx(LARGEST_SETTLED)
    assert after(500, -5.0, Belief(-5.0)).settled == pytest.approx(-LARGEST_SETTLED)


def test_a_chance_resemblance_is_forgotten_sooner_than_that_somebody_is_not_the_hero():
    liked, disliked = (Belief(sign * 5.0).faded(20.0).nats for sign in (1, -1))
    assert liked < 1.0
    assert disliked < -3.0

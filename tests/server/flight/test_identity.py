"""Beliefs and probabilities, by numbers calculated by hand."""

import math

import pytest

from server.flight.identity import (
    CHANCE,
    LARGEST_SETTLED,
    LONGEST_STEP_S,
    PRESENT_S,
    SETTLED_WORTH,
    Belief,
    probabilities,
)

FRAME_S = 0.2


def looks(evidence: float, second_evidence: float | None = None) -> Belief:
    """The belief in a person after one frame; by default without a second look."""
    return Belief.first(evidence, evidence if second_evidence is None else second_evidence)


def after(frames: int, evidence: float, belief: Belief, second_evidence: float | None = None) -> Belief:
    for _ in range(frames):
        belief = belief.after(evidence, evidence if second_evidence is None else second_evidence, FRAME_S)
    return belief


def test_nobody_in_view_leaves_the_hero_elsewhere():
    assert probabilities([]) == []


def test_a_person_is_the_hero_with_odds_of_the_chance_times_the_evidence():
    # 1/15 · e⁵ = 9.89: 9.89 / 10.89.
    (probability,) = probabilities([looks(5.0)])
    assert probability == pytest.approx(9.894 / 10.894, abs=1e-3)


def test_there_is_one_hero_two_who_look_alike_share_the_probability():
    one, other = probabilities([looks(8.0), looks(8.0)])
    assert one == other
    odds = CHANCE * math.exp(8.0)
    assert one == pytest.approx(odds / (1 + 2 * odds))
    assert one < 0.5


def test_who_was_seen_once_takes_nothing_from_the_others():
    hero, newcomer = probabilities([looks(8.0), looks(8.0)], seen_once={1})
    assert hero == probabilities([looks(8.0)])[0]
    assert newcomer == probabilities([looks(8.0), looks(8.0)])[1] < 0.5


def test_who_is_refused_is_not_the_hero_and_leaves_the_others_as_they_are():
    assert probabilities([None, looks(5.0)]) == [0.0, *probabilities([looks(5.0)])]


def test_any_number_of_frames_of_the_same_look_is_worth_no_more_than_three():
    long = after(500, 1.5, looks(1.5))
    assert long.anybody.present == pytest.approx(1.5)
    assert long.nats(0) == pytest.approx(1.5 + SETTLED_WORTH * 1.5) == pytest.approx(4.5)
    assert probabilities([long])[0] < 0.9


def test_the_nearer_look_of_a_slight_resemblance_takes_longer():
    frames = [next(n for n in range(99) if probabilities([after(n, nats, looks(nats))])[0] > 0.9) for nats in (5, 4, 3)]
    assert frames == sorted(frames)
    assert frames[0] == 0
    assert frames[2] * FRAME_S < 2.0


@pytest.mark.parametrize(("evidence", "present"), [((1.0, 5.0, 3.0), 3.12), ((5.0, 3.0, 1.0), 2.74)])
def test_of_the_first_frames_each_counts_nearly_alike(evidence, present):
    # With weights of e^-0.4, e^-0.2, 1: (0.67·1 + 0.82·5 + 3) / 2.49 = 3.12, and (0.67·5 + 0.82·3 + 1) / 2.49 = 2.74.
    belief = Belief.first(evidence[0], None)
    for nats in evidence[1:]:
        belief = belief.after(nats, None, FRAME_S)
    assert belief.anybody.present == pytest.approx(present, abs=0.01)


def test_after_a_gap_the_first_frames_count_anew():
    belief = after(50, -5.0, looks(-5.0)).after(3.0, 3.0, 10.0).after(1.0, 1.0, FRAME_S)
    assert belief.anybody.present == pytest.approx(1.9, abs=0.01)  # (0.82·3 + 1) / 1.82


def test_a_track_that_passes_to_somebody_else_is_noticed_within_some_frames():
    hero = after(50, 5.0, looks(5.0))
    assert probabilities([hero])[0] > 0.98
    frames = next(n for n in range(20) if probabilities([after(n, -5.0, hero)])[0] < 0.5)
    assert frames * FRAME_S <= PRESENT_S


def test_the_settled_belief_is_bounded_so_that_anybody_can_be_talked_out_of_it():
    assert after(500, 5.0, looks(5.0)).anybody.settled == pytest.approx(LARGEST_SETTLED)
    assert after(500, -5.0, looks(-5.0)).anybody.settled == pytest.approx(-LARGEST_SETTLED)


def test_a_chance_resemblance_is_forgotten_sooner_than_that_somebody_is_not_the_hero():
    liked, disliked = (looks(sign * 5.0).faded(20.0).nats(0) for sign in (1, -1))
    assert liked < 1.0
    assert disliked < -3.0


def test_frames_that_say_nothing_leave_the_belief_as_if_the_person_were_unseen():
    hero = after(50, 5.0, looks(5.0))
    glimpsed = hero
    for _ in range(10):
        glimpsed = glimpsed.after(0.0, -3.0, FRAME_S)
    assert glimpsed.nats(0) == pytest.approx(hero.faded(10 * FRAME_S).nats(0))
    assert probabilities([glimpsed])[0] > 0.95


def test_who_comes_back_into_view_is_not_forgotten_a_second_time_by_a_frame_that_says_nothing():
    """The belief has already faded, frame by frame, while they were out of view."""
    hero = after(50, 5.0, looks(5.0))
    assert hero.after(0.0, None, 20.0) == hero.faded(LONGEST_STEP_S)


# --- lookalikes


def from_afar() -> Belief:
    """The belief in a person who has looked like the hero for long, without a second look."""
    belief = Belief.first(5.0, None)
    for _ in range(500):
        belief = belief.after(5.0, None, FRAME_S)
    return belief


@pytest.mark.parametrize(("met", "odds"), [(0, 20.0), (1, 20 / 21), (3, 20 / 61)])
def test_from_afar_the_hero_is_the_less_likely_the_more_lookalikes_were_met(met, odds):
    # The hero is one of 15 people, a lookalike one of 300; each lookalike that was met adds another one of 15.
    (probability,) = probabilities([from_afar()], met)
    assert probability == pytest.approx(odds / (1 + odds), abs=0.001)


def test_among_any_number_of_lookalikes_half_of_the_others_are_ordinary_people():
    few, many = (from_afar().nats(met) for met in (8, 1000))
    assert few == many


def test_a_second_look_that_speaks_for_the_hero_outweighs_the_lookalikes_met():
    (probability,) = probabilities([after(20, 5.0, from_afar())], 3)
    assert probability > 0.98


@pytest.mark.parametrize(
    ("first", "second", "is_lookalike"),
    [(5.0, -3.0, True), (5.0, -1.0, False), (1.0, -3.0, False), (-5.0, -5.0, False)],
)
def test_a_lookalike_looks_like_the_hero_at_first_and_not_at_a_second_look(first, second, is_lookalike):
    assert after(20, first, looks(first, second), second).is_of_lookalike is is_lookalike


def test_a_lookalike_is_hardly_the_hero_as_the_first_of_them():
    (probability,) = probabilities([after(20, 5.0, looks(5.0, -3.0), -3.0)])
    assert probability < 0.05


def test_a_frame_without_a_second_look_leaves_what_is_known_of_lookalikes():
    before = after(20, 5.0, looks(5.0, -3.0), -3.0)
    assert before.after(5.0, None, FRAME_S).lookalike == before.lookalike

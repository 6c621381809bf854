"""Chases and switches on flights written by hand: whom was the drone told to follow, and how often?"""

import pytest
from support.flights import NOWHERE, flight

from tools.simulator.flight import NOBODY
from tools.simulator.loop_score import score
from tools.simulator.stranger_score import Chase, chases_of, followed_people, second_chases, switches_of

OTHERS_M = [(10.0, 0.0), (20.0, 0.0), (21.5, 0.0)]
"""A, B and, 1.5 m beyond B, C; the hero is at the origin."""


def flown(text: str):
    """Frames told to follow the hero (h), A, B or C, a place in the midst of nowhere (-), or on patrol (.)."""
    places = {"h": (0.5, 0.0), "A": (10.5, 0.0), "B": (20.0, 0.0), "C": (21.5, 0.0), "-": (15.4, 0.0), ".": NOWHERE}
    return flight([places[what] for what in text], others_m=OTHERS_M)


def test_a_second_on_one_stranger_is_a_chase_and_less_is_none():
    assert chases_of(flown("..AAAA..")) == []  # 4 frames are 0.8 s
    assert chases_of(flown("..AAAAA.")) == [pytest.approx(Chase(0, 0.4, 1.4))]


def test_an_interruption_of_less_than_a_second_ends_no_chase():
    assert chases_of(flown("AAA....AAA")) == [pytest.approx(Chase(0, 0.0, 2.0))]  # 0.8 s on patrol
    assert chases_of(flown("AAAhhhhAAA")) == [pytest.approx(Chase(0, 0.0, 2.0))]  # or on the hero
    assert chases_of(flown("AAAAA.....AAAAA")) == [pytest.approx(Chase(0, 0.0, 1.0)), pytest.approx(Chase(0, 2.0, 3.0))]


def test_several_interruptions_of_less_than_a_second_end_no_chase_either():
    assert chases_of(flown("A....A....A")) == [pytest.approx(Chase(0, 0.0, 2.2))]


def test_each_stranger_is_chased_separately_and_in_order():
    assert chases_of(flown("BBBBBBAAAAA")) == [pytest.approx(Chase(1, 0.0, 1.2)), pytest.approx(Chase(0, 1.2, 2.2))]


def test_following_the_hero_or_nobody_is_no_chase():
    assert chases_of(flown("hhhhhhhh")) == chases_of(flown("........")) == []
    assert chases_of(flight([(5.0, 0.0)] * 10)) == []  # with nobody else in the world


def test_beside_the_hero_a_stranger_is_not_chased():
    # On target is right even if the other is nearer, 0.1 m away.
    assert chases_of(flight([(1.9, 0.0)] * 10, others_m=[(2.0, 0.0)])) == []


def test_second_chases_are_those_of_a_stranger_who_was_chased_before():
    # A three times, two of them second ones, and B once.
    assert second_chases(flown(".....".join(["AAAAA", "BBBBB", "AAAAA", "AAAAA"]))) == 2
    assert second_chases(flown("AAAAABBBBB")) == 0


def test_whoever_is_followed_is_within_two_metres_and_remains_so_for_as_long():
    # B and C are 1.5 m apart: the person who came first is followed until patrol, or until they are over 2 m away.
    assert followed_people(flown("BCB.CBAh-")).tolist() == [2, 2, 2, NOBODY, 3, 3, 1, 0, NOBODY]


def test_somebody_on_foot_is_followed_within_two_metres_also_if_the_target_is_a_car():
    # Coordinates on the car, then 3.5 m from another car, then 3.5 m from somebody on foot and 2 m from them.
    told_m = [(0.0, 0.0), (16.5, 0.0), (36.5, 0.0), (38.0, 0.0)]
    seen = flight(told_m, others_m=[(20.0, 0.0), (40.0, 0.0)])._replace(on_target_m=4.15, alike=1)
    assert followed_people(seen).tolist() == [0, 1, NOBODY, 2]
    assert switches_of(seen) == 2


def test_the_hero_has_precedence_over_a_nearer_stranger():
    assert followed_people(flight([(1.5, 0.0)], others_m=[(1.6, 0.0)])).tolist() == [0]


@pytest.mark.parametrize(
    ("text", "switches"),
    [
        ("hhhAAA", 1),
        ("hhh.AAA", 0),  # a patrol between
        ("hhh--AAA", 1),  # past nobody
        ("hh--hh", 0),
        ("hAhB", 3),
        ("BCBCBC", 0),  # side by side
        ("...", 0),
    ],
)
def test_switches_are_changes_from_person_to_person_without_a_patrol(text, switches):
    assert switches_of(flown(text)) == switches


def test_a_score_adds_up_flights_and_gives_chases_per_hour():
    # Three chases in 75 frames, 15 s: 3 / 15 s = 720 an hour. One second chase; one switch in each flight.
    got = score([flown("AAAAA.....AAAAA" + "." * 34 + "h"), flown("hBBBBBBB" + "." * 17)])
    assert got.chases_per_h == pytest.approx(720.0)
    assert (got.second_chases, got.switches) == (1, 1)

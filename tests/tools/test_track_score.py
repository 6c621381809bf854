"""IDF1 on flights written by hand: two people stand 5 m apart, and tracks come and go."""

import math

import pytest
from support.flights import NOWHERE, flight

from tools.simulator.loop_score import score
from tools.simulator.track_score import Agreement, agreement

OTHER_M = (5.0, 0.0)
HERO, OTHER = (0.0, 0.0), OTHER_M


def flown(tracked, in_view=(True, True)):
    return flight([NOWHERE] * len(tracked), others_m=[OTHER_M], in_view=in_view, tracked=tracked)


def test_one_track_for_each_person_in_each_frame_is_perfect():
    got = agreement([flown([[(3, *HERO), (7, *OTHER)]] * 4)])
    assert got == Agreement(in_view=8, tracked=8, agreeing=8)
    assert got.idf1 == 1.0


def test_nobody_tracked_is_zero_and_nobody_there_says_nothing():
    assert agreement([flown([[]] * 4)]).idf1 == 0.0
    assert math.isnan(agreement([flown([[]] * 4, in_view=(False, False))]).idf1)


def test_a_track_of_nobody_counts_against():
    # Two frames of the hero alone and tracked, and a second track 3 m away: 2 · 2 / (2 + 4).
    got = agreement([flown([[(0, *HERO), (1, 3.0, 0.0)]] * 2, in_view=(True, False))])
    assert got == Agreement(in_view=2, tracked=4, agreeing=2)
    assert got.idf1 == pytest.approx(2 / 3)


def test_a_track_of_somebody_out_of_view_counts_against():
    assert agreement([flown([[(0, *HERO)]], in_view=(False, False))]) == Agreement(0, 1, 0)


def test_a_person_with_two_tracks_one_after_the_other_agrees_with_the_longer_one():
    # The hero for 3 frames as 1, then for 2 as 2: 3 of 5 agree, 2 · 3 / (5 + 5).
    got = agreement([flown([[(1, *HERO)]] * 3 + [[(2, *HERO)]] * 2, in_view=(True, False))])
    assert got == Agreement(in_view=5, tracked=5, agreeing=3)
    assert got.idf1 == pytest.approx(0.6)


def test_tracks_that_change_places_agree_with_one_person_each():
    # For 3 frames right, for 1 the other way round: 2 · 3 of 8 person-frames.
    right, wrong = [(1, *HERO), (2, *OTHER)], [(2, *HERO), (1, *OTHER)]
    assert agreement([flown([right] * 3 + [wrong])]) == Agreement(8, 8, 6)


def test_a_metre_apart_is_near_enough_and_more_is_not():
    assert agreement([flown([[(0, 1.0, 0.0)], [(0, 0.0, -1.01)]])]).agreeing == 1


@pytest.mark.parametrize(("alike", "agreeing"), [(0, 1), (1, 2)])
def test_a_car_agrees_with_a_track_of_its_side_and_so_do_others_of_its_kind(alike, agreeing):
    seen = flown([[(0, 2.0, 0.0), (1, OTHER_M[0] + 2.0, 0.0)]])._replace(on_target_m=4.0, alike=alike)
    assert agreement([seen]).agreeing == agreeing


def test_flights_are_matched_separately_and_their_frames_added_up():
    # The same id is another person's in another flight.
    one, other = flown([[(1, *HERO)]] * 2), flown([[(1, *OTHER)]] * 3)
    assert agreement([one, other]) == Agreement(in_view=10, tracked=5, agreeing=5)
    assert score([one, other]).idf1 == pytest.approx(2 * 5 / 15)

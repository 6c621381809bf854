"""The loop's figures on flights written by hand, five moments a second, with results calculated by hand."""

import math

import numpy as np
import pytest
from support.flights import NOWHERE, PERIOD_S, flight

from tools.simulator.loop_score import Loss, losses_of, score


def told(text: str) -> list[tuple[float, float]]:
    """Moments on the hero (h), 5 m off (o), on patrol (.)."""
    places = {"h": (0.5, 0.0), "o": (5.0, 0.0), ".": NOWHERE}
    return [places[what] for what in text]


def test_acquisition_counts_from_the_first_visible_frame_and_from_the_start():
    # Visible with frame 3, on target with frame 8: 1.0 s and 1.6 s.
    got = score([flight(told("........hh"), hero_px=[0, 5, 10, 11, 0, 0, 50, 50, 50, 50])])
    assert (got.episodes, got.acquired) == (1, 1)
    assert got.acquire_s == pytest.approx(1.0)
    assert got.acquire_from_start_s == pytest.approx(1.6)


def test_a_hero_who_is_never_acquired_counts_with_all_the_time_there_was():
    # Visible from frame 2 on, 8 of 10 frames; coordinates 5 m off are no acquisition.
    got = score([flight(told("oo........"), hero_px=[0, 0, *[50] * 8])])
    assert got.acquired == 0
    assert got.acquire_s == pytest.approx(1.6)
    assert got.acquire_from_start_s == pytest.approx(2.0)
    assert math.isnan(got.on_target)


def test_a_hero_who_is_never_visible_says_nothing_of_how_quickly_one_is_acquired():
    got = score([flight(told(".........."), hero_px=0)])
    assert math.isnan(got.acquire_s)
    assert got.acquire_from_start_s == pytest.approx(2.0)


def test_a_glimpse_is_no_second_in_which_the_hero_is_shown():
    # Visible in frames 1 to 4, then from 8 on: shown with frame 8, on target with frame 11, 0.6 s later.
    hero_px = [0, 50, 50, 50, 50, 0, 0, 10, *[11] * 6]
    got = score([flight(told("...........hhh"), hero_px=hero_px)])
    assert (got.shown, got.acquired_of_shown) == (1, 1)
    assert got.acquire_shown_s == pytest.approx(0.6)
    assert got.acquire_s == pytest.approx(2.0)


def test_a_hero_who_is_never_shown_counts_as_not_acquired_but_not_in_the_times_from_then_on():
    # Four frames at a time, with the end of the flight as with a miss; beside a flight that takes 0.4 s.
    hidden = flight(told(".........."), hero_px=[50, 50, 50, 50, 0, 0, 50, 50, 50, 50])
    got = score([hidden, flight(told("..hhhhhh"))])
    assert (got.acquired, got.shown, got.acquired_of_shown) == (1, 1, 1)
    assert got.acquire_shown_s == pytest.approx(0.4)
    assert got.acquire_s == pytest.approx((2.0 + 0.4) / 2)
    assert math.isnan(score([hidden]).acquire_shown_s)


def test_a_shown_hero_who_is_not_acquired_counts_with_all_the_time_there_was():
    got = score([flight(told(".........."), hero_px=[0, 0, *[50] * 8])])
    assert (got.shown, got.acquired_of_shown) == (1, 0)
    assert got.acquire_shown_s == pytest.approx(1.6)


def test_several_flights_give_one_median_and_one_90th_percentile():
    # Acquired after 0.2, 0.4, … 2.2 s: 11 values, median the 6th, 90th percentile the 10th.
    got = score([flight(told("." * frames + "h")) for frames in range(1, 12)])
    assert got.acquire_s == pytest.approx(1.2)
    assert got.acquire_p90_s == pytest.approx(2.0)


def test_time_on_target_counts_from_acquisition_on_and_needs_to_be_told_to_follow():
    # 8 frames from the first h on, of which 5 on target.
    assert score([flight(told("..hhoh..hh"))]).on_target == pytest.approx(5 / 8)


def test_on_target_is_within_two_metres():
    assert score([flight([(2.0, 0.0), (0.0, -2.01)])]).on_target == pytest.approx(0.5)


def test_a_second_off_target_is_a_loss_and_less_is_none():
    assert losses_of(flight(told("hh....hh"))) == []
    (loss,) = losses_of(flight(told("hh..o..hh")))
    assert loss == pytest.approx(Loss(0.4, 1.4, 1.0))


def test_reacquiring_counts_from_the_first_frame_of_the_loss_that_shows_the_hero():
    # Lost with frame 1, hidden until frame 7, on target again with frame 9: 0.4 s.
    (loss,) = losses_of(flight(told("h........h"), hero_px=[50, *[10] * 6, 50, 50, 50]))
    assert loss == pytest.approx(Loss(0.2, 1.8, 0.4))
    assert score([flight(told("h........h"), hero_px=[50, *[10] * 6, 50, 50, 50])]).reacquire_s == pytest.approx(0.4)


def test_a_loss_in_which_the_hero_stays_hidden_says_nothing_of_how_quickly_one_is_reacquired():
    got = score([flight(told("h........."), hero_px=[50, *[0] * 9])])
    assert got.losses == 1
    assert math.isnan(got.reacquire_s)


def test_a_loss_that_lasts_to_the_end_counts_until_there():
    (loss,) = losses_of(flight(told("hh......")))
    assert loss == pytest.approx(Loss(0.4, 1.6, 1.2))


def test_a_wrong_person_is_nearer_to_the_coordinates_than_the_hero_who_is_over_two_metres_away():
    # The other stands at x = 6. Coordinates at x = 5 are on the other, at 2.5 and 0.5 nearer to the hero.
    got = score([flight([(5.0, 0.0), (2.5, 0.0), (0.5, 0.0), NOWHERE], others_m=[(6.0, 0.0)])])
    assert got.wrong_person == pytest.approx(1 / 4)


def test_coordinates_near_the_hero_are_right_even_if_somebody_else_is_nearer():
    assert score([flight([(1.9, 0.0)], others_m=[(2.0, 0.0)])]).wrong_person == 0.0


def test_with_nobody_else_there_is_no_wrong_person():
    assert score([flight(told("ooo"))]).wrong_person == 0.0


def test_position_errors_are_those_while_told_to_follow():
    # 0.5 m twenty times and 5 m once: the 95th percentile of 21 values is the 20th.
    got = score([flight(told("." * 20 + "h" * 20 + "o"))])
    assert got.error_m == pytest.approx(0.5)
    assert got.error_p95_m == pytest.approx(0.5)
    assert score([flight(told("ho"))]).error_m == pytest.approx((0.5 + 5.0) / 2)


def test_velocity_errors_compare_the_coordinates_way_of_a_second_with_the_heros():
    # The hero walks 1.5 m/s along x, the coordinates 1.1 m/s along y: the difference is √(1.5² + 1.1²) = 1.86.
    times_s = PERIOD_S * np.arange(20)
    hero_m = np.stack([1.5 * times_s, 0 * times_s], axis=1)
    told_m = np.stack([0 * times_s, 1.1 * times_s], axis=1)
    assert score([flight(told_m, hero_m)]).velocity_error_mps == pytest.approx(math.hypot(1.5, 1.1))
    assert score([flight(hero_m + 3.0, hero_m)]).velocity_error_mps == pytest.approx(0.0, abs=1e-12)


def test_roughness_is_the_second_difference_of_the_coordinates():
    # To and fro by 0.1 m: each second difference is ± 0.2 m. A steady walk has none.
    assert score([flight([(0.1 * (frame % 2), 0.0) for frame in range(10)])]).roughness_m == pytest.approx(0.2)
    assert score([flight([(0.3 * frame, 0.0) for frame in range(10)])]).roughness_m == pytest.approx(0.0, abs=1e-12)


def test_beginning_to_follow_is_not_rough():
    assert math.isnan(score([flight(told("hh..hh"))]).roughness_m)


def test_no_flight_has_no_score():
    with pytest.raises(ValueError, match="expected at least one flight"):
        score([])

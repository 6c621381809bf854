"""People walk the block's paths as people do: no leaps, no walls, stops, and the hero at the hero's speed."""

import numpy as np
import pytest

from tools.simulator.city import build_city
from tools.simulator.walkers import HERO_SPEED_MPS, Walkers

STEP_S = 0.05


@pytest.fixture(scope="module")
def city():
    return build_city(1)


@pytest.fixture(scope="module")
def walked(city):
    """Two minutes of the hero and 30 others: (steps, 31, 2) feet, and what `people` said."""
    walkers = Walkers(city, 30, np.random.default_rng(5))
    feet_m, people = [], []
    for _ in range(round(120 / STEP_S)):
        walkers.step(STEP_S)
        feet_m.append(walkers.positions_m[:, :2])
        people.append(walkers.people)
    return np.array(feet_m), people


def speeds_mps(feet_m):
    return np.linalg.norm(np.diff(feet_m, axis=0), axis=-1) / STEP_S


def test_the_hero_walks_at_the_heros_speed_and_never_faster(walked):
    speeds = speeds_mps(walked[0][:, :1])
    assert np.median(speeds) == pytest.approx(HERO_SPEED_MPS, rel=1e-3)
    assert speeds.max() <= HERO_SPEED_MPS + 1e-9


def test_nobody_leaps(walked):
    assert speeds_mps(walked[0]).max() < 1.6 + 0.8 + 0.01  # walking, and stepping aside


def test_the_others_walk_at_different_speeds(walked):
    medians = np.median(speeds_mps(walked[0][:, 1:]), axis=0)
    assert np.ptp(medians) > 0.5


def test_nobody_touches_a_wall_or_a_tree(city, walked):
    assert city.clearance_m(walked[0]).min() > 0.25  # half the width of shoulders


def test_everybody_turns_smoothly(walked):
    headings_deg = np.array([[person.heading_deg for person in people] for people in walked[1]])
    turned_deg = (np.diff(headings_deg, axis=0) + 180) % 360 - 180
    assert 2.0 < np.abs(turned_deg).max() <= 150.0 * STEP_S + 1e-6


def test_they_look_where_they_walk(walked):
    feet_m, people = walked
    way_m = np.diff(feet_m[:, 0], axis=0)
    headings_rad = np.radians([step[0].heading_deg for step in people[1:]])
    ahead_m = np.sum(way_m * np.column_stack([np.cos(headings_rad), np.sin(headings_rad)]), axis=1)
    np.testing.assert_allclose(ahead_m, np.linalg.norm(way_m, axis=1), atol=1e-9)


def test_people_stop_now_and_then_and_stand_still_then(walked):
    feet_m, people = walked
    is_standing = speeds_mps(feet_m)[:, 1:] < 0.01
    assert 0.02 < is_standing.mean() < 0.6
    strides = np.array([[person.stride for person in step[1:]] for step in people[1:]])
    assert strides[is_standing].mean() < 0.3
    assert strides[~is_standing].mean() > 0.7


def test_people_hardly_walk_through_each_other(walked):
    apart_m = np.linalg.norm(walked[0][:, :, np.newaxis] - walked[0][:, np.newaxis], axis=-1)
    apart_m[:, np.arange(31), np.arange(31)] = np.inf
    assert np.mean(apart_m.min(axis=-1) < 0.4) < 0.005


def test_the_same_numbers_give_the_same_walk(city):
    one, same, other = (Walkers(city, 8, np.random.default_rng(seed)) for seed in (3, 3, 4))
    for _ in range(200):
        for walkers in (one, same, other):
            walkers.step(STEP_S)
    np.testing.assert_array_equal(one.positions_m, same.positions_m)
    assert one.people == same.people
    assert np.abs(one.positions_m - other.positions_m).max() > 1.0


def test_a_hero_who_hides_is_inside_of_houses_for_seconds_and_the_others_never(city):
    walkers = Walkers(city, 30, np.random.default_rng(5), hides=True)
    feet_m = []
    for _ in range(round(240 / STEP_S)):
        walkers.step(STEP_S)
        feet_m.append(walkers.positions_m[:, :2])
    clearance_m = city.clearance_m(np.array(feet_m))
    assert clearance_m[:, 1:].min() > 0.25
    edges = np.flatnonzero(np.diff((clearance_m[:, 0] == 0).astype(int), prepend=0, append=0))
    stays_s = np.diff(edges)[::2] * STEP_S
    assert len(stays_s) >= 2
    assert stays_s.min() > 2.5  # 4 m at 1.485 m/s


def test_the_heros_velocity_is_how_the_hero_moves(city):
    walkers = Walkers(city, 0, np.random.default_rng(0))
    before_m = walkers.hero_position_m
    walkers.step(STEP_S)
    np.testing.assert_allclose(walkers.hero_velocity_mps, (walkers.hero_position_m - before_m) / STEP_S)
    assert walkers.hero_position_m[2] == 0.0
    assert len(walkers.people) == 1


def test_a_negative_count_is_refused(city):
    with pytest.raises(ValueError, match="at least 0, got -1"):
        Walkers(city, -1, np.random.default_rng(0))

"""A crosser hurries to the hero, walks along 0.9 m before or behind, crosses, and waits for the next time."""

import numpy as np
import pytest

from tools.simulator.city import build_city
from tools.simulator.crossers import CROSSING_GAP_M, Crosser, Ways
from tools.simulator.walkers import Walkers

STEP_S = 0.05


@pytest.fixture
def crosser():
    return Crosser(1.2, np.random.default_rng(0))


def test_one_who_is_due_hurries_to_the_hero(crosser):
    assert crosser.is_due
    assert not crosser.step(STEP_S, None, 0.0, 1.5)
    assert crosser.speed_mps == 2.0
    assert not crosser.step(STEP_S, 8.1, 0.0, 1.5)
    assert crosser.speed_mps == 2.0


@pytest.mark.parametrize(
    ("ahead_m", "speed_mps"),
    [
        (-1.3, 1.9),  # 0.4 m too far behind: 1.5 + 0.4
        (1.3, 1.1),  # 0.4 m too far ahead
        (-6.0, 2.0),
        (6.0, 0.0),
    ],
)
def test_on_the_heros_edge_the_speed_brings_it_to_the_gap(crosser, ahead_m, speed_mps):
    assert not crosser.step(STEP_S, ahead_m, 0.0, 1.5)
    assert crosser.speed_mps == pytest.approx(speed_mps)


@pytest.mark.parametrize("ahead_m", [CROSSING_GAP_M, -CROSSING_GAP_M - 0.2])
def test_in_its_place_it_changes_sides_once_and_then_waits_10_to_25_s(crosser, ahead_m):
    assert crosser.step(STEP_S, ahead_m, 0.0, 1.5)
    assert crosser.is_crossing
    assert not crosser.step(STEP_S, ahead_m, 1.0, 1.5)
    assert crosser.is_crossing
    assert not crosser.step(STEP_S, ahead_m, 0.1, 1.5)
    assert (crosser.is_crossing, crosser.is_due, crosser.crossings) == (False, False, 1)
    waited_s = 0.0
    while not crosser.is_due:
        crosser.step(STEP_S, ahead_m, 0.0, 1.5)
        waited_s += STEP_S
        assert crosser.is_due or crosser.speed_mps == 1.2
    assert 10.0 <= waited_s <= 25.1


def test_a_hero_who_turns_off_ends_the_crossing_and_it_is_tried_again(crosser):
    crosser.step(STEP_S, CROSSING_GAP_M, 0.0, 1.5)
    crosser.step(STEP_S, None, 0.5, 1.5)
    assert (crosser.is_crossing, crosser.is_due, crosser.crossings) == (False, True, 0)


def test_the_shortest_way_is_measured_along_edges():
    # A square of side 1 with the edge from 3 to 0 missing: from 0 to 3 the way leads over 1 and 2.
    nodes_m = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    ways = Ways(nodes_m, [[1], [0, 2], [1, 3], [2]])
    assert ways.distances_m[0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert (ways.next_node(0, 3), ways.next_node(1, 3), ways.next_node(1, 0)) == (1, 2, 0)


def test_in_the_city_a_crosser_passes_close_to_the_hero_and_never_touches_a_wall():
    city = build_city(3)
    walkers = Walkers(city, 10, np.random.default_rng(5), crossers=[1])
    feet_m = []
    for _ in range(round(90 / STEP_S)):
        walkers.step(STEP_S)
        feet_m.append(walkers.positions_m[:2, :2])
    hero_m, crosser_m = np.array(feet_m).transpose(1, 0, 2)
    apart_m = np.linalg.norm(hero_m - crosser_m, axis=1)
    assert np.count_nonzero(np.diff((apart_m < 1.5).astype(int)) == 1) >= 2  # comes close again and again
    assert np.mean(apart_m < 0.35) < 0.02  # and hardly ever walks through the hero
    assert city.clearance_m(crosser_m).min() > 0.25


def test_the_others_start_and_look_where_they_would_without_crossers():
    city = build_city(3)
    plain, crossed = (Walkers(city, 5, np.random.default_rng(5), crossers=crossers) for crossers in ((), [2]))
    same = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(plain.positions_m[same], crossed.positions_m[same])
    assert np.abs(plain.positions_m[2] - crossed.positions_m[2]).max() > 0.1

import functools
import itertools

import cv2
import numpy as np
import pytest

from tools.simulator.block import GRASS, Planter, Tree, Wall, rectangle_m
from tools.simulator.city import City, build_city
from tools.simulator.walk_graph import WALK_CLEARANCE_M

SEEDS = range(4)


@functools.cache
def city_of(seed: int) -> City:
    return build_city(seed)


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed {seed}")
def city(request: pytest.FixtureRequest) -> City:
    return city_of(request.param)


def along(start_m: np.ndarray, end_m: np.ndarray) -> np.ndarray:
    """Points every 5 cm or closer on a straight way."""
    count = int(np.linalg.norm(end_m - start_m) / 0.05) + 2
    return start_m + (end_m - start_m) * np.linspace(0, 1, count)[:, np.newaxis]


def material_at(city: City, point_m: np.ndarray) -> int:
    on_top_first = reversed(city.areas)
    covering = (
        area.material
        for area in on_top_first
        if cv2.pointPolygonTest(area.polygon_m.astype(np.float32), point_m.tolist(), measureDist=False) >= 0
    )
    return next(covering, GRASS)


def test_every_walk_edge_is_free_of_obstacles(city):
    for start, end in city.walk_edges:
        way_m = along(city.walk_nodes_m[start], city.walk_nodes_m[end])
        assert city.clearance_m(way_m).min() >= WALK_CLEARANCE_M


def test_one_can_walk_from_any_node_to_any_other(city):
    reached, new = set(), {0}
    while new:
        reached |= new
        new = {other for edge in city.walk_edges for one, other in (edge, edge[::-1]) if one in reached} - reached
    assert reached == set(range(len(city.walk_nodes_m)))


def test_walks_lead_over_lawns_and_over_paving(city):
    middles_m = [city.walk_nodes_m[list(edge)].mean(axis=0) for edge in city.walk_edges]
    on_grass = np.mean([material_at(city, point_m) == GRASS for point_m in middles_m])
    assert 0.1 < on_grass < 0.8


def test_the_walkable_block_is_some_80_m_wide(city):
    assert np.all(np.ptp(city.walk_nodes_m, axis=0) > 80)


def test_the_patrol_keeps_clear_of_houses_and_crowns(city):
    crowns = [(tree.x_m, tree.y_m, tree.crown_radius_m) for tree in city.trees]
    loop_m = [*city.patrol_points_m[:, :2], city.patrol_points_m[0, :2]]
    for start_m, end_m in itertools.pairwise(loop_m):
        way_m = along(start_m, end_m)
        for x_m, y_m, radius_m in crowns:
            assert np.linalg.norm(way_m - [x_m, y_m], axis=1).min() > radius_m
        for house in city.buildings:
            corners = rectangle_m(np.array([house.x_m, house.y_m]), house.length_m, house.width_m, house.yaw_deg)
            is_inside = [
                cv2.pointPolygonTest(corners.astype(np.float32), point.tolist(), measureDist=False) >= 0
                for point in way_m
            ]
            assert not any(is_inside)


def test_the_patrol_has_at_least_6_points_4_to_8_m_up(city):
    assert len(city.patrol_points_m) >= 6
    assert np.all((city.patrol_points_m[:, 2] >= 4) & (city.patrol_points_m[:, 2] <= 8))


def test_nobody_walks_further_than_50_m_from_all_points_of_the_patrol(city):
    away_m = np.linalg.norm(city.walk_nodes_m[:, np.newaxis] - city.patrol_points_m[:, :2], axis=2)
    assert away_m.min(axis=1).max() <= 50.0


def test_people_can_pass_behind_something(city):
    assert len(city.trees) >= 10
    inner = [house for house in city.buildings if max(abs(house.x_m), abs(house.y_m)) < 30]
    assert inner
    assert city.walls


def test_passages_lead_through_houses_and_through_nothing_else(city):
    passages = city.passages()
    assert len(passages) >= 10
    assert not set(passages) & set(city.walk_edges)
    houses = _with(buildings=city.buildings)
    others = _with(walls=city.walls, trees=city.trees, planters=city.planters)
    for start, end in passages:
        way_m = along(city.walk_nodes_m[start], city.walk_nodes_m[end])
        assert others.clearance_m(way_m).min() > WALK_CLEARANCE_M - 0.01
        # Out of sight for 4 m of at most 16: 2.7 s at the hero's 1.485 m/s, where a drone waits for 1.4 s.
        is_hidden = houses.clearance_m(way_m) == 0
        assert is_hidden.mean() * np.linalg.norm(way_m[-1] - way_m[0]) > 3.8
        assert not is_hidden[[0, -1]].any()


def test_a_seed_gives_one_city_and_another_seed_another():
    first, again, other = city_of(0), build_city(0), city_of(1)
    np.testing.assert_array_equal(first.walk_nodes_m, again.walk_nodes_m)
    assert first.walk_edges == again.walk_edges
    assert first.buildings == again.buildings
    assert first.trees == again.trees
    assert first.buildings != other.buildings


def test_the_clearance_is_the_distance_to_the_nearest_edge():
    wall = Wall(x_m=0.0, y_m=0.0, length_m=4.0, width_m=1.0, yaw_deg=90.0, height_m=2.0)
    tree = Tree(x_m=10.0, y_m=0.0, trunk_radius_m=0.2, crown_z_m=5.0, crown_radius_m=2.0, foliage="green")
    city = _with(walls=(wall,), trees=(tree,), planters=(Planter(0.0, 20.0, 2.0),))
    # The wall runs along y: 3 m beside it; 1 m beyond its end; inside; the tree's roots are 1.5 trunks wide.
    points_m = np.array([[3.5, 0.0], [0.0, 3.0], [0.2, 1.0], [9.0, 0.0], [0.0, 17.0]])
    np.testing.assert_allclose(city.clearance_m(points_m), [3.0, 1.0, 0.0, 1.0 - 0.3, 1.0])


def _with(**standing: tuple) -> City:
    nothing = {"areas": (), "kerbs_m": (), "buildings": (), "walls": (), "trees": (), "planters": ()}
    return City(0, np.zeros((1, 2)), (), np.zeros((1, 3)), **{**nothing, **standing})

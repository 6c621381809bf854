"""The layout of a city block as a function of the seed: where one can walk, what stands there, and the ground."""

from dataclasses import dataclass

import numpy as np

from tools.simulator.block import Area, Building, Planter, Tree, Wall
from tools.simulator.obstacles import Obstacles, samples
from tools.simulator.paving import make_ground
from tools.simulator.placing import (
    make_inner_buildings,
    make_outer_buildings,
    make_paths,
    make_planters,
    make_trees,
    make_walls,
)
from tools.simulator.walk_graph import WALK_CLEARANCE_M, make_patrol_points, make_walk_graph

LEAST_HIDDEN_M = 4.0
"""Shortest part of a passage that is inside a house."""

_PASSAGE_M = 16.0  # greatest length of a passage


@dataclass(frozen=True)
class City:
    """A city block.

    Args:
        seed: seed of the layout, and of the textures.
        walk_nodes_m: (N, 2) nodes of the walk graph, on pavements, paths, lawns and roads.
        walk_edges: pairs of nodes; the straight line between them has no obstacle within `WALK_CLEARANCE_M`. The graph
            is connected.
        patrol_points_m: (P, 3) loop for the drone; its straight lines are free of buildings and trees.
        areas: the ground, lowest first; grass elsewhere.
        kerbs_m: lines of kerb stones, each (2, 2).
        buildings, walls, trees, planters: objects on the ground.
    """

    seed: int
    walk_nodes_m: np.ndarray
    walk_edges: tuple[tuple[int, int], ...]
    patrol_points_m: np.ndarray
    areas: tuple[Area, ...]
    kerbs_m: tuple[np.ndarray, ...]
    buildings: tuple[Building, ...]
    walls: tuple[Wall, ...]
    trees: tuple[Tree, ...]
    planters: tuple[Planter, ...]

    def clearance_m(self, points_m: np.ndarray) -> np.ndarray:
        """Distance of points to the nearest obstacle for a walker.

        Args:
            points_m: (..., 2).

        Returns:
            (...) float, 0 inside an obstacle.
        """
        return Obstacles(self.buildings, self.walls, self.trees, self.planters).distance_m(points_m)

    def passages(self) -> tuple[tuple[int, int], ...]:
        """Pairs of nodes whose straight line leads through a house and no other obstacle: a walker is hidden inside.

        The houses have no doors; walkers pass through their walls.
        """
        houses = Obstacles(self.buildings)
        others = Obstacles((), self.walls, self.trees, self.planters)
        away_m = np.linalg.norm(self.walk_nodes_m[:, np.newaxis] - self.walk_nodes_m, axis=2)
        pairs = np.argwhere(np.triu((away_m > LEAST_HIDDEN_M) & (away_m < _PASSAGE_M)))
        ways_m = [samples(self.walk_nodes_m[pair], 0.1) for pair in pairs]
        return tuple(
            (int(start), int(end))
            for (start, end), way_m in zip(pairs, ways_m, strict=True)
            if 0.1 * np.count_nonzero(houses.distance_m(way_m) == 0) > LEAST_HIDDEN_M
            and others.distance_m(way_m).min() >= WALK_CLEARANCE_M
        )


def build_city(seed: int) -> City:
    """Build the block of a seed."""
    rng = np.random.default_rng(seed)
    plaza_m = rng.uniform(-3.0, 3.0, 2)
    plaza_radius_m = rng.uniform(8.0, 10.0)
    paths = make_paths(rng, plaza_m)
    planters = make_planters(rng, plaza_m, paths)
    buildings = make_outer_buildings(rng) + make_inner_buildings(rng, plaza_m, plaza_radius_m, paths)
    walls = make_walls(rng, buildings, plaza_m, plaza_radius_m, paths)
    trees = make_trees(rng, buildings, walls, plaza_m, plaza_radius_m, paths)
    obstacles = Obstacles(buildings, walls, trees, planters)
    nodes_m, edges = make_walk_graph(rng, obstacles, plaza_m, planters[0], paths)
    areas, kerbs_m = make_ground(plaza_m, plaza_radius_m, paths)
    return City(
        seed=seed,
        walk_nodes_m=nodes_m,
        walk_edges=edges,
        patrol_points_m=make_patrol_points(rng, nodes_m, buildings, walls, trees),
        areas=areas,
        kerbs_m=kerbs_m,
        buildings=buildings,
        walls=walls,
        trees=trees,
        planters=planters,
    )

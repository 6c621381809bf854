"""Where people walk in a city block, a graph of straight ways, and where the drone patrols above them."""

import math

import numpy as np

from tools.simulator.block import (
    HOUSE_FRONT_M,
    OUTER_RING_M,
    RING_M,
    ROAD_MIDDLE_M,
    Building,
    Planter,
    Tree,
    Wall,
    rectangle_m,
    turned,
    unit_circle,
)
from tools.simulator.obstacles import Obstacles
from tools.simulator.placing import Path

WALK_CLEARANCE_M = 0.6
"""Smallest distance from an edge of the walk graph to an obstacle."""

_FLIGHT_CLEARANCE_M = 1.0
_PATROL_REACH_M = 50.0  # greatest distance from a walk node to the nearest patrol point


def make_walk_graph(
    rng: np.random.Generator, obstacles: Obstacles, plaza_m: np.ndarray, planter: Planter, paths: list[Path]
) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """Make the walk graph: nodes on all walkable ground, and straight edges between neighbours."""
    candidates = [plaza_m + (planter.radius_m + 2.0) * unit_circle(8)]
    candidates += [path.line_m[2:] for path in paths]
    for ring_m in (RING_M, OUTER_RING_M, ROAD_MIDDLE_M):
        side = np.stack([np.full(6, ring_m), np.linspace(-ring_m, ring_m, 7)[:-1]], axis=1)
        candidates += [np.array([turned(point, 90.0 * quarter) for point in side]) for quarter in range(4)]
    # Nodes around the corners of houses and walls, so that walkers pass behind them; then nodes anywhere on the lawns.
    for x_m, y_m, length_m, width_m, yaw_deg in obstacles.boxes:
        candidates.append(rectangle_m(np.array([x_m, y_m]), length_m + 2.6, width_m + 2.6, yaw_deg))
    candidates.append(rng.uniform(-27, 27, (40, 2)))
    points_m = np.concatenate(candidates)
    is_free = (obstacles.distance_m(points_m) >= WALK_CLEARANCE_M) & (
        np.abs(points_m).max(axis=1) < HOUSE_FRONT_M - 1.0
    )
    nodes: list[list[float]] = []
    for point in points_m[is_free].tolist():
        if all(math.dist(point, node) > 2.5 for node in nodes):
            nodes.append(point)
    nodes_m = np.array(nodes)
    edges = set()
    for number, node in enumerate(nodes_m):
        headings: list[np.ndarray] = []
        away_m = np.linalg.norm(nodes_m - node, axis=1)
        for other in np.argsort(away_m)[1:12]:
            towards = (nodes_m[other] - node) / away_m[other]
            if away_m[other] > 16.0 or len(headings) == 5 or any(towards @ heading > 0.82 for heading in headings):
                continue
            if not obstacles.is_clear(node, nodes_m[other], WALK_CLEARANCE_M + 0.05):
                continue
            headings.append(towards)
            edges.add((min(number, int(other)), max(number, int(other))))
    return _connected(nodes_m, edges)


def _connected(nodes_m: np.ndarray, edges: set[tuple[int, int]]) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """Keep the largest connected part of a graph."""
    parts = np.arange(len(nodes_m))
    for _ in nodes_m:
        before = parts.copy()
        for start, end in edges:
            parts[start] = parts[end] = min(parts[start], parts[end])
        if np.array_equal(parts, before):
            break
    kept = np.flatnonzero(parts == np.bincount(parts).argmax())
    numbers = {int(node): number for number, node in enumerate(kept)}
    return nodes_m[kept], tuple(
        sorted((numbers[start], numbers[end]) for start, end in edges if start in numbers and end in numbers)
    )


def make_patrol_points(
    rng: np.random.Generator,
    nodes_m: np.ndarray,
    buildings: tuple[Building, ...],
    walls: tuple[Wall, ...],
    trees: tuple[Tree, ...],
) -> np.ndarray:
    """Make a loop of points at a height of 4 to 6.5 m, at most 40 m from the middle, with free lines between them.

    The loop covers the whole block: no walk node is farther than `_PATROL_REACH_M` from it. Beyond about 50 m the hero
    has 10 to 15 pixels, too few for a certain detection; loops in one corner of the block missed heroes in the opposite
    corner.
    """
    crowns = tuple(tree._replace(trunk_radius_m=tree.crown_radius_m / 1.5) for tree in trees)
    obstacles = Obstacles(buildings, walls, crowns)
    near = nodes_m[np.abs(nodes_m).max(axis=1) < 40.0]
    near = near[obstacles.distance_m(near) > _FLIGHT_CLEARANCE_M]
    while True:
        loop = [near[rng.integers(len(near))]]
        for _ in range(60):
            candidate = near[rng.integers(len(near))]
            length_m = np.linalg.norm(candidate - loop[-1])
            is_new = all(math.dist(candidate, point) > 8.0 for point in loop)
            if not is_new or length_m > 30.0 or not obstacles.is_clear(loop[-1], candidate, _FLIGHT_CLEARANCE_M):
                continue
            loop.append(candidate)
            reach_m = np.linalg.norm(nodes_m[:, np.newaxis] - np.array(loop), axis=2).min(axis=1).max()
            is_complete = len(loop) >= 6 and reach_m <= _PATROL_REACH_M
            if is_complete and obstacles.is_clear(candidate, loop[0], _FLIGHT_CLEARANCE_M):
                return np.column_stack([np.array(loop), rng.uniform(4.0, 6.5, len(loop))])

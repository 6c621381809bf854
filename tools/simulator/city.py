"""The layout of a city block: walkable ways, objects and ground materials, as a function of the seed.

Everything is in metres in the ROS world frame (x forward, y left, z up); the ground is z = 0. A square block with a
plaza, lawns and houses is surrounded by a pavement, a road, a second pavement and a row of tall houses.
"""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

GRASS, PAVING, ASPHALT, KERB, WHITE, YELLOW, SOIL = range(7)
"""Materials of the ground."""

WALK_CLEARANCE_M = 0.6
"""Smallest distance from an edge of the walk graph to an obstacle."""

LEAST_HIDDEN_M = 4.0
"""Shortest part of a passage that is inside a house."""

RING_M = 31.5
"""Half the side of the square formed by the middle of the inner pavement; pavements are 3 m wide, the road 8 m."""
HALF_SIZE_M = 64.0
"""The ground is drawn up to this distance from the middle; beyond it is grass."""

_PASSAGE_M = 16.0  # greatest length of a passage
_PAVEMENT_M, _ROAD_M = 3.0, 8.0
ROAD_MIDDLE_M = RING_M + (_PAVEMENT_M + _ROAD_M) / 2
ZEBRA_M = 14.0  # from the middle of each side of the road, counterclockwise
_OUTER_RING_M = ROAD_MIDDLE_M + (_PAVEMENT_M + _ROAD_M) / 2
_HOUSE_FRONT_M = 47.5
_KERB_M = 0.15
_FLIGHT_CLEARANCE_M = 1.0
_PATROL_REACH_M = 50.0  # greatest distance from a walk node to the nearest patrol point


class Area(NamedTuple):
    """A piece of ground: a polygon, (N, 2) metres, that covers the areas before it."""

    material: int
    polygon_m: np.ndarray


class Building(NamedTuple):
    """A house with a rectangular base, `length_m` along `yaw_deg`; `roof_m` the height of the roof, 0 if flat."""

    x_m: float
    y_m: float
    length_m: float
    width_m: float
    yaw_deg: float
    height_m: float
    roof_m: float
    style: int


class Wall(NamedTuple):
    """A straight stone wall, `length_m` along `yaw_deg`."""

    x_m: float
    y_m: float
    length_m: float
    width_m: float
    yaw_deg: float
    height_m: float


class Tree(NamedTuple):
    """A tree; `foliage` is a member of `FOLIAGE`; the crown is a flattened ball of `crown_radius_m` at `crown_z_m`."""

    x_m: float
    y_m: float
    trunk_radius_m: float
    crown_z_m: float
    crown_radius_m: float
    foliage: str


class Planter(NamedTuple):
    """A round flower bed with a low wall and a bush."""

    x_m: float
    y_m: float
    radius_m: float


FOLIAGE = ("green", "dark red", "yellow", "purple", "bare")
BUILDING_STYLES = 5


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
        return _Obstacles(self.buildings, self.walls, self.trees, self.planters).distance_m(points_m)

    def passages(self) -> tuple[tuple[int, int], ...]:
        """Pairs of nodes whose straight line leads through a house and no other obstacle: a walker is hidden inside.

        The houses have no doors; walkers pass through their walls.
        """
        houses = _Obstacles(self.buildings)
        others = _Obstacles((), self.walls, self.trees, self.planters)
        away_m = np.linalg.norm(self.walk_nodes_m[:, np.newaxis] - self.walk_nodes_m, axis=2)
        pairs = np.argwhere(np.triu((away_m > LEAST_HIDDEN_M) & (away_m < _PASSAGE_M)))
        ways_m = [_samples(self.walk_nodes_m[pair], 0.1) for pair in pairs]
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
    paths = _paths(rng, plaza_m)
    planters = _planters(rng, plaza_m, paths)
    buildings = _outer_buildings(rng) + _inner_buildings(rng, plaza_m, plaza_radius_m, paths)
    walls = _walls(rng, buildings, plaza_m, plaza_radius_m, paths)
    trees = _trees(rng, buildings, walls, plaza_m, plaza_radius_m, paths)
    obstacles = _Obstacles(buildings, walls, trees, planters)
    nodes_m, edges = _walk_graph(rng, obstacles, plaza_m, planters[0], paths)
    areas, kerbs_m = _ground(plaza_m, plaza_radius_m, paths)
    return City(
        seed=seed,
        walk_nodes_m=nodes_m,
        walk_edges=edges,
        patrol_points_m=_patrol_points(rng, nodes_m, buildings, walls, trees),
        areas=areas,
        kerbs_m=kerbs_m,
        buildings=buildings,
        walls=walls,
        trees=trees,
        planters=planters,
    )


def rectangle_m(centre_m: np.ndarray, length_m: float, width_m: float, yaw_deg: float) -> np.ndarray:
    """Corners of a rectangle, (4, 2), counterclockwise from above; `length_m` is along `yaw_deg`."""
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length_m / 2, width_m / 2]
    return np.asarray(centre_m) + half @ np.array([[cos, sin], [-sin, cos]])


def unit_circle(count: int) -> np.ndarray:
    """Points of the unit circle, (count, 2), counterclockwise at equal distances."""
    turn = np.linspace(0.0, 2 * math.pi, count + 1)[:-1]
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


class _Path(NamedTuple):
    """A paved path from the plaza to the pavement: its middle line, (N, 2), points along it, (M, 2), and its width."""

    line_m: np.ndarray
    points_m: np.ndarray
    width_m: float


class _Obstacles:
    """Distances to the objects on the ground."""

    def __init__(
        self,
        buildings: tuple[Building, ...] = (),
        walls: tuple[Wall, ...] = (),
        trees: tuple[Tree, ...] = (),
        planters: tuple[Planter, ...] = (),
    ) -> None:
        boxes = [box[:5] for box in (*buildings, *walls)]
        rounds = [(tree.x_m, tree.y_m, 1.5 * tree.trunk_radius_m) for tree in trees]
        rounds += list(planters)
        self.boxes = np.array(boxes).reshape(-1, 5)
        self.rounds = np.array(rounds).reshape(-1, 3)
        yaw = np.radians(self.boxes[:, 4])
        self._turned = np.column_stack([self.boxes, np.cos(yaw), np.sin(yaw)])

    def distance_m(self, points_m: np.ndarray) -> np.ndarray:
        """(...) distance of (..., 2) points to the nearest obstacle; infinite if there is none, 0 inside one."""
        return _distance_m(points_m, self._turned, self.rounds)

    def is_clear(self, start_m: np.ndarray, end_m: np.ndarray, clearance_m: float) -> bool:
        """Whether the line from one point to another keeps a distance from all obstacles, to some centimetres."""
        middle_m = start_m + (end_m - start_m) / 2
        reach_m = float(np.linalg.norm(end_m - start_m)) / 2 + clearance_m + 0.01
        # Only obstacles that may come so close are measured, because the line has many points.
        boxes, rounds = (
            each[np.hypot(*(each[:, :2] - middle_m).T) - radius_m <= reach_m]
            for each, radius_m in (
                (self._turned, np.hypot(self.boxes[:, 2], self.boxes[:, 3]) / 2),
                (self.rounds, self.rounds[:, 2]),
            )
        )
        return bool((_distance_m(_samples(np.array([start_m, end_m]), 0.1), boxes, rounds) >= clearance_m).all())


def _distance_m(points_m: np.ndarray, boxes: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """(...) distance of (..., 2) points to the nearest obstacle.

    Args:
        points_m: (..., 2).
        boxes: (N, 7) x, y, length, width, m; yaw, degrees; its cosine and sine.
        rounds: (M, 3) x, y, radius, m.
    """
    points_m = np.asarray(points_m, float)[..., np.newaxis, :]
    away, cos, sin = points_m - boxes[:, :2], boxes[:, 5], boxes[:, 6]
    along = away[..., 0] * cos + away[..., 1] * sin
    aside = away[..., 1] * cos - away[..., 0] * sin
    outside = np.hypot(np.maximum(np.abs(along) - boxes[:, 2] / 2, 0), np.maximum(np.abs(aside) - boxes[:, 3] / 2, 0))
    from_rounds = np.linalg.norm(points_m - rounds[:, :2], axis=-1) - rounds[:, 2]
    every = np.concatenate([outside, np.maximum(from_rounds, 0)], axis=-1)
    return every.min(axis=-1, initial=np.inf)


def _samples(line_m: np.ndarray, step_m: float) -> np.ndarray:
    """Sample a polyline: (N, 2) corners to (M, 2) points, at most `step_m` apart."""
    pieces = []
    for start, end in itertools.pairwise(line_m):
        count = max(int(np.ceil(np.linalg.norm(end - start) / step_m)), 1)
        pieces.append(start + (end - start) * np.linspace(0.0, 1.0, count + 1)[:, np.newaxis])
    return np.concatenate(pieces)


def _paths(rng: np.random.Generator, plaza_m: np.ndarray) -> list[_Path]:
    """Make a path to each side of the block and one or two paths to its corners, slightly bent."""
    ends = [np.array([RING_M, rng.uniform(-12, 12)]) for _ in range(4)]
    for quarter, end in enumerate(ends):
        ends[quarter] = _turned(end, 90.0 * quarter)
    corners = rng.permutation(4)[: rng.integers(1, 3)]
    ends += [_turned(np.array([RING_M, RING_M]), 90.0 * corner) for corner in corners]
    paths = []
    for number, end in enumerate(ends):
        middle = (plaza_m + end) / 2 + rng.uniform(-3, 3, 2)
        t = np.linspace(0.0, 1.0, 9)[:, np.newaxis]
        line_m = (1 - t) ** 2 * plaza_m + 2 * t * (1 - t) * middle + t**2 * end
        width_m = rng.uniform(4.0, 6.0) if number < 4 else rng.uniform(2.5, 3.5)
        paths.append(_Path(line_m, _samples(line_m, 0.5), width_m))
    return paths


def _turned(point_m: np.ndarray, angle_deg: float) -> np.ndarray:
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([point_m[0] * cos - point_m[1] * sin, point_m[0] * sin + point_m[1] * cos])


def _planters(rng: np.random.Generator, plaza_m: np.ndarray, paths: list[_Path]) -> tuple[Planter, ...]:
    """Make a large planter in the middle of the plaza and small planters beside the ends of paths."""
    planters = [Planter(plaza_m[0], plaza_m[1], rng.uniform(2.2, 3.0))]
    for path in paths[:4]:
        if rng.random() < 0.6:
            along = path.line_m[6] - path.line_m[5]
            aside = np.array([-along[1], along[0]]) / np.linalg.norm(along) * rng.choice([-1, 1])
            x_m, y_m = path.line_m[6] + aside * (path.width_m / 2 - 0.2)
            planters.append(Planter(x_m, y_m, rng.uniform(0.6, 0.9)))
    return tuple(planters)


def _outer_buildings(rng: np.random.Generator) -> tuple[Building, ...]:
    """Make a row of tall houses on each side, with gaps between them."""
    buildings = []
    for side in range(4):
        along_m = -_HOUSE_FRONT_M + rng.uniform(4.0, 8.0)
        while along_m < _HOUSE_FRONT_M - 12.0:
            length_m, depth_m = rng.uniform(10.0, 20.0), rng.uniform(8.0, 11.0)
            x_m, y_m = _turned(np.array([_HOUSE_FRONT_M + depth_m / 2, along_m + length_m / 2]), 90.0 * side)
            height_m, roof_m = rng.uniform(7.0, 14.0), rng.choice([0.0, 2.5, 3.5])
            style = int(rng.integers(BUILDING_STYLES))
            yaw_deg = 90.0 + 90.0 * side
            buildings.append(Building(x_m, y_m, length_m, depth_m, yaw_deg, height_m, roof_m, style))
            along_m += length_m + rng.choice([1.5, 6.0, 10.0])
    return tuple(buildings)


def _inner_buildings(
    rng: np.random.Generator, plaza_m: np.ndarray, plaza_radius_m: float, paths: list[_Path]
) -> tuple[Building, ...]:
    """Make about five houses on the lawns, away from the paths."""
    buildings: list[Building] = []
    wanted = rng.integers(4, 7)
    for _ in range(400):
        if len(buildings) == wanted:
            break
        x_m, y_m = rng.uniform(-23, 23, 2)
        length_m, width_m = rng.uniform(7.0, 12.0), rng.uniform(5.0, 8.0)
        yaw_deg = 90.0 * rng.integers(4) + rng.uniform(-12, 12)
        candidate = Building(
            x_m,
            y_m,
            length_m,
            width_m,
            yaw_deg,
            rng.uniform(4.0, 8.0),
            rng.choice([0.0, 1.8, 2.5]),
            int(rng.integers(BUILDING_STYLES)),
        )
        alone = _Obstacles((candidate,))
        corners = rectangle_m(np.array([x_m, y_m]), length_m, width_m, yaw_deg)
        if np.abs(corners).max() > RING_M - 4.0:
            continue
        if alone.distance_m(plaza_m) < plaza_radius_m + 1.0 or _is_on_path(alone, paths, 1.2):
            continue
        if _Obstacles(tuple(buildings)).distance_m(_samples(np.concatenate([corners, corners[:1]]), 0.5)).min() < 4.0:
            continue
        buildings.append(candidate)
    return tuple(buildings)


def _is_on_path(obstacles: _Obstacles, paths: list[_Path], margin_m: float) -> bool:
    return any(obstacles.distance_m(path.points_m).min() < path.width_m / 2 + margin_m for path in paths)


def _walls(
    rng: np.random.Generator,
    buildings: tuple[Building, ...],
    plaza_m: np.ndarray,
    plaza_radius_m: float,
    paths: list[_Path],
) -> tuple[Wall, ...]:
    """Make some walls on the lawns, high enough to hide a person."""
    walls: list[Wall] = []
    for _ in range(300):
        if len(walls) == 4:
            break
        x_m, y_m = rng.uniform(-25, 25, 2)
        wall = Wall(x_m, y_m, rng.uniform(5.0, 10.0), 0.5, 90.0 * rng.integers(2), rng.uniform(1.2, 2.6))
        alone = _Obstacles(walls=(wall,))
        line = rectangle_m(np.array([x_m, y_m]), wall.length_m, wall.width_m, wall.yaw_deg)
        if np.abs(line).max() > RING_M - 4.0:
            continue
        if alone.distance_m(plaza_m) < plaza_radius_m + 0.5 or _is_on_path(alone, paths, 0.5):
            continue
        if _Obstacles(buildings, tuple(walls)).distance_m(_samples(line, 0.5)).min() < 2.5:
            continue
        walls.append(wall)
    return tuple(walls)


def _trees(
    rng: np.random.Generator,
    buildings: tuple[Building, ...],
    walls: tuple[Wall, ...],
    plaza_m: np.ndarray,
    plaza_radius_m: float,
    paths: list[_Path],
) -> tuple[Tree, ...]:
    """Make trees on the lawns and along the outer houses."""
    solid = _Obstacles(buildings, walls)
    trees: list[Tree] = []
    for _ in range(600):
        if len(trees) == 22:
            break
        is_inside = len(trees) < 15
        if is_inside:
            x_m, y_m = rng.uniform(-28, 28, 2)
        else:
            x_m, y_m = _turned(np.array([46.0, rng.uniform(-44, 44)]), 90.0 * rng.integers(4))
        place = np.array([x_m, y_m])
        crown_radius_m = rng.uniform(1.4, 2.4)
        if solid.distance_m(place) < (crown_radius_m + 0.3 if is_inside else 1.0):
            continue
        if any(np.hypot(tree.x_m - x_m, tree.y_m - y_m) < 4.5 for tree in trees):
            continue
        if np.linalg.norm(place - plaza_m) < plaza_radius_m + 0.8:
            continue
        if any(np.linalg.norm(path.points_m - place, axis=1).min() < path.width_m / 2 + 0.8 for path in paths):
            continue
        trees.append(
            Tree(
                x_m,
                y_m,
                rng.uniform(0.16, 0.32),
                rng.uniform(5.0, 6.5),
                crown_radius_m,
                FOLIAGE[int(rng.choice(len(FOLIAGE), p=[0.35, 0.2, 0.15, 0.1, 0.2]))],
            )
        )
    return tuple(trees)


def _walk_graph(
    rng: np.random.Generator, obstacles: _Obstacles, plaza_m: np.ndarray, planter: Planter, paths: list[_Path]
) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
    """Make the walk graph: nodes on all walkable ground, and straight edges between neighbours."""
    candidates = [plaza_m + (planter.radius_m + 2.0) * unit_circle(8)]
    candidates += [path.line_m[2:] for path in paths]
    for ring_m in (RING_M, _OUTER_RING_M, ROAD_MIDDLE_M):
        side = np.stack([np.full(6, ring_m), np.linspace(-ring_m, ring_m, 7)[:-1]], axis=1)
        candidates += [np.array([_turned(point, 90.0 * quarter) for point in side]) for quarter in range(4)]
    # Nodes around the corners of houses and walls, so that walkers pass behind them; then nodes anywhere on the lawns.
    for x_m, y_m, length_m, width_m, yaw_deg in obstacles.boxes:
        candidates.append(rectangle_m(np.array([x_m, y_m]), length_m + 2.6, width_m + 2.6, yaw_deg))
    candidates.append(rng.uniform(-27, 27, (40, 2)))
    points_m = np.concatenate(candidates)
    is_free = (obstacles.distance_m(points_m) >= WALK_CLEARANCE_M) & (
        np.abs(points_m).max(axis=1) < _HOUSE_FRONT_M - 1.0
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


def _patrol_points(
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
    obstacles = _Obstacles(buildings, walls, crowns)
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


def _ground(
    plaza_m: np.ndarray, plaza_radius_m: float, paths: list[_Path]
) -> tuple[tuple[Area, ...], tuple[np.ndarray, ...]]:
    """Make the areas of the ground, from the outside in, and the kerbs of the road."""
    areas: list[Area] = []
    kerbs: list[np.ndarray] = []
    middle = np.zeros(2)

    def square(material: int, half_m: float) -> None:
        areas.append(Area(material, rectangle_m(middle, 2 * half_m, 2 * half_m, 0.0)))

    outer_m, inner_m = _OUTER_RING_M + _PAVEMENT_M / 2, RING_M - _PAVEMENT_M / 2
    road_m, island_m = outer_m - _PAVEMENT_M, inner_m + _PAVEMENT_M
    square(PAVING, outer_m)
    square(KERB, road_m + _KERB_M)
    square(ASPHALT, road_m)
    areas.extend(_markings())
    square(KERB, island_m)
    square(PAVING, island_m - _KERB_M)
    square(KERB, inner_m)
    square(GRASS, inner_m - _KERB_M)
    for half_m in (road_m, island_m):
        corners = rectangle_m(middle, 2 * half_m, 2 * half_m, 0.0)
        kerbs.extend(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1))
    circle = unit_circle(32)
    for material, wider_m in ((KERB, 2 * _KERB_M), (PAVING, 0.0)):
        areas += [Area(material, _ribbon(path.line_m, path.width_m + wider_m)) for path in paths]
        areas.append(Area(material, plaza_m + (plaza_radius_m + wider_m / 2) * circle))
    return tuple(areas), tuple(kerbs)


def _ribbon(line_m: np.ndarray, width_m: float) -> np.ndarray:
    """Polygon around a line; it widens at its last end to meet the pavement."""
    along = np.gradient(line_m, axis=0)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    half_m = np.full((len(line_m), 1), width_m / 2)
    half_m[-2:] += [[0.4], [1.0]]
    return np.concatenate([line_m + half_m * aside, (line_m - half_m * aside)[::-1]])


def _markings() -> list[Area]:
    """Road markings: yellow dashes in the middle, white lines at the edges, zebra crossings."""
    areas = []
    dashes_m, lines_m = (np.arange(6.0 - ROAD_MIDDLE_M, ROAD_MIDDLE_M - 5.0, step_m) for step_m in (4.5, 2.2))
    for quarter in range(4):
        areas += [_mark(YELLOW, ROAD_MIDDLE_M, along_m, 0.18, 2.0, quarter) for along_m in dashes_m]
        for edge_m in (ROAD_MIDDLE_M - 3.4, ROAD_MIDDLE_M + 3.4):
            areas += [_mark(WHITE, edge_m, along_m, 0.12, 1.6, quarter) for along_m in lines_m]
        stripes_m = ROAD_MIDDLE_M + np.arange(-3.0, 3.5, 1.0)
        areas += [_mark(WHITE, across_m, ZEBRA_M, 0.5, 3.0, quarter) for across_m in stripes_m]
        areas.append(_mark(WHITE, ROAD_MIDDLE_M - 1.9, ZEBRA_M + 3.0, 3.4, 0.35, quarter))
    return areas


def _mark(material: int, x_m: float, y_m: float, length_m: float, width_m: float, quarter: int) -> Area:
    """A painted rectangle, rotated around the middle of the block by `quarter` · 90°."""
    return Area(material, rectangle_m(_turned(np.array([x_m, y_m]), 90.0 * quarter), length_m, width_m, 90.0 * quarter))

"""Place the objects of a city block at random: paths, planters, houses, walls and trees, each clear of the former."""

from typing import NamedTuple

import numpy as np

from tools.simulator.block import (
    BUILDING_STYLES,
    FOLIAGE,
    HOUSE_FRONT_M,
    RING_M,
    Building,
    Planter,
    Tree,
    Wall,
    rectangle_m,
    turned,
)
from tools.simulator.obstacles import Obstacles, samples


class Path(NamedTuple):
    """A paved path from the plaza to the pavement: its middle line, (N, 2), points along it, (M, 2), and its width."""

    line_m: np.ndarray
    points_m: np.ndarray
    width_m: float


def make_paths(rng: np.random.Generator, plaza_m: np.ndarray) -> list[Path]:
    """Make a path to each side of the block and one or two paths to its corners, slightly bent."""
    ends = [np.array([RING_M, rng.uniform(-12, 12)]) for _ in range(4)]
    for quarter, end in enumerate(ends):
        ends[quarter] = turned(end, 90.0 * quarter)
    corners = rng.permutation(4)[: rng.integers(1, 3)]
    ends += [turned(np.array([RING_M, RING_M]), 90.0 * corner) for corner in corners]
    paths = []
    for number, end in enumerate(ends):
        middle = (plaza_m + end) / 2 + rng.uniform(-3, 3, 2)
        t = np.linspace(0.0, 1.0, 9)[:, np.newaxis]
        line_m = (1 - t) ** 2 * plaza_m + 2 * t * (1 - t) * middle + t**2 * end
        width_m = rng.uniform(4.0, 6.0) if number < 4 else rng.uniform(2.5, 3.5)
        paths.append(Path(line_m, samples(line_m, 0.5), width_m))
    return paths


def make_planters(rng: np.random.Generator, plaza_m: np.ndarray, paths: list[Path]) -> tuple[Planter, ...]:
    """Make a large planter in the middle of the plaza and small planters beside the ends of paths."""
    planters = [Planter(plaza_m[0], plaza_m[1], rng.uniform(2.2, 3.0))]
    for path in paths[:4]:
        if rng.random() < 0.6:
            along = path.line_m[6] - path.line_m[5]
            aside = np.array([-along[1], along[0]]) / np.linalg.norm(along) * rng.choice([-1, 1])
            x_m, y_m = path.line_m[6] + aside * (path.width_m / 2 - 0.2)
            planters.append(Planter(x_m, y_m, rng.uniform(0.6, 0.9)))
    return tuple(planters)


def make_outer_buildings(rng: np.random.Generator) -> tuple[Building, ...]:
    """Make a row of tall houses on each side, with gaps between them."""
    buildings = []
    for side in range(4):
        along_m = -HOUSE_FRONT_M + rng.uniform(4.0, 8.0)
        while along_m < HOUSE_FRONT_M - 12.0:
            length_m, depth_m = rng.uniform(10.0, 20.0), rng.uniform(8.0, 11.0)
            x_m, y_m = turned(np.array([HOUSE_FRONT_M + depth_m / 2, along_m + length_m / 2]), 90.0 * side)
            height_m, roof_m = rng.uniform(7.0, 14.0), rng.choice([0.0, 2.5, 3.5])
            style = int(rng.integers(BUILDING_STYLES))
            yaw_deg = 90.0 + 90.0 * side
            buildings.append(Building(x_m, y_m, length_m, depth_m, yaw_deg, height_m, roof_m, style))
            along_m += length_m + rng.choice([1.5, 6.0, 10.0])
    return tuple(buildings)


def make_inner_buildings(
    rng: np.random.Generator, plaza_m: np.ndarray, plaza_radius_m: float, paths: list[Path]
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
        alone = Obstacles((candidate,))
        corners = rectangle_m(np.array([x_m, y_m]), length_m, width_m, yaw_deg)
        if np.abs(corners).max() > RING_M - 4.0:
            continue
        if alone.distance_m(plaza_m) < plaza_radius_m + 1.0 or _is_on_path(alone, paths, 1.2):
            continue
        if Obstacles(tuple(buildings)).distance_m(samples(np.concatenate([corners, corners[:1]]), 0.5)).min() < 4.0:
            continue
        buildings.append(candidate)
    return tuple(buildings)


def _is_on_path(obstacles: Obstacles, paths: list[Path], margin_m: float) -> bool:
    return any(obstacles.distance_m(path.points_m).min() < path.width_m / 2 + margin_m for path in paths)


def make_walls(
    rng: np.random.Generator,
    buildings: tuple[Building, ...],
    plaza_m: np.ndarray,
    plaza_radius_m: float,
    paths: list[Path],
) -> tuple[Wall, ...]:
    """Make some walls on the lawns, high enough to hide a person."""
    walls: list[Wall] = []
    for _ in range(300):
        if len(walls) == 4:
            break
        x_m, y_m = rng.uniform(-25, 25, 2)
        wall = Wall(x_m, y_m, rng.uniform(5.0, 10.0), 0.5, 90.0 * rng.integers(2), rng.uniform(1.2, 2.6))
        alone = Obstacles(walls=(wall,))
        line = rectangle_m(np.array([x_m, y_m]), wall.length_m, wall.width_m, wall.yaw_deg)
        if np.abs(line).max() > RING_M - 4.0:
            continue
        if alone.distance_m(plaza_m) < plaza_radius_m + 0.5 or _is_on_path(alone, paths, 0.5):
            continue
        if Obstacles(buildings, tuple(walls)).distance_m(samples(line, 0.5)).min() < 2.5:
            continue
        walls.append(wall)
    return tuple(walls)


def make_trees(
    rng: np.random.Generator,
    buildings: tuple[Building, ...],
    walls: tuple[Wall, ...],
    plaza_m: np.ndarray,
    plaza_radius_m: float,
    paths: list[Path],
) -> tuple[Tree, ...]:
    """Make trees on the lawns and along the outer houses."""
    solid = Obstacles(buildings, walls)
    trees: list[Tree] = []
    for _ in range(600):
        if len(trees) == 22:
            break
        is_inside = len(trees) < 15
        if is_inside:
            x_m, y_m = rng.uniform(-28, 28, 2)
        else:
            x_m, y_m = turned(np.array([46.0, rng.uniform(-44, 44)]), 90.0 * rng.integers(4))
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

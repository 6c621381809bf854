"""What a city block consists of: its measures, the materials of the ground, and the objects that stand on it.

Everything is in metres in the ROS world frame (x forward, y left, z up); the ground is z = 0. A square block with a
plaza, lawns and houses is surrounded by a pavement, a road, a second pavement and a row of tall houses.
"""

import math
from typing import NamedTuple

import numpy as np

GRASS, PAVING, ASPHALT, KERB, WHITE, YELLOW, SOIL = range(7)
"""Materials of the ground."""

PAVEMENT_M, ROAD_M = 3.0, 8.0
"""Widths of the pavements and of the road."""
RING_M = 31.5
"""Half the side of the square formed by the middle of the inner pavement."""
ROAD_MIDDLE_M = RING_M + (PAVEMENT_M + ROAD_M) / 2
"""Half the side of the square formed by the middle of the road."""
OUTER_RING_M = ROAD_MIDDLE_M + (PAVEMENT_M + ROAD_M) / 2
"""Half the side of the square formed by the middle of the outer pavement."""
ZEBRA_M = 14.0
"""From the middle of each side of the road to its zebra crossing, counterclockwise."""
HOUSE_FRONT_M = 47.5
"""From the middle of the block to the fronts of the outer houses."""
HALF_SIZE_M = 64.0
"""The ground is drawn up to this distance from the middle; beyond it is grass."""


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


def rectangle_m(centre_m: np.ndarray, length_m: float, width_m: float, yaw_deg: float) -> np.ndarray:
    """Corners of a rectangle, (4, 2), counterclockwise from above; `length_m` is along `yaw_deg`."""
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length_m / 2, width_m / 2]
    return np.asarray(centre_m) + half @ np.array([[cos, sin], [-sin, cos]])


def unit_circle(count: int) -> np.ndarray:
    """Points of the unit circle, (count, 2), counterclockwise at equal distances."""
    turn = np.linspace(0.0, 2 * math.pi, count + 1)[:-1]
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def turned(point_m: np.ndarray, angle_deg: float) -> np.ndarray:
    """(2,) a point, turned counterclockwise around the middle of the block."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([point_m[0] * cos - point_m[1] * sin, point_m[0] * sin + point_m[1] * cos])

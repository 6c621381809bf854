"""The ground of a city block: areas of one material each, the kerbs, and the markings of the road."""

import numpy as np

from tools.simulator.block import (
    ASPHALT,
    GRASS,
    KERB,
    OUTER_RING_M,
    PAVEMENT_M,
    PAVING,
    RING_M,
    ROAD_MIDDLE_M,
    WHITE,
    YELLOW,
    ZEBRA_M,
    Area,
    rectangle_m,
    turned,
    unit_circle,
)
from tools.simulator.placing import Path

_KERB_M = 0.15


def make_ground(
    plaza_m: np.ndarray, plaza_radius_m: float, paths: list[Path]
) -> tuple[tuple[Area, ...], tuple[np.ndarray, ...]]:
    """Make the areas of the ground, from the outside in, and the kerbs of the road."""
    areas: list[Area] = []
    kerbs: list[np.ndarray] = []
    middle = np.zeros(2)

    def square(material: int, half_m: float) -> None:
        areas.append(Area(material, rectangle_m(middle, 2 * half_m, 2 * half_m, 0.0)))

    outer_m, inner_m = OUTER_RING_M + PAVEMENT_M / 2, RING_M - PAVEMENT_M / 2
    road_m, island_m = outer_m - PAVEMENT_M, inner_m + PAVEMENT_M
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
    return Area(material, rectangle_m(turned(np.array([x_m, y_m]), 90.0 * quarter), length_m, width_m, 90.0 * quarter))

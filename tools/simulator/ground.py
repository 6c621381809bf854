"""Ground, sky and shadows, computed for each pixel from its ray instead of triangles, so exact at every distance."""

import math

import cv2
import numpy as np

from tools.simulator import textures
from tools.simulator.block import (
    ASPHALT,
    GRASS,
    HALF_SIZE_M,
    KERB,
    PAVING,
    SOIL,
    WHITE,
    YELLOW,
    rectangle_m,
    unit_circle,
)
from tools.simulator.city import City

SUN_ELEVATION_DEG = 52.0
SHADE_ON_GROUND = 0.62
"""Brightness of the ground in the shade, 1 in the sun."""

_MAP_PX = 4096
_SHADOW_PX = 1024
_LEVELS = 6


class Ground:
    """Ground of a city at z = 0, the sky, and the shadows of the city's objects.

    Args:
        city: the layout.
        rng: decides textures and the direction of the sun.
    """

    def __init__(self, city: City, rng: np.random.Generator) -> None:
        sun_yaw, elevation = rng.uniform(0, 2 * math.pi), math.radians(SUN_ELEVATION_DEG)
        self.sun = np.array(
            [math.cos(elevation) * math.cos(sun_yaw), math.cos(elevation) * math.sin(sun_yaw), math.sin(elevation)]
        )
        tiles = {
            GRASS: textures.grass(rng),
            PAVING: textures.paving(rng),
            ASPHALT: textures.asphalt(rng),
            KERB: textures.plain(rng, (196, 194, 188), 0.05),
            WHITE: textures.plain(rng, (226, 226, 214), 0.05),
            YELLOW: textures.plain(rng, (198, 158, 52), 0.06),
            SOIL: textures.plain(rng, (62, 44, 28), 0.12),
        }
        self._tiles, self._offsets = _pyramid([tiles[material] for material in range(len(tiles))])
        self._materials = np.full((_MAP_PX, _MAP_PX), GRASS, np.uint8)
        for area in city.areas:
            _fill(self._materials, area.polygon_m, int(area.material))
        self._sky = textures.sky(rng)
        self._shadow_tops_m = _shadow_tops_m(city, self.sun)

    def colours(self, x_m: np.ndarray, y_m: np.ndarray, blur_m: np.ndarray) -> np.ndarray:
        """Colours of the ground in full sun.

        Args:
            x_m, y_m: (N,) positions, world frame.
            blur_m: (N,) size of a pixel on the ground.

        Returns:
            (N, 3) uint8 RGB.
        """
        material = self._materials[_cells(x_m, y_m, _MAP_PX)]
        tile_px, tile_m = textures.TILE_PX, textures.TILE_M
        level = np.clip(np.log2(np.maximum(blur_m, 1e-3) * (tile_px / tile_m)), 0, _LEVELS - 1).astype(np.int32)
        size = tile_px >> level
        texels = size / tile_m
        index = ((x_m * texels).astype(np.int32) & (size - 1)) * size + ((y_m * texels).astype(np.int32) & (size - 1))
        return self._tiles[self._offsets[level, material] + index]

    def sky(self, rays: np.ndarray) -> np.ndarray:
        """Colours of the sky, (N, 3) uint8 RGB, in the directions `rays`, (N, 3), world frame."""
        height, width = self._sky.shape[:2]
        yaw = np.arctan2(rays[:, 1], rays[:, 0])
        elevation_deg = np.degrees(np.arctan2(rays[:, 2], np.hypot(rays[:, 0], rays[:, 1])))
        column = (yaw * (-width / (2 * math.pi))).astype(np.int32) % width
        row = np.clip((90.0 - elevation_deg) * (height / 100.0), 0, height - 1).astype(np.int32)
        return self._sky[row, column]

    def is_shaded(self, x_m: np.ndarray, y_m: np.ndarray, z_m: np.ndarray | float) -> np.ndarray:
        """Whether points of the world frame are in the shade; bool, in the shape of the points."""
        return z_m < self._shadow_tops_m[_cells(x_m, y_m, _SHADOW_PX)]


def _cells(x_m: np.ndarray, y_m: np.ndarray, px: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of points in a map of the ground of `px` × `px`; points outside it get those of its edge."""
    scale = px / (2 * HALF_SIZE_M)
    row, column = (np.clip((at_m + HALF_SIZE_M) * scale, 0, px - 1).astype(np.int32) for at_m in (x_m, y_m))
    return row, column


def _fill(ground_map: np.ndarray, polygon_m: np.ndarray, value: float) -> None:
    """Fill a polygon, (N, 2), in a square map of the ground."""
    sub_pixels = 16  # fillPoly's shift=4
    corners = (polygon_m[:, ::-1] + HALF_SIZE_M) * (len(ground_map) / (2 * HALF_SIZE_M) * sub_pixels)
    cv2.fillPoly(ground_map, [np.rint(corners).astype(np.int32)], value, shift=4)


def _pyramid(tiles: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mipmaps of all tiles as a list of colours, (N, 3), and the start of each in it, (levels, tiles)."""
    texels, offsets, start = [], np.zeros((_LEVELS, len(tiles)), np.int32), 0
    for level in range(_LEVELS):
        size = textures.TILE_PX >> level
        for number, tile in enumerate(tiles):
            texels.append(cv2.resize(tile, (size, size), interpolation=cv2.INTER_AREA).reshape(-1, 3))
            offsets[level, number] = start
            start += size * size
    return np.concatenate(texels), offsets


def _shadow_tops_m(city: City, sun: np.ndarray) -> np.ndarray:
    """Height up to which each place is in the shade: (_SHADOW_PX, _SHADOW_PX) metres, −1 for places in the sun.

    All objects are taken as solid down to the ground.
    """
    outlines: list[tuple[float, np.ndarray]] = []
    for building in city.buildings:
        centre = np.array([building.x_m, building.y_m])
        for shrink, top_m in ((1.0, building.height_m), (0.5, building.height_m + 0.6 * building.roof_m)):
            width_m = building.width_m * shrink
            outlines.append((top_m, rectangle_m(centre, building.length_m, width_m, building.yaw_deg)))
    for wall in city.walls:
        centre = np.array([wall.x_m, wall.y_m])
        outlines.append((wall.height_m, rectangle_m(centre, wall.length_m, wall.width_m, wall.yaw_deg)))
    circle = unit_circle(12)
    for tree in city.trees:
        radius_m = 2 * tree.trunk_radius_m if tree.foliage == "bare" else 0.85 * tree.crown_radius_m
        top_m = tree.crown_z_m + 0.6 * tree.crown_radius_m
        outlines.append((top_m, [tree.x_m, tree.y_m] + radius_m * circle))
    outlines += [
        (0.9 * planter.radius_m, [planter.x_m, planter.y_m] + planter.radius_m * circle) for planter in city.planters
    ]
    tops = np.full((_SHADOW_PX, _SHADOW_PX), -1.0, np.float32)
    for top_m, outline_m in sorted(outlines, key=lambda outline: outline[0]):  # the higher of two covers the lower
        _fill(tops, outline_m, top_m)
    # Follow the rays of the sun over every top: each step away from the sun lowers them.
    scale = _SHADOW_PX / (2 * HALF_SIZE_M)
    slope = float(sun[2] / np.hypot(sun[0], sun[1]))
    shade = tops.copy()
    for step in range(1, int(tops.max() / slope * scale) + 1):
        rows, columns = np.rint(-step * sun[:2] / np.hypot(sun[0], sun[1])).astype(int)
        lowered = np.roll(tops, (rows, columns), axis=(0, 1))
        lowered -= step / scale * slope
        np.maximum(shade, lowered, out=shade)
    return np.where(shade < 0.02, -1.0, shade)

"""Ground, sky and shade, computed for every pixel from where it looks: no triangles, so exact at any distance."""

import math

import cv2
import numpy as np

from tools.simulator import textures
from tools.simulator.city import ASPHALT, GRASS, HALF_SIZE_M, KERB, PAVING, SOIL, WHITE, YELLOW, City, rectangle_m

SUN_ELEVATION_DEG = 52.0
SHADE_ON_GROUND = 0.62
"""Brightness of the ground in the shade, 1 in the sun."""

_MAP_PX = 4096
_SHADOW_PX = 1024
_LEVELS = 6


class Ground:
    """The ground at z = 0 of a city, the sky above, and the shadows of what stands in it.

    Args:
        city: what is laid and built where.
        rng: textures and the sun's direction are drawn from it.
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
            corners = (area.polygon_m[:, ::-1] + HALF_SIZE_M) * (_MAP_PX / (2 * HALF_SIZE_M) * 16)
            cv2.fillPoly(self._materials, [np.rint(corners).astype(np.int32)], int(area.material), shift=4)
        self._sky = textures.sky(rng)
        self._shadow_tops_m = _shadow_tops_m(city, self.sun)

    def colours(self, x_m: np.ndarray, y_m: np.ndarray, blur_m: np.ndarray) -> np.ndarray:
        """What the ground looks like in full sun.

        Args:
            x_m, y_m: (N,) places, world frame.
            blur_m: (N,) how much ground a pixel covers.

        Returns:
            (N, 3) uint8 RGB.
        """
        scale = _MAP_PX / (2 * HALF_SIZE_M)
        row = np.clip((x_m + HALF_SIZE_M) * scale, 0, _MAP_PX - 1).astype(np.int32)
        column = np.clip((y_m + HALF_SIZE_M) * scale, 0, _MAP_PX - 1).astype(np.int32)
        material = self._materials[row, column]
        tile_px, tile_m = textures.TILE_PX, textures.TILE_M
        level = np.clip(np.log2(np.maximum(blur_m, 1e-3) * (tile_px / tile_m)), 0, _LEVELS - 1).astype(np.int32)
        size = tile_px >> level
        texels = size / tile_m
        index = ((x_m * texels).astype(np.int32) & (size - 1)) * size + ((y_m * texels).astype(np.int32) & (size - 1))
        return self._tiles[self._offsets[level, material] + index]

    def sky(self, rays: np.ndarray) -> np.ndarray:
        """(N, 3) uint8 RGB of the sky in the directions `rays`, (N, 3), world frame."""
        height, width = self._sky.shape[:2]
        yaw = np.arctan2(rays[:, 1], rays[:, 0])
        elevation_deg = np.degrees(np.arctan2(rays[:, 2], np.hypot(rays[:, 0], rays[:, 1])))
        column = (yaw * (-width / (2 * math.pi))).astype(np.int32) % width
        row = np.clip((90.0 - elevation_deg) * (height / 100.0), 0, height - 1).astype(np.int32)
        return self._sky[row, column]

    def is_shaded(self, x_m: np.ndarray, y_m: np.ndarray, z_m: np.ndarray | float) -> np.ndarray:
        """Whether something stands between points, world frame, and the sun; bool in their shape."""
        scale = _SHADOW_PX / (2 * HALF_SIZE_M)
        row = np.clip((x_m + HALF_SIZE_M) * scale, 0, _SHADOW_PX - 1).astype(np.int32)
        column = np.clip((y_m + HALF_SIZE_M) * scale, 0, _SHADOW_PX - 1).astype(np.int32)
        return z_m < self._shadow_tops_m[row, column]


def _pyramid(tiles: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All tiles at halving sizes in one list of colours, (N, 3), and where each begins, (levels, tiles)."""
    texels, offsets, start = [], np.zeros((_LEVELS, len(tiles)), np.int32), 0
    for level in range(_LEVELS):
        size = textures.TILE_PX >> level
        for number, tile in enumerate(tiles):
            texels.append(cv2.resize(tile, (size, size), interpolation=cv2.INTER_AREA).reshape(-1, 3))
            offsets[level, number] = start
            start += size * size
    return np.concatenate(texels), offsets


def _shadow_tops_m(city: City, sun: np.ndarray) -> np.ndarray:
    """Up to which height each place is in the shade: (_SHADOW_PX, _SHADOW_PX) metres, −1 where not at all.

    Everything that stands is taken as solid down to the ground.
    """
    scale = _SHADOW_PX / (2 * HALF_SIZE_M)
    tops = np.full((_SHADOW_PX, _SHADOW_PX), -1.0, np.float32)

    def fill(polygon_m: np.ndarray, top_m: float) -> None:
        mask = np.zeros(tops.shape, np.uint8)
        corners = (polygon_m[:, ::-1] + HALF_SIZE_M) * (scale * 16)
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1, shift=4)
        np.maximum(tops, np.where(mask > 0, np.float32(top_m), -1.0), out=tops)

    for building in city.buildings:
        centre = np.array([building.x_m, building.y_m])
        for shrink, top_m in ((1.0, building.height_m), (0.5, building.height_m + 0.6 * building.roof_m)):
            fill(rectangle_m(centre, building.length_m, building.width_m * shrink, building.yaw_deg), top_m)
    for wall in city.walls:
        fill(rectangle_m(np.array([wall.x_m, wall.y_m]), wall.length_m, wall.width_m, wall.yaw_deg), wall.height_m)
    turn = np.linspace(0, 2 * math.pi, 13)[:-1]
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for tree in city.trees:
        radius_m = 2 * tree.trunk_radius_m if tree.foliage == "bare" else 0.85 * tree.crown_radius_m
        fill([tree.x_m, tree.y_m] + radius_m * circle, tree.crown_z_m + 0.6 * tree.crown_radius_m)
    for planter in city.planters:
        fill([planter.x_m, planter.y_m] + planter.radius_m * circle, 0.9 * planter.radius_m)
    # Follow the sun's rays from every top: after each step away from the sun they are lower.
    slope = sun[2] / np.hypot(sun[0], sun[1])
    shade = tops.copy()
    for step in range(1, int(tops.max() / slope * scale) + 1):
        rows, columns = np.rint(-step * sun[:2] / np.hypot(sun[0], sun[1])).astype(int)
        lowered = np.roll(tops, (rows, columns), axis=(0, 1)) - step / scale * slope
        np.maximum(shade, lowered, out=shade)
    return np.where(shade < 0.02, -1.0, shade)

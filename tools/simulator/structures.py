"""Meshes of a city's objects, houses, walls, kerbs, trees and planters, by their surfaces."""

import itertools
from collections.abc import Sequence

import numpy as np

from tools.simulator import textures
from tools.simulator.block import Building, Planter, Tree, Wall
from tools.simulator.city import City
from tools.simulator.shapes import Mesh, box, hip_roof, quad, tube

PLAIN, STONES, ROOFING, BARK, LEAVES = "plain", "stones", "roofing", "bark", "leaves"
"""Names of surfaces; `facade` gives further ones. `PLAIN` and `LEAVES` have no texture; `LEAVES` are two-sided."""

_KERB_HEIGHT_M = 0.12
_LEAF_COLOURS = {
    "green": ((0.13, 0.42, 0.06), (0.2, 0.52, 0.1), (0.08, 0.3, 0.05)),
    "dark red": ((0.45, 0.04, 0.05), (0.34, 0.02, 0.04), (0.55, 0.08, 0.07)),
    "yellow": ((0.78, 0.62, 0.1), (0.66, 0.5, 0.06), (0.85, 0.7, 0.2)),
    "purple": ((0.62, 0.16, 0.45), (0.5, 0.1, 0.4), (0.7, 0.3, 0.55)),
}
_RIM = ((0.5, 0.08, 0.1), (0.36, 0.36, 0.38), (0.75, 0.74, 0.7))
_FLOWERS = ((0.85, 0.5, 0.1), (0.8, 0.15, 0.15), (0.9, 0.8, 0.2), (0.7, 0.3, 0.7))


def facade(style: int) -> str:
    """Name of the surface of a house's walls."""
    return f"facade {style}"


def surface_textures(rng: np.random.Generator, styles: int) -> dict[str, np.ndarray]:
    """Draw the texture of each textured surface: (H, W, 3) uint8, with powers of two as sizes."""
    drawn = {STONES: textures.stones(rng), ROOFING: textures.roofing(rng), BARK: textures.bark(rng)}
    drawn.update({facade(style): textures.facade(rng, style) for style in range(styles)})
    return drawn


def structures(city: City, rng: np.random.Generator) -> list[list[tuple[str, Mesh]]]:
    """Make all objects, each a list of surfaces and meshes; world frame, without light."""
    objects = [_building(building) for building in city.buildings]
    objects += [_wall(wall) for wall in city.walls]
    objects += [_tree(tree, rng) for tree in city.trees]
    objects += [_planter(planter, rng) for planter in city.planters]
    objects += [_kerb(line_m) for line_m in city.kerbs_m]
    return objects


def _building(building: Building) -> list[tuple[str, Mesh]]:
    size_m = (building.length_m, building.width_m, building.height_m)
    place_m, yaw_deg = (building.x_m, building.y_m, 0.0), building.yaw_deg
    tile_m = textures.FACADE_M
    plaster = [1.1 * part for part in textures.PLASTER[building.style]]
    parts = [
        (facade(building.style), box(size_m, (1.0, 1.0, 1.0), tile_m, has_top=False)),
        (STONES, box((size_m[0] + 0.12, size_m[1] + 0.12, 0.7), (0.75, 0.78, 0.9), (2.5, 2.5))),
        (PLAIN, box((size_m[0] + 0.4, size_m[1] + 0.4, 0.3), plaster, (1.0, 1.0)).moved((0, 0, size_m[2] - 0.1))),
    ]
    if building.roof_m > 0:
        roof = hip_roof(size_m[0], size_m[1], building.roof_m, (0.85, 0.85, 0.9))
        parts.append((ROOFING, roof.moved((0.0, 0.0, size_m[2] + 0.2))))
    return [(surface, mesh.moved(place_m, yaw_deg)) for surface, mesh in parts]


def _wall(wall: Wall) -> list[tuple[str, Mesh]]:
    place_m = (wall.x_m, wall.y_m, 0.0)
    stones = box((wall.length_m, wall.width_m, wall.height_m), (1.0, 1.0, 1.0), (2.5, 2.5))
    top = box((wall.length_m + 0.1, wall.width_m + 0.1, 0.1), (0.66, 0.63, 0.57), (1.0, 1.0))
    return [
        (STONES, stones.moved(place_m, wall.yaw_deg)),
        (PLAIN, top.moved((wall.x_m, wall.y_m, wall.height_m), wall.yaw_deg)),
    ]


def _tree(tree: Tree, rng: np.random.Generator) -> list[tuple[str, Mesh]]:
    foot, up_m = tree.trunk_radius_m, tree.crown_z_m
    rings = [(0.0, 0.0, 2.2 * foot, 2.0 * foot), (0.35, 0.0, 1.35 * foot, 1.3 * foot), (1.2, 0.0, foot, foot)]
    rings += [(0.75 * up_m, 0.04, 0.8 * foot, 0.8 * foot), (1.1 * up_m, 0.1, 0.35 * foot, 0.35 * foot)]
    parts = [(BARK, tube(rings, 8, (1.0, 1.0, 1.0)))]
    for _ in range(6):
        # A branch, upwards and outwards from the trunk.
        length_m, tilt = rng.uniform(0.7, 1.2) * tree.crown_radius_m, rng.uniform(0.5, 1.0)
        branch = tube([(0.0, 0.0, 0.4 * foot, 0.4 * foot), (length_m, 0.0, 0.08, 0.08)], 5, (1.0, 1.0, 1.0))
        lean = np.array([[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]])
        branch = branch._replace(points_m=branch.points_m @ lean, normals=branch.normals @ lean)
        parts.append((BARK, branch.moved((0.0, 0.0, rng.uniform(0.6, 0.95) * up_m), rng.uniform(0, 360))))
    if tree.foliage != "bare":
        radius_m = tree.crown_radius_m
        crown = _leaves(rng, 700, (radius_m, radius_m, 0.8 * radius_m), 0.3, _LEAF_COLOURS[tree.foliage])
        parts.append((LEAVES, crown.moved((0.0, 0.0, up_m))))
    return [(surface, mesh.moved((tree.x_m, tree.y_m, 0.0), 0.0)) for surface, mesh in parts]


def _planter(planter: Planter, rng: np.random.Generator) -> list[tuple[str, Mesh]]:
    radius_m, height_m = planter.radius_m, 0.25 + 0.08 * planter.radius_m
    sides = 24
    turn = np.linspace(0.0, 2 * np.pi, sides + 1)
    edge = radius_m * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    up = np.array([0.0, 0.0, height_m])
    # Blocks of the rim alternate between red, grey and white, as in QuadSim's plaza.
    rim = [
        quad(np.array([start, end, end + up, start + up]), _RIM[block // 2 % len(_RIM)], (1.0, 1.0))
        for block, (start, end) in enumerate(itertools.pairwise(edge))
    ]
    soil = tube(
        [(0.0, 0.0, 0.9 * radius_m, 0.9 * radius_m), (height_m + 0.02, 0.0, 0.9 * radius_m, 0.9 * radius_m)],
        sides,
        (0.22, 0.16, 0.1),
    )
    bush = _leaves(
        rng, int(170 * radius_m), (0.85 * radius_m, 0.85 * radius_m, 0.6 * radius_m), 0.3, _LEAF_COLOURS["green"]
    )
    flowers = _leaves(rng, int(60 * radius_m), (0.95 * radius_m, 0.95 * radius_m, 0.62 * radius_m), 0.16, _FLOWERS)
    up_m = height_m + 0.4 * radius_m
    parts = [
        *((PLAIN, block) for block in rim),
        (PLAIN, soil),
        (LEAVES, bush.moved((0, 0, up_m))),
        (LEAVES, flowers.moved((0, 0, up_m))),
    ]
    return [(surface, mesh.moved((planter.x_m, planter.y_m, 0.0))) for surface, mesh in parts]


def _kerb(line_m: np.ndarray) -> list[tuple[str, Mesh]]:
    """Make a row of stones, 0.2 m wide, centred on a line."""
    along = line_m[1] - line_m[0]
    length_m = float(np.linalg.norm(along))
    yaw_deg = float(np.degrees(np.arctan2(along[1], along[0])))
    x, y, z = length_m / 2, 0.1, _KERB_HEIGHT_M
    pieces = max(int(length_m / 3), 1)
    sides = []
    for sign in (1, -1):
        foot = np.array([[-x, -y, 0.0], [x, -y, 0.0], [x, -y, z], [-x, -y, z]]) * [sign, sign, 1]
        sides.append(quad(foot, (0.6, 0.6, 0.58), (1.0, 1.0), pieces))
    top = np.array([[-x, -y, z], [x, -y, z], [x, y, z], [-x, y, z]])
    sides.append(quad(top, (0.78, 0.77, 0.74), (1.0, 1.0), pieces))
    place_m = (*(line_m.mean(axis=0)), 0.0)
    return [(PLAIN, mesh.moved(place_m, yaw_deg)) for mesh in sides]


def _leaves(
    rng: np.random.Generator,
    count: int,
    radii_m: tuple[float, float, float],
    leaf_m: float,
    colours: Sequence[Sequence[float]],
) -> Mesh:
    """Make a ball of leaves around the origin: loose triangles that face outwards, darker inside and below.

    Args:
        rng: decides positions and colours.
        count: number of leaves.
        radii_m: radii of the ball along x, y, z.
        leaf_m: size of a leaf or tuft.
        colours: colours to choose from, 0–1.
    """
    outwards = rng.normal(size=(count, 3))
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    # The crown consists of smaller balls, with sky visible between them.
    bunches = rng.normal(size=(max(count // 40, 3), 3))
    bunches *= rng.uniform(0.3, 0.75, (len(bunches), 1)) / np.linalg.norm(bunches, axis=1, keepdims=True)
    how_far = rng.uniform(0.2, 1.0, (count, 1)) ** 0.5
    centres = (bunches[rng.integers(len(bunches), size=count)] + 0.42 * outwards * how_far) * radii_m
    corners = centres[:, np.newaxis] + rng.normal(scale=leaf_m * 0.55, size=(count, 3, 3))
    shade = (0.45 + 0.4 * how_far + 0.25 * outwards[:, 2:]) * rng.uniform(0.7, 1.2, (count, 1))
    drawn = np.asarray(colours, float)[rng.integers(len(colours), size=count)] * shade
    return Mesh(
        corners.reshape(-1, 3),
        np.repeat(outwards, 3, axis=0),
        np.repeat(np.clip(drawn, 0.0, 1.0), 3, axis=0),
        np.zeros((3 * count, 2)),
        np.arange(3 * count).reshape(-1, 3),
    )

"""Meshes of simple shapes, lit by a fixed sun."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

AMBIENT, DIFFUSE = 0.52, 0.62
"""Light on a surface: `AMBIENT` + `DIFFUSE` · cosine of the angle to the sun."""


class Mesh(NamedTuple):
    """Triangles and the properties of their vertices.

    Args:
        points_m: (N, 3) float.
        normals: (N, 3) float, outwards, unit length.
        colours: (N, 3) float, 0–1.
        uv: (N, 2) float, texture coordinates; textures repeat.
        triangles: (T, 3) int, counterclockwise seen from outside.
    """

    points_m: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray

    def moved(self, place_m: Sequence[float], yaw_deg: float = 0.0) -> "Mesh":
        """Rotate by `yaw_deg` to the left around z, then shift by `place_m`."""
        cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return self._replace(points_m=self.points_m @ turn + np.asarray(place_m), normals=self.normals @ turn)

    def lit(self, sun: np.ndarray) -> "Mesh":
        """Multiply the colours by the light of the sun, whose direction is `sun`, (3,)."""
        return self._replace(colours=self.colours * light(self.normals, sun)[:, np.newaxis])


def light(normals: np.ndarray, sun: np.ndarray) -> np.ndarray:
    """Brightness of surfaces, (...), from their (..., 3) unit normals and the direction towards the sun."""
    return AMBIENT + DIFFUSE * np.maximum(normals @ sun, 0.0)


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """Merge meshes."""
    first = np.cumsum([0] + [len(mesh.points_m) for mesh in meshes[:-1]])
    return Mesh(
        points_m=np.concatenate([mesh.points_m for mesh in meshes]),
        normals=np.concatenate([mesh.normals for mesh in meshes]),
        colours=np.concatenate([mesh.colours for mesh in meshes]),
        uv=np.concatenate([mesh.uv for mesh in meshes]),
        triangles=np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, first, strict=True)]),
    )


def quad(corners_m: np.ndarray, colour: Sequence[float], uv_size: tuple[float, float], pieces: int = 1) -> Mesh:
    """Make a parallelogram.

    Args:
        corners_m: (4, 3) corners, counterclockwise from the lower left.
        colour: 0–1.
        uv_size: repetitions of the texture from the first corner to the second, and to the last.
        pieces: number of strips along the first side; a long quad without strips would have thin triangles.
    """
    along = np.linspace(0.0, 1.0, pieces + 1)
    lower = corners_m[0] + along[:, np.newaxis] * (corners_m[1] - corners_m[0])
    upper = corners_m[3] + along[:, np.newaxis] * (corners_m[2] - corners_m[3])
    normal = np.cross(corners_m[1] - corners_m[0], corners_m[3] - corners_m[0])
    count = pieces + 1
    uv = np.array([[a * uv_size[0], v * uv_size[1]] for v in (0.0, 1.0) for a in along])
    triangles = _strip(np.arange(pieces), count)
    return Mesh(
        np.concatenate([lower, upper]),
        np.tile(normal / np.linalg.norm(normal), (2 * count, 1)),
        np.tile(np.asarray(colour, float), (2 * count, 1)),
        uv,
        triangles,
    )


def box(
    size_m: tuple[float, float, float],
    colour: Sequence[float],
    tile_m: tuple[float, float],
    has_top: bool = True,
) -> Mesh:
    """Make a box on z = 0 around the origin; textures of size `tile_m` on its sides are never cut at an edge."""
    x, y, z = size_m[0] / 2, size_m[1] / 2, size_m[2]
    base = np.array([[-x, -y, 0.0], [x, -y, 0.0], [x, y, 0.0], [-x, y, 0.0]])
    sides = []
    for number in range(4):
        start, end = base[number], base[(number + 1) % 4]
        length_m = float(np.linalg.norm(end - start))
        up = np.array([0.0, 0.0, z])
        uv_size = (max(round(length_m / tile_m[0]), 1), max(round(z / tile_m[1]), 1))
        sides.append(
            quad(np.array([start, end, end + up, start + up]), colour, uv_size, pieces=max(int(length_m / 4), 1))
        )
    if has_top:
        sides.append(quad(base + np.array([0.0, 0.0, z]), colour, (size_m[0] / tile_m[0], size_m[1] / tile_m[0])))
    return merged(sides)


def hip_roof(length_m: float, width_m: float, height_m: float, colour: Sequence[float]) -> Mesh:
    """Make a roof with four slopes on z = 0 around the origin, which overhangs by 0.4 m."""
    x, y = length_m / 2 + 0.4, width_m / 2 + 0.4
    ridge = max(x - y, 0.0)
    corners = np.array([[-x, -y, 0.0], [x, -y, 0.0], [x, y, 0.0], [-x, y, 0.0]])
    left, right = np.array([-ridge, 0.0, height_m]), np.array([ridge, 0.0, height_m])
    slopes = [
        (corners[0], corners[1], right, left),
        (corners[1], corners[2], right, right),
        (corners[2], corners[3], left, right),
        (corners[3], corners[0], left, left),
    ]
    meshes = []
    for start, end, end_top, start_top in slopes:
        points = np.array([start, end, end_top, start_top])
        normal = np.cross(end - start, end_top - start)
        uv = np.stack([points @ (end - start) / np.linalg.norm(end - start) / 3.0, points[:, 2] / 2.0], axis=1)
        meshes.append(
            Mesh(
                points,
                np.tile(normal / np.linalg.norm(normal), (4, 1)),
                np.tile(np.asarray(colour, float), (4, 1)),
                uv,
                np.array([[0, 1, 2], [0, 2, 3]]),
            )
        )
    return merged(meshes)


def tube(rings: Sequence[tuple[float, float, float, float]], sides: int, colour: Sequence[float]) -> Mesh:
    """Make a tube of ellipses along z, closed at both ends.

    Args:
        rings: (z, x of the centre, radius along x, radius along y), metres, from the lowest up.
        sides: number of corners of a ring.
        colour: 0–1.
    """
    z, centre, along_x, along_y = np.array(rings).T
    turn = 2 * math.pi * np.arange(sides + 1) / sides
    cos, sin = np.cos(turn), np.sin(turn)
    points = np.stack(
        np.broadcast_arrays(
            centre[:, np.newaxis] + along_x[:, np.newaxis] * cos, along_y[:, np.newaxis] * sin, z[:, np.newaxis]
        ),
        axis=-1,
    )
    slope = np.gradient(along_x + along_y, z) / 2 if len(rings) > 1 else np.zeros(1)
    normals = np.stack(
        np.broadcast_arrays(
            along_y[:, np.newaxis] * cos, along_x[:, np.newaxis] * sin, -(slope * np.sqrt(along_x * along_y))[:, None]
        ),
        axis=-1,
    )
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    uv = np.stack(np.broadcast_arrays(turn / (2 * math.pi), z[:, np.newaxis]), axis=-1)
    count = sides + 1
    triangles = [_strip(ring * count + np.arange(sides), count) for ring in range(len(rings) - 1)]
    lowest, highest = np.arange(1, sides - 1)[:, np.newaxis], (len(rings) - 1) * count + np.arange(1, sides - 1)
    triangles += [
        np.concatenate([np.zeros_like(lowest), lowest + 1, lowest], axis=1),
        np.stack([np.full_like(highest, (len(rings) - 1) * count), highest, highest + 1], axis=1),
    ]
    number = len(rings) * count
    return Mesh(
        points.reshape(number, 3),
        normals.reshape(number, 3),
        np.tile(np.asarray(colour, float), (number, 1)),
        uv.reshape(number, 2),
        np.concatenate(triangles),
    )


def leaves(
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


def _strip(lower: np.ndarray, count: int) -> np.ndarray:
    """Two triangles for each corner of `lower`, (N,), with the next corner and those `count` later: (2 N, 3)."""
    first = np.stack([lower, lower + 1, lower + count + 1], axis=1)
    return np.concatenate([first, np.stack([lower, lower + count + 1, lower + count], axis=1)])

"""Meshes of simple shapes, lit by a fixed sun."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

AMBIENT, DIFFUSE = 0.52, 0.62
"""Light on a surface: `AMBIENT` + `DIFFUSE` · cosine of the angle to the sun."""


Triple = Sequence[float] | np.ndarray
"""A point, x y z in metres, or a colour, RGB 0–1."""


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

    def moved(self, place_m: Triple, yaw_deg: float = 0.0) -> "Mesh":
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


def quad(corners_m: np.ndarray, colour: Triple, uv_size: tuple[float, float], pieces: int = 1) -> Mesh:
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
    colour: Triple,
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


def hip_roof(length_m: float, width_m: float, height_m: float, colour: Triple) -> Mesh:
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


def tube(rings: Sequence[tuple[float, float, float, float]], sides: int, colour: Triple) -> Mesh:
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


def limb(
    rings: Sequence[tuple[float, float, float, float]],
    sides: int,
    girth: float,
    colours: Sequence[np.ndarray],
    pattern: float,
    rng: np.random.Generator,
) -> Mesh:
    """A tube with darker and lighter patches; a colour for each ring from the lowest, the last for further rings."""
    mesh = tube([(z, x, girth * rx, girth * ry) for z, x, rx, ry in rings], sides, (0.0, 0.0, 0.0))
    by_ring = np.array([colours[min(ring, len(colours) - 1)] for ring in range(len(rings))])
    patches = 1.0 + pattern * rng.uniform(-1.3, 0.7, (len(rings), sides + 1))
    patches[:, -1] = patches[:, 0]
    painted = np.repeat(by_ring, sides + 1, axis=0) * patches.reshape(-1, 1)
    return mesh._replace(colours=np.clip(painted, 0.0, 1.0))


def lying(mesh: Mesh) -> Mesh:
    """A tube along z, rotated to lie along x."""
    turn = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    return mesh._replace(points_m=mesh.points_m @ turn, normals=mesh.normals @ turn)


def pitched(mesh: Mesh, pitch_rad: float) -> Mesh:
    """Rotate around y, so that the end of a tube along z moves to x."""
    cos, sin = math.cos(pitch_rad), math.sin(pitch_rad)
    turn = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
    return mesh._replace(points_m=mesh.points_m @ turn, normals=mesh.normals @ turn)


def strut(start_m: Triple, end_m: Triple, radius_m: float, end_radius_m: float, sides: int, colour: Triple) -> Mesh:
    """Make a round bar between two points, (x, y, z)."""
    start, way = np.asarray(start_m, float), np.subtract(end_m, start_m)
    length_m, level_m = float(np.linalg.norm(way)), math.hypot(way[0], way[1])
    bar = tube([(0.0, 0.0, radius_m, radius_m), (length_m, 0.0, end_radius_m, end_radius_m)], sides, colour)
    bar = pitched(bar, math.atan2(level_m, way[2])).moved((0.0, 0.0, 0.0), math.degrees(math.atan2(way[1], way[0])))
    return _untextured(bar.moved(start))


def wheel(radius_m: float, inner_m: float, width_m: float, sides: int, colour: Triple) -> Mesh:
    """Make a ring around the y axis: a rim with its tyre, or with a small `inner_m`, a disc."""
    turn = 2 * math.pi * np.arange(sides + 1) / sides
    around = np.stack([np.cos(turn), np.zeros(sides + 1), np.sin(turn)], axis=1)
    aside = np.array([0.0, width_m / 2, 0.0])
    right, left, inner_right, inner_left = (
        radius * around + side for radius in (radius_m, inner_m) for side in (-aside, aside)
    )
    rings = ((right, left), (inner_right, right), (left, inner_left), (inner_left, inner_right))
    return merged(
        [
            quad(np.array([one[k], other[k], other[k + 1], one[k + 1]]), colour, (0.0, 0.0))
            for one, other in rings
            for k in range(sides)
        ]
    )


def prism(outline_m: Sequence[tuple[float, float, float]], colours: Sequence[Triple], side: Triple) -> Mesh:
    """Make a solid whose outline, seen from the right, is convex.

    Args:
        outline_m: (x, z, half of the width there), counterclockwise as seen from the right.
        colours: of the faces from each corner of the outline to the next, 0–1; the last is for all further faces.
        side: colour of the two sides, 0–1.
    """
    x, z, half = np.array(outline_m).T
    right, left = np.stack([x, -half, z], axis=1), np.stack([x, half, z], axis=1)
    count = len(x)
    faces = []
    for k in range(count):
        after = (k + 1) % count
        corners = np.array([right[k], left[k], left[after], right[after]])
        faces.append(quad(corners, colours[min(k, len(colours) - 1)], (0.0, 0.0)))
    fan = np.stack([np.zeros(count - 2, int), np.arange(1, count - 1), np.arange(2, count)], axis=1)
    for points, triangles in ((right, fan), (left, fan[:, ::-1])):
        # The mean normal: a side that leans in is not flat, some corners are outside of its plane by some centimetres.
        normal = np.cross(
            points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]]
        ).sum(axis=0)
        normals = np.tile(normal / np.linalg.norm(normal), (count, 1))
        faces.append(
            Mesh(points, normals, np.tile(np.asarray(side, float), (count, 1)), np.zeros((count, 2)), triangles)
        )
    return merged(faces)


def _untextured(mesh: Mesh) -> Mesh:
    return mesh._replace(uv=np.zeros_like(mesh.uv))


def _strip(lower: np.ndarray, count: int) -> np.ndarray:
    """Two triangles for each corner of `lower`, (N,), with the next corner and those `count` later: (2 N, 3)."""
    first = np.stack([lower, lower + 1, lower + count + 1], axis=1)
    return np.concatenate([first, np.stack([lower, lower + count + 1, lower + count], axis=1)])

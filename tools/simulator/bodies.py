"""Bodies of limbs on joints, posed for many people at once, and the body of a person."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tools.simulator.people import BALD, BUN, LONG, LONG_SLEEVES, SHORT, SLEEVELESS, Look, Person
from tools.simulator.shapes import Mesh, limb, lying, merged

TEMPLATE_HEIGHT_M = 1.7
"""Height of the body that the sizes below describe; other people are scaled."""

# Light on people has more contrast than light on houses, as measured in QuadSim's frames.
_AMBIENT, _DIFFUSE = 0.56, 1.1

# Joints. Each limb rotates around its joint, forwards and backwards only.
TRUNK, HEAD, THIGH_L, THIGH_R, SHIN_L, SHIN_R, FOOT_L, FOOT_R, ARM_L, ARM_R, FOREARM_L, FOREARM_R = range(12)

_THIGH_M, _SHIN_M, _ANKLE_M, _ARM_M = 0.43, 0.41, 0.07, 0.27
_NECK_M, _SHOULDER_M = 0.52, 0.44
_HIP_ASIDE_M, _SHOULDER_ASIDE_M, _ELBOW_ASIDE_M = 0.085, 0.13, 0.035

# Amplitudes of the limbs' swing with stride 1.
_LEG_SWING_RAD, _KNEE_RAD, _ARM_SWING_RAD, _ELBOW_RAD = 0.32, 0.8, 0.36, 0.3

# Rings of limbs: (z, x of the centre, radius along x, radius along y) from the joint; x points forward.
_PELVIS = ((-0.16, 0.0, 0.02, 0.03), (-0.13, 0.0, 0.1, 0.145), (-0.02, 0.0, 0.11, 0.15), (0.1, 0.0, 0.08, 0.11))
_TRUNK = (
    (-0.22, 0.0, 0.135, 0.19),
    (0.0, 0.0, 0.125, 0.17),
    (0.13, 0.0, 0.1, 0.14),
    (0.29, 0.01, 0.115, 0.14),
    (0.42, -0.01, 0.1, 0.135),
    (0.48, -0.01, 0.07, 0.11),
    (0.53, 0.0, 0.045, 0.05),
)
_HEAD = (
    (-0.02, 0.0, 0.05, 0.05),
    (0.05, 0.02, 0.07, 0.06),
    (0.13, 0.025, 0.1, 0.078),
    (0.2, 0.01, 0.1, 0.078),
    (0.26, 0.0, 0.05, 0.045),
)
_HAIR = {
    BALD: ((0.2, -0.01, 0.02, 0.02), (0.22, -0.01, 0.02, 0.02), (0.24, -0.01, 0.02, 0.02), (0.25, 0.0, 0.01, 0.01)),
    SHORT: (
        (0.09, -0.035, 0.075, 0.08),
        (0.17, -0.02, 0.105, 0.088),
        (0.24, -0.01, 0.085, 0.07),
        (0.285, 0, 0.02, 0.02),
    ),
    LONG: (
        (-0.11, -0.07, 0.05, 0.105),
        (0.02, -0.06, 0.085, 0.125),
        (0.18, -0.025, 0.115, 0.105),
        (0.285, 0, 0.035, 0.04),
    ),
    BUN: ((0.03, -0.06, 0.05, 0.06), (0.13, -0.04, 0.095, 0.085), (0.22, -0.02, 0.1, 0.08), (0.285, 0, 0.02, 0.02)),
}
_UPPER_ARM = (
    (-_ARM_M, 0.0, 0.038, 0.038),
    (-0.1, 0.0, 0.042, 0.042),
    (0.0, 0.0, 0.045, 0.045),
    (0.04, 0.0, 0.02, 0.02),
)
_FOREARM = (
    (-0.4, 0.01, 0.015, 0.012),
    (-0.31, 0.01, 0.04, 0.025),
    (-0.23, 0.0, 0.028, 0.026),
    (0.0, 0.0, 0.038, 0.038),
)
_THIGH = ((-_THIGH_M, 0.0, 0.055, 0.055), (-0.2, 0.0, 0.078, 0.075), (0.0, 0.0, 0.09, 0.088))
_SHIN = ((-_SHIN_M, 0.0, 0.042, 0.042), (-0.15, -0.015, 0.06, 0.055), (0.0, 0.0, 0.056, 0.056), (0.03, 0.0, 0.03, 0.03))
_FOOT = (
    (-0.075, 0.0, 0.02, 0.02),
    (-0.06, -0.005, 0.05, 0.04),
    (0.06, -0.035, 0.035, 0.046),
    (0.17, -0.045, 0.02, 0.03),
)


class Crowd(NamedTuple):
    """Posed bodies of P people with V vertices each.

    Args:
        points_m: (P, V, 3) float, world frame.
        colours: (P, V, 3) float, 0–1, with the light of the sun.
    """

    points_m: np.ndarray
    colours: np.ndarray


class Body(NamedTuple):
    """A kind of body.

    Args:
        build: makes the body of a look (which has a `height_m`), a number of corners around a limb, and a generator of
            patterns: its mesh around the joints, and the joint of each vertex, (V,). V is the same for all looks.
        pose: makes positions and angles of the joints from phases and strides, as `person_pose` does.
        height_m: height of the body of `build`; it is scaled to the height of its look.
        reach_m: greatest distance of a part of the body from its middle.
    """

    build: Callable[[Any, int, np.random.Generator], tuple[Mesh, np.ndarray]]
    pose: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    height_m: float
    reach_m: float


class Bodies:
    """Bodies of one kind at one level of detail.

    Args:
        looks: looks of the people.
        sides: number of corners around a limb.
        body: kind of the bodies; None for people.
    """

    def __init__(self, looks: Sequence[Any], sides: int, body: Body | None = None) -> None:
        kind = body or PERSON
        bodies = [kind.build(look, sides, np.random.default_rng(number)) for number, look in enumerate(looks)]
        self._pose = kind.pose
        meshes = [mesh for mesh, _ in bodies]
        self._joints = bodies[0][1]
        self._points_m = np.stack([mesh.points_m for mesh in meshes]).astype(np.float32)
        self._normals = np.stack([mesh.normals for mesh in meshes]).astype(np.float32)
        self._colours = np.stack([mesh.colours for mesh in meshes]).astype(np.float32)
        self._scales = np.array([look.height_m / kind.height_m for look in looks], np.float32)
        self.uv = meshes[0].uv.astype(np.float32)
        self.triangles = meshes[0].triangles.astype(np.uint32)

    @property
    def vertex_count(self) -> int:
        """Number of vertices of a body, V."""
        return len(self.uv)

    def posed(
        self, who: np.ndarray, people: np.ndarray, sun: np.ndarray, brightness: np.ndarray, shrink_m: np.ndarray
    ) -> Crowd:
        """Pose some of the people.

        Args:
            who: (P,) int, numbers of their looks.
            people: (P, 5) float, the fields of `Person`.
            sun: (3,) direction towards the sun, world frame.
            brightness: (P,) float, 1 in the sun, less in the shade.
            shrink_m: (P,) float, distance by which the surface of limbs moves inwards.
        """
        x_m, y_m, heading_deg, phase_rad, stride = people.T
        origins_m, angles_rad = self._pose(phase_rad, stride)
        joints = self._joints
        sin, cos = (part[:, joints].astype(np.float32) for part in (np.sin(angles_rad), np.cos(angles_rad)))
        normals = self._normals[who]
        local = self._points_m[who] - normals * shrink_m[:, np.newaxis, np.newaxis]
        scale = self._scales[who, np.newaxis]
        forward = (origins_m[:, joints, 0] + cos * local[..., 0] - sin * local[..., 2]) * scale
        left = local[..., 1] * scale
        up = (origins_m[:, joints, 1] + sin * local[..., 0] + cos * local[..., 2]) * scale
        heading = np.radians(heading_deg)[:, np.newaxis]
        sin_heading, cos_heading = np.sin(heading).astype(np.float32), np.cos(heading).astype(np.float32)
        points = np.empty_like(local)
        points[..., 0] = x_m[:, np.newaxis] + cos_heading * forward - sin_heading * left
        points[..., 1] = y_m[:, np.newaxis] + sin_heading * forward + cos_heading * left
        points[..., 2] = up
        # Transforming the sun into the body's frame is cheaper than transforming every normal.
        ahead, aside = cos_heading * sun[0] + sin_heading * sun[1], cos_heading * sun[1] - sin_heading * sun[0]
        facing = normals[..., 0] * (cos * ahead + sin * sun[2]) + normals[..., 1] * aside
        facing += normals[..., 2] * (cos * sun[2] - sin * ahead)
        light = (_AMBIENT + _DIFFUSE * np.maximum(facing, 0)) * brightness[:, np.newaxis]
        return Crowd(points, self._colours[who] * light[..., np.newaxis])


def as_array(people: Sequence[Person]) -> np.ndarray:
    """Fields of people as (P, 5) float."""
    return np.array(people, float).reshape(-1, 5)


def jointed(parts: Sequence[tuple[int, Mesh]]) -> tuple[Mesh, np.ndarray]:
    """Merge the parts of a body, each with its joint; returns the mesh, and the joint of each vertex, (V,)."""
    joints = np.concatenate([np.full(len(mesh.points_m), joint) for joint, mesh in parts])
    return merged([mesh for _, mesh in parts]), joints


def person_pose(phase_rad: np.ndarray, stride: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of joints and angles of limbs, for a body of the template's height.

    Returns:
        (P, 12, 2) positions, forward and up, metres; and (P, 12) angles, radians: positive moves the end of a hanging
        limb forwards.
    """
    count = len(phase_rad)
    origins, angles = np.zeros((count, 12, 2)), np.zeros((count, 12))
    reach = np.zeros((count, 2))
    for side, leg_rad in enumerate((phase_rad, phase_rad + math.pi)):
        thigh = stride * _LEG_SWING_RAD * np.sin(leg_rad) + 0.06 * stride
        knee = stride * (0.12 + _KNEE_RAD * np.maximum(np.cos(leg_rad), 0) ** 1.5)
        shin = thigh - knee
        angles[:, THIGH_L + side], angles[:, SHIN_L + side] = thigh, shin
        # A swinging foot points down, a standing foot is flat on the ground.
        angles[:, FOOT_L + side] = 0.75 * np.minimum(shin + 0.25 * stride, 0)
        knee_m = np.stack([_THIGH_M * np.sin(thigh), -_THIGH_M * np.cos(thigh)], axis=1)
        ankle_m = knee_m + np.stack([_SHIN_M * np.sin(shin), -_SHIN_M * np.cos(shin)], axis=1)
        origins[:, SHIN_L + side], origins[:, FOOT_L + side] = knee_m, ankle_m
        reach[:, side] = -ankle_m[:, 1]
        arm = -stride * _ARM_SWING_RAD * np.sin(leg_rad)
        elbow = 0.12 + stride * _ELBOW_RAD * (1 + np.sin(-leg_rad)) / 2
        angles[:, ARM_L + side], angles[:, FOREARM_L + side] = arm, arm + elbow
        origins[:, ARM_L + side] = [0.0, _SHOULDER_M]
        to_elbow_m = _ARM_M * np.stack([np.sin(arm), -np.cos(arm)], axis=1)
        origins[:, FOREARM_L + side] = origins[:, ARM_L + side] + to_elbow_m
    origins[:, HEAD] = [0.0, _NECK_M]
    # The lower foot stands on the ground.
    origins[..., 1] += reach.max(axis=1, keepdims=True) + _ANKLE_M
    return origins.astype(np.float32), angles


def _person(look: Look, sides: int, rng: np.random.Generator) -> tuple[Mesh, np.ndarray]:
    """A body around its joints, and the joint of each vertex, (V,)."""
    hair, skin, top, trousers, shoes = (
        np.array(colour) / 255 for colour in (look.hair, look.skin, look.top, look.trousers, look.shoes)
    )
    forearm = [skin, skin, top if look.sleeves == LONG_SLEEVES else skin]
    shin = [skin if look.has_bare_shins else trousers]
    parts = [
        (TRUNK, limb(_PELVIS, sides, look.girth, [trousers], look.trousers_pattern, rng)),
        (TRUNK, limb(_TRUNK, sides, look.girth, [top], look.top_pattern, rng)),
        (HEAD, limb(_HEAD, sides, 1.0, [skin], 0.05, rng)),
        (HEAD, limb(_HAIR[look.hair_style], sides, 1.0, [skin if look.hair_style == BALD else hair], 0.35, rng)),
    ]
    for side in (0, 1):
        aside = 1 - 2 * side
        arm = [skin if look.sleeves == SLEEVELESS else top]
        shoulder_m = _SHOULDER_ASIDE_M * look.girth + 0.02
        hip, shoulder = (0.0, aside * _HIP_ASIDE_M, 0.0), (0.0, aside * shoulder_m, 0.0)
        elbow = (0.0, aside * (shoulder_m + _ELBOW_ASIDE_M), 0.0)
        parts += [
            (THIGH_L + side, limb(_THIGH, sides, look.girth, [trousers], look.trousers_pattern, rng).moved(hip)),
            (SHIN_L + side, limb(_SHIN, sides, look.girth, shin, look.trousers_pattern, rng).moved(hip)),
            (FOOT_L + side, lying(limb(_FOOT, sides, 1.0, [shoes], 0.1, rng)).moved(hip)),
            (ARM_L + side, limb(_UPPER_ARM, sides, look.girth, arm, look.top_pattern / 2, rng).moved(shoulder)),
            (FOREARM_L + side, limb(_FOREARM, sides, look.girth, forearm, 0.1, rng).moved(elbow)),
        ]
    return jointed(parts)


PERSON = Body(_person, person_pose, TEMPLATE_HEIGHT_M, reach_m=1.3)

"""Bodies of dogs and cats: the same limbs in other sizes. A stride below 0 makes them sit."""

import math
from typing import NamedTuple

import numpy as np

from tools.simulator.bodies import Body, jointed
from tools.simulator.people import Colour, varied
from tools.simulator.shapes import Mesh, limb, lying, pitched, strut

TRUNK, HEAD, TAIL = range(3)
_UPPER, _LOWER = 3, 7  # first of four joints: hind left, hind right, fore left, fore right

# Amplitudes at stride 1.
_SWING_RAD, _BEND_RAD = 0.55, 0.9
_SITTING_THIGH_RAD, _SITTING_SHIN_RAD = 1.3, -1.25
_NECK_RAD = 0.7  # of the neck, forwards from upright


class Coat(NamedTuple):
    """The look of a dog or a cat.

    Args:
        height_m: from the ground to the top of the head, standing.
        back, chest, legs, head, muzzle, ears, tail: colours.
        pattern: variation of the brightness between patches, 0–1.
    """

    height_m: float
    back: Colour
    chest: Colour
    legs: Colour
    head: Colour
    muzzle: Colour
    ears: Colour
    tail: Colour
    pattern: float


class _Shape(NamedTuple):
    """Sizes of a species, m.

    Args:
        upper_m, lower_m: lengths of the two parts of a leg.
        leg_m: radius of a leg at its top.
        length_m: from hips to shoulders.
        girth_m: radius of the chest.
        skull_m: radius of the head.
        muzzle_m: length of the muzzle.
        tail_m: length of the tail.
        has_hanging_ears: as a dog's, or upright ones.
        height_m: standing.
    """

    upper_m: float
    lower_m: float
    leg_m: float
    length_m: float
    girth_m: float
    skull_m: float
    muzzle_m: float
    tail_m: float
    has_hanging_ears: bool
    height_m: float

    def build(self, coat: Coat, sides: int, rng: np.random.Generator) -> tuple[Mesh, np.ndarray]:
        """A body around its joints, and the joint of each vertex."""
        back, chest, legs, head, muzzle, ears, tail = (np.array(colour) / 255 for colour in coat[1:8])
        girth, skull = self.girth_m, self.skull_m
        trunk = [
            (-0.2 * self.length_m, 0.0, 0.3 * girth, 0.3 * girth),
            (-0.1 * self.length_m, 0.0, 0.85 * girth, 0.8 * girth),
            (0.15 * self.length_m, 0.0, 0.9 * girth, 0.8 * girth),
            (0.45 * self.length_m, 0.05 * girth, 0.95 * girth, 0.85 * girth),
            (0.8 * self.length_m, 0.15 * girth, 1.15 * girth, 0.95 * girth),
            (1.05 * self.length_m, 0.0, 0.95 * girth, 0.8 * girth),
            (1.2 * self.length_m, -0.1 * girth, 0.4 * girth, 0.4 * girth),
        ]
        neck_m = 2.6 * skull
        neck = [(-0.6 * skull, 0.0, 1.1 * skull, skull), (neck_m, 0.0, 0.75 * skull, 0.7 * skull)]
        face = [
            (-1.2 * skull, 0.0, 0.4 * skull, 0.4 * skull),
            (-0.7 * skull, 0.0, 0.9 * skull, 0.85 * skull),
            (0.3 * skull, 0.0, skull, 0.95 * skull),
            (0.9 * skull, 0.15 * skull, 0.7 * skull, 0.65 * skull),
            (0.9 * skull + 0.5 * self.muzzle_m, 0.3 * skull, 0.5 * skull, 0.48 * skull),
            (0.9 * skull + self.muzzle_m, 0.3 * skull, 0.35 * skull, 0.35 * skull),
        ]
        nape = (neck_m * math.sin(_NECK_RAD), 0.0, neck_m * math.cos(_NECK_RAD))
        pattern, dark = coat.pattern, np.array([0.1, 0.08, 0.08])
        parts = [
            (TRUNK, lying(limb(trunk, sides, 1.0, [back, back, back, back, back, chest], pattern, rng))),
            (HEAD, pitched(limb(neck, sides, 1.0, [chest, head], pattern, rng), _NECK_RAD)),
            (
                HEAD,
                lying(limb(face, sides, 1.0, [head, head, head, muzzle, muzzle, dark], pattern / 2, rng)).moved(nape),
            ),
            (TAIL, strut((0, 0, 0), (-0.5 * self.tail_m, 0, 0.0), 0.35 * skull, 0.35 * skull, sides, tail)),
            (
                TAIL,
                strut(
                    (-0.5 * self.tail_m, 0, 0),
                    (-self.tail_m, 0, 0.15 * self.tail_m),
                    0.35 * skull,
                    0.1 * skull,
                    sides,
                    tail,
                ),
            ),
        ]
        for side in (1, -1):
            root = np.add(nape, (-0.2 * skull, 0.75 * side * skull, 0.6 * skull))
            tip = (
                (-0.1 * skull, 0.35 * side * skull, -1.4 * skull)
                if self.has_hanging_ears
                else (0.0, 0.15 * side * skull, 1.1 * skull)
            )
            parts.append((HEAD, strut(root, root + tip, 0.45 * skull, 0.12 * skull, sides, ears)))
        thick = self.leg_m
        for leg in range(4):
            is_hind, aside = leg < 2, 0.55 * girth * (1 - 2 * (leg % 2))
            fat = 1.35 if is_hind else 1.0
            upper = [
                (-self.upper_m, 0.0, 0.6 * thick, 0.55 * thick),
                (0.2 * thick, 0.0, 1.3 * fat * thick, fat * thick),
            ]
            lower = [
                (-self.lower_m, 0.7 * thick, 1.1 * thick, 0.7 * thick),
                (-self.lower_m + 0.7 * thick, 0.35 * thick, 0.7 * thick, 0.6 * thick),
                (-self.lower_m + 1.4 * thick, 0.0, 0.45 * thick, 0.45 * thick),
                (0.0, 0.0, 0.6 * thick, 0.55 * thick),
            ]
            hip = (0.0, aside, 0.0)
            parts += [
                (_UPPER + leg, limb(upper, sides, 1.0, [legs, back], pattern, rng).moved(hip)),
                (_LOWER + leg, limb(lower, sides, 1.0, [legs], pattern / 2, rng).moved(hip)),
            ]
        return jointed(parts)

    def pose(self, phase_rad: np.ndarray, stride: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and angles of joints, as `person_pose` returns them: legs opposite each other swing together."""
        count = len(phase_rad)
        origins, angles = np.zeros((count, 11, 2)), np.zeros((count, 11))
        walk, sit = np.clip(stride, 0.0, 1.0), np.clip(-stride, 0.0, 1.0)
        reach, knees = np.zeros((count, 4)), np.zeros((count, 4, 2))
        for leg, offset in enumerate((0.0, math.pi, math.pi, 0.0)):
            swing = walk * _SWING_RAD * np.sin(phase_rad + offset)
            bend = walk * (0.1 + _BEND_RAD * np.maximum(np.cos(phase_rad + offset), 0.0) ** 1.5)
            if leg < 2:
                upper, lower = 0.3 + swing, -0.3 + swing - 0.6 * bend
                upper, lower = upper + sit * (_SITTING_THIGH_RAD - upper), lower + sit * (_SITTING_SHIN_RAD - lower)
            else:
                upper, lower = swing, swing - bend
            angles[:, _UPPER + leg], angles[:, _LOWER + leg] = upper, lower
            knees[:, leg] = self.upper_m * np.stack([np.sin(upper), -np.cos(upper)], axis=1)
            reach[:, leg] = self.upper_m * np.cos(upper) + self.lower_m * np.cos(lower)
        hips, shoulders = reach[:, :2].max(axis=1), reach[:, 2:].max(axis=1)
        pitch = np.arcsin(np.clip((shoulders - hips) / self.length_m, -1.0, 1.0))
        hip = np.stack([np.full(count, -self.length_m / 2), hips], axis=1)
        along, up = np.stack([np.cos(pitch), np.sin(pitch)], axis=1), np.stack([-np.sin(pitch), np.cos(pitch)], axis=1)
        shoulder = hip + self.length_m * along
        origins[:, TRUNK], angles[:, TRUNK] = hip, pitch
        origins[:, HEAD] = shoulder + 0.9 * self.girth_m * along + 0.4 * self.girth_m * up
        angles[:, HEAD] = 0.3 * pitch + 0.08 * walk * np.sin(2 * phase_rad)
        origins[:, TAIL] = hip - 0.9 * self.girth_m * along + 0.4 * self.girth_m * up
        angles[:, TAIL] = -0.5 - 0.2 * np.sin(phase_rad) + sit * (0.7 + pitch)
        for leg in range(4):
            origins[:, _UPPER + leg] = hip if leg < 2 else shoulder
            origins[:, _LOWER + leg] = origins[:, _UPPER + leg] + knees[:, leg]
        return origins.astype(np.float32), angles


_DOG = _Shape(0.27, 0.25, 0.05, 0.58, 0.14, 0.085, 0.13, 0.36, has_hanging_ears=True, height_m=0.84)
_CAT = _Shape(0.12, 0.12, 0.022, 0.27, 0.065, 0.048, 0.02, 0.26, has_hanging_ears=False, height_m=0.42)
DOG = Body(_DOG.build, _DOG.pose, _DOG.height_m, reach_m=0.9)
CAT = Body(_CAT.build, _CAT.pose, _CAT.height_m, reach_m=0.6)

_GINGER, _WHITE, _BLACK, _GREY, _BROWN, _SAND = (
    (205, 112, 34),
    (200, 198, 190),
    (34, 32, 32),
    (104, 104, 108),
    (74, 46, 30),
    (176, 160, 126),
)
# Back and legs of the others: never ginger.
_OTHERS = ((_BLACK, _BLACK), (_BROWN, _BROWN), (_WHITE, _WHITE), (_GREY, _WHITE), (_BLACK, _WHITE), (_SAND, _SAND))


def target_dog() -> Coat:
    """The dog to follow: ginger, with white legs, chest and muzzle and brown ears."""
    return Coat(0.82, _GINGER, _WHITE, _WHITE, _GINGER, _WHITE, (120, 58, 20), _GINGER, 0.15)


def target_cat() -> Coat:
    """The cat to follow: ginger with darker stripes, and white legs and muzzle."""
    return Coat(0.4, _GINGER, _WHITE, _WHITE, _GINGER, _WHITE, _GINGER, _GINGER, 0.4)


def other_dog(rng: np.random.Generator) -> Coat:
    """Draw a dog of another coat, 0.5 to 0.95 m tall."""
    return _other(float(rng.uniform(0.5, 0.95)), rng)


def other_cat(rng: np.random.Generator) -> Coat:
    """Draw a cat of another coat."""
    return _other(float(rng.uniform(0.34, 0.44)), rng)


def _other(height_m: float, rng: np.random.Generator) -> Coat:
    back, legs = (varied(colour, rng) for colour in _OTHERS[rng.integers(len(_OTHERS))])
    return Coat(height_m, back, legs, legs, back, legs, back, back, float(rng.choice([0.1, 0.3])))

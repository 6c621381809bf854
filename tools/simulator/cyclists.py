"""Bodies of cyclists: a bicycle and a rider whose legs follow the pedals."""

import math
from typing import NamedTuple

import numpy as np

from tools.simulator.bodies import Body, jointed
from tools.simulator.people import Colour, varied
from tools.simulator.shapes import Mesh, limb, lying, merged, pitched, strut, wheel

BIKE, CRANK = range(2)
_THIGH, _SHIN, _FOOT = 2, 4, 6  # first of two joints each

_WHEEL_M = 0.34
_REAR_M, _FRONT_M = (-0.48, _WHEEL_M), (0.55, _WHEEL_M)  # axles: forward, up
_CRANK_M, _PEDAL_M = (-0.02, 0.29), 0.17
_SADDLE_M, _HEAD_TUBE_M, _HANDS_M = (-0.22, 0.93), (0.4, 0.9), (0.46, 1.02)
_HIP_M, _SHOULDER_M = (-0.2, 1.0), (0.14, 1.42)
_THIGH_M, _SHIN_M, _ANKLE_M, _HIP_ASIDE_M = 0.44, 0.43, 0.07, 0.09

_RUBBER, _METAL = (0.06, 0.06, 0.06), (0.35, 0.35, 0.36)


class Kit(NamedTuple):
    """The look of a cyclist: height in metres as riding, and colours."""

    height_m: float
    jersey: Colour
    shorts: Colour
    helmet: Colour
    skin: Colour
    frame: Colour


def _build(kit: Kit, sides: int, rng: np.random.Generator) -> tuple[Mesh, np.ndarray]:
    jersey, shorts, helmet, skin, frame = (np.array(colour) / 255 for colour in kit[1:])

    def bar(
        start: tuple[float, float],
        end: tuple[float, float],
        radius_m: float,
        colour: np.ndarray,
        y_m: float = 0.0,
        end_y_m: float | None = None,
    ) -> Mesh:
        there_m = y_m if end_y_m is None else end_y_m
        return strut((start[0], y_m, start[1]), (end[0], there_m, end[1]), radius_m, radius_m, sides, colour)

    wheels = [
        wheel(_WHEEL_M, 0.85 * _WHEEL_M, 0.05, 2 * sides, _RUBBER).moved((x, 0.0, z)) for x, z in (_REAR_M, _FRONT_M)
    ]
    lines = (
        (_REAR_M, _CRANK_M),
        (_REAR_M, _SADDLE_M),
        (_CRANK_M, _SADDLE_M),
        (_CRANK_M, _HEAD_TUBE_M),
        (_SADDLE_M, _HEAD_TUBE_M),
        (_FRONT_M, _HANDS_M),
    )
    tubes = [bar(start, end, 0.025, frame) for start, end in lines]
    tubes.append(bar(_HANDS_M, _HANDS_M, 0.02, np.array(_METAL), -0.26, 0.26))
    trunk = [
        (-0.16, 0.0, 0.12, 0.16),
        (0.0, 0.0, 0.12, 0.15),
        (0.3, -0.02, 0.13, 0.16),
        (0.5, -0.02, 0.11, 0.17),
        (0.6, 0.0, 0.05, 0.07),
    ]
    lean = math.atan2(_SHOULDER_M[0] - _HIP_M[0], _SHOULDER_M[1] - _HIP_M[1])
    back = pitched(limb(trunk, sides, 1.0, [shorts, jersey], 0.08, rng), lean).moved((_HIP_M[0], 0.0, _HIP_M[1]))
    face = limb(
        [(-0.04, 0.0, 0.05, 0.05), (0.06, 0.02, 0.085, 0.07), (0.16, 0.02, 0.09, 0.075), (0.24, 0.0, 0.04, 0.04)],
        sides,
        1.0,
        [skin],
        0.05,
        rng,
    )
    hat = limb(
        [(0.12, -0.02, 0.11, 0.09), (0.17, -0.02, 0.13, 0.1), (0.24, -0.02, 0.1, 0.08), (0.28, -0.02, 0.03, 0.03)],
        sides,
        1.0,
        [helmet],
        0.05,
        rng,
    )
    head = (_SHOULDER_M[0] + 0.06, 0.0, _SHOULDER_M[1] + 0.06)
    parts = [(BIKE, mesh) for mesh in (*wheels, *tubes, back, face.moved(head), hat.moved(head))]
    parts.append(
        (
            CRANK,
            merged([bar((0.0, 0.0), (-_PEDAL_M * side, 0.0), 0.02, np.array(_METAL), 0.08 * side) for side in (-1, 1)]),
        )
    )
    # From the shoulder by the elbow to the hand: forward, aside, up.
    arm = [(_SHOULDER_M[0], 0.17, _SHOULDER_M[1]), (0.26, 0.24, 1.16), (_HANDS_M[0], 0.22, _HANDS_M[1])]
    for leg, side in enumerate((1, -1)):
        shoulder, elbow, hand = ((x, y * side, z) for x, y, z in arm)
        parts += [
            (BIKE, strut(shoulder, elbow, 0.055, 0.045, sides, jersey)),
            (BIKE, strut(elbow, hand, 0.042, 0.035, sides, skin)),
        ]
        hip = (0.0, _HIP_ASIDE_M * side, 0.0)
        thigh = [(-_THIGH_M, 0.0, 0.055, 0.055), (-0.2, 0.0, 0.08, 0.075), (0.0, 0.0, 0.1, 0.09)]
        shin = [(-_SHIN_M, 0.0, 0.04, 0.04), (-0.15, -0.015, 0.06, 0.055), (0.0, 0.0, 0.055, 0.055)]
        shoe = [(-0.08, 0.02, 0.03, 0.035), (0.06, 0.02, 0.04, 0.045), (0.16, 0.03, 0.02, 0.03)]
        parts += [
            (_THIGH + leg, limb(thigh, sides, 1.0, [skin, shorts], 0.08, rng).moved(hip)),
            (_SHIN + leg, limb(shin, sides, 1.0, [skin], 0.05, rng).moved(hip)),
            (_FOOT + leg, lying(limb(shoe, sides, 1.0, [np.array(_RUBBER)], 0.05, rng)).moved(hip)),
        ]
    return jointed(parts)


def _pose(phase_rad: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the bicycle, the crank, which has turned by the phase, and the legs that reach its pedals."""
    count = len(phase_rad)
    origins, angles = np.zeros((count, 8, 2)), np.zeros((count, 8))
    origins[:, CRANK], angles[:, CRANK] = _CRANK_M, -phase_rad
    for leg, offset in enumerate((math.pi, 0.0)):
        turn = phase_rad + offset
        ankle = np.array(_CRANK_M) + _PEDAL_M * np.stack([np.cos(turn), -np.sin(turn)], axis=1) + [0.0, _ANKLE_M]
        way = ankle - np.array(_HIP_M)
        away = np.minimum(np.linalg.norm(way, axis=1), _THIGH_M + _SHIN_M - 1e-6)
        straight = np.arctan2(way[:, 0], -way[:, 1])
        # The angles at the hip and at the ankle of the triangle of thigh, shin and the line between hip and ankle.
        at_hip = np.arccos((_THIGH_M**2 + away**2 - _SHIN_M**2) / (2 * _THIGH_M * away))
        at_ankle = np.arccos((_SHIN_M**2 + away**2 - _THIGH_M**2) / (2 * _SHIN_M * away))
        thigh = straight + at_hip
        angles[:, _THIGH + leg], angles[:, _SHIN + leg] = thigh, straight - at_ankle
        origins[:, _THIGH + leg] = _HIP_M
        origins[:, _SHIN + leg] = np.array(_HIP_M) + _THIGH_M * np.stack([np.sin(thigh), -np.cos(thigh)], axis=1)
        origins[:, _FOOT + leg] = ankle
    return origins.astype(np.float32), angles


CYCLIST = Body(_build, _pose, 1.75, reach_m=1.4)

_JERSEYS: tuple[Colour, ...] = (
    (36, 60, 130),
    (40, 110, 70),
    (40, 42, 46),
    (196, 196, 194),
    (150, 40, 44),
    (120, 120, 126),
    (44, 130, 140),
)
_HELMETS: tuple[Colour, ...] = ((40, 40, 44), (196, 196, 194), (60, 90, 150))
_FRAMES: tuple[Colour, ...] = ((40, 40, 44), (120, 124, 130), (130, 30, 30), (36, 70, 120))
_SKINS: tuple[Colour, ...] = ((200, 150, 120), (125, 90, 70))


def target_cyclist() -> Kit:
    """The cyclist to follow: a yellow jersey and helmet and black shorts."""
    return Kit(1.75, (208, 172, 12), (34, 34, 38), (208, 172, 12), _SKINS[0], (40, 40, 44))


def other_cyclist(rng: np.random.Generator) -> Kit:
    """Draw a cyclist in another jersey, never yellow."""
    jersey, helmet, skin, frame = (
        choices[rng.integers(len(choices))] for choices in (_JERSEYS, _HELMETS, _SKINS, _FRAMES)
    )
    return Kit(float(rng.uniform(1.65, 1.85)), varied(jersey, rng), (40, 40, 46), helmet, skin, varied(frame, rng))

"""Bodies of cars: a painted body with a glass cabin on four wheels."""

from typing import NamedTuple

import numpy as np

from tools.simulator.bodies import Body, jointed
from tools.simulator.people import Colour, varied
from tools.simulator.shapes import Mesh, prism, strut, wheel

LENGTH_M = 4.3
WHEEL_M = 0.32
"""Radius of a wheel."""
_AXLES_M, _ASIDE_M = (1.32, -1.32), 0.76
_TYRE, _RIM, _GLASS, _TRIM = (0.07, 0.07, 0.08), (0.45, 0.45, 0.47), (0.1, 0.13, 0.17), (0.09, 0.09, 0.1)
_HEADLIGHT, _TAIL_LIGHT = (0.75, 0.74, 0.66), (0.5, 0.03, 0.03)

# (x, z, half of the width), counterclockwise as seen from the right.
_SILL = [(-2.1, 0.22, 0.8), (2.05, 0.22, 0.8), (2.12, 0.45, 0.85), (-2.15, 0.45, 0.86)]
_HULL = [
    (-2.15, 0.45, 0.86),
    (2.12, 0.45, 0.85),
    (2.1, 0.68, 0.84),
    (1.9, 0.8, 0.8),
    (0.9, 0.95, 0.82),
    (-1.6, 0.98, 0.82),
    (-2.1, 0.92, 0.8),
]
_CABIN = [(-1.75, 0.96, 0.8), (1.0, 0.92, 0.8), (0.3, 1.36, 0.62), (-1.25, 1.36, 0.62)]
_ROOF = [(-1.35, 1.36, 0.64), (0.36, 1.36, 0.64), (0.2, 1.44, 0.56), (-1.15, 1.44, 0.56)]


class Paint(NamedTuple):
    """The look of a car: its height in metres, which scales it, and its colour."""

    height_m: float
    colour: Colour


def _build(paint: Paint, sides: int, _: np.random.Generator) -> tuple[Mesh, np.ndarray]:
    colour = np.array(paint.colour) / 255
    body = [
        prism(_SILL, [_TRIM], _TRIM),
        prism(_HULL, [_TRIM, 0.9 * colour, colour], colour),
        prism(_CABIN, [_GLASS], _GLASS),
        prism(_ROOF, [colour], colour),
    ]
    for side in (-1, 1):
        for x, z, light in ((2.11, 0.66, _HEADLIGHT), (-2.13, 0.8, _TAIL_LIGHT)):
            body.append(strut((x, 0.4 * side, z), (x, 0.78 * side, z), 0.08, 0.08, sides, light))
        for x, top_x in ((0.98, 0.3), (-0.45, -0.45), (-1.72, -1.3)):  # pillars of the roof
            body.append(strut((x, 0.8 * side, 0.93), (top_x, 0.62 * side, 1.38), 0.04, 0.04, sides, colour))
    parts = [(0, mesh) for mesh in body]
    for number in (1, 2):
        for side in (-1, 1):
            tyre = wheel(WHEEL_M, 0.6 * WHEEL_M, 0.22, sides + 3, _TYRE)
            spokes = wheel(0.6 * WHEEL_M, 0.01, 0.2, 5, _RIM)
            parts += [(number, mesh.moved((0.0, _ASIDE_M * side, 0.0))) for mesh in (tyre, spokes)]
    return jointed(parts)


def _pose(phase_rad: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the body and of the two axles; the wheels have turned by the phase."""
    origins, angles = np.zeros((len(phase_rad), 3, 2)), np.zeros((len(phase_rad), 3))
    for number, x in enumerate(_AXLES_M, start=1):
        origins[:, number] = [x, WHEEL_M]
        angles[:, number] = -phase_rad
    return origins.astype(np.float32), angles


CAR = Body(_build, _pose, 1.44, reach_m=2.5)

_OTHERS: tuple[Colour, ...] = (
    (196, 196, 194),
    (30, 31, 34),
    (126, 130, 136),
    (36, 62, 130),
    (40, 84, 58),
    (74, 76, 80),
    (150, 138, 110),
    (40, 110, 120),
)


def target_car() -> Paint:
    """The car to follow: a red one."""
    return Paint(1.44, (176, 18, 16))


def other_car(rng: np.random.Generator) -> Paint:
    """Draw a car of another colour, never red."""
    return Paint(float(rng.uniform(1.36, 1.56)), varied(_OTHERS[rng.integers(len(_OTHERS))], rng))

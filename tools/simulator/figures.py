"""Walking people made of rounded limbs, drawn into an image and its depth; one is dressed as QuadSim's hero."""

import math
from typing import NamedTuple

import numpy as np

from server.geometry import Camera, Pose, project

Colour = tuple[int, int, int]

STRIDE_M = 1.4
"""Both steps of a gait: the phase advances by 2π over this distance."""

_NOISE = np.random.default_rng(7).uniform(-1.0, 1.0, (32, 32))
"""Folds, locks and patterns: the same on a limb in every frame."""


class Look(NamedTuple):
    """Colours (RGB 0–255) of a person in the sun, and how restless the pattern of the top is (0–1)."""

    hair: Colour
    skin: Colour
    top: Colour
    legs: Colour
    shoes: Colour
    pattern: float = 0.15


HERO = Look(
    hair=(150, 4, 8), skin=(120, 92, 76), top=(190, 22, 18), legs=(62, 22, 16), shoes=(205, 20, 20), pattern=0.45
)

OTHERS = (
    Look(hair=(60, 40, 25), skin=(180, 135, 105), top=(70, 90, 115), legs=(75, 95, 125), shoes=(40, 40, 45)),
    Look(hair=(50, 30, 25), skin=(190, 140, 110), top=(60, 65, 75), legs=(30, 75, 120), shoes=(90, 90, 95)),
    Look(hair=(200, 185, 150), skin=(185, 140, 110), top=(60, 85, 95), legs=(150, 140, 110), shoes=(60, 50, 40)),
    Look(hair=(70, 50, 40), skin=(175, 130, 100), top=(205, 205, 200), legs=(60, 65, 70), shoes=(50, 50, 50)),
    Look(hair=(25, 25, 30), skin=(140, 100, 80), top=(35, 35, 40), legs=(70, 85, 110), shoes=(30, 30, 35)),
)


class Person(NamedTuple):
    """Somebody at a moment: at (`x_m`, `y_m`) on the ground, facing `heading_rad` from x towards y (world frame)."""

    x_m: float
    y_m: float
    heading_rad: float
    walked_m: float
    look: Look


class _Limb(NamedTuple):
    """A rounded cone between two points (forward, left, up; metres from the feet) with the radius at each."""

    start: tuple[float, float, float]
    start_radius_m: float
    end: tuple[float, float, float]
    end_radius_m: float
    colour: Colour
    pattern: float


def draw_person(
    image: np.ndarray, depth_m: np.ndarray, person: Person, camera: Camera, camera_pose: Pose
) -> np.ndarray:
    """Paint a person over whatever is farther away.

    Args:
        image: (H, W, 3) uint8 RGB, changed in place.
        depth_m: (H, W) float planar depth, changed in place.
        person: who and where.
        camera: whose image it is.
        camera_pose: of that camera, world frame.

    Returns:
        (H, W) bool: the pixels that show the person.
    """
    is_person = np.zeros(depth_m.shape, bool)
    for limb in _limbs(person.look, 2 * math.pi * person.walked_m / STRIDE_M):
        _draw_limb(image, depth_m, is_person, limb, person, camera, camera_pose)
    return is_person


def _limbs(look: Look, phase_rad: float) -> list[_Limb]:
    """A body in the middle of its gait; 1.75 m tall."""
    limbs = [
        _Limb((0.0, 0.0, 0.82), 0.21, (0.0, 0.0, 1.12), 0.16, look.top, look.pattern),
        _Limb((0.0, 0.0, 1.12), 0.16, (0.0, 0.0, 1.34), 0.19, look.top, look.pattern),
        _Limb((0.05, 0.0, 1.59), 0.10, (0.05, 0.0, 1.62), 0.10, look.skin, 0.1),
        _Limb((-0.05, 0.0, 1.62), 0.13, (-0.08, 0.0, 1.45), 0.15, look.hair, 0.35),
    ]
    for side, leg_rad in ((1, phase_rad), (-1, phase_rad + math.pi)):
        swing, lift = 0.33 * math.sin(leg_rad), 0.16 * max(math.cos(leg_rad), 0.0)
        knee = (0.6 * swing + lift, side * 0.09, 0.47 + 0.3 * lift)
        ankle = (swing, side * 0.09, 0.08 + lift)
        toe = (swing + 0.16, side * 0.1, 0.04 + 0.6 * lift)
        elbow = (-0.3 * swing, side * 0.25, 1.08)
        hand = (-0.6 * swing, side * 0.27, 0.82)
        limbs += [
            _Limb((0.0, side * 0.09, 0.88), 0.11, knee, 0.075, look.legs, 0.3),
            _Limb(knee, 0.075, ankle, 0.055, look.legs, 0.3),
            _Limb(ankle, 0.055, toe, 0.045, look.shoes, 0.1),
            _Limb((0.0, side * 0.2, 1.36), 0.055, elbow, 0.045, look.skin, 0.1),
            _Limb(elbow, 0.045, hand, 0.04, look.skin, 0.1),
        ]
    return limbs


def _draw_limb(
    image: np.ndarray,
    depth_m: np.ndarray,
    is_person: np.ndarray,
    limb: _Limb,
    person: Person,
    camera: Camera,
    camera_pose: Pose,
) -> None:
    start = project(_world(limb.start, person), camera, camera_pose)
    end = project(_world(limb.end, person), camera, camera_pose)
    if start is None or end is None:
        return
    centres_px = np.array([start[:2], end[:2]])
    radii_m = np.array([limb.start_radius_m, limb.end_radius_m])
    radii_px = radii_m * camera.focal_px / np.array([start.depth_m, end.depth_m])
    size_px = np.array([camera.image_width_px, camera.image_px])
    left, top = np.clip(np.floor((centres_px - radii_px[:, None]).min(axis=0)), 0, size_px).astype(int)
    right, bottom = np.clip(np.ceil((centres_px + radii_px[:, None]).max(axis=0)), 0, size_px).astype(int)
    if left >= right or top >= bottom:
        return
    window = (slice(top, bottom), slice(left, right))
    rows, columns = np.mgrid[window]
    # Distance of each pixel's centre from the limb's axis, and how far along the axis it lies (0 start, 1 end).
    axis = centres_px[1] - centres_px[0]
    u_px, v_px = columns + 0.5 - centres_px[0, 0], rows + 0.5 - centres_px[0, 1]
    along = np.clip((u_px * axis[0] + v_px * axis[1]) / max(float(axis @ axis), 1e-9), 0.0, 1.0)
    aside_px, below_px = u_px - along * axis[0], v_px - along * axis[1]
    radius_px = radii_px[0] + along * (radii_px[1] - radii_px[0])
    bulge = 1.0 - (aside_px**2 + below_px**2) / radius_px**2
    height_m = radii_m[0] + along * (radii_m[1] - radii_m[0])
    surface_m = start.depth_m + along * (end.depth_m - start.depth_m)
    surface_m -= height_m * np.sqrt(np.maximum(bulge, 0.0))
    is_seen = (bulge > 0) & (surface_m < depth_m[window])
    noise = _NOISE[(along * 12).astype(int) % 32, (aside_px / radius_px * 5).astype(int) % 32]
    sun = 0.72 + 0.28 * aside_px / radius_px - 0.15 * below_px / radius_px  # from the right and above
    light = np.clip(sun * (1.0 + limb.pattern * noise), 0.15, 1.2)[..., None]
    painted = np.clip(np.array(limb.colour) * light, 0, 255).astype(np.uint8)
    image[window][is_seen] = painted[is_seen]
    depth_m[window][is_seen] = surface_m[is_seen]
    is_person[window] |= is_seen


def _world(point: tuple[float, float, float], person: Person) -> np.ndarray:
    forward, left, up = point
    cos, sin = math.cos(person.heading_rad), math.sin(person.heading_rad)
    return np.array([person.x_m + forward * cos - left * sin, person.y_m + forward * sin + left * cos, up])

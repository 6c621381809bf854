"""A short drawn sequence that looks enough like QuadSim for a network trained on QuadSim's frames.

For machines without the recorded dataset; each frame comes with exact depth and the hero's true position.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from server.geometry import QUADSIM_CAMERA, Camera, Pose
from tools.simulator.figures import HERO, OTHERS, Person, draw_person
from tools.simulator.frames import rays_world

FRAME_PERIOD_S = 0.2
WALKING_SPEED_M_S = 1.485
SWEEP_DEG_S = 35.0
CAMERA_HEIGHT_M, CAMERA_PITCH_DEG = 3.2, 30.0
NEAREST_M, FARTHEST_M = 3.0, 5.0
"""How far behind the hero the camera is, over ground."""

_HALF_PATH_M = 2.0
_SLAB_LENGTH_M, _SLAB_WIDTH_M = 0.8, 0.45
_WALL_X_M, _WALL_HEIGHT_M = 45.0, 6.0
_OTHERS_COUNT = 8
_GRASS, _WALL, _SKY = (66, 120, 3), (128, 84, 70), (150, 185, 225)


class DrawnFrame(NamedTuple):
    """One frame of the sequence.

    Args:
        image: (256, 256, 3) uint8 RGB.
        depth_m: (256, 256) float, planar depth in metres, infinite for the sky.
        gimbal_pose: the camera's, world frame.
        hero_position_m: (3,) float, middle of the hero's body, world frame, whether in sight or not.
        hero_px: how many pixels show the hero.
    """

    image: np.ndarray
    depth_m: np.ndarray
    gimbal_pose: Pose
    hero_position_m: np.ndarray
    hero_px: int


def draw_sequence(frame_count: int = 60, seed: int = 0) -> list[DrawnFrame]:
    """A quad that looks around, finds the hero, follows, and looks away again, at 5 Hz.

    The camera turns towards the hero in the first sixth of the frames and away in the last quarter. In between the
    hero walks away, comes back, and walks away again with the camera behind. About 20 ms a frame.

    Args:
        frame_count: how many frames; 60 are 12 s.
        seed: of the ground's texture and of where the other people are.

    Raises:
        ValueError: if `frame_count` is less than 12.
    """
    if frame_count < 12:
        raise ValueError(f"expected a frame_count of at least 12, got {frame_count}")
    place = _Place(np.random.default_rng(seed))
    found_at, left_at = frame_count // 6, frame_count - frame_count // 4
    hero_x_m, walked_m, camera_x_m = NEAREST_M, 0.0, 0.0
    is_coming = False
    frames = []
    for index in range(frame_count):
        frames_off = max(found_at - index, index - left_at, 0)
        yaw_deg = frames_off * SWEEP_DEG_S * FRAME_PERIOD_S
        pose = Pose(camera_x_m, 0.0, CAMERA_HEIGHT_M, 0.0, CAMERA_PITCH_DEG, yaw_deg)
        hero = Person(hero_x_m, 0.0, math.pi if is_coming else 0.0, walked_m, HERO)
        frames.append(place.draw(hero, pose, elapsed_s=index * FRAME_PERIOD_S))
        if frames_off:
            continue
        step_m = WALKING_SPEED_M_S * FRAME_PERIOD_S
        walked_m += step_m
        hero_x_m += -step_m if is_coming else step_m
        distance_m = hero_x_m - camera_x_m
        if is_coming:
            is_coming = distance_m > NEAREST_M + step_m
        elif index < frame_count // 2:
            is_coming = distance_m > FARTHEST_M
        else:
            camera_x_m += min(step_m, distance_m - NEAREST_M)
    return frames


class _Place:
    """A lawn with a paved path along x, a wall at its end, and people beside the path; textures and people by `rng`."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.grass = cv2.GaussianBlur(rng.normal(0.0, 1.0, (256, 256)), (3, 3), 0) * 0.25
        self.slabs = np.clip(rng.normal(178.0, 25.0, (64, 64)), 120.0, 245.0)
        sides = rng.choice([-1.0, 1.0], _OTHERS_COUNT)
        self.others = [
            Person(
                x_m=rng.uniform(4.0, 24.0),
                y_m=side * rng.uniform(1.8, 7.0),
                heading_rad=rng.choice([0.0, math.pi]) + rng.uniform(-0.3, 0.3),
                walked_m=rng.uniform(0.0, 1.0),
                look=OTHERS[index % len(OTHERS)],
            )
            for index, side in enumerate(sides)
        ]

    def draw(self, hero: Person, pose: Pose, elapsed_s: float) -> DrawnFrame:
        """The place with everybody in it, `elapsed_s` after the start."""
        image, depth_m = self._background(QUADSIM_CAMERA, pose)
        way_m = elapsed_s * WALKING_SPEED_M_S
        for person in self.others:
            walking = person._replace(
                x_m=person.x_m + way_m * math.cos(person.heading_rad),
                y_m=person.y_m + way_m * math.sin(person.heading_rad),
                walked_m=person.walked_m + way_m,
            )
            draw_person(image, depth_m, walking, QUADSIM_CAMERA, pose)
        hero_px = int(np.count_nonzero(draw_person(image, depth_m, hero, QUADSIM_CAMERA, pose)))
        return DrawnFrame(image, depth_m, pose, np.array([hero.x_m, hero.y_m, 0.9]), hero_px)

    def _background(self, camera: Camera, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        rays = rays_world(camera, pose)
        with np.errstate(divide="ignore", invalid="ignore"):
            to_ground_m = -pose.z_m / rays[..., 2]
            to_wall_m = (_WALL_X_M - pose.x_m) / rays[..., 0]
        to_ground_m = np.where(to_ground_m > 0, to_ground_m, np.inf)
        wall_top = pose.z_m + np.where(to_wall_m > 0, to_wall_m, np.inf) * rays[..., 2]
        is_wall = (to_wall_m > 0) & (to_wall_m < to_ground_m) & (wall_top < _WALL_HEIGHT_M)
        is_ground = np.isfinite(to_ground_m) & ~is_wall
        depth_m = np.where(is_wall, to_wall_m, np.where(is_ground, to_ground_m, np.inf))
        image = np.empty((*depth_m.shape, 3), np.uint8)
        image[:] = _SKY
        image[is_wall] = _WALL
        reach_m = to_ground_m[is_ground]
        image[is_ground] = self._ground_colours(
            pose.x_m + reach_m * rays[is_ground][:, 0], pose.y_m + reach_m * rays[is_ground][:, 1]
        )
        return image, depth_m

    def _ground_colours(self, x_m: np.ndarray, y_m: np.ndarray) -> np.ndarray:
        """(N, 3) uint8: paving near y = 0, grass elsewhere."""
        blades = self.grass[(x_m * 25).astype(int) % 256, (y_m * 25).astype(int) % 256]
        tufts = self.grass[(x_m * 3).astype(int) % 256, (y_m * 3).astype(int) % 256]
        grass = np.array(_GRASS) * (1.0 + blades + 0.5 * tufts)[:, np.newaxis]
        row = np.floor(y_m / _SLAB_WIDTH_M)
        along = x_m / _SLAB_LENGTH_M + 0.5 * (row % 2)
        slab = self.slabs[along.astype(int) % 64, row.astype(int) % 64] * (1.0 + 0.2 * blades)
        is_joint = (np.abs(along % 1 - 0.5) > 0.48) | (np.abs(y_m / _SLAB_WIDTH_M - row - 0.5) > 0.46)
        grey = np.where(is_joint, 0.7 * slab, slab)[:, np.newaxis] * np.array([1.0, 0.99, 0.97])
        is_path = (np.abs(y_m) < _HALF_PATH_M)[:, np.newaxis]
        return np.clip(np.where(is_path, grey, grass), 0, 255).astype(np.uint8)

"""Cameras and frames of reference: where a pixel lies in the world, and back.

Frames, all right-handed, metres:
    world   QuadSim's ROS world: x forward, y left, z up.
    camera  x along the optical axis, y left, z up.
    image   pixels, u right, v down, origin at the upper left corner; the centre of pixel (row r, column c) is
            (u, v) = (c + 0.5, r + 0.5).

Depth is planar: the distance along the optical axis, as QuadSim's depth image holds it, not the ray's length.
The per-frame functions use plain floats: numpy's call overhead on three numbers is most of its cost.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np

from server.wire.messages import Pose

# A point nearer to the camera's plane than this counts as not in view: near a depth of zero, its pixel is infinite.
SMALLEST_DEPTH_M = 0.001
# Accepted ranges, wider than for any real camera. Far outside these ranges, focal lengths and depths are not finite,
# and a histogram of tiny depth steps, or a picture for the page of a recording, takes gigabytes.
LARGEST_HEIGHT_PX, LARGEST_WIDTH_PX = 2048, 8192
FIELDS_OF_VIEW_DEG = (1.0, 179.0)
FAR_LIMITS_M = (1.0, 10_000.0)
FARTHEST_GROUND_M = 1e6  # the limit of a pose's coordinates, too

Pixels = TypeVar("Pixels", float, np.ndarray)


class ImagePoint(NamedTuple):
    """A point as the camera sees it: continuous pixel coordinates and planar depth in metres."""

    u_px: float
    v_px: float
    depth_m: float


@dataclass(frozen=True)
class Camera:
    """Pinhole camera with square pixels; axes x forward, y left, z up (ROS).

    Args:
        image_px: height of the image.
        vertical_fov_deg: angle between the image's upper and lower edge.
        far_m: depth that the depth image's value 255 stands for: nothing is nearer than this.
        width_px: width of the image; None for a square image, as QuadSim's are.
        has_depth: whether the depth images are used.
        ground_z_m: z of flat ground in the world, on which people are assumed to stand in images without depth.

    Raises:
        ValueError: if the height is not 1 to 2048, the width not 1 to 8192, the angle not 1° to 179°, `far_m` not 1 to
            10,000 m, or `ground_z_m` not within ± 1,000 km.
    """

    image_px: int = 256
    vertical_fov_deg: float = 60.0
    far_m: float = 100.0
    width_px: int | None = None
    has_depth: bool = True
    ground_z_m: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.image_px <= LARGEST_HEIGHT_PX:
            raise ValueError(f"expected image_px of 1 to {LARGEST_HEIGHT_PX}, got {self.image_px}")
        if self.width_px is not None and not 1 <= self.width_px <= LARGEST_WIDTH_PX:
            raise ValueError(f"expected width_px of 1 to {LARGEST_WIDTH_PX}, or None, got {self.width_px}")
        smallest_deg, largest_deg = FIELDS_OF_VIEW_DEG
        if not smallest_deg <= self.vertical_fov_deg <= largest_deg:
            raise ValueError(
                f"expected vertical_fov_deg of {smallest_deg:g} to {largest_deg:g}, got {self.vertical_fov_deg}"
            )
        nearest_m, farthest_m = FAR_LIMITS_M
        if not nearest_m <= self.far_m <= farthest_m:
            raise ValueError(f"expected far_m of {nearest_m:g} to {farthest_m:g}, got {self.far_m}")
        if not abs(self.ground_z_m) <= FARTHEST_GROUND_M:
            raise ValueError(f"expected ground_z_m within ±{FARTHEST_GROUND_M:g}, got {self.ground_z_m}")

    @property
    def image_width_px(self) -> int:
        """Width of the image."""
        return self.image_px if self.width_px is None else self.width_px

    @property
    def focal_px(self) -> float:
        """Focal length, the same for u and v: f = (H/2) / tan(fov/2), 221.70 px for QuadSim."""
        return self.image_px / 2 / math.tan(math.radians(self.vertical_fov_deg) / 2)

    def of_shape(self, width_px: int, height_px: int) -> "Camera":
        """This camera with the width that fits the aspect of a received image; its height in pixels stays."""
        if width_px == height_px:
            return self
        return replace(self, width_px=max(1, round(self.image_px * (width_px / height_px))))


QUADSIM_CAMERA = Camera()


def world_from_camera(pose: Pose) -> np.ndarray:
    """Homogeneous transform of a camera's points into the world.

    Args:
        pose: pose of the camera (QuadSim's `gimbal_pose`), world frame.

    Returns:
        (4, 4) float: `world_from_camera(pose) @ [x, y, z, 1]` takes camera coordinates to world coordinates, metres.

    Source: QuadSim's published source: its angles are Unity's (z, x, y) Euler angles with roll and yaw negated.
    """
    sin_roll, cos_roll = _sin_cos(pose.roll_deg)
    sin_pitch, cos_pitch = _sin_cos(pose.pitch_deg)
    sin_yaw, cos_yaw = _sin_cos(pose.yaw_deg)
    return np.array(
        [
            [
                cos_yaw * cos_pitch,
                cos_yaw * sin_pitch * sin_roll - sin_yaw * cos_roll,
                cos_yaw * sin_pitch * cos_roll + sin_yaw * sin_roll,
                pose.x_m,
            ],
            [
                sin_yaw * cos_pitch,
                sin_yaw * sin_pitch * sin_roll + cos_yaw * cos_roll,
                sin_yaw * sin_pitch * cos_roll - cos_yaw * sin_roll,
                pose.y_m,
            ],
            [-sin_pitch, cos_pitch * sin_roll, cos_pitch * cos_roll, pose.z_m],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def back_project(pixel_px: tuple[float, float], depth_m: float, camera: Camera) -> np.ndarray:
    """Lift one pixel to a point in the camera frame.

    Args:
        pixel_px: (u right, v down), continuous image coordinates; a pixel's centre is at +0.5.
        depth_m: distance along the optical axis, not along the ray.
        camera: whose image it is.

    Returns:
        (3,) float, metres, x forward, y left, z up.

    Raises:
        ValueError: if `depth_m` is not positive and finite.
    """
    if not 0 < depth_m < math.inf:
        raise ValueError(f"expected depth_m positive and finite, got {depth_m}")
    return depth_m * _ray(pixel_px, camera)[:3]


def pixel_to_world(pixel_px: tuple[float, float], depth_m: float, camera: Camera, pose: Pose) -> np.ndarray:
    """Lift one pixel to a point in the world.

    Args:
        pixel_px: (u, v), continuous image coordinates.
        depth_m: distance along the optical axis.
        camera: whose image it is.
        pose: of that camera, world frame.

    Returns:
        (3,) float, metres, ROS world frame.

    Raises:
        ValueError: if `depth_m` is not positive and finite.
    """
    point_camera = back_project(pixel_px, depth_m, camera)
    return (world_from_camera(pose) @ np.append(point_camera, 1.0))[:3]


def ray_direction(pixel_px: tuple[float, float], camera: Camera, pose: Pose) -> np.ndarray:
    """The direction in which a pixel looks, scaled so that it advances one metre of depth.

    Args:
        pixel_px: (u, v), continuous image coordinates.
        camera: whose image it is.
        pose: of that camera, world frame.

    Returns:
        (3,) float, ROS world frame: the pixel at depth d lies at the camera's position + d · direction.
    """
    return (world_from_camera(pose) @ _ray(pixel_px, camera))[:3]


def ray_directions(pixels_px: np.ndarray, camera: Camera, pose: Pose) -> np.ndarray:
    """The `ray_direction` of many pixels: (n, 3) float for (n, 2) of (u, v)."""
    left, up = _left_up(pixels_px[:, 0], pixels_px[:, 1], camera)
    return np.column_stack([np.ones(len(left)), left, up]) @ world_from_camera(pose)[:3, :3].T


def project(point_world: np.ndarray, camera: Camera, pose: Pose) -> ImagePoint | None:
    """Where the camera sees a point of the world; the inverse of `pixel_to_world`.

    Args:
        point_world: (3,) metres, ROS world frame.
        camera: whose image it is.
        pose: of that camera, world frame.

    Returns:
        The point in the image's plane, which may lie outside the image; None if it is not in front of the camera,
        by at least `SMALLEST_DEPTH_M`.
    """
    transform = world_from_camera(pose)
    depth_m, left_m, up_m = transform[:3, :3].T @ (point_world - transform[:3, 3])
    if not depth_m >= SMALLEST_DEPTH_M:
        return None
    scale_px = camera.focal_px / depth_m
    return ImagePoint(
        u_px=float(camera.image_width_px / 2 - left_m * scale_px),
        v_px=float(camera.image_px / 2 - up_m * scale_px),
        depth_m=float(depth_m),
    )


def _ray(pixel_px: tuple[float, float], camera: Camera) -> np.ndarray:
    """A pixel's direction in the camera frame at one metre of depth, (4,) homogeneous (last 0: no translation)."""
    left, up = _left_up(*pixel_px, camera)
    return np.array([1.0, left, up, 0.0])


def _left_up(u_px: Pixels, v_px: Pixels, camera: Camera) -> tuple[Pixels, Pixels]:
    """How far left and up a pixel, or each of many, lies in the camera frame at one metre of depth, metres."""
    focal_px = camera.focal_px
    return (camera.image_width_px / 2 - u_px) / focal_px, (camera.image_px / 2 - v_px) / focal_px


def _sin_cos(angle_deg: float) -> tuple[float, float]:
    angle_rad = math.radians(angle_deg)
    return math.sin(angle_rad), math.cos(angle_rad)

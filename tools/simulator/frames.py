"""The `sensor_frame` event as QuadSim fills it, with C#'s number formats; synthetic depth for images without depth."""

import base64
import time
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from model.images import jpeg_of
from server.sight.geometry import QUADSIM_CAMERA, Camera, world_from_camera
from server.wire.messages import Pose

JPEG_QUALITY = 75


class NumberFormat(NamedTuple):
    """Number format of a locale: `decimal` is the decimal separator, `group` separates thousands."""

    decimal: str
    group: str


LOCALES = {
    "en": NumberFormat(".", ","),
    "de": NumberFormat(",", "."),
    "fr": NumberFormat(",", "\u00a0"),  # .NET Framework and Mono
    "fr-narrow": NumberFormat(",", "\u202f"),  # .NET 5 and newer
    "ch": NumberFormat(".", "'"),
    "ch-curly": NumberFormat(".", "\u2019"),
}


def format_n4(value: float, locale: str = "en") -> str:
    """Format a number as C#'s "N4": four decimals and grouped thousands, with the separators of a locale.

    Raises:
        ValueError: for a locale that is not in `LOCALES`.
    """
    if locale not in LOCALES:
        raise ValueError(f"expected a locale of {sorted(LOCALES)}, got {locale!r}")
    return f"{value:,.4f}".translate({ord(","): LOCALES[locale].group, ord("."): LOCALES[locale].decimal})


def format_pose(pose: Pose, locale: str = "en") -> str:
    """Format a pose as `"x,y,z,roll,pitch,yaw"`, metres and degrees; with a decimal comma that gives twelve fields."""
    return ",".join(format_n4(value, locale) for value in pose)


def unity_angles(pose: Pose) -> Pose:
    """Express the angles of a pose as QuadSim does: (−e_z, e_x, −e_y) of Unity's angles e in [0°, 360°)."""
    roll_deg, pitch_deg, yaw_deg = pose[3:]
    return pose._replace(roll_deg=-(-roll_deg % 360.0), pitch_deg=pitch_deg % 360.0, yaw_deg=-(-yaw_deg % 360.0))


def format_timestamp(timestamp_s: float, locale: str = "en") -> str:
    """Format seconds since 1970 with C#'s 15 significant digits: five decimals, without trailing zeros."""
    return f"{timestamp_s:.15g}".replace(".", LOCALES[locale].decimal)


def encode_jpeg(image: np.ndarray) -> bytes:
    """Encode an RGB image, (H, W, 3) uint8, with QuadSim's JPEG quality."""
    return jpeg_of(Image.fromarray(image), JPEG_QUALITY)


def encode_depth_png(depth_m: np.ndarray, far_m: float) -> bytes:
    """Encode planar depth as QuadSim's RGBA PNG: R = G = B = round(255 · depth / far), A = 255.

    Args:
        depth_m: (H, W) float; values beyond `far_m`, infinite or NaN mean "nothing" and become 255.
        far_m: depth of the value 255.
    """
    grey = depth_to_grey(depth_m, far_m)
    ok, png = cv2.imencode(".png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not ok:
        raise ValueError(f"expected a (H, W) depth image, got shape {depth_m.shape}")
    return png.tobytes()


def depth_to_grey(depth_m: np.ndarray, far_m: float) -> np.ndarray:
    """Convert planar depth to eight bits: (H, W) uint8, round(255 · depth / far).

    Args:
        depth_m: (H, W) float; values beyond `far_m`, infinite or NaN mean "nothing" and become 255.
        far_m: depth of the value 255.
    """
    scaled = np.nan_to_num(255.0 * depth_m / far_m, nan=255.0, posinf=255.0)
    return np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def sensor_frame_fields(
    image: np.ndarray | bytes,
    depth: np.ndarray | bytes | None,
    gimbal_pose: Pose,
    *,
    pose: Pose | None = None,
    timestamp_s: float | None = None,
    locale: str = "en",
) -> dict[str, str]:
    """Make the argument of a `sensor_frame` event, for `QuadSimClient.send_frame`.

    Args:
        image: (H, W, 3) uint8 RGB, or the bytes of a JPEG file, which are sent unchanged.
        depth: (H, W) float planar depth in metres, infinite where there is nothing; or the bytes of a PNG file; or
            None for a frame without a depth image.
        gimbal_pose: pose of the camera, world frame.
        pose: pose of the quad, world frame; None: level, at the camera's position.
        timestamp_s: seconds since 1970; None: now.
        locale: locale of QuadSim's machine, a key of `LOCALES`.

    Returns:
        Strings by field name, in QuadSim's order.
    """
    level_pose = gimbal_pose._replace(roll_deg=0.0, pitch_deg=0.0)
    jpeg = image if isinstance(image, bytes) else encode_jpeg(image)
    fields = {
        "timestamp": format_timestamp(time.time() if timestamp_s is None else timestamp_s, locale),
        "pose": format_pose(level_pose if pose is None else pose, locale),
        "gimbal_pose": format_pose(gimbal_pose, locale),
        "rgb_image": base64.b64encode(jpeg).decode("ascii"),
    }
    if depth is not None:
        png = depth if isinstance(depth, bytes) else encode_depth_png(depth, QUADSIM_CAMERA.far_m)
        fields["depth_image"] = base64.b64encode(png).decode("ascii")
    return fields


def ground_depth_m(camera: Camera, camera_pose: Pose, *, ground_z_m: float = 0.0) -> np.ndarray:
    """Planar depth of flat ground.

    Args:
        camera: the camera.
        camera_pose: pose of the camera, world frame.
        ground_z_m: height of the ground, world frame.

    Returns:
        (H, W) float, metres; infinite above the horizon.
    """
    climb = rays_world(camera, camera_pose)[..., 2]
    drop_m = ground_z_m - camera_pose.z_m
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_m = drop_m / climb
    return np.where(depth_m > 0, depth_m, np.inf)


def put_people_on_ground(depth_m: np.ndarray, is_person: np.ndarray, camera: Camera, camera_pose: Pose) -> np.ndarray:
    """Add upright people to the depth of the ground: each blob becomes a vertical plane at its lowest pixel.

    Args:
        depth_m: (H, W) float, depth of the ground.
        is_person: (H, W) bool; touching blobs are the same person, blobs above the horizon are ignored.
        camera: the camera.
        camera_pose: pose of the camera, world frame.

    Returns:
        (H, W) float, metres.
    """
    with_people_m = depth_m.copy()
    rays = rays_world(camera, camera_pose)
    count, labels = cv2.connectedComponents(is_person.astype(np.uint8), connectivity=8)
    for label in range(1, count):
        rows, columns = np.nonzero(labels == label)
        feet = rows[-1], int(np.median(columns[rows == rows[-1]]))
        if not np.isfinite(depth_m[feet]):
            continue
        # The normal of the plane is the horizontal direction to the feet: its points p fulfil normal · p = distance.
        normal = rays[feet][:2] / np.linalg.norm(rays[feet][:2])
        distance_m = depth_m[feet] * rays[feet][:2] @ normal
        with_people_m[rows, columns] = distance_m / (rays[rows, columns, :2] @ normal)
    return with_people_m


def rays_world(camera: Camera, camera_pose: Pose) -> np.ndarray:
    """Rays through the centres of the pixels.

    Args:
        camera: the camera.
        camera_pose: pose of the camera, world frame.

    Returns:
        (H, W, 3) float, world frame: a pixel of depth d shows the point camera position + d · ray.
    """
    return rays_camera(camera) @ world_from_camera(camera_pose)[:3, :3].T


def rays_camera(camera: Camera) -> np.ndarray:
    """Rays through the centres of the pixels, (H, W, 3) float, camera frame: a pixel of depth d shows d · ray."""
    u_px = np.arange(camera.image_width_px) + 0.5
    v_px = np.arange(camera.image_px) + 0.5
    left = (camera.image_width_px / 2 - u_px) / camera.focal_px
    up = (camera.image_px / 2 - v_px) / camera.focal_px
    return np.stack(np.broadcast_arrays(np.float64(1.0), left[np.newaxis, :], up[:, np.newaxis]), axis=-1)

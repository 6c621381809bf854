"""The distance of a person without a measured depth: from their feet on the ground, and from their apparent height.

Both methods find the distance over ground and return it as the planar depth of the body's middle. Each also returns its
standard deviation, with which the two are fused and which the tracker uses.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from model.profile import Profile
from server.sight.geometry import Camera, ray_direction
from server.wire.messages import Pose

STEEPEST_SIZED_VIEW_DEG = 60.0  # below the horizon; the height of a person seen from above can't be measured
EDGE_PX = 0.5  # a box closer than this to the image's edge may be cut off by it
# Standard deviations: of the lowest row of a person's pixels, in rows of the network; of the ground's height under a
# person's feet, around the given height.
ROW_STD_PX, GROUND_STD_M = 1.0, 0.15


class Outline(NamedTuple):
    """The outline of a body in the camera image, continuous pixel coordinates.

    `row_px` is the height of one row of the network's pixels.
    """

    centroid_px: tuple[float, float]
    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    row_px: float = 1.0


class Range(NamedTuple):
    """Planar depth of the middle of a person, and its standard deviation, metres."""

    depth_m: float
    std_m: float


def by_height(body: Outline, camera: Camera, pose: Pose, profile: Profile) -> Range | None:
    """The depth at which an upright target of average height fills its box from top to bottom.

    With s = rise over run of the rays through head and feet, both at the same distance over ground:
    distance = height / (s_head − s_feet).

    Returns:
        None for a target that is not upright, if the image's edge may cut the person off, for a view from above, and
        for a depth beyond `far_m` (the figure is too small to be measured, or the camera is rolled on its side).
    """
    if not profile.is_upright or body.top_px < EDGE_PX or body.bottom_px > camera.image_px - EDGE_PX:
        return None
    middle_px = (body.left_px + body.right_px) / 2
    head_slope = _slope((middle_px, body.top_px), camera, pose)
    feet_slope = _slope((middle_px, body.bottom_px), camera, pose)
    if feet_slope < -math.tan(math.radians(STEEPEST_SIZED_VIEW_DEG)):
        return None
    run = (head_slope - feet_slope) * _run(body.centroid_px, camera, pose)
    if not run > profile.height_m / camera.far_m:
        return None
    depth_m = profile.height_m / run
    return Range(depth_m, profile.height_std * depth_m)


def by_ground(body: Outline, camera: Camera, pose: Pose, profile: Profile) -> Range | None:
    """The depth of a person whose feet are on flat ground at `camera.ground_z_m`.

    distance = drop from the camera to the ground / steepness of the ray through the feet.

    The ray through the feet is steeper than that through the head. So the feet are at the box's lower edge, but at its
    upper edge if the camera looks beyond the point straight below it.

    Returns:
        None if the image's edge may cut the feet off, if the feet are at or above the horizon, if the camera is
        straight above the person, and for a depth beyond `far_m`.
    """
    drop_m = pose.z_m - camera.ground_z_m
    if drop_m <= 0:
        return None
    middle_px = (body.left_px + body.right_px) / 2

    def steepness_at(v_px: float) -> float:
        return -_slope((middle_px, v_px), camera, pose)

    lower, upper, row_px = steepness_at(body.bottom_px), steepness_at(body.top_px), ROW_STD_PX * body.row_px
    if lower >= upper:
        steepness, feet_px, nearer_to_head = lower, body.bottom_px, steepness_at(body.bottom_px - row_px)
    else:
        steepness, feet_px, nearer_to_head = upper, body.top_px, steepness_at(body.top_px + row_px)
    if not EDGE_PX <= feet_px <= camera.image_px - EDGE_PX:
        return None
    run = _run(body.centroid_px, camera, pose)
    if not steepness > max(nearer_to_head, drop_m / (camera.far_m * run)):
        return None
    distance_m = drop_m / steepness
    # The steepness one row nearer to the head gives the error of one row. It grows with the square of the distance.
    by_row_m = distance_m * (steepness - nearer_to_head) / steepness
    by_ground_m = distance_m * GROUND_STD_M / drop_m
    # The feet in the image are not straight below the body's middle. On a steep ray, this makes the depth wrong by
    # 1 / run times as much. `Place.std_m` already includes it once; this is the rest.
    by_middle_m = profile.centroid_std_m * math.sqrt(max(0.0, 1.0 - run * run))
    return Range(distance_m / run, math.hypot(by_row_m, by_ground_m, by_middle_m) / run)


def fused(ranges: Sequence[Range | None]) -> Range | None:
    """The mean of ranges, weighted by their inverse variances; None without a range.

    If the ranges differ by more than their standard deviations explain, one of them is wrong, and it is not known
    which. Then the resulting standard deviation is scaled up to match their difference.
    Source: Particle Data Group, Review of Particle Physics, 5.2.2 (scale factor).
    """
    known = [each for each in ranges if each is not None]
    if not known:
        return None
    weights = [1 / each.std_m**2 for each in known]
    depth_m = sum(weight * each.depth_m for weight, each in zip(weights, known, strict=True)) / sum(weights)
    misfit = sum(weight * (each.depth_m - depth_m) ** 2 for weight, each in zip(weights, known, strict=True))
    scale = math.sqrt(max(1.0, misfit / max(1, len(known) - 1)))
    return Range(depth_m, scale / math.sqrt(sum(weights)))


def _run(pixel_px: tuple[float, float], camera: Camera, pose: Pose) -> float:
    """Distance over ground for each metre of planar depth along a pixel's ray."""
    east, north, _ = ray_direction(pixel_px, camera, pose).tolist()
    return math.hypot(east, north)


def _slope(pixel_px: tuple[float, float], camera: Camera, pose: Pose) -> float:
    """Rise over run of a pixel's ray; infinite straight up or down."""
    east, north, up = ray_direction(pixel_px, camera, pose).tolist()
    run = math.hypot(east, north)
    return up / run if run > 0 else math.copysign(math.inf, up)

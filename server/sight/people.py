"""From the hero's mask to points in the world: which blobs, how deep, where, and how sure.

`find_people` is `largest_blobs`, which needs the mask only, and then `locate`, which needs the depth image as well.
Masks come at the network's resolution, depth at the camera's; both cover the same view.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from model.card import Card
from model.scoring import threshold
from server.sight.geometry import QUADSIM_CAMERA, Camera, Pose, pixel_to_world, ray_direction

NOTHING_WITHIN_FAR = 255
MOST_BLOBS = 5  # of a frame: a smaller one is hardly the hero, and each costs some 50 µs
PERSON_HEIGHT_M = 1.75
BODY_DEPTH_M = 0.5  # from back to the tip of a stride
MIN_BODY_SHARE = 0.25  # of a blob's samples; fewer at one depth are background that shines through, not the body
CENTROID_STD_M = 0.1  # limbs, half-hidden bodies and ragged masks move the centroid about within the body
DIRECTION_STD_PX = 1.0  # in the camera's image, of a blob's centroid
APPARENT_SIZE_STD = 0.2  # relative: people's heights, postures, parts hidden
LEAST_BODY_M2 = 0.1  # of a convincing sighting; a whole hero shows 0.25 to 0.5 m²
# Largest 1 − confidence of a convincing sighting: near the camera, where 95 % of the hero's have at most 0.04, and per
# metre of distance. At 30 m the hero's quartiles are 0.03 and 0.13, those of others 0.14 and 0.39.
NEAR_DOUBT, DOUBT_PER_M = 0.05, 0.0025
STEEPEST_SIZED_VIEW_DEG = 60.0  # below the horizon; a person seen from above has no height to measure


class Box(NamedTuple):
    """A rectangle in the camera's image, continuous pixel coordinates."""

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float


class Blob(NamedTuple):
    """A connected part of the hero's mask.

    `area_px` counts the network's pixels. `centroid_px`, `feet_px` (the middle of the lowest row's lower edge) and
    `box_px` are continuous coordinates of the camera's image. `rows` and `columns`, each (area_px,), are the blob's
    pixels in the mask, whose (height, width) is `mask_shape`.
    """

    area_px: int
    centroid_px: tuple[float, float]
    feet_px: tuple[float, float]
    box_px: Box
    rows: np.ndarray
    columns: np.ndarray
    mask_shape: tuple[int, int]

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: this blob alone, at the network's resolution."""
        mask = np.zeros(self.mask_shape, dtype=bool)
        mask[self.rows, self.columns] = True
        return mask


class Place(NamedTuple):
    """Where in the world something was seen.

    `position_m` is (x, y, z) in the ROS world frame: the centre of the visible part, on the surface that faces the
    camera. `std_m` is its standard deviation to expect along each axis. `depth_m` is planar, from the camera. `area_m2`
    is the visible part's, seen from the camera.
    """

    position_m: tuple[float, float, float]
    std_m: float
    depth_m: float
    area_m2: float


class Sighting(NamedTuple):
    """Somebody seen in one frame who may be the hero.

    `centroid_px`, `feet_px` and `box_px` as in `Blob`. `confidence` is the mean of the blob's probabilities, 0 to 1.
    `place` is None where the frame does not tell how far away they are.
    """

    centroid_px: tuple[float, float]
    feet_px: tuple[float, float]
    box_px: Box
    area_px: int
    confidence: float
    place: Place | None = None

    @property
    def is_convincing(self) -> bool:
        """Whether it is a good part of a body, and the network as sure of it as of the hero at that distance.

        Near the camera, nearly all false alarms are somebody's hair or shoe, or a stain on a wall; far away they are
        people of whom the network is half sure. A sighting without a place must be as sure as a near one.
        """
        doubt = 1 - self.confidence
        if self.place is None:
            return doubt <= NEAR_DOUBT
        return self.place.area_m2 >= LEAST_BODY_M2 and doubt <= max(NEAR_DOUBT, DOUBT_PER_M * self.place.depth_m)


def find_people(
    hero: np.ndarray,
    depth_255: np.ndarray,
    camera: Camera,
    pose: Pose,
    above_255: int = Card.hero_threshold_255,
    min_blob_px: int = Card.min_blob_px,
) -> tuple[Sighting, ...]:
    """Find who may be the hero in one frame and place them in the world.

    Args:
        hero: (H, W) float, the hero's probabilities at the network's resolution.
        depth_255: (D, E) uint8, round(255 · depth / far); 255 is nothing within far.
        camera: that took both.
        pose: of that camera, world frame.
        above_255: a pixel may be the hero's where its probability is above this many 255ths.
        min_blob_px: smallest blob to believe, in the mask's pixels.

    Returns:
        A sighting for each blob that is large enough, the largest first, at most `MOST_BLOBS`.

    Raises:
        ValueError: as `largest_blobs` and `locate`.
    """
    blobs = largest_blobs(threshold(hero, above_255), min_blob_px, camera)
    return tuple(
        Sighting(
            blob.centroid_px,
            blob.feet_px,
            blob.box_px,
            blob.area_px,
            confidence=float(hero[blob.rows, blob.columns].mean()),
            place=locate(blob, depth_255, camera, pose),
        )
        for blob in blobs
    )


def largest_blobs(hero_mask: np.ndarray, min_px: int = Card.min_blob_px, camera: Camera = QUADSIM_CAMERA) -> list[Blob]:
    """The largest 8-connected parts of the mask.

    Args:
        hero_mask: (H, W) bool, at the network's resolution.
        min_px: smallest area to believe, in the mask's pixels.
        camera: whose image the mask covers; the blobs' coordinates are this image's.

    Returns:
        At most `MOST_BLOBS` blobs of at least `min_px`, the largest first, equally large ones from the top.

    Raises:
        ValueError: if the mask is not 2-D bool or `min_px` not positive.
    """
    if hero_mask.ndim != 2 or hero_mask.dtype != np.bool_:
        raise ValueError(f"expected hero_mask (H, W) bool, got {hero_mask.shape} {hero_mask.dtype}")
    if min_px < 1:
        raise ValueError(f"expected min_px of at least 1, got {min_px}")
    if np.count_nonzero(hero_mask) < min_px:
        return []
    pixels = np.ascontiguousarray(hero_mask).view(np.uint8)
    # Labelling only the part where anything is: 5 to 20 µs instead of 170 µs at 160 px. Spaghetti labelling, because
    # the default one starts threads, which on a busy machine now and then takes 5 ms.
    crop_left, crop_top, crop_width, crop_height = cv2.boundingRect(pixels)
    crop = pixels[crop_top : crop_top + crop_height, crop_left : crop_left + crop_width]
    _, labels, stats, centroids = cv2.connectedComponentsWithStatsWithAlgorithm(
        crop, connectivity=8, ltype=cv2.CV_32S, ccltype=cv2.CCL_SPAGHETTI
    )
    u_scale = camera.image_width_px / hero_mask.shape[1]
    v_scale = camera.image_px / hero_mask.shape[0]
    by_area = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    blobs = []
    for label in by_area[:MOST_BLOBS].tolist():
        left, top, width, height, area_px = stats[label].tolist()
        if area_px < min_px:
            break
        rows, columns = np.nonzero(labels[top : top + height, left : left + width] == label)
        feet_column = columns[rows == height - 1].mean().item()
        centroid_column, centroid_row = centroids[label].tolist()
        left += crop_left
        top += crop_top
        blobs.append(
            Blob(
                area_px=area_px,
                centroid_px=(
                    (crop_left + centroid_column + 0.5) * u_scale,
                    (crop_top + centroid_row + 0.5) * v_scale,
                ),
                feet_px=((left + feet_column + 0.5) * u_scale, (top + height) * v_scale),
                box_px=Box(left * u_scale, top * v_scale, (left + width) * u_scale, (top + height) * v_scale),
                rows=rows + top,
                columns=columns + left,
                mask_shape=(hero_mask.shape[0], hero_mask.shape[1]),
            )
        )
    return blobs


def locate(blob: Blob, depth_255: np.ndarray, camera: Camera, pose: Pose) -> Place | None:
    """Place a blob in the world.

    The depth is the body's as the depth image shows it, without the occluders in front and the background that shines
    through at the blob's border. Where the depth image has nothing within range, or nothing but zeros, a whole and
    upright person's apparent height gives the distance, to some 20 %.

    Args:
        blob: from `largest_blobs`, with the same camera.
        depth_255: (D, E) uint8, round(255 · depth / far), of any size; 255 is nothing within far.
        camera: that took it.
        pose: of that camera, world frame.

    Returns:
        The place; None where neither the depth image nor the apparent height tells how far away it is.

    Raises:
        ValueError: if the depth image is not 2-D uint8.
    """
    if depth_255.ndim != 2 or depth_255.dtype != np.uint8:
        raise ValueError(f"expected depth_255 (D, E) uint8, got {depth_255.shape} {depth_255.dtype}")
    depth_m = _body_depth_m(_samples(blob, depth_255), camera, pose)
    depth_std_m = camera.far_m / 255 / math.sqrt(12)
    if depth_m is None:
        depth_m = _depth_of_person_m(blob, camera, pose)
        depth_std_m = APPARENT_SIZE_STD * (depth_m or 0.0)
    if depth_m is None:
        return None
    pixel_m = depth_m / camera.focal_px
    x_m, y_m, z_m = pixel_to_world(blob.centroid_px, depth_m, camera, pose).tolist()
    return Place(
        position_m=(x_m, y_m, z_m),
        std_m=math.hypot(depth_std_m, DIRECTION_STD_PX * pixel_m, CENTROID_STD_M),
        depth_m=depth_m,
        area_m2=blob.area_px * camera.image_width_px * camera.image_px / math.prod(blob.mask_shape) * pixel_m**2,
    )


def _samples(blob: Blob, depth_255: np.ndarray) -> np.ndarray:
    """(area_px,) uint8: the depth image at the centre of each of the blob's pixels."""
    mask_height, mask_width = blob.mask_shape
    depth_height, depth_width = depth_255.shape
    rows = (2 * blob.rows + 1) * depth_height // (2 * mask_height)
    columns = (2 * blob.columns + 1) * depth_width // (2 * mask_width)
    return depth_255[rows, columns]


def _body_depth_m(samples: np.ndarray, camera: Camera, pose: Pose) -> float | None:
    """Depth of the body among a blob's depth samples, None if they don't show one.

    The body is the densest stretch of depths as long as an upright person is along the optical axis, the nearest of
    equally dense ones: background shows through at a blob's border more often than an occluder is taken for the hero.
    The mean of its samples is finer than one depth step (0.39 m at far = 100 m), because a body spreads over several.

    A depth of 0 is nearer than the near clip plane, so it is no measurement either.
    """
    step_m = camera.far_m / 255
    axis_down = abs(math.sin(math.radians(pose.pitch_deg)))
    extent_m = BODY_DEPTH_M + PERSON_HEIGHT_M * axis_down
    window = 1 + math.ceil(extent_m / step_m)
    counts = np.bincount(samples, minlength=256)[1:NOTHING_WITHIN_FAR]
    cumulative = np.concatenate(([0], np.cumsum(counts), np.full(window, counts.sum())))
    in_window = cumulative[window : window + len(counts)] - cumulative[: len(counts)]
    first = int(np.argmax(in_window))
    body_px = int(in_window[first])
    if body_px < max(1.0, MIN_BODY_SHARE * len(samples)):
        return None
    body_counts = counts[first : first + window]
    return float(body_counts @ np.arange(first + 1, first + 1 + len(body_counts))) / body_px * step_m


def _depth_of_person_m(blob: Blob, camera: Camera, pose: Pose) -> float | None:
    """Depth at which an upright person of average height fills the blob's box from top to bottom.

    With s = rise over run of the rays through head and feet, both at the same distance over ground:
    distance = height / (s_head − s_feet). None if the image's edge may cut the person off, for a view from above, and
    where the answer is beyond `far_m`: a figure too small to be measured, or a camera rolled on its side.
    """
    box = blob.box_px
    if box.top_px < 0.5 or box.bottom_px > camera.image_px - 0.5:
        return None
    middle_px = (box.left_px + box.right_px) / 2
    head_slope = _slope((middle_px, box.top_px), camera, pose)
    feet_slope = _slope((middle_px, box.bottom_px), camera, pose)
    if feet_slope < -math.tan(math.radians(STEEPEST_SIZED_VIEW_DEG)) or not head_slope > feet_slope:
        return None
    direction = ray_direction(blob.centroid_px, camera, pose)
    run = (head_slope - feet_slope) * math.hypot(direction[0], direction[1])
    return PERSON_HEIGHT_M / run if run > PERSON_HEIGHT_M / camera.far_m else None


def _slope(pixel_px: tuple[float, float], camera: Camera, pose: Pose) -> float:
    """Rise over run of a pixel's ray; infinite straight up or down."""
    east, north, up = ray_direction(pixel_px, camera, pose).tolist()
    run = math.hypot(east, north)
    return up / run if run > 0 else math.copysign(math.inf, up)

"""Everybody in one frame: the evidence that they are the hero, their place in the world, and how exact it is.

    probabilities ─▶ parts.py: everybody's pixels ─▶ evidence for the hero, place in the world ─▶ sightings

Probabilities have the network's resolution, and depth has the camera's. Both cover the same view.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from model.card import Card
from model.crops import CROP_PX, crop
from model.engines.second_look import SecondLook
from model.evidence import IMAGE_PX, STRONGEST_PX, Looks, margins
from model.profile import Profile
from server.sight.geometry import Camera, ray_directions
from server.sight.parts import Outlines, Parts, find_parts, outline, stretches
from server.sight.ranging import Outline, by_ground, by_height, fused
from server.wire.messages import Pose

# Least share of a part's depth samples in its densest range. A smaller share is background seen through the part.
MIN_BODY_SHARE = 0.25
DIRECTION_STD_PX = 1.0  # standard deviation of a part's centroid, in pixels of the camera image
# Most evidence of a frame in which the network is in doubt, nats: a slight resemblance. In such frames, strangers in
# a red top look like the hero, also to the second look.
MOST_IN_DOUBT = 1.0
# Most second looks in one frame. They go to the parts with the most evidence; the evidence of the others is at most 0.
MOST_LOOKED_AT = 8
# A part smaller than this share of `Profile.least_body_m2` is no sighting. Near the camera, the network takes specks
# of walls and windows for people. A speck may even pass for the followed person who has just gone behind a corner. On
# patrols of the stand-in, seeds 550 to 565, one in nine of the 250 sightings below 0.01 m² was a person, and none was
# the hero.
LEAST_BODY_SHARE = 0.1
# A part nearer than GROUND_WITHIN_M and larger than GROUND_BODIES × `Profile.least_body_m2` (more than two people)
# is ground: the network takes shaded pavement around the hero for people. Chosen on flights of the stand-in in which
# the hero walks through houses, seeds 530 to 549. On patrols, seeds 550 to 565, 11 of 7896 sightings were that large.
GROUND_BODIES, GROUND_WITHIN_M = 12.0, 10.0
PERSON_255 = 127  # a pixel is a person's if the classes of people sum to more than this many 255ths


class Box(NamedTuple):
    """A rectangle in the camera's image, continuous pixel coordinates."""

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float


class Place(NamedTuple):
    """Where in the world something was seen.

    `position_m` is (x, y, z) in the ROS world frame: the centre of the visible part, on the surface that faces the
    camera. `std_m` is the standard deviation to expect along each axis. `depth_m` is planar, from the camera. `area_m2`
    is the area of the visible part, as seen from the camera.
    """

    position_m: tuple[float, float, float]
    std_m: float
    depth_m: float
    area_m2: float


class Sighting(NamedTuple):
    """A person seen in one frame.

    `centroid_px`, `feet_px` (the middle of the lower edge of the lowest row) and `box_px` are continuous coordinates of
    the camera image. `area_px` counts the network's pixels. `evidence` is the log-likelihood ratio, in nats, that this
    is the hero rather than anybody else, from this frame alone; 0 where the frame does not tell. `second_evidence` is
    the same ratio for the hero rather than a lookalike: None where the frame does not tell, and equal to `evidence`
    without a second look. `place` is None where the frame does not tell the distance.
    """

    centroid_px: tuple[float, float]
    feet_px: tuple[float, float]
    box_px: Box
    area_px: int
    evidence: float
    second_evidence: float | None
    place: Place | None = None

    @property
    def is_candidate(self) -> bool:
        """Whether this is more likely the hero than anybody else, from this frame alone."""
        return self.evidence > 0 and (self.second_evidence is None or self.second_evidence > 0)


def find_people(
    probabilities: np.ndarray,
    image: np.ndarray,
    depth_255: np.ndarray | None,
    camera: Camera,
    pose: Pose,
    card: Card,
    second_look: SecondLook | None = None,
) -> tuple[Sighting, ...]:
    """Find everybody in one frame and place them in the world.

    Args:
        probabilities: (H, W, classes) float, of the network.
        image: (H, W, 3) uint8 RGB, as the network saw it.
        depth_255: (D, E) uint8, round(255 · depth / far); 255 is nothing within far. None if there is no depth image:
            then people are placed by the ground and by their height, and people who touch are not told apart.
        camera: the camera that took both images.
        pose: of that camera, world frame.
        card: the network's card; its target is the hero.
        second_look: the second look at people whom the network labels as the hero; None without a second look.

    Returns:
        A sighting for each person, the largest first.

    Raises:
        ValueError: if the depth image is not 2-D uint8.
    """
    has_depth = depth_255 is not None
    if depth_255 is None:
        depth_255 = np.full(probabilities.shape[:2], 255, np.uint8)
    if depth_255.ndim != 2 or depth_255.dtype != np.uint8:
        raise ValueError(f"expected depth_255 (D, E) uint8, got {depth_255.shape} {depth_255.dtype}")
    profile = card.profile
    window = _body_steps(camera, pose, profile)
    mask, is_hero = person_mask(probabilities, card), hero_mask(probabilities, card)

    def find(mask: np.ndarray) -> tuple[Parts, Outlines, list[Place | None]] | None:
        parts = parts_of_people(mask, is_hero, depth_255, window, card)
        if parts is None:
            return None
        outlines = outline(parts, camera)
        return parts, outlines, _places(parts, outlines, window, camera, pose, profile, has_depth)

    found = find(mask)
    if found is not None:
        parts, _, places = found
        ground = _ground(parts, places, profile)
        if ground is not None:  # keep only the hero's pixels of it, and find people again
            mask.flat[ground] = is_hero.flat[ground]
            found = find(mask)
    if found is None:
        return ()
    parts, outlines, places = found
    evidence = _evidence(parts, probabilities, image, card, places, second_look)
    return tuple(
        Sighting((u, v), (feet_u, feet_v), Box(*box), int(area_px), first, second, place)
        for (u, v), (feet_u, feet_v), box, area_px, (first, second), place in zip(
            outlines.centroids_px.tolist(),
            outlines.feet_px.tolist(),
            outlines.boxes_px.tolist(),
            parts.areas.tolist(),
            evidence,
            places,
            strict=True,
        )
        if place is None or place.area_m2 >= LEAST_BODY_SHARE * profile.least_body_m2
    )


def person_mask(probabilities: np.ndarray, card: Card) -> np.ndarray:
    """The pixels of people, including the hero: (H, W) bool."""
    first, *rest = (probabilities[..., number] for number in range(1, len(card.classes)))
    return sum(rest, first) > PERSON_255 / 255


def hero_mask(probabilities: np.ndarray, card: Card) -> np.ndarray:
    """The pixels that are more likely the hero's than anybody else's: (H, W) bool."""
    return probabilities[..., card.hero] > sum(probabilities[..., number] for number in card.others)


def _body_steps(camera: Camera, pose: Pose, profile: Profile) -> int:
    """Number of depth steps that one body may extend over; it grows as the camera looks down."""
    axis_down = abs(math.sin(math.radians(pose.pitch_deg)))
    return 1 + math.ceil((profile.depth_m + profile.height_m * axis_down) / (camera.far_m / 255))


def parts_of_people(
    mask: np.ndarray, is_hero: np.ndarray, depth_255: np.ndarray, window: int, card: Card
) -> Parts | None:
    """The parts of a `person_mask` with its `hero_mask`; the other arguments are as for `find_parts`."""
    # Parts are not divided by the mask of a target that is not upright (a dog): its head and rump lie side by side.
    return find_parts(mask, depth_255, window, card.min_blob_px, is_hero if card.profile.is_upright else None)


def _ground(parts: Parts, places: Sequence[Place | None], profile: Profile) -> np.ndarray | None:
    """The pixels of parts that are ground (see `GROUND_BODIES`), (P,) int in the flattened mask; None if no part is."""
    most_m2 = GROUND_BODIES * profile.least_body_m2
    pixels = [
        parts.at[parts.pixels(number)]
        for number, place in enumerate(places)
        if place is not None and place.area_m2 > most_m2 and place.depth_m < GROUND_WITHIN_M
    ]
    return np.concatenate(pixels) if pixels else None


def looks_of(parts: Parts, probabilities: np.ndarray, image: np.ndarray, card: Card) -> list[Looks]:
    """The measurements of each part from which its evidence is computed; the arguments are as for `find_people`."""
    hero, *others = (probabilities[..., number].ravel()[parts.at] for number in (card.hero, *card.others))
    ratios = margins(hero, sum(others)).astype(np.float64)
    brightness = parts.sum(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).ravel()[parts.at].astype(np.int64)) / parts.areas
    scale = IMAGE_PX / math.prod(parts.mask_shape)
    strongest = parts.mean_of_largest(ratios, STRONGEST_PX).tolist()
    is_hero = hero > card.hero_threshold_255 / 255
    sureness = parts.sum(hero * is_hero) / np.maximum(parts.sum(is_hero.astype(np.int64)), 1)
    means = parts.sum(ratios) / parts.areas
    return [
        Looks(mean, strong, scale * area_px, light, sureness=sure)
        for mean, strong, area_px, light, sure in zip(
            means.tolist(), strongest, parts.areas.tolist(), brightness.tolist(), sureness.tolist(), strict=True
        )
    ]


def _evidence(
    parts: Parts,
    probabilities: np.ndarray,
    image: np.ndarray,
    card: Card,
    places: list[Place | None],
    second_look: SecondLook | None,
) -> list[tuple[float, float | None]]:
    """Both looks' evidence. The first is at most 0 for too small a visible area, `MOST_IN_DOUBT` in doubt."""
    looks = looks_of(parts, probabilities, image, card)
    first, is_in_doubt = [], []
    for each, place in zip(looks, places, strict=True):
        evidence = card.evidence.of(each)
        is_in_doubt.append(card.doubt.of(each.sureness, 0.0 if place is None else place.depth_m))
        if is_in_doubt[-1]:
            evidence = min(evidence, MOST_IN_DOUBT)
        if place is not None and place.area_m2 < card.profile.least_body_m2:
            evidence = min(evidence, 0.0)
        first.append(evidence)
    if second_look is None or card.second_evidence is None:
        return [(each, each) for each in first]
    from_px = card.profile.second_look_from_px
    worth_it = [
        number for number, each in enumerate(looks) if not is_in_doubt[number] and each.is_worth_second_look(from_px)
    ]
    worth_it.sort(key=lambda number: -first[number])
    looked_at, left_out = worth_it[:MOST_LOOKED_AT], worth_it[MOST_LOOKED_AT:]
    for number in left_out:
        first[number] = min(first[number], 0.0)
    second: list[float | None] = [None] * len(looks)
    likeness = second_look.likeness(crops_of(parts, image, looked_at)).tolist()
    for number, like in zip(looked_at, likeness, strict=True):
        second[number] = card.second_evidence.of(looks[number]._replace(likeness=like))
    return list(zip(first, second, strict=True))


def crops_of(parts: Parts, image: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """The crops of some parts for the second look: (n, *CROP_PX, 4) uint8."""
    crops = [crop(image, parts.rows[parts.pixels(number)], parts.columns[parts.pixels(number)]) for number in numbers]
    return np.stack(crops) if crops else np.zeros((0, *CROP_PX, 4), np.uint8)


def _places(
    parts: Parts, outlines: Outlines, window: int, camera: Camera, pose: Pose, profile: Profile, has_depth: bool
) -> list[Place | None]:
    """The place of each part in the world; None where its distance is not known.

    The depth is that of the body in the depth image, without occluders in front of it and without background at its
    border. It is the mean over the densest range of depths (`parts.stretches`), which is as long as an upright person
    extends along the optical axis. This mean is finer than one depth step (0.39 m at far = 100 m), because a body
    spreads over several steps. Where the depth image does not measure the body (0 or 255), the apparent height of a
    whole and upright person gives the distance, to some 20 %. Without a depth image, the distance comes from this
    height and from the ground on which the person stands (`ranging.py`).
    """
    step_m = camera.far_m / 255
    _, within, weighted = stretches(parts, window)
    is_measured = within >= MIN_BODY_SHARE * parts.areas
    depths_m = np.where(is_measured, weighted / np.maximum(within, 1) * step_m, np.nan).tolist()
    stds_m = [step_m / math.sqrt(12)] * len(depths_m)
    boxes, centroids = outlines.boxes_px.tolist(), outlines.centroids_px.tolist()
    row_px = camera.image_px / parts.mask_shape[0]
    for number in np.flatnonzero(~is_measured).tolist():
        body = Outline(centroids[number], *boxes[number])._replace(row_px=row_px)
        found = by_height(body, camera, pose, profile)
        if not has_depth:
            found = fused((found, by_ground(body, camera, pose, profile)))
        depths_m[number], stds_m[number] = (None, 0.0) if found is None else found
    directions, focal_px = ray_directions(outlines.centroids_px, camera, pose), camera.focal_px
    scale = camera.image_width_px * camera.image_px / math.prod(parts.mask_shape)
    places: list[Place | None] = []
    for (x, y, z), depth_m, std_m, area_px in zip(
        directions.tolist(), depths_m, stds_m, parts.areas.tolist(), strict=True
    ):
        if depth_m is None:
            places.append(None)
            continue
        pixel_m = depth_m / focal_px
        places.append(
            Place(
                position_m=(pose.x_m + depth_m * x, pose.y_m + depth_m * y, pose.z_m + depth_m * z),
                std_m=math.hypot(std_m, DIRECTION_STD_PX * pixel_m, profile.centroid_std_m),
                depth_m=depth_m,
                area_m2=area_px * scale * pixel_m**2,
            )
        )
    return places

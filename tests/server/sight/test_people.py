"""From probabilities and depth images, drawn by hand or computed for a cylinder on ground, to people in the world."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.masks import NETWORK_PX, depth_of, mask_of, probabilities_of

from model.card import Card, Target
from model.evidence import Doubt, Evidence
from model.profile import hero_profile
from server.sight.geometry import QUADSIM_CAMERA, Camera, back_project, project, world_from_camera
from server.sight.parts import find_parts
from server.sight.people import Box, Place, Sighting, find_people, looks_of, person_mask
from server.sight.ranging import Outline, by_ground, by_height, fused
from server.wire.messages import Pose

LEVEL = Pose(0.0, 0.0, 2.0, roll_deg=0.0, pitch_deg=0.0, yaw_deg=0.0)
STEP_M = 100 / 255  # of the depth image
MIDDLE_OF_PERSON = np.array([0.0, 0.0, 0.875])


IMAGE = np.full((NETWORK_PX, NETWORK_PX, 3), 90, np.uint8)
# If a pixel is surely the hero's or surely not, the evidence has the largest value.
CARD = Card(evidence=Evidence(largest=5.0))
BODY = (40, 80, 80, 90)


def find(
    hero: np.ndarray, others=None, depth_255=None, camera=QUADSIM_CAMERA, pose=LEVEL, card=CARD, image=IMAGE
) -> tuple[Sighting, ...]:
    """The sightings in a frame for which the network gives these probabilities of hero and others."""
    depth_255 = depth_of(51) if depth_255 is None else depth_255
    return find_people(probabilities_of(hero, others), image, depth_255, camera, pose, card)


def find_person(mask: np.ndarray, depth_255: np.ndarray, camera: Camera, pose: Pose) -> Sighting:
    """The only sighting in a mask of one part."""
    (sighting,) = find(mask, depth_255=depth_255, camera=camera, pose=pose)
    return sighting


def find_place(mask: np.ndarray, depth_255: np.ndarray, camera: Camera, pose: Pose) -> Place | None:
    return find_person(mask, depth_255, camera, pose).place


def cast(px: int, pose: Pose, feet: np.ndarray, wall_behind_m: float = math.inf) -> tuple[np.ndarray, np.ndarray]:
    """A cylinder of a person's size (radius 0.25 m, height 1.75 m) on flat ground, with a wall behind it.

    The wall faces the camera.

    Returns:
        The cylinder's mask, (px, px) bool, and the depth image, (px, px) uint8 as QuadSim's.
    """
    pixels_px = (np.arange(px) + 0.5) * QUADSIM_CAMERA.image_px / px
    u_px, v_px = np.meshgrid(pixels_px, pixels_px)
    focal_px = QUADSIM_CAMERA.focal_px
    rays_camera = np.stack([np.ones((px, px)), (128 - u_px) / focal_px, (128 - v_px) / focal_px], axis=-1)
    rays = rays_camera @ world_from_camera(pose)[:3, :3].T
    eye = np.array(pose[:3])
    with np.errstate(divide="ignore", invalid="ignore"):
        ground_m = np.where(rays[..., 2] < 0, (feet[2] - eye[2]) / rays[..., 2], np.inf)
        # |eye + t · ray − axis| = radius, horizontally: a t² + 2 b t + c = 0.
        offset = (eye - feet)[:2]
        a, b, c = (rays[..., :2] ** 2).sum(-1), rays[..., :2] @ offset, offset @ offset - 0.25**2
        side_m = (-b - np.sqrt(b * b - a * c)) / a
        top_m = (feet[2] + 1.75 - eye[2]) / rays[..., 2]
        side_height = eye[2] + side_m * rays[..., 2] - feet[2]
        side_m = np.where((side_m > 0) & (side_height >= 0) & (side_height <= 1.75), side_m, np.inf)
        on_top = np.linalg.norm(offset + top_m[..., None] * rays[..., :2], axis=-1) <= 0.25
        body_m = np.minimum(side_m, np.where(on_top & (top_m > 0), top_m, np.inf))
        towards = -offset / np.linalg.norm(offset)
        wall_m = (np.linalg.norm(offset) + wall_behind_m) / (rays[..., :2] @ towards)
        wall_m = np.where(wall_m > 0, wall_m, np.inf)
    depth_m = np.minimum(np.minimum(ground_m, body_m), np.minimum(wall_m, QUADSIM_CAMERA.far_m))
    return body_m < np.minimum(ground_m, wall_m), np.round(255 * depth_m / QUADSIM_CAMERA.far_m).astype(np.uint8)


def view_of(feet: np.ndarray, behind_m: float, above_m: float, yaw_deg: float) -> Pose:
    """A camera behind and above a person, looking at a point 1 m above the feet."""
    yaw_rad = math.radians(yaw_deg)
    x_m, y_m = feet[:2] - behind_m * np.array([math.cos(yaw_rad), math.sin(yaw_rad)])
    return Pose(x_m, y_m, feet[2] + above_m, 0.0, math.degrees(math.atan2(above_m - 1.0, behind_m)), yaw_deg)


# --- who


def test_nobody_is_shown_by_a_frame_without_people():
    assert find(np.zeros((160, 160))) == ()


def test_everybody_is_told_the_largest_first_with_the_hero_among_them():
    hero, others = mask_of((40, 80, 80, 90)), mask_of((20, 20, 80, 35), (100, 120, 110, 125))
    sightings = find(hero, others)
    assert [sighting.area_px for sighting in sightings] == [900, 400, 50]
    assert [sighting.evidence for sighting in sightings] == [-5.0, 5.0, -5.0]
    assert [sighting.is_candidate for sighting in sightings] == [False, True, False]


def test_of_several_targets_the_one_followed_has_its_own_evidence_and_the_others_are_others():
    """The hero, a dog and somebody else, side by side; the dog's evidence says less than the hero's."""
    shapes = {"people": (40, 20, 80, 30), "hero": (40, 80, 80, 92), "dog": (60, 120, 80, 134)}
    planes = [mask_of(shape).astype(np.float32) for shape in shapes.values()]
    probabilities = np.stack([1 - sum(planes), *planes], axis=-1)
    dog = Target(replace(hero_profile(), name="dog", others="people"), Evidence(largest=2.0))
    card = replace(CARD, classes=("surroundings", *shapes), more_targets=(dog,))
    evidence = {
        name: [
            sighting.evidence
            for sighting in find_people(probabilities, IMAGE, depth_of(51), QUADSIM_CAMERA, LEVEL, card.following(name))
        ]
        for name in card.targets
    }
    # By size: the hero (480 px), the other person (400 px), the dog (280 px).
    assert evidence == {"hero": [5.0, -5.0, -5.0], "dog": [-2.0, -2.0, 2.0]}


def test_a_sighting_is_measured_in_the_cameras_pixels():
    # Columns 80…89 of 160 span u = 128 … 144 of 256, rows 40…79 v = 64 … 128.
    (sighting,) = find(mask_of(BODY))
    assert sighting.area_px == 40 * 10
    assert sighting.centroid_px == pytest.approx((136.0, 96.0))
    assert sighting.box_px == pytest.approx(Box(128.0, 64.0, 144.0, 128.0))
    assert sighting.feet_px == pytest.approx((136.0, 128.0))


def test_a_person_is_where_the_classes_of_people_are_likelier_than_not_together():
    """Not where a single class is likelier: for a person who may be the hero, both classes have a half."""
    hero, others = 0.4 * mask_of(BODY), 0.3 * mask_of(BODY)
    (sighting,) = find(hero, others)
    assert sighting.area_px == 400
    assert find(0.3 * mask_of(BODY), 0.19 * mask_of(BODY)) == ()
    # Above 127 / 255, as the scores have it.
    assert find(np.float32(126.9 / 255) * mask_of(BODY)) == ()
    assert len(find(np.float32(127.1 / 255) * mask_of(BODY))) == 1


def test_people_smaller_than_the_cards_least_size_are_not_believed():
    mask = mask_of((10, 10, 13, 13), (50, 50, 52, 54))
    assert [sighting.area_px for sighting in find(mask, card=replace(CARD, min_blob_px=9))] == [9]
    assert find(mask, card=replace(CARD, min_blob_px=10)) == ()


def test_the_hero_beside_somebody_at_one_depth_is_a_sighting_of_their_own():
    sightings = find(mask_of(BODY), mask_of((40, 90, 80, 102)))
    assert [(sighting.area_px, sighting.evidence) for sighting in sightings] == [(480, -5.0), (400, 5.0)]


def test_ground_that_is_taken_for_people_is_nobody_and_leaves_the_hero_who_stands_on_it():
    """At 3.9 m a pixel is 0.0008 m²: 60 × 60 pixels are 2.9 m², more than a person; at 20 m they may be a crowd."""
    hero = mask_of((50, 70, 70, 80))
    ground = mask_of((40, 40, 100, 100)) & ~hero
    (sighting,) = find(hero, ground, depth_of(10))
    assert (sighting.area_px, sighting.evidence) == (200, 5.0)
    assert find(0 * hero, ground | hero, depth_of(10)) == ()
    assert [sighting.area_px for sighting in find(hero, ground, depth_of(51))] == [3600]


def test_people_who_touch_are_placed_each_at_their_own_depth():
    # Columns 80…89 at 20 m, 90…99 at 60 m; rows 40…79 are 32 px above the axis in the middle.
    depth = depth_of(51)
    depth[:, 144:] = 153
    sightings = find(np.zeros((160, 160)), mask_of((40, 80, 80, 100)), depth)
    assert [sighting.place.depth_m for sighting in sightings] == pytest.approx([20.0, 60.0])
    ys_m = [sighting.place.position_m[1] for sighting in sightings]
    assert ys_m == pytest.approx([-8 * 20 / QUADSIM_CAMERA.focal_px, -24 * 60 / QUADSIM_CAMERA.focal_px])


# --- evidence


def looks(hero: np.ndarray, others: np.ndarray, image: np.ndarray = IMAGE):
    """Looks of the only person in view."""
    probabilities = probabilities_of(hero, others)
    parts = find_parts(person_mask(probabilities, CARD), depth_of(51), 3, 1)
    (only,) = looks_of(parts, probabilities, image, CARD)
    return only


def test_looks_are_the_mean_and_the_strongest_margin_the_size_and_the_brightness():
    # 396 pixels at 0.2 : 0.6 and 4 at 0.8 : 0.1; the area is that in an image of 256 × 256.
    strong = mask_of((40, 80, 42, 82))
    weak = mask_of(BODY) & ~strong
    image = IMAGE.copy()
    image[mask_of(BODY)] = 30
    seen = looks(0.2 * weak + 0.8 * strong, 0.6 * weak + 0.1 * strong, image)
    assert seen.mean_margin == pytest.approx((396 * math.log(1 / 3) + 4 * math.log(8)) / 400, abs=1e-4)
    assert seen.strongest_margin == pytest.approx(math.log(8), abs=1e-4)
    assert seen.area_px == pytest.approx(400 * 1.6**2)
    assert seen.brightness == 30


def test_the_sureness_is_that_of_the_pixels_that_are_the_heros():
    body, head = mask_of(BODY), mask_of((40, 80, 50, 90))
    assert looks(0.9 * head + 0.2 * (body & ~head), 0.7 * (body & ~head)).sureness == pytest.approx(0.9)
    assert looks(0 * body, body).sureness == 0.0


def test_of_fewer_pixels_than_four_all_are_the_strongest():
    mask = mask_of((40, 80, 41, 83))
    assert looks(0.75 * mask, 0.25 * mask).strongest_margin == pytest.approx(math.log(3), abs=1e-4)


def test_the_brightness_is_that_of_the_image_as_people_see_it():
    # ITU-R BT.601: green counts 0.587, blue 0.114.
    green, blue = IMAGE.copy(), IMAGE.copy()
    green[:], blue[:] = (0, 200, 0), (0, 0, 200)
    mask = mask_of(BODY)
    assert looks(mask, 0 * mask, green).brightness == pytest.approx(117, abs=1)
    assert looks(mask, 0 * mask, blue).brightness == pytest.approx(23, abs=1)


def test_the_evidence_is_the_cards():
    # log(0.96 / 0.03) = 3.466 in each pixel: with weights 1 and 0.1, and 0.25 of constant.
    weights = Evidence(0.25, 1.0, 0.1, 0.0, 0.0, 0.0, largest=5.0)
    (sighting,) = find(0.96 * mask_of(BODY), 0.03 * mask_of(BODY), card=replace(CARD, evidence=weights))
    assert sighting.evidence == pytest.approx(0.25 + 1.1 * math.log(32), abs=1e-3)


@pytest.mark.parametrize(
    ("sure", "level", "is_in_doubt"),
    [
        (0.936, 13, False),
        (0.934, 13, True),  # at 5 m
        (0.861, 102, False),  # 1 − 0.0035 · 40
        (0.859, 102, True),
    ],
)
def test_a_network_in_doubt_makes_a_slight_resemblance_at_most(sure, level, is_in_doubt):
    card = replace(CARD, doubt=Doubt(near=0.065, per_m=0.0035))
    (sighting,) = find(sure * mask_of(BODY), 0.01 * mask_of(BODY), depth_of(level), card=card)
    assert (sighting.evidence <= 1.0) is is_in_doubt


class Likeness:
    """A second look whose likeness grows with the red in a crop."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def likeness(self, crops: np.ndarray) -> np.ndarray:
        self.seen.append(len(crops))
        return crops[:, 24, 12, 0].astype(float) - 100


SECOND_CARD = replace(CARD, second_evidence=Evidence(0.0, 0.0, 0.0, likeness=1.0, largest=4.0))


def look_twice(hero: np.ndarray, red: int, others=None) -> tuple[list[tuple[float, float | None]], list[int]]:
    """Evidence of both looks for each person, the largest first, and the number of second looks, in a red image."""
    look, probabilities = Likeness(), probabilities_of(hero, others)
    image = np.full_like(IMAGE, red)
    found = find_people(probabilities, image, depth_of(51), QUADSIM_CAMERA, LEVEL, SECOND_CARD, look)
    return [(sighting.evidence, sighting.second_evidence) for sighting in found], look.seen


@pytest.mark.parametrize(("red", "second"), [(97, -3.0), (103, 3.0), (120, 4.0)])
def test_a_second_look_has_evidence_of_its_own(red, second):
    assert look_twice(mask_of(BODY), red) == ([(5.0, second)], [1])


def test_without_a_second_look_the_first_one_is_all_the_evidence():
    for hero in (mask_of(BODY), 0 * mask_of(BODY)):
        (sighting,) = find(hero, mask_of(BODY) & ~hero)
        assert sighting.second_evidence == sighting.evidence


def test_a_second_look_whose_answers_the_card_cannot_weigh_is_not_taken():
    look = Likeness()
    probabilities = probabilities_of(mask_of(BODY))
    (sighting,) = find_people(probabilities, IMAGE, depth_of(51), QUADSIM_CAMERA, LEVEL, CARD, look)
    assert (sighting.evidence, sighting.second_evidence, look.seen) == (5.0, 5.0, [])


@pytest.mark.parametrize(
    ("evidence", "second", "is_candidate"), [(1, 1, True), (1, None, True), (1, -1, False), (-1, 1, False)]
)
def test_a_candidate_is_like_the_hero_at_both_looks(evidence, second, is_candidate):
    seen = Sighting((1.0, 1.0), (1.0, 1.0), Box(0.0, 0.0, 2.0, 2.0), 4, evidence, second)
    assert seen.is_candidate is is_candidate


def test_who_is_like_the_hero_in_part_is_looked_at_again_and_nobody_else():
    hero, other = mask_of((40, 35, 76, 45)), mask_of((40, 100, 75, 110))
    upper = hero & (np.arange(NETWORK_PX) < 50)[:, np.newaxis]
    in_part, rest = 0.998 * upper, 0.002 * upper + 1.0 * (hero & ~upper)  # 6 nats, where 10 would be two people in one
    for seen, others in ((hero, other), (in_part, np.maximum(other, rest))):
        evidence, looks = look_twice(seen, 90, others)
        assert looks == [1]
        assert [second for _, second in evidence if second is not None] == [-4.0]


def test_who_is_too_small_to_tell_apart_is_not_looked_at_again():
    # 15 pixels of 160 × 160 are 38.4 of 256 × 256.
    assert look_twice(mask_of((40, 80, 45, 83)), 90) == ([(5.0, None)], [0])
    assert look_twice(mask_of((40, 80, 44, 84)), 90) == ([(5.0, -4.0)], [1])


def test_somebody_in_doubt_is_not_looked_at_again():
    # Two people in one part are like nobody.
    assert look_twice(0.79 * mask_of(BODY), 104, 0.01 * mask_of(BODY)) == ([(1.0, None)], [0])


def test_of_very_many_candidates_the_likeliest_are_looked_at():
    bodies = [
        (20 + 60 * row, 4 + 30 * column, 60 + 60 * row, 14 + 30 * column) for row in (0, 1) for column in range(5)
    ]
    likely, less_likely = mask_of(*bodies[2:]), mask_of(*bodies[:2])
    evidence, looks = look_twice(likely + 0.97 * less_likely, 103, 0.03 * less_likely)
    assert looks == [8]
    assert evidence == [(0.0, None)] * 2 + [(5.0, 3.0)] * 8, "equally large ones come from the top"


def test_the_channels_are_those_of_the_cards_classes():
    card = replace(CARD, classes=("surroundings", "hero", "people"))
    probabilities = probabilities_of(mask_of(BODY), mask_of((40, 20, 80, 35)))[..., [0, 2, 1]]
    sightings = find_people(probabilities, IMAGE, depth_of(51), QUADSIM_CAMERA, LEVEL, card)
    assert [(sighting.area_px, sighting.evidence) for sighting in sightings] == [(600, -5.0), (400, 5.0)]


def test_a_network_without_a_class_of_other_people_tells_the_hero():
    card = replace(CARD, classes=("surroundings", "hero"))
    probabilities = probabilities_of(0.9 * mask_of(BODY))[..., [0, 2]]
    (sighting,) = find_people(probabilities, IMAGE, depth_of(51), QUADSIM_CAMERA, LEVEL, card)
    assert (sighting.area_px, sighting.is_candidate) == (400, True)


@pytest.mark.parametrize(
    ("depth", "pixels", "is_candidate"),
    [
        # A pixel is 1.6 camera pixels, each depth / 221.70 wide: at 10.2 m 0.0054 m², at 20 m 0.0208 m².
        (26, 18, False),
        (26, 20, True),
        (51, 4, False),
        (51, 5, True),
    ],
)
def test_too_little_of_a_body_cannot_speak_for_the_hero(depth, pixels, is_candidate):
    """Hair or a shoe of somebody: less than 0.1 m²."""
    (sighting,) = find(mask_of((40, 80, 41, 80 + pixels)), depth_255=depth_of(depth), card=replace(CARD, min_blob_px=1))
    assert (sighting.place.area_m2 >= 0.1) is is_candidate
    assert sighting.is_candidate is is_candidate
    assert sighting.evidence == (5.0 if is_candidate else 0.0)


def test_too_little_of_a_body_may_speak_against_the_hero():
    mask = mask_of((40, 80, 41, 90))
    (sighting,) = find(0 * mask, mask, depth_of(26))
    assert sighting.evidence == -5.0


@pytest.mark.parametrize(("depth", "pixels", "seen"), [(6, 30, 0), (6, 40, 1), (51, 1, 1)])
def test_a_speck_near_the_camera_is_nobody(depth, pixels, seen):
    """At 2.4 m a pixel is 0.00029 m², and 30 of them are less than 0.01 m²; at 20 m a single one is more."""
    mask = mask_of((40, 80, 41, 80 + pixels))
    assert len(find(0 * mask, mask, depth_of(depth), card=replace(CARD, min_blob_px=1))) == seen


def test_who_has_no_place_may_be_the_hero_however_few_pixels():
    # The head may be outside the image, so that nothing tells the distance.
    (sighting,) = find(mask_of((0, 80, 1, 90)), depth_255=depth_of(255))
    assert (sighting.place, sighting.evidence) == (None, 5.0)


# --- where


def test_the_person_lies_at_the_depth_under_the_person():
    # Depth 51 / 255 · 100 m = 20 m; the centroid is (136, 96): 8 px right and 32 px above the axis.
    place = find_place(mask_of(BODY), depth_of(51), QUADSIM_CAMERA, LEVEL)
    assert place.depth_m == pytest.approx(20.0)
    np.testing.assert_allclose(
        place.position_m, [20.0, -8 * 20 / QUADSIM_CAMERA.focal_px, 2 + 32 * 20 / QUADSIM_CAMERA.focal_px]
    )


def test_depth_is_taken_where_the_person_is_in_the_depth_images_own_pixels():
    # The original looked up pixel (40…79, 80…89) of the 256-px image, where this one has 100 m and more.
    depth = depth_of(255)
    depth[64:128, 128:144] = 51
    assert find_place(mask_of(BODY), depth, QUADSIM_CAMERA, LEVEL).depth_m == pytest.approx(20.0)


@pytest.mark.parametrize("size", [64, 160, 512])
def test_a_depth_image_of_another_size_covers_the_same_view(size):
    depth = depth_of(255, size)
    depth[size // 4 : size // 2, size // 2 : size * 9 // 16] = 51
    assert find_place(mask_of(BODY), depth, QUADSIM_CAMERA, LEVEL).depth_m == pytest.approx(20.0)


def test_an_occluder_and_a_background_do_not_pull_the_depth():
    # Of the person's 12 columns the first shows a lamp post at 5 m and the last a wall at 60 m; the others 20 m.
    depth = depth_of(51, 160)
    depth[:, 80] = 13
    depth[:, 91] = 153
    (sighting,) = find(mask_of((40, 80, 80, 92)), depth_255=depth)
    assert sighting.place.depth_m == pytest.approx(20.0)


def test_depths_of_neighbouring_steps_are_averaged():
    # Half of the person at 51, half at 52 steps of 100/255 m: 51.5 · 0.3922 = 20.196 m.
    depth = depth_of(51)
    depth[:, 136:] = 52
    place = find_place(mask_of(BODY), depth, QUADSIM_CAMERA, LEVEL)
    assert place.depth_m == pytest.approx(51.5 * STEP_M)


@pytest.mark.parametrize("level", [0, 255])
def test_without_any_depth_a_persons_height_gives_the_distance(level):
    # Rows 40…79 are 64 camera pixels; 1.75 m fill them at 1.75 · 221.70 / 64 = 6.06 m.
    place = find_place(mask_of(BODY), depth_of(level), QUADSIM_CAMERA, LEVEL)
    assert place.depth_m == pytest.approx(1.75 * QUADSIM_CAMERA.focal_px / 64)
    # 20 % of it, and a little for the direction.
    assert place.std_m == pytest.approx(0.2 * place.depth_m, rel=0.05)


@pytest.mark.parametrize("pitch_deg", [45.0, -45.0])
def test_seen_aslant_from_above_or_from_below_a_body_is_deeper(pitch_deg):
    """Of 1.75 m, sin 45° along the optical axis, and 0.5 m: 1.74 m or 4.4 steps of depth, from the head to the feet."""
    depth = np.tile(np.linspace(50, 53.9, 256).astype(np.uint8)[:, np.newaxis], (1, 256))
    place = find_place(mask_of((0, 80, 160, 90)), depth, QUADSIM_CAMERA, LEVEL._replace(pitch_deg=pitch_deg))
    assert place.depth_m == pytest.approx(51.5 * STEP_M, abs=0.02)


def test_without_a_depth_image_the_ground_counts_by_the_rows_of_the_network():
    feet = np.array([3.0, -2.0, 0.0])
    pose = view_of(feet, behind_m=12.0, above_m=6.0, yaw_deg=30.0)
    mask, _ = cast(NETWORK_PX, pose, feet)
    (sighting,) = find_people(probabilities_of(mask), IMAGE, None, QUADSIM_CAMERA, pose, CARD)
    body = Outline(sighting.centroid_px, *sighting.box_px, row_px=256 / NETWORK_PX)
    expected = fused([measure(body, QUADSIM_CAMERA, pose, CARD.profile) for measure in (by_height, by_ground)])
    assert sighting.place.depth_m == pytest.approx(expected.depth_m)
    direction_m = expected.depth_m / QUADSIM_CAMERA.focal_px
    assert sighting.place.std_m == pytest.approx(math.hypot(expected.std_m, direction_m, 0.1))


def test_a_persons_height_gives_the_distance_from_above_as_well():
    # 8 m up and 12 m behind. From 30° above, the cylinder looks 1.75 · cos 30° + 0.5 · sin 30° = 1.77 m high instead of
    # the 1.52 m of a thin person: it is taken to be up to 17 % nearer than it is, within the 20 % that are claimed.
    feet = np.array([3.0, -2.0, 0.0])
    pose = view_of(feet, behind_m=12.0, above_m=8.0, yaw_deg=30.0)
    mask, _ = cast(NETWORK_PX, pose, feet)
    place = find_place(mask, depth_of(255), QUADSIM_CAMERA, pose)
    true_depth_m = project(feet + MIDDLE_OF_PERSON, QUADSIM_CAMERA, pose).depth_m
    assert place.depth_m == pytest.approx(true_depth_m, rel=0.2)


def test_a_few_pixels_with_depth_among_many_without_are_not_the_body():
    # 6 of the person's 40 rows have depth 51, fewer than a quarter: the distance is that of the person's height.
    depth = depth_of(255)
    depth[64:74] = 51
    place = find_place(mask_of(BODY), depth, QUADSIM_CAMERA, LEVEL)
    assert place.depth_m == pytest.approx(1.75 * QUADSIM_CAMERA.focal_px / 64)


@pytest.mark.parametrize(
    ("rows", "pitch_deg"),
    [
        ((0, 40), 0.0),  # the head may be outside the image
        ((120, 160), 0.0),  # the feet
        ((60, 100), 90.0),  # seen from straight above
    ],
)
def test_a_hero_whose_distance_cannot_be_known_has_no_position(rows, pitch_deg):
    mask = mask_of((rows[0], 80, rows[1], 90))
    sighting = find_person(mask, depth_of(255), QUADSIM_CAMERA, LEVEL._replace(pitch_deg=pitch_deg))
    assert sighting.area_px == 400
    assert sighting.place is None


@pytest.mark.parametrize("level", [13, 51])
def test_the_visible_area_is_that_of_the_person_at_its_depth(level):
    # 10 × 40 of 160 network pixels a side are 16 × 64 camera pixels, each depth / 221.70 wide.
    place = find_place(mask_of(BODY), depth_of(level), QUADSIM_CAMERA, LEVEL)
    assert place.area_m2 == pytest.approx(16 * 64 * (level * STEP_M / 221.70) ** 2, rel=1e-4)


def test_far_50_halves_every_depth():
    camera = Camera(far_m=50.0)
    assert find_place(mask_of(BODY), depth_of(51), camera, LEVEL).depth_m == pytest.approx(10.0)


def test_the_expected_error_grows_with_depth():
    # Depth steps 0.392 / √12 = 0.113 m and the body 0.1 m at any distance; one camera pixel is 1/221.7 of the depth.
    near, far = (find_place(mask_of(BODY), depth_of(d), QUADSIM_CAMERA, LEVEL) for d in (13, 204))
    assert near.std_m == pytest.approx(math.hypot(0.113, 0.1, 5.1 / 221.7), abs=0.001)
    assert far.std_m == pytest.approx(math.hypot(0.113, 0.1, 80.0 / 221.7), abs=0.001)


@pytest.mark.parametrize(
    ("behind_m", "above_m", "median_m", "worst_m"),
    [
        (2.0, 3.0, 0.2, 0.35),  # as QuadSim follows; the surface is 0.25 m from the cylinder's axis
        (10.0, 6.0, 0.25, 0.4),
        (25.0, 8.0, 0.35, 0.6),
    ],
)
def test_a_person_on_the_ground_is_met_within_a_few_decimetres(behind_m, above_m, median_m, worst_m):
    rng = np.random.default_rng(0)
    errors_m = []
    for _ in range(30):
        feet = np.array([*rng.uniform(-20, 20, size=2), rng.uniform(-1, 1)])
        pose = view_of(feet, behind_m * rng.uniform(0.9, 1.1), above_m, rng.uniform(-180, 180))
        mask, _ = cast(NETWORK_PX, pose, feet)
        _, depth = cast(256, pose, feet, wall_behind_m=rng.uniform(1, 30))
        place = find_place(mask, depth, QUADSIM_CAMERA, pose)
        errors_m.append(math.dist(place.position_m[:2], feet[:2]))
    assert np.median(errors_m) < median_m
    assert max(errors_m) < worst_m


def test_the_bodys_mean_depth_is_finer_than_the_plain_median():
    # The median over the person is a whole number of 0.39 m steps.
    rng = np.random.default_rng(1)
    ours_m, medians_m = [], []
    for _ in range(40):
        feet = np.array([*rng.uniform(-20, 20, size=2), 0.0])
        pose = view_of(feet, rng.uniform(4, 8), rng.uniform(3, 6), rng.uniform(-180, 180))
        mask, _ = cast(NETWORK_PX, pose, feet)
        _, depth = cast(256, pose, feet)
        rows, columns = np.nonzero(mask)
        true_m = project(feet + MIDDLE_OF_PERSON, QUADSIM_CAMERA, pose).depth_m
        samples = depth[(rows * 1.6 + 0.8).astype(int), (columns * 1.6 + 0.8).astype(int)]
        ours_m.append(find_place(mask, depth, QUADSIM_CAMERA, pose).depth_m - true_m)
        medians_m.append(float(np.median(samples)) * STEP_M - true_m)
    assert np.std(ours_m) < 0.5 * np.std(medians_m)


def test_the_position_is_the_centroids_ray_at_the_depth():
    pose = Pose(1.0, 2.0, 3.0, 5.0, 30.0, -60.0)
    sighting = find_person(mask_of((90, 20, 130, 40)), depth_of(20), QUADSIM_CAMERA, pose)
    place = sighting.place
    camera_point = back_project(sighting.centroid_px, place.depth_m, QUADSIM_CAMERA)
    np.testing.assert_allclose(place.position_m, (world_from_camera(pose) @ [*camera_point, 1.0])[:3])


@pytest.mark.parametrize("depth", [np.zeros((256, 256)), np.zeros((256, 256, 3), dtype=np.uint8)])
def test_what_is_no_depth_image_is_refused(depth):
    with pytest.raises(ValueError, match=r"expected depth_255 \(D, E\) uint8"):
        find_place(mask_of(BODY), depth, QUADSIM_CAMERA, LEVEL)

"""From masks and depth images drawn by hand, or cast at a cylinder on flat ground, to blobs and positions."""

import math

import numpy as np
import pytest

from server.sight.geometry import QUADSIM_CAMERA, Camera, Pose, back_project, project, world_from_camera
from server.sight.people import MOST_BLOBS, Blob, Box, Place, Sighting, find_people, largest_blobs, locate

LEVEL = Pose(0.0, 0.0, 2.0, roll_deg=0.0, pitch_deg=0.0, yaw_deg=0.0)
NETWORK_PX = 160
STEP_M = 100 / 255  # of the depth image
MIDDLE_OF_PERSON = np.array([0.0, 0.0, 0.875])


def mask_of(*rectangles: tuple[int, int, int, int], shape: tuple[int, int] = (160, 160)) -> np.ndarray:
    """True in the given (top, left, bottom, right), the last two exclusive."""
    mask = np.zeros(shape, dtype=bool)
    for top, left, bottom, right in rectangles:
        mask[top:bottom, left:right] = True
    return mask


def depth_of(level: int, size: int = 256) -> np.ndarray:
    return np.full((size, size), level, dtype=np.uint8)


def largest_blob(mask: np.ndarray, *arguments, **options) -> Blob:
    return largest_blobs(mask, *arguments, **options)[0]


def find_person(mask: np.ndarray, depth_255: np.ndarray, camera: Camera, pose: Pose) -> Sighting:
    """The only one in a mask of one blob, of which the network is sure."""
    (sighting,) = find_people(mask.astype(np.float32), depth_255, camera, pose)
    return sighting


def find_place(mask: np.ndarray, depth_255: np.ndarray, camera: Camera, pose: Pose) -> Place | None:
    return find_person(mask, depth_255, camera, pose).place


def cast(px: int, pose: Pose, feet: np.ndarray, wall_behind_m: float = math.inf) -> tuple[np.ndarray, np.ndarray]:
    """A cylinder of a person's size (radius 0.25 m, height 1.75 m) on flat ground, before a wall that faces the camera.

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


def test_a_blob_is_measured_in_the_cameras_pixels():
    # Network pixels are 256 / 160 = 1.6 camera pixels wide. Columns 80…89 span u = 128 … 144, rows 40…79 v = 64 … 128.
    blob = largest_blob(mask_of((40, 80, 80, 90)))
    assert blob.area_px == 40 * 10
    assert blob.centroid_px == pytest.approx((136.0, 96.0))
    assert blob.box_px == pytest.approx(Box(128.0, 64.0, 144.0, 128.0))
    assert blob.feet_px == pytest.approx((136.0, 128.0))


def test_a_mask_and_a_camera_that_are_not_square_are_scaled_in_each_direction():
    # (H, W) = (100, 200) for an image of 480 × 640: u · 3.2, v · 4.8. Row 50, columns 100…107 have their centre at
    # column 104.0, row 50.5.
    camera = Camera(image_px=480, width_px=640)
    blob = largest_blob(mask_of((50, 100, 51, 108), shape=(100, 200)), camera=camera)
    assert blob.centroid_px == pytest.approx((104.0 * 3.2, 50.5 * 4.8))


def test_the_feet_are_in_the_middle_of_the_lowest_row():
    # A body over columns 10…19 with one leg that ends in columns 10…11 of row 39: u = 11 · 1.6, v = 40 · 1.6.
    blob = largest_blob(mask_of((20, 10, 35, 20), (35, 10, 40, 12)))
    assert blob.feet_px == pytest.approx((17.6, 64.0))


def test_several_blobs_come_apart_the_largest_first():
    blobs = largest_blobs(mask_of((0, 0, 5, 5), (50, 50, 60, 55), (100, 100, 104, 104)))
    assert [blob.area_px for blob in blobs] == [50, 25, 16]
    np.testing.assert_array_equal(blobs[0].mask, mask_of((50, 50, 60, 55)))
    np.testing.assert_array_equal(blobs[2].mask, mask_of((100, 100, 104, 104)))


def test_equally_large_blobs_come_from_the_top():
    blobs = largest_blobs(mask_of((60, 10, 65, 15), (20, 50, 25, 55), (40, 90, 45, 95)))
    assert [blob.rows[0] for blob in blobs] == [20, 40, 60]


def test_no_more_than_the_largest_blobs_are_told():
    # Nine squares of 3 to 11 pixels a side, one below the other.
    crowd = mask_of(*((12 * side, 0, 12 * side + side, side) for side in range(3, 12)))
    assert [blob.area_px for blob in largest_blobs(crowd)] == [121, 100, 81, 64, 49]
    assert len(largest_blobs(crowd)) == MOST_BLOBS


def test_pixels_that_touch_at_corners_are_one_blob():
    # A far hero is a few pixels on a slant.
    assert largest_blob(np.eye(160, dtype=bool)).area_px == 160


def test_a_blob_must_have_the_least_area():
    nine, eight = mask_of((10, 10, 13, 13)), mask_of((10, 10, 12, 14))
    assert [blob.area_px for blob in largest_blobs(nine, min_px=9)] == [9]
    assert largest_blobs(eight, min_px=9) == []
    assert largest_blobs(nine | mask_of((50, 50, 52, 54)), min_px=10) == []  # 9 + 8 pixels, but apart
    assert [blob.area_px for blob in largest_blobs(nine | mask_of((50, 50, 52, 54)), min_px=9)] == [9]


def test_an_empty_mask_shows_nobody():
    assert find_people(np.zeros((160, 160), np.float32), depth_of(10), QUADSIM_CAMERA, LEVEL) == ()


def test_a_mask_that_is_a_strided_view_is_read_as_it_looks():
    mask = mask_of((40, 80, 80, 90))
    flipped = largest_blob(mask[:, ::-1])
    # Columns 80…89 become 70…79: u = 112 … 128.
    assert flipped.centroid_px == pytest.approx((120.0, 96.0))


def test_the_person_lies_at_the_depth_under_the_blob():
    # Depth 51 / 255 · 100 m = 20 m; the centroid is (136, 96): 8 px right and 32 px above the axis.
    place = find_place(mask_of((40, 80, 80, 90)), depth_of(51), QUADSIM_CAMERA, LEVEL)
    assert place.depth_m == pytest.approx(20.0)
    np.testing.assert_allclose(
        place.position_m, [20.0, -8 * 20 / QUADSIM_CAMERA.focal_px, 2 + 32 * 20 / QUADSIM_CAMERA.focal_px]
    )


def test_depth_is_taken_where_the_blob_is_in_the_depth_images_own_pixels():
    # The original looked up pixel (40…79, 80…89) of the 256-px image, where this one has 100 m and more.
    depth = depth_of(255)
    depth[64:128, 128:144] = 51
    assert find_place(mask_of((40, 80, 80, 90)), depth, QUADSIM_CAMERA, LEVEL).depth_m == pytest.approx(20.0)


@pytest.mark.parametrize("size", [64, 160, 512])
def test_a_depth_image_of_another_size_covers_the_same_view(size):
    depth = depth_of(255, size)
    depth[size // 4 : size // 2, size // 2 : size * 9 // 16] = 51
    assert find_place(mask_of((40, 80, 80, 90)), depth, QUADSIM_CAMERA, LEVEL).depth_m == pytest.approx(20.0)


def test_an_occluder_and_a_background_do_not_pull_the_depth():
    # Of the blob's 10 columns 3 show a lamp post at 5 m and 3 a wall at 60 m; 4 the hero at 20 m.
    depth = depth_of(51)
    depth[:, 128:133] = 13
    depth[:, 139:144] = 153
    assert find_place(mask_of((40, 80, 80, 90)), depth, QUADSIM_CAMERA, LEVEL).depth_m == pytest.approx(20.0)


def test_of_equally_dense_depths_the_nearer_is_the_body():
    depth = depth_of(51)
    depth[:, 136:] = 153
    assert find_place(mask_of((40, 80, 80, 90)), depth, QUADSIM_CAMERA, LEVEL).depth_m == pytest.approx(20.0)


def test_depths_of_neighbouring_steps_are_averaged():
    # Half of the blob at 51, half at 52 steps of 100/255 m: 51.5 · 0.3922 = 20.196 m.
    depth = depth_of(51)
    depth[:, 136:] = 52
    place = find_place(mask_of((40, 80, 80, 90)), depth, QUADSIM_CAMERA, LEVEL)
    assert place.depth_m == pytest.approx(51.5 * STEP_M)


@pytest.mark.parametrize("level", [0, 255])
def test_without_any_depth_a_persons_height_gives_the_distance(level):
    # Rows 40…79 are 64 camera pixels; 1.75 m fill them at 1.75 · 221.70 / 64 = 6.06 m.
    place = find_place(mask_of((40, 80, 80, 90)), depth_of(level), QUADSIM_CAMERA, LEVEL)
    assert place.depth_m == pytest.approx(1.75 * QUADSIM_CAMERA.focal_px / 64)
    # 20 % of it, and a little for the direction.
    assert place.std_m == pytest.approx(0.2 * place.depth_m, rel=0.05)


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
    # 6 of the blob's 40 rows have depth 51, fewer than a quarter: the distance is that of the person's height.
    depth = depth_of(255)
    depth[64:74] = 51
    place = find_place(mask_of((40, 80, 80, 90)), depth, QUADSIM_CAMERA, LEVEL)
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


def test_each_blob_is_placed_by_itself():
    # Two of one size, at 20 m on the left and at 60 m on the right: rows 40…79 are 48 px to 16 px above the axis.
    depth = depth_of(51)
    depth[:, 128:] = 153
    mask = mask_of((40, 30, 80, 40), (40, 120, 80, 130))
    sightings = find_people(mask.astype(np.float32), depth, QUADSIM_CAMERA, LEVEL)
    left, right = (sighting.place for sighting in sightings)
    assert (left.depth_m, right.depth_m) == pytest.approx((20.0, 60.0))
    # Centroids at u = 56 and 200: 72 px to either side.
    np.testing.assert_allclose([left.position_m[1], right.position_m[1]], np.array([72 * 20, -72 * 60]) / 221.70, 1e-4)


def test_a_blob_is_where_the_probability_is_above_the_threshold_and_as_sure_as_its_mean():
    # Of 127.5 / 255 the whole 255ths are 127: not above. The blob is its upper half at 0.6 and its lower at 0.8.
    hero = np.full((160, 160), 127.5 / 255, np.float32)
    hero[40:60, 80:90] = 0.6
    hero[60:80, 80:90] = 0.8
    (sighting,) = find_people(hero, depth_of(51), QUADSIM_CAMERA, LEVEL)
    assert (sighting.area_px, sighting.confidence) == (400, pytest.approx(0.7))
    (upper,) = find_people(hero, depth_of(51), QUADSIM_CAMERA, LEVEL, above_255=178)
    assert (upper.area_px, upper.confidence) == (200, pytest.approx(0.8))


@pytest.mark.parametrize("level", [13, 51])
def test_the_visible_area_is_that_of_the_blob_at_its_depth(level):
    # 10 × 40 of 160 network pixels a side are 16 × 64 camera pixels, each depth / 221.70 wide.
    place = find_place(mask_of((40, 80, 80, 90)), depth_of(level), QUADSIM_CAMERA, LEVEL)
    assert place.area_m2 == pytest.approx(16 * 64 * (level * STEP_M / 221.70) ** 2, rel=1e-4)


@pytest.mark.parametrize(
    ("confidence", "depth_m", "area_m2", "is_convincing"),
    [
        (0.951, 5.0, 0.3, True),
        (0.949, 5.0, 0.3, False),
        (0.901, 40.0, 0.3, True),  # 1 − 0.0025 · 40
        (0.899, 40.0, 0.3, False),
        (0.99, 5.0, 0.1, True),
        (0.99, 5.0, 0.099, False),  # somebody's hair
        (0.96, None, None, True),
        (0.94, None, None, False),
    ],
)
def test_a_convincing_sighting_is_enough_of_a_body_and_as_sure_as_its_distance_allows(
    confidence, depth_m, area_m2, is_convincing
):
    sighting = find_person(mask_of((40, 80, 80, 90)), depth_of(51), QUADSIM_CAMERA, LEVEL)
    place = None if depth_m is None else sighting.place._replace(depth_m=depth_m, area_m2=area_m2)
    assert sighting._replace(confidence=confidence, place=place).is_convincing is is_convincing


def test_far_50_halves_every_depth():
    camera = Camera(far_m=50.0)
    assert find_place(mask_of((40, 80, 80, 90)), depth_of(51), camera, LEVEL).depth_m == pytest.approx(10.0)


def test_the_expected_error_grows_with_depth():
    # Depth steps 0.392 / √12 = 0.113 m and the body 0.1 m at any distance; one camera pixel is 1/221.7 of the depth.
    near, far = (find_place(mask_of((40, 80, 80, 90)), depth_of(d), QUADSIM_CAMERA, LEVEL) for d in (13, 204))
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
    # The median over the blob is a whole number of 0.39 m steps.
    rng = np.random.default_rng(1)
    ours_m, medians_m = [], []
    for _ in range(40):
        feet = np.array([*rng.uniform(-20, 20, size=2), 0.0])
        pose = view_of(feet, rng.uniform(4, 8), rng.uniform(3, 6), rng.uniform(-180, 180))
        mask, _ = cast(NETWORK_PX, pose, feet)
        _, depth = cast(256, pose, feet)
        blob = largest_blob(mask)
        true_m = project(feet + MIDDLE_OF_PERSON, QUADSIM_CAMERA, pose).depth_m
        samples = depth[(blob.rows * 1.6 + 0.8).astype(int), (blob.columns * 1.6 + 0.8).astype(int)]
        ours_m.append(locate(blob, depth, QUADSIM_CAMERA, pose).depth_m - true_m)
        medians_m.append(float(np.median(samples)) * STEP_M - true_m)
    assert np.std(ours_m) < 0.5 * np.std(medians_m)


def test_the_position_is_the_centroids_ray_at_the_depth():
    pose = Pose(1.0, 2.0, 3.0, 5.0, 30.0, -60.0)
    sighting = find_person(mask_of((90, 20, 130, 40)), depth_of(20), QUADSIM_CAMERA, pose)
    place = sighting.place
    camera_point = back_project(sighting.centroid_px, place.depth_m, QUADSIM_CAMERA)
    np.testing.assert_allclose(place.position_m, (world_from_camera(pose) @ [*camera_point, 1.0])[:3])


@pytest.mark.parametrize(
    ("mask", "min_px", "complaint"),
    [
        (np.zeros((160, 160), dtype=np.uint8), 8, "expected hero_mask .H, W. bool, got .160, 160. uint8"),
        (np.zeros((160, 160, 1), dtype=bool), 8, "expected hero_mask .H, W. bool, got .160, 160, 1. bool"),
        (np.zeros((160, 160), dtype=bool), 0, "expected min_px of at least 1, got 0"),
    ],
)
def test_what_is_no_mask_is_refused(mask, min_px, complaint):
    with pytest.raises(ValueError, match=complaint):
        largest_blobs(mask, min_px)


@pytest.mark.parametrize("depth", [np.zeros((256, 256)), np.zeros((256, 256, 3), dtype=np.uint8)])
def test_what_is_no_depth_image_is_refused(depth):
    with pytest.raises(ValueError, match=r"expected depth_255 \(D, E\) uint8"):
        find_place(mask_of((40, 80, 80, 90)), depth, QUADSIM_CAMERA, LEVEL)

"""From masks and depth images drawn by hand to each person's pixels."""

import numpy as np
import pytest
from support.masks import NETWORK_PX, depth_of, mask_of

from server.sight.geometry import QUADSIM_CAMERA, Camera
from server.sight.parts import MOST_PARTS, Parts, find_parts, outline, stretches

# Steps of depth that one body takes up where each is 100 m / 255.
WINDOW = 3
NEAR, FAR = 51, 76  # steps: 20 m and 30 m


def parts_of(mask: np.ndarray, depth_255: np.ndarray | None = None, min_px: int = 1, hero=None) -> Parts | None:
    return find_parts(mask, depth_of(NEAR) if depth_255 is None else depth_255, WINDOW, min_px, hero)


def areas(parts: Parts | None) -> list[int]:
    return [] if parts is None else parts.areas.tolist()


def mask_of_part(parts: Parts, number: int) -> np.ndarray:
    mask = np.zeros(parts.mask_shape, bool)
    pixels = parts.pixels(number)
    mask[parts.rows[pixels], parts.columns[pixels]] = True
    return mask


# --- connected parts


def test_parts_come_apart_the_largest_first():
    parts = parts_of(mask_of((0, 0, 5, 5), (50, 50, 60, 55), (100, 100, 104, 104)))
    assert areas(parts) == [50, 25, 16]
    np.testing.assert_array_equal(mask_of_part(parts, 0), mask_of((50, 50, 60, 55)))
    np.testing.assert_array_equal(mask_of_part(parts, 1), mask_of((0, 0, 5, 5)))
    np.testing.assert_array_equal(mask_of_part(parts, 2), mask_of((100, 100, 104, 104)))


def test_equally_large_parts_come_from_the_top():
    parts = parts_of(mask_of((60, 10, 65, 15), (20, 50, 25, 55), (40, 90, 45, 95)))
    assert parts.rows[parts.begins].tolist() == [20, 40, 60]


def test_many_equally_large_parts_come_from_the_top_too():
    rng = np.random.default_rng(0)
    boxes = [(4 * row, left, 4 * row + 2, left + 2) for row, left in enumerate(rng.integers(0, 150, size=40).tolist())]
    parts = parts_of(mask_of(*boxes))
    assert parts.rows[parts.begins].tolist() == [4 * row for row in range(40)]


def test_pixels_are_kept_part_by_part_with_their_places_in_the_mask():
    parts = parts_of(mask_of((3, 2, 5, 4), (9, 7, 10, 12)))
    assert (parts.begins.tolist(), parts.label.tolist()) == ([0, 5], [0] * 5 + [1] * 4)
    np.testing.assert_array_equal(parts.at, parts.rows * NETWORK_PX + parts.columns)
    assert parts.sum(parts.columns).tolist() == [7 + 8 + 9 + 10 + 11, 2 + 3 + 2 + 3]
    assert parts.rows[parts.pixels(1)].tolist() == [3, 3, 4, 4]


def test_the_largest_values_of_each_part_are_averaged_or_all_of_a_small_part():
    parts = parts_of(mask_of((3, 2, 5, 4), (9, 7, 10, 12), (20, 20, 21, 22)))
    assert parts.areas.tolist() == [5, 4, 2]
    values = np.array([-11.5, 3, 12, -2, 0, 7, 7, 7, -1, -3, -5.5])
    np.testing.assert_allclose(parts.mean_of_largest(values, 3), [5, 7, -4.25], rtol=1e-12)


def test_pixels_that_touch_at_corners_are_one_part():
    # A far hero is a few pixels on a slant.
    assert areas(parts_of(np.eye(NETWORK_PX, dtype=bool))) == [NETWORK_PX]


def test_a_part_must_have_the_least_area():
    nine, eight, apart = mask_of((10, 10, 13, 13)), mask_of((10, 10, 12, 14)), mask_of((50, 50, 52, 54))
    assert areas(parts_of(nine, min_px=9)) == [9]
    assert parts_of(eight, min_px=9) is None
    assert parts_of(nine | apart, min_px=10) is None, "17 pixels, but apart"
    assert areas(parts_of(nine | apart, min_px=9)) == [9]


@pytest.mark.parametrize("shape", [(160, 160), (1, 1), (100, 200)])
def test_an_empty_mask_has_no_parts(shape):
    assert parts_of(np.zeros(shape, bool)) is None


def test_a_full_mask_is_one_part():
    assert areas(parts_of(np.ones((100, 200), bool))) == [20_000]


def test_no_more_than_so_many_parts_are_told_the_largest():
    # Single pixels two apart, and four squares of 2 × 2.
    crowd = np.zeros((160, 160), bool)
    crowd[:60:2, ::2] = True
    crowd |= mask_of(*((100, 10 * number, 102, 10 * number + 2) for number in range(4)))
    assert areas(parts_of(crowd)) == [4] * 4 + [1] * (MOST_PARTS - 4)


def test_strided_views_are_read_as_they_look():
    mask, hero = mask_of((40, 80, 80, 90), (40, 90, 80, 98)), mask_of((40, 80, 80, 90))
    depth = depth_of(NEAR, 160)
    depth[:, :70] = FAR
    plain = parts_of(mask[:, ::-1].copy(), depth[:, ::-1].copy(), hero=hero[:, ::-1].copy())
    strided = parts_of(mask[:, ::-1], depth[:, ::-1], hero=hero[:, ::-1])
    for one, other in zip(plain, strided, strict=True):
        np.testing.assert_array_equal(one, other)
    # Columns 80…89 become 70…79.
    assert sorted(set(strided.columns[strided.pixels(0)].tolist())) == list(range(70, 80))


@pytest.mark.parametrize("size", [64, 160, 256, 512])
def test_depth_is_looked_up_where_a_pixel_lies_in_a_depth_image_of_any_size(size):
    # Columns 80…159 of 160 are the right half.
    depth = depth_of(NEAR, size)
    depth[:, size // 2 :] = FAR
    parts = parts_of(mask_of((40, 70, 80, 79), (100, 80, 110, 90)), depth)
    assert set(parts.depths[parts.pixels(0)].tolist()) == {NEAR}
    assert set(parts.depths[parts.pixels(1)].tolist()) == {FAR}


# --- people at different depths


def test_people_who_touch_are_parted_where_their_depths_differ():
    # 10 columns each; the right one is 10 m behind.
    depth = depth_of(NEAR, 160)
    depth[:, 90:] = FAR
    parts = parts_of(mask_of((40, 80, 80, 100)), depth, min_px=8)
    assert areas(parts) == [400, 400]
    masks = [mask_of_part(parts, number) for number in (0, 1)]
    expected = [mask_of((40, 80, 80, 90)), mask_of((40, 90, 80, 100))]
    assert sorted(map(np.ndarray.tolist, masks)) == sorted(map(np.ndarray.tolist, expected))


def test_two_people_behind_a_third_are_three():
    depth = depth_of(NEAR, 160)
    depth[:, :85], depth[:, 95:] = FAR, 120
    parts = parts_of(mask_of((40, 75, 80, 105)), depth, min_px=8)
    assert areas(parts) == [400, 400, 400]


def test_people_of_one_depth_cannot_be_parted():
    depth = depth_of(NEAR, 160)
    depth[:, 90:] = NEAR + WINDOW - 1  # within one body's stretch
    assert areas(parts_of(mask_of((40, 80, 80, 100)), depth, min_px=8)) == [800]


def test_a_rim_of_background_is_nobody():
    # 1 pixel around a body of 10 × 40: 104 of 504 pixels, but hardly any of its own box.
    depth = depth_of(FAR, 160)
    depth[40:80, 80:90] = NEAR
    assert areas(parts_of(mask_of((39, 79, 81, 91)), depth, min_px=8)) == [504]


def test_a_patch_of_many_depths_is_nobody():
    # Ground that shines through from 30 m to 60 m, no more than a quarter of it within one body's stretch.
    depth = depth_of(NEAR, 160)
    depth[40:80, 90:100] = np.linspace(FAR, 153, 40).astype(np.uint8)[:, np.newaxis]
    assert areas(parts_of(mask_of((40, 80, 80, 100)), depth, min_px=8)) == [800]


def test_a_small_share_at_another_depth_is_nobody():
    # 8 × 8 of 864 pixels: 7 %, as of a lamp seen before somebody.
    depth = depth_of(NEAR, 160)
    depth[40:48, 100:108] = FAR
    mask = mask_of((40, 80, 80, 100), (40, 100, 48, 108))
    assert areas(parts_of(mask, depth, min_px=8)) == [864]


def test_two_small_shares_at_another_depth_are_nobody():
    # 8 × 8 twice of 928 pixels: 14 % together, and neither is a body.
    depth = depth_of(NEAR, 160)
    depth[:, 100:108] = FAR
    mask = mask_of((40, 80, 80, 100), (40, 100, 48, 108), (72, 100, 80, 108))
    assert areas(parts_of(mask, depth, min_px=8)) == [928]


def test_somebody_right_before_the_camera_is_parted_from_who_is_behind():
    depth = depth_of(NEAR, 160)
    depth[:, 92:] = 2  # 0.8 m
    assert areas(parts_of(mask_of((40, 80, 80, 100)), depth, min_px=8)) == [480, 320]


def test_nobody_is_parted_off_who_is_too_small_to_be_believed():
    depth = depth_of(NEAR, 160)
    depth[:, 90:] = FAR
    assert areas(parts_of(mask_of((40, 80, 44, 100)), depth, min_px=40)) == [40, 40]
    assert areas(parts_of(mask_of((40, 80, 44, 100)), depth, min_px=41)) == [80]


@pytest.mark.parametrize("level", [0, 255])
def test_depths_that_are_no_measurement_part_nobody(level):
    depth = depth_of(NEAR, 160)
    depth[:, 90:] = level
    assert areas(parts_of(mask_of((40, 80, 80, 100)), depth, min_px=8)) == [800]


# --- the hero beside somebody


def test_the_hero_and_somebody_side_by_side_at_one_depth_are_two():
    hero = mask_of((40, 80, 80, 90))
    parts = parts_of(hero | mask_of((42, 90, 80, 100)), min_px=8, hero=hero)
    assert areas(parts) == [400, 380]
    np.testing.assert_array_equal(mask_of_part(parts, 0), hero)


def test_hair_or_a_top_like_the_heros_is_not_parted_from_the_body_below():
    body = mask_of((40, 80, 80, 90))
    for hero in (mask_of((40, 80, 50, 90)), mask_of((46, 80, 62, 90)), mask_of((70, 80, 80, 90))):
        assert areas(parts_of(body, min_px=8, hero=hero)) == [400]


def test_without_anything_known_of_the_hero_nobody_is_parted_from_them():
    assert areas(parts_of(mask_of((40, 80, 80, 100)), min_px=8)) == [800]


def test_a_few_pixels_of_the_heros_at_a_side_are_no_hero():
    # 1 of 10 columns: less than 15 %.
    body = mask_of((40, 80, 80, 90))
    for hero in (mask_of((40, 80, 80, 81)), mask_of((40, 81, 80, 90))):
        assert areas(parts_of(body, min_px=8, hero=hero)) == [400]


def test_a_top_a_little_aside_is_nobody_beside():
    top, rest = mask_of((40, 80, 60, 90)), mask_of((60, 82, 80, 92))
    assert areas(parts_of(top | rest, min_px=8, hero=top)) == [400]


def test_in_each_part_the_hero_is_told_from_somebody_beside():
    # Three pairs, of 12, 11 and 10 rows; the right one of each is the smaller by a column.
    pairs = [(top, top + 12 - number) for number, top in enumerate((10, 40, 70))]
    hero = mask_of(*((top, 80, bottom, 84) for top, bottom in pairs))
    other = mask_of(*((top, 84, bottom, 87) for top, bottom in pairs))
    assert areas(parts_of(hero | other, min_px=8, hero=hero)) == [48, 44, 40, 36, 33, 30]


def test_a_part_is_divided_by_depth_and_then_by_the_hero():
    # Two behind and the hero beside somebody in front: all four touch.
    depth = depth_of(NEAR, 160)
    depth[:, 100:] = FAR
    hero = mask_of((40, 80, 80, 90))
    parts = parts_of(mask_of((40, 80, 80, 112)), depth, min_px=8, hero=hero)
    assert areas(parts) == [480, 400, 400]
    np.testing.assert_array_equal(mask_of_part(parts, 0), mask_of((40, 100, 80, 112)))


def test_parts_that_are_divided_are_ordered_by_their_new_sizes():
    # A pair of 30 × 40 and 15 × 40 pixels, and somebody of 20 × 40 alone.
    depth = depth_of(NEAR, 160)
    depth[:, 40:] = FAR
    parts = parts_of(mask_of((40, 10, 80, 55), (40, 100, 80, 120)), depth, min_px=8)
    assert areas(parts) == [1200, 800, 600]


# --- measured


def test_a_part_is_measured_in_the_cameras_pixels():
    # Network pixels are 256 / 160 = 1.6 camera pixels wide. Columns 80…89 span u = 128 … 144, rows 40…79 v = 64 … 128.
    outlines = outline(parts_of(mask_of((40, 80, 80, 90))), QUADSIM_CAMERA)
    np.testing.assert_allclose(outlines.centroids_px, [(136.0, 96.0)])
    np.testing.assert_allclose(outlines.boxes_px, [(128.0, 64.0, 144.0, 128.0)])
    np.testing.assert_allclose(outlines.feet_px, [(136.0, 128.0)])


def test_a_mask_and_a_camera_that_are_not_square_are_scaled_in_each_direction():
    # (H, W) = (100, 200) for an image of 480 × 640: u · 3.2, v · 4.8. Row 50, columns 100…107 have their centre at
    # column 104.0, row 50.5.
    parts = parts_of(mask_of((50, 100, 51, 108), shape=(100, 200)))
    outlines = outline(parts, Camera(image_px=480, width_px=640))
    np.testing.assert_allclose(outlines.centroids_px, [(104.0 * 3.2, 50.5 * 4.8)])


def test_the_feet_are_in_the_middle_of_the_lowest_row():
    # A body over columns 10…19 with one leg that ends in columns 10…11 of row 39: u = 11 · 1.6, v = 40 · 1.6.
    outlines = outline(parts_of(mask_of((20, 10, 35, 20), (35, 10, 40, 12))), QUADSIM_CAMERA)
    np.testing.assert_allclose(outlines.feet_px, [(17.6, 64.0)])


def test_each_part_is_measured_by_itself():
    outlines = outline(parts_of(mask_of((0, 0, 10, 10), (100, 50, 105, 60))), QUADSIM_CAMERA)
    np.testing.assert_allclose(outlines.centroids_px, [(8.0, 8.0), (88.0, 164.0)])
    np.testing.assert_allclose(outlines.boxes_px[1], (80.0, 160.0, 96.0, 168.0))
    np.testing.assert_allclose(outlines.feet_px, [(8.0, 16.0), (88.0, 168.0)])


def stretch(*levels: int, window: int = WINDOW) -> tuple[int, int, int]:
    """First step, pixels and sum of the densest stretch of one part with pixels of these depths."""
    parts = parts_of(mask_of((0, 0, 1, len(levels))))._replace(depths=np.array(levels, np.uint8))
    return tuple(int(each[0]) for each in stretches(parts, window))


def test_the_densest_stretch_leaves_out_occluder_and_background():
    assert stretch(13, 13, 51, 52, 53, 51, 153, 153) == (51, 4, 51 + 52 + 53 + 51)


def test_of_equally_dense_stretches_the_nearest_is_the_body():
    first, pixels, total = stretch(153, 51, 51, 153)
    assert first <= 51 < first + WINDOW
    assert (pixels, total) == (2, 102)


def test_depths_that_are_no_measurement_are_in_no_stretch():
    assert stretch(0, 0, 0, 255, 255, 255, 51)[1:] == (1, 51)
    assert stretch(0, 0, 255, 255)[1:] == (0, 0)
    assert stretch(1, 1, 254)[1:] == (2, 2)
    assert stretch(254, 254, 1)[1:] == (2, 508)


def test_a_stretch_may_be_longer_than_all_depths():
    assert stretch(1, 51, 254, window=300)[1:] == (3, 306)


def test_each_part_has_its_own_stretch():
    parts = parts_of(mask_of((0, 0, 1, 4), (9, 0, 10, 3)))
    parts = parts._replace(depths=np.array([50, 50, 50, 90, 90, 90, 50], np.uint8))
    _, pixels, totals = stretches(parts, WINDOW)
    assert (pixels.tolist(), totals.tolist()) == ([3, 2], [150, 180])

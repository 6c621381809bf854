import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from model import augment
from model.augment import Cutout, compress, cut_out, flip, light, shift_and_pad, tint, window
from model.profile import hero_profile
from model.scoring import HERO, PEOPLE, SURROUNDINGS


def paste(image, mask, cutout, area_px, rng, **changes):
    """Call `augment.paste` with the hero's profile and these changes."""
    return augment.paste(image, mask, cutout, area_px, rng, replace(hero_profile(), **changes))


class Drawn:
    """A random generator that returns given values, and notes the ranges that it is asked for."""

    def __init__(self, *values):
        self._values = list(values)
        self.asked = []

    def random(self):
        return self._values.pop(0)

    def choice(self, values):
        drawn = self._values.pop(0)
        assert drawn in values
        return drawn

    def integers(self, low, high=None, size=None):
        low, high = (0, low) if high is None else (low, high)
        return self._range(low, high) if size is None else np.array([self._range(low, high) for _ in range(size)])

    def uniform(self, low, high, size=None):
        return self._range(low, high) if size is None else np.array([self._range(low, high) for _ in range(size)])

    def _range(self, low, high):
        self.asked.append((low, high))
        return self._values.pop(0)


def rgb(grey):
    return np.repeat(np.array(grey, np.uint8)[..., None], 3, axis=-1)


IMAGE = rgb([[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34], [41, 42, 43, 44]])
MASK = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [0, 2, 2, 0], [0, 0, 0, 1]], np.uint8)


def test_the_picture_moves_down_and_left_and_black_surroundings_come_in():
    image, mask = shift_and_pad(IMAGE, MASK, Drawn(1, -1))
    np.testing.assert_array_equal(image, rgb([[0, 0, 0, 0], [12, 13, 14, 0], [22, 23, 24, 0], [32, 33, 34, 0]]))
    np.testing.assert_array_equal(mask, [[0, 0, 0, 0], [0, 1, 1, 0], [2, 2, 1, 0], [2, 2, 0, 0]])


def test_the_picture_moves_up_and_right():
    image, mask = shift_and_pad(IMAGE, MASK, Drawn(-2, 3), most=0.75)
    np.testing.assert_array_equal(image, rgb([[0, 0, 0, 31], [0, 0, 0, 41], [0, 0, 0, 0], [0, 0, 0, 0]]))
    np.testing.assert_array_equal(mask, np.zeros((4, 4)))


def test_no_shift_leaves_the_pair_as_it_is():
    image, mask = shift_and_pad(IMAGE, MASK, Drawn(0, 0))
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(mask, MASK)


def test_a_shift_is_at_most_a_share_of_height_and_of_width():
    # A quarter of 8 rows is 2, of 13 columns 3; the upper end of a range is excluded.
    drawn = Drawn(0, 0)
    shift_and_pad(np.zeros((8, 13, 3), np.uint8), np.zeros((8, 13), np.uint8), drawn)
    assert drawn.asked == [(-2, 3), (-3, 4)]


def test_the_arguments_are_left_as_they_were():
    image, mask = IMAGE.copy(), MASK.copy()
    rng = np.random.default_rng(0)
    for _ in range(10):
        moved_image, moved_mask = shift_and_pad(*flip(image, mask, rng), rng)
        moved_image += 1
        moved_mask += 1
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(mask, MASK)


def test_image_and_mask_are_moved_and_mirrored_together():
    # An image that shows its mask: in the result, 50 · (class + 1) still belongs to the class, and 0 is padding.
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 3, (16, 16)).astype(np.uint8)
    for _ in range(50):
        moved_image, moved_mask = shift_and_pad(*flip(rgb(50 * (mask + 1)), mask, rng), rng)
        came_in = moved_image[..., 0] == 0
        np.testing.assert_array_equal(moved_image[~came_in][:, 0], 50 * (moved_mask[~came_in] + 1))
        assert (moved_mask[came_in] == 0).all()


def test_below_one_half_left_and_right_change_places():
    image, mask = flip(IMAGE, MASK, Drawn(0.4999))
    np.testing.assert_array_equal(image[0, :, 0], [14, 13, 12, 11])
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0], [1, 2, 2, 0], [0, 2, 2, 0], [1, 0, 0, 0]])


def test_from_one_half_on_they_stay():
    image, mask = flip(IMAGE, MASK, Drawn(0.5))
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize(
    ("brightness", "contrast", "lit"),
    [
        (1.0, 1.0, [0, 110, 200, 255]),
        (0.5, 1.0, [0, 55, 100, 127]),  # 127.5 is cut to 127
        # (level − 110) · 0.5 + 110, so that 110 stays and all else comes nearer to it
        (1.0, 0.5, [55, 110, 155, 182]),
        (1.0, 2.0, [0, 110, 255, 255]),  # −110 and 290 are out of range
        (1.2, 0.75, [27, 126, 207, 255]),  # 27.5; 132 → 126.5; 240 → 207.5; 306 → 257
    ],
)
def test_light_scales_brightness_then_contrast_about_110(brightness, contrast, lit):
    np.testing.assert_array_equal(light(rgb([[0, 110, 200, 255]]), Drawn(brightness, contrast)), rgb([lit]))


def test_light_keeps_shape_and_type_and_draws_what_its_summary_says():
    drawn = Drawn(1.3, 1.2)
    lit = light(IMAGE, drawn)
    assert (lit.shape, lit.dtype) == (IMAGE.shape, np.uint8)
    assert drawn.asked == [(0.55, 1.35), (0.75, 1.25)]


# --- tint


def test_tint_scales_each_channel_by_itself():
    drawn = Drawn(0.9375, 1.0, 1.0625)
    np.testing.assert_array_equal(tint(rgb([[0, 160, 255]]), drawn), [[[0] * 3, [150, 160, 170], [239, 255, 255]]])
    assert drawn.asked == [(0.92, 1.08)] * 3


def test_tint_keeps_shape_and_type_and_its_argument():
    image = IMAGE.copy()
    tinted = tint(image, np.random.default_rng(0))
    assert (tinted.shape, tinted.dtype) == (IMAGE.shape, np.uint8)
    np.testing.assert_array_equal(image, IMAGE)


# --- window


def showing(mask):
    """An image that shows its mask: 50, 100 or 150 where there are surroundings, people or the hero."""
    return rgb(50 * (mask + 1))


def figure(px, top, left, size, class_number=HERO):
    mask = np.zeros((px, px), np.uint8)
    mask[top : top + size, left : left + size] = class_number
    return mask


def test_the_smallest_scale_shows_the_whole_frame():
    # 16 px to 12: everything 0.75 times as large.
    mask = figure(16, 4, 8, 4)
    drawn = Drawn(math.log(0.75), 0, 0)
    image, mask = window(showing(mask), mask, drawn, px=12, around=mask == PEOPLE)
    assert drawn.asked == [(math.log(0.75), math.log(1.35)), (0, 1), (0, 1)]
    np.testing.assert_array_equal(mask, figure(12, 3, 6, 3))
    np.testing.assert_array_equal(image, showing(figure(12, 3, 6, 3)))


def test_scale_1_cuts_out_pixels_as_they_are():
    drawn = Drawn(0.0, 1, 0)
    image, mask = window(IMAGE, MASK, drawn, px=2, around=MASK == HERO + 1)
    np.testing.assert_array_equal(image, IMAGE[1:3, 0:2])
    np.testing.assert_array_equal(mask, MASK[1:3, 0:2])
    assert drawn.asked[1:] == [(0, 3), (0, 3)]  # corners 0 to 4 − 2


def test_the_largest_scale_magnifies():
    # 8 / ln⁻¹(ln 2) = 4 of 8 px: a figure of 1 px has 2 × 2.
    mask = figure(8, 3, 2, 1, PEOPLE)
    image, mask = window(showing(mask), mask, Drawn(math.log(2), 2, 1), px=8, around=mask == HERO, largest=2.0)
    np.testing.assert_array_equal(mask, figure(8, 2, 2, 2, PEOPLE))
    # Between pixels the image is interpolated: 50 + 50 · (3/4)² at the four that are a quarter off the figure's centre.
    assert image[2:4, 2:4, 0].tolist() == [[78, 78], [78, 78]]


def test_a_chosen_pixel_of_the_hero_lands_where_it_is_told():
    # Of the hero's pixels (3, 5) and (3, 6) the second, at row 1 and column 2 of the window.
    mask = np.zeros((8, 8), np.uint8)
    mask[3, 5:7] = HERO
    drawn = Drawn(0.0, 0, 0, 1, 1, 2)
    _, seen = window(showing(mask), mask, drawn, px=4, around=mask == HERO)
    np.testing.assert_array_equal(seen, mask[2:6, 4:8])
    assert drawn.asked[3:] == [(0, 2), (0, 4), (0, 4)]


@pytest.mark.parametrize(("top", "left"), [(0, 0), (14, 14), (0, 14), (7, 3)])
def test_the_window_shows_the_hero_wherever_he_is(top, left):
    rng = np.random.default_rng(0)
    mask = figure(16, top, left, 2)
    for _ in range(100):
        _, seen = window(showing(mask), mask, rng, px=12, around=mask == HERO)
        assert (seen == HERO).any()


@pytest.mark.parametrize("px", [8, 12, 16])
def test_a_window_has_the_size_asked_for_and_image_and_mask_stay_together(px):
    rng = np.random.default_rng(0)
    mask = np.repeat(np.arange(2, dtype=np.uint8)[None] * HERO, 16, axis=0).repeat(8, axis=1)
    before = mask.copy()
    shares = []
    for _ in range(100):
        image, seen = window(showing(mask), mask, rng, px=px, around=mask == PEOPLE)
        assert (image.shape, image.dtype, seen.shape, seen.dtype) == ((px, px, 3), np.uint8, (px, px), np.uint8)
        # The left half shows 50, the right one 150; where they meet the image is interpolated.
        assert (seen[image[..., 0] < 75] == SURROUNDINGS).all()
        assert (seen[image[..., 0] > 125] == HERO).all()
        shares.append((seen == HERO).mean())
    np.testing.assert_array_equal(mask, before)
    assert min(shares) < 0.45 < 0.55 < max(shares)  # it moves about


# --- cut out


def numbered(px):
    """An image whose pixels are all different."""
    return np.arange(px * px * 3).astype(np.uint8).reshape(px, px, 3)


def test_a_figure_is_cut_out_with_its_box_and_its_shape():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 3] = mask[4, 3:6] = PEOPLE  # an L of 5 px in a box of 3 × 3
    (cutout,) = cut_out(numbered(8), mask, PEOPLE, least_px=5)
    np.testing.assert_array_equal(cutout.image, numbered(8)[2:5, 3:6])
    np.testing.assert_array_equal(cutout.shape, [[1, 0, 0], [1, 0, 0], [1, 1, 1]])
    assert cutout.shape.dtype == np.float32
    assert cutout.class_number == PEOPLE


def test_a_cutout_is_a_copy():
    image, mask = numbered(8), figure(8, 2, 2, 3)
    (cutout,) = cut_out(image, mask, HERO, least_px=1)
    image[:], mask[:] = 0, 0
    np.testing.assert_array_equal(cutout.image, numbered(8)[2:5, 2:5])
    assert cutout.shape.sum() == 9


def test_others_than_those_asked_for_are_left():
    assert cut_out(numbered(8), figure(8, 2, 2, 3, HERO), PEOPLE, least_px=1) == []


@pytest.mark.parametrize(("top", "left"), [(0, 2), (2, 0), (5, 2), (2, 5)])
def test_who_touches_the_edge_may_be_cut_off_and_is_left(top, left):
    assert cut_out(numbered(8), figure(8, top, left, 3), HERO, least_px=1) == []


@pytest.mark.parametrize(("least_px", "found"), [(9, 1), (10, 0)])
def test_who_has_fewer_pixels_than_asked_for_is_left(least_px, found):
    assert len(cut_out(numbered(8), figure(8, 2, 2, 3), HERO, least_px)) == found


def test_a_fragment_is_left_and_is_no_part_of_what_it_lies_beside():
    mask = np.zeros((8, 8), np.uint8)
    mask[1:6, 1] = mask[5, 1:6] = HERO  # an L of 9 px
    mask[2, 4] = HERO  # in its box, apart from it
    (cutout,) = cut_out(numbered(8), mask, HERO, least_px=2)
    assert cutout.shape.shape == (5, 5)
    assert cutout.shape.sum() == 9
    assert cutout.shape[1, 3] == 0


def test_two_who_stand_apart_are_two():
    mask = figure(16, 2, 2, 3) + figure(16, 9, 9, 4)
    assert sorted(cutout.shape.sum() for cutout in cut_out(numbered(16), mask, HERO, least_px=9)) == [9, 16]


# --- paste


def solid(height, width, grey=200, class_number=HERO):
    return Cutout(rgb(np.full((height, width), grey)), np.ones((height, width), np.float32), class_number)


NOWHERE = np.zeros((16, 16), np.uint8)
# Whole figures that stay as they are: smooth or by samples, mirrored or not.
SAMPLED, UNMIRRORED = 0.5, 0.5


def test_a_figure_is_pasted_at_the_size_and_place_drawn():
    # 10 × 10 px to 25: half as high and as wide, which makes nobody taller.
    drawn = Drawn(SAMPLED, UNMIRRORED, 3, 4, 0.0)
    image, mask = paste(rgb(np.full((16, 16), 90)), NOWHERE, solid(10, 10), 25.0, drawn)
    np.testing.assert_array_equal(mask, figure(16, 3, 4, 5))
    np.testing.assert_array_equal(image, rgb(np.where(figure(16, 3, 4, 5), 200, 90)))
    assert drawn.asked == [(0, 11), (0, 11), (math.log(0.25), math.log(1.25))]


def test_who_becomes_much_smaller_becomes_taller_and_narrower():
    # 20 × 20 px to 36: 6 × 6, drawn 1.25 times taller 7.5 × 4.8, rounded 8 × 5.
    drawn = Drawn(math.log(1.25), SAMPLED, UNMIRRORED, 0, 0, 0.0)
    _, mask = paste(rgb(NOWHERE), NOWHERE, solid(20, 20), 36.0, drawn)
    assert (mask[:8, :5] == HERO).all()
    assert (mask == HERO).sum() == 40
    assert drawn.asked[0] == (0, 0.35)


@pytest.mark.parametrize(("shade", "grey"), [(0.25, 50), (1.0, 200), (1.25, 250), (2.0, 255)])
def test_the_figure_stands_in_shade_or_sun(shade, grey):
    drawn = Drawn(SAMPLED, UNMIRRORED, 3, 4, math.log(shade))
    image, mask = paste(rgb(np.full((16, 16), 90)), NOWHERE, solid(5, 5), 25.0, drawn)
    assert set(image[mask == HERO].ravel()) <= {grey, grey - 1}  # exp(ln(shade)) may be a little less
    assert (image[mask != HERO] == 90).all()


def test_a_figure_may_be_mirrored():
    cutout = Cutout(rgb([[10, 20], [30, 40]]), np.array([[1, 0], [1, 1]], np.float32), HERO)
    image, mask = paste(rgb(NOWHERE), NOWHERE, cutout, 3.0, Drawn(SAMPLED, 0.49, 0, 0, 0.0))
    np.testing.assert_array_equal(image[:2, :2, 0], [[0, 10], [40, 30]])
    np.testing.assert_array_equal(mask[:2, :2], [[0, HERO], [HERO, HERO]])


def test_a_target_that_looks_otherwise_in_a_mirror_is_not_mirrored():
    cutout = Cutout(rgb([[10, 20], [30, 40]]), np.array([[1, 0], [1, 1]], np.float32), HERO)
    image, _ = paste(rgb(NOWHERE), NOWHERE, cutout, 3.0, Drawn(SAMPLED, 0, 0, 0.0), is_mirrored=False)
    np.testing.assert_array_equal(image[:2, :2, 0], [[10, 0], [30, 40]])


@pytest.mark.parametrize(("below", "rows"), [(True, slice(0, 3)), (False, slice(2, 5))])
def test_others_may_be_hidden_from_above_or_from_below(below, rows):
    drawn = Drawn(SAMPLED, UNMIRRORED, 0.49, 2, 0.49 if below else 0.5, 0, 0, 0.0)
    image, mask = paste(rgb(np.full((16, 16), 90)), NOWHERE, solid(5, 5, class_number=PEOPLE), 25.0, drawn)
    expected = np.zeros((16, 16), np.uint8)
    expected[rows, :5] = PEOPLE
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(image, rgb(np.where(expected, 200, 90)))


def test_the_others_may_be_whole():
    drawn = Drawn(SAMPLED, UNMIRRORED, 0.5, 0, 0, 0.0)
    _, mask = paste(rgb(NOWHERE), NOWHERE, solid(5, 5, class_number=PEOPLE), 25.0, drawn)
    np.testing.assert_array_equal(mask, PEOPLE * (figure(16, 0, 0, 5) > 0))


def test_what_stood_around_a_figure_stays_behind():
    # A disc of 100 in a box of 255, smoothly shrunk into darkness: nothing in the picture is brighter than the disc.
    across = np.hypot(*(np.mgrid[:21, :21] - 10)) <= 10
    disc = Cutout(rgb(np.where(across, 100, 255)), across.astype(np.float32), HERO)
    image, mask = paste(rgb(NOWHERE), NOWHERE, disc, 100.0, Drawn(0.0, UNMIRRORED, 2, 2, 0.0))
    assert image.max() == 100
    assert (image[mask == HERO] >= 50).all()  # labelled where it covers half of a pixel
    assert (image[mask != HERO] <= 50).all()


def test_others_stand_as_high_in_the_image_as_those_already_there():
    # The row drawn is 9, less half of the figure's 5, and one more.
    mask = figure(16, 8, 12, 3, PEOPLE)
    drawn = Drawn(SAMPLED, UNMIRRORED, 0, 2, 0.69, 9, 1, 0.0)
    _, pasted = paste(rgb(mask), mask, solid(5, 5), 25.0, drawn)
    np.testing.assert_array_equal(pasted, mask + figure(16, 8, 2, 5))


def test_not_everybody_stands_where_others_stand():
    mask = figure(16, 8, 12, 3, PEOPLE)
    _, pasted = paste(rgb(mask), mask, solid(5, 5), 25.0, Drawn(SAMPLED, UNMIRRORED, 0, 2, 0.7, 0.0))
    np.testing.assert_array_equal(pasted, mask + figure(16, 0, 2, 5))


@pytest.mark.parametrize("area_px", [9.0, 40.0, 150.0])
def test_a_figure_has_about_as_many_pixels_as_asked_for(area_px):
    rng = np.random.default_rng(0)
    nowhere = np.zeros((64, 64), np.uint8)
    shares = []
    for _ in range(200):
        _, mask = paste(rgb(nowhere), nowhere, solid(40, 15), area_px, rng)
        shares.append((mask == HERO).sum() / area_px)
    # Sides are rounded to whole pixels, at least 2.
    assert 0.7 < min(shares) <= np.median(shares) < 1.4
    assert max(shares) < 1.7


def test_nobody_grows():
    rng = np.random.default_rng(0)
    for _ in range(20):
        _, mask = paste(rgb(NOWHERE), NOWHERE, solid(5, 5), 1000.0, rng)
        assert 0 < (mask == HERO).sum() <= 25


@pytest.mark.parametrize(("height", "width"), [(16, 4), (4, 16)])
def test_who_does_not_fit_in_is_not_pasted(height, width):
    image, mask = rgb(NOWHERE), NOWHERE.copy()
    assert paste(image, mask, solid(height, width), 64.0, np.random.default_rng(0)) == (image, mask)
    assert not image.any()
    assert not mask.any()


def test_pasting_leaves_its_arguments_as_they_were():
    rng = np.random.default_rng(0)
    image, mask, cutout = numbered(16), figure(16, 3, 3, 4, PEOPLE), solid(6, 6)
    for _ in range(50):
        pasted_image, pasted_mask = paste(image, mask, cutout, 20.0, rng)
        assert (pasted_image.dtype, pasted_mask.dtype) == (np.uint8, np.uint8)
        pasted_image += 1
        pasted_mask += 1
    np.testing.assert_array_equal(image, numbered(16))
    np.testing.assert_array_equal(mask, figure(16, 3, 3, 4, PEOPLE))
    assert (cutout.image == 200).all()
    assert (cutout.shape == 1).all()


# --- compress


def test_a_compressed_image_is_close_to_what_it_was():
    ramp = np.linspace(0, 255, 32)
    image = np.stack(np.broadcast_arrays(ramp[None], ramp[:, None], 128), axis=-1).astype(np.uint8)
    before = image.copy()
    compressed = compress(image, np.random.default_rng(0))
    assert (compressed.shape, compressed.dtype) == (image.shape, np.uint8)
    difference = np.abs(compressed.astype(int) - image)
    assert 0 < difference.mean() < 4
    np.testing.assert_array_equal(image, before)


def test_compression_washes_out_the_colour_of_a_small_figure():
    image = np.full((16, 16, 3), 90, np.uint8)
    image[7:9, 7:9] = (250, 20, 20)
    red, green, _ = compress(image, Drawn(65))[7, 7].astype(int)
    assert 0 < red - green < 115  # less than half of 230


def test_compression_keeps_the_order_of_colours():
    image = np.full((16, 16, 3), (250, 120, 20), np.uint8)
    np.testing.assert_allclose(compress(image, Drawn(90)), image, atol=4)


def test_the_quality_is_drawn_from_65_to_90(monkeypatch):
    asked, real = [], cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda ending, *rest: asked.append((ending, rest[1])) or real(ending, *rest))
    drawn = Drawn(77)
    compress(IMAGE, drawn)
    assert drawn.asked == [(65, 91)]
    assert asked == [(".jpg", [cv2.IMWRITE_JPEG_QUALITY, 77])]

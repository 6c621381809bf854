import numpy as np
import pytest

from model.augment import flip, light, shift_and_pad


class Drawn:
    """A generator that draws what it is told, and says from where it was asked to."""

    def __init__(self, *values):
        self._values = list(values)
        self.asked = []

    def random(self):
        return self._values.pop(0)

    def integers(self, low, high):
        return self._range(low, high)

    def uniform(self, low, high):
        return self._range(low, high)

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
    # An image that shows its mask: whatever happens, 50 · (class + 1) belongs to the class, and 0 to what came in.
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

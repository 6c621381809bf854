"""People cut out for the second look, from pictures drawn by hand."""

import numpy as np
import pytest

from model.crops import CROP_PX, crop

HEIGHT, WIDTH = CROP_PX


def cut(top: int, left: int, bottom: int, right: int, px: int = 256) -> np.ndarray:
    """The crop of a red person with a green head, on blue."""
    image = np.full((px, px, 3), (0, 0, 200), np.uint8)
    image[top:bottom, left:right] = (200, 0, 0)
    image[top : top + (bottom - top) // 4, left:right] = (0, 200, 0)
    rows, columns = (axis.ravel() for axis in np.mgrid[top:bottom, left:right])
    return crop(image, rows, columns)


@pytest.mark.parametrize("high", [24, 40, 100, 200])
def test_a_person_of_any_size_fills_the_crop_but_for_a_rim(high):
    found = cut(20, 100, 20 + high, 100 + high // 4)
    assert found.shape == (*CROP_PX, 4)
    is_person = found[..., 3] > 127
    assert is_person.any(axis=1).sum() == pytest.approx(HEIGHT / 1.2, abs=3)
    assert is_person.any(axis=0).sum() == pytest.approx(WIDTH / 1.2 / 2, abs=3)
    middle = found[:, WIDTH // 2]
    assert middle[8, 1] > 100 > middle[8, 0], "the head is at the top"
    assert middle[34].tolist() == pytest.approx([200, 0, 0, 255], abs=20)
    assert found[24, 1].tolist() == pytest.approx([0, 0, 200, 0], abs=20)


def test_somebody_wide_keeps_their_proportions():
    is_person = cut(100, 80, 120, 160)[..., 3] > 127
    assert is_person.any(axis=0).sum() == pytest.approx(WIDTH / 1.2, abs=1)
    assert is_person.any(axis=1).sum() == pytest.approx(WIDTH / 1.2 / 4, abs=1)


@pytest.mark.parametrize(
    "box", [(0, 0, 40, 10), (216, 246, 256, 256), (0, 0, 256, 256), (0, 120, 1, 121), (255, 0, 256, 256)]
)
def test_beyond_the_edge_the_outermost_pixels_are_repeated(box):
    found = cut(*box)
    assert found.shape == (*CROP_PX, 4)
    assert found[..., 3].any()
    assert (found[..., :3].sum(axis=-1) > 100).all(), "nothing is black"

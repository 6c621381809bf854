"""The nearest layer of a pixel; `tests/tools/test_preprocess_ims.py` tests the rest through the command."""

import numpy as np
import pytest

from model.preprocessing import nearest_layer
from model.scoring import HERO, PEOPLE, SURROUNDINGS


@pytest.mark.parametrize(
    ("surroundings", "people", "hero", "nearest"),
    [
        (50, 100, 120, SURROUNDINGS),
        (100, 50, 255, PEOPLE),
        (100, 120, 60, HERO),
        (255, 255, 255, SURROUNDINGS),  # nothing anywhere
        # Ties, of surroundings − 1: 50 = 50, 99 = 99 = 99, then people = hero
        (51, 50, 255, SURROUNDINGS),
        (52, 50, 255, PEOPLE),  # 51 > 50
        (100, 99, 99, SURROUNDINGS),
        (100, 60, 60, PEOPLE),
        # 0 − 1 wraps around to 255: the farthest, but for ties
        (0, 254, 255, PEOPLE),
        (0, 255, 254, HERO),
        (0, 255, 255, SURROUNDINGS),
        (1, 0, 0, SURROUNDINGS),  # 0 = 0 = 0
    ],
)
def test_the_nearest_layer_is_the_originals(surroundings, people, hero, nearest):
    mask = nearest_layer(*(np.array([[grey]], np.uint8) for grey in (surroundings, people, hero)))
    expected = np.zeros(3, np.uint8)
    expected[nearest] = 255
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected.reshape(1, 1, 3))

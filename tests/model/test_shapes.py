"""Masks as runs and as polygons: both keep every pixel."""

import numpy as np
import pytest
from support.masks import mask_of

from model.shapes import mask_of_polygon, mask_of_runs, polygons_of, runs_of, unpacked

SMALL = mask_of((1, 0, 3, 2), shape=(3, 4))


def test_runs_go_down_the_columns_and_begin_outside():
    """Column 0 is 0 1 1, column 1 likewise, the other two are empty."""
    assert runs_of(SMALL) == [1, 2, 1, 2, 6]
    assert runs_of(~SMALL) == [0, 1, 2, 1, 2, 6]
    np.testing.assert_array_equal(mask_of_runs([1, 2, 1, 2, 6], (3, 4)), SMALL)


def test_polygons_go_around_the_pixels():
    """Columns 0 to 2, rows 1 to 3, from the upper left corner to the right."""
    (polygon,) = polygons_of(SMALL)
    assert sorted(polygon) == [(0, 1), (0, 3), (2, 1), (2, 3)]
    np.testing.assert_array_equal(mask_of_polygon(np.array(polygon, float), (3, 4)), SMALL)


def test_every_mask_comes_back_from_its_runs_and_from_its_polygons():
    random = np.random.default_rng(0)
    for _ in range(150):
        mask = random.random(random.integers(1, 14, size=2)) < random.random()
        np.testing.assert_array_equal(mask_of_runs(runs_of(mask), mask.shape), mask)
        covered = sum(
            (mask_of_polygon(np.array(each, float), mask.shape).astype(int) for each in polygons_of(mask)),
            np.zeros(mask.shape, int),
        )
        np.testing.assert_array_equal(covered, mask)  # once each


def test_a_hole_is_kept_without_holes_in_polygons():
    ring = mask_of((0, 0, 5, 5), shape=(6, 6)) & ~mask_of((2, 2, 3, 3), shape=(6, 6))
    polygons = polygons_of(ring)
    assert len(polygons) == 2
    np.testing.assert_array_equal(sum(mask_of_polygon(np.array(each, float), ring.shape) for each in polygons), ring)


def test_a_pixel_belongs_to_a_polygon_that_holds_its_centre():
    """From x = 0.4 to 1.6 are the centres 0.5 and 1.5; what lies outside of the picture is cut off."""
    polygon = np.array([(0.4, -5), (1.6, -5), (1.6, 1.4), (0.4, 1.4)])
    np.testing.assert_array_equal(mask_of_polygon(polygon, (3, 4)), mask_of((0, 0, 1, 2), shape=(3, 4)))
    far = np.array([(-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6)])
    assert mask_of_polygon(far, (3, 4)).all()


def test_packed_runs_are_those_of_cocos_own_library():
    """What pycocotools 2.0.11 gives for a square and a pixel of 256×256."""
    mask = mask_of((40, 30, 60, 50), (10, 10, 11, 11), shape=(256, 256))
    assert unpacked("Z`21mP5c0_VK0000000000000000000000000000000000000h^c1") == runs_of(mask)


@pytest.mark.parametrize("text", ["Z`", "p", "\x1f", "é", "oooooooooooo1"])
def test_what_is_no_packed_run_is_refused(text):
    with pytest.raises(ValueError, match="expected packed runs"):
        unpacked(text)


@pytest.mark.parametrize("runs", [[], [11], [13], [-1, 13], [5, 5, 5]])
def test_runs_that_do_not_fill_the_mask_are_refused(runs):
    with pytest.raises(ValueError, match="expected runs of 12 pixels together"):
        mask_of_runs(runs, (3, 4))

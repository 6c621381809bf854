"""Whether something stands in front of a place, by depth images drawn by hand."""

import math

import numpy as np
import pytest

from server.sight.geometry import QUADSIM_CAMERA, Camera
from server.sight.surfaces import Surfaces
from server.wire.messages import Pose

LEVEL = Pose(0.0, 0.0, 2.0, 0.0, 0.0, 0.0)
AHEAD = (20.0, 0.0, 2.0)  # in the middle of the picture
HOUSE_M = 10.0
IN_FRONT_M = 1.5


def depth(metres: float, px: int = 256) -> np.ndarray:
    return np.full((px, px), round(255 * metres / QUADSIM_CAMERA.far_m), np.uint8)


@pytest.mark.parametrize("px", [64, 160, 256, 250])
def test_a_house_hides_who_is_behind_it_and_nobody_before_it_or_beside(px):
    image = depth(100.0, px)
    image[:, 3 * px // 8 : 5 * px // 8] = depth(HOUSE_M)[0, 0]
    surfaces = Surfaces.of(image, QUADSIM_CAMERA, LEVEL)
    assert surfaces.hide(AHEAD, IN_FRONT_M)
    assert surfaces.hide((11.9, 0.0, 2.0), IN_FRONT_M)
    assert not surfaces.hide((11.0, 0.0, 2.0), IN_FRONT_M), "within the error of a prediction"
    assert not surfaces.hide((9.0, 0.0, 2.0), IN_FRONT_M)
    aside_m = 20.0 * math.tan(math.radians(0.3 * QUADSIM_CAMERA.vertical_fov_deg))
    assert not surfaces.hide((20.0, aside_m, 2.0), IN_FRONT_M)


def test_a_place_that_is_seen_through_a_gap_is_not_hidden():
    image = depth(HOUSE_M)
    image[126:131, 126:131] = 255
    assert not Surfaces.of(image, QUADSIM_CAMERA, LEVEL).hide(AHEAD, IN_FRONT_M)


@pytest.mark.parametrize("px", [64, 160, 256, 250])
def test_no_pixel_is_lost(px):
    for at in range(0, px, 7):
        image = np.full((px, px), 20, np.uint8)
        image[at, px - 1 - at] = 200
        assert set(Surfaces.of(image, QUADSIM_CAMERA, LEVEL).depths_255) == {20, 200}, at


@pytest.mark.parametrize(("left", "up"), [(0.2, 0.2), (0.2, -0.2), (-0.2, 0.2), (-0.2, -0.2)])
def test_a_house_in_a_corner_of_the_picture_hides_who_is_behind_it_there(left, up):
    """Rises over the run of rays: the edges of the picture are at tan 30° = 0.58."""
    image = depth(100.0)
    rows, columns = slice(0, 128) if up > 0 else slice(128, 256), slice(0, 128) if left > 0 else slice(128, 256)
    image[rows, columns] = depth(HOUSE_M)[0, 0]
    surfaces = Surfaces.of(image, QUADSIM_CAMERA, LEVEL)
    hidden = [
        (y, z) for y in (0.2, -0.2) for z in (0.2, -0.2) if surfaces.hide((20.0, 20.0 * y, 2.0 + 20.0 * z), IN_FRONT_M)
    ]
    assert hidden == [(left, up)]


@pytest.mark.parametrize("depth_255", [0, 255])
def test_a_depth_that_is_no_measurement_hides_nobody(depth_255):
    surfaces = Surfaces.of(np.full((256, 256), depth_255, np.uint8), QUADSIM_CAMERA, LEVEL)
    assert not surfaces.hide(AHEAD, IN_FRONT_M)
    assert not surfaces.hide((QUADSIM_CAMERA.far_m + 10.0, 0.0, 2.0), IN_FRONT_M)


@pytest.mark.parametrize("place", [(-20.0, 0.0, 2.0), (20.0, 15.0, 2.0), (20.0, -15.0, 2.0), (20.0, 0.0, 40.0)])
def test_nothing_is_known_of_a_place_outside_of_the_picture(place):
    assert not Surfaces.of(depth(HOUSE_M), QUADSIM_CAMERA, LEVEL).hide(place, IN_FRONT_M)


def test_the_camera_may_look_anywhere_and_be_wide():
    camera, pose = Camera(256, 60.0, 100.0, 512), Pose(5.0, 5.0, 12.0, 0.0, 30.0, 90.0)
    # 20 m along the optical axis of a camera that looks 30° down to the left.
    place = (5.0, 5.0 + 20.0 * math.cos(math.radians(30)), 12.0 - 20.0 * math.sin(math.radians(30)))
    near, far = (
        Surfaces.of(np.full((256, 512), round(255 * metres / 100), np.uint8), camera, pose) for metres in (15, 20)
    )
    assert near.hide(place, IN_FRONT_M)
    assert not far.hide(place, IN_FRONT_M)


def test_a_recording_whose_blocks_are_missing_hides_nobody():
    assert not Surfaces(b"", QUADSIM_CAMERA, LEVEL).hide(AHEAD, IN_FRONT_M)

"""Which part of a frame is looked at, and which people are cut off by its edge."""

import math

import numpy as np
import pytest
from PIL import Image
from support.fake_engine import BLUE, RED, ColourEngine
from support.images import saved

from model.profile import hero_profile
from server.sight.geometry import QUADSIM_CAMERA, Camera, pixel_to_world
from server.sight.people import Box
from server.sight.region import Region, region_around
from server.sight.sight import Sight
from server.wire.messages import Frame, Pose, SensorFrame

LEVEL = Pose(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
PART_PX = (160, 96)


def around(pixel_px=(128.0, 128.0), depth_m=8.0, camera=QUADSIM_CAMERA, pose=LEVEL, image_px=256, part_px=PART_PX):
    """The part around somebody whose middle is seen at a pixel."""
    place_m = tuple(pixel_to_world(pixel_px, depth_m, camera, pose).tolist())
    return region_around(place_m, camera, pose, hero_profile(), image_px, part_px)


def test_somebody_is_in_the_middle_of_the_part_as_far_as_its_stride_allows():
    """(160, 96) around (128, 128) would begin at (48, 80): both are multiples of 16. At (132, 117): 37 and 84."""
    assert around() == Region(48, 80, 160, 96, 256)
    assert around((132.0, 117.0)) == Region(32, 80, 160, 96, 256)


def test_at_the_edge_of_the_image_the_part_ends_there():
    assert around((10.0, 128.0)) == Region(48, 0, 160, 96, 256)
    assert around((250.0, 250.0), depth_m=20.0) == Region(96, 160, 160, 96, 256)


@pytest.mark.parametrize(
    ("pixel_px", "depth_m", "fits"),
    [
        ((128.0, 128.0), 3.5, True),  # (1.75 m + 2 · 0.15 m) · 221.7 px / 3.5 m = 130 px of 160, less 2 · 8
        ((128.0, 128.0), 3.1, False),  # 147 px
        ((-1.0, 128.0), 8.0, False),  # out of the picture
        ((128.0, 256.5), 8.0, False),
    ],
)
def test_who_is_too_large_or_not_in_the_picture_takes_a_whole_frame(pixel_px, depth_m, fits):
    assert (around(pixel_px, depth_m) is not None) == fits


@pytest.mark.parametrize(("depth_m", "fits"), [(8.0, True), (5.0, False)])
def test_who_is_too_wide_takes_a_whole_frame(depth_m, fits):
    """Half of 0.5 m, and 0.15 m, are 11 px at 8 m and 18 px at 5 m; the limit is half of 48 px, less 8 px."""
    assert (around((136.0, 128.0), depth_m, part_px=(160, 48)) is not None) == fits


@pytest.mark.parametrize("up", [1, -1], ids=["feet", "head"])
def test_nobody_whose_feet_or_head_is_behind_the_camera_is_in_a_part(up):
    """Their middle is straight ahead, 0.6 m above the camera or below it and 0.3 m away."""
    steep = LEVEL._replace(pitch_deg=-up * math.degrees(math.atan2(0.6, 0.3)))
    assert region_around((0.3, 0.0, 1.0 + up * 0.6), QUADSIM_CAMERA, steep, hero_profile(), 256, PART_PX) is None


def test_nobody_behind_the_camera_or_below_it_is_in_a_part():
    for place_m in ((-5.0, 0.0, 1.0), (0.0, 0.0, -3.0), (0.0, 0.0, 1.0)):
        assert region_around(place_m, QUADSIM_CAMERA, LEVEL, hero_profile(), 256, PART_PX) is None


def test_behind_the_hero_as_quadsim_flies_a_part_is_enough():
    """2 m behind and 3 m above the feet, looking at 1 m above them: 45° down."""
    pose = Pose(0.0, 0.0, 3.0, 0.0, 45.0, 0.0)
    assert region_around((2.0, 0.0, 0.9), QUADSIM_CAMERA, pose, hero_profile(), 256, PART_PX) is not None


def test_of_a_wide_image_the_part_is_where_the_network_sees_it():
    """512 × 256: the network's pixels are two of the camera's wide. u = 384 of 512 is 192 of 256."""
    assert around((384.0, 128.0), camera=Camera(width_px=512)) == Region(48, 144, 160, 96, 256)


def test_of_a_large_image_the_part_is_where_the_network_sees_it():
    assert around((264.0, 234.0), camera=Camera(image_px=512)) == around((132.0, 117.0))


@pytest.mark.parametrize(
    ("box", "is_shown"),
    [
        (Box(90, 60, 120, 190), True),
        (Box(81, 60, 120, 190), False),  # within 2 px of the part's left edge, at 80
        (Box(90, 49, 120, 190), False),
        (Box(90, 60, 175, 190), False),
        (Box(90, 60, 120, 207), False),
    ],
)
def test_who_reaches_the_edge_of_the_part_is_not_shown_whole(box, is_shown):
    assert Region(48, 80, 160, 96, 256).shows(box, QUADSIM_CAMERA) == is_shown


def test_the_edge_of_the_image_cuts_nobody_off_who_is_not_cut_off_in_a_whole_frame():
    assert Region(0, 160, 160, 96, 256).shows(Box(200, 0, 256, 100), QUADSIM_CAMERA)
    assert not Region(0, 160, 160, 96, 256).shows(Box(160, 0, 256, 100), QUADSIM_CAMERA)


# --- what is seen in it


def picture() -> np.ndarray:
    """Somebody red in the middle, somebody blue at the left and somebody blue at the edge of the part: 160 × 160 px."""
    image = np.full((160, 160, 3), 128, np.uint8)
    image[60:100, 75:85] = RED
    image[60:100, 10:20] = BLUE
    image[70:90, 104:116] = BLUE  # the part is 48 to 112
    return image


def look(expected_m, **engine):
    rgb_image, depth_image = Image.fromarray(picture()), Image.new("L", (160, 160), 18)  # 18 / 255 · 100 m = 7.1 m
    content = SensorFrame(None, saved(rgb_image, "PNG"), saved(depth_image, "PNG"), LEVEL, LEVEL)
    frame = Frame(1, 0.0, None, content, expected_m)
    return Sight(ColourEngine(**engine), Camera()).look(frame)


def test_only_the_part_is_looked_at_and_who_is_cut_off_is_nobody():
    whole, part = look(None, part_px=(112, 64)), look((7.1, 0.0, 1.0), part_px=(112, 64))
    assert (whole.is_part, part.is_part) == (False, True)
    assert len(whole.sightings) == 3
    (sighting,) = part.sightings
    assert sighting in whole.sightings, "as in the whole, to the last digit"
    assert math.dist(sighting.centroid_px, (128.0, 128.0)) < 1e-6
    assert part.probabilities.shape == whole.probabilities.shape == (160, 160, 3)
    looked_at = part.probabilities.any(axis=-1)
    assert looked_at.sum() == 112 * 64
    np.testing.assert_array_equal(part.probabilities[looked_at], whole.probabilities[looked_at])


def test_a_network_that_takes_no_parts_looks_at_the_whole():
    assert look((7.1, 0.0, 1.0)).sightings == look(None).sightings
    assert not look((7.1, 0.0, 1.0)).is_part

"""The original's logic on images painted for a network that takes red for the hero; its geometry worked by hand."""

import io

import numpy as np
import pytest
from PIL import Image
from support.fake_engine import GREY, RED, ColourEngine

from server.wire.messages import Pose
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.original import OriginalPilot, original_position_m

LEVEL = Pose(1.0, 2.0, 3.0, 0.0, 0.0, 0.0)


def frame(*squares_px: tuple[int, int, int]) -> dict[str, str]:
    """A frame with red squares of (top, left, side), losslessly compressed."""
    image = np.full((160, 160, 3), GREY, np.uint8)
    for top, left, side in squares_px:
        image[top : top + side, left : left + side] = RED
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return sensor_frame_fields(file.getvalue(), np.full((160, 160), 40.0), LEVEL, timestamp_s=1.0)


def test_the_row_counts_as_u_the_column_as_v_and_the_image_size_as_focal_length():
    # Row 100 of 160 is 20 beyond the middle, column 40 is 40 before it; 51 / 255 · 50 m = 10 m.
    mask = np.zeros((160, 160), bool)
    mask[99:102, 39:42] = True
    position_m = original_position_m(mask, np.full((256, 256), 51, np.uint8), LEVEL)
    right_m, down_m = 20 * 10 / 160, -40 * 10 / 160
    np.testing.assert_allclose(position_m, [1 + 10, 2 - right_m, 3 - down_m])


def test_the_depth_is_looked_up_at_the_networks_pixel_of_the_larger_depth_image():
    mask = np.zeros((160, 160), bool)
    mask[80, 80] = True
    depth_255 = np.zeros((256, 256), np.uint8)
    depth_255[80, 80] = 51  # 128, 128 would be the same place
    np.testing.assert_allclose(original_position_m(mask, depth_255, LEVEL), [11.0, 2.0, 3.0])


def test_the_centre_is_that_of_the_largest_blob():
    mask = np.zeros((160, 160), bool)
    mask[10, 10:14] = mask[79:82, 79:84] = True
    position_m = original_position_m(mask, np.full((160, 160), 51, np.uint8), LEVEL)
    np.testing.assert_allclose(position_m, [11.0, 2.0, 3.0 - 10 / 160])


@pytest.mark.parametrize(("side", "events"), [(3, []), (4, ["object_detected"])])
def test_more_than_ten_pixels_are_a_hero_at_once(side, events):
    answer = OriginalPilot(ColourEngine()).on_frame(frame((80, 80, side)), 0.0)
    assert [command.event for command in answer] == events


@pytest.mark.parametrize(("target", "events"), [(None, ["object_detected"]), ("dog", [])])
def test_of_a_network_of_two_targets_one_is_followed(target, events):
    answer = OriginalPilot(ColourEngine(has_dog=True), target).on_frame(frame((80, 80, 20)), 0.0)
    assert [command.event for command in answer] == events


def test_pixels_count_together_though_no_blob_has_enough():
    answer = OriginalPilot(ColourEngine()).on_frame(frame((20, 20, 3), (100, 100, 3)), 0.0)
    assert [command.event for command in answer] == ["object_detected"]


def test_it_is_lost_with_the_seventh_miss_in_a_row_and_told_once():
    pilot = OriginalPilot(ColourEngine())
    misses = [frame()] * 6
    sequence = [frame((80, 80, 9)), *misses, frame((80, 80, 9)), *misses, frame(), frame()]
    events = [[command.event for command in pilot.on_frame(fields, 0.0)] for fields in sequence]
    assert events == [["object_detected"], *[[]] * 6, ["object_detected"], *[[]] * 6, ["object_lost"], []]


def test_it_says_nothing_before_it_has_seen_the_hero():
    pilot = OriginalPilot(ColourEngine())
    assert [pilot.on_frame(frame(), 0.0) for _ in range(9)] == [[]] * 9
    assert pilot.on_tick(100.0) == []

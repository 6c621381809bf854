"""The drawn sequence shows what it says: a hero at a known place, in the middle of it only."""

import itertools

import numpy as np
import pytest

from server.geometry import QUADSIM_CAMERA, back_project, project
from tools.simulator.drawn import CAMERA_HEIGHT_M, draw_sequence


@pytest.fixture(scope="module")
def sequence():
    return draw_sequence(frame_count=60, seed=3)


def test_it_begins_and_ends_without_the_hero_and_shows_it_in_between(sequence):
    assert [frame.hero_px for frame in sequence[:2]] == [0, 0]
    assert [frame.hero_px for frame in sequence[-2:]] == [0, 0]
    assert min(frame.hero_px for frame in sequence[10:44]) > 500


def test_the_hero_is_as_large_as_in_quadsims_frames(sequence):
    """A follow from 3 m up and 2 m behind shows some 70–100 px from head to feet."""
    frame = sequence[10]
    head, feet = (
        project(frame.hero_position_m + np.array([0.0, 0.0, up_m]), QUADSIM_CAMERA, frame.gimbal_pose)
        for up_m in (0.85, -0.9)
    )
    assert 70 < feet.v_px - head.v_px < 100


def test_the_depth_at_the_heros_middle_is_the_heros(sequence):
    for frame in sequence[10:44]:
        middle = project(frame.hero_position_m, QUADSIM_CAMERA, frame.gimbal_pose)
        assert frame.depth_m[int(middle.v_px), int(middle.u_px)] == pytest.approx(middle.depth_m, abs=0.35)


def test_the_lowest_rows_depth_is_that_of_the_ground(sequence):
    frame = sequence[20]
    down_m = back_project((5.5, 255.5), frame.depth_m[255, 5], QUADSIM_CAMERA)
    pitch_rad = np.radians(frame.gimbal_pose.pitch_deg)
    assert down_m[0] * np.sin(pitch_rad) - down_m[2] * np.cos(pitch_rad) == pytest.approx(CAMERA_HEIGHT_M)


def test_the_hero_walks_and_the_camera_follows(sequence):
    steps_m = [abs(b.hero_position_m[0] - a.hero_position_m[0]) for a, b in itertools.pairwise(sequence[10:44])]
    np.testing.assert_allclose(steps_m, 1.485 * 0.2)
    assert sequence[43].gimbal_pose.x_m > sequence[10].gimbal_pose.x_m


def test_a_seed_draws_the_same_sequence_again_and_another_one_another():
    first, again, other = draw_sequence(12, seed=3), draw_sequence(12, seed=3), draw_sequence(12, seed=4)
    np.testing.assert_array_equal(first[5].image, again[5].image)
    assert (first[5].image != other[5].image).any()


def test_a_sequence_too_short_to_tell_its_story_is_an_error():
    with pytest.raises(ValueError, match="expected a frame_count of at least 12, got 11"):
        draw_sequence(11)

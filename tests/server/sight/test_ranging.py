"""Distances without depth images, of people whose place is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from model.profile import hero_profile
from server.sight.geometry import QUADSIM_CAMERA, Camera, project
from server.sight.ranging import Outline, Range, by_ground, by_height, fused
from server.wire.messages import Pose

HERO = hero_profile()
POSE = Pose(3.0, -2.0, 5.0, 0.0, 15.0, 40.0)


def standing(distance_m: float, camera: Camera = QUADSIM_CAMERA, pose: Pose = POSE, height_m: float = 1.75) -> Outline:
    """Somebody upright straight ahead, on the ground."""
    yaw_rad = math.radians(pose.yaw_deg)
    x_m, y_m = pose.x_m + distance_m * math.cos(yaw_rad), pose.y_m + distance_m * math.sin(yaw_rad)
    ends = [project(np.array([x_m, y_m, camera.ground_z_m + up_m]), camera, pose) for up_m in (height_m, 0.0)]
    (u_px, top_px, _), (_, bottom_px, _) = ends
    return Outline((u_px, (top_px + bottom_px) / 2), u_px - 4.0, top_px, u_px + 4.0, bottom_px)


def over_ground_m(found: Range, pose: Pose, body: Outline, camera: Camera = QUADSIM_CAMERA) -> float:
    """Distance over the ground, from a planar depth along the middle's ray; the camera has no roll."""
    down_rad = math.radians(pose.pitch_deg)
    up = (camera.image_px / 2 - body.centroid_px[1]) / camera.focal_px
    return found.depth_m * (math.cos(down_rad) + up * math.sin(down_rad))


@pytest.mark.parametrize("distance_m", [6.0, 12.0, 25.0, 40.0])
@pytest.mark.parametrize("ground_z_m", [0.0, -3.0, 2.0])
def test_both_ways_find_somebody_who_stands_on_the_ground(distance_m, ground_z_m):
    camera = Camera(ground_z_m=ground_z_m)
    pose = POSE._replace(z_m=ground_z_m + 5.0)
    body = standing(distance_m, camera, pose)
    for measure in (by_height, by_ground):
        found = measure(body, camera, pose, HERO)
        assert over_ground_m(found, pose, body) == pytest.approx(distance_m, rel=1e-6)


def test_a_tall_person_misleads_the_height_and_not_the_ground():
    body = standing(20.0, height_m=2.1)
    assert over_ground_m(by_height(body, QUADSIM_CAMERA, POSE, HERO), POSE, body) == pytest.approx(20 * 1.75 / 2.1)
    assert over_ground_m(by_ground(body, QUADSIM_CAMERA, POSE, HERO), POSE, body) == pytest.approx(20.0)


def test_the_ground_is_the_less_certain_the_further_and_the_lower_the_camera():
    near, far = (by_ground(standing(distance_m), QUADSIM_CAMERA, POSE, HERO) for distance_m in (10.0, 40.0))
    assert 4 * near.std_m < far.std_m < 32 * near.std_m
    low = POSE._replace(z_m=1.0, pitch_deg=0.0)
    assert by_ground(standing(10.0, pose=low), QUADSIM_CAMERA, low, HERO).std_m > 3 * near.std_m


STEEP = POSE._replace(pitch_deg=45.0)


def test_the_deviation_is_that_of_a_row_of_the_network_of_the_height_of_the_ground_and_of_the_bodys_middle():
    body = standing(6.0, pose=STEEP)._replace(row_px=1.6)
    found = by_ground(body, QUADSIM_CAMERA, STEEP, HERO)
    higher = by_ground(body._replace(bottom_px=body.bottom_px - 1.6), QUADSIM_CAMERA, STEEP, HERO)
    raised = by_ground(body, Camera(ground_z_m=0.15), STEEP, HERO)
    by_row_m, by_height_m = higher.depth_m - found.depth_m, found.depth_m - raised.depth_m
    run = 6.0 / found.depth_m  # over ground for each metre of depth
    by_middle_m = HERO.centroid_std_m * math.sqrt(1 - run**2) / run
    assert found.std_m == pytest.approx(math.hypot(by_row_m, by_height_m, by_middle_m), rel=0.03)


@pytest.mark.parametrize("measure", [by_ground, by_height], ids=["ground", "height"])
def test_who_is_beyond_far_is_not_measured(measure):
    body = standing(6.0, pose=STEEP)
    depth_m = measure(body, QUADSIM_CAMERA, STEEP, HERO).depth_m
    assert measure(body, Camera(far_m=1.01 * depth_m), STEEP, HERO).depth_m == pytest.approx(depth_m)
    assert measure(body, Camera(far_m=0.99 * depth_m), STEEP, HERO) is None


def test_a_coarser_network_is_less_certain():
    fine, coarse = standing(30.0), standing(30.0)._replace(row_px=2.0)
    assert by_ground(coarse, QUADSIM_CAMERA, POSE, HERO).std_m > 1.5 * by_ground(fine, QUADSIM_CAMERA, POSE, HERO).std_m


@pytest.mark.parametrize(
    ("body", "pose"),
    [
        (standing(20.0)._replace(bottom_px=256.0), POSE),  # cut off
        (standing(20.0)._replace(bottom_px=20.0), POSE),  # above the horizon
        (standing(20.0), POSE._replace(z_m=-1.0)),  # a camera under the ground
        (standing(20.0)._replace(bottom_px=69.5), POSE),  # just below the horizon: beyond far
    ],
)
def test_feet_that_tell_nothing_give_no_distance(body, pose):
    assert by_ground(body, QUADSIM_CAMERA, pose, HERO) is None


DOWN = Pose(0.0, 0.0, 10.0, 0.0, 90.0, 0.0)  # the upper edge of the image looks ahead, the lower edge behind


def seen_from_above(behind_m: float, half_width_m: float = 0.0) -> Outline:
    """Somebody upright behind the place straight below a camera that looks down, on the ground."""
    ends_m = [(x_m, up_m) for x_m in (-behind_m - half_width_m, -behind_m + half_width_m) for up_m in (0.0, 1.75)]
    vs_px = [project(np.array([x_m, 0.0, up_m]), QUADSIM_CAMERA, DOWN).v_px for x_m, up_m in ends_m]
    return Outline((128.0, (min(vs_px) + max(vs_px)) / 2), 120.0, min(vs_px), 136.0, max(vs_px))


@pytest.mark.parametrize("behind_m", [-3.0, 3.0])
def test_behind_a_camera_that_looks_straight_down_the_feet_are_at_the_upper_edge(behind_m):
    body = seen_from_above(behind_m)
    found = by_ground(body, QUADSIM_CAMERA, DOWN, HERO)
    # Straight down, the depth is the height above the body's middle, and over ground it is 3 m. The ray through the
    # head meets the ground 3 · 10 / 8.25 = 3.6 m away.
    assert found.depth_m * abs(body.centroid_px[1] - 128.0) / QUADSIM_CAMERA.focal_px == pytest.approx(3.0)
    assert found.std_m == pytest.approx(by_ground(seen_from_above(-behind_m), QUADSIM_CAMERA, DOWN, HERO).std_m)


@pytest.mark.parametrize("behind_m", [0.4, 0.5, 0.7, 1.0, 1.5, 3.0])
def test_nearly_straight_below_the_camera_the_depth_is_as_uncertain_as_it_is_wrong(behind_m):
    """The feet that are seen are 0.25 m, 2.5 σ, from the body's middle, which is 10 − 1.75 / 2 m below the camera."""
    found = by_ground(seen_from_above(behind_m, half_width_m=0.25), QUADSIM_CAMERA, DOWN, HERO)
    assert abs(found.depth_m - 9.125) < 3.0 * found.std_m


def test_feet_at_the_upper_edge_may_be_cut_off_there():
    pose = DOWN._replace(pitch_deg=120.0)
    body = Outline((128.0, 15.0), 120.0, 0.4, 136.0, 30.0)
    assert by_ground(body, QUADSIM_CAMERA, pose, HERO) is None
    assert by_ground(body._replace(top_px=0.6), QUADSIM_CAMERA, pose, HERO) is not None


def test_straight_below_the_camera_the_feet_tell_nothing():
    assert by_ground(seen_from_above(0.0, half_width_m=0.25), QUADSIM_CAMERA, DOWN, HERO) is None


def test_who_is_not_upright_has_no_height_to_measure():
    body = standing(10.0)
    assert by_height(body, QUADSIM_CAMERA, POSE, replace(HERO, is_upright=False)) is None
    assert by_height(body._replace(top_px=0.0), QUADSIM_CAMERA, POSE, HERO) is None


@pytest.mark.parametrize(("pitch_deg", "is_measured"), [(55.0, True), (65.0, False)])
def test_from_above_nobody_has_a_height_to_measure(pitch_deg, is_measured):
    pose = POSE._replace(pitch_deg=pitch_deg)
    body = Outline((128.0, 128.0), 120.0, 110.0, 136.0, 132.0)
    assert (by_height(body, QUADSIM_CAMERA, pose, HERO) is not None) is is_measured


def test_two_that_agree_are_fused_by_inverse_variance():
    # (20 / 1 + 22 / 4) / (1 + 1/4) = 20.4; 1 / √1.25 = 0.894; misfit 0.16 + 0.64 = 0.8 < 1.
    assert fused([Range(20.0, 1.0), Range(22.0, 2.0)]) == pytest.approx((20.4, 0.894), abs=1e-3)


def test_two_that_disagree_are_less_certain():
    # (10 − 20)² / (1 + 1) = 50: √50 times as uncertain as 1 / √2.
    assert fused([Range(10.0, 1.0), Range(20.0, 1.0)]) == pytest.approx((15.0, 5.0))


def test_one_alone_stands_for_itself_and_none_is_none():
    assert fused([None, Range(10.0, 2.0)]) == pytest.approx((10.0, 2.0))
    assert fused([None, None]) is None

"""Pixels to points and back, against closed forms and against QuadSim's own answers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from server.sight.geometry import (
    FAR_LIMITS_M,
    FIELDS_OF_VIEW_DEG,
    QUADSIM_CAMERA,
    Camera,
    back_project,
    pixel_to_world,
    project,
    ray_direction,
    world_from_camera,
)
from server.wire.messages import Pose

LEVEL = Pose(0.0, 0.0, 0.0, roll_deg=0.0, pitch_deg=0.0, yaw_deg=0.0)
CENTRE = (128.0, 128.0)


def random_pose(rng: np.random.Generator) -> Pose:
    """A pose anywhere in a city block, with any angles that QuadSim may write."""
    return Pose(*rng.uniform(-80, 80, size=2), rng.uniform(0, 12), *rng.uniform(-359.9, 359.9, size=3))


def test_the_focal_length_of_quadsims_camera():
    # (256 / 2) / tan(60° / 2) = 128 · √3 = 221.70
    assert QUADSIM_CAMERA.focal_px == pytest.approx(128 * math.sqrt(3))


def test_a_pixel_on_the_optical_axis_lies_straight_ahead():
    np.testing.assert_allclose(back_project(CENTRE, depth_m=4.0, camera=Camera()), [4.0, 0.0, 0.0])


def test_the_corner_of_a_90_degree_view_lies_as_far_left_and_up_as_ahead():
    # f = 128 px, so 128 px left and up of the centre at 4 m are 4 m left and up.
    point = back_project((0.0, 0.0), depth_m=4.0, camera=Camera(vertical_fov_deg=90.0))
    np.testing.assert_allclose(point, [4.0, 4.0, 4.0])


def test_depth_is_along_the_optical_axis_and_not_along_the_ray():
    near_edge, centre = (back_project((u_px, 128.0), 10.0, Camera()) for u_px in (1.0, 128.0))
    assert near_edge[0] == centre[0] == 10.0
    assert np.linalg.norm(near_edge) > np.linalg.norm(centre)


def test_a_wide_image_has_its_axis_in_the_middle_of_its_width():
    # f = 221.70 px from the height alone; the right edge is 256 px from the axis: 221.70 m ahead, 256 m to the right.
    camera = Camera(image_px=256, width_px=512)
    np.testing.assert_allclose(back_project((512.0, 128.0), camera.focal_px, camera), [camera.focal_px, -256.0, 0.0])


@pytest.mark.parametrize(
    ("pose", "ahead_world"),
    [
        (LEVEL, (1.0, 0.0, 0.0)),
        (LEVEL._replace(yaw_deg=90.0), (0.0, 1.0, 0.0)),  # turning left from x looks along y
        (LEVEL._replace(pitch_deg=90.0), (0.0, 0.0, -1.0)),  # positive pitch looks down
        (LEVEL._replace(roll_deg=90.0), (1.0, 0.0, 0.0)),
    ],
)
def test_where_the_optical_axis_points(pose, ahead_world):
    np.testing.assert_allclose(world_from_camera(pose) @ [1.0, 0.0, 0.0, 0.0], [*ahead_world, 0.0], atol=1e-15)


def test_a_positive_roll_lifts_the_cameras_left():
    np.testing.assert_allclose(
        world_from_camera(LEVEL._replace(roll_deg=90.0)) @ [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], atol=1e-15
    )


def test_a_drone_three_metres_up_looking_45_degrees_down_sees_the_ground_three_metres_ahead():
    # The ray is √(3² + 3²) = 4.243 m long, all of it along the axis.
    pose = Pose(10.0, 20.0, 3.0, 0.0, 45.0, 90.0)
    np.testing.assert_allclose(pixel_to_world(CENTRE, math.hypot(3, 3), QUADSIM_CAMERA, pose), [10, 23, 0], atol=1e-12)


def test_every_rotation_is_a_rotation():
    rng = np.random.default_rng(0)
    for _ in range(50):
        rotation = world_from_camera(random_pose(rng))[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_an_angle_and_the_same_angle_a_turn_less_are_one_attitude():
    pose = Pose(1.0, 2.0, 3.0, -3.7, 352.3, -108.1)
    same = pose._replace(roll_deg=356.3, pitch_deg=-7.7, yaw_deg=251.9)
    np.testing.assert_allclose(world_from_camera(pose), world_from_camera(same), atol=1e-12)


def test_projecting_a_pixels_point_gives_the_pixel_and_its_depth():
    rng = np.random.default_rng(1)
    for camera in (QUADSIM_CAMERA, Camera(image_px=480, vertical_fov_deg=45.0, width_px=640)):
        for _ in range(50):
            pose = random_pose(rng)
            pixel_px = (rng.uniform(0, camera.image_width_px), rng.uniform(0, camera.image_px))
            depth_m = rng.uniform(0.1, 100)
            seen = project(pixel_to_world(pixel_px, depth_m, camera, pose), camera, pose)
            np.testing.assert_allclose(seen, [*pixel_px, depth_m], rtol=1e-9, atol=1e-9)


def test_what_lies_behind_or_beside_the_camera_is_not_seen():
    assert project(np.array([-1.0, 0.0, 0.0]), QUADSIM_CAMERA, LEVEL) is None
    assert project(np.array([0.0, 1.0, 0.0]), QUADSIM_CAMERA, LEVEL) is None


@pytest.mark.parametrize("left_m", [0.0, 1.0])
def test_what_lies_in_the_cameras_plane_is_not_seen_however_it_is_rounded(left_m):
    point = np.array([0.0, left_m, 0.0])
    assert project(point, QUADSIM_CAMERA, LEVEL._replace(yaw_deg=1e-307)) is None
    for depth_m in (5e-324, 1e-308, 0.0009):
        assert project(np.array([depth_m, left_m, 0.0]), QUADSIM_CAMERA, LEVEL) is None


def test_what_lies_a_millimetre_ahead_is_seen():
    seen = project(np.array([0.001, 0.0, 0.0]), QUADSIM_CAMERA, LEVEL)
    np.testing.assert_allclose(seen, [*CENTRE, 0.001])


def test_a_direction_advances_one_metre_of_depth():
    pose = Pose(1.0, 2.0, 3.0, 10.0, 20.0, 30.0)
    pixel_px = (40.0, 200.0)
    np.testing.assert_allclose(
        pixel_to_world(pixel_px, 7.0, QUADSIM_CAMERA, pose),
        [1.0, 2.0, 3.0] + 7.0 * ray_direction(pixel_px, QUADSIM_CAMERA, pose),
    )


def test_quadsims_own_positions_are_met_within_a_millimetre(shared_dir: Path):
    golden = json.loads((shared_dir / "golden" / "backprojection.json").read_text())
    camera = Camera(golden["image_px"], golden["vertical_fov_deg"], golden["far_m"])
    assert len(golden["cases"]) == 60
    for case in golden["cases"]:
        pose = Pose(*map(float, case["gimbal_pose"].split(",")))
        point = pixel_to_world((case["u_px"], case["v_px"]), case["depth_m"], camera, pose)
        assert math.dist(point, case["target_ros_m"]) <= 0.001, case


@pytest.mark.parametrize("depth_m", [0.0, -1.0, math.nan, math.inf])
def test_a_depth_that_is_not_positive_and_finite_is_refused(depth_m):
    with pytest.raises(ValueError, match="expected depth_m positive and finite"):
        back_project(CENTRE, depth_m, Camera())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"image_px": 0}, "expected image_px of 1 to 2048, got 0"),
        ({"image_px": 2049}, "expected image_px of 1 to 2048, got 2049"),
        ({"width_px": 0}, "expected width_px of 1 to 8192, or None, got 0"),
        ({"width_px": 10**400}, "expected width_px of 1 to 8192, or None, got 1000"),
        ({"vertical_fov_deg": 180.0}, "expected vertical_fov_deg of 1 to 179, got 180"),
        ({"vertical_fov_deg": 1e-323}, "expected vertical_fov_deg of 1 to 179, got 1e-323"),
        ({"vertical_fov_deg": math.nan}, "expected vertical_fov_deg of 1 to 179, got nan"),
        ({"far_m": 0.0}, "expected far_m of 1 to 10000, got 0"),
        ({"far_m": 1e-310}, "expected far_m of 1 to 10000, got 1e-310"),
        ({"far_m": 1e-6}, "expected far_m of 1 to 10000, got 1e-06"),
        ({"far_m": 1e300}, "expected far_m of 1 to 10000, got 1e.300"),
        ({"far_m": math.inf}, "expected far_m of 1 to 10000, got inf"),
    ],
)
def test_an_impossible_camera_is_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        Camera(**settings)


def test_an_image_that_is_higher_than_wide_is_at_least_a_pixel_wide():
    assert Camera(image_px=1).of_shape(16, 64).image_width_px == 1


@pytest.mark.parametrize("limit", [0, 1])
def test_a_camera_at_its_limits_gives_finite_places(limit):
    camera = Camera(vertical_fov_deg=FIELDS_OF_VIEW_DEG[limit], far_m=FAR_LIMITS_M[limit])
    corner_m = back_project((0.0, 0.0), camera.far_m, camera)
    assert np.isfinite(corner_m).all()
    np.testing.assert_allclose(project(corner_m, camera, LEVEL), [0.0, 0.0, camera.far_m], atol=1e-6)

"""The drone flies as QuadSim's does: patrol by itself, follow by coordinates."""

import itertools
import math

import numpy as np
import pytest

from server.sight.geometry import Camera, project
from server.wire.messages import Pose
from tools.simulator.drone import BODY_MIDDLE_M, Drone

STEP_S = 0.05
POINTS_M = np.array([[30.0, 0.0, 6.0], [10.0, 0.0, 6.0], [10.0, 20.0, 6.0]])
START = Pose(0.0, 0.0, 6.0, 0.0, 0.0, 0.0)


@pytest.fixture
def drone():
    return Drone(POINTS_M, START)


def fly(drone, seconds, *, link=True):
    """Fly for a time; returns the poses on the way."""
    poses = []
    for _ in range(round(seconds / STEP_S)):
        if link:
            drone.on_link()
        drone.step(STEP_S)
        poses.append(drone.pose)
    return poses


def detect(drone, x_m, y_m, z_m=BODY_MIDDLE_M):
    drone.on_command("object_detected", {"coords": [x_m, y_m, z_m]})


def position(pose):
    return np.array(pose[:3])


def time_to(drone, point_m, within_m=0.05, at_most_s=60.0):
    """Seconds until the quad is at a point."""
    for step in range(round(at_most_s / STEP_S)):
        if np.linalg.norm(position(drone.pose) - point_m) <= within_m:
            return step * STEP_S
        drone.step(STEP_S)
    raise AssertionError(f"not at {point_m} within {at_most_s} s but at {drone.pose}")


# --- patrol


def test_a_patrol_begins_with_one_turn_of_the_gimbal_while_hovering(drone):
    yaws = []
    for _ in range(200):  # 10 s of the 360° / 35°/s = 10.29 s
        drone.step(STEP_S)
        yaws.append(drone.gimbal_pose.yaw_deg)
    assert drone.pose == START
    turned_deg = np.diff(np.unwrap(np.radians(yaws))) * 180 / math.pi
    np.testing.assert_allclose(turned_deg, 35.0 * STEP_S, atol=1e-6)
    fly(drone, 0.5)
    assert drone.pose != START


def test_it_flies_to_the_nearest_point_first_then_in_their_order(drone):
    fly(drone, 10.2)
    time_to(drone, POINTS_M[1])
    time_to(drone, POINTS_M[2])
    time_to(drone, POINTS_M[0])
    time_to(drone, POINTS_M[1])


def test_it_waits_5_s_at_a_point(drone):
    time_to(drone, POINTS_M[1])
    still = [pose for pose in fly(drone, 8.0) if np.linalg.norm(position(pose) - POINTS_M[1]) <= 0.05]
    assert 5.0 <= len(still) * STEP_S <= 5.5


def test_it_takes_3_s_to_top_speed_and_slows_within_5_m():
    drone = Drone(np.array([[200.0, 0.0, 6.0]]), START)
    fly(drone, 10.3)
    speeds = {}
    while drone.pose.x_m < 199.0:
        drone.step(STEP_S)
        speeds[drone.pose.x_m] = float(np.linalg.norm(drone.velocity_mps))
    ramp = [speed for speed in speeds.values() if speed < 14.999]
    assert max(speeds.values()) == pytest.approx(15.0)
    assert sum(x_m < 25.0 for x_m in speeds) * STEP_S == pytest.approx(3.0, abs=0.3)  # 5 m/s² for 3 s are 22.5 m
    assert min(ramp) < 1.0
    for x_m, speed in speeds.items():
        if x_m > 195.0:  # 15 · d / 5 with d of before the step
            assert speed == pytest.approx(min(15.0, 3.0 * (200.0 - x_m + speed * STEP_S)), rel=1e-6)


def test_on_patrol_the_gimbal_looks_30_degrees_down_and_to_both_sides(drone):
    fly(drone, 10.4)
    relative_deg = []
    for _ in range(int(25 / STEP_S)):
        drone.step(STEP_S)
        assert drone.gimbal_pose.pitch_deg == pytest.approx(30.0)
        relative_deg.append((drone.gimbal_pose.yaw_deg - drone.pose.yaw_deg + 180) % 360 - 180)
    assert max(relative_deg) > 170
    assert min(relative_deg) < -170
    turned_deg = (np.diff(relative_deg) + 180) % 360 - 180
    assert np.abs(turned_deg).max() == pytest.approx(35.0 * STEP_S)


def test_lost_while_on_patrol_does_not_start_it_anew(drone):
    fly(drone, 12.0)
    before = drone.pose
    drone.on_command("object_lost", {"data": ""})
    fly(drone, 1.0)
    assert np.linalg.norm(position(drone.pose) - position(before)) > 1.0


# --- follow


def test_it_ends_2_m_from_a_standing_target_and_3_m_above_its_feet(drone):
    detect(drone, 20.0, 0.0)
    assert drone.is_following
    fly(drone, 20.0)
    np.testing.assert_allclose(position(drone.pose), [18.0, 0.0, 3.0], atol=0.01)  # on the side that it came from


def test_the_camera_looks_1_m_above_the_feet(drone):
    detect(drone, 20.0, 5.0)
    fly(drone, 20.0)
    seen = project(np.array([20.0, 5.0, 1.0]), Camera(), drone.gimbal_pose)
    assert (seen.u_px, seen.v_px) == pytest.approx((128.0, 128.0), abs=0.1)
    assert drone.pose.yaw_deg == pytest.approx(drone.gimbal_pose.yaw_deg)


def test_it_turns_at_most_90_degrees_a_second(drone):
    detect(drone, -20.0, 0.1)  # behind its back
    poses = fly(drone, 5.0)
    turned_deg = [(b.yaw_deg - a.yaw_deg + 180) % 360 - 180 for a, b in itertools.pairwise(poses)]
    assert np.abs(turned_deg).max() == pytest.approx(90.0 * STEP_S)


def test_it_slows_within_10_m(drone):
    detect(drone, 100.0, 0.0, BODY_MIDDLE_M + 3.0)  # level with the quad's way
    speeds = {}
    for _ in range(round(15 / STEP_S)):
        drone.step(STEP_S)
        drone.on_link()
        speeds[98.0 - drone.pose.x_m] = float(np.linalg.norm(drone.velocity_mps))
    slow = {distance: speed for distance, speed in speeds.items() if 1.0 < distance < 9.0}
    assert len(slow) > 10
    for distance_m, speed in slow.items():  # 15 · d / 10 with d of before the step
        assert speed == pytest.approx(1.5 * (distance_m + speed * STEP_S), rel=1e-3)


def test_it_gets_behind_a_target_that_walks_towards_it(drone):
    for frame in range(150):
        detect(drone, 20.0 - 1.485 * 0.2 * frame, 0.0)
        fly(drone, 0.2)
    target_x_m = 20.0 - 1.485 * 0.2 * 149
    assert drone.pose.x_m > target_x_m + 1.5
    assert abs(drone.pose.y_m) < 0.5


def test_it_circles_at_a_distance_instead_of_flying_over_the_target(drone):
    nearest_m = math.inf
    for frame in range(150):
        x_m = 20.0 - 1.485 * 0.2 * frame
        detect(drone, x_m, 0.0)
        for pose in fly(drone, 0.2):
            nearest_m = min(nearest_m, math.hypot(pose.x_m - x_m, pose.y_m))
    assert nearest_m > 1.2


def test_it_flies_to_the_coordinates_it_was_sent_last(drone):
    detect(drone, 20.0, 0.0)
    fly(drone, 10.0)
    detect(drone, 20.0, 20.0)
    fly(drone, 20.0)
    np.testing.assert_allclose(drone.target_m, [20.0, 20.0, BODY_MIDDLE_M])
    assert math.dist((drone.pose.x_m, drone.pose.y_m), (20.0, 20.0)) == pytest.approx(2.0, abs=0.1)


def test_lost_ends_following_with_a_new_patrol(drone):
    detect(drone, 20.0, 0.0)
    fly(drone, 10.0)
    drone.on_command("object_lost", {"data": ""})
    assert not drone.is_following
    assert drone.target_m is None
    before = position(drone.pose)
    fly(drone, 10.0)  # of 10.3 s
    np.testing.assert_array_equal(position(drone.pose), before)


def test_without_ping_or_pong_it_patrols_after_3_s(drone):
    detect(drone, 50.0, 0.0)
    fly(drone, 2.95, link=False)
    assert drone.is_following
    fly(drone, 0.15, link=False)
    assert not drone.is_following


def test_pings_keep_it_following(drone):
    detect(drone, 50.0, 0.0)
    fly(drone, 10.0)
    assert drone.is_following


def test_other_events_change_nothing(drone):
    drone.on_command("create_box_marker", {"id": 1})
    drone.on_command("what", {})
    assert not drone.is_following


@pytest.mark.parametrize("coordinates", [None, [1.0, 2.0], [1.0, 2.0, math.nan], ["1", "2", "3"], {"x": 1}])
def test_coordinates_other_than_three_finite_numbers_are_refused(drone, coordinates):
    with pytest.raises(ValueError, match="expected coords of three finite numbers"):
        drone.on_command("object_detected", {"coords": coordinates})
    assert not drone.is_following


def test_a_patrol_needs_points():
    with pytest.raises(ValueError, match="at least one point"):
        Drone(np.empty((0, 3)), START)

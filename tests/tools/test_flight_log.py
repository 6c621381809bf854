"""The report of a flight, on rows made by hand."""

import numpy as np
import pytest

from server.wire.messages import Pose
from tools.simulator.drone import Drone
from tools.simulator.flight_log import FlightLog
from tools.simulator.scene import View
from tools.simulator.world import Observation, Truth

START = Pose(0.0, 0.0, 3.0, 0.0, 0.0, 0.0)
HERO_M = np.array([4.0, 0.0, 0.0])


def seen(time_s, hero_px=100):
    classes = np.zeros((4, 4), np.uint8)
    view = View(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.float32), classes, classes, 0)
    truth = Truth(time_s, HERO_M, np.zeros(3), np.zeros((0, 3)), hero_px, 0.25, classes)
    return Observation(time_s, view, START, START, truth)


@pytest.fixture
def drone():
    return Drone(np.array([[0.0, 0.0, 3.0]]), START)


def follow(log, drone, x_m, others=((9.0, 0.0, 0.0),)):
    drone.on_command("object_detected", {"coords": [x_m, 0.0, 0.9]})
    log.on_coordinates(np.array([x_m, 0.0, 0.9]), HERO_M, np.reshape(others, (-1, 3)))


def test_errors_are_over_ground_to_the_hero_and_to_the_nearest_other(drone):
    log = FlightLog()
    follow(log, drone, 4.5)
    log.on_frame(seen(0.0), drone)
    (row,) = log.rows
    assert row["position_error_m"] == 0.5
    assert row["wrong_person_m"] == 4.5
    assert row["coordinates_m"] == [4.5, 0.0, 0.9]
    assert row["distance_m"] == 5.0  # 4 m off, 3 m up


def test_on_patrol_there_are_no_coordinates(drone):
    log = FlightLog()
    follow(log, drone, 4.5)
    drone.on_command("object_lost", {"data": ""})
    log.on_frame(seen(0.0), drone)
    (row,) = log.rows
    assert (row["is_following"], row["coordinates_m"], row["position_error_m"], row["wrong_person_m"]) == (
        False,
        None,
        None,
        None,
    )


def test_with_nobody_else_there_is_no_wrong_person(drone):
    log = FlightLog()
    follow(log, drone, 4.5, others=())
    log.on_frame(seen(0.0), drone)
    assert log.rows[0]["wrong_person_m"] is None


def test_the_summary_counts_what_the_rows_say(drone):
    log = FlightLog()
    log.on_frame(seen(0.0, hero_px=0), drone)
    follow(log, drone, 4.5)
    log.on_frame(seen(0.2), drone)
    follow(log, drone, 7.0)  # 3 m off: beyond the 2 m of on target
    log.on_frame(seen(0.4), drone)
    drone.on_command("object_lost", {"data": ""})
    log.on_frame(seen(0.6), drone)
    assert log.summary() == {
        "frames": 4,
        "hero_in_view": 0.75,
        "following": 0.5,
        "first_followed_s": 0.2,
        "losses": 1,
        "on_target_of_following": 0.5,
        "position_error_median_m": 1.75,
        "distance_following_median_m": 5.0,
    }


def test_a_flight_that_never_followed_has_no_figures_of_following(drone):
    log = FlightLog()
    log.on_frame(seen(0.0), drone)
    summary = log.summary()
    assert (
        summary["first_followed_s"] is summary["position_error_median_m"] is summary["on_target_of_following"] is None
    )


def test_the_latest_row_reads_as_a_line(drone):
    log = FlightLog(target="dog")
    log.on_frame(seen(1.0, hero_px=0), drone)
    assert log.describe_latest() == "    1.0 s  PATROL  dog   5.0 m away, out of view"
    follow(log, drone, 4.5)
    log.on_frame(seen(1.2), drone)
    assert log.describe_latest() == "    1.2 s  FOLLOW  dog   5.0 m away, in view (100 px), coordinates 0.50 m off"

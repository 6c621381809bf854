"""One episode: the view fits the poses and the truth, and the seed decides everything."""

import numpy as np
import pytest
from support.worlds import SharedWorld

from model.scoring import HERO, PEOPLE
from server.sight.geometry import QUADSIM_CAMERA, pixel_to_world
from server.wire.messages import Pose, parse_sensor_frame
from tools.simulator.people import Person
from tools.simulator.world import EPOCH_S, World, frame_fields


@pytest.fixture(scope="module")
def world():
    with World(3, 12) as world:
        world.step(1.0)
        yield world


@pytest.fixture(scope="module", autouse=True)
def after_1_s(world):
    """What the drone sees after 1 s; later tests let the world go on."""
    return world.observe()


def facing(person_m, heading_deg, distance_m=4.0, height_m=2.0):
    """A camera in front of somebody, level with 1 m above the feet."""
    heading_rad = np.radians(heading_deg)
    x_m, y_m = person_m[:2] + distance_m * np.array([np.cos(heading_rad), np.sin(heading_rad)])
    pitch_deg = np.degrees(np.arctan2(height_m - 1.0, distance_m))
    return Pose(float(x_m), float(y_m), height_m, 0.0, float(pitch_deg), float(heading_deg) + 180.0)


@pytest.fixture(scope="module")
def face_to_face(world):
    hero = world.walkers.people[0]
    assert isinstance(hero, Person)
    return world.observe(facing(world.walkers.hero_position_m, hero.heading_deg))


def test_the_hero_is_seen_where_the_truth_says(face_to_face):
    truth, view = face_to_face.truth, face_to_face.view
    rows, columns = np.nonzero(truth.classes == HERO)
    assert truth.hero_px == len(rows) > 500
    depth_m = float(np.median(view.depth_m[rows, columns]))
    centre = (columns.mean() + 0.5, rows.mean() + 0.5)
    middle_m = pixel_to_world(centre, depth_m, QUADSIM_CAMERA, face_to_face.gimbal_pose)
    np.testing.assert_allclose(middle_m, truth.hero_position_m + np.array([0.0, 0.0, 0.95]), atol=0.35)
    assert truth.occlusion < 0.2


def test_out_of_view_counts_as_hidden(world):
    hero = world.walkers.people[0]
    away = facing(world.walkers.hero_position_m, hero.heading_deg)
    truth = world.observe(away._replace(yaw_deg=away.yaw_deg + 180.0)).truth
    assert truth.hero_px == 0
    assert truth.occlusion == 1.0


def test_the_surroundings_hide_behind_people(world, face_to_face):
    alone_m = world.surroundings_depth_m(face_to_face.gimbal_pose)
    is_somebody = face_to_face.truth.classes != 0
    assert (alone_m[is_somebody] > face_to_face.view.depth_m[is_somebody]).all()
    np.testing.assert_allclose(alone_m[~is_somebody], face_to_face.view.depth_m[~is_somebody], atol=0.01)


def test_time_and_poses_are_of_the_same_moment(world):
    seen = world.observe()
    assert seen.truth.time_s == pytest.approx(world.time_s)
    assert seen.timestamp_s == pytest.approx(EPOCH_S + world.time_s)
    assert seen.pose == world.drone.pose
    assert seen.gimbal_pose == world.drone.gimbal_pose
    assert seen.truth.people_positions_m.shape == (12, 3)


def test_what_is_sent_reads_back_and_holds_no_truth(world):
    seen = world.observe()
    fields = frame_fields(seen, "de")
    assert list(fields) == ["timestamp", "pose", "gimbal_pose", "rgb_image", "depth_image"]
    frame = parse_sensor_frame(fields)
    assert frame.timestamp_s == pytest.approx(seen.timestamp_s, abs=1e-4)
    np.testing.assert_allclose(frame.gimbal_pose[:3], seen.gimbal_pose[:3], atol=1e-4)
    turned_deg = (np.array(frame.gimbal_pose[3:]) - seen.gimbal_pose[3:] + 180.0) % 360.0 - 180.0
    np.testing.assert_allclose(turned_deg, 0.0, atol=1e-4)
    assert -360.0 < frame.gimbal_pose.yaw_deg <= 0.0  # −e_y, with e_y in [0°, 360°)


def test_a_seed_decides_the_episode(after_1_s):
    with World(3, 12) as again:
        again.step(1.0)
        one, same = after_1_s, again.observe()
    other_world = SharedWorld(4, 8)
    other_world.step(1.0)
    other = other_world.observe()
    np.testing.assert_array_equal(one.view.rgb, same.view.rgb)
    np.testing.assert_array_equal(one.view.depth_m, same.view.depth_m)
    np.testing.assert_array_equal(one.truth.classes, same.truth.classes)
    assert one.gimbal_pose == same.gimbal_pose != other.gimbal_pose
    assert (one.view.rgb != other.view.rgb).mean() > 0.1


def test_everything_moves_on_together(world):
    hero_m, gimbal_deg, time_s = world.walkers.hero_position_m, world.drone.gimbal_pose.yaw_deg, world.time_s
    world.step(0.2)
    assert world.time_s == pytest.approx(time_s + 0.2)
    assert 0.0 < np.linalg.norm(world.walkers.hero_position_m - hero_m) <= 1.485 * 0.2 + 1e-9
    assert world.drone.gimbal_pose.yaw_deg != gimbal_deg
    world.step(0.0)
    assert world.time_s == pytest.approx(time_s + 0.2)


def test_without_lookalikes_a_seed_gives_the_world_that_it_always_gave():
    # As it was before there were lookalikes: feet and camera after 10 s, then the first of the others face to face.
    with World(11, 4) as world:
        world.step(10.0)
        feet_m = [[43.076, 14.3265], [-29.5506, 39.7643], [-42.9132, 2.7638], [9.3386, -17.1001], [-36.671, -8.3937]]
        np.testing.assert_allclose(world.walkers.positions_m[:, :2], feet_m, atol=1e-4)
        assert world.drone.gimbal_pose == pytest.approx((15.0014, -6.0509, 5.1297, 0.0, 30.0, 7.2786), abs=1e-4)
        view = world.observe(facing(np.array(feet_m[1]), world.walkers.people[1].heading_deg)).view
    is_other = view.person == 1
    assert np.count_nonzero(is_other) == 1328
    np.testing.assert_allclose(view.rgb[is_other].mean(axis=0), [66.981, 65.227, 62.744], atol=0.01)
    np.testing.assert_allclose(view.rgb.mean(axis=(0, 1)), [77.308, 76.642, 67.259], atol=0.01)


@pytest.mark.parametrize(
    ("seed", "feet_m", "hero_px", "mean_rgb", "camera"),
    [
        (
            1,
            [[-34.313, -16.162], [-27.5555, 2.2279], [-18.0637, 46.1486]],
            823,
            [112.612, 114.557, 98.929],
            (-11.899, 1.35, 4.7787, 0.0, 30.0, -173.0722),
        ),
        (
            2,
            [[10.256, 12.2184], [9.4805, 11.8945], [-35.653, 43.601]],
            895,
            [64.033, 81.509, 32.156],
            (1.7195, 1.9408, 4.874, 0.0, 30.0, 164.2082),
        ),
    ],
)
def test_other_targets_leave_the_heros_worlds_as_they_were(seed, feet_m, hero_px, mean_rgb, camera):
    # As they were before there were other targets: after 10 s, seen from 4 m away.
    with World(seed, 6, lookalikes=3) as world:
        world.step(10.0)
        hero = world.walkers.people[0]
        seen = world.observe(Pose(hero.x_m - 4, hero.y_m, 2.5, 0, 20, 0))
        np.testing.assert_allclose(world.walkers.positions_m[:3, :2], feet_m, atol=1e-4)
        assert world.drone.gimbal_pose == pytest.approx(camera, abs=1e-4)
    assert seen.truth.hero_px == hero_px
    np.testing.assert_allclose(seen.view.rgb.mean(axis=(0, 1)), mean_rgb, atol=0.01)


def test_lookalikes_take_the_place_of_the_first_and_count_as_people():
    plain, alike = SharedWorld(4, 8), SharedWorld(4, 8, lookalikes=6)
    assert alike.walkers.positions_m.shape == plain.walkers.positions_m.shape
    np.testing.assert_array_equal(alike.walkers.hero_position_m, plain.walkers.hero_position_m)
    np.testing.assert_array_equal(alike.walkers.positions_m[7:], plain.walkers.positions_m[7:])
    moved = np.abs(alike.walkers.positions_m - plain.walkers.positions_m).max(axis=1) > 0
    assert np.count_nonzero(moved) == 1  # the crosser begins near the hero
    for number in range(1, 7):
        person = alike.walkers.people[number]
        view = alike.observe(facing(alike.walkers.positions_m[number], person.heading_deg)).view
        assert (view.classes[view.person == number] == PEOPLE).all()
        assert np.count_nonzero(view.person == number) > 200


@pytest.mark.parametrize(
    ("lookalikes", "complaint"), [(13, "at most as many lookalikes as people, 5"), (-1, "0 to 12 lookalikes, got -1")]
)
def test_a_number_of_lookalikes_out_of_range_is_refused(lookalikes, complaint):
    with pytest.raises(ValueError, match=complaint):
        World(0, 5, lookalikes=lookalikes)


@pytest.mark.parametrize("people", [-1, 61])
def test_a_number_of_people_out_of_range_is_refused(people):
    with pytest.raises(ValueError, match="expected 0 to 60 people"):
        World(0, people)

"""The filter of a walking person: against walks whose truth is known."""

import math

import numpy as np
import pytest

from server.flight.motion import Fix, Motion, Track
from server.settings import TrackerConfig

FRAME_S = 0.2
START_M = np.array([10.0, 5.0, 1.0])
CONFIG = TrackerConfig()


def walk(speed_mps: float, turn_deg_per_s: float, frames: int) -> np.ndarray:
    """(frames, 3) positions of somebody who walks from START_M along x, turning left, at the frames' times."""
    heading_rad = np.radians(turn_deg_per_s) * FRAME_S * np.arange(frames)
    steps_m = speed_mps * FRAME_S * np.stack([np.cos(heading_rad), np.sin(heading_rad), 0 * heading_rad], axis=1)
    return START_M + np.concatenate([np.zeros((1, 3)), np.cumsum(steps_m, axis=0)[:-1]])


def tracked(motion: Motion, positions_m: np.ndarray, std_m: float = 0.2) -> Track:
    fixes = [Fix(FRAME_S * frame, tuple(at_m.tolist()), std_m, 0.0, None) for frame, at_m in enumerate(positions_m)]
    track = motion.start(fixes[0])
    for fix in fixes[1:]:
        track = motion.correct(track, fix)
    return track


def test_the_velocity_of_a_straight_walk_converges_to_the_truth():
    track = tracked(Motion(CONFIG), walk(1.4, 0.0, 20))
    assert track.velocity_mps == pytest.approx((1.4, 0.0, 0.0), abs=0.02)


def slope(speeds_mps: tuple[float, float, float], frames: int) -> np.ndarray:
    """(frames, 3) positions of somebody who walks straight from START_M, up or down too."""
    return START_M + FRAME_S * np.arange(frames)[:, np.newaxis] * speeds_mps


def test_who_walks_up_a_slope_aside_is_followed_along_all_axes():
    motion, speeds_mps = Motion(CONFIG), (-0.9, 1.2, 0.4)
    track = tracked(motion, slope(speeds_mps, 30))
    assert track.velocity_mps == pytest.approx(speeds_mps, abs=0.05)
    ahead_m = np.subtract(motion.predict(track, track.time_s + 1.0), motion.predict(track, track.time_s))
    assert ahead_m == pytest.approx(speeds_mps, abs=0.05)


def test_an_unseen_person_walks_on_for_a_second_and_waits():
    motion = Motion(CONFIG)
    track = tracked(motion, walk(1.0, 0.0, 30))
    (x_now, *_), (x_soon, *_), (x_later, *_) = (motion.predict(track, track.time_s + ahead) for ahead in (0, 1.0, 5.0))
    assert x_soon - x_now == pytest.approx(1.0, abs=0.02)
    assert x_later == x_soon


def test_filtered_positions_are_better_than_raw_ones_on_a_walk_with_turns():
    rng, motion = np.random.default_rng(0), Motion(CONFIG)
    true_m = walk(1.4, 25.0, 200)
    seen_m = true_m + rng.normal(scale=0.3, size=true_m.shape)
    track, errors_m = motion.start(Fix(0.0, tuple(seen_m[0].tolist()), 0.3, 0.0, None)), []
    for frame in range(1, 200):
        track = motion.correct(track, Fix(FRAME_S * frame, tuple(seen_m[frame].tolist()), 0.3, 0.0, None))
        errors_m.append(math.dist(track.position_m[:2], true_m[frame][:2]))
    raw_m = np.linalg.norm((seen_m - true_m)[1:, :2], axis=1)
    assert np.median(errors_m) < 0.85 * np.median(raw_m)


def test_the_spread_of_an_unseen_persons_position_grows_by_a_walk_and_no_faster():
    motion = Motion(CONFIG)
    track = tracked(motion, walk(1.0, 0.0, 30))
    stds_m = [math.sqrt(motion.variances(track, track.time_s + ahead)[0]) for ahead in (0.2, 1.0, 5.0, 20.0)]
    assert stds_m == sorted(set(stds_m)), "also while they are taken to wait"
    assert stds_m[0] < 0.4
    assert 5.0 < stds_m[-1] < 20 * 1.0


def test_somebody_who_has_turned_may_walk_anywhere_from_where_they_were_seen():
    motion = Motion(CONFIG)
    track = tracked(motion, walk(1.4, 0.0, 30))
    turned = motion.turned(track)
    assert motion.predict(turned, track.time_s + FRAME_S) == motion.predict(track, track.time_s + FRAME_S)
    for ahead_s in (0.0, 0.5, 2.0):
        at_s = track.time_s + ahead_s
        more = np.subtract(motion.variances(turned, at_s), motion.variances(track, at_s))
        assert motion.turn_variances(track, at_s) == pytest.approx(tuple(more))
    assert motion.turn_variances(track, track.time_s + 0.5)[0] == 2 * (0.5 * CONFIG.profile.walking_std_mps) ** 2
    back_m = (track.position_m[0] - 0.28, *track.position_m[1:])
    after = motion.correct(turned, Fix(track.time_s + FRAME_S, back_m, 0.05, 0.0, None))
    assert after.velocity_mps[0] < -0.8


def test_people_hardly_move_up_and_down():
    motion = Motion(CONFIG)
    track = tracked(motion, walk(1.0, 0.0, 30))
    level, upright = motion.variances(track, track.time_s + 1.0)
    assert upright < level / 4


def test_the_speed_stays_within_its_limit():
    speeds_mps = np.array((30.0, -40.0, 10.0))
    track = tracked(Motion(CONFIG), slope(speeds_mps, 20))
    assert math.hypot(*track.velocity_mps) == pytest.approx(CONFIG.profile.max_speed_mps)
    course = speeds_mps / math.hypot(*speeds_mps)
    assert course @ track.velocity_mps == pytest.approx(CONFIG.profile.max_speed_mps, rel=0.01), "in their direction"


def test_one_long_step_and_many_short_ones_spread_alike():
    motion = Motion(CONFIG)
    track = tracked(motion, walk(1.0, 0.0, 30))
    long = motion.variances(track, track.time_s + 0.4)[0]
    vague = Fix(track.time_s + 0.2, motion.predict(track, track.time_s + 0.2), 1e3, 0.0, None)
    assert motion.variances(motion.correct(track, vague), track.time_s + 0.4)[0] == pytest.approx(long, rel=0.02)

"""The tracker by sequences worked by hand, at QuadSim's five frames a second, and by simulated walks."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from support.seen import sighting

from server.flight import tracks
from server.flight.tracks import TrackState
from server.settings import TrackerConfig

PATROL, CONFIRMING, FOLLOWING, COASTING, LOST = TrackState
FRAME_S = 0.2
WALK_MPS = 1.485
HERO = np.array([10.0, 5.0, 1.0])
STRANGER = np.array([10.0, 13.0, 1.0])  # 8 m to the left
STD_M = 0.2
UNLOCATED = sighting(None)
# Frames of the hero, of a stranger, of both with the stranger first, and of neither.
SIGHTINGS = {"H": [HERO], "S": [STRANGER], "B": [STRANGER, HERO], ".": []}

# One agreeing pair starts a track: short sequences.
QUICK = TrackerConfig(confirm_hits=2, confirm_window=3)


class Tracker:
    """A tracker from frame to frame: the latest of the values that `tracks.Tracker` goes through."""

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.value = tracks.Tracker(config or TrackerConfig())

    def update(self, time_s, sightings=()) -> TrackState:
        self.value = self.value.update(time_s, sightings)
        return self.value.state

    def suspend(self, time_s) -> None:
        self.value = self.value.suspend(time_s)

    def predict(self, time_s) -> np.ndarray:
        return np.array(self.value.predict(time_s))

    def __getattr__(self, name):
        return getattr(self.value, name)


def from_hero(forward_m: float = 0.0, left_m: float = 0.0) -> np.ndarray:
    return HERO + np.array([forward_m, left_m, 0.0])


def see(
    tracker: Tracker,
    time_s: float,
    *positions_m: np.ndarray,
    std_m: float = STD_M,
    is_convincing: bool = True,
) -> TrackState:
    """One frame with a sighting at each position, the most convincing first."""
    return tracker.update(time_s, [sighting(position_m, std_m, is_convincing) for position_m in positions_m])


def following(time_s: float = 0.0, config: TrackerConfig = QUICK) -> Tracker:
    """A tracker that has followed a hero who stands at HERO, last seen at `time_s`."""
    tracker = Tracker(config)
    for frame in reversed(range(10)):
        see(tracker, time_s - FRAME_S * frame, HERO)
    assert tracker.state is FOLLOWING
    return tracker


def play(config: TrackerConfig, frames: str) -> list[TrackState]:
    """States of a new tracker after frames as in `SIGHTINGS`."""
    tracker = Tracker(config)
    return [see(tracker, FRAME_S * frame, *SIGHTINGS[what]) for frame, what in enumerate(frames)]


def walk(speed_mps: float, turn_deg_per_s: float, frames: int) -> np.ndarray:
    """(frames, 3) positions of a hero who walks from HERO along x, turning left, at the frames' times."""
    heading_rad = np.radians(turn_deg_per_s) * FRAME_S * np.arange(frames)
    steps_m = speed_mps * FRAME_S * np.stack([np.cos(heading_rad), np.sin(heading_rad), 0 * heading_rad], axis=1)
    return HERO + np.concatenate([np.zeros((1, 3)), np.cumsum(steps_m, axis=0)[:-1]])


def test_the_states_have_the_dashboards_names():
    assert [str(state) for state in TrackState] == ["patrol", "confirming", "following", "coasting", "lost"]


def test_nothing_seen_is_patrol():
    assert play(QUICK, "...") == [PATROL] * 3


@pytest.mark.parametrize(
    ("hits", "window", "frames", "states"),
    [
        (1, 1, "H", [FOLLOWING]),
        (2, 2, "H.HH", [CONFIRMING, CONFIRMING, CONFIRMING, FOLLOWING]),
        (2, 3, "H.H", [CONFIRMING, CONFIRMING, FOLLOWING]),
        (2, 3, "H..H", [CONFIRMING, CONFIRMING, CONFIRMING, CONFIRMING]),  # the first is the fourth latest frame
        (2, 3, "H...", [CONFIRMING, CONFIRMING, CONFIRMING, PATROL]),
        (3, 5, "H.H.H", [CONFIRMING] * 4 + [FOLLOWING]),
        (3, 5, "HH...H", [CONFIRMING] * 6),  # 1 of the latest 5 at the end, and the one at 0.2 s
    ],
)
def test_n_of_m_frames_confirm(hits, window, frames, states):
    assert play(TrackerConfig(confirm_hits=hits, confirm_window=window), frames) == states


def test_sightings_in_different_places_do_not_confirm_each_other():
    # 8 m apart, in 0.2 s: reach 3 m/s · 0.2 s + 4 · √2 · 0.2 m = 1.7 m.
    assert play(QUICK, "HS") == [CONFIRMING, CONFIRMING]


def test_a_false_alarm_in_between_does_not_disturb_confirming():
    assert play(QUICK, "HSH") == [CONFIRMING, CONFIRMING, FOLLOWING]


def test_sightings_as_far_apart_as_a_fast_walk_agree():
    # Reach as above: 1.73 m.
    for distance_m, state in ((1.7, FOLLOWING), (1.8, CONFIRMING)):
        tracker = Tracker(QUICK)
        see(tracker, 0.0, HERO)
        assert see(tracker, FRAME_S, from_hero(forward_m=distance_m)) is state


def test_sightings_in_every_one_of_the_latest_frames_are_a_hero_wherever_they_are():
    # Poses or depths that can't be relied on: 20 m to and fro. It takes as many in a row as to start or move a track.
    for config, enough in (
        (TrackerConfig(), 5),
        (TrackerConfig(confirm_hits=8, confirm_window=8), 8),
        (TrackerConfig(confirm_hits=2, confirm_window=2), 5),
        (TrackerConfig(switch_hits=1, switch_window=1), 3),
    ):
        tracker = Tracker(config)
        states = [see(tracker, FRAME_S * frame, from_hero(20.0 * frame**2)) for frame in range(enough)]
        assert states == [CONFIRMING] * (enough - 1) + [FOLLOWING]


def test_sightings_older_than_a_lost_track_is_remembered_do_not_count():
    tracker = Tracker(QUICK)
    see(tracker, 0.0, HERO)
    assert see(tracker, QUICK.reacquire_within_s + 0.1, HERO) is CONFIRMING


def test_a_miss_coasts_and_a_hit_follows_again():
    tracker = following()
    assert tracker.update(0.2) is COASTING
    assert tracker.is_following
    assert see(tracker, 0.4, HERO) is FOLLOWING


def test_the_seventh_miss_loses_the_hero_as_in_the_original():
    tracker = following()
    assert [tracker.update(FRAME_S * miss) for miss in range(1, 8)] == [COASTING] * 6 + [LOST]
    assert not tracker.is_following


def test_a_hero_is_lost_after_the_time_and_not_after_a_number_of_misses():
    tracker = following()
    assert tracker.update(1.39) is COASTING
    assert following().update(1.4) is LOST


def test_losing_is_on_time_despite_the_rounding_of_session_times():
    # 1504814505.2 + 1.4 − 1504814505.2 = 1.3999999 in floating point.
    start_s = 1504814505.2
    assert following(start_s).update(start_s + 1.4) is LOST


def test_a_lost_hero_seen_nearby_is_followed_at_once():
    tracker = following()
    tracker.update(1.4)
    assert see(tracker, 3.0, from_hero(3.9)) is FOLLOWING
    assert tracker.predict(3.0)[0] == pytest.approx(HERO[0] + 3.9, abs=0.5)


def test_a_lost_hero_seen_far_away_has_to_be_confirmed():
    tracker = following()
    tracker.update(1.4)
    assert see(tracker, 3.0, STRANGER) is CONFIRMING
    assert see(tracker, 3.2, STRANGER) is FOLLOWING
    np.testing.assert_allclose(tracker.predict(3.2), STRANGER, atol=0.01)


def test_a_lost_track_is_forgotten_after_a_while():
    tracker = following()
    assert [tracker.update(time_s) for time_s in (1.4, 4.0, 4.1)] == [LOST, LOST, PATROL]
    assert see(tracker, 4.2, HERO) is CONFIRMING


def test_a_long_silence_without_frames_counts_as_one():
    # Both happen at the first frame after it: lost at 1.4 s, forgotten after 4 s.
    assert see(following(), 2.0, HERO) is FOLLOWING
    assert see(following(), 5.0, HERO) is CONFIRMING
    assert following().update(1e6) is PATROL


def test_suspending_stops_following_at_once_and_one_hit_nearby_resumes():
    tracker = following()
    tracker.suspend(0.3)
    assert tracker.state is LOST
    assert not tracker.is_following
    assert see(tracker, 0.4, HERO) is FOLLOWING


def test_resuming_a_walk_after_a_short_stall_keeps_its_velocity():
    tracker = Tracker()
    path = walk(WALK_MPS, 0.0, 30)
    for frame, position in enumerate(path[:-1]):
        see(tracker, FRAME_S * frame, position)
    tracker.suspend(FRAME_S * 28.5)
    assert see(tracker, FRAME_S * 29, path[-1]) is FOLLOWING
    np.testing.assert_allclose(tracker.velocity_mps, [WALK_MPS, 0.0, 0.0], atol=0.05)


def test_suspending_forgets_sightings_that_were_not_confirmed():
    tracker = Tracker(QUICK)
    see(tracker, 0.0, HERO)
    tracker.suspend(0.1)
    assert tracker.state is PATROL
    assert see(tracker, 0.2, HERO) is CONFIRMING


def test_suspending_long_after_the_last_sighting_ends_in_patrol():
    tracker = following()
    tracker.suspend(10.0)
    assert tracker.state is PATROL


def test_a_frame_that_is_not_later_changes_nothing():
    tracker = Tracker(QUICK)
    assert [see(tracker, time_s, HERO) for time_s in (1.0, 1.0, 0.5)] == [CONFIRMING] * 3
    assert see(tracker, 1.2, HERO) is FOLLOWING
    assert [tracker.update(time_s) for time_s in (1.2, 1.0)] == [FOLLOWING] * 2


def test_an_outlier_does_not_move_the_track():
    tracker = following()
    before = tracker.predict(0.2)
    assert see(tracker, 0.2, STRANGER) is COASTING
    np.testing.assert_array_equal(tracker.predict(0.2), before)
    assert see(tracker, 0.4, HERO) is FOLLOWING


def test_outliers_do_not_keep_a_track_alive():
    # No two agree, and the miss among them keeps them from being in all of the latest five frames.
    tracker = following()
    states = [
        see(tracker, FRAME_S * frame, *(from_hero(left_m=left_m) for left_m in lefts_m))
        for frame, lefts_m in enumerate(([8.0], [-9.0], [20.0], [], [-30.0], [40.0], [-50.0]), start=1)
    ]
    assert states == [COASTING] * 6 + [CONFIRMING]
    assert not tracker.is_following


def test_a_jump_that_persists_in_four_of_five_frames_moves_the_track():
    tracker = following()
    places = (STRANGER, STRANGER, HERO, STRANGER, STRANGER)
    states = [see(tracker, FRAME_S * frame, place) for frame, place in enumerate(places, start=1)]
    assert states == [COASTING, COASTING, FOLLOWING, COASTING, FOLLOWING]
    np.testing.assert_allclose(tracker.predict(1.0), STRANGER, atol=0.01)


def test_a_stranger_in_three_of_five_frames_does_not_take_the_track_over():
    tracker = following()
    for frame, place in enumerate((STRANGER, HERO, STRANGER, HERO, STRANGER, HERO), start=1):
        see(tracker, FRAME_S * frame, place)
    np.testing.assert_allclose(tracker.predict(1.2), HERO, atol=0.01)


def test_of_several_sightings_the_track_takes_the_one_that_fits_best():
    tracker = following()
    assert see(tracker, 0.2, STRANGER, from_hero(0.5), from_hero(0.1)) is FOLLOWING
    assert tracker.predict(0.2)[0] == pytest.approx(HERO[0] + 0.1, abs=0.1)


def test_a_stranger_beside_the_hero_never_takes_the_track_over():
    tracker = following()
    for frame in range(1, 30):
        see(tracker, FRAME_S * frame, STRANGER, HERO)
    np.testing.assert_allclose(tracker.predict(6.0), HERO, atol=0.01)


def test_of_several_sightings_nearby_the_nearest_to_the_prediction_resumes_a_lost_track():
    tracker = following()
    tracker.update(1.4)
    assert see(tracker, 3.0, STRANGER, from_hero(-3.9), from_hero(1.0)) is FOLLOWING
    assert tracker.predict(3.0)[0] == pytest.approx(HERO[0] + 1.0, abs=0.5)


@pytest.mark.parametrize(
    ("frames", "place"),
    [
        ("BBB", STRANGER),  # equally often: the more convincing one
        ("HBB", HERO),  # the hero in three frames, the stranger in two, though the larger
        ("B.BHB", HERO),
        ("S.BSB", STRANGER),
    ],
)
def test_a_track_starts_where_most_frames_agree(frames, place):
    tracker = Tracker()
    states = [see(tracker, FRAME_S * frame, *SIGHTINGS[what]) for frame, what in enumerate(frames)]
    assert states[-1] is FOLLOWING
    np.testing.assert_allclose(tracker.predict(FRAME_S * (len(frames) - 1)), place, atol=0.01)


def test_a_larger_false_alarm_elsewhere_in_each_frame_does_not_disturb_confirming():
    tracker = Tracker()
    states = [see(tracker, FRAME_S * frame, from_hero(left_m=20.0 * (frame + 1)), HERO) for frame in range(3)]
    assert states == [CONFIRMING, CONFIRMING, FOLLOWING]
    np.testing.assert_allclose(tracker.predict(0.4), HERO, atol=0.01)


def test_a_sighting_without_a_position_confirms_but_cannot_start_a_track_alone():
    tracker = Tracker(QUICK)
    assert tracker.update(0.0, [UNLOCATED]) is CONFIRMING
    assert tracker.update(0.2, [UNLOCATED]) is CONFIRMING
    assert see(tracker, 0.4, HERO) is FOLLOWING


def test_a_sighting_without_a_position_keeps_the_track_where_it_was():
    tracker = following()
    assert tracker.update(1.0, [UNLOCATED]) is FOLLOWING
    assert tracker.age_s(1.0) == 0.0
    np.testing.assert_allclose(tracker.predict(1.0), HERO, atol=0.01)
    assert tracker.update(2.2) is COASTING  # 1.2 s after it, 2.2 s after the last position


def test_the_age_counts_from_the_latest_sighting():
    tracker = following(3.0)
    tracker.update(3.2)
    assert tracker.age_s(3.5) == pytest.approx(0.5)


def test_without_a_track_there_is_no_age_no_velocity_and_no_prediction():
    tracker = Tracker()
    assert (tracker.age_s(1.0), tracker.velocity_mps) == (None, None)
    with pytest.raises(RuntimeError, match="expected a track to predict from, got none in state patrol"):
        tracker.predict(1.0)


def test_the_velocity_of_a_straight_walk_converges_to_the_truth():
    tracker = Tracker()
    for frame, position in enumerate(walk(WALK_MPS, 0.0, 30)):
        see(tracker, FRAME_S * frame, position)
    np.testing.assert_allclose(tracker.velocity_mps, [WALK_MPS, 0.0, 0.0], atol=0.02)


def test_an_unseen_hero_walks_on_for_a_second_and_waits():
    tracker = Tracker()
    path = walk(WALK_MPS, 0.0, 50)
    for frame, position in enumerate(path):
        see(tracker, FRAME_S * frame, position)
    last_s, last_m = FRAME_S * 49, path[-1]
    for ahead_s, walked_s in ((-0.5, 0.0), (0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (1.3, 1.0), (60.0, 1.0)):
        walked_m = tracker.predict(last_s + ahead_s) - last_m
        np.testing.assert_allclose(walked_m, [WALK_MPS * walked_s, 0.0, 0.0], atol=0.03)


@pytest.mark.parametrize("turn_deg_per_s", [45.0, 90.0])
def test_a_turning_hero_is_never_taken_for_an_outlier(turn_deg_per_s):
    # On a circle of radius 1.485 m/s / 0.785 rad/s = 1.9 m, and of half of that.
    tracker = Tracker()
    path = walk(WALK_MPS, turn_deg_per_s, 60)
    states = [see(tracker, FRAME_S * frame, position) for frame, position in enumerate(path)]
    assert set(states[2:]) == {FOLLOWING}
    assert math.dist(tracker.predict(FRAME_S * 59), path[-1]) < 0.3


def test_the_speed_stays_within_its_limit():
    # A fit at the gate's edge each frame would make a hero who runs at 1.2 m / 0.2 s = 6 m/s.
    tracker = following()
    for frame in range(1, 30):
        see(tracker, FRAME_S * frame, from_hero(1.2 * frame))
        assert np.linalg.norm(tracker.velocity_mps) <= TrackerConfig().max_speed_mps + 1e-9


def test_each_update_gives_a_new_value_and_leaves_the_old_one():
    tracker = following()
    before = tracker.value
    see(tracker, 0.2, from_hero(0.5))
    assert tracker.value != before
    assert before == following().value


def simulated_walk(seed: int, dropped: float) -> tuple[list[float], list[float], float]:
    """Two minutes of a hero who walks 8 s straight and then turns 90° in a second, seen as QuadSim shows it.

    Positions have the depth image's rounding (± 0.196 m along a slowly turning view) and 0.08 m of noise in each axis;
    10 % of the frames are misses, 2 % outliers of 10 m, and the share `dropped` never comes.

    Returns:
        Errors over ground, m, of the filtered and of the raw positions, and the share of frames in which it followed.
    """
    rng = np.random.default_rng(seed)
    tracker = Tracker()
    position, heading_rad = HERO.copy(), 0.0
    filtered_m, raw_m, followed = [], [], []
    for frame in range(600):
        time_s = FRAME_S * frame
        heading_rad += math.radians(90) * FRAME_S if time_s % 9 >= 8 else 0.0
        position = position + WALK_MPS * FRAME_S * np.array([math.cos(heading_rad), math.sin(heading_rad), 0.0])
        if rng.random() < dropped:
            continue
        view = np.array([math.cos(time_s / 30), math.sin(time_s / 30), -1.0]) / math.sqrt(2)
        seen = position + rng.uniform(-0.196, 0.196) * view + rng.normal(0, 0.08, 3)
        kind = rng.random()
        if kind < 0.1:
            tracker.update(time_s)
        elif kind < 0.12:
            see(tracker, time_s, seen + rng.normal(0, 10, 3))
        else:
            see(tracker, time_s, seen, std_m=0.15)
            raw_m.append(math.dist(seen[:2], position[:2]))
            if tracker.is_following:
                filtered_m.append(math.dist(tracker.predict(time_s)[:2], position[:2]))
        followed.append(tracker.is_following)
    return filtered_m, raw_m, float(np.mean(followed))


@pytest.mark.parametrize("seed", range(4))
def test_filtered_positions_are_better_than_raw_ones_on_a_walk_with_turns(seed):
    filtered_m, raw_m, followed = simulated_walk(seed, dropped=0.0)
    assert np.median(filtered_m) < np.median(raw_m)
    assert np.percentile(filtered_m, 95) < np.percentile(raw_m, 95)
    assert followed > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_a_fifth_of_the_frames_dropped_does_not_lose_the_hero(seed):
    filtered_m, _, followed = simulated_walk(seed, dropped=0.2)
    assert np.median(filtered_m) < 0.2
    assert followed > 0.98


def test_what_is_not_convincing_starts_no_track_however_often_it_is_seen():
    tracker = Tracker(QUICK)
    assert {see(tracker, FRAME_S * frame, HERO, is_convincing=False) for frame in range(20)} == {PATROL}


def test_what_is_not_convincing_takes_no_track_over():
    tracker = following()
    for frame in range(1, 7):
        see(tracker, FRAME_S * frame, STRANGER, is_convincing=False)
    np.testing.assert_allclose(tracker.predict(1.2), HERO, atol=0.01)


def test_what_is_not_convincing_moves_the_track_that_it_fits_but_does_not_keep_it_for_ever():
    tracker = following()
    states = [see(tracker, FRAME_S * frame, from_hero(0.1 * frame), is_convincing=False) for frame in range(1, 8)]
    assert states == [FOLLOWING] * 7
    assert tracker.predict(1.4)[0] == pytest.approx(HERO[0] + 0.7, abs=0.1)
    # 1.6 s after the last convincing one: it was somebody else, so that being near is no evidence, either.
    assert see(tracker, 1.6, from_hero(0.8), is_convincing=False) is PATROL
    assert see(tracker, 1.8, from_hero(0.9)) is CONFIRMING


def test_a_convincing_sighting_now_and_then_keeps_a_track():
    tracker = following()
    states = {see(tracker, FRAME_S * frame, HERO, is_convincing=frame % 5 == 0) for frame in range(1, 60)}
    assert states == {FOLLOWING}


@pytest.mark.parametrize(("unconvincing", "state"), [(0, FOLLOWING), (6, FOLLOWING), (7, CONFIRMING)])
def test_only_being_seen_is_cause_for_doubt_and_who_has_not_been_seen_can_be_resumed(unconvincing, state):
    tracker = following()
    for frame in range(1, unconvincing + 1):
        see(tracker, FRAME_S * frame, HERO, is_convincing=False)
    assert see(tracker, 3.5, HERO) is state


def test_what_is_not_convincing_resumes_no_track():
    tracker = following()
    tracker.suspend(0.1)
    assert see(tracker, 0.2, HERO, is_convincing=False) is LOST
    assert see(tracker, 0.4, HERO) is FOLLOWING


def test_an_unlocated_sighting_must_be_convincing_to_keep_a_track():
    for is_convincing, state in ((True, FOLLOWING), (False, COASTING)):
        assert following().update(0.2, [sighting(None, is_convincing=is_convincing)]) is state


@pytest.mark.parametrize("time_s", [math.nan, math.inf])
def test_a_time_that_is_none_is_refused(time_s):
    with pytest.raises(ValueError, match="expected time_s finite"):
        Tracker().update(time_s)


@pytest.mark.parametrize("position_m", [[math.nan, 0.0, 0.0], [0.0, math.inf, 0.0], [0.0, 0.0]])
def test_a_position_that_is_none_is_refused(position_m):
    with pytest.raises(ValueError, match="expected position_m of three finite coordinates"):
        see(Tracker(), 0.0, HERO, np.array(position_m))


@pytest.mark.parametrize("std_m", [0.0, -1.0, math.nan, math.inf])
def test_a_position_needs_a_standard_deviation(std_m):
    with pytest.raises(ValueError, match="expected std_m positive and finite"):
        see(Tracker(), 0.0, HERO, std_m=std_m)


def test_a_refused_frame_changes_nothing():
    tracker = following()
    with pytest.raises(ValueError, match="position_m"):
        see(tracker, 0.2, HERO * math.nan)
    assert tracker.state is FOLLOWING
    assert see(tracker, 0.2, HERO) is FOLLOWING


@pytest.mark.parametrize("setting", fields(TrackerConfig), ids=lambda setting: setting.name)
def test_every_setting_refuses_a_value_that_is_not_positive(setting):
    for value in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"expected {setting.name}"):
            replace(TrackerConfig(), **{setting.name: value})


@pytest.mark.parametrize("name", ["confirm_hits", "confirm_window", "switch_hits", "switch_window"])
def test_a_count_is_an_integer(name):
    with pytest.raises(ValueError, match=f"expected {name} an integer of 1 to 1000, got 2.5"):
        replace(TrackerConfig(), **{name: 2.5})


def test_more_hits_than_frames_are_refused():
    with pytest.raises(ValueError, match="expected confirm_hits of at most confirm_window = 3, got 4"):
        TrackerConfig(confirm_hits=4, confirm_window=3)
    with pytest.raises(ValueError, match="expected switch_hits of at most switch_window = 5, got 6"):
        TrackerConfig(switch_hits=6)

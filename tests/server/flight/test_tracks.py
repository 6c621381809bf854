"""When to follow whom: sequences calculated by hand, at QuadSim's five frames a second, and simulated walks."""

import math

import numpy as np
import pytest
from support.seen import sighting

from server.flight import tracks
from server.flight.tracks import TrackState
from server.settings import OWN, TrackerConfig
from server.sight.geometry import QUADSIM_CAMERA
from server.sight.surfaces import Surfaces
from server.wire.messages import Pose

PATROL, CONFIRMING, FOLLOWING, COASTING, LOST = TrackState
FRAME_S = 0.2
HERO_M = np.array([10.0, 5.0, 1.0])
ELSEWHERE_M = np.array([10.0, 13.0, 1.0])  # 8 m to the left
FORWARD_M = np.array([1.0, 0.0, 0.0])
HERO, HARDLY, STRANGER = 5.0, 1.0, -5.0  # evidence


class Tracker:
    """A tracker from frame to frame: the latest of the values that `tracks.Tracker` goes through."""

    def __init__(self, **settings: float) -> None:
        self.value = tracks.Tracker(TrackerConfig(**settings))
        self.time_s = 0.0

    def see(
        self, *people: tuple[np.ndarray | None, float], after_s: float = FRAME_S, surfaces: Surfaces | None = None
    ) -> TrackState:
        """One frame; `people` are (place, evidence), with None for a sighting without a place."""
        self.time_s += after_s
        sightings = [sighting(place_m, evidence=nats) for place_m, nats in people]
        self.value = self.value.update(self.time_s, sightings, surfaces)
        return self.value.state

    def __getattr__(self, name):
        return getattr(self.value, name)


def following() -> Tracker:
    """A tracker that has followed a hero who stands at HERO_M for two seconds."""
    tracker = Tracker()
    for _ in range(10):
        tracker.see((HERO_M, HERO))
    assert tracker.state is FOLLOWING
    return tracker


def following_with_a_stranger_gone(**settings: float) -> Tracker:
    """A tracker that has seen a stranger, number 1, and then followed a hero, number 2, at HERO_M for two seconds."""
    tracker = Tracker(**settings)
    for _ in range(3):
        tracker.see((ELSEWHERE_M, STRANGER))
    for _ in range(10):
        tracker.see((HERO_M, HERO))
    return tracker


# What a camera 10 m behind the hero sees: a house in front of it at 4 m, and nothing.
HOUSE, OPEN = (
    Surfaces.of(np.full((256, 256), level, np.uint8), QUADSIM_CAMERA, Pose(0.0, 5.0, 1.0, 0.0, 0.0, 0.0))
    for level in (10, 255)
)


def test_the_states_have_the_dashboards_names():
    assert [str(state) for state in TrackState] == ["patrol", "confirming", "following", "coasting", "lost"]


def test_nothing_seen_is_patrol():
    tracker = Tracker()
    assert [tracker.see() for _ in range(3)] == [PATROL] * 3
    assert tracker.hero is None
    assert tracker.age_s(9.0) is None
    assert tracker.velocity_mps is None
    with pytest.raises(RuntimeError, match="expected a person to predict from, got none in state patrol"):
        tracker.predict(9.0)


def test_a_clear_hero_is_followed_from_the_second_frame_on():
    # One frame: 1/15 · e⁵ = 9.9 to 1, P = 0.91, but one frame is never enough.
    tracker = Tracker()
    assert [tracker.see((HERO_M, HERO)) for _ in range(3)] == [CONFIRMING, FOLLOWING, FOLLOWING]


def test_a_less_clear_one_takes_longer():
    # 3 nats: 1/15 · e³ = 1.3, P = 0.57; each frame adds 0.4 nats at first, which makes 0.83 after four.
    tracker = Tracker()
    states = [tracker.see((HERO_M, 3.0)) for _ in range(10)]
    assert states.index(FOLLOWING) == 4


def test_a_slight_resemblance_is_not_followed_however_often_it_is_seen():
    tracker = Tracker()
    states = {tracker.see((HERO_M, HARDLY)) for _ in range(100)}
    assert not states & {FOLLOWING, COASTING}


def test_strangers_are_nobody_to_confirm():
    tracker = Tracker()
    assert {tracker.see((HERO_M, STRANGER), (ELSEWHERE_M, STRANGER)) for _ in range(10)} == {PATROL}


def test_of_two_who_look_alike_none_is_followed_and_it_is_told():
    tracker = Tracker()
    for _ in range(10):
        assert tracker.see((HERO_M, HERO), (ELSEWHERE_M, HERO)) is CONFIRMING
    assert tracker.is_undecided
    for _ in range(10):
        tracker.see((HERO_M, HERO), (ELSEWHERE_M, STRANGER))
    assert tracker.state is FOLLOWING
    assert not tracker.is_undecided
    assert tracker.hero.track.position_m == pytest.approx(tuple(HERO_M), abs=0.1)


def test_of_two_who_may_be_the_hero_the_likelier_is_followed_whoever_came_first():
    tracker = Tracker(follow_above=0.6)
    for _ in range(2):
        state = tracker.see((ELSEWHERE_M, HERO - 1.0), (HERO_M, HERO))
    assert len(tracker.candidates) == 2
    assert (state, tracker.followed) == (FOLLOWING, 2)


def test_a_flicker_that_looks_like_the_hero_does_not_delay_the_following():
    tracker = Tracker()
    tracker.see((HERO_M, HERO))
    assert not tracker.is_undecided, "there is nobody else"
    assert tracker.see((ELSEWHERE_M, HERO), (HERO_M, HERO)) is FOLLOWING
    assert len(tracker.candidates) == 2
    assert tracker.followed == 1
    assert not tracker.is_undecided


def test_a_hero_who_jumps_in_every_frame_is_followed():
    """With unreliable poses or depths, no sighting fits the one before."""
    tracker = Tracker()
    states = [tracker.see((HERO_M + np.array([40.0 * (frame % 2), 25.0 * frame, 0.0]), HERO)) for frame in range(10)]
    assert states == [CONFIRMING] + [FOLLOWING] * 9


def test_the_hero_is_followed_beside_strangers_who_come_and_go():
    tracker = following()
    for frame in range(20):
        beside = [(ELSEWHERE_M + np.array([0.2 * frame, 0, 0]), STRANGER)] if frame % 3 else []
        assert tracker.see((HERO_M, HERO), *beside) is FOLLOWING
    assert tracker.predict(tracker.time_s) == pytest.approx(tuple(HERO_M), abs=0.1)


def test_flickers_that_look_like_the_hero_do_not_make_the_drone_give_up_a_hero_seen_a_few_times():
    tracker = Tracker()
    for _ in range(3):
        tracker.see((HERO_M, HERO - 1.0))
    assert tracker.state is FOLLOWING
    flickers = [(ELSEWHERE_M + np.array([0.0, metres, 0.0]), HERO) for metres in (0.0, 3.0, 6.0)]
    assert tracker.see((HERO_M, HERO - 1.0), *flickers) is FOLLOWING
    assert tracker.see((HERO_M, HERO - 1.0)) is FOLLOWING


def test_a_miss_coasts_and_a_hit_follows_again():
    tracker = following()
    assert tracker.see() is COASTING
    assert tracker.see((HERO_M, HERO)) is FOLLOWING


def test_the_seventh_miss_loses_the_hero_as_in_the_original():
    tracker = following()
    assert [tracker.see() for _ in range(7)] == [COASTING] * 6 + [LOST]


def test_a_hero_is_lost_after_the_time_and_not_after_a_number_of_misses():
    assert following().see(after_s=1.4) is LOST


def test_a_lost_hero_seen_nearby_is_followed_at_once():
    tracker = following()
    for _ in range(10):
        tracker.see()
    assert tracker.see((HERO_M + FORWARD_M, HERO)) is FOLLOWING


def test_somebody_else_in_the_place_of_the_lost_hero_is_not_followed():
    tracker = following()
    for _ in range(10):
        tracker.see()
    assert tracker.see((HERO_M + FORWARD_M, STRANGER)) in (PATROL, LOST)


def test_a_hero_who_comes_out_elsewhere_is_followed_after_some_frames():
    tracker = following()
    for _ in range(10):
        tracker.see()
    states = [tracker.see((HERO_M + np.array([0, 60.0, 0]), HERO)) for _ in range(40)]
    assert states[-1] is FOLLOWING
    assert tracker.predict(tracker.time_s)[1] == pytest.approx(65.0, abs=0.1)


def test_a_stranger_who_was_taken_for_the_hero_is_given_up_and_not_chased_again():
    tracker = Tracker()
    for _ in range(5):
        tracker.see((HERO_M, HERO))  # from afar
    assert tracker.state is FOLLOWING
    states = [tracker.see((HERO_M, STRANGER)) for _ in range(10)]  # nearby
    assert states.index(PATROL) * FRAME_S <= 1.0
    again = [tracker.see((HERO_M, 3.0)) for _ in range(10)]
    assert not set(again) & {FOLLOWING, COASTING}


@pytest.mark.parametrize("give_up_below", [0.1, 1e-12])
def test_the_hero_replaces_a_wrongly_followed_person(give_up_below):
    """Also if no one is ever given up because of their own evidence."""
    tracker = Tracker(give_up_below=give_up_below)
    for _ in range(5):
        tracker.see((ELSEWHERE_M, HERO))
    for _ in range(15):
        tracker.see((ELSEWHERE_M, STRANGER), (HERO_M, HERO))
    assert tracker.state is FOLLOWING
    assert tracker.predict(tracker.time_s) == pytest.approx(tuple(HERO_M), abs=0.1)


def test_suspending_stops_following_at_once_and_one_good_frame_resumes():
    tracker = following()
    tracker.value = tracker.value.suspend()
    assert tracker.state is LOST
    assert tracker.see((HERO_M, HERO)) is FOLLOWING


def test_suspending_without_anybody_is_patrol():
    tracker = Tracker()
    tracker.see((HERO_M, HARDLY))
    assert tracker.value.suspend().state is PATROL


def test_a_chosen_person_is_followed_whoever_it_is_until_released():
    tracker = following()
    tracker.see((HERO_M, HERO), (ELSEWHERE_M, STRANGER))
    stranger = tracker.crowd.people[1].number
    tracker.value = tracker.value.choose(stranger)
    for _ in range(5):
        assert tracker.see((HERO_M, HERO), (ELSEWHERE_M, STRANGER)) is FOLLOWING
        assert tracker.followed == stranger
    tracker.value = tracker.value.release()
    tracker.see((HERO_M, HERO), (ELSEWHERE_M, STRANGER))
    assert (tracker.state, tracker.followed) == (FOLLOWING, 1)


def test_the_hero_whom_the_operator_chose_is_followed_on_when_released():
    tracker = following()
    tracker.value = tracker.value.choose(1)
    assert tracker.see((HERO_M, HERO)) is FOLLOWING
    tracker.value = tracker.value.release()
    assert tracker.state is FOLLOWING
    assert tracker.see() is COASTING


def test_a_stranger_whom_the_operator_chose_is_left_at_once_when_released():
    tracker = Tracker()
    tracker.see((HERO_M, STRANGER))
    tracker.value = tracker.value.choose(1)
    assert tracker.see((HERO_M, STRANGER)) is FOLLOWING
    tracker.value = tracker.value.release()
    assert (tracker.state, tracker.hero) == (PATROL, None)


def test_taking_back_a_choice_of_somebody_out_of_view_leaves_whoever_is_followed():
    """Also if that person is no longer likely enough to begin following."""
    tracker = following_with_a_stranger_gone()
    while tracker.crowd.probability(tracker.hero) >= tracker.config.follow_above:
        assert tracker.see((HERO_M, HARDLY)) is FOLLOWING
    tracker.value = tracker.value.choose(1).release()
    assert (tracker.state, tracker.followed) == (FOLLOWING, 2)


def test_without_a_choice_there_is_nothing_to_release():
    for tracker in (Tracker(), following()):
        assert tracker.value.release() == tracker.value


def test_release_ends_following_if_two_people_look_alike():
    """Without the choice, neither of them would have been followed."""
    tracker = Tracker()
    for _ in range(10):
        assert tracker.see((HERO_M, HERO), (ELSEWHERE_M, HERO)) is CONFIRMING
    tracker.value = tracker.value.choose(1)
    assert tracker.see((HERO_M, HERO), (ELSEWHERE_M, HERO)) is FOLLOWING
    tracker.value = tracker.value.release()
    assert {tracker.see((HERO_M, HERO), (ELSEWHERE_M, HERO)) for _ in range(20)} == {CONFIRMING}


def test_a_stranger_whom_the_operator_chose_is_not_kept_by_glimpses_of_the_hero():
    tracker = Tracker()
    for _ in range(5):
        tracker.see((ELSEWHERE_M, STRANGER))
    tracker.value = tracker.value.choose(1)
    assert tracker.see((ELSEWHERE_M, STRANGER)) is FOLLOWING
    states = [tracker.see((None, HERO)) for _ in range(8)]
    assert not set(states[7:]) & {FOLLOWING, COASTING}


def test_the_hero_whom_the_operator_chose_is_kept_by_glimpses():
    tracker = following()
    tracker.value = tracker.value.choose(1)
    for _ in range(20):
        assert tracker.see((None, HERO)) is FOLLOWING


def test_a_glimpse_ends_being_hidden():
    tracker = following()
    for _ in range(40):
        tracker.see(surfaces=HOUSE)
    assert tracker.see((None, HERO), surfaces=OPEN) is FOLLOWING
    states = [tracker.see(surfaces=OPEN) for _ in range(8)]
    assert states == [COASTING] * 6 + [LOST] * 2


def test_the_choice_ends_when_the_chosen_person_is_lost():
    tracker = Tracker()
    tracker.see((HERO_M, STRANGER))
    tracker.value = tracker.value.choose(1)
    assert tracker.see((HERO_M, STRANGER)) is FOLLOWING
    assert [tracker.see() for _ in range(6)] == [COASTING] * 6
    assert tracker.see() is PATROL, "only the hero is looked for again"
    assert tracker.chosen is None
    assert tracker.see((HERO_M, STRANGER)) is PATROL


def test_the_choice_outlasts_frames_that_are_not_understood():
    tracker = Tracker()
    tracker.see((HERO_M, STRANGER))
    tracker.value = tracker.value.choose(1)
    assert tracker.see((HERO_M, STRANGER)) is FOLLOWING
    tracker.value = tracker.value.suspend()
    assert tracker.see() is PATROL
    assert tracker.see((HERO_M, STRANGER)) is FOLLOWING


def test_while_the_chosen_person_has_not_been_lost_nobody_else_is_followed():
    tracker = following()
    tracker.see((HERO_M, HERO), (ELSEWHERE_M, STRANGER))
    tracker.value = tracker.value.choose(tracker.crowd.people[1].number)
    tracker.see((HERO_M, HERO), (ELSEWHERE_M, STRANGER))
    assert tracker.see((HERO_M, HERO)) is COASTING


def test_a_choice_of_somebody_out_of_view_outlasts_whoever_is_followed_and_ends_when_forgotten():
    tracker = following_with_a_stranger_gone()
    assert tracker.followed == 2
    tracker.value = tracker.value.choose(1)
    for _ in range(10):
        tracker.see()
    assert not tracker.is_following
    assert tracker.chosen == 1
    tracker.see(after_s=30.0)
    assert tracker.chosen is None


def test_a_choice_of_somebody_who_is_forgotten_ends_also_while_the_hero_is_followed():
    tracker = following_with_a_stranger_gone(remember_s=3.0)
    tracker.value = tracker.value.choose(1)
    for _ in range(15):
        assert tracker.see((HERO_M, HERO)) is FOLLOWING
    assert tracker.followed == 2
    assert tracker.chosen is None


def test_while_somebody_chosen_is_out_of_view_the_hero_is_not_given_up_for_somebody_else():
    tracker = following_with_a_stranger_gone(give_up_below=1e-12)
    tracker.value = tracker.value.choose(1)
    for _ in range(15):
        assert tracker.see((HERO_M, STRANGER), (HERO_M + 9.0 * FORWARD_M, HERO)) is FOLLOWING
    assert tracker.followed == 2


def test_somebody_unknown_cannot_be_chosen_or_refused():
    tracker = following()
    assert tracker.value.choose(99) == tracker.value
    assert tracker.value.refuse(99) == tracker.value


def test_who_is_refused_is_left_at_once_and_never_followed_again():
    tracker = following()
    tracker.value = tracker.value.refuse(1)
    assert (tracker.state, tracker.hero) == (PATROL, None)
    assert {tracker.see((HERO_M, HERO)) for _ in range(30)} == {PATROL}


def test_who_is_refused_after_being_chosen_is_left_at_once_and_never_followed_again():
    tracker = following()
    tracker.value = tracker.value.choose(1)
    assert tracker.see((HERO_M, HERO)) is FOLLOWING
    tracker.value = tracker.value.refuse(1)
    assert (tracker.state, tracker.chosen) == (PATROL, None)
    assert {tracker.see((HERO_M, HERO)) for _ in range(10)} == {PATROL}


def test_a_refusal_of_somebody_else_leaves_the_choice():
    tracker = following()
    tracker.see((HERO_M, HERO), (ELSEWHERE_M, STRANGER))
    tracker.value = tracker.value.choose(2).refuse(1)
    assert tracker.see((HERO_M, HERO), (ELSEWHERE_M, STRANGER)) is FOLLOWING
    assert (tracker.chosen, tracker.followed) == (2, 2)


def test_who_is_chosen_after_being_refused_is_followed_also_when_released():
    tracker = following()
    tracker.value = tracker.value.refuse(1).choose(1)
    assert tracker.see((HERO_M, HERO)) is FOLLOWING
    tracker.value = tracker.value.release()
    assert tracker.see((HERO_M, HERO)) is FOLLOWING


def test_a_sighting_without_a_place_keeps_the_track_where_it_was_but_starts_none():
    tracker = Tracker()
    assert {tracker.see((None, HERO)) for _ in range(10)} == {PATROL}
    tracker = following()
    for _ in range(20):
        assert tracker.see((None, HERO)) is FOLLOWING
    assert tracker.predict(tracker.time_s) == pytest.approx(tuple(HERO_M), abs=0.1)
    assert [tracker.see((None, STRANGER)) for _ in range(2)] == [COASTING] * 2


def test_somebody_elsewhere_who_may_be_the_hero_does_not_keep_the_track():
    tracker = following()
    assert tracker.see((ELSEWHERE_M, HERO)) is COASTING
    assert tracker.followed == 1


def test_the_age_counts_from_the_latest_sighting():
    tracker = following()
    tracker.see()
    tracker.see()
    assert tracker.age_s(tracker.time_s) == pytest.approx(0.4)


def test_of_a_hero_who_was_forgotten_nothing_is_told():
    tracker = following()
    tracker.see(after_s=30.0, surfaces=HOUSE)
    assert (tracker.hero, tracker.age_s(tracker.time_s), tracker.velocity_mps) == (None, None, None)
    assert tracker.state is PATROL


def test_a_frame_that_is_not_later_changes_nothing():
    tracker = following()
    before = tracker.value
    assert before.update(tracker.time_s, [sighting(ELSEWHERE_M)]) == before
    assert before.update(tracker.time_s - 1.0, []) == before


def test_each_method_gives_a_new_value_and_leaves_the_old_one():
    before = following().value
    others = [before.update(9.0), before.suspend(), before.refuse(1), before.choose(1)]
    assert before.state is FOLLOWING
    assert all(other != before for other in others)


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_the_frames_dropped_does_not_lose_the_hero_in_a_crowd(seed):
    rng = np.random.default_rng(seed)
    tracker, away = Tracker(), 0
    others_m = rng.uniform(-15, 15, size=(20, 3)) * [1, 1, 0] + HERO_M
    headings = rng.uniform(0, 2 * np.pi, size=20)
    for frame in range(150):
        hero_m = HERO_M + np.array([0.26 * frame, 2 * math.sin(frame / 20), 0])
        others_m = others_m + 0.25 * np.column_stack([np.cos(headings), np.sin(headings), np.zeros(20)])
        if rng.random() < 0.2:
            tracker.time_s += FRAME_S
            continue
        noise = rng.normal(scale=0.1, size=(21, 3))
        tracker.see(
            (hero_m + noise[0], HERO if rng.random() < 0.8 else HARDLY),
            *((other_m + noise[1 + n], rng.normal(-3.0, 1.5)) for n, other_m in enumerate(others_m)),
        )
        if frame > 10:
            away += tracker.state is not FOLLOWING or math.dist(tracker.predict(tracker.time_s), hero_m) > 0.6
    assert away <= 2


@pytest.mark.parametrize("time_s", [math.nan, math.inf])
def test_a_time_that_is_not_finite_is_refused(time_s):
    with pytest.raises(ValueError, match="expected time_s finite"):
        following().value.update(time_s, [])


@pytest.mark.parametrize("position_m", [(math.nan, 0, 0), (0, math.inf, 0), (0, 0)])
def test_a_position_without_three_finite_coordinates_is_refused(position_m):
    with pytest.raises(ValueError, match="expected position_m of three finite coordinates"):
        following().value.update(9.0, [sighting(position_m)])


@pytest.mark.parametrize("std_m", [0.0, -1.0, math.nan, math.inf])
def test_a_position_needs_a_standard_deviation(std_m):
    with pytest.raises(ValueError, match="expected std_m positive and finite"):
        following().value.update(9.0, [sighting(HERO_M, std_m)])


def test_evidence_is_a_number():
    with pytest.raises(ValueError, match="expected evidence finite, got nan"):
        following().value.update(9.0, [sighting(HERO_M, evidence=math.nan)])
    with pytest.raises(ValueError, match="expected second evidence finite, got inf"):
        following().value.update(9.0, [sighting(HERO_M)._replace(second_evidence=math.inf)])


def test_a_frame_need_not_tell_the_hero_from_lookalikes():
    tracker = tracks.Tracker()
    for time_s in (0.0, 0.2, 0.4):
        tracker = tracker.update(time_s, [sighting(HERO_M)._replace(second_evidence=None)])
    assert tracker.state is FOLLOWING


@pytest.mark.parametrize("setting", OWN)
def test_every_setting_refuses_a_value_that_is_not_positive(setting):
    for value in (0, -1, math.nan, math.inf, "many", None, True):
        with pytest.raises(ValueError, match=f"expected {setting} in "):
            TrackerConfig(**{setting: value})


def test_a_probability_is_below_one_and_giving_up_not_above_following():
    with pytest.raises(ValueError, match=r"expected follow_above in \(0, 1\), got 1"):
        TrackerConfig(follow_above=1)
    with pytest.raises(ValueError, match=r"expected give_up_below of at most follow_above = 0\.6, got 0\.7"):
        TrackerConfig(follow_above=0.6, give_up_below=0.7)


# --- hidden


def test_who_is_hidden_by_a_house_is_followed_for_longer_and_taken_to_walk_on():
    tracker = Tracker()
    for frame in range(15):
        tracker.see((HERO_M + 0.2 * frame * FORWARD_M, HERO))  # at 1 m/s
    begin_m = tracker.predict(tracker.time_s)[0]
    states = [tracker.see(surfaces=HOUSE) for _ in range(30)]
    assert set(states) == {COASTING}
    assert tracker.is_hidden
    assert tracker.predict(tracker.time_s)[0] - begin_m == pytest.approx(6.0, abs=0.4), "in 6 s"
    assert tracker.see((HERO_M + (2.8 + 6.2) * FORWARD_M, HERO), surfaces=OPEN) is FOLLOWING
    assert not tracker.is_hidden
    assert len(tracker.crowd.people) == 1, "the same person"


def test_who_is_not_where_they_must_be_is_lost_as_soon_as_the_place_is_seen():
    tracker = following()
    for _ in range(20):
        assert tracker.see(surfaces=HOUSE) is COASTING
    states = [tracker.see(surfaces=OPEN) for _ in range(8)]
    assert states == [COASTING] * 6 + [LOST] * 2


def test_nobody_is_followed_behind_a_house_for_ever():
    tracker = following()
    states = [tracker.see(surfaces=HOUSE) for _ in range(80)]
    hidden_for = states.index(LOST)
    assert hidden_for * FRAME_S == pytest.approx(TrackerConfig().hidden_for_s + TrackerConfig().lost_after_s, abs=0.41)
    assert set(states[hidden_for:]) == {LOST}


def test_a_house_hides_nobody_who_is_seen_or_was_lost_before():
    tracker = following()
    assert tracker.see((HERO_M, HERO), surfaces=HOUSE) is FOLLOWING
    assert not tracker.is_hidden
    for _ in range(8):
        tracker.see(surfaces=OPEN)
    assert tracker.state is LOST
    assert tracker.see(surfaces=HOUSE) is LOST
    assert not tracker.is_hidden

import logging
from dataclasses import replace

import numpy as np
import pytest
from support.seen import HERE, WATCHDOG_S, bad, failed, quick_tracker, seen, session, sighting, stranger

from model.profile import hero_profile
from server.flight import session as session_module
from server.flight.events import Choose, Event, Failed, Hold, Received, Refuse, Release, Retarget, Seen, Shutdown, Tick
from server.flight.session import Session
from server.sight.geometry import QUADSIM_CAMERA
from server.sight.people import Sighting
from server.sight.surfaces import Surfaces
from server.wire.messages import Pose

# A house at 4 m in front of a camera that looks at HERE from 10 m.
HOUSE = Surfaces.of(
    np.full((256, 256), 10, np.uint8), QUADSIM_CAMERA, Pose(HERE[0] - 10.0, HERE[1], 1.0, 0.0, 0.0, 0.0)
)
ASIDE = (HERE[0], HERE[1] + 8.0, HERE[2])


def show(subject: Session, time_s: float, *sightings: Sighting, delay_s: float = 0.01) -> list[str]:
    return told(subject, seen(time_s, *sightings, delay_s=delay_s))


def told(subject: Session, event: Event) -> list[str]:
    return [command.event for command in subject.take(event)]


def moved(forward_m: float = 0.0, left_m: float = 0.0) -> Sighting:
    return sighting((HERE[0] + forward_m, HERE[1] + left_m, HERE[2]))


def following() -> Session:
    subject = session()
    show(subject, 0.0, sighting())
    assert show(subject, 0.2, sighting()) == ["object_detected", "create_box_marker"]
    return subject


def test_the_first_answer_is_patrol_and_it_is_given_once():
    subject = session()
    assert show(subject, 0.0) == ["object_lost"]
    assert show(subject, 0.2) == []
    assert show(subject, 0.4, sighting()) == [], "one sighting of two"
    assert show(subject, 0.6, sighting()) == ["object_detected", "create_box_marker"]


def test_each_frame_of_a_follow_is_answered_with_the_point_and_a_new_marker():
    subject = following()
    detected, marker = subject.take(seen(0.4, sighting()))
    np.testing.assert_allclose(detected.payload["coords"], HERE, atol=0.2)
    assert marker.payload["id"] == 2
    assert marker.payload["pose"][:3] == detected.payload["coords"]


def test_the_point_is_where_the_hero_is_at_the_frames_time_however_late_it_is_answered():
    """A hero walks 1 m/s along x and is at x = 14 m in the frame of t = 4 s."""
    answers = []
    for delay_s in (0.0, 0.5):
        subject = session()
        for number in range(20):
            show(subject, 0.2 * number, moved(0.2 * number), delay_s=delay_s)
        answers.append(subject.take(seen(4.0, moved(4.0), delay_s=delay_s)))
    np.testing.assert_allclose(answers[0][0].payload["coords"], (14.0, 2.0, 1.0), atol=0.15)
    assert answers[0] == answers[1]


def test_of_two_in_a_frame_the_one_on_the_track_is_followed_though_the_other_is_larger():
    subject = following()
    elsewhere = moved(left_m=8.0)
    detected, _ = subject.take(seen(0.4, elsewhere, sighting()))
    np.testing.assert_allclose(detected.payload["coords"], HERE, atol=0.2)


def test_a_slight_resemblance_is_not_followed():
    subject = session()
    hardly = sighting(evidence=1.0)
    assert [show(subject, 0.2 * number, hardly) for number in range(6)] == [["object_lost"], [], [], [], [], []]


def test_of_two_in_a_frame_the_hero_is_followed_and_not_the_stranger():
    subject = session()
    for number in range(5):
        commands = subject.take(seen(0.2 * number, stranger((HERE[0], HERE[1] + 8.0, HERE[2])), sighting()))
    np.testing.assert_allclose(commands[0].payload["coords"], HERE, atol=0.2)


def with_stranger() -> Session:
    """Following the hero, number 1, with a stranger beside, number 2."""
    subject = following()
    show(subject, 0.4, sighting(), stranger(ASIDE))
    return subject


def test_whom_the_operator_chooses_is_followed_from_the_next_frame_on_and_the_hero_after_that():
    subject = with_stranger()
    assert subject.take(Choose(0.5, 2)) == []
    detected, _ = subject.take(seen(0.6, sighting(), stranger(ASIDE)))
    np.testing.assert_allclose(detected.payload["coords"], ASIDE, atol=0.2)
    assert (subject.situation(0.6).chosen, subject.situation(0.6).followed) == (2, 2)
    assert subject.take(Choose(0.7, None)) == []
    detected, _ = subject.take(seen(0.8, sighting(), stranger(ASIDE)))
    np.testing.assert_allclose(detected.payload["coords"], HERE, atol=0.2)


def test_the_log_tells_that_it_is_a_chosen_person_who_was_found(caplog):
    caplog.set_level(logging.INFO)
    subject = patrolling()
    show(subject, 0.2, stranger(ASIDE))
    subject.take(Choose(0.3, 1))
    show(subject, 0.4, stranger(ASIDE))
    assert "[a simulator] Target found: person 1 at" in caplog.messages[-1]


def test_whom_the_operator_refuses_is_left_at_once_and_for_good():
    subject = with_stranger()
    assert told(subject, Refuse(0.5, 1)) == ["object_lost"]
    assert [show(subject, 0.6 + 0.2 * number, sighting()) for number in range(10)] == [[]] * 10


def test_refusing_somebody_else_changes_nothing_for_the_drone():
    subject = with_stranger()
    assert told(subject, Refuse(0.5, 2)) == []
    assert show(subject, 0.6, sighting()) == ["object_detected", "create_box_marker"]


def test_a_choice_does_not_lead_a_drone_on_hold():
    subject = with_stranger()
    assert told(subject, Hold(0.5)) == ["object_lost"]
    subject.take(Choose(0.5, 2))
    assert show(subject, 0.6, sighting(), stranger(ASIDE)) == []


def test_the_situation_tells_of_everybody():
    subject = with_stranger()
    hero, other = subject.situation(0.4).people
    assert (hero.number, hero.is_in_view, hero.is_refused) == (1, True, False)
    assert hero.probability > 0.7 > 0.01 > other.probability
    np.testing.assert_allclose(other.position_m, ASIDE, atol=0.1)
    show(subject, 0.6, sighting())
    assert [each.is_in_view for each in subject.situation(0.6).people] == [True, False]


def test_a_frame_that_is_not_understood_stops_the_drone_at_once_and_one_good_frame_resumes():
    subject = following()
    assert told(subject, bad(0.4, 0.4)) == ["object_lost"]
    assert subject.take(bad(0.6, 0.6)) == []
    assert show(subject, 0.8, sighting()) == ["object_detected", "create_box_marker"]


def test_a_failure_of_perception_stops_the_drone_at_once():
    assert told(following(), failed(0.4)) == ["object_lost"]


def test_the_watchdog_stops_a_drone_whose_frames_no_longer_come():
    subject = following()  # the last fresh frame came at 0.2 s
    assert subject.take(Tick(0.2 + WATCHDOG_S)) == []
    assert told(subject, Tick(0.21 + WATCHDOG_S)) == ["object_lost"]
    assert subject.take(Tick(0.3 + WATCHDOG_S)) == []


def test_the_watchdog_stops_a_drone_whose_frames_come_and_are_not_answered():
    subject = following()
    for number in range(1, 6):
        subject.take(Received(0.2 + 0.2 * number, number))
    assert told(subject, Tick(0.21 + WATCHDOG_S)) == ["object_lost"]


def test_an_answer_that_comes_too_late_never_commands_a_follow():
    subject = following()
    assert show(subject, 0.4, sighting(), delay_s=WATCHDOG_S + 0.1) == ["object_lost"]
    assert subject.state.counts.stale == 1


def test_a_frame_sent_twice_commands_nothing():
    subject = following()
    assert subject.take(Seen(0.26, 9, 0.25, 1e9 + 0.2, (sighting(),))) == []
    assert subject.state.counts.stale == 1


def test_with_a_clock_that_is_stuck_the_hero_is_followed_all_the_same():
    subject = session()
    frames = [Seen(0.2 * number, number, 0.2 * number, 1e9, (sighting(),)) for number in range(5)]
    answers = [told(subject, frame) for frame in frames]
    assert answers == [["object_lost"], [], *[["object_detected", "create_box_marker"]] * 3]
    assert subject.state.counts.stale == 1


def test_a_hero_out_of_sight_is_lost_after_the_set_time():
    subject = following()  # last seen at 0.2 s, lost 1.4 s later
    answers = [show(subject, 0.2 + 0.2 * number) for number in range(1, 10)]
    assert answers.index(["object_lost"]) == 6
    assert all(answer[0] == "object_detected" for answer in answers[:6])
    assert answers[7:] == [[], []]


def patrolling() -> Session:
    subject = session()
    show(subject, 0.0)
    return subject


@pytest.mark.parametrize(
    ("subject", "events"), [(following, ["object_lost"]), (session, ["object_lost"]), (patrolling, [])]
)
def test_the_end_of_the_server_stops_a_drone_that_follows_or_may_do_so(subject, events):
    assert told(subject(), Shutdown(0.4)) == events


def test_a_simulator_that_may_still_follow_is_stopped_even_if_its_first_frames_are_no_good():
    """It was led by a server that has been restarted, or it lost its connection."""
    assert told(session(), bad(0.0, 0.0)) == ["object_lost"]
    assert told(session(), failed(0.0)) == ["object_lost"]
    unanswered = session()
    unanswered.take(Received(0.0, 1))
    assert unanswered.take(Tick(WATCHDOG_S)) == []
    assert told(unanswered, Tick(WATCHDOG_S + 0.1)) == ["object_lost"]


def test_a_good_frame_that_is_answered_after_a_newer_bad_one_commands_nothing():
    subject = following()
    assert told(subject, bad(0.41, 0.42)) == ["object_lost"]
    assert subject.take(seen(0.4, sighting(), delay_s=0.03)) == []


def test_an_older_bad_frame_does_not_make_a_newer_one_forgotten():
    """The first frame is broken, the third too, and the second is answered last: the newest was not understood."""
    subject = following()
    assert told(subject, bad(0.6)) == ["object_lost"]
    assert told(subject, bad(0.4, 0.61)) == []
    assert subject.take(seen(0.5, sighting(), delay_s=0.12)) == []
    assert show(subject, 0.8, sighting()) == ["object_detected", "create_box_marker"]


def test_of_two_bad_frames_the_newer_one_counts():
    subject = following()
    told(subject, bad(0.4))
    told(subject, bad(0.8))
    assert subject.take(seen(0.6, sighting(), delay_s=0.22)) == []


def test_an_older_bad_frame_does_not_bring_frames_for_the_former_target_back():
    subject = following()
    told(subject, Retarget(0.6, quick_tracker(profile=replace(hero_profile(), name="dog"))))
    told(subject, bad(0.4, 0.61))
    subject.take(seen(0.5, sighting(), delay_s=0.12))
    assert subject.situation(0.7).people == ()


def test_a_clock_that_hardly_moves_does_not_keep_a_drone_following_behind_a_house():
    subject, answers = following(), []
    for number in range(1, 200):
        arrival_s = 0.2 + 0.2 * number
        frame = Seen(arrival_s + 0.01, number, arrival_s, 1e9 + 0.2 + 0.001 * number, (), surfaces=HOUSE)
        answers += told(subject, frame)
    limit_s = 2 * (subject.state.tracker.config.lost_after_s + subject.state.tracker.config.hidden_for_s)
    assert answers == ["object_detected", "create_box_marker"] * (round(limit_s / 0.2) - 1) + ["object_lost"]


def test_with_another_target_numbers_go_on_so_that_an_order_means_nobody_else():
    subject = following()
    told(subject, Retarget(0.3, quick_tracker(profile=replace(hero_profile(), name="dog"))))
    show(subject, 0.4, stranger(ASIDE))
    (person,) = subject.situation(0.4).people
    assert person.number > 1
    assert subject.take(Choose(0.5, 1)) == []
    assert show(subject, 0.6, stranger(ASIDE)) == []


def test_a_clock_that_hardly_moves_does_not_keep_a_drone_following_a_hero_who_has_gone():
    subject = following()
    answers = []
    for number in range(1, 20):
        arrival_s = 0.2 + 0.2 * number
        answers += told(subject, Seen(arrival_s + 0.01, number, arrival_s, 1e9 + 0.2 + 0.001 * number, ()))
    # By arrival, 2 × 1.4 s after it was last seen, at 0.2 s: with the frame of 3.0 s.
    assert answers == ["object_detected", "create_box_marker"] * 13 + ["object_lost"]


def test_a_held_drone_is_stopped_once_and_told_nothing_else_until_it_is_released():
    subject = following()
    assert told(subject, Hold(0.3)) == ["object_lost"]
    assert [show(subject, 0.2 + 0.2 * number, sighting()) for number in range(1, 5)] == [[], [], [], []]
    assert subject.take(bad(1.1, 1.1)) == subject.take(failed(1.1)) == subject.take(Hold(0.3)) == []
    subject.take(Release(1.15))
    assert show(subject, 1.2, sighting()) == ["object_detected", "create_box_marker"]


def test_a_hold_stops_a_drone_that_has_not_been_told_anything_yet():
    subject = session()
    assert told(subject, Hold(0.3)) == ["object_lost"]
    assert show(subject, 0.0, sighting()) == show(subject, 0.2, sighting()) == []


def test_while_held_the_tracker_goes_on_and_the_watchdog_still_ends_its_following():
    subject = following()
    subject.take(Hold(0.3))
    show(subject, 0.4, sighting())
    assert subject.situation(0.41)[:2] == ("following", True)
    assert subject.take(Tick(0.5 + WATCHDOG_S)) == []
    assert subject.situation(0.5 + WATCHDOG_S).state == "lost"


def test_the_situation_tells_where_the_hero_is_how_fast_and_how_long_ago_seen():
    subject = session()
    assert subject.situation(0.0) == ("patrol", False, False, None, None, None, (), None, None, False, (0.7, 0.7, 2.0))
    for number in range(10):  # 1 m/s along x
        show(subject, 0.2 * number, moved(0.2 * number))
    seen = subject.situation(2.3)  # the last one at 1.8 s
    assert seen.state == "following"
    assert seen.age_s == pytest.approx(0.5)
    np.testing.assert_allclose(seen.velocity_mps, [1, 0, 0], atol=0.15)
    np.testing.assert_allclose(seen.position_m, (12.3, 2.0, 1.0), atol=0.25)


def test_who_is_lost_is_followed_no_longer_and_the_distance_to_where_they_must_be_is_told():
    subject = session()
    camera = Pose(HERE[0] - 3.0, HERE[1] + 4.0, HERE[2], 0.0, 0.0, 0.0)
    assert subject.situation(0.0).distance_m(camera) is None
    subject = following()
    now = subject.situation(0.2)
    assert now.followed_now == now.followed == 1
    assert now.distance_m(camera) == pytest.approx(5.0, abs=0.1)
    subject.take(bad(0.4))
    later = subject.situation(0.4)
    assert (later.followed, later.followed_now) == (1, None)
    assert later.distance_m(camera) == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (failed(0.4), "perception failed"),
        (Failed(0.4), "internal error"),
        (bad(0.4), "a frame was not understood"),
        (Hold(0.4), "held by hand"),
        (Refuse(0.4, 1), "refused by hand"),
        (Shutdown(0.4), "the server is shutting down"),
        (seen(2.0), "out of sight"),
        (Tick(1.5), "no fresh frame for 1 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_log_tells_where_the_hero_was_found_and_why_the_drone_patrols_again(caplog, event, reason):
    caplog.set_level(logging.INFO)
    subject = patrolling()
    show(subject, 0.1, sighting())
    for time_s in (0.2, 0.3, 0.35):
        show(subject, time_s, sighting())
    for _ in range(2):
        subject.take(event)
    assert [line.getMessage() for line in caplog.records] == [
        "[a simulator] Target found: hero at (10.0, 2.0, 1.0) m",
        f"[a simulator] Target lost: {reason}",
    ]


def test_of_somebody_who_no_longer_looks_like_the_hero_the_log_says_so(caplog):
    caplog.set_level(logging.INFO)
    subject = following()
    for number in range(2, 10):
        show(subject, 0.2 * number, stranger())
    assert caplog.records[-1].getMessage() == "[a simulator] Target lost: no longer likely to be the target"


@pytest.mark.parametrize(
    ("order", "reason"), [(Choose(0.7, None), "released by hand"), (Refuse(0.7, 2), "refused by hand")]
)
def test_of_a_chosen_person_whom_the_operator_gives_up_the_log_says_so(caplog, order, reason):
    caplog.set_level(logging.INFO)
    subject = with_stranger()
    show(subject, 0.5, stranger(ASIDE))
    subject.take(Choose(0.55, 2))
    show(subject, 0.6, stranger(ASIDE))
    subject.take(order)
    show(subject, 0.8, stranger(ASIDE))
    show(subject, 1.0, stranger(ASIDE))
    assert caplog.messages[-1] == f"[a simulator] Target lost: {reason}"


def test_a_tick_before_the_first_frame_tells_nothing():
    assert session().take(Tick(99.0)) == []


def test_with_another_target_the_drone_patrols_at_once_and_everybody_is_forgotten():
    subject = following()
    dog = replace(hero_profile(), name="dog", marker_m=(0.5, 0.6, 0.7))
    tracker = quick_tracker(profile=dog)
    assert told(subject, Retarget(0.3, tracker)) == ["object_lost"]
    assert subject.situation(0.3).people == ()
    assert subject.take(Retarget(0.35, tracker)) == [], "it patrols already"
    show(subject, 0.4, sighting())
    _, marker = subject.take(seen(0.6, sighting()))
    assert marker.payload["dimensions"] == [0.5, 0.6, 0.7]


def test_a_frame_that_was_looked_through_for_the_former_target_is_not_answered():
    subject = following()
    tracker = quick_tracker(profile=replace(hero_profile(), name="dog"))
    in_work = [seen(time_s, sighting(), delay_s=0.2) for time_s in (0.4, 0.5)]
    assert told(subject, Retarget(0.5, tracker)) == ["object_lost"]
    assert [subject.take(event) for event in in_work] == [[], []]
    assert subject.situation(0.7).people == ()
    assert subject.state.counts.stale == 2
    show(subject, 0.8, sighting())
    assert show(subject, 1.0, sighting()) == ["object_detected", "create_box_marker"]


def test_frames_are_counted():
    subject = following()
    subject.take(Received(0.4, 3))
    subject.take(Received(0.6, 4, superseded=3))
    subject.take(Received(0.7, 5))
    subject.take(bad(0.8, 0.8))
    subject.take(failed(1.0))
    assert subject.state.counts == (3, 2, 1, 0, 1, 1)


def test_an_error_of_ours_leaves_the_state_as_it_was():
    subject = following()
    before = subject.state
    impossible = sighting()._replace(place=sighting().place._replace(std_m=-1.0))
    with pytest.raises(ValueError, match="std_m"):
        show(subject, 0.4, impossible)
    assert subject.state == before
    assert show(subject, 0.4, sighting()) == ["object_detected", "create_box_marker"]


def test_an_error_of_ours_half_way_through_leaves_the_state_as_it_was(monkeypatch):
    """Otherwise the state would claim that the drone got a command which it did not get."""
    subject = patrolling()
    show(subject, 0.1, sighting())
    before = subject.state
    with monkeypatch.context() as patch:
        patch.setattr(session_module, "create_box_marker", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            show(subject, 0.2, sighting())
    assert subject.state == before
    assert show(subject, 0.2, sighting()) == ["object_detected", "create_box_marker"]


def test_a_state_can_be_stored_and_restored_to_answer_the_same_again():
    subject = following()
    stored = subject.state
    first = subject.take(seen(0.4, moved(0.1)))
    assert subject.state != stored
    restored = Session(subject.name, subject.watchdog_s, stored)
    assert restored.take(seen(0.4, moved(0.1))) == first
    assert restored.state == subject.state


def test_an_internal_error_stops_the_drone_but_counts_no_frame():
    subject = following()
    assert told(subject, Failed(0.4)) == ["object_lost"]
    assert subject.state.counts.failed == 0

"""When it is enough to look at the part of a frame where the hero must be."""

from dataclasses import replace

import numpy as np
import pytest
from support.seen import HERE, bad, seen, session, sighting, stranger

from server.flight.events import Choose, Hold, Refuse, Seen
from server.flight.glance import with_expected_place
from server.wire.messages import BadFrameError, Frame, Pose, SensorFrame

FAR_AWAY, NEAR_BY = (10.0, 8.0, 1.0), (10.0, 3.5, 1.0)
POSE = Pose(6.0, 2.0, 4.0, 0.0, 40.0, 0.0)  # 5 m from the hero


def frame(time_s: float) -> Frame:
    return Frame(1, time_s, None, SensorFrame(1e9 + time_s, b"", None, POSE, POSE))


def following(*others, until: int = 20):
    """A session that has followed the hero for a while, five whole frames a second; the last at 0.2 · `until` s."""
    subject = session()
    for number in range(until + 1):
        subject.take(seen(0.2 * number, sighting(), *others))
    return subject


def part(time_s: float, *sightings) -> Seen:
    return replace(seen(time_s, *sightings), is_part=True)


def expected_m(subject, time_s: float):
    return with_expected_place(frame(time_s), subject.state).expected_m


def test_the_hero_beyond_doubt_is_expected_where_they_walk_to():
    subject = session()
    for number in range(20):
        subject.take(seen(0.2 * number, sighting((4.0 + 0.3 * number, 2.0, 1.0))))
    np.testing.assert_allclose(expected_m(subject, 4.0), (10.0, 2.0, 1.0), atol=0.1)


@pytest.mark.parametrize(
    ("is_busy", "expected"),
    [(False, [True, True, True, False] * 4), (True, [True] * 7 + [False] + [True] * 7 + [False])],
)
def test_every_fourth_frame_is_looked_at_as_a_whole_or_if_the_server_is_busy_the_first_after_a_second_and_a_half(
    is_busy, expected
):
    subject = following()
    looks = []
    for number in range(21, 37):
        taken = with_expected_place(frame(0.2 * number), subject.state)
        looks.append(taken.expected_m is not None and (is_busy or not taken.is_whole_due))
        subject.take(replace(seen(0.2 * number, sighting()), is_part=looks[-1]))
    assert looks == expected


def test_in_a_world_that_moves_fast_all_frames_are_looked_at_as_a_whole():
    subject = following()
    for pace, is_part in ((1.2, True), (1.3, False), (3.0, False)):
        crowd = subject.state.tracker.crowd._replace(pace=pace)
        state = replace(subject.state, tracker=replace(subject.state.tracker, crowd=crowd))
        assert (with_expected_place(frame(4.2), state).expected_m is not None) is is_part


def test_of_the_few_frames_that_a_busy_server_sees_parts_will_do_until_a_whole_one_is_due_by_time():
    subject = following()  # until 4.0 s
    for time_s, is_part in ((4.6, True), (5.2, True), (5.8, False), (6.4, True)):
        assert (expected_m(subject, time_s) is not None) is is_part
        subject.take(replace(seen(time_s, sighting()), is_part=is_part))
    assert expected_m(subject, 7.2) is not None
    assert expected_m(subject, 7.4) is None


@pytest.mark.parametrize(
    "doubt",
    [
        seen(4.2),  # they are not in the latest whole frame
        part(4.2),  # nor where they must be
        bad(4.2),
        Hold(4.2),
        Refuse(4.2, 1),
        seen(4.2, sighting(evidence=-5.0)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_at_any_doubt_the_next_frame_is_looked_at_as_a_whole(doubt):
    subject = following(until=2 if isinstance(doubt, Seen) and doubt.sightings else 20)
    assert isinstance(doubt, Seen) or expected_m(subject, 4.2)
    subject.take(doubt)
    assert expected_m(subject, 4.4) is None


def test_on_patrol_everybody_is_looked_for():
    subject = session()
    assert expected_m(subject, 0.0) is None
    subject.take(seen(0.0, stranger()))
    assert expected_m(subject, 0.2) is None


def test_somebody_close_to_the_hero_takes_whole_frames_until_they_are_out_of_view():
    subject = following(stranger(NEAR_BY))
    assert expected_m(subject, 4.2) is None
    subject.take(seen(4.2, sighting()))
    assert expected_m(subject, 4.4) is not None


def test_somebody_further_away_does_not():
    assert expected_m(following(stranger(FAR_AWAY)), 4.2) is not None


def test_the_frame_after_a_choice_is_looked_at_as_a_whole_and_so_are_all_until_the_chosen_person_is_found():
    subject = following(stranger(FAR_AWAY))
    subject.take(Choose(4.1, 2))
    for time_s in (4.2, 4.4):
        assert expected_m(subject, time_s) is None
        subject.take(seen(time_s, sighting()))
        assert subject.situation(time_s).followed_now == 1
    subject.take(Choose(4.5, None))
    assert expected_m(subject, 4.6) is not None


def test_a_stranger_whom_the_operator_has_chosen_takes_whole_frames():
    subject = following(stranger(FAR_AWAY))
    subject.take(Choose(4.1, 2))
    subject.take(seen(4.2, sighting(), stranger(FAR_AWAY)))
    assert subject.situation(4.2).followed_now == 2
    assert expected_m(subject, 4.4) is None


@pytest.mark.parametrize(("away_m", "is_near"), [(8.5, True), (9.0, False)])
def test_from_afar_a_hero_is_compared_with_everybody(away_m, is_near):
    """1.75 m · 5 = 8.75 m."""
    x_m, y_m, z_m = HERE
    pose = Pose(x_m - away_m, y_m, z_m, 0.0, 0.0, 0.0)
    taken = frame(4.2)
    taken = taken._replace(content=taken.content._replace(gimbal_pose=pose))
    assert (with_expected_place(taken, following().state).expected_m is not None) == is_near


def test_without_tracks_no_place_is_expected():
    """With poses or depths that break all tracks, the hero seems to jump from frame to frame."""
    state = following().state
    crowd = state.tracker.crowd.with_person(state.tracker.hero._replace(is_unconfirmed=True))
    state = replace(state, tracker=replace(state.tracker, crowd=crowd))
    assert with_expected_place(frame(4.2), state).expected_m is None


def test_a_frame_at_an_odd_time_is_looked_at_as_a_whole():
    subject = following()
    assert expected_m(subject, 4.0) is None, "sent twice"
    assert expected_m(subject, 90.0) is None
    taken = frame(4.2)
    jumped = taken._replace(content=taken.content._replace(timestamp_s=1e9 + 90.0))
    assert with_expected_place(jumped, subject.state).expected_m is None, "its clock is not believed"


def test_a_frame_that_cannot_be_parsed_is_left_as_it_is():
    unreadable = Frame(1, 4.2, None, BadFrameError("pose", "six numbers", "none"))
    assert with_expected_place(unreadable, following().state) == unreadable


def test_others_stay_in_view_and_known_while_parts_are_looked_at():
    subject = following(stranger(FAR_AWAY))
    before = subject.situation(4.0).people
    for time_s in (4.2, 4.4, 4.6):
        subject.take(part(time_s, sighting()))
    now = subject.situation(4.6)
    assert [(each.number, each.is_in_view) for each in now.people] == [(1, True), (2, True)]
    assert now.people[0].probability == pytest.approx(before[0].probability, abs=0.01)
    assert now.people[1].probability == pytest.approx(before[1].probability, abs=0.001)
    subject.take(seen(4.8, sighting()))
    assert [each.is_in_view for each in subject.situation(4.8).people] == [True, False]


def test_a_person_outside_the_part_has_not_vanished():
    """Somebody seen once who is missing in the next frame hands their belief on to a newcomer, but not in a part."""
    beliefs = []
    for look in (seen, part):
        subject = session()
        subject.take(seen(0.0, sighting(FAR_AWAY)))
        subject.take(look(0.2, sighting(HERE)))
        beliefs.append([person.belief.nats(0) for person in subject.state.tracker.crowd.people])
    (gone, heir), (kept, newcomer) = beliefs
    assert gone == 0.0 < kept
    assert heir > newcomer

"""What viewers are told, message by message."""

import json
import time
from collections.abc import Iterator

from support.road import a_simulator, argument, view
from support.seen import bad, seen, sighting, stranger

from server.flight.events import Choose, Refuse, Seen, Tick
from server.sight.frame_queue import Perceived
from server.sight.geometry import Camera
from server.simulator import Taken
from server.watch import dashboard as dashboard_module
from server.watch.about import MOST_LAG_S
from server.watch.dashboard import MOST_IN_MESSAGE, NOBODY, PERIOD_S, Dashboard, PageWatch, Sent
from server.watch.labels import Spot
from server.watch.overlay import Picture
from server.wire.messages import Frame


def dashboard() -> tuple[Dashboard, PageWatch]:
    """A dashboard that shows a simulator called "drone"."""
    subject = Dashboard(Camera(), lambda *_: None, lambda: None, lambda: {"engine": "an engine"})
    return subject, subject.connected(a_simulator())


def answer(shown: PageWatch, arrival_s: float, *sightings, is_good: bool = True, delay_s: float = 0.015) -> None:
    """A frame comes, is taken in, and its commands leave after a delay."""
    frame = Frame.read(1, arrival_s, argument(1))
    event = seen(arrival_s, *sightings) if is_good else bad(arrival_s)
    outcome = view(*sightings) if isinstance(event, Seen) else None
    taken = Taken(event, shown.simulator.session.take(event), frame, Perceived(frame, outcome))
    shown.taken(taken)
    shown.answered(taken, arrival_s + delay_s)


def draw(subject: Dashboard, shown: PageWatch, image: str, spots: tuple[Spot, ...] = ()) -> None:
    """A picture of the newest frame has been drawn."""
    subject.show(Picture(shown.simulator, 1e9, shown.seen_s, image, spots))


def four_simulators(frames: int) -> tuple[Dashboard, list[PageWatch]]:
    """A dashboard that shows four simulators, each with some frames; every second frame was not understood."""
    subject, first = dashboard()
    many = [first, *(subject.connected(a_simulator(f"drone {number}")) for number in range(3))]
    for number in range(frames):
        for shown in many:
            answer(shown, 0.2 * number, is_good=number % 2 == 0)
    return subject, many


def stream_of(subject: Dashboard, sleep=lambda _: None) -> Iterator[dict]:
    """The messages to a new viewer; `sleep` is called as in `Dashboard.stream`."""
    for event in subject.stream(sleep):
        assert event.startswith(b"data: {") and event.endswith(b"}\n\n")
        yield json.loads(event[6:])


def test_a_new_viewer_gets_the_whole_history_and_then_only_what_is_new():
    subject, shown = dashboard()
    for number in range(3):
        answer(shown, 0.2 * number, sighting((4.0, 6.0, 1.0)))
    draw(subject, shown, "one")
    message, sent = subject.news({}, 1.0)
    (about,) = message["simulators"]
    assert about["moments"][1] == [0.2, 15.0, "following", [1.0, 2.0, 5.0, 45.0], [4.0, 6.0]]
    assert len(about["moments"]) == 3
    assert about["picture"] == "one"
    assert about["is_told_to_follow"]
    assert sent == {shown: Sent(1, 3, 1)}
    answer(shown, 0.6, is_good=False, delay_s=0.01)
    (about,) = subject.news(sent, 1.0)[0]["simulators"]
    assert about["moments"] == [[0.6, 10.0, "lost", None, [4.0, 6.0]]]
    assert "picture" not in about


def test_while_a_chosen_person_is_out_of_sight_nothing_is_told_of_who_was_followed_before():
    subject, shown = dashboard()
    for number in range(3):
        answer(shown, 0.2 * number, sighting((4.0, 6.0, 1.0)), stranger((9.0, -3.0, 1.0)))
    answer(shown, 0.6, sighting((4.0, 6.0, 1.0)))
    for chosen, is_told in ((1, True), (2, False)):
        shown.simulator.session.take(Choose(0.7, chosen))
        (about,) = subject.news({}, 0.8)[0]["simulators"]
        assert [about[name] is not None for name in ("distance_m", "speed_mps", "age_s")] == [is_told] * 3


def test_the_field_of_view_on_the_map_is_that_of_the_latest_frame_which_may_be_wide():
    subject, shown = dashboard()
    assert subject.news({}, 0.0)[0]["simulators"][0]["fov_deg"] == 60.0
    frame, event = Frame.read(1, 0.0, argument(1)), seen(0.0)
    outcome = view()._replace(camera=Camera().of_shape(512, 256))
    shown.answered(Taken(event, shown.simulator.session.take(event), frame, Perceived(frame, outcome)), 0.01)
    # tan(98.2° / 2) = 512/256 · tan(60° / 2)
    assert subject.news({}, 0.1)[0]["simulators"][0]["fov_deg"] == 98.2
    answer(shown, 0.2, is_good=False)
    assert subject.news({}, 0.3)[0]["simulators"][0]["fov_deg"] == 98.2


def test_a_viewer_who_was_slow_gets_the_newest_picture_and_all_moments():
    subject, shown = dashboard()
    _, sent = subject.news({}, 0.0)
    for number in range(5):
        answer(shown, 0.2 * number)
        draw(subject, shown, f"picture {number}")
    (about,) = subject.news(sent, 1.0)[0]["simulators"]
    assert about["picture"] == "picture 4"
    assert len(about["moments"]) == 5


def test_everybody_is_told_in_small_arrays_with_their_place_in_the_latest_picture():
    subject, shown = dashboard()
    for number in range(2):
        answer(shown, 0.2 * number, sighting((4.04, 6.0, 1.0)), stranger((20.0, -6.0, 1.0)))
    (about,) = subject.news({}, 0.2)[0]["simulators"]
    likely, unlikely = (person[1] for person in about["people"])
    assert 0.7 < likely < 1 and likely == round(likely, 3) and unlikely < 0.01
    assert [[number, *rest] for number, _, *rest in about["people"]] == [
        [1, 4.0, 6.0, 1, 0, None, None, None],
        [2, 20.0, -6.0, 1, 0, None, None, None],
    ]
    assert (about["followed"], about["chosen"], about["is_undecided"]) == (1, None, False)
    people = shown.simulator.session.situation(0.2).people
    draw(subject, shown, "one", (Spot(people[1], 0.12345, 0.5, 0.4),))
    (about,) = subject.news({}, 0.2)[0]["simulators"]
    assert [person[6:] for person in about["people"]] == [[None, None, None], [0.123, 0.5, 0.4]]


def test_the_page_is_told_whom_the_operator_has_chosen_and_refused():
    subject, shown = dashboard()
    hero, other = sighting((4.0, 6.0, 1.0)), stranger((20.0, -6.0, 1.0))
    answer(shown, 0.0, hero, other)
    shown.simulator.session.take(Refuse(0.1, 1))
    shown.simulator.session.take(Choose(0.1, 2))
    answer(shown, 0.2, hero, other)
    answer(shown, 0.4, hero)
    (about,) = subject.news({}, 0.4)[0]["simulators"]
    assert (about["followed"], about["chosen"], about["state"]) == (2, 2, "coasting")
    assert [person[4:6] for person in about["people"]] == [[1, 1], [0, 0]]


def test_several_who_may_be_the_hero_leave_it_undecided():
    subject, shown = dashboard()
    for number in range(3):
        answer(shown, 0.2 * number, sighting((4.0, 6.0, 1.0)), sighting((20.0, -6.0, 1.0)))
    (about,) = subject.news({}, 0.4)[0]["simulators"]
    assert (about["is_undecided"], about["followed"], about["state"]) == (True, None, "confirming")


def test_thirty_people_are_no_more_than_two_kilobytes():
    subject, shown = dashboard()
    crowd = [sighting((4.0 + 3.3333 * number, -6.0, 1.0), evidence=-2.0) for number in range(30)]
    answer(shown, 0.0, *crowd)
    people = shown.simulator.session.situation(0.0).people
    draw(subject, shown, "one", tuple(Spot(each, 1 / 3, 2 / 3, 1 / 6) for each in people))
    (about,) = subject.news({}, 0.0)[0]["simulators"]
    assert len(about["people"]) == 30
    assert len(json.dumps(about["people"], separators=(",", ":"))) < 2000


def test_history_ends_after_three_minutes():
    subject, shown = dashboard()
    for arrival_s in (0.0, 30.0, 190.0):
        answer(shown, arrival_s)
    moments = subject.news({}, 190.0)[0]["simulators"][0]["moments"]
    assert [moment[0] for moment in moments] == [30.0, 190.0]


def test_a_frame_that_has_waited_for_longer_than_the_history_is_shown():
    subject, shown = dashboard()
    answer(shown, 0.0)
    answer(shown, 0.2, delay_s=1000.0)
    moments = subject.news({}, 1000.2)[0]["simulators"][0]["moments"]
    assert [moment[:2] for moment in moments] == [[0.2, 1e6]]


def test_a_long_history_comes_in_parts_the_newest_first():
    subject, shown = dashboard()
    for number in range(2 * MOST_IN_MESSAGE + 10):
        answer(shown, 0.01 * number)
    stream = stream_of(subject)
    parts = [next(stream)["simulators"][0]["moments"]]
    answer(shown, 0.01 * 610)
    parts += [next(stream)["simulators"][0]["moments"] for _ in range(2)]
    assert [len(part) for part in parts] == [MOST_IN_MESSAGE, MOST_IN_MESSAGE, 11]
    assert parts[1][-1][0] == 6.1, "what is new comes with what is old"
    told_s = [moment[0] for part in (parts[2], parts[1][:-1], parts[0], parts[1][-1:]) for moment in part]
    assert told_s == [round(0.01 * number, 3) for number in range(611)]
    answer(shown, 0.01 * 611)
    assert [moment[0] for moment in next(stream)["simulators"][0]["moments"]] == [6.11]
    stream.close()


def test_of_many_simulators_each_message_tells_a_few_moments_and_others_run_in_between(monkeypatch):
    monkeypatch.setattr(dashboard_module, "MOST_OF_ALL_IN_MESSAGE", 12)
    subject, _ = four_simulators(frames=5)
    pauses: list[float] = []
    stream = stream_of(subject, pauses.append)
    parts = [[len(about["moments"]) for about in next(stream)["simulators"]] for _ in range(2)]
    assert parts == [[3] * 4, [2] * 4]
    assert pauses == [0.0] * 8 + [PERIOD_S] + [0.0] * 8
    stream.close()


def test_a_simulator_that_goes_amid_a_message_is_harmless():
    subject, first = dashboard()
    second = subject.connected(a_simulator("another"))
    leaving = [first, second]
    stream = stream_of(subject, lambda _: leaving and leaving.pop().disconnected())
    assert len(next(stream)["simulators"]) == 2
    assert next(stream)["simulators"] == []
    stream.close()


def test_histories_of_many_simulators_are_bounded_together(monkeypatch):
    monkeypatch.setattr(dashboard_module, "MOST_MOMENTS_TOGETHER", 20)
    _, many = four_simulators(frames=30)
    assert [[moment.number for moment in shown.moments] for shown in many] == [[26, 27, 28, 29, 30]] * 4


def test_a_simulator_that_has_gone_is_shown_no_more_and_a_late_picture_of_it_is_harmless():
    subject, shown = dashboard()
    shown.disconnected()
    draw(subject, shown, "late")
    message, sent = subject.news({}, 1.0)
    assert message["simulators"] == []
    assert sent == {}
    assert subject.simulator("drone") is None


def test_the_picture_of_a_simulator_goes_when_it_joins_again_under_its_name_between_two_messages():
    subject, shown = dashboard()
    answer(shown, 0.0)
    draw(subject, shown, "former")
    message, sent = subject.news({}, 0.1)
    assert message["simulators"][0]["picture"] == "former"
    shown.disconnected()
    again = subject.connected(a_simulator())
    message, sent = subject.news(sent, 0.2)
    assert message["simulators"][0]["picture"] is None
    assert "picture" not in subject.news(sent, 0.3)[0]["simulators"][0]
    answer(again, 0.4)
    draw(subject, again, "new")
    assert subject.news(sent, 0.5)[0]["simulators"][0]["picture"] == "new"


def test_a_simulator_is_found_by_the_name_that_the_page_shows():
    subject, shown = dashboard()
    assert subject.simulator("drone") is shown.simulator
    assert subject.simulator("another") is None


def test_warnings_say_what_came_and_what_was_expected_under_the_client_that_sent_it():
    subject, _ = dashboard()
    for _ in range(3):
        subject.on_complaint("drone", "depth_image", "a whole PNG", "4×4")
    subject.on_complaint("stranger", "packet", "a Socket.IO packet", "rubbish")
    message, _ = subject.news({}, time.monotonic())
    (warning,) = message["simulators"][0]["warnings"]
    assert warning["words"] == "depth image: got 4×4, expected a whole PNG"
    assert warning["count"] == 3
    assert [warning["client"] for warning in message["others"]] == ["stranger"]
    later, _ = subject.news({}, time.monotonic() + 61)
    assert later["simulators"][0]["warnings"] == later["others"] == []


def test_of_complaints_about_ever_new_clients_the_newest_are_shown():
    subject, _ = dashboard()
    for number in range(1000):
        subject.on_complaint(f"client {number}", "packet", "a packet", "rubbish")
    assert subject.news({}, time.monotonic())[0]["others"][0]["client"] == "client 999"


def test_a_stream_tells_changes_and_gives_a_sign_of_life():
    subject, shown = dashboard()
    answer(shown, 0.0)
    pauses = []
    stream = subject.stream(pauses.append)
    assert subject.viewers == 0
    first = next(stream)
    assert subject.viewers == 1
    assert first.startswith(b"data: {") and first.endswith(b"}\n\n")
    draw(subject, shown, "new")
    assert json.loads(next(stream)[6:])["simulators"][0]["picture"] == "new"
    assert pauses == [0.0, 0.0, PERIOD_S, 0.0, 0.0]
    begun_s = time.monotonic()
    assert "picture" not in json.loads(next(stream)[6:])["simulators"][0]
    assert time.monotonic() - begun_s > 0.5, "nothing has changed, but a second has passed"
    stream.close()
    assert subject.viewers == 0


def test_a_tick_without_commands_sends_viewers_nothing():
    subject, shown = dashboard()
    stream = subject.stream(lambda _: None)
    next(stream)
    shown.taken(Taken(Tick(0.1), []))
    ticked_s = time.monotonic()
    next(stream)
    assert time.monotonic() - ticked_s > 0.5, "the next message is the sign of life"
    stream.close()


def test_on_the_wall_all_are_told_of_in_brief():
    subject, (shown, *_) = four_simulators(3)
    for about in subject.news({}, 1.0, in_full=NOBODY)[0]["simulators"]:
        assert set(about) == {"name", "state", "is_held", "distance_m", "frame_age_s"}
    answer(shown, 1.0, sighting((4.0, 6.0, 1.0)))
    answer(shown, 1.2, sighting((4.0, 6.0, 1.0)))
    told = subject.news({}, 1.3, in_full=NOBODY)[0]["simulators"][0]
    assert (told["name"], told["state"], told["is_held"]) == ("drone", "following", False)
    assert told["distance_m"] == subject.news({}, 1.3)[0]["simulators"][0]["distance_m"] is not None


def test_the_age_of_the_newest_frame_that_was_understood_is_told_in_full_and_in_brief():
    subject, shown = dashboard()
    for in_full in (None, NOBODY):
        assert subject.news({}, 1.0, in_full=in_full)[0]["simulators"][0]["frame_age_s"] is None
    answer(shown, 1.0)
    answer(shown, 2.0, is_good=False)
    for in_full in (None, NOBODY):
        assert subject.news({}, 3.5, in_full=in_full)[0]["simulators"][0]["frame_age_s"] == 2.5


def test_a_tile_tells_the_distance_only_while_somebody_is_followed():
    subject, shown = dashboard()
    for number in range(3):
        answer(shown, 0.2 * number, sighting((4.0, 6.0, 1.0)))
    assert subject.news({}, 0.4, in_full=NOBODY)[0]["simulators"][0]["distance_m"] is not None
    answer(shown, 0.6, is_good=False)
    (brief,) = subject.news({}, 0.6, in_full=NOBODY)[0]["simulators"]
    assert (brief["state"], brief["distance_m"]) == ("lost", None)
    assert subject.news({}, 0.6)[0]["simulators"][0]["distance_m"] is not None, "beside it is when the hero was seen"


def test_who_looks_gets_no_picture_of_long_before_the_newest_frame_but_the_last_one_of_a_drone_that_has_stopped():
    subject, shown = dashboard()
    answer(shown, 0.0, sighting((4.0, 6.0, 1.0)))
    (person,) = shown.simulator.session.situation(0.0).people
    draw(subject, shown, "old", (Spot(person, 0.5, 0.5, 0.4),))
    (about,) = subject.news({}, 60.0)[0]["simulators"]
    assert (about["picture"], about["frame_age_s"]) == ("old", 60.0)
    answer(shown, MOST_LAG_S + 0.1, sighting((4.0, 6.0, 1.0)))  # nobody has looked meanwhile
    message, sent = subject.news({}, 4.0)
    (about,) = message["simulators"]
    assert about["picture"] is None
    assert about["people"][0][6:] == [None, None, None]
    draw(subject, shown, "new")
    message, sent = subject.news(sent, 4.0)
    assert message["simulators"][0]["picture"] == "new"
    answer(shown, 2 * MOST_LAG_S + 0.2, sighting((4.0, 6.0, 1.0)))  # and the painter has failed
    message, sent = subject.news(sent, 8.0)
    assert message["simulators"][0]["picture"] is None, "the old one must not look live"
    assert "picture" not in subject.news(sent, 8.0)[0]["simulators"][0]


def test_of_a_drone_that_is_opened_everything_is_told_and_of_others_their_names():
    subject, many = four_simulators(3)
    message, sent = subject.news({}, 1.0, in_full="drone 1")
    assert [set(about) == {"name"} for about in message["simulators"]] == [True, True, False, True]
    assert len(message["simulators"][2]["moments"]) == 3
    assert list(sent) == [many[2]]
    assert all(set(about) == {"name"} for about in subject.news({}, 1.0, in_full="gone")[0]["simulators"])


def test_pictures_are_drawn_of_those_that_somebody_sees_in_full():
    subject, shown = dashboard()
    other = subject.connected(a_simulator("another"))
    for in_full, seen_now in ((NOBODY, []), ("another", [other]), (None, [shown, other]), ("gone", [])):
        stream = subject.stream(lambda _: None, in_full)
        next(stream)
        assert subject.viewers == 1
        assert [each for each in (shown, other) if subject.is_seen(each.simulator)] == seen_now
        stream.close()
        assert subject.viewers == 0

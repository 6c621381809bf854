"""`Control`: who gets which events and commands in which order, and that our own errors stop no other simulator."""

import logging
import math
import time
from dataclasses import replace

import pytest
from support.road import Road, argument, view
from support.seen import quick_tracker, sighting, stranger

from model.profile import hero_profile
from server import control as control_module
from server.flight.events import (
    Choose,
    Failed,
    Hold,
    NotUnderstood,
    Received,
    Refuse,
    Release,
    Retarget,
    Seen,
    Shutdown,
    Tick,
)
from server.simulator import MOST_ACKNOWLEDGED
from server.wire.messages import BadFrameError

HERO = sighting()
FOLLOW = ["object_detected", "create_box_marker"]


class Notes:
    """A listener that notes what it is told; with `fails_at`, raises at that point instead."""

    def __init__(self, fails_at: str | None = None) -> None:
        self.fails_at = fails_at
        self.notes: list[tuple] = []

    def note(self, point: str, *what) -> None:
        if point == self.fails_at:
            raise ZeroDivisionError(point)
        self.notes.append((point, *what))

    def connected(self, simulator) -> "Notes":
        self.note("connected", simulator.id)
        return self

    def taken(self, taken) -> None:
        self.note("taken", type(taken.event).__name__, [command.event for command in taken.commands])

    def answered(self, taken, now_s) -> None:
        self.note("answered", taken.frame.number)

    def disconnected(self) -> None:
        self.note("disconnected")

    @property
    def events(self) -> list[str]:
        return [what[1] for what in self.notes if what[0] == "taken"]


@pytest.fixture
def road() -> Road:
    return Road()


def test_a_listener_is_told_of_each_event_with_its_commands_and_then_of_the_answer(road):
    notes = Notes()
    road.control.listeners.append(notes)
    for number in (1, 2):
        road.frame("a", number)
        road.see("a", view(HERO))
    road.control.on_disconnect("a")
    assert notes.notes == [
        ("connected", "a"),
        ("taken", "Received", []),
        ("taken", "Seen", ["object_lost"]),
        ("answered", 1),
        ("taken", "Received", []),
        ("taken", "Seen", FOLLOW),
        ("answered", 2),
        ("disconnected",),
    ]


def test_every_kind_of_event_reaches_the_session_and_the_listeners_through_one_method(road):
    notes = Notes()
    road.control.listeners.append(notes)
    road.follow("a", HERO)
    simulator = road.simulator("a")
    road.control.hold(simulator, True)
    road.control.hold(simulator, False)
    road.control.choose(simulator, 1)
    road.control.choose(simulator, None)
    road.control.refuse(simulator, 1)
    road.frame("a", 3, sent={"no": "frame"})
    road.frame("a", 4)
    road.see("a", None)
    road.control.tick()
    road.control.stop()
    kinds = (Hold, Release, Choose, Choose, Refuse, Received, NotUnderstood, Received, Failed, Tick, Shutdown)
    assert notes.events[4:] == [kind.__name__ for kind in kinds]


def test_a_frame_says_which_one_it_has_superseded_and_is_acknowledged_with_it(road):
    for number in (1, 2, 3):
        road.frame("a", number)
    assert road.simulator("a").session.state.counts.superseded == 2
    assert list(road.simulator("a").in_work) == [3]
    assert road.acknowledged == []
    road.see("a", view())
    assert road.acknowledged == [1, 2, 3]
    assert road.simulator("a").in_work == {}
    assert (road.control.frames, road.simulator("a").frames) == (3, 3)


def test_of_frames_that_wait_for_one_answer_only_the_newest_are_acknowledged(road):
    for number in range(MOST_ACKNOWLEDGED + 50):
        road.frame("a", number)
    road.see("a", view(HERO))
    assert road.acknowledged == list(range(50, MOST_ACKNOWLEDGED + 50))
    assert road.simulator("a").in_work == {}


def test_a_bad_frame_is_answered_at_once_and_leaves_the_older_one_in_work(road):
    road.follow("a", HERO)
    road.frame("a", 3)
    road.frame("a", 4, sent="no object")
    assert road.told("a")[-1] == "object_lost"
    assert road.acknowledged == [1, 2, 4]
    road.see("a", view(HERO))
    assert road.told("a")[-1] == "object_lost", "the older frame commands nothing any more"
    assert road.acknowledged == [1, 2, 4, 3]


def test_perception_is_told_where_the_hero_must_be_once_the_drone_follows(road):
    near = sighting((7.0, 2.0, 1.0))  # 7.2 m from the camera
    for number in range(1, 12):
        road.frame("a", number)
        assert number > 2 or road.simulator("a").slot.waiting.expected_m is None
        road.see("a", view(near))
    road.frame("a", 12)
    assert road.simulator("a").slot.waiting.expected_m == pytest.approx(near.place.position_m, abs=0.1)
    assert road.simulator("a").in_work[12].frame.expected_m is not None, "as a recording that begins now must know"


def test_mistakes_of_clients_are_complained_of_under_their_name(road):
    complaints = []
    road.complaints.listeners.append(lambda *words: complaints.append(words))
    road.frame("a", 1, sent=[])
    road.frame("a", 2)
    road.see("a", BadFrameError("rgb_image", "a JPEG", "none"))
    road.frame("a", 3)
    road.see("a", view(remark=BadFrameError("depth_image", "256×256", "64×64")))
    assert [(name, field) for name, field, _, _ in complaints] == [
        ("127.0.0.1:a", "sensor_frame"),
        ("127.0.0.1:a", "rgb_image"),
        ("127.0.0.1:a", "depth_image"),
    ]
    assert road.faults.counts == {}


def test_the_log_tells_who_comes_and_goes_and_what_is_ordered(road, caplog):
    caplog.set_level(logging.INFO)
    for number in (1, 2):
        road.frame("a", number)
    road.control.hold(road.simulator("a"), True)
    road.control.on_disconnect("a")
    road.frame("b", 1)
    road.control.hold(road.simulator("b"), False)
    road.control.hold(road.simulator("b"), False)
    road.control.refuse(road.simulator("b"), 7)
    road.control.stop()
    assert [line.getMessage() for line in caplog.records] == [
        "[127.0.0.1:a] simulator connected",
        "[127.0.0.1:a] put on hold by hand",
        "[127.0.0.1:a] simulator disconnected after 2 frames",
        "[127.0.0.1:b] simulator connected",
        "[127.0.0.1:b] on hold: another simulator from this address is on hold, or was when it left",
        "[127.0.0.1:b] released by hand",
        "[127.0.0.1:b] release by hand, but it was not on hold",
        "[127.0.0.1:b] person 7 refused by hand",
        "shutting down",
    ]


def test_a_listener_is_told_nothing_of_a_simulator_that_goes_while_its_frame_is_answered(road):
    notes = Notes()
    road.control.listeners.append(notes)
    road.control.on_frame("a", "", "a", 0.0, lambda: road.control.on_disconnect("a"), [argument(1)])
    road.see("a", view(HERO))
    assert notes.notes[-2:] == [("taken", "Seen", ["object_lost"]), ("disconnected",)]


def test_a_simulator_that_goes_while_the_time_is_told_to_others_is_told_nothing_more(road):
    class Leaving(Notes):
        def taken(self, taken) -> None:
            super().taken(taken)
            if isinstance(taken.event, Tick):
                road.control.on_disconnect("b")

    notes = Notes()
    road.frame("a", 1)
    road.simulator("a").watches.append(Leaving())
    road.control.listeners.append(notes)
    road.frame("b", 1)
    road.control.tick()
    assert notes.notes == [("connected", "b"), ("taken", "Received", []), ("disconnected",)]


@pytest.mark.parametrize("end", [True, False], ids=["end", "target"])
def test_a_simulator_that_goes_while_others_are_stopped_is_told_nothing_more(road, end: bool):
    class Leaving(Notes):
        def taken(self, taken) -> None:
            super().taken(taken)
            if isinstance(taken.event, Shutdown | Retarget):
                road.control.on_disconnect("b")

    notes = Notes()
    road.follow("a", HERO)
    road.simulator("a").watches.append(Leaving())
    road.control.listeners.append(notes)
    road.follow("b", HERO)
    if end:
        road.control.stop()
    else:
        road.control.retarget([quick_tracker(follow_above=0.9)])
    assert road.told("a")[-1] == "object_lost"
    assert notes.notes[-2:] == [("answered", 2), ("disconnected",)]


@pytest.mark.parametrize("sent", [argument(1), "rubbish"], ids=["good", "bad"])
def test_a_simulator_that_goes_while_it_is_put_on_hold_at_its_first_frame_is_told_nothing_more(road, sent):
    class Leaving(Notes):
        def taken(self, taken) -> None:
            super().taken(taken)
            road.control.on_disconnect("a")

    notes = Leaving()
    road.control.listeners.append(notes)
    road.control.kept_holds.keep("127.0.0.1")
    road.frame("a", 1, sent)
    assert notes.notes == [("connected", "a"), ("taken", "Hold", ["object_lost"]), ("disconnected",)]
    assert road.perception.slots[0].waiting is None, "nothing is inferred for it"


@pytest.mark.parametrize("arguments", [[], [argument(1), argument(1)]], ids=len)
def test_an_event_without_exactly_one_argument_is_the_clients_mistake(road, arguments):
    complaints = []
    road.complaints.listeners.append(lambda *words: complaints.append(words))
    road.control.on_frame("a", "127.0.0.1", "a simulator", 0.0, lambda: road.acknowledged.append(1), arguments)
    assert [(name, field) for name, field, _, _ in complaints] == [("a simulator", "sensor_frame")]
    assert road.faults.counts == {}
    assert road.told("a") == ["object_lost"]
    assert road.acknowledged == [1]


def test_work_for_a_simulator_that_has_gone_is_dropped(road):
    road.frame("a", 1)
    slot = road.simulator("a").slot
    simulator = road.simulator("a")
    road.control.on_disconnect("a")
    assert slot.is_closed
    slot.deliver(control_module.Perceived(slot.take(), view(HERO)))
    road.run()
    road.control.fail(simulator)
    assert road.sent == []
    assert road.faults.counts == {}


def test_a_hold_outlasts_a_lost_connection_of_the_same_machine_only(road):
    road.follow("a", HERO)
    road.control.hold(road.simulator("a"), True)
    road.control.on_disconnect("a")
    road.frame("b", 1)
    road.frame("c", 1, host="10.0.0.9")
    assert road.simulator("b").session.state.is_held
    assert not road.simulator("c").session.state.is_held
    road.control.hold(road.simulator("b"), False)
    road.frame("d", 1)
    assert not road.simulator("d").session.state.is_held, "released by hand, and whoever comes next is free"


def test_who_reconnects_before_the_old_connection_has_ended_is_on_hold_too(road):
    road.follow("a", HERO)
    road.control.hold(road.simulator("a"), True)
    road.frame("b", 1)
    road.frame("c", 1, host="10.0.0.9")
    held = {each.id: each.session.state.is_held for each in road.control.simulators}
    assert held == {"a": True, "b": True, "c": False}


def test_a_client_that_was_no_simulator_may_go(road):
    road.control.on_disconnect("a")
    assert road.control.simulators == []


def test_a_hold_in_another_process_ends_when_one_of_its_address_is_released(road):
    road.control.kept_holds.note_elsewhere("127.0.0.1", True)
    for sid in ("a", "b"):
        road.frame(sid, 1)
        assert road.simulator(sid).session.state.is_held
    road.control.hold(road.simulator("b"), False)
    road.control.on_disconnect("a")
    assert road.control.kept_holds.take_over("127.0.0.1"), "of the one that has left"
    road.frame("c", 1)
    assert not road.simulator("c").session.state.is_held


@pytest.mark.parametrize("is_b_held", [True, False])
def test_releasing_one_drone_leaves_the_hold_of_another_that_has_left(road, is_b_held):
    for sid in ("a", "b"):
        road.frame(sid, 1)
    road.control.hold(road.simulator("a"), True)
    if is_b_held:
        road.control.hold(road.simulator("b"), True)
    road.control.on_disconnect("a")
    road.control.hold(road.simulator("b"), False)
    road.frame("c", 1)
    assert road.simulator("c").session.state.is_held, "it may be the one that left"
    road.control.hold(road.simulator("c"), False)
    road.frame("d", 1)
    assert not road.simulator("d").session.state.is_held


def test_the_log_tells_whether_a_release_has_released_anybody(road, caplog):
    caplog.set_level(logging.INFO)
    road.follow("a", HERO)
    for number in (None, 1, None):
        road.control.choose(road.simulator("a"), number)
    assert [line.getMessage() for line in caplog.records if "by hand" in line.getMessage()] == [
        "[127.0.0.1:a] release by hand, but nobody was chosen",
        "[127.0.0.1:a] person 1 chosen by hand",
        "[127.0.0.1:a] person 1 released by hand",
    ]


def test_with_a_network_of_another_target_drones_patrol_and_begin_anew(road, caplog):
    caplog.set_level(logging.INFO)
    road.follow("a", HERO)
    road.frame("b", 1)
    tracker = quick_tracker(profile=replace(hero_profile(), name="dog", others="dogs"))
    for _ in range(2):
        road.control.retarget([tracker])
    assert road.told("a") == ["object_lost", *FOLLOW, "object_lost"]
    assert road.told("b") == ["object_lost"]
    assert [each.session.state.tracker.config for each in road.control.simulators] == [tracker, tracker]
    road.frame("c", 1)
    assert road.simulator("c").session.state.tracker.config == tracker
    lines = [line.getMessage() for line in caplog.records if "target from now on" in line.getMessage()]
    assert [line.split(": ", 1)[1].split(",")[0] for line in lines] == ["dog"], "once, for the second is the same"


DOG = quick_tracker(profile=replace(hero_profile(), name="dog"))


def test_a_drone_told_to_follow_another_target_begins_anew_and_no_other_does(road, caplog):
    caplog.set_level(logging.INFO)
    road.control.retarget([quick_tracker(), DOG])
    for sid in ("a", "b"):
        road.follow(sid, HERO)
    road.frame("a", 3)
    for _ in range(2):
        road.control.aim(road.simulator("a"), "dog")
    assert road.told("a") == ["object_lost", *FOLLOW, "object_lost"]
    assert road.told("b") == ["object_lost", *FOLLOW]
    road.see("a", view(HERO))  # the frame from before, whose evidence is about the hero
    assert road.told("a")[-1] == "object_lost"
    assert [each.target for each in road.control.simulators] == ["dog", "hero"]
    road.frame("a", 4)
    assert [each.slot.waiting and each.slot.waiting.target for each in road.control.simulators] == ["dog", None]
    road.frame("c", 1)
    assert road.simulator("c").target == "hero", "a new one follows the first"
    assert "[127.0.0.1:a] told by hand to follow the dog" in [line.getMessage() for line in caplog.records]


def test_with_another_network_a_drone_keeps_its_target_if_that_is_there(road):
    road.control.retarget([quick_tracker(), DOG])
    for sid in ("a", "b"):
        road.frame(sid, 1)
    road.control.aim(road.simulator("a"), "dog")
    before = [each.session.state for each in road.control.simulators]
    road.control.retarget([DOG, quick_tracker()])
    assert [each.session.state for each in road.control.simulators] == before, "nobody begins anew"
    road.control.retarget([quick_tracker()])
    assert [each.target for each in road.control.simulators] == ["hero", "hero"]


STRANGER = stranger((16.0, 2.0, 1.0))


def number_of(road, sid: str, sighting) -> int:
    """Number of the person at the place of a sighting."""
    people = road.simulator(sid).session.situation(0.0).people
    return min(people, key=lambda person: math.dist(person.position_m, sighting.place.position_m)).number


def test_a_person_chosen_by_hand_is_followed_until_released(road, caplog):
    caplog.set_level(logging.INFO)
    road.frame("a", 1)
    road.see("a", view(STRANGER))
    assert road.told("a") == ["object_lost"]
    number = number_of(road, "a", STRANGER)
    road.control.choose(road.simulator("a"), number)
    road.frame("a", 2)
    road.see("a", view(STRANGER))
    assert road.told("a") == ["object_lost", *FOLLOW]
    road.control.choose(road.simulator("a"), None)
    road.frame("a", 3)
    road.see("a", view(STRANGER))
    assert road.told("a") == ["object_lost", *FOLLOW, "object_lost"], "nobody here is the hero"
    by_hand = [line.getMessage() for line in caplog.records if "by hand" in line.getMessage()]
    assert by_hand == [
        f"[127.0.0.1:a] person {number} chosen by hand",
        "[127.0.0.1:a] person 1 released by hand",
        "[127.0.0.1:a] Target lost: released by hand",
    ]


def test_a_person_refused_by_hand_is_left_at_once_and_not_followed_again(road):
    road.follow("a", HERO)
    road.control.refuse(road.simulator("a"), number_of(road, "a", HERO))
    assert road.told("a")[-1] == "object_lost"
    count = len(road.sent)
    for number in range(3, 20):
        road.frame("a", number)
        road.see("a", view(HERO))
    assert len(road.sent) == count


def test_a_choice_and_a_refusal_end_with_the_connection(road):
    road.follow("a", HERO)
    road.control.refuse(road.simulator("a"), number_of(road, "a", HERO))
    road.control.on_disconnect("a")
    road.follow("b", HERO)
    assert road.simulator("b").session.state.tracker.chosen is None


def test_an_order_concerns_one_simulator_only(road):
    road.follow("a", HERO)
    road.follow("b", HERO)
    road.control.refuse(road.simulator("a"), number_of(road, "a", HERO))
    road.frame("b", 3)
    road.see("b", view(HERO))
    assert road.told("b")[-2:] == FOLLOW


def test_simulators_from_one_port_have_different_names(road):
    for sid in ("a", "b", "c"):
        road.control.on_frame(sid, "127.0.0.1", "127.0.0.1:9", time.monotonic(), lambda: None, [argument(1)])
    road.control.on_disconnect("b")
    road.control.on_frame("d", "127.0.0.1", "127.0.0.1:9", time.monotonic(), lambda: None, [argument(1)])
    names = ["127.0.0.1:9", "127.0.0.1:9_3", "127.0.0.1:9_2"]
    assert [simulator.name for simulator in road.control.simulators] == names


def test_at_the_end_every_drone_is_stopped_and_nothing_more_is_taken_in(road):
    road.follow("a", HERO)
    road.follow("b", HERO)
    notes = Notes()
    road.simulator("a").watches.append(notes)
    road.frame("b", 3)
    road.control.stop()
    assert (road.told("a")[-1], road.told("b")[-1]) == ("object_lost", "object_lost")
    count = len(road.sent)
    road.frame("a", 9)
    road.see("b", view(HERO))
    road.control.tick()
    road.control.stop()
    assert len(road.sent) == count
    assert notes.events == ["Shutdown"]


# Errors of ours: reported and counted, the drone concerned is stopped, its neighbour is led on.


@pytest.fixture
def pair(road) -> Road:
    road.follow("neighbour", HERO)
    road.follow("a", HERO)
    return road


def assert_contained(road: Road, place: str, count: int = 1) -> None:
    assert road.faults.counts == {place: count}
    assert road.told("a")[-1] == "object_lost"
    road.frame("neighbour", 3)
    road.see("neighbour", view(HERO))
    assert road.told("neighbour")[-2:] == FOLLOW


def break_session(road: Road, sid: str, kinds: tuple[type, ...]) -> None:
    session = road.simulator(sid).session
    take = session.take

    def broken(event):
        if isinstance(event, kinds):
            raise ZeroDivisionError
        return take(event)

    session.take = broken


@pytest.mark.parametrize(("kind", "place"), [(Received, "sensor_frame"), (Seen, "answer"), (Tick, "tick")])
def test_an_error_in_a_session_stops_its_drone_alone(pair, kind, place):
    break_session(pair, "a", (kind,))
    if kind is Tick:
        pair.control.tick()
    else:
        pair.frame("a", 3)
        pair.see("a", view(HERO))
    assert_contained(pair, place)
    assert pair.simulator("a").in_work == {}


@pytest.mark.parametrize("kind", [Hold, Release, Choose, Refuse])
def test_an_order_that_fails_stops_the_drone_and_the_operator_gets_the_error(pair, kind):
    break_session(pair, "a", (kind,))
    simulator = pair.simulator("a")
    orders = {
        Hold: lambda: pair.control.hold(simulator, True),
        Release: lambda: pair.control.hold(simulator, False),
        Choose: lambda: pair.control.choose(simulator, None),
        Refuse: lambda: pair.control.refuse(simulator, 1),
    }
    with pytest.raises(ZeroDivisionError):
        orders[kind]()
    assert pair.told("a")[-1] == "object_lost"
    assert pair.told("neighbour")[-2:] == FOLLOW


def test_a_session_that_can_not_even_be_failed_is_told_to_patrol(pair):
    break_session(pair, "a", (Seen, Failed))
    pair.frame("a", 3)
    pair.see("a", view(HERO))
    assert pair.faults.counts == {"answer": 1, "session": 1}
    assert pair.told("a")[-1] == "object_lost"


def test_an_error_in_parsing_is_not_blamed_on_the_client(pair, monkeypatch):
    complaints = []
    pair.complaints.listeners.append(lambda *words: complaints.append(words))
    with monkeypatch.context() as patch:
        patch.setattr(control_module.Frame, "read", lambda *_: 1 / 0)
        pair.frame("a", 3)
    assert complaints == []
    assert_contained(pair, "sensor_frame")


def test_a_failure_of_perception_stops_its_drone_alone(pair):
    pair.frame("a", 3)
    pair.see("a", None)
    assert pair.told("a")[-1] == "object_lost"
    assert pair.simulator("a").session.state.counts.failed == 1


@pytest.mark.parametrize("point", ["taken", "answered"])
def test_a_listener_that_raises_is_left_out_for_that_simulator(road, point):
    notes, faulty = Notes(), Notes()
    road.control.listeners += [faulty, notes]
    road.follow("neighbour", HERO)
    road.follow("a", HERO)
    road.frame("a", 3)
    faulty.fails_at = point
    road.see("a", view(HERO))
    faulty.fails_at = None
    assert_contained(road, "listener")
    before = len(faulty.notes)
    road.frame("a", 4)
    road.see("a", view(HERO))
    assert len(faulty.notes) == before, "it is told nothing more of this simulator"
    assert road.told("a")[-2:] == FOLLOW, "which is led without it"
    assert notes.events.count("Seen") == 7, "the other listener has been told everything"
    road.control.on_disconnect("a")
    assert faulty.notes[before:] == [("disconnected",)], "but that it has gone"


def test_a_listener_that_raises_at_the_beginning_or_the_end_changes_nothing(road):
    road.control.listeners += [Notes("connected"), Notes("disconnected")]
    road.follow("a", HERO)
    road.control.on_disconnect("a")
    assert road.faults.counts == {"listener": 2}
    assert road.control.simulators == []


def test_an_error_at_the_end_still_stops_every_drone(pair):
    break_session(pair, "a", (Shutdown,))
    pair.control.stop()
    assert pair.faults.counts == {"session": 1}
    assert (pair.told("a")[-1], pair.told("neighbour")[-1]) == ("object_lost", "object_lost")


def test_trouble_is_a_late_tick_or_perceptions(road, monkeypatch):
    assert road.control.trouble() is None
    road.perception.words = "perception is not running"
    assert road.control.trouble() == "perception is not running"
    now_s = time.monotonic()
    monkeypatch.setattr(control_module.time, "monotonic", lambda: now_s + 1.5)
    assert road.control.trouble() == "the watchdog has not run for more than 1 s", "without a number that counts up"
    road.control.tick()
    road.perception.words = None
    assert road.control.trouble() is None


def test_perception_is_in_trouble_before_the_watchdog_stops_a_drone(monkeypatch):
    road = Road(watchdog_s=3.0)
    monkeypatch.setattr(road.perception, "trouble", lambda patience_s: f"stalled for {patience_s} s")
    assert road.control.trouble() == "stalled for 1.5 s"


def test_a_client_is_recognised_by_frames_that_can_be_parsed(road):
    road.frame("a", 1, sent={})
    road.frame("b", 1)
    road.frame("b", 2, sent="nonsense")
    assert road.recognised == ["b"]

"""Messages of /events: a session that is stored at any moment of a flight, and restored, goes on unchanged."""

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from support.seen import HERE, bad, failed, seen, session, sighting

from model.profile import hero_profile
from server.flight.events import (
    Choose,
    Event,
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
from server.flight.session import SessionState
from server.flight.tracks import TrackState
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.watch.recording.format import (
    FORMAT,
    End,
    Happened,
    InWork,
    Start,
    kind_of,
    message_of,
    parse,
    start_of,
    to_json,
)
from server.wire.messages import Command, object_detected, object_lost

START = Start("drone", Camera(), TrackerConfig(), {}, 1.0, 8, None, None, {}, "colours", 1.7e9, 100.0, None)

DOG = replace(hero_profile(), name="dog", height_m=0.6, is_upright=False, marker_m=(0.5, 0.5, 0.7))
DOG_TRACKER = TrackerConfig(follow_above=0.7, profile=DOG)


def stored(message) -> dict:
    """The fields of a message that has been JSON."""
    return parse(to_json(message).encode())


def flight() -> list[Event]:
    """A hero walks among others, hides, comes back; frames are bad, late, twice; the operator acts; the server ends."""
    rng = np.random.default_rng(3)
    events: list[Event] = [Received(0.0, 1)]
    for number in range(60):
        time_s = 0.2 * number
        at = (np.array(HERE) + np.array([0.9, 0.3, 0.0]) * time_s + rng.normal(0, 0.05, 3)).tolist()
        elsewhere = sighting([at[0], at[1] + 9.0, at[2]], evidence=float(rng.normal(-1.0, 2.0)))
        others = {
            20: seen(time_s),
            21: seen(time_s),
            25: bad(time_s, time_s + 0.001),
            28: failed(time_s),
            29: Failed(time_s),
            31: Hold(time_s),
            34: Release(time_s),
            36: Choose(time_s, 2),
            38: Refuse(time_s, 2),
            39: Choose(time_s, None),
            40: seen(time_s),
            **{late: Tick(0.2 * late) for late in range(42, 52)},
            53: Retarget(time_s, DOG_TRACKER),
            55: seen(time_s, sighting(None)),
            56: replace(seen(time_s, sighting(at)), is_part=True),
            57: seen(time_s - 0.2, sighting(at)),  # sent twice
        }
        events.append(others.get(number) or seen(time_s, sighting(at), elsewhere))
    return [*events, Shutdown(13.0)]


def test_a_session_that_was_stored_at_any_moment_goes_on_as_it_would_have():
    events = flight()
    whole = session()
    answers = [whole.take(event) for event in events]
    names = [command.event for answer in answers for command in answer]
    assert {"object_detected", "object_lost", "create_box_marker"} == set(names)
    assert names.count("object_lost") >= 4
    original = session()
    for begin, event in enumerate(events):
        start = start_of(stored(replace(START, tracker=original.state.tracker.config, state=original.state)))
        assert start.state == original.state, "to the last bit"
        restored = session()
        restored.state = start.state
        assert [restored.take(later) for later in events[begin:]] == answers[begin:], f"from event {begin} on"
        assert restored.state == whole.state
        original.take(event)


@pytest.mark.parametrize("event", [*flight(), Received(1.5, 3, 2)], ids=lambda event: kind_of(type(event)))
def test_an_event_comes_back_as_it_was(event):
    argument = '{"pose": "1,2"}' if isinstance(event, Received) else None
    happened = Happened(event, TrackState.COASTING, [object_detected((0.1, 0.2, 1 / 3)), object_lost()], argument)
    assert message_of(stored(happened)) == happened


def test_every_kind_of_event_is_among_them():
    assert {type(event) for event in flight()} == set(get_args(Event))
    assert [kind_of(event) for event in (Seen, NotUnderstood, Tick)] == ["seen", "not_understood", "tick"]


def test_numbers_come_back_to_the_last_bit():
    rng = np.random.default_rng(0)
    numbers = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 1e22, *rng.standard_normal(1000).tolist()]
    numbers += np.frombuffer(rng.bytes(8000), np.float64).tolist()
    for number in filter(math.isfinite, numbers):
        (back,) = (message_of(stored(Happened(Tick(number), TrackState.PATROL, []))).event,)
        assert back.at_s.hex() == number.hex()


def test_other_messages_come_back_as_they_were():
    in_work = InWork(7, 12.5, '{"a": "\\ud800"}')
    for message in (in_work, replace(in_work, expected_m=(1.5, -2.0, 1 / 3)), End("stopped by hand")):
        assert message_of(stored(message)) == message
    assert start_of(stored(START)) == START
    assert stored(START)["format"] == FORMAT


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_not_written(number):
    with pytest.raises(ValueError):
        to_json(Happened(Tick(number), TrackState.PATROL, []))


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_not_read(number):
    with pytest.raises(ValueError, match=f"expected a finite number, got {number}"):
        parse(b'{"kind": "tick", "at_s": %s}' % number.encode())


TICK = {"kind": "tick", "at_s": 1.0, "state": "patrol", "commands": []}
SEEN = {**TICK, "kind": "seen", "frame": 1, "arrival_s": 0.9, "timestamp_s": None}
ROW = [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0], 20, -1.5, None]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "Expected `str`, got `null`"),
        ({"kind": ["tick"]}, "Expected `str`, got `array`"),
        ({**TICK, "kind": "land"}, "expected an event of a known kind, got 'land'"),
        ({**TICK, "at_s": "1"}, r"Expected `float`, got `str` - at `\$.at_s`"),
        ({**TICK, "at_s": 10**400}, "out of range"),
        ({**TICK, "state": "flying"}, "Invalid enum value 'flying'"),
        ({"kind": "tick", "at_s": 1.0, "commands": []}, "missing required field `state`"),
        ({**TICK, "commands": [["object_lost"]]}, r"length 2, got 1 - at `\$.commands\[0\]`"),
        ({**TICK, "argument": "{}"}, "expected an argument with a frame received, and with nothing else, got tick"),
        ({**TICK, "kind": "received", "frame": 1}, "expected an argument with a frame received"),
        ({**TICK, "kind": "received", "frame": 1.5, "argument": "{}"}, "Expected `int`, got `float`"),
        ({**SEEN, "sightings": 5}, "Expected `array`, got `int`"),
        ({**SEEN, "sightings": [ROW[:4]]}, "length 6 to 7, got 4"),
        ({**SEEN, "sightings": [[*ROW[:5], None, [[1.0, 2.0], 0.1, 5.0, 0.4]]]}, "length 3, got 2"),
        ({**SEEN, "sightings": [[*ROW[:4], "much", None]]}, "Expected `float`, got `str`"),
        ({**TICK, "kind": "choose", "person": 1.5}, r"Expected `int \| null`, got `float` - at `\$.person`"),
        ({**TICK, "kind": "choose"}, "missing required field `person`"),
        ({**TICK, "kind": "refuse", "person": None}, "Expected `int`, got `null`"),
        ({"kind": "end"}, "missing required field `reason`"),
        ({"kind": "in_work", "frame": 1, "arrival_s": 1.0, "argument": None}, "Expected `str`, got `null`"),
    ],
)
def test_a_message_that_is_not_as_expected_is_refused_with_its_place(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        message_of(fields)


@pytest.mark.parametrize("data", [b"[]", b"5", b"nothing", b"\xff", b""])
def test_what_is_no_object_is_refused(data):
    with pytest.raises(ValueError):
        parse(data)


@pytest.mark.parametrize(
    ("spoiled", "complaint"),
    [
        ({"camera": {"image_px": 0}}, "image_px"),
        ({"tracker": {"follow_above": 0.9}}, "expected a tracker of this version of the program"),
        ({"tracker": {**stored(START)["tracker"], "hits": 3}}, "expected a tracker of this version of the program"),
        ({"tracker": {**stored(START)["tracker"], "lost_after_s": -1.0}}, "expected lost_after_s in"),
        ({"chosen": {"max_speed_mps": -1.0}}, "expected max_speed_mps of"),
        ({"watchdog_s": "1"}, r"Expected `float`, got `str` - at `\$.watchdog_s`"),
        ({"weights": 5}, "Expected `str | null`, got `int`"),
        ({"state": {}}, "expected a state of this version of the program"),
        ({"state": {"surprise": 1}}, "expected a state of this version of the program"),
        ({"state": 5}, r"Expected `object \| null`, got `int` - at `\$.state`"),
    ],
)
def test_a_start_that_is_not_as_expected_is_refused(spoiled, complaint):
    with pytest.raises(ValueError, match=complaint):
        start_of({**stored(START), **spoiled})


def test_a_part_that_json_cannot_hold_is_not_written_as_something_else():
    state = SessionState(bad_at_s=object())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        to_json(replace(START, state=state))
    with pytest.raises(TypeError):
        to_json(Happened(Tick(1.0), TrackState.PATROL, [Command("object_lost", {"data": object()})]))

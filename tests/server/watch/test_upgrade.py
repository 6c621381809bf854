"""Recordings of format 1: a real one, and messages that an old program can't have written."""

import json
from collections import Counter

import pytest
from mcap.reader import make_reader
from support.recorded_session import FORMAT_1, happened, read, retaken, rewritten

from server.flight.events import NotUnderstood, Received, Seen
from server.watch.recording.reader import Recording
from server.watch.recording.records import UnreadableRecordingError
from server.watch.recording.upgrade import Upgrade


def original() -> list[dict]:
    """Its events, as the old program wrote them."""
    with FORMAT_1.open("rb") as file:
        messages = make_reader(file).iter_messages(topics=["/events"], log_time_order=False)
        return [json.loads(message.data) for _, _, message in messages]


def test_all_events_come_in_order_with_what_came_of_them():
    recording, _ = read(FORMAT_1)
    start, *old, end = original()
    new = happened(FORMAT_1)
    assert (recording.start.session, recording.start.engine, recording.start.state) == (
        start["session"],
        start["engine"],
        None,
    )
    assert recording.end_reason == end["reason"]
    names = {"Received": "frame", "NotUnderstood": "bad"}
    kinds = [names.get(kind := type(each.event).__name__, kind.lower()) for each in new]
    assert kinds == [event["kind"] for event in old]
    assert Counter(kinds).keys() == {"frame", "seen", "bad", "failed", "tick", "hold", "release", "shutdown"}
    for event, each in zip(old, new, strict=True):
        assert each.event.at_s == event.get("now_s", event["arrival_s"] if event["kind"] == "frame" else None)
        assert [list(command) for command in each.commands] == event.get("commands", [])
        assert each.state.value == event.get("state", each.state.value)


def test_frames_are_numbered_and_say_which_one_they_have_superseded():
    events = [each.event for each in happened(FORMAT_1)]
    received = [event for event in events if isinstance(event, Received)]
    assert [event.frame for event in received] == list(range(1, 59))
    superseded = [event.superseded for event in received if event.superseded is not None]
    assert len(superseded) == 2
    answered = [event.frame for event in events if isinstance(event, Seen | NotUnderstood)]
    (failed,) = (event.frame for event in events if type(event).__name__ == "Failed")
    assert sorted([*answered, failed, *superseded]) == list(range(1, 59)), "each one answered or superseded"
    assert answered != sorted(answered), "one that cannot be parsed is answered before older ones"


def test_targets_are_sightings_with_their_places_and_frames_have_their_timestamps():
    old = next(event for event in original() if event["kind"] == "seen")
    new = next(each.event for each in happened(FORMAT_1) if isinstance(each.event, Seen))
    (target,), (sighting,) = old["targets"], new.sightings
    assert list(sighting.place.position_m) == target["position_m"]
    assert (sighting.place.std_m, sighting.place.depth_m, sighting.place.area_m2) == (
        target["position_std_m"],
        target["depth_m"],
        target["area_m2"],
    )
    assert (sighting.confidence, sighting.area_px, sighting.is_convincing) == (
        target["confidence"],
        target["area_px"],
        target["is_convincing"],
    )
    assert new.timestamp_s == 1.5e9


def test_todays_session_gives_the_commands_of_then():
    recorded, given = retaken(FORMAT_1)
    assert given == recorded


def test_one_that_begins_in_the_middle_of_a_session_is_refused_in_one_line(tmp_path):
    change = {"snapshot": {"Session": {"name": "drone"}}}
    copy = rewritten(FORMAT_1, tmp_path, lambda number, event: event if number else event | change)
    with pytest.raises(UnreadableRecordingError) as told:
        Recording(copy)
    assert str(copy) in str(told.value)
    assert "recorded by an older version of this program and begins in the middle of a session" in str(told.value)
    assert "\n" not in str(told.value)


FRAME = {"kind": "frame", "arrival_s": 1.0, "is_superseding": False, "argument": '{"timestamp": "5.0"}'}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "land"},
        {"kind": "frame"},
        {**FRAME, "arrival_s": []},
        {**FRAME, "argument": None},
        {**FRAME, "argument": "{"},
        {"kind": "tick", "state": "patrol", "commands": []},
        {"kind": "failed", "now_s": 1.0, "arrival_s": 2.0, "state": "patrol", "commands": []},
        {"kind": "seen", "now_s": 1.0, "arrival_s": 1.0, "targets": 5, "state": "patrol", "commands": []},
        {"kind": "seen", "now_s": 1.0, "arrival_s": 1.0, "targets": [{}], "state": "patrol", "commands": []},
    ],
)
def test_what_the_old_program_cannot_have_written_is_refused(fields):
    subject = Upgrade()
    subject.message(FRAME)
    with pytest.raises((KeyError, TypeError, ValueError)):
        subject.message(fields)


@pytest.mark.parametrize(
    ("argument", "timestamp_s"),
    [('{"timestamp": "5.25"}', 5.25), ("{}", None), ('{"timestamp": 5}', None), ('"text"', None), ("[1]", None)],
)
def test_a_frame_without_a_timestamp_that_makes_sense_has_none(argument, timestamp_s):
    subject = Upgrade()
    subject.message({**FRAME, "argument": argument})
    seen = {"kind": "seen", "now_s": 1.0, "arrival_s": 1.0, "targets": [], "state": "patrol", "commands": []}
    assert subject.message(seen)["timestamp_s"] == timestamp_s

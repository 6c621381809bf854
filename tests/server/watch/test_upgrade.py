"""Recordings of older formats: a real one of each, and messages that an old program can't have written."""

import json
import math
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from mcap.reader import make_reader
from support import seen as made
from support.fake_engine import ColourEngine
from support.recorded_session import (
    FORMAT_1,
    FORMAT_2,
    FORMAT_3,
    FORMAT_3_MIDDLE,
    FORMAT_4,
    FORMAT_5,
    FORMAT_6,
    FORMAT_7,
    happened,
    read,
    retaken,
    rewritten,
)

from model.profile import MOTION, hero_profile
from server.flight.events import NotUnderstood, Received, Seen
from server.flight.tracks import TrackState
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.watch.recording.format import Happened, Start, message_of, start_of, to_json
from server.watch.recording.reader import Recording
from server.watch.recording.records import UnreadableRecordingError
from server.watch.recording.upgrade import FORMATS, MOST_EVIDENCE, Upgrade
from tools.replay import replay

OLD = pytest.mark.parametrize("path", [FORMAT_1, FORMAT_2], ids=["format1", "format2"])


def original(path: Path) -> list[dict]:
    """Its events, as the old program wrote them."""
    with path.open("rb") as file:
        messages = make_reader(file).iter_messages(topics=["/events"], log_time_order=False)
        return [json.loads(message.data) for _, _, message in messages]


# --- both


@OLD
def test_there_is_a_real_one_of_each(path):
    assert original(path)[0]["format"] == FORMATS[[FORMAT_1, FORMAT_2].index(path)]


@OLD
def test_what_a_session_was_made_of_is_kept_where_it_is_still_known(path):
    recording, _ = read(path)
    start, *_, end = original(path)
    for name in ("session", "engine", "watchdog_s", "min_blob_px", "weights", "started_s", "monotonic_s"):
        assert getattr(recording.start, name) == start[name]
    assert recording.start.state is None
    assert recording.end_reason == end["reason"]
    tracker, old = asdict(recording.start.tracker), start["tracker"]
    kept = tracker.keys() & old.keys()
    assert kept == {"lost_after_s", "gate_sigma"}
    profile = asdict(hero_profile()) | {name: old[name] for name in MOTION}
    assert tracker == asdict(TrackerConfig()) | {name: old[name] for name in kept} | {"profile": profile}


@OLD
def test_sightings_have_the_log_odds_of_their_confidence_as_evidence(path, tmp_path):
    """The fake network was sure of each hero; here it is as sure as a real one."""
    shares = iter([0.5, 0.6, 0.9, 0.99, 0.999, 0.0, 1.0] * 20)

    def change(number, event):
        for target in event.get("targets", []):
            target["confidence"] = next(shares)
        for sighting in event.get("sightings", []):
            sighting[4] = next(shares)
        return event

    seen = [each.event for each in happened(rewritten(path, tmp_path, change)) if isinstance(each.event, Seen)]
    evidence = [sighting.evidence for event in seen for sighting in event.sightings]
    # ln(0.6 / 0.4) = 0.405; ln 99 = 4.595; ln 999 = 6.9, which is more than a frame can say.
    expected = [0.0, math.log(1.5), math.log(9), math.log(99), MOST_EVIDENCE, -MOST_EVIDENCE, MOST_EVIDENCE]
    assert evidence[:7] == pytest.approx(expected)
    assert [sighting.is_candidate for event in seen for sighting in event.sightings][:7] == [
        *(False, True, True, True, True, False, True)
    ]


@OLD
def test_todays_session_takes_the_events_of_then(path):
    """Its commands may differ because the tracker has changed: it follows and gives up."""
    recorded, given = retaken(path)
    assert [kind for kind, _, _ in given] == [kind for kind, _, _ in recorded]
    told, told_then = (
        Counter(command.event for _, _, commands in outcomes for command in commands) for outcomes in (given, recorded)
    )
    assert told.keys() == told_then.keys() == {"object_detected", "object_lost", "create_box_marker"}
    assert told["object_detected"] == told["create_box_marker"]
    assert given[-1][0] == "Shutdown"
    assert not given[-1][1].is_following


@OLD
def test_one_that_begins_in_the_middle_of_a_session_is_refused_in_one_line(path, tmp_path):
    change = {"snapshot": {"Session": {"name": "drone"}}, "state": {"tracker": {}}}
    copy = rewritten(path, tmp_path, lambda number, event: event if number else event | change)
    with pytest.raises(UnreadableRecordingError) as told:
        Recording(copy)
    assert str(copy) in str(told.value)
    assert "recorded by an older version of this program and begins in the middle of a session" in str(told.value)
    assert "\n" not in str(told.value)


@OLD
@pytest.mark.parametrize("tracker", [None, 5, [], {"lost_after_s": "soon"}, {"lost_after_s": -1.0}])
def test_settings_of_the_tracker_that_make_no_sense_are_refused(path, tmp_path, tracker):
    copy = rewritten(path, tmp_path, lambda number, event: event | ({} if number else {"tracker": tracker}))
    with pytest.raises(UnreadableRecordingError, match="cannot understand"):
        Recording(copy)


# --- format 1


def test_all_events_come_in_order_with_what_came_of_them():
    _, *old, _ = original(FORMAT_1)
    new = happened(FORMAT_1)
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
    old = next(event for event in original(FORMAT_1) if event["kind"] == "seen")
    new = next(each.event for each in happened(FORMAT_1) if isinstance(each.event, Seen))
    (target,), (sighting,) = old["targets"], new.sightings
    assert list(sighting.place.position_m) == target["position_m"]
    assert (sighting.place.std_m, sighting.place.depth_m, sighting.place.area_m2) == (
        target["position_std_m"],
        target["depth_m"],
        target["area_m2"],
    )
    assert (sighting.area_px, sighting.is_candidate) == (target["area_px"], target["is_convincing"])
    assert [list(sighting.centroid_px), list(sighting.box_px)] == [target["centroid_px"], target["box_px"]]
    assert new.timestamp_s == 1.5e9


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
    subject = Upgrade(1)
    subject.message(FRAME)
    with pytest.raises((KeyError, TypeError, ValueError)):
        subject.message(fields)


@pytest.mark.parametrize(
    ("argument", "timestamp_s"),
    [('{"timestamp": "5.25"}', 5.25), ("{}", None), ('{"timestamp": 5}', None), ('"text"', None), ("[1]", None)],
)
def test_a_frame_without_a_timestamp_that_makes_sense_has_none(argument, timestamp_s):
    subject = Upgrade(1)
    subject.message({**FRAME, "argument": argument})
    seen = {"kind": "seen", "now_s": 1.0, "arrival_s": 1.0, "targets": [], "state": "patrol", "commands": []}
    assert subject.message(seen)["timestamp_s"] == timestamp_s


# --- format 2


def test_all_but_the_evidence_comes_as_it_was():
    old, new = original(FORMAT_2)[1:-1], happened(FORMAT_2)
    assert {event["kind"] for event in old} == {
        *("received", "seen", "not_understood", "failed", "tick", "hold", "release", "shutdown")
    }
    assert [event["superseded"] for event in old if event.get("superseded")] == [14]
    for event, each in zip(old, new, strict=True):
        assert each.event.at_s == event["at_s"]
        assert each.state.value == event["state"]
        assert [list(command) for command in each.commands] == event["commands"]
        assert each.argument == event.get("argument")
        assert getattr(each.event, "frame", None) == event.get("frame")
        for now, then in zip(getattr(each.event, "sightings", ()), event.get("sightings", ()), strict=True):
            assert json.loads(json.dumps([*now[:4], now.place])) == [*then[:4], then[5]]


@pytest.mark.parametrize(
    "sightings",
    [
        5,
        [5],
        [[]],
        [[0.9, None]],
        [[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0], 20, "much", None]],
        [[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0], 20, None, None]],
        [[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0], 20, 10**400, None]],
        [[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0], 20, 0.9, [[1.0, 2.0], 0.2, 4.0, 0.4]]],
    ],
)
def test_sightings_that_make_no_sense_are_refused_in_one_line(tmp_path, sightings):
    def change(number, event):
        return event | ({"sightings": sightings} if event["kind"] == "seen" else {})

    copy = rewritten(FORMAT_2, tmp_path, change)
    with pytest.raises(UnreadableRecordingError, match="cannot understand") as told:
        happened(copy)
    assert "\n" not in str(told.value)


# --- from format 3 on


@pytest.mark.parametrize("path", [FORMAT_3, FORMAT_3_MIDDLE, FORMAT_4, FORMAT_5, FORMAT_6, FORMAT_7])
def test_the_hero_is_followed_exactly_as_then(path):
    """On the network and the events of then, each command is the same to the last digit; see tests/data/README.md.

    Five frames of format 4 have no depth image. Since then, the uncertainty of places on the ground has been corrected,
    which moves them by some millimetres.
    """
    with Recording(path) as recording:
        engine = ColourEngine(hero="blue" if path == FORMAT_3_MIDDLE else "red", has_dog=path == FORMAT_7)
        assert engine.description == recording.start.engine
        comparison = replay(recording, engine, is_same_network=True)
    if path == FORMAT_4:
        assert comparison.differing_decisions == 0, comparison.summary()
        assert max(comparison.command_distances_m) < 0.01
    else:
        assert comparison.is_identical, comparison.summary()
    commands = Counter(command.event for each in happened(path) for command in each.commands)
    assert min(commands["object_detected"], commands["object_lost"]) >= 1


@pytest.mark.parametrize("path", [FORMAT_3, FORMAT_3_MIDDLE])
def test_a_tracker_of_format_3_has_the_heros_profile_with_what_its_user_set(path, tmp_path):
    def change(number, event):
        if number == 0:
            state = event["state"]
            for settings in (event["tracker"], {} if state is None else state["tracker"]["config"]):
                settings["max_speed_mps"] = 3.0
        return event

    start = read(rewritten(path, tmp_path, change))[0].start
    # `give_up_below` was 0.3 when they were recorded; the default is another one now.
    expected = TrackerConfig(give_up_below=0.3, profile=replace(hero_profile(), max_speed_mps=3.0))
    assert start.tracker == expected
    assert (start.state is not None) == (path == FORMAT_3_MIDDLE)
    if start.state is not None:
        assert start.state.tracker.config == expected


# --- from format 4 on


def of_format_7(message) -> dict:
    """The fields of a message, as format 7 had them."""
    fields = json.loads(to_json(message))
    if fields["kind"] == "start":
        del fields["chosen"], fields["parts_sha256"]
    return fields | ({"format": 7} if fields["kind"] == "start" else {})


def of_format_6(message) -> dict:
    """The fields of a message, as format 6 had them."""
    fields = of_format_7(message)
    if fields.get("state") is not None and fields["kind"] == "start":
        people, *others = fields["state"]["tracker"]["crowd"]
        people = [[*who[:2], [means[:-1] for means in who[2]], *who[3:]] for who in people]
        fields["state"]["tracker"]["crowd"] = [people, *others]
        for settings in (fields["tracker"], fields["state"]["tracker"]["config"]):
            settings["profile"] |= {"near_doubt": 0.065, "doubt_per_m": 0.0035}
    return fields | ({"format": 6} if fields["kind"] == "start" else {})


def of_format_5(message) -> dict:
    """The fields of a message, as format 5 had them."""
    fields = of_format_6(message)
    for sighting in fields.get("sightings", []):
        del sighting[-2]
    if fields.get("state") is not None and fields["kind"] == "start":
        people, *others, _ = fields["state"]["tracker"]["crowd"]
        fields["state"]["tracker"]["crowd"] = [[[*who[:2], who[2][0], *who[3:-1]] for who in people], *others]
    return fields | ({"format": 5} if fields["kind"] == "start" else {})


def of_format_4(message) -> dict:
    """The fields of a message, as format 4 had them."""
    fields = of_format_5(message)
    fields.pop("is_part", None)
    if fields.get("state") is not None and fields["kind"] == "start":
        del fields["state"]["tracker"]["whole_s"]
    return fields | ({"format": 4} if fields["kind"] == "start" else {})


@pytest.mark.parametrize(
    ("number", "written"), [(4, of_format_4), (5, of_format_5), (6, of_format_6), (7, of_format_7)]
)
def test_a_session_in_its_middle_goes_on(number, written):
    """All frames of format 4 were looked at as a whole; up to format 5, the evidence was that of both looks.

    Up to format 6, a mean's number of frames was not recorded: it is taken to be of many. Up to format 7, the user's
    chosen values and the network's parts were not recorded.
    """
    subject = made.session(profile=replace(hero_profile(), name="dog", others="dogs"))
    for frame in range(100):
        subject.take(made.seen(0.2 * frame, made.sighting()))
    own = ("drone", Camera(), subject.state.tracker.config, {}, 1.0, 8)
    start = Start(*own, None, None, None, "any", 1.7e9, 19.8, subject.state)
    upgrade = Upgrade(number)
    upgraded = start_of(upgrade.start(written(start)))
    (hero,), (known,) = start.state.tracker.crowd.people, upgraded.state.tracker.crowd.people
    assert known.belief.anybody.weight == pytest.approx(hero.belief.anybody.weight)
    crowd = upgraded.state.tracker.crowd.with_person(known._replace(belief=hero.belief))
    state = replace(upgraded.state, tracker=replace(upgraded.state.tracker, crowd=crowd))
    assert replace(upgraded, state=state) == start
    assert start.state.tracker.whole_s == start.state.tracker.time_s == pytest.approx(19.8)
    event = Happened(made.seen(20.0, made.sighting()), TrackState.FOLLOWING, [])
    assert message_of(upgrade.message(written(event))) == event

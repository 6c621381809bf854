"""Replays of the real server's recordings, with real networks; with a fake one only if a test decides what is seen."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng
from support.fake_engine import DOG, RED, ColourEngine
from support.live import WATCHDOG
from support.recorded_session import COMMANDS, FCN4, FORMAT_1, FORMAT_2, SHIPPED, happened, read, rewritten
from support.seen import quick_tracker, seen, session, sighting
from support.worlds import world_near_hero

from model.engines import load_engine
from server.flight.events import Failed, NotUnderstood, Received, Retarget, Seen
from server.flight.tracks import TrackState
from server.sight.geometry import QUADSIM_CAMERA
from server.watch.recording.comparison import Outcome
from server.watch.recording.format import Happened, Start
from server.watch.recording.reader import Recording
from server.watch.recording.records import UnreadableRecordingError
from server.watch.recording.restore import MOST_WAITING, InconsistentError, check_numbers
from server.wire.messages import Pose, object_lost
from tools.replay import main
from tools.replaying.again import Replay, replay
from tools.simulator.faults import FaultConfig, Faults
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.server_process import running_server

# The camera looks 20° down from 5 m, as it does over a patrol.
POSE = Pose(0.0, 0.0, 5.0, 0.0, 20.0, 0.0)


@pytest.fixture(scope="module")
def file(recorded_session):
    return recorded_session[0]


def replayed(file, capsys, *options):
    """Exit status, standard output and standard error."""
    status = main([str(file), *map(str, options)])
    output, errors = capsys.readouterr()
    return status, output, errors


# --- the same again


def test_the_recording_holds_all_that_was_sent_and_told(recorded_session):
    file, sent, told = recorded_session
    arguments = [json.loads(each.argument) for each in happened(file) if isinstance(each.event, Received)]
    for argument, fields in zip(arguments, sent, strict=True):
        # If a frame cannot be parsed, its beginning is enough for a replay.
        assert argument == fields or (fields["gimbal_pose"] == "nowhere" and json.dumps(fields).startswith(argument))
    assert [tuple(command) for each in happened(file) for command in each.commands] == [
        (event.name, event.argument) for event in told if event.name in COMMANDS
    ]
    kinds = {type(each.event).__name__ for each in happened(file)}
    assert kinds == {"Received", "Seen", "NotUnderstood", "Tick", "Hold", "Release", "Shutdown"}
    assert {each.state for each in happened(file)} >= {TrackState.FOLLOWING, TrackState.COASTING, TrackState.LOST}


def test_with_the_same_network_the_commands_are_identical(recorded_session, capsys):
    file, sent, told = recorded_session
    status, output, _ = replayed(file, capsys)
    commands = sum(event.name in COMMANDS for event in told)
    assert output == f"identical: {len(sent)} frames received, 72 of them perceived, {commands} commands\n"
    assert status == 0
    assert commands >= 2 * 20


@pytest.mark.parametrize(("path", "frames", "seen"), [(FORMAT_1, 58, 51), (FORMAT_2, 40, 36)])
def test_a_recording_of_an_older_version_is_replayed_from_its_frames(path, frames, seen, capsys):
    """Some frames are superseded or overtaken, or perception fails on them. The fake network has not changed.

    The tracker has changed, so its commands may differ.
    """
    recording, entries = read(path)
    subject = Replay(recording.start, ColourEngine(), is_same_network=True)
    recorded = [Outcome(*entry[:3]) for entry in entries if isinstance(entry, Happened)]
    replayed = [subject.take(entry) for entry in entries if isinstance(entry, Happened)]
    assert [one.kind for one in recorded] == [other.kind for other in replayed]
    counts = Counter(type(other.event) for other in replayed)
    assert (counts[Received], counts[Seen]) == (frames, seen)
    for one, other in zip(recorded, replayed, strict=True):
        assert bool(one.candidates) == bool(other.candidates), "the same heroes are found"
        np.testing.assert_allclose(one.places_m, other.places_m, err_msg="in the same places")
    told = {command.event for other in replayed for command in other.commands}
    assert told == {"object_detected", "create_box_marker", "object_lost"}
    assert "the network has seen magenta" in capsys.readouterr().err


def test_a_frame_is_answered_once(file, tmp_path, capsys):
    first, second = [each.event.frame for each in happened(file) if isinstance(each.event, Seen)][:2]

    def change(number, event):
        return event | ({"frame": first} if event["kind"] == "seen" and event["frame"] == second else {})

    copy = rewritten(file, tmp_path, change)
    status, _, errors = replayed(copy, capsys)
    assert status == 2
    assert f"replay: {copy}: expected frame {first} before its answer, got none that waits for one" in errors


def test_a_flight_of_the_stand_in_with_faults_replays_identically(tmp_path, capsys):
    faults = Faults(FaultConfig(drop=0.1, delay=0.13, duplicate=0.1, corrupt=0.1, clock_jump=4.0), default_rng(0))
    with (
        running_server(SHIPPED, *WATCHDOG, "--record", str(tmp_path)) as server,
        world_near_hero() as world,
        QuadSim(world, "127.0.0.1", server.port, faults=faults, is_lock_step=True) as simulator,
    ):
        run([simulator], 5.0, speed=None)
    (file,) = tmp_path.glob("*.mcap")
    status, output, _ = replayed(file, capsys)
    assert output.startswith("identical: ")
    assert status == 0
    answers = [each for each in happened(file) if not isinstance(each.event, Received)]
    assert sum(answer.state.is_following for answer in answers) > 10
    assert sum(isinstance(answer.event, NotUnderstood) for answer in answers) > 0
    looks = [answer.event.is_part for answer in answers if isinstance(answer.event, Seen)]
    assert looks.count(True) > 5, "of the hero who is followed, often only a part of the frame is looked at"
    assert looks.count(False) > 5


def test_a_recording_that_was_cut_off_is_replayed_as_far_as_it_goes(file, tmp_path, capsys):
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    kept = sum(isinstance(each.event, Received) for each in happened(cut))
    status, output, _ = replayed(cut, capsys)
    first, last = output.splitlines()
    assert first == "the recording was cut off; replayed as far as it goes"
    assert last.startswith(f"identical: {kept} frames received, ")
    assert 0 < kept < sum(isinstance(each.event, Received) for each in happened(file))
    assert status == 0


# --- something else


def test_with_another_network_it_tells_what_changed(file, tmp_path, capsys):
    # As sure of the hero as the shipped network: with a card's default evidence, it would take seconds to follow.
    other = tmp_path / "fcn4"
    shutil.copy(FCN4.with_suffix(".keras"), tmp_path)
    card = json.loads(FCN4.with_suffix(".json").read_text()) | {"evidence": {"largest": 8.0}}
    other.with_suffix(".json").write_text(json.dumps(card))
    status, output, _ = replayed(file, capsys, "--weights", other)
    lines = output.splitlines()
    assert lines[0] == f"recorded with {SHIPPED}, replayed with {other}, another network"
    table = {line[:36].strip(): line[36:].split() for line in lines[2:9]}
    seen = [each.event for each in happened(file) if isinstance(each.event, Seen)]
    assert table["frames understood"] == [str(len(seen))] * 2
    assert table["frames not understood"] == ["2", "2"]
    found, found_now = map(int, table["frames with a hero found"])
    assert found == sum(any(sighting.is_candidate for sighting in event.sightings) for event in seen)
    only, only_now = map(int, table["… which the other did not find"])
    assert found - only == found_now - only_now
    (coordinates,) = (line for line in lines if line.startswith("coordinates sent by both: "))
    median_m, most_m = float(coordinates.split()[4]), float(coordinates.split()[-2])
    assert 0 < median_m < min(1, most_m)  # the most depends on one frame, and on how the CPU rounds
    assert status == 1


def test_another_card_of_the_same_network_is_told(file, tmp_path, capsys):
    changed = tmp_path / SHIPPED.name
    for part in SHIPPED.parent.glob(f"{SHIPPED.name}.*"):
        copy = shutil.copytree if part.is_dir() else shutil.copy
        copy(part, tmp_path / part.name)
    card = json.loads(changed.with_suffix(".json").read_text()) | {"evidence": {"largest": 0.5}}
    changed.with_suffix(".json").write_text(json.dumps(card))
    status, output, _ = replayed(file, capsys, "--weights", changed)
    assert output.splitlines()[0] == "the network's card is another one than recorded"
    assert status == 1


@pytest.fixture(scope="module")
def shipped():
    return load_engine("auto", SHIPPED)


def compared(file, tmp_path, shipped, change):
    """The comparison of an altered recording with its replay."""
    with Recording(rewritten(file, tmp_path, change)) as recording:
        return replay(recording, shipped, is_same_network=True)


def test_a_command_that_was_another_is_told_with_its_time(file, tmp_path, shipped):
    changed_at = {}

    def change(number, event):
        if number == 0:
            changed_at["begin_s"] = event["monotonic_s"]
        names = [name for name, _ in event.get("commands", [])]
        if "at_s" not in changed_at and names == ["object_detected", "create_box_marker"]:
            changed_at.update(event)
            event["commands"][0][1]["coords"][0] += 0.25
        return event

    comparison = compared(file, tmp_path, shipped, change)
    output = comparison.summary()
    assert not comparison.is_identical
    assert "moments that differ: 1 of " in output
    assert "coordinates sent by both: 0.000 m apart" in output
    assert "at most 0.250 m" in output
    when = f"{changed_at['at_s'] - changed_at['begin_s']:9.2f}  frame {changed_at['frame']}"
    assert f"{when}, recorded: hero found, following, object_detected (" in output


def test_a_decision_that_was_another_comes_before_coordinates(file, tmp_path, shipped):
    lost = []

    def change(number, event):
        for command in event.get("commands", []):
            if command[0] == "object_detected":
                command[1]["coords"][2] += 0.001
        if event["kind"] == "tick" and event["commands"] and not lost:
            lost.append(event)
            event["commands"] = []
        return event

    output = compared(file, tmp_path, shipped, change).summary()
    assert len(lost) == 1
    assert "not only in coordinates: 1\n" in output
    shown = output.splitlines()[-2:]
    assert shown[0].endswith("recorded: tick, lost, nothing told")
    assert shown[1].strip() == "replayed: tick, lost, object_lost"


def a_replay(engine, state=None, is_same_network=True, chosen=None):
    own = ("drone", QUADSIM_CAMERA, quick_tracker(), chosen or {}, 1.0, 8)
    start = Start(*own, None, None, None, "none", 1.7e9, 0.0, state)
    return Replay(start, engine, is_same_network)


def received(number, at_s, superseded=None):
    """A frame in which the hero stands 6 m ahead."""
    image = np.full((256, 256, 3), 128, np.uint8)
    image[100:160, 118:138] = RED
    fields = sensor_frame_fields(image, np.full((256, 256), 6.0), POSE) | {"timestamp": f"{1e9 + at_s}"}
    return Happened(Received(at_s, number, superseded), TrackState.PATROL, [], json.dumps(fields))


def unseen(number, at_s, *commands):
    """The recorded outcome: nothing was seen."""
    return Happened(Seen(at_s, number, at_s, 1e9 + at_s, ()), TrackState.PATROL, list(commands))


def test_a_drone_that_had_been_stopped_in_the_recording_is_stopped_by_the_watchdog():
    """Nothing was found in the recording, so that its ticks changed nothing and are not in it."""
    subject = a_replay(ColourEngine())
    outcomes = []
    for number, at_s in enumerate([0.0, 0.2, 0.4, 0.6, 0.8, 4.0], start=1):
        subject.take(received(number, at_s))
        outcomes.append(subject.take(unseen(number, at_s, *([object_lost()] if number == 1 else []))))
    told = [[command.event for command in outcome.commands] for outcome in outcomes]
    follow = ["object_detected", "create_box_marker"]
    assert told == [["object_lost"], follow, follow, follow, follow, ["object_lost", *follow]]


def of_dogs():
    """An engine whose network knows only a dog."""
    engine = ColourEngine()
    engine.card = replace(engine.card, classes=("surroundings", "people", "dog"), profile=DOG)
    return engine


@pytest.mark.parametrize(("is_same", "tracked"), [(True, quick_tracker().profile), (False, DOG)])
def test_another_network_tracks_by_its_own_profile_with_the_other_settings_as_recorded(is_same, tracked):
    """Also after a change of the settings in the recording."""
    subject, changed = a_replay(of_dogs(), is_same_network=is_same), replace(quick_tracker(), remember_s=7.0)
    for expected in (quick_tracker(), changed):
        assert subject.session.state.tracker.config == replace(expected, profile=tracked)
        subject.take(Happened(Retarget(1.0, changed), TrackState.PATROL, []))


def test_another_network_answers_the_first_frame_too():
    subject = a_replay(of_dogs(), is_same_network=False)
    subject.take(received(1, 0.0))
    assert subject.take(unseen(1, 0.1, object_lost())).commands == [object_lost()]
    assert subject.session.state.counts.stale == 0


def test_in_the_middle_of_a_session_another_network_stops_the_drone_with_the_first_outcome():
    flight = session()
    for number in range(4):
        flight.take(seen(0.2 * number - 1.0, sighting()))
    subject = a_replay(of_dogs(), flight.state, is_same_network=False)
    outcomes = [subject.take(each) for each in (received(5, 0.1), unseen(5, 0.1))]
    assert [outcome.commands for outcome in outcomes] == [[], [object_lost()]]


def test_another_network_tracks_with_the_motion_that_the_user_had_chosen():
    subject = a_replay(of_dogs(), is_same_network=False, chosen={"max_speed_mps": 3.0})
    assert subject.session.state.tracker.config.profile == replace(DOG, max_speed_mps=3.0)


def test_a_frame_that_was_superseded_waits_for_no_answer():
    subject = a_replay(ColourEngine())
    subject.take(received(1, 0.0))
    subject.take(received(2, 0.1, superseded=1))
    with pytest.raises(InconsistentError, match="expected frame 1 before its answer"):
        subject.take(unseen(1, 0.2))
    assert isinstance(subject.take(unseen(2, 0.2)).event, Seen)
    assert subject.session.state.counts.superseded == 1


def test_a_frame_that_waits_for_too_long_is_forgotten():
    subject = a_replay(ColourEngine())
    for number in range(1, MOST_WAITING + 2):
        subject.take(received(number, number / 10))
    with pytest.raises(InconsistentError, match="expected frame 1 before its answer"):
        subject.take(unseen(1, 9.0))
    assert isinstance(subject.take(unseen(2, 9.0)).event, Seen)


class BrokenEngine(ColourEngine):
    def infer(self, images):
        raise RuntimeError("no memory")


def test_a_network_that_fails_is_told_and_stops_the_drone(capsys):
    subject = a_replay(BrokenEngine())
    subject.take(received(1, 1.0))
    outcome = subject.take(unseen(1, 1.1, object_lost()))
    assert (outcome.event, outcome.commands) == (Failed(1.1, 1), [object_lost()])
    assert "perception failed on a frame: RuntimeError('no memory')" in capsys.readouterr().err


# --- how it fails


@pytest.mark.parametrize("option", [["--weights", "x"], ["--engine", "openvino"], ["--precision", "f32"]])
def test_a_page_sees_with_no_other_network(option, capsys):
    assert main(["x.mcap", "--page", *option]) == 2
    assert "expected --page without --weights, --engine and --precision" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--host", "127.0.0.2"], ["--port", "1"], ["--token-file", "x"]])
def test_what_is_for_the_page_is_refused_without_it(option, capsys):
    assert main(["x.mcap", *option]) == 2
    assert "expected --host, --port and --token-file with --page only" in capsys.readouterr().err


def test_a_missing_file_is_told(tmp_path, capsys):
    status, _, errors = replayed(tmp_path / "none.mcap", capsys)
    assert status == 2
    assert errors.startswith("replay: ")
    assert str(tmp_path / "none.mcap") in errors


def test_networks_that_are_gone_or_others_are_told_with_what_to_do(file, tmp_path, capsys):
    for weights, complaint in (("weights/none", "found none of them"), (str(FCN4), "got another one")):
        copy = rewritten(
            file, tmp_path, lambda number, event, weights=weights: event | ({} if number else {"weights": weights})
        )
        status, output, errors = replayed(copy, capsys)
        assert (status, output) == (2, "")
        assert complaint in errors
        assert "--weights" in errors
        assert errors.count("\n") == 1


def test_the_networks_that_the_user_names_must_exist(file, capsys):
    status, _, errors = replayed(file, capsys, "--weights", Path("weights/none"))
    assert status == 2
    assert "expected a network at weights/none" in errors


def test_an_answer_to_a_frame_that_is_not_there_is_refused(file, tmp_path, capsys):
    def change(number, event):
        return None if event["kind"] == "received" and event["frame"] == 5 else event

    status, _, errors = replayed(rewritten(file, tmp_path, change), capsys)
    assert status == 2
    assert "expected frame 5 before its answer, got none that waits for one" in errors


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"time_s": 1e308}, r"expected time_s of at most 1e\+40, got 1e\+308"),
        ({"time_s": -1e308}, r"expected time_s of at most 1e\+40, got -1e\+308"),
        ({"seen_s": 1e300}, "expected seen_s of at most"),
        ({"position_m": (1e300, 0.0, 0.0)}, "expected position_m of at most"),
        ({"position_variance": -1.0}, "expected position_variance to be positive, got -1"),
        ({"settled": 1e3}, "expected settled of at most 100, got 1000"),
        ({"weight": 0.0}, "expected weight to be positive, got 0"),
        ({"followed": None}, "expected a state that follows to have a track, got none"),
        ({"arrival_s": 1e300}, "expected arrival_s of at most"),
    ],
)
def test_a_state_that_no_session_can_have_had_is_refused(change, complaint):
    flight = session()
    for number in range(4):
        flight.take(seen(0.2 * number, sighting()))
    tracker, clock = flight.state.tracker, flight.state.clock
    (hero,) = tracker.crowd.people
    level = hero.track.level._replace(**picked(change, ("position_variance",)))
    hero = hero._replace(
        track=hero.track._replace(level=level, **picked(change, ("time_s", "position_m"))),
        belief=hero.belief._replace(lookalike=hero.belief.lookalike._replace(**picked(change, ("settled", "weight")))),
    )
    crowd = tracker.crowd._replace(people=(hero,))
    tracker = replace(tracker, crowd=crowd, **picked(change, ("seen_s", "followed")))
    state = replace(flight.state, tracker=tracker, clock=replace(clock, **picked(change, ("arrival_s",))))
    with pytest.raises(InconsistentError, match=complaint):
        a_replay(ColourEngine(), state)
    a_replay(ColourEngine(), flight.state)


def picked(change, names):
    return {name: value for name, value in change.items() if name in names}


def test_a_frame_may_have_any_time_of_its_own():
    check_numbers(Seen(1.1, 1, 1.0, -1e308, (sighting(),)))


@pytest.mark.parametrize(("kind", "name"), [("frame", "arrival_s"), ("tick", "now_s")])
def test_an_event_at_a_time_that_no_session_can_have_had_is_refused(tmp_path, kind, name):
    def change(number, event):
        if event["kind"] == "start":
            return event
        return event | {name: -1e308} if event["kind"] == kind else None

    with pytest.raises(UnreadableRecordingError, match=r"format1\.mcap: expected at_s of at most 1e\+40, got -1e\+308"):
        compared(FORMAT_1, tmp_path, ColourEngine(), change)


def test_a_frame_that_is_no_json_is_refused(file, tmp_path, capsys):
    def change(number, event):
        return event | ({"argument": "{"} if event["kind"] == "received" and event["frame"] == 5 else {})

    status, _, errors = replayed(rewritten(file, tmp_path, change), capsys)
    assert status == 2
    assert "expected JSON of frame 5, got '{'" in errors


def test_a_recording_of_an_older_version_that_begins_in_mid_session_is_refused_with_what_to_do(tmp_path, capsys):
    spoiled = {"snapshot": {"Session": {}}}
    copy = rewritten(FORMAT_1, tmp_path, lambda number, event: event | ({} if number else spoiled))
    status, _, errors = replayed(copy, capsys)
    assert status == 2
    assert errors.startswith(f"replay: {copy}: ")
    assert "replay it with the version that made it" in errors
    assert errors.count("\n") == 1


def test_a_recording_without_answers_is_no_proof_of_anything(file, tmp_path, capsys):
    copy = rewritten(file, tmp_path, lambda number, event: event if event["kind"] in ("start", "end") else None)
    status, _, errors = replayed(copy, capsys)
    assert status == 2
    assert "expected frames to replay, got none that were answered" in errors

"""Replays of what the real server recorded, with real networks; a fake one only where a test decides what is seen."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from numpy.random import default_rng
from support.fake_engine import RED, ColourEngine
from support.recorded_session import FCN4, SHIPPED, real_frames, record_everything, rewritten, send
from support.worlds import world_near_hero

from server.flight.tracks import TrackState
from server.settings import TrackerConfig
from server.sight.geometry import QUADSIM_CAMERA, Pose
from server.watch.recording.reader import Answer, Arrival, Recording, Start
from server.wire.messages import object_lost
from tools import replay
from tools.replay import Replay
from tools.simulator.faults import FaultConfig, Faults
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.server_process import running_server
from tools.simulator.wire import QuadSimClient

COMMANDS = ("object_detected", "object_lost", "create_box_marker")
# The camera looks 20° down from 5 m, as it does over a patrol.
POSE = Pose(0.0, 0.0, 5.0, 0.0, 20.0, 0.0)


@pytest.fixture(scope="module")
def session(tmp_path_factory, data_dir):
    """A recording of everything that can happen, what was sent, and what the client was told."""
    return record_everything(tmp_path_factory.mktemp("recorded"), data_dir)


def entries(file):
    with Recording(file) as recording:
        return list(recording.entries("reading"))


def start_of(file):
    with Recording(file) as recording:
        return recording.start


def replayed(file, capsys, *options):
    """Exit status, standard output and standard error."""
    status = replay.main([str(file), *map(str, options)])
    output, errors = capsys.readouterr()
    return status, output, errors


# --- the same again


def test_the_recording_holds_all_that_was_sent_and_told(session):
    file, sent, told = session
    read = entries(file)
    arrivals = [entry for entry in read if isinstance(entry, Arrival)]
    answers = [entry for entry in read if isinstance(entry, Answer)]
    assert len(arrivals) == len(sent)
    for arrival, fields in zip(arrivals, sent, strict=True):
        # Of a frame that can't be parsed, its beginning is enough.
        assert arrival.is_superseding is None or json.loads(arrival.argument) == fields
    assert [tuple(command) for answer in answers for command in answer.commands] == [
        (event.name, event.argument) for event in told if event.name in COMMANDS
    ]
    kinds = {answer.kind for answer in answers}
    assert kinds == {"seen", "bad", "tick", "hold", "release", "shutdown"}
    assert [arrival.is_superseding for arrival in arrivals].count(None) == 2  # the poses of "nowhere"
    assert [arrival.is_superseding for arrival in arrivals].count(True) >= 1
    assert {answer.state for answer in answers} >= {TrackState.FOLLOWING, TrackState.COASTING, TrackState.LOST}


def test_with_the_same_network_the_commands_are_identical(session, capsys):
    file, sent, told = session
    status, output, _ = replayed(file, capsys)
    commands = sum(event.name in COMMANDS for event in told)
    seen = sum(isinstance(entry, Answer) and entry.kind == "seen" for entry in entries(file))
    assert output == f"identical: {len(sent)} frames received, {seen} of them perceived, {commands} commands\n"
    assert status == 0
    assert commands > 100


def test_a_frame_that_cannot_be_parsed_is_answered_before_older_ones_in_perception(session):
    file, _, _ = session
    answered_s = [answer.arrival_s for answer in entries(file) if isinstance(answer, Answer) and answer.arrival_s]
    overtaking = [number for number, arrival_s in enumerate(answered_s) if arrival_s > min(answered_s[number:])]
    assert len(overtaking) == 1
    assert len(answered_s) - overtaking[0] > 3


def test_of_a_frame_that_cannot_be_parsed_a_replay_needs_only_the_beginning(session, capsys):
    file, _, _ = session
    shortened = []

    def change(number, event):
        if event["kind"] != "frame" or event["is_superseding"] is not None:
            return event
        shortened.append(event)
        return event | {"argument": json.dumps(event["argument"][:100])}

    status, output, _ = replayed(rewritten(file, change), capsys)
    assert len(shortened) == 2
    assert (status, output) == (0, replayed(file, capsys)[1])


def test_what_has_been_replaced_or_answered_is_answered_no_more(session, capsys):
    file, _, _ = session
    known = [entry for entry in entries(file) if isinstance(entry, Arrival | Answer)]
    at = next(number for number, entry in enumerate(known) if isinstance(entry, Arrival) and entry.is_superseding)
    waiting_s = max(entry.arrival_s for entry in known[:at] if isinstance(entry, Arrival))
    taking_s = known[at].arrival_s
    for older_s in (waiting_s, taking_s):

        def change(number, event, older_s=older_s):
            is_later = event["kind"] == "seen" and event["arrival_s"] > taking_s
            return event | ({"arrival_s": older_s} if is_later else {})

        status, _, errors = replayed(rewritten(file, change), capsys)
        assert status == 2
        assert "expected the frame that is answered at" in errors


def test_a_flight_of_the_stand_in_with_faults_replays_identically(tmp_path, capsys):
    faults = Faults(FaultConfig(drop=0.1, delay=0.13, duplicate=0.1, corrupt=0.1, clock_jump=4.0), default_rng(0))
    with (
        running_server(SHIPPED, "--watchdog-s", "3", "--record", str(tmp_path)) as server,
        world_near_hero() as world,
        QuadSim(world, "127.0.0.1", server.port, faults=faults, is_lock_step=True) as simulator,
    ):
        run([simulator], 8.0, speed=None)
    (file,) = tmp_path.glob("*.mcap")
    status, output, _ = replayed(file, capsys)
    assert output.startswith("identical: ")
    assert status == 0
    answers = [entry for entry in entries(file) if isinstance(entry, Answer)]
    assert sum(answer.is_following for answer in answers) > 10
    assert sum(answer.kind == "bad" for answer in answers) > 0


def test_a_recording_from_the_middle_of_a_session_until_a_kill_replays_identically(tmp_path, data_dir, capsys):
    near = real_frames(data_dir, "following_images", 60)
    with (
        running_server(FCN4, "--record", str(tmp_path)) as server,
        QuadSimClient(port=server.port) as client,
    ):
        send(client, near[:30], period_s=0.02)
        (simulator,) = (session["name"] for session in server.health()[1]["sessions"])
        for is_recorded in (False, True):
            order = {"simulator": simulator, "is_recorded": is_recorded}
            assert requests.post(f"{server.url}/record", json=order, timeout=5).ok
        send(client, near[30:])
        time.sleep(1.0)  # longer than it may take to the disk
        server.process.kill()
    (file,) = (file for file in tmp_path.glob("*.mcap") if start_of(file).snapshot is not None)
    status, output, _ = replayed(file, capsys)
    cut_off, identical = output.splitlines()
    assert cut_off.startswith("the recording was cut off")
    assert identical.startswith("identical: ")
    answers = [entry for entry in entries(file) if isinstance(entry, Answer) and entry.kind == "seen"]
    assert len(answers) >= 15
    assert answers[0].is_following, "from its first frame on, which a session from scratch would not be"
    assert status == 0


def test_a_recording_that_was_cut_off_is_replayed_as_far_as_it_goes(session, tmp_path, capsys):
    file, sent, _ = session
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    status, output, _ = replayed(cut, capsys)
    first, last = output.splitlines()
    assert first == "the recording was cut off; replayed as far as it goes"
    frames = int(last.removeprefix("identical: ").split()[0])
    assert len(sent) * 0.4 < frames < len(sent) * 0.8
    assert status == 0


# --- something else


def test_with_another_network_it_tells_what_changed(session, capsys):
    file, _, _ = session
    status, output, _ = replayed(file, capsys, "--weights", SHIPPED)
    lines = output.splitlines()
    assert lines[0] == f"recorded with {FCN4}, replayed with {SHIPPED}, another network"
    table = {line[:36].strip(): line[36:].split() for line in lines[2:9]}
    seen = [entry for entry in entries(file) if isinstance(entry, Answer) and entry.kind == "seen"]
    assert table["frames understood"] == [str(len(seen))] * 2
    assert table["frames not understood"] == ["3", "3"]
    found, found_now = map(int, table["frames with a hero found"])
    assert found == sum(bool(answer.sighted) for answer in seen)
    only, only_now = map(int, table["… which the other did not find"])
    assert found - only == found_now - only_now
    (coordinates,) = (line for line in lines if line.startswith("coordinates sent by both: "))
    median_m, most_m = float(coordinates.split()[4]), float(coordinates.split()[-2])
    assert 0 < median_m < most_m < 5
    assert status == 1


def test_a_command_that_was_another_is_told_with_its_time(session, capsys):
    file, _, _ = session
    changed_at = {}

    def change(number, event):
        if number == 0:
            changed_at["begin_s"] = event["monotonic_s"]
        if not changed_at.get("now_s") and [name for name, _ in event.get("commands", [])] == [
            "object_detected",
            "create_box_marker",
        ]:
            changed_at["now_s"] = event["now_s"]
            event["commands"][0][1]["coords"][0] += 0.25
        return event

    status, output, _ = replayed(rewritten(file, change), capsys)
    assert "moments that differ: 1 of " in output
    assert "coordinates sent by both: 0.000 m apart" in output
    assert "at most 0.250 m" in output
    assert f"{changed_at['now_s'] - changed_at['begin_s']:9.2f}  frame " in output
    assert status == 1


def test_a_decision_that_was_another_comes_before_coordinates(session, capsys):
    file, _, _ = session
    lost = []

    def change(number, event):
        for command in event.get("commands", []):
            if command[0] == "object_detected":
                command[1]["coords"][2] += 0.001
        if event["kind"] == "tick" and not lost:
            lost.append(event)
            event["commands"] = []
        return event

    status, output, _ = replayed(rewritten(file, change), capsys)
    assert "in more than coordinates: 1\n" in output
    shown = output.splitlines()[-2:]
    assert shown[0].endswith("recorded: tick, lost, nothing told")
    assert shown[1].strip() == "replayed: tick, lost, object_lost"
    assert status == 1


def answered(now_s, kind="seen", state=TrackState.PATROL, commands=(), arrival_s=None):
    return Answer(kind, arrival_s or now_s, now_s, [], state, list(commands))


def a_replay(engine):
    tracker = TrackerConfig(confirm_hits=3, confirm_window=5)
    start = Start("drone", QUADSIM_CAMERA, tracker, 1.0, 8, None, None, "none", 0.0, None)
    return Replay(start, engine, start.min_blob_px)


def red_frame(arrival_s):
    """The hero stands 6 m ahead."""
    image = np.full((256, 256, 3), 128, np.uint8)
    image[100:160, 118:138] = RED
    fields = sensor_frame_fields(image, np.full((256, 256), 6.0), POSE) | {"timestamp": f"{1e9 + arrival_s}"}
    return Arrival(arrival_s, False, json.dumps(fields))


def test_a_drone_that_had_been_stopped_in_the_recording_is_stopped_by_the_watchdog():
    """Nothing was found in the recording, so that its ticks changed nothing and are not in it."""
    subject = a_replay(ColourEngine())
    frames = [red_frame(number / 5) for number in range(5)] + [red_frame(4.0)]
    outcomes = []
    for frame in frames:
        subject.receive(frame)
        commands = [object_lost()] if frame.arrival_s == 0.0 else []
        outcomes.append(subject.answer(answered(frame.arrival_s, commands=commands), frame))
    told = [[command.event for command in outcome.commands] for outcome in outcomes]
    follow = ["object_detected", "create_box_marker"]
    assert told == [["object_lost"], [], follow, follow, follow, ["object_lost", *follow]]


class BrokenEngine(ColourEngine):
    def infer(self, images):
        raise RuntimeError("no memory")


def test_a_network_that_fails_is_told_and_stops_the_drone(capsys):
    subject = a_replay(BrokenEngine())
    frame = red_frame(1.0)
    subject.receive(frame)
    outcome = subject.answer(answered(1.0, commands=[object_lost()]), frame)
    assert (outcome.kind, outcome.commands) == ("failed", [object_lost()])
    assert "perception failed on a frame: RuntimeError('no memory')" in capsys.readouterr().err


# --- how it fails


def test_a_missing_file_is_told(tmp_path, capsys):
    status, _, errors = replayed(tmp_path / "none.mcap", capsys)
    assert status == 2
    assert errors.startswith("replay: ")
    assert str(tmp_path / "none.mcap") in errors


def test_networks_that_are_gone_or_others_are_told_with_what_to_do(session, capsys):
    file, _, _ = session
    for weights, complaint in (("weights/none", "found neither"), (str(SHIPPED), "got another one")):
        copy = rewritten(file, lambda number, event, weights=weights: event | ({} if number else {"weights": weights}))
        status, output, errors = replayed(copy, capsys)
        assert (status, output) == (2, "")
        assert complaint in errors
        assert "--weights" in errors
        assert errors.count("\n") == 1


def test_the_networks_that_the_user_names_must_exist(session, capsys):
    status, _, errors = replayed(session[0], capsys, "--weights", Path("weights/none"))
    assert status == 2
    assert "expected a network at weights/none" in errors


def test_an_answer_to_a_frame_that_is_not_there_is_refused(session, capsys):
    dropped = []

    def change(number, event):
        if event["kind"] == "frame" and event["is_superseding"] is False and not dropped:
            dropped.append(event)
            return None
        return event

    status, _, errors = replayed(rewritten(session[0], change), capsys)
    assert status == 2
    assert "expected the frame that is answered at" in errors


def test_a_recording_begun_by_hand_in_another_version_is_refused_with_what_to_do(session, capsys):
    spoiled = {"snapshot": {"Session": {}}}
    copy = rewritten(session[0], lambda number, event: event | ({} if number else spoiled))
    status, _, errors = replayed(copy, capsys)
    assert status == 2
    assert errors.startswith("replay: expected a Session of this version")
    assert "as one begun by hand does" in errors
    assert "made with --record replay across versions" in errors
    assert errors.count("\n") == 1


def test_a_recording_without_answers_is_no_proof_of_anything(session, capsys):
    copy = rewritten(session[0], lambda number, event: event if event["kind"] in ("start", "end") else None)
    status, _, errors = replayed(copy, capsys)
    assert status == 2
    assert "expected frames to replay, got none that were answered" in errors

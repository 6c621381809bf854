"""Recordings of a real server, killed and robbed of its disk; and the recorder alone for what a server rarely meets."""

import contextlib
import gc
import itertools
import json
import resource
import shutil
import subprocess
import time
import weakref
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mcap.reader import make_reader
from support.command import follower
from support.fake_engine import FAKE_SERVER, GREY, MAGENTA, ColourEngine
from support.live import fields, follow, picture
from support.page import Viewer, flying, name_of, request, wait_until
from support.seen import job, target

from server.flight.session import Session
from server.settings import TrackerConfig
from server.sight.geometry import Camera
from server.sight.people import Box, Target
from server.sight.perception import Job, Seen, Spent
from server.watch.recording import recorder, scribe
from server.watch.recording.items import Arrived
from server.watch.recording.recorder import Recorder
from server.watch.recording.snapshot import thaw
from server.wire.messages import BadFrameError, parse_sensor_frame
from tools.simulator.server_process import ServerProcess, running_server
from tools.simulator.wire import QuadSimClient

TRACKER = TrackerConfig(confirm_hits=2, confirm_window=3)
SCHEMAS = {
    "/events": "followme.Event",
    "/camera": "foxglove.CompressedImage",
    "/camera/calibration": "foxglove.CameraCalibration",
    "/mask": "foxglove.CompressedImage",
    "/tf": "foxglove.FrameTransforms",
    "/target": "foxglove.SceneUpdate",
    "/state": "followme.State",
    "/commands": "followme.Command",
    "/log": "foxglove.Log",
}


def recordings(folder: Path, count: int = 1) -> list[Path]:
    """The files in a folder once so many hold something, the oldest first."""

    def begun() -> list[Path]:
        return sorted(path for path in folder.glob("*.mcap") if path.stat().st_size)

    return wait_until(lambda: len(files := begun()) >= count and files, f"{count} files")


def read(path: Path, topic: str = "/events") -> list[dict]:
    """The messages of a JSON topic, in the file's order."""
    with path.open("rb") as file:
        messages = make_reader(file).iter_messages(topics=[topic], log_time_order=False)
        return [json.loads(message.data, parse_constant=pytest.fail) for _, _, message in messages]


def kinds(path: Path) -> Counter:
    return Counter(event["kind"] for event in read(path))


def target_of(described: dict) -> Target:
    """A target as it was described."""
    values = {key: value for key, value in described.items() if key != "is_convincing"}
    return Target(**{**values, "box_px": Box(*described["box_px"])})


def answers(events: list[dict], session: Session | None = None) -> tuple[list, list]:
    """What a session answers to the recorded inputs, with the targets as recorded; and what it answered then."""
    start, *inputs = events
    assert start["kind"] == "start"
    if session is None:
        snapshot = start["snapshot"]
        session = thaw(snapshot) if snapshot else Session("", TrackerConfig(**start["tracker"]), start["watchdog_s"])
    frames, given, recorded = {}, [], []
    for event in inputs:
        kind, now_s, arrival_s = event["kind"], event.get("now_s"), event.get("arrival_s")
        if kind == "frame":
            frames[arrival_s] = json.loads(event["argument"])
            if event["is_superseding"] is not None:
                session.on_received(arrival_s, event["is_superseding"])
            continue
        if kind == "end":
            continue
        if kind == "seen":
            seen = [target_of(each) for each in event["targets"]]
            got = session.on_seen(Job("", parse_sensor_frame(frames[arrival_s]), arrival_s), seen, now_s)
        elif kind in ("hold", "release"):
            got = getattr(session, kind)()
        elif kind == "bad":
            got = session.on_bad_frame(arrival_s, now_s)
        else:
            got = {"failed": session.on_failure, "tick": session.on_tick, "shutdown": session.on_shutdown}[kind](now_s)
        given.append([kind, session.tracker.state.value, *map(list, got)])
        recorded.append([kind, event["state"], *event["commands"]])
    return given, recorded


def command(server: ServerProcess, path: str, **wish) -> int:
    body = json.dumps({"simulator": name_of(server), **wish})
    return request(server, "POST", path, body, Content_Type="application/json")[0]


def recording_of(server: ServerProcess) -> dict | None:
    """What the page is told of the only simulator's recording."""
    with contextlib.closing(Viewer(server)) as viewer:
        return viewer.next()["simulators"][0]["recording"]


def changed_server(folder: Path, change: str) -> Path:
    """A script that is the server, after some Python."""
    script = folder / "changed_server.py"
    script.write_text(
        "import os, runpy, sys\n"
        f"sys.path.insert(0, {str(FAKE_SERVER.parent)!r})\n"
        "from server.watch.recording import scribe\n"
        f"{change}\n"
        f"runpy.run_path({str(FAKE_SERVER)!r}, run_name='__main__')\n"
    )
    return script


def test_a_session_is_recorded_from_its_first_frame_to_its_end_with_all_that_replay_needs(tmp_path: Path):
    with running_server("unused", "--record", str(tmp_path / "new" / "folder"), script=FAKE_SERVER) as server:
        with QuadSimClient(port=server.port) as client:
            follow(client)
            client.send_frame(fields(pose="1,2"))
            client.send_frame(fields(rgb_image="none"))
            assert server.wait_for_log("rgb_image: expected")
            client.send_frame(fields(picture(MAGENTA, MAGENTA)))
            assert server.wait_for_log("perception failed")
            follow(client)
            assert command(server, "/hold", is_held=True) == 204
            client.send_frame(fields())
            time.sleep(0.2)
            assert command(server, "/hold", is_held=False) == 204
            follow(client)
            time.sleep(1.4)  # the watchdog
        assert server.wait_for_log("recorded")
    (path,) = recordings(tmp_path / "new" / "folder")
    events = read(path)
    start = events[0]
    assert start["format"] == 1
    assert start["camera"] == {"image_px": 256, "vertical_fov_deg": 60.0, "far_m": 100.0, "width_px": None}
    assert (start["min_blob_px"], start["watchdog_s"], start["engine"]) == (8, 1.0, "colours")
    assert start["snapshot"] is None
    assert abs(start["started_s"] - time.time()) < 60
    assert events[-1] == {"kind": "end", "reason": "the simulator disconnected"}
    assert {"frame", "seen", "bad", "failed", "tick", "hold", "release"} < set(kinds(path))
    given, recorded = answers(events)
    assert given == recorded
    assert sum(len(answer) - 2 for answer in recorded) == len(read(path, "/commands")) > 6

    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
        count = Counter(channel.topic for _, channel, _ in make_reader(file).iter_messages())
    schemas = {channel.topic: summary.schemas[channel.schema_id].name for channel in summary.channels.values()}
    assert schemas == SCHEMAS
    seen = kinds(path)["seen"]
    assert {count[topic] for topic in ("/camera", "/camera/calibration", "/mask", "/tf")} == {seen}
    assert count["/log"] == 2
    assert count["/state"] == count["/target"] == seen + 3


def test_the_end_of_the_server_is_recorded_and_told_as_the_end(tmp_path: Path):
    with running_server("unused", "--record", str(tmp_path), script=FAKE_SERVER) as server, flying(server):
        recordings(tmp_path)
        assert server.stop() == 0
    (path,) = recordings(tmp_path)
    *_, shutdown, end = read(path)
    assert shutdown["kind"] == "shutdown"
    assert end == {"kind": "end", "reason": "the server was shut down"}


def test_a_killed_servers_recording_opens_and_lacks_no_more_than_the_last_second(tmp_path: Path):
    with (
        contextlib.suppress(Exception),
        running_server("unused", "--record", str(tmp_path), script=FAKE_SERVER) as server,
        flying(server) as flight,
    ):
        flight.client.wait_for("object_detected", timeout_s=20)
        time.sleep(2.5)
        server.process.kill()
        killed_s = time.monotonic()
        server.process.wait()
    (path,) = recordings(tmp_path)
    events = read(path)
    assert events[0]["kind"] == "start"
    last_s = max(event["arrival_s"] for event in events if event["kind"] == "seen")
    assert killed_s - 1.0 < last_s < killed_s
    given, recorded = answers(events)
    assert given == recorded


def test_a_recording_that_is_begun_in_the_middle_goes_on_from_there_and_a_second_one_is_a_second_file(tmp_path: Path):
    with (
        running_server("unused", "--record", str(tmp_path), script=FAKE_SERVER) as server,
        flying(server) as flight,
    ):
        flight.client.wait_for("object_detected", timeout_s=20)
        for number in range(2, 5):
            recordings(tmp_path, number - 1)
            assert command(server, "/record", is_recorded=False) == 204
            wait_until(lambda: not recording_of(server)["is_on"])
            flight.colour = GREY if number == 3 else flight.colour
            time.sleep(0.5)
            assert command(server, "/record", is_recorded=True) == 204
            recordings(tmp_path, number)
            time.sleep(0.7)
        assert recording_of(server)["is_on"]
    first, *later = recordings(tmp_path, 4)
    assert read(first)[-1] == {"kind": "end", "reason": "stopped by hand"}
    for path in later:
        events = read(path)
        assert events[0]["snapshot"] is not None
        given, recorded = answers(events)
        assert given == recorded
        assert len(recorded) >= 4
    followed = answers(read(later[0]))[1]
    assert {"object_detected"} == {commands[0][0] for _, _, *commands in followed}, "no confirming anew"


def test_without_record_nothing_is_recorded_until_it_is_asked_for(tmp_path: Path):
    elsewhere = changed_server(tmp_path, f"os.chdir({str(tmp_path)!r})")
    with running_server("unused", script=elsewhere) as server, flying(server) as flight:
        flight.client.wait_for("object_detected", timeout_s=20)
        assert recording_of(server) is None
        assert not (tmp_path / "recordings").exists()
        assert command(server, "/record", is_recorded=False) == 204
        assert recording_of(server) is None
        assert command(server, "/record", is_recorded=True) == 204
        (path,) = recordings(tmp_path / "recordings")
        about = wait_until(lambda: (about := recording_of(server))["duration_s"] >= 1 and about)
        assert about == {"is_on": True, "file": f"recordings/{path.name}", "trouble": None} | {
            key: about[key] for key in ("mb", "duration_s")
        }
        assert command(server, "/record", is_recorded=True) == 204, "again: it goes on"
        assert len(list(path.parent.iterdir())) == 1


@contextlib.contextmanager
def small_disk(folder: Path):
    """A disk of 150 kB."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NO SMALL DISK: looked for the right to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("trouble", ["a full disk", "a file too large", "a removed folder", "a removed file"])
def test_a_recording_that_cannot_go_on_says_why_and_the_drone_is_led_on(tmp_path: Path, trouble: str):
    folder = tmp_path / "recordings"
    with contextlib.ExitStack() as stack:
        if trouble == "a full disk":
            stack.enter_context(small_disk(folder))
        script = changed_server(tmp_path, "scribe.LEAST_FREE_BYTES = 0")
        server = stack.enter_context(running_server("unused", "--record", str(folder), script=script))
        flight = stack.enter_context(flying(server))
        flight.changes = {"note": np.random.default_rng(0).bytes(10_000).hex()}
        (path,) = recordings(folder)
        wait_until(lambda: recording_of(server)["mb"] > 0, "something written")
        if trouble == "a file too large":
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        elif trouble == "a removed folder":
            shutil.rmtree(folder)
        elif trouble == "a removed file":
            path.unlink()
        expected = {"a full disk": "No space left on device", "a file too large": "File too large"}.get(
            trouble, "it has been removed or moved away"
        )
        line = server.wait_for_log("recording stopped, following goes on", timeout_s=20)
        assert line.endswith(f"{path}: {expected}")
        told = recording_of(server)
        assert (told["is_on"], told["trouble"]) == (False, f"{path}: {expected}")
        stopped_s = time.monotonic()
        assert flight.client.wait_for("object_detected", since_s=stopped_s, timeout_s=5)
        assert server.health()[0] == 200
        time.sleep(1.0)
        assert sum("recording stopped" in line for line in server.log) == 1
        assert "Traceback" not in "".join(server.log)
        if "removed" not in trouble:
            given, recorded = answers(read(path))
            assert given == recorded
            assert len(recorded) >= 3
        if trouble != "a full disk":
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            assert command(server, "/record", is_recorded=True) == 204
            wait_until(lambda: recording_of(server)["mb"] > 0, "a new recording")


def test_clients_that_come_and_go_without_a_frame_that_is_understood_leave_no_files(tmp_path: Path):
    with running_server("unused", "--record", str(tmp_path), script=FAKE_SERVER) as server:
        for _ in range(30):
            with QuadSimClient(port=server.port) as client:
                client.send_frame(fields(rgb_image="none"))
                client.wait_for("object_lost")
        wait_until(lambda: not server.health()[1]["sessions"], "all gone")
        assert list(tmp_path.iterdir()) == []
        with QuadSimClient(port=server.port) as client:
            for _ in range(50):  # nor does one who stays, unless somebody asks for it
                client.send_frame(fields(pose="1,2"))
            wait_until(lambda: server.health()[1]["sessions"][0]["bad"] == 50)
            assert list(tmp_path.iterdir()) == []
            assert command(server, "/record", is_recorded=True) == 204
            (path,) = recordings(tmp_path)
        wait_until(lambda: kinds(path)["end"], "the recording's end")
    assert 0 < kinds(path)["bad"] <= 50
    given, recorded = answers(read(path))
    assert given == recorded


@pytest.mark.parametrize(
    "argument", ["[" * 900 + "]" * 900, '{"pose":NaN}', "1e999", '{"a":"\\ud800"}', '["x",{"y":2}]', "null"]
)
def test_whatever_a_client_sends_is_recorded_as_json(tmp_path: Path, argument: str):
    with running_server("unused", "--record", str(tmp_path), script=FAKE_SERVER) as server:
        with QuadSimClient(port=server.port) as client:
            follow(client)
            logged = len(server.log)
            client.send_raw_text(f'42["sensor_frame",{argument}]')
            assert server.wait_for_log("expected", after=logged)
            follow(client)
        assert server.wait_for_log("recorded")
    (path,) = recordings(tmp_path)
    given, recorded = answers(read(path))
    assert given == recorded
    assert kinds(path)["bad"] == 1


def test_a_folder_that_cannot_be_made_is_told_before_the_server_listens(tmp_path: Path):
    (tmp_path / "file").write_text("")
    run = follower("unused", "--record", str(tmp_path / "file" / "folder"))
    assert run.returncode == 2
    assert run.stderr == f"follower: cannot record into {tmp_path}/file/folder: Not a directory\n"


# The recorder alone.


def new_recorder(folder: Path) -> Recorder:
    return Recorder(folder, ColourEngine(), Camera(), 8, 1.0, TRACKER)


def show(subject: Recorder, session: Session, time_s: float) -> None:
    """A session's frame, from arrival to answer."""
    one = job(time_s)
    session.on_received(time_s, False)
    subject.on_frame(session, time_s, False, {"timestamp": "1.0"})
    targets = [target()]
    seen = Seen(one, targets, Camera(), np.zeros((160, 160, 3), np.float32), Spent(0, 0, 0))
    subject.on_seen(session, seen, time_s + 0.01, session.on_seen(one, targets, time_s + 0.01))
    subject.on_answered(session, time_s, time_s + 0.02, session.situation(time_s + 0.02), one.frame)


def refuse(subject: Recorder, session: Session, time_s: float, argument: object = "rubbish") -> None:
    """A session's frame that can't be parsed, from arrival to answer."""
    subject.on_frame(session, time_s, None, argument)
    what = {"field": "sensor_frame", "expected": "a JSON object", "received": "another thing"}
    subject.note(session, "bad", time_s, session.on_bad_frame(time_s, time_s), arrival_s=time_s, **what)
    subject.on_answered(session, time_s, time_s, session.situation(time_s), None)


def new_session(name: str = "127.0.0.1:1") -> Session:
    return Session(name, TRACKER, 1.0)


def test_no_more_than_so_many_are_recorded_at_once(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_FILES", 2)
    subject = new_recorder(tmp_path)
    subject.start()
    sessions = [new_session(f"[::1]:{number}") for number in range(3)]
    for session in sessions:
        subject.on_connected(session)
        show(subject, session, time.monotonic())
    refused = wait_until(lambda: [s for s in sessions if subject.about(s, 0.0)["trouble"]])
    assert refused == sessions[2:]
    assert subject.about(sessions[2], 0.0)["trouble"] == "2 recordings are going on, which is the most at once"
    subject.on_disconnected(sessions[0])
    subject.begin(sessions[2])
    wait_until(lambda: subject.about(sessions[2], 0.0)["file"])
    subject.stop()
    names = [path.name.split("_", 1)[1] for path in recordings(tmp_path, 3)]
    assert sorted(names) == ["_1_0.mcap", "_1_1.mcap", "_1_2.mcap"]


def test_two_recordings_of_one_second_and_name_are_two_files(tmp_path: Path):
    subject = new_recorder(tmp_path)
    subject.start()
    for _ in range(3):
        session = new_session()
        subject.on_connected(session)
        show(subject, session, time.monotonic())
        subject.on_disconnected(session)
    subject.stop()
    for path in recordings(tmp_path, 3):
        assert kinds(path) == {"start": 1, "frame": 1, "seen": 1, "end": 1}


def test_a_disk_too_slow_to_keep_up_ends_the_recording_rather_than_the_memory(tmp_path: Path, caplog):
    subject = new_recorder(tmp_path)  # its thread does not run: as one who waits for the disk
    session = new_session()
    subject.on_connected(session)
    for number in itertools.count():
        show(subject, session, float(number))
        if subject.about(session, 0.0)["trouble"]:
            break
    assert number == pytest.approx(100e6 / (160 * 160 * 3 * 4), rel=0.02)
    trouble = "100 MB wait to be written: the disk is too slow, or the simulator too fast"
    assert subject.about(session, 0.0)["trouble"] == trouble
    recording = subject._sessions[session].recording
    show(subject, session, number + 1.0)
    assert not recording.waiting, "what waited has been freed"
    assert caplog.text.count("recording stopped") == 1
    another = new_session()
    subject.on_connected(another)
    show(subject, another, 0.0)
    assert subject.about(another, 0.0)["is_on"], "one who sends too much stops nobody else's"


def test_frames_in_perception_when_a_recording_begins_are_in_it(tmp_path: Path):
    subject = new_recorder(tmp_path)
    subject._is_always = False  # but into this folder
    subject.start()
    session = new_session()
    subject.on_connected(session)
    show(subject, session, 1.0)
    # 2.0 is in work, 2.2 waited and has been replaced by 2.4.
    for time_s, is_superseding in ((2.0, False), (2.2, False), (2.4, True)):
        session.on_received(time_s, is_superseding)
        subject.on_frame(session, time_s, is_superseding, {"timestamp": str(time_s)})
    subject.begin(session)
    subject.note(session, "failed", 2.5, session.on_failure(2.5), arrival_s=2.0)
    subject.stop()
    (path,) = recordings(tmp_path)
    frames = [event for event in read(path) if event["kind"] == "frame"]
    assert [(frame["arrival_s"], frame["is_superseding"]) for frame in frames] == [(2.0, None), (2.4, None)]
    assert [json.loads(frame["argument"])["timestamp"] for frame in frames] == ["2.0", "2.4"]


def test_a_frame_in_perception_is_known_there_whatever_is_answered_before_it(tmp_path: Path):
    subject = new_recorder(tmp_path)
    subject._is_always = False
    subject.start()
    session = new_session()
    subject.on_connected(session)
    for time_s in (1.0, 1.1, 1.2):  # delivered and not yet taken in, in work, waiting
        session.on_received(time_s, False)
        subject.on_frame(session, time_s, False, {"timestamp": str(time_s)})
    refuse(subject, session, 1.3)  # answered at once
    subject.begin(session)
    for time_s in (1.0, 1.1, 1.2):
        subject.note(session, "failed", 1.5, session.on_failure(1.5), arrival_s=time_s)
        subject.on_answered(session, time_s, 1.5, session.situation(1.5), None)
    assert not subject._sessions[session].in_perception
    subject.stop()
    (path,) = recordings(tmp_path)
    assert [event["arrival_s"] for event in read(path) if event["kind"] == "frame"] == [1.0, 1.1, 1.2]


def test_superseded_frames_do_not_pile_up(tmp_path: Path):
    subject = new_recorder(tmp_path)
    session = new_session()
    subject.on_connected(session)
    for number in range(1000):
        subject.on_frame(session, float(number), number > 1, {"timestamp": "1.0"})
    assert list(subject._sessions[session].in_perception) == [0.0, 999.0]


def test_clients_that_send_rubbish_only_take_no_place_from_a_simulator_nor_memory(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_FILES", 1)
    subject = new_recorder(tmp_path)
    subject.start()
    rubbish = [new_session(f"rubbish:{number}") for number in range(5)]
    for session in rubbish:
        subject.on_connected(session)
        for number in range(200):
            refuse(subject, session, float(number))
        assert len(subject._sessions[session].kept) <= recorder.MOST_KEPT + 1
        assert subject.about(session, 0.0)["is_on"]
    simulator = new_session()
    subject.on_connected(simulator)
    show(subject, simulator, 1.0)
    wait_until(lambda: subject.about(simulator, 0.0)["file"])
    for session in rubbish:
        subject.on_disconnected(session)
    subject.stop()
    (path,) = recordings(tmp_path)
    assert kinds(path) == {"start": 1, "frame": 1, "seen": 1, "end": 1}


@pytest.mark.parametrize(("most", "most_bytes"), [(58, 50_000_000), (59, 50_000_000), (60, 50_000_000), (60, 100_000)])
def test_a_session_that_begins_with_much_rubbish_is_recorded_from_some_of_it_on_and_replays(
    tmp_path: Path, monkeypatch, most: int, most_bytes: int
):
    monkeypatch.setattr(recorder, "MOST_KEPT", most)
    monkeypatch.setattr(recorder, "MOST_KEPT_BYTES", most_bytes)
    subject = new_recorder(tmp_path)
    subject.start()
    session = new_session()
    subject.on_connected(session)
    session.on_received(0.5, False)
    subject.on_frame(session, 0.5, False, {"timestamp": "0.5"})  # in perception all the time
    for number in range(110):
        refuse(subject, session, 1.0 + number / 1000, "x" * 10_000)
    subject.note(session, "failed", 1.2, session.on_failure(1.2), arrival_s=0.5)
    subject.on_answered(session, 0.5, 1.2, session.situation(1.2), None)
    for time_s in (1.4, 1.6, 1.8):
        show(subject, session, time_s)
    subject.stop()
    (path,) = recordings(tmp_path)
    events = read(path)
    assert events[0]["snapshot"] is not None
    arrivals = {event["arrival_s"] for event in events if event["kind"] == "frame"}
    assert {0.5, 1.4, 1.6, 1.8} <= arrivals
    assert {event["arrival_s"] for event in events if event["kind"] in ("seen", "bad", "failed")} == arrivals
    given, recorded = answers_without_frames(events)
    assert given == recorded
    assert recorded[-1][2][0] == "object_detected"


def test_a_recording_for_which_there_was_no_place_begins_once_there_is_one(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_FILES", 1)
    subject = new_recorder(tmp_path)
    subject.start()
    first, second = new_session("a:1"), new_session("b:2")
    for session in (first, second):
        subject.on_connected(session)
        show(subject, session, 1.0)
    wait_until(lambda: subject.about(second, 0.0)["trouble"])
    show(subject, second, 1.2)
    assert not subject.about(second, 0.0)["is_on"]
    subject.on_disconnected(first)
    wait_until(lambda: subject._scribe.has_room)
    refuse(subject, second, 1.3)
    assert not subject.about(second, 0.0)["is_on"], "not for rubbish"
    show(subject, second, 1.4)
    assert subject.about(second, 0.0)["is_on"]
    show(subject, second, 1.6)
    subject.stop()
    path = recordings(tmp_path, 2)[1]
    given, recorded = answers_without_frames(read(path))
    assert given == recorded
    assert len(recorded) == 1


def test_a_recording_stopped_by_hand_before_a_frame_was_understood_leaves_nothing(tmp_path: Path):
    subject = new_recorder(tmp_path)
    subject.start()
    session = new_session()
    subject.on_connected(session)
    refuse(subject, session, 1.0)
    subject.end(session, "stopped by hand")
    show(subject, session, 1.2)
    subject.stop()
    assert list(tmp_path.iterdir()) == []
    assert not subject._sessions[session].kept


@pytest.mark.parametrize(
    "argument", ["x" * 900_000, {"pose": "1,2", "more": ["x" * 1000] * 900}, [10**4000, "x" * 9000]]
)
def test_of_a_frame_that_cannot_be_parsed_only_the_beginning_is_recorded(tmp_path: Path, argument: object):
    subject = new_recorder(tmp_path)
    subject.start()
    session = new_session()
    subject.on_connected(session)
    subject.begin(session)
    refuse(subject, session, 1.0, argument)
    refuse(subject, session, 1.1, {"pose": "1,2"})
    subject.stop()
    (path,) = recordings(tmp_path)
    long, short = (json.loads(event["argument"]) for event in read(path) if event["kind"] == "frame")
    assert json.dumps(argument).startswith(long)
    assert len(long) == 2000
    with pytest.raises(BadFrameError):
        parse_sensor_frame(long)
    assert short == {"pose": "1,2"}
    assert path.stat().st_size < 20_000


def test_a_recording_ends_before_the_disk_is_full(tmp_path: Path, monkeypatch):
    free_bytes = 600_000_000
    monkeypatch.setattr(scribe.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free_bytes))
    monkeypatch.setattr(scribe, "FLUSH_S", 0.0)
    subject = new_recorder(tmp_path)
    subject.start()
    session = new_session()
    subject.on_connected(session)
    show(subject, session, 1.0)
    wait_until(lambda: subject.about(session, 0.0)["mb"] or subject.about(session, 0.0)["file"])
    wait_until(lambda: kinds(recordings(tmp_path)[0])["seen"])
    free_bytes = 499_000_000
    show(subject, session, 1.2)
    trouble = f"less than 500 MB are free on the disk of {tmp_path}"
    assert wait_until(lambda: subject.about(session, 0.0)["trouble"]) == trouble
    subject.begin(session)
    assert wait_until(lambda: subject.about(session, 0.0)["trouble"]) == trouble
    subject.stop()
    (path,) = recordings(tmp_path)
    assert kinds(path)["seen"] >= 1


def test_a_recording_that_grows_too_fast_ends_and_one_that_bursts_does_not(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_BYTES_PER_S", 20_000)  # over 5 s: a surplus of 100 kB
    monkeypatch.setattr(scribe, "FLUSH_S", 0.0)
    subject = new_recorder(tmp_path)
    subject.start()
    session = new_session()
    subject.on_connected(session)
    show(subject, session, 1.0)
    noise = np.random.default_rng(0)

    def send(count: int) -> None:
        for _ in range(count):
            subject.on_frame(session, 2.0, False, {"note": noise.bytes(5000).hex()})
        subject._scribe.wake()

    send(5)  # some 25 kB
    time.sleep(0.3)
    assert subject.about(session, 0.0)["is_on"]
    send(50)
    (path,) = recordings(tmp_path)
    trouble = wait_until(lambda: subject.about(session, 0.0)["trouble"])
    assert trouble == f"{path} grows by more than 0.02 MB a second"
    subject.stop()
    assert 100_000 < path.stat().st_size < 200_000


@pytest.mark.parametrize(
    ("argument", "least", "most"),
    [
        ({"x": 1}, 50, 1000),
        ({"rgb_image": "x" * 50_000, "extra": {"a": [1.0, None, True]}}, 50_000, 52_000),
        ({"extra": [[]] * 300_000}, 20e6, 50e6),
        ({"extra": [[[[]] * 100] * 100] * 100}, 20e6, 50e6),
    ],
)
def test_an_arguments_size_in_memory_is_measured(argument: object, least: float, most: float):
    assert least <= Arrived(1.0, False, argument).size <= most


def test_where_all_together_are_too_many_the_one_that_waits_most_ends(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_WAITING_IN_ALL_BYTES", 3_000_000)
    subject = new_recorder(tmp_path)  # its thread does not run
    much, little = new_session("much:1"), new_session("little:2")
    for session in (much, little):
        subject.on_connected(session)
    for number in range(8):  # 0.31 MB each
        show(subject, much, float(number))
    show(subject, little, 1.0)
    show(subject, little, 2.0)
    assert subject.about(much, 0.0)["trouble"] == (
        "3 MB of all recordings wait to be written, 2 MB of this one: the disk is too slow, or the simulators too many"
    )
    assert subject.about(little, 0.0)["is_on"]
    for number in range(3, 8):
        show(subject, little, float(number))
    assert subject.about(little, 0.0)["is_on"], "what has failed waits no more"


@pytest.mark.parametrize("ends", ["in order", "failing", "kept back"])
def test_nothing_of_a_recording_that_is_over_stays_in_memory(tmp_path: Path, monkeypatch, ends: str):
    if ends == "failing":
        monkeypatch.setattr(scribe, "MOST_FILES", 0)
    subject = new_recorder(tmp_path)
    subject.start()
    session = new_session()
    subject.on_connected(session)
    if ends == "kept back":
        refuse(subject, session, 1.0)
    else:
        show(subject, session, 1.0)
    known = weakref.ref(subject._sessions[session].recording)
    subject.on_disconnected(session)

    def is_gone() -> bool:
        gc.collect()
        return known() is None

    wait_until(is_gone)
    subject.stop()


def test_a_tick_is_recorded_only_when_it_changes_something(tmp_path: Path):
    subject = new_recorder(tmp_path)
    subject.start()
    session = new_session()
    subject.on_connected(session)
    for number in range(4):
        show(subject, session, number * 0.2)
    for now_s in (0.7, 1.0, 1.7, 1.8):  # the last fresh frame came at 0.6 s
        subject.note(session, "tick", now_s, session.on_tick(now_s))
    subject.stop()
    (path,) = recordings(tmp_path)
    assert [event["now_s"] for event in read(path) if event["kind"] == "tick"] == [1.7]
    given, recorded = answers_without_frames(read(path))
    assert given == recorded


def answers_without_frames(events: list[dict]) -> tuple[list, list]:
    """`answers`, for frames that are no whole ones."""
    for event in events:
        if event["kind"] == "frame":
            frame = fields(timestamp_s=1e9 + event["arrival_s"])
            event["argument"] = json.dumps(frame)
    return answers(events)

"""Recordings of a real server, killed and robbed of its disk; and the recorder alone for what a server rarely meets."""

import contextlib
import itertools
import json
import resource
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from colour_server import GREY, MAGENTA, ColourEngine
from mcap.reader import make_reader
from test_dashboard import Viewer, flying, name_of, request, wait_until
from test_follower import follower
from test_live_server import COLOUR_SERVER, fields, follow, picture
from test_session import job, target

from server.geometry import Camera
from server.messages import parse_sensor_frame
from server.perception import Job, Seen, Spent
from server.recording import scribe
from server.recording.recorder import Recorder
from server.recording.snapshot import thaw
from server.session import Session
from server.target import Box, Target
from server.tracker import TrackerConfig
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
    """The files in a folder once there are so many, the oldest first."""
    return wait_until(lambda: len(files := sorted(folder.glob("*.mcap"))) >= count and files, f"{count} files")


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


def test_a_session_is_recorded_from_its_first_frame_to_its_end_with_all_that_replay_needs(tmp_path: Path):
    with running_server("unused", "--record", str(tmp_path / "new" / "folder"), script=COLOUR_SERVER) as server:
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
    with running_server("unused", "--record", str(tmp_path), script=COLOUR_SERVER) as server, flying(server):
        recordings(tmp_path)
        assert server.stop() == 0
    (path,) = recordings(tmp_path)
    *_, shutdown, end = read(path)
    assert shutdown["kind"] == "shutdown"
    assert end == {"kind": "end", "reason": "the server was shut down"}


def test_a_killed_servers_recording_opens_and_lacks_no_more_than_the_last_second(tmp_path: Path):
    with (
        contextlib.suppress(Exception),
        running_server("unused", "--record", str(tmp_path), script=COLOUR_SERVER) as server,
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
        running_server("unused", "--record", str(tmp_path), script=COLOUR_SERVER) as server,
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
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text(
        "import os, runpy, sys\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"sys.path.insert(0, {str(COLOUR_SERVER.parent)!r})\n"
        f"runpy.run_path({str(COLOUR_SERVER)!r}, run_name='__main__')\n"
    )
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
        server = stack.enter_context(running_server("unused", "--record", str(folder), script=COLOUR_SERVER))
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
    with running_server("unused", "--record", str(tmp_path), script=COLOUR_SERVER) as server:
        for _ in range(30):
            with QuadSimClient(port=server.port) as client:
                client.send_frame(fields(rgb_image="none"))
                client.wait_for("object_lost")
        wait_until(lambda: not server.health()[1]["sessions"], "all gone")
        assert list(tmp_path.iterdir()) == []
        with QuadSimClient(port=server.port) as client:
            for _ in range(25):  # one who stays is worth a file, if only to see what is wrong
                client.send_frame(fields(pose="1,2"))
            (path,) = recordings(tmp_path)
        wait_until(lambda: kinds(path)["end"], "the recording's end")
    assert kinds(path)["bad"] == 25


@pytest.mark.parametrize(
    "argument", ["[" * 900 + "]" * 900, '{"pose":NaN}', "1e999", '{"a":"\\ud800"}', '["x",{"y":2}]', "null"]
)
def test_whatever_a_client_sends_is_recorded_as_json(tmp_path: Path, argument: str):
    with running_server("unused", "--record", str(tmp_path), script=COLOUR_SERVER) as server:
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
    waiting = len(subject._scribe._queue)
    show(subject, session, number + 1.0)
    assert len(subject._scribe._queue) == waiting
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

"""Recordings of a real server: the recorder is wired in, and recordings survive the faults of servers."""

import contextlib
import json
from collections import Counter
from pathlib import Path

from mcap.reader import make_reader
from support.command import follower
from support.fake_engine import FAKE_SERVER, GREY, MAGENTA, ColourEngine
from support.live import WATCHDOG, fields, picture
from support.page import Viewer
from support.recorded_session import PATIENCE_S, SCHEMAS, Sender, happened, order
from support.waiting import wait_until

from server.watch.recording.reader import Recording
from server.watch.recording.records import UnreadableRecordingError
from tools.replay import replay
from tools.simulator.server_process import ServerProcess, running_server
from tools.simulator.wire import QuadSimClient


def told_of(server: ServerProcess) -> dict | None:
    """The page's information about the only simulator's recording."""
    with contextlib.closing(Viewer(server)) as viewer:
        return viewer.next()["simulators"][0]["recording"]


def kinds(path: Path) -> Counter:
    return Counter(type(each.event).__name__ for each in happened(path))


def server_after(folder: Path, change: str) -> Path:
    """A script that runs some Python, and then the server."""
    script = folder / "changed_server.py"
    script.write_text(
        f"import os, runpy, sys\nsys.path.insert(0, {str(FAKE_SERVER.parent)!r})\n{change}\n"
        f"runpy.run_path({str(FAKE_SERVER)!r}, run_name='__main__')\n"
    )
    return script


def assert_identical(path: Path) -> None:
    """Check that a replay from the recorded frames gives the recorded commands."""
    with Recording(path) as recording:
        comparison = replay(recording, ColourEngine(), is_same_network=True)
    assert comparison.is_identical, comparison.summary()
    assert comparison.events


def test_a_session_is_recorded_on_all_topics_and_replays_from_its_frames(tmp_path: Path):
    folder, settings = tmp_path / "new" / "folder", tmp_path / "tracker.toml"
    settings.write_text("max_speed_mps = 6")
    options = (*WATCHDOG, "--record", str(folder), "--tracker", str(settings))
    with running_server("unused", *options, script=FAKE_SERVER) as server:
        with QuadSimClient(port=server.port) as client:
            sender = Sender(client)
            for _ in range(4):
                sender.send(fields())
            sender.send(fields(pose="1,2"))
            sender.send(fields(rgb_image="none"))
            sender.send(fields())
            sender.send(fields(picture(MAGENTA, MAGENTA)))
            sender.send(fields())
            order(server, "/hold", is_held=True)
            sender.send(fields())
            order(server, "/hold", is_held=False)
            sender.send(fields(picture(GREY)))
            told = [event.name for event in client.events]
        server.wait_for_log(" MB into ", PATIENCE_S)  # "recorded" is in the name of this test's folder, too
    (path,) = folder.glob("*.mcap")
    with Recording(path) as recording:
        start = recording.start
        list(recording.entries("reading"))
    assert (start.min_blob_px, start.watchdog_s, start.engine, start.state) == (8, 3.0, "colours", None)
    assert start.chosen == {"max_speed_mps": 6.0}
    assert recording.end_reason == "the simulator disconnected"
    counts = kinds(path)
    counts.pop("Tick", None)
    assert counts == {"Received": 11, "Seen": 8, "NotUnderstood": 2, "Failed": 1, "Hold": 1, "Release": 1}
    assert_identical(path)
    with path.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        count = Counter(channel.topic for _, channel, _ in reader.iter_messages())
        commands = [json.loads(message.data) for _, _, message in reader.iter_messages(["/commands"])]
    schemas = {channel.topic: summary.schemas[channel.schema_id].name for channel in summary.channels.values()}
    assert schemas == SCHEMAS
    assert [command["event"] for command in commands] == told
    assert {count[topic] for topic in ("/camera", "/camera/calibration", "/mask", "/tf")} == {8}
    assert count["/log"] == 2
    assert count["/state"] == count["/target"] == 11


def test_a_recording_asked_for_on_the_page_goes_on_from_there_and_outlives_a_kill(tmp_path: Path):
    script = server_after(tmp_path, f"os.chdir({str(tmp_path)!r})")
    with (
        running_server("unused", *WATCHDOG, script=script) as server,
        QuadSimClient(port=server.port) as client,
    ):
        sender = Sender(client)
        for _ in range(4):
            sender.send(fields())
        assert told_of(server) is None
        assert not (tmp_path / "recordings").exists()
        order(server, "/record", is_recorded=True)
        for _ in range(4):
            sender.send(fields())

        def on_disk() -> Path | None:
            """The file, once it holds those frames: it can be read at any moment while it grows."""
            for file in (tmp_path / "recordings").glob("*.mcap"):
                with contextlib.suppress(UnreadableRecordingError):
                    return file if kinds(file)["Seen"] == 4 else None
            return None

        path = wait_until(on_disk, "four frames on the disk")
        about = told_of(server)
        assert (about["is_on"], about["file"], about["trouble"]) == (True, f"recordings/{path.name}", None)
        server.process.kill()
        server.process.wait()
    with Recording(path) as recording:
        assert recording.start.state is not None
        list(recording.entries("reading"))
    assert recording.end_reason is None
    assert [each.state.is_following for each in happened(path)] == [True] * 8, "no confirming anew"
    assert_identical(path)


def test_a_drone_is_led_on_when_its_recording_cannot_go_on(tmp_path: Path):
    with (
        running_server("unused", *WATCHDOG, "--record", str(tmp_path), script=FAKE_SERVER) as server,
        QuadSimClient(port=server.port) as client,
    ):
        sender = Sender(client)
        sender.send(fields())
        path = wait_until(lambda: next(iter(tmp_path.glob("*.mcap")), None), "a file")
        path.unlink()
        wait_until(lambda: sender.send(fields()) or told_of(server)["trouble"], "trouble")
        trouble = f"{path}: it has been removed or moved away"
        assert (told_of(server)["is_on"], told_of(server)["trouble"]) == (False, trouble)
        told = len(client.events)
        sender.send(fields())
        assert [event.name for event in client.events[told:]] == ["object_detected", "create_box_marker"]
        assert server.health()[0] == 200
        server.wait_for_log("recording stopped, following goes on", PATIENCE_S)
        assert sum("recording stopped, following goes on" in line for line in server.log) == 1
        assert "Traceback" not in "".join(server.log)


def test_a_folder_that_cannot_be_made_is_told_before_the_server_listens(tmp_path: Path):
    (tmp_path / "file").write_text("")
    run = follower("unused", "--record", str(tmp_path / "file" / "folder"))
    assert run.returncode == 2
    assert run.stderr == f"follower: cannot record into {tmp_path}/file/folder: Not a directory\n"

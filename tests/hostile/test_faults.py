"""Faults of machines: the server is killed or stopped, disks fill up, folders vanish, clocks jump.

The drone is told to patrol within the watchdog's time, nothing stale leads it, and it follows again afterwards.
"""

import math
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from support.fake_engine import FAKE_SERVER
from support.live import answers, fields, follow
from support.recorded_session import read
from support.waiting import wait_until

from hostile.crowd import PATIENCE_S
from hostile.inspection import assert_no_errors
from tools.simulator.server_process import ServerProcess, free_port, running_server
from tools.simulator.wire import QuadSimClient

WATCHDOG_S = 3.0  # a busy machine may take seconds for a frame
WATCHDOG = ("--watchdog-s", f"{WATCHDOG_S:g}")


def fly_until_logged(server: ServerProcess, client: QuadSimClient, text: str) -> None:
    """Send frames until the server has logged a text."""

    def is_logged() -> bool:
        answers(client, fields())
        return any(text in line for line in server.log)

    wait_until(is_logged, f"{text!r} in the log")


def limited_server(folder: Path, most_bytes: int) -> Path:
    """A script that runs the server on a disk which takes at most `most_bytes` of a file."""
    script = folder / "limited_server.py"
    script.write_text(
        "import resource, runpy\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, {most_bytes}))\n"
        f"runpy.run_path({str(FAKE_SERVER)!r}, run_name='__main__')\n"
    )
    return script


def test_after_a_kill_the_next_server_leads_the_drone_anew_and_both_recordings_can_be_read(tmp_path):
    port, recordings = free_port(), ("--record", str(tmp_path))
    with running_server("unused", *WATCHDOG, *recordings, script=FAKE_SERVER, port=port) as server:
        client = QuadSimClient(port=port)
        client.connect()
        follow(client)
        wait_until(lambda: [file for file in tmp_path.glob("*.mcap") if file.stat().st_size], "a recording on the disk")
        server.process.send_signal(signal.SIGKILL)
        assert client.wait_closed(PATIENCE_S)
        server.process.wait(PATIENCE_S)
    with running_server("unused", *WATCHDOG, *recordings, script=FAKE_SERVER, port=port) as server:
        client.connect()
        begun = len(client.events)
        follow(client)
        assert client.events[begun].name == "object_lost", "the first answer of a server says patrol"
        client.close()
        server.wait_for_log("recorded", PATIENCE_S)
        assert_no_errors(server)
    files = sorted(tmp_path.glob("*.mcap"))
    assert len(files) == 2
    assert [read(file)[0].end_reason for file in files] == [None, "the simulator disconnected"]


def test_on_a_full_disk_the_recording_ends_and_the_drone_is_led_on(tmp_path):
    script = limited_server(tmp_path, 30_000)
    folder = tmp_path / "recordings"
    with (
        running_server("unused", *WATCHDOG, "--record", str(folder), script=script) as server,
        QuadSimClient(port=server.port) as client,
    ):
        follow(client)
        wait_until(
            lambda: (
                answers(client, fields()) and any("recording stopped, following goes on" in line for line in server.log)
            ),
            "the end of the recording",
        )
        assert [event.name for event in answers(client, fields())] == ["object_detected", "create_box_marker"]
        assert sum("recording stopped" in line for line in server.log) == 1
        assert server.health()[0] == 200
        assert_no_errors(server)
    (file,) = folder.glob("*.mcap")
    assert read(file)[1], "what was on the disk can be read"


def test_the_folder_of_recordings_may_vanish(tmp_path):
    folder = tmp_path / "recordings"
    with running_server("unused", *WATCHDOG, "--record", str(folder), script=FAKE_SERVER) as server:
        with QuadSimClient(port=server.port) as client:
            follow(client)
            wait_until(lambda: list(folder.glob("*.mcap")), "a recording")
            shutil.rmtree(folder)
            fly_until_logged(server, client, "removed or moved away")
            follow(client)
        with QuadSimClient(port=server.port) as client:
            follow(client)
        server.wait_for_log("recorded", PATIENCE_S)
        assert_no_errors(server)
    assert len(list(folder.glob("*.mcap"))) == 1, "the next simulator's is in a new folder"


def test_a_server_that_stood_still_tells_its_drones_first_and_then_leads_them_on():
    """For example because a laptop slept, or in a debugger: frames that were sent meanwhile are old."""
    with running_server("unused", *WATCHDOG, script=FAKE_SERVER) as server, QuadSimClient(port=server.port) as client:
        follow(client)
        server.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(server.process.pid).status() == psutil.STATUS_STOPPED, "the stop")
        # Frames from the drone's place at that time; enough to be followed if they were new.
        sent_s = time.monotonic()
        numbers = range(10**6, 10**6 + 20)
        for number in numbers:
            client.send_frame(fields(timestamp_s=1.8e9 + 0.2 * number), number)
        time.sleep(WATCHDOG_S + 1)  # the fault itself
        server.process.send_signal(signal.SIGCONT)
        client.wait_answered(numbers[-1], PATIENCE_S)
        client.wait_for("object_lost", timeout_s=PATIENCE_S, since_s=sent_s)
        since = [event.name for event in client.events if event.arrived_s >= sent_s]
        assert since == ["object_lost"], "old frames lead nobody"
        follow(client)
        assert_no_errors(server)


JUMPS_S = {
    "an hour forward": 3600.0,
    "an hour back": -3600.0,
    "to 1970": -1.7e9,
    "to the far future": 1e12,
    "a little back": -0.5,
}


@pytest.fixture(scope="module")
def server():
    with running_server("unused", *WATCHDOG, script=FAKE_SERVER) as process:
        yield process
        assert_no_errors(process)


@pytest.mark.parametrize("jump", JUMPS_S)
def test_a_simulators_clock_may_jump(server, jump):
    with QuadSimClient(port=server.port) as client:
        hero_m = follow(client, timestamp_s=1.7e9)
        for number in range(10):
            answers(client, fields(timestamp_s=1.7e9 + 0.2 * (number + 1)))
        told = [
            event
            for number in range(20)
            for event in answers(client, fields(timestamp_s=1.7e9 + JUMPS_S[jump] + 0.2 * (number + 11)))
        ]
        led_m = [event.argument["coords"] for event in told if event.name == "object_detected"]
        assert len(led_m) >= 15, "followed again at once"
        assert all(math.dist(point_m, hero_m) < 0.5 for point_m in led_m)
        assert told[-2].name == "object_detected"


def test_a_simulators_clock_may_jump_at_every_frame(server):
    with QuadSimClient(port=server.port) as client:
        hero_m = follow(client)
        jumps_s = (*JUMPS_S.values(), math.nan, math.inf, 0.0)
        told = [
            event
            for number in range(40)
            for event in answers(client, fields(timestamp_s=1.7e9 + jumps_s[number % len(jumps_s)]))
        ]
        led_m = [event.argument["coords"] for event in told if event.name == "object_detected"]
        assert led_m
        assert all(math.dist(point_m, hero_m) < 0.5 for point_m in led_m)
        follow(client)

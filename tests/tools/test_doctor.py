"""The doctor with real clients, each with a fault, and with a real server."""

import http.client
import json
import subprocess
import sys
import threading
import time
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
import pytest
import websocket
from support.fake_engine import FAKE_SERVER
from support.live import DEPTH_M, POSE, answers, fields
from support.waiting import PATIENCE_S, wait_until

from tools import doctor
from tools.simulator.frames import sensor_frame_fields
from tools.simulator.server_process import REPOSITORY, ServerProcess, free_port, running_server
from tools.simulator.wire import QuadSimClient

BEGIN_S = 1504814505.0


def listening(*options: str) -> ServerProcess:
    port = free_port()
    command = [sys.executable, str(REPOSITORY / "tools" / "doctor.py"), "--listen", "--port", str(port), *options]
    process = ServerProcess(command, port)
    process.wait_for_log("listening on", PATIENCE_S)
    return process


@pytest.fixture(scope="module")
def server():
    """A doctor that listens in the server's place."""
    process = listening()
    yield process
    process.stop()


@pytest.fixture
def quadsim(server):
    with QuadSimClient(port=server.port) as client:
        yield client
    assert not client.violations


def told(server: ServerProcess, beginning: str, *details: str) -> None:
    """Wait until a finding is printed, with all these details."""

    def is_told() -> bool:
        lines = server.log
        at = next((at for at, line in enumerate(lines) if line.startswith(beginning)), None)
        return at is not None and all(any(each in line for line in lines[at : at + 4]) for each in details)

    wait_until(is_told, f"{beginning} {details}")


def test_a_good_client_is_understood_and_told_to_patrol(server, quadsim):
    for number in range(3):
        answers(quadsim, fields(timestamp_s=BEGIN_S + number))
    assert [event.name for event in quadsim.events] == ["object_lost"]
    told(server, "ok    handshake", "EIO='4', transport='websocket', User-Agent='websocket-sharp/1.0'")
    quadsim.close()
    told(server, "ok    frames: 3 received, 3 understood")


def test_an_old_client_by_polling_is_told_what_to_use(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request("GET", "/socket.io/?EIO=3&transport=polling")
    assert connection.getresponse().status == 400
    told(
        server, "WRONG protocol: got EIO='3', transport='polling'", "fix:      let the client connect by websocket only"
    )


def test_an_old_client_by_websocket_is_served(server):
    client = websocket.create_connection(
        f"ws://127.0.0.1:{server.port}/socket.io/?EIO=3&transport=websocket", timeout=PATIENCE_S
    )
    client.send(f'42["sensor_frame",{json.dumps(fields())}]')
    while not client.recv().startswith('42["object_lost"'):
        pass
    told(server, "note  handshake: EIO='3', transport='websocket'")
    client.close()


def test_another_simulators_event_is_told(server, quadsim):
    quadsim.send_raw_text('42["telemetry",{"speed":"0"}]')
    told(server, "WRONG event: got 'telemetry'", "expected: one of sensor_frame", "In QuadSim choose Follow Me")


@pytest.mark.parametrize("name", ["gimbal_pose", "rgb_image"])
def test_a_missing_field_is_told_with_a_sample(server, quadsim, name):
    answers(quadsim, fields(**{name: None}))
    told(server, f"WRONG {name}: got no such key among", "received: 'timestamp': '", "expected: ", "fix:      ")


def test_decimal_commas_are_noted(server, quadsim):
    answers(
        quadsim, sensor_frame_fields(np.zeros((256, 256, 3), np.uint8), np.full((256, 256), 9.0), POSE, locale="de")
    )
    told(server, "note  numbers: decimal commas", "received: 10,0000,20,0000,8,0000")


@pytest.mark.parametrize(
    ("size", "finding"),
    [((120, 160), "note  rgb_image: another size"), ((1000, 1000), "WRONG rgb_image: got 1000×1000")],
)
def test_other_sizes_are_told(server, quadsim, size, finding):
    answers(quadsim, sensor_frame_fields(np.zeros((*size, 3), np.uint8), np.full(size, DEPTH_M), POSE))
    told(server, finding)


def test_depth_with_nothing_in_it_and_a_clock_that_is_too_fast_are_told(server, quadsim):
    image, nothing = np.zeros((256, 256, 3), np.uint8), np.full((256, 256), np.inf)
    for number in range(10):  # a slow machine slows the clock down, but not ten times
        answers(quadsim, sensor_frame_fields(image, nothing, POSE, timestamp_s=BEGIN_S + 1000 * number))
    told(server, "WRONG depth_image: no depth: 255 everywhere")
    told(server, "WRONG timestamp: the clock runs at ", "received: 9000.0 s in ")


def test_rare_frames_are_told(server, quadsim):
    begin_s = time.monotonic()
    while not any(line.startswith("WRONG frames: too few") for line in server.log):
        answers(quadsim, fields())
        time.sleep(0.7)  # the slower, the rarer
        assert time.monotonic() - begin_s < PATIENCE_S
    told(server, "WRONG frames: too few: one every ", "expected: 5 a second")


def test_a_client_that_says_nothing_is_told(server, quadsim):
    told(server, "WRONG frames: none within 5 s of the handshake", "choose Follow Me")


@pytest.mark.parametrize(
    ("path", "host", "finding"),
    [
        ("/telemetry", "127.0.0.1", "note  path: '/telemetry'"),
        ("/socket.io/?EIO=4&transport=polling", "follow-me", "WRONG Host header: got 'follow-me'"),
    ],
)
def test_a_wrong_path_and_a_foreign_name_are_told(server, path, host, finding):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request("GET", path, headers={"Host": host})
    connection.getresponse()
    told(server, finding)


def test_it_ends_with_status_0_after_a_good_client():
    process = listening()
    with QuadSimClient(port=process.port) as client:
        answers(client, fields())
    told(process, "ok    frames: 1 received, 1 understood")
    assert process.stop() == 0
    assert process.log[-1] == "1 frames understood, 0 wrong."


def test_it_ends_with_status_1_if_nobody_came():
    process = listening("--seconds", "0.1")
    assert process.process.wait(PATIENCE_S) == 1
    told(process, "WRONG frames: none understood", "docs/connect.md")


def test_a_good_client_is_played_against_a_running_server_and_the_machine_is_checked(own_cache, capsys):
    with running_server("unused", script=FAKE_SERVER) as server:
        assert doctor.main(["--server", server.url]) == 0
        assert doctor.main(["--port", str(server.port)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok    server: ready, colours"
    assert lines[1].startswith("ok    frames: all 10 answered, in ")
    assert lines[2].startswith(("ok    commands: ", "note  commands: "))
    assert lines[3].startswith("ok    pings: answered in ")
    assert any(f"port {server.port}: a follow-me server has it, ready" in line for line in lines)
    assert any(line.startswith("ok    network: ") and "gives its known answer" in line for line in lines)


def test_the_recording_that_the_check_leaves_is_told(tmp_path, capsys):
    with running_server("unused", "--record", str(tmp_path), script=FAKE_SERVER) as server:
        assert doctor.main(["--server", server.url]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("note  recordings: the server records every session")
    assert len(list(tmp_path.glob("*.mcap"))) == 1


def test_no_server_is_told_with_how_to_start_one(capsys):
    assert doctor.main(["--server", f"http://127.0.0.1:{free_port()}"]) == 2
    assert "start it with: .venv/bin/python server/follower.py weights/model_weights" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "phrase"), [(404, "Not Found"), (401, "Unauthorized"), (403, "Forbidden")])
def test_another_program_in_the_servers_place_and_a_server_that_refuses_are_told(status, phrase, capsys):
    class Refuses(SimpleHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"expected a token, got none\n")

    with HTTPServer(("127.0.0.1", 0), Refuses) as other:
        threading.Thread(target=other.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        assert doctor.main(["--server", url]) == 1
    told, fix, _ = capsys.readouterr().out.splitlines()
    received = f"{status} {phrase}: expected a token, got none"
    assert told == f"WRONG server: expected a follow-me server at {url}, got {received}"
    assert fix.endswith("start .venv/bin/python server/follower.py weights/model_weights")


@pytest.mark.parametrize("option", [("--seconds", "5"), ("--host", "0.0.0.0")])
def test_options_to_listen_are_not_ignored_without_listening(option, capsys):
    assert doctor.main([*option]) == 2
    assert capsys.readouterr().err == "doctor: expected --host and --seconds with --listen only\n"


def test_a_taken_port_cannot_be_listened_on(server):
    run = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "doctor.py", "--listen", "--port", str(server.port)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert (
        "Address already in use; end the program that listens there (tools/doctor.py names it), or choose another port"
        in run.stderr
    )
    assert server.process.poll() is None

"""Clients that use up a server's resources, beside a simulator that must still be led."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import websocket
from support.fake_engine import FAKE_SERVER
from support.handshakes import HANDSHAKE, MALFORMED_HANDSHAKES
from support.live import fields, follow

from tools.simulator.packets import sensor_frame_message
from tools.simulator.server_process import REPOSITORY, ServerProcess, running_server
from tools.simulator.websocket import encode_frame, encode_message, handshake_request, new_key
from tools.simulator.wire import QuadSimClient

CRAMPED_SERVER = Path(FAKE_SERVER).with_name("cramped_server.py")
POLLING = "/socket.io/?EIO=4&transport=polling"
BINARY_EVENT = '45999999999-["sensor_frame",{"_placeholder":true,"num":0}]'
MOST_GROWTH_BYTES = 60_000_000


@pytest.fixture(scope="module")
def server():
    with running_server("unused", script=FAKE_SERVER) as process:
        yield process


@contextlib.contextmanager
def neighbour_of(server: ServerProcess) -> Iterator[QuadSimClient]:
    """A simulator that is led before and after, and stays connected meanwhile."""
    with QuadSimClient(port=server.port) as client:
        follow(client)
        yield client
        follow(client)


def resident_bytes(server: ServerProcess) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


def raw_connection(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def open_websocket(server: ServerProcess) -> socket.socket:
    """A client that reads the handshake and nothing more."""
    connection = raw_connection(server)
    connection.sendall(handshake_request("127.0.0.1", server.port, new_key()))
    assert connection.recv(4096).startswith(b"HTTP/1.1 101")
    return connection


def test_connections_that_never_finish_their_headers_leave_room_for_simulators(monkeypatch):
    monkeypatch.setenv("CRAMPED", "descriptors")
    with running_server("unused", script=CRAMPED_SERVER) as server:
        with neighbour_of(server), contextlib.ExitStack() as stack:
            slow = [stack.enter_context(raw_connection(server)) for _ in range(150)]
            for _ in range(18):
                for connection in slow:
                    with contextlib.suppress(OSError):  # it had to make room
                        connection.sendall(b"G")
                follow(stack.enter_context(QuadSimClient(port=server.port)))
        assert server.wait_for_log("the stranger who waited longest was dropped")
        assert not any("Traceback" in line for line in server.log)
        assert server.stop() == 0


def test_a_log_that_nobody_reads_stops_nothing(monkeypatch):
    monkeypatch.setenv("CRAMPED", "stderr")
    with running_server("unused", script=CRAMPED_SERVER) as server, QuadSimClient(port=server.port) as client:
        for _ in range(100):
            with QuadSimClient(port=server.port) as other:
                other.send_raw_text("rubbish")
        follow(client)
        stopped_s = client.send_frame(fields())
        server.process.send_signal(signal.SIGTERM)
        assert client.wait_for("object_lost", since_s=stopped_s)
        assert server.process.wait(timeout=60) == 0


def test_binary_by_polling_is_refused_and_not_kept(server):
    with neighbour_of(server):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

        def ask(method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
            connection.request(method, path, body=body)
            response = connection.getresponse()
            return response.status, response.read()

        sid = json.loads(ask("GET", POLLING)[1][1:])["sid"]
        path = f"{POLLING}&sid={sid}"
        assert ask("POST", path, "40")[0] == 200
        assert ask("POST", path, BINARY_EVENT)[0] == 400
        before_bytes = resident_bytes(server)
        assert {ask("POST", path, "b" + "A" * 999_996)[0] for _ in range(100)} == {400}
        assert resident_bytes(server) - before_bytes < MOST_GROWTH_BYTES
        connection.close()


def test_messages_that_are_never_finished_are_bounded_together(server):
    with neighbour_of(server), contextlib.ExitStack() as stack:
        before_bytes = resident_bytes(server)
        unfinished = encode_message("42" + "x" * 990_000)[:-2000]
        logged = len(server.log)
        for _ in range(120):
            connection = stack.enter_context(open_websocket(server))
            with contextlib.suppress(OSError):
                connection.sendall(unfinished)
        assert server.wait_for_log("bytes of unfinished messages", after=logged, timeout_s=60)
        assert resident_bytes(server) - before_bytes < MOST_GROWTH_BYTES


@pytest.mark.parametrize(
    "flood",
    [
        encode_message(sensor_frame_message(fields())) * 5,
        encode_message('42["sensor_frame",{}]') * 1000,
        encode_message('42["sensor_frame",[' + "[]," * 300_000 + "1]]"),
        encode_frame(9, b"") * 5000,
        encode_message("2") * 5000,
    ],
    ids=["frames", "bad frames", "large JSON", "pings", "QuadSim's pings"],
)
def test_ten_clients_that_send_without_end_leave_the_neighbour_its_turn(server, flood):
    stop = threading.Event()

    def send(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it may be dropped: it does not read
            while not stop.is_set():
                connection.sendall(flood)

    with neighbour_of(server) as neighbour, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(open_websocket(server)) for _ in range(10)]
        senders = [threading.Thread(target=send, args=(connection,)) for connection in connections]
        for sender in senders:
            sender.start()
        try:
            for _ in range(5):
                follow(neighbour)
            assert server.health()[0] == 200
        finally:
            stop.set()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for sender in senders:
                sender.join(timeout=60)


def test_the_end_comes_with_the_drones_told_whatever_clients_do():
    with (
        running_server("unused", script=FAKE_SERVER) as server,
        QuadSimClient(port=server.port) as client,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(20):
            stack.enter_context(raw_connection(server)).sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx")
            stack.enter_context(open_websocket(server)).sendall(encode_message("42" + "x" * 10_000)[:-2000])
            stack.enter_context(open_websocket(server)).sendall(encode_message('420["sensor_frame",{}]') * 100)
        follow(client)
        stopped_s = client.send_frame(fields())
        server.process.send_signal(signal.SIGTERM)
        assert client.wait_for("object_lost", since_s=stopped_s)
        assert server.process.wait(timeout=60) == 0, "the normal end, not the last resort"


def test_a_disk_that_hangs_does_not_keep_the_process_from_ending(monkeypatch, tmp_path):
    monkeypatch.setenv("CRAMPED", "disk")
    with (
        running_server("unused", "--record", str(tmp_path), script=CRAMPED_SERVER) as server,
        QuadSimClient(port=server.port) as client,
    ):
        follow(client)
        stopped_s = client.send_frame(fields())
        server.process.send_signal(signal.SIGTERM)
        assert client.wait_for("object_lost", since_s=stopped_s)
        assert server.process.wait(timeout=60) == 0, "the recording is given up, and the end is a normal one"


def test_a_client_of_engine_io_3_is_served_by_websocket(server):
    url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=3&transport=websocket"
    with contextlib.closing(websocket.create_connection(url, timeout=60)) as client:
        assert client.recv().startswith('0{"sid"')
        assert client.recv().startswith("40"), "Socket.IO 2 waits for it before it sends anything"
        client.send("2")
        assert client.recv() == "3"
        packets: list[str] = []
        for number in range(6):
            client.send(sensor_frame_message(fields(), number))
            while f"43{number}[]" not in packets:
                packets.append(client.recv())
        assert any("object_detected" in packet for packet in packets)


def test_a_client_of_engine_io_3_by_polling_is_told_of(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", POLLING.replace("EIO=4", "EIO=3"))
    assert connection.getresponse().status == 400
    assert server.wait_for_log("protocol: expected EIO=4")


@pytest.mark.parametrize("has_session", [False, True])
def test_malformed_handshakes_are_refused_and_leave_nothing_behind(server, has_session):
    with neighbour_of(server):
        logged, query = len(server.log), "EIO=4&transport=websocket"
        if has_session:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("GET", POLLING)
            query += "&sid=" + json.loads(connection.getresponse().read()[1:])["sid"]
        for changes, status, word in MALFORMED_HANDSHAKES:
            environ = HANDSHAKE | changes
            names = {name: name.removeprefix("HTTP_").replace("_", "-") for name in environ if name.startswith("HTTP_")}
            headers = [f"{names[name]}: {value}\r\n" for name, value in environ.items() if name in names and value]
            request = f"{environ['REQUEST_METHOD']} /socket.io/?{query} {environ['SERVER_PROTOCOL']}\r\n"
            with raw_connection(server) as client:
                client.sendall(f"{request}{''.join(headers)}\r\n".encode("latin-1"))
                answer = client.makefile("rb").read().decode()  # until the server closes the connection
            assert int(answer.split()[1]) == status, answer
            assert word in answer or environ["REQUEST_METHOD"] == "HEAD"
        assert not any(name.startswith("followme_internal_errors_total{") for name in server.metrics())
        told = server.log[logged:]  # other tests' late lines may be among them; repeated warnings are left out
        assert not any("Traceback" in line or " ERROR " in line for line in told), told


# In short steps: a signal that comes just before a sleep begins is handled after it.
SLOW_IMPORT = """
import sys, time
class Slow:
    def find_spec(self, name, *_):
        if name == "model.engines":
            print("busy", flush=True)
            while True:
                time.sleep(0.1)
sys.meta_path.insert(0, Slow())
import server.follower
"""
SLOW_NETWORK = """
import sys, time
from server import follower
def load(*_):
    print("busy", flush=True)
    while True:
        time.sleep(0.1)
follower.load_engine = load
sys.argv[1:] = ["weights"]
follower.run()
"""


@pytest.mark.parametrize("program", [SLOW_IMPORT, SLOW_NETWORK], ids=["libraries load", "network loads"])
def test_ctrl_c_while_the_server_starts_ends_it_without_a_traceback(program):
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "busy\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == ""

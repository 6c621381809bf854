"""Kinds of clients that once blinded every drone, each beside neighbours that must not be affected."""

import base64
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_engine import FAKE_SERVER
from support.live import WATCHDOG, answers, fields
from support.page import request

from hostile.crowd import PATIENCE_S, Neighbours
from hostile.images import expensive_images
from hostile.inspection import Memory, assert_no_errors
from tools.simulator.packets import sensor_frame_message
from tools.simulator.server_process import ServerProcess, running_server
from tools.simulator.websocket import BINARY, encode_frame, encode_message
from tools.simulator.wire import QuadSimClient

CLIENTS = 10
DEEP = "[" * 100_000


# Warnings only: the log takes 50 lines a second, and these tests make more of the others.
OPTIONS = (*WATCHDOG, "--log-level", "warning")


def serving(recordings: Path) -> contextlib.AbstractContextManager[ServerProcess]:
    # As in the other tests, for a busy machine: a longer watchdog.
    return running_server("unused", *OPTIONS, "--record", str(recordings), script=FAKE_SERVER)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("recordings")) as process:
        yield process


@pytest.fixture
def neighbours(server: ServerProcess) -> Iterator[Neighbours]:
    """See `flying_beside`."""
    with flying_beside(server) as flying:
        yield flying


@contextlib.contextmanager
def flying_beside(server: ServerProcess) -> Iterator[Neighbours]:
    """Simulators that fly before, during and after the test; the server must have no errors and bounded memory."""
    flying = Neighbours(server)
    for _ in range(20):
        flying.fly()
    memory = Memory(server)
    yield flying
    flying.close()
    assert_no_errors(server)
    memory.assert_bounded()


@pytest.fixture(scope="module")
def expensive() -> dict[str, str]:
    """Expensive images in base64, by name."""
    return {name: base64.b64encode(file).decode() for name, file in expensive_images().items()}


@pytest.mark.parametrize("field", ["rgb_image", "depth_image"])
def test_each_expensive_image_is_answered_and_so_is_the_next_frame(server, neighbours, expensive, field):
    with QuadSimClient(port=server.port) as client:
        for file in expensive.values():
            answers(client, fields(**{field: file}))
            neighbours.fly()
        answers(client, fields())


@contextlib.contextmanager
def flood(server: ServerProcess, message: bytes) -> Iterator[None]:
    """Ten clients send a message without end, each as fast as the server reads."""
    is_over = threading.Event()

    def send(client: QuadSimClient) -> None:
        with contextlib.suppress(ConnectionError):
            while not is_over.is_set():
                client.send_raw_bytes(message)

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(QuadSimClient(port=server.port)) for _ in range(CLIENTS)]
        senders = [threading.Thread(target=send, args=(client,)) for client in clients]
        for sender in senders:
            sender.start()
        try:
            yield
        finally:
            is_over.set()
            for client in clients:
                client.drop()
            for sender in senders:
                sender.join(PATIENCE_S)


@pytest.mark.parametrize("name", ["62 zTXt before the data", "noise of 640 × 480", "43,000 empty scans"])
def test_clients_that_send_nothing_but_expensive_images_leave_the_others_their_turns(
    server, neighbours, expensive, name
):
    message = encode_message(sensor_frame_message(fields(depth_image=expensive[name])))
    with flood(server, message):
        for _ in range(10):
            neighbours.fly()


def test_what_departed_clients_have_sent_keeps_nobody_waiting(server, neighbours, expensive):
    message = encode_message(sensor_frame_message(fields(depth_image=expensive["noise of 640 × 480"])))
    for number in range(100):
        client = QuadSimClient(port=server.port, connect_timeout_s=PATIENCE_S)
        client.connect()
        client.send_raw_bytes(message)
        client.drop()
        if number % 10 == 9:
            neighbours.fly()


@pytest.mark.parametrize("path", ["/hold", "/record"])
def test_a_command_of_a_thousand_brackets_is_refused(server, neighbours, path):
    status, _, _ = request(server, "POST", path, "[" * 990, Content_Type="application/json")
    assert status == 400
    neighbours.fly()


@pytest.mark.parametrize("text", [f"42{DEEP}", f'42["sensor_frame",{DEEP}', '42["sensor_frame",' + '{"a":' * 50_000])
def test_json_of_brackets_without_end_costs_one_line(tmp_path, text):
    """On its own server, because a server that has just logged fifty other mistakes logs no more for some seconds."""
    with serving(tmp_path) as server, flying_beside(server) as neighbours:
        with QuadSimClient(port=server.port) as client:
            client.send_raw_text(text)
            server.wait_for_log("expected a Socket.IO packet", PATIENCE_S)
            answers(client, fields())
        neighbours.fly()
        assert sum("Socket.IO packet" in line for line in server.log) == 1


def test_binary_in_a_frame_is_refused_and_the_session_recorded_on(server, neighbours):
    packet = '451-["sensor_frame",{"rgb_image":{"_placeholder":true,"num":0}}]'
    with QuadSimClient(port=server.port) as client:
        answers(client, fields())
        client.send_raw_text(packet)
        client.send_raw_bytes(encode_frame(BINARY, b"\0" * 100))
        answers(client, fields())
        assert server.health()[1]["sessions"][-1]["received"] == 2, "the latest simulator's"
    neighbours.fly()


def test_a_server_under_fire_stops_the_drones_and_ends(expensive):
    message = encode_message(sensor_frame_message(fields(depth_image=expensive["noise of 640 × 480"])))
    with running_server("unused", *WATCHDOG, script=FAKE_SERVER) as server:
        with flood(server, message):
            client = QuadSimClient(port=server.port, connect_timeout_s=PATIENCE_S)
            client.connect()
            for _ in range(5):
                told = [event.name for event in answers(client, fields())]
            assert told[0] == "object_detected"
            assert server.stop(PATIENCE_S) == 0
            assert client.wait_closed(PATIENCE_S)
        assert client.events[-1].name == "object_lost"

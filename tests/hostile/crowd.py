"""Hostile clients, and the neighbours beside them, whose drones must not be affected."""

import contextlib
import json
import math
import socket
import time

from support.fake_engine import GREY
from support.live import answers, fields, picture
from support.waiting import PATIENCE_S

from hostile.fuzzer import ENGINE_IO, PLACES, Fuzzer, Message, shows_hero
from tools.simulator.frames import format_timestamp
from tools.simulator.inbox import ReceivedEvent
from tools.simulator.server_process import ServerProcess
from tools.simulator.websocket import handshake_request, new_key
from tools.simulator.wire import QuadSimClient

# Distance from a camera to the farthest place that its images can show: 100 m along the optical axis, more beside it.
FARTHEST_M = 150.0
_MOST_READ_BYTES = 1_000_000


class Neighbours:
    """Two simulators in lock-step: one that follows a hero who stands still, and one that never shows a hero.

    Args:
        server: to connect to.
        shown: frame of the first one; None for a frame that the fake network takes for the hero.

    Attributes:
        lost: how often the first one was told to patrol after it had begun to follow; a busy machine may cause this.
    """

    def __init__(self, server: ServerProcess, shown: dict[str, str] | None = None) -> None:
        self._shown, self._empty_scene = shown or fields(), fields(picture(GREY))
        self._following, self._empty = (QuadSimClient(port=server.port, connect_timeout_s=PATIENCE_S) for _ in range(2))
        self._following.connect()
        self._empty.connect()
        self._hero_m = self._follow()
        self.lost = 0

    def fly(self) -> None:
        """Send a frame each and check the answers.

        Raises:
            AssertionError: if a simulator got a wrong command.
            TimeoutError: if a simulator got no answer.
        """
        for event in answers(self._following, _taken_now(self._shown)):
            self.lost += event.name == "object_lost"
            if event.name == "object_detected":
                assert math.dist(event.argument["coords"], self._hero_m) < 0.5, event
        told = {event.name for event in answers(self._empty, _taken_now(self._empty_scene))}
        assert told <= {"object_lost"}, told
        assert not self._following.violations + self._empty.violations

    def close(self) -> None:
        """Check that the first one can still follow, and disconnect."""
        assert math.dist(self._follow(), self._hero_m) < 0.5
        self.fly()
        self._following.close()
        self._empty.close()

    def _follow(self) -> list[float]:
        for _ in range(100):
            for event in answers(self._following, _taken_now(self._shown)):
                if event.name == "object_detected":
                    return event.argument["coords"]
        raise AssertionError(f"expected object_detected within 100 frames, got {self._following.events[-5:]}")


class Attackers:
    """Clients that send a fuzzer's messages, and check the commands that they get.

    Args:
        server: to connect to.
        fuzzer: makes the messages.
    """

    def __init__(self, server: ServerProcess, fuzzer: Fuzzer) -> None:
        self._server, self._fuzzer = server, fuzzer
        self._clients: dict[int, QuadSimClient] = {}
        self._numbers = 10**9  # of frames; hostile ones have small numbers

    def send(self, message: Message) -> None:
        """Send a message. If it has a connection of its own, the server has processed it when this returns."""
        if message.way == "session":
            assert isinstance(message.data, str)
            with contextlib.suppress(ConnectionError):  # the server may close at any time
                self._client(message.session).send_raw_text(message.data)
            return
        assert isinstance(message.data, bytes)
        if message.way == "http":
            talk(self._server, message.data)
        elif message.way == "websocket":
            talk(self._server, handshake_request("localhost", self._server.port, new_key()) + message.data)
        else:
            self._poll(message.data)

    def settle(self) -> None:
        """Wait until all messages are processed, and check the commands that the simulators got.

        Each simulator sends a whole frame, which must be answered, regardless of the messages before it.

        Raises:
            AssertionError: if a simulator got a wrong command, or none.
        """
        for session in list(self._clients):
            for _ in range(2):  # the server may have closed a connection; the next one must be served
                self._numbers += 1
                client = self._client(session)
                try:
                    client.send_frame(self._fuzzer.whole_frame(session), self._numbers)
                    client.wait_answered(self._numbers, PATIENCE_S)
                    break
                except ConnectionError:
                    self._check(session, client.events)
                    client.drop()
            else:
                raise AssertionError(f"expected an answer to simulator {session}, got a disconnect twice")
            self._check(session, client.events)
            assert not any("expected JSON numbers" in words for words in client.violations), client.violations

    def leave(self, session: int) -> None:
        """Disconnect a simulator; the next message of its number connects anew."""
        if client := self._clients.pop(session, None):
            client.drop()

    def close(self) -> None:
        """Disconnect all."""
        for session in list(self._clients):
            self.leave(session)

    def _client(self, session: int) -> QuadSimClient:
        client = self._clients.get(session)
        if client is None or not client.is_connected:
            client = self._clients[session] = QuadSimClient(port=self._server.port, connect_timeout_s=PATIENCE_S)
            client.connect()
        return client

    @staticmethod
    def _check(session: int, events: tuple[ReceivedEvent, ...]) -> None:
        for event in events:
            if event.name == "object_detected":
                assert shows_hero(session), f"simulator {session} shows no hero, and was told {event}"
                distance_m = math.dist(event.argument["coords"], PLACES[session][:3])
                assert distance_m < FARTHEST_M, f"simulator {session} was led {distance_m:.0f} m away by {event}"

    def _poll(self, body: bytes) -> None:
        opened = talk(self._server, _request("GET", ""))
        sid = json.loads(opened[opened.index(b"0{") + 1 : opened.rindex(b"}") + 1])["sid"]
        talk(self._server, _request("POST", f"&sid={sid}", body))
        # The answer is not read because it may come as late as the next ping.
        with contextlib.suppress(OSError), _connection(self._server) as connection:
            connection.sendall(_request("GET", f"&sid={sid}"))
        # The client ends its session. Otherwise the server keeps it for 45 s, and on a fast machine there are too many.
        talk(self._server, _request("POST", f"&sid={sid}", b"1"))


def talk(server: ServerProcess, data: bytes) -> bytes:
    """Send bytes on a connection, say that there will be no more, and read until the server closes it, too.

    If the answer is a stream of events, only its beginning is read.
    """
    received = b""
    with contextlib.suppress(ConnectionError), _connection(server) as connection:
        connection.sendall(data)
        with contextlib.suppress(OSError):  # the server has closed it already
            connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            received += piece
            if b"text/event-stream" in received or len(received) > _MOST_READ_BYTES:
                break
    return received


def _taken_now(frame: dict[str, str]) -> dict[str, str]:
    return {**frame, "timestamp": format_timestamp(time.time())}


def _connection(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def _request(method: str, query: str, body: bytes = b"") -> bytes:
    head = f"{method} {ENGINE_IO}polling{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    return f"{head}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

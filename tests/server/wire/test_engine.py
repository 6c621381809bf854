"""Engine.IO within bounds, by polling as by websocket."""

import io
import json

import pytest

from server.supervision import Faults
from server.wire import engine
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import KEY, Connection, Standing
from server.wire.engine import MOST_PACKETS, MOST_QUEUED_BYTES
from server.wire.pace import Pace
from server.wire.quadsim import QuadSimServer


class Web:
    """A server that is asked without sockets."""

    def __init__(self) -> None:
        complaints = RateLimitedWarnings()
        self.mistakes: list[tuple[str, ...]] = []
        self.taken: list[tuple] = []
        complaints.listeners.append(lambda *words: self.mistakes.append(words))
        self.server = QuadSimServer(complaints, Faults())
        self.server.eio.start_service_task = False
        self.server.on("sensor_frame", lambda sid, acknowledge, *what: self.taken.append(what))
        self.connection = Connection([None, None, None], Pace())

    def ask(self, query: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """GET, or with a body POST; returns status and answer."""
        environ = {
            "REQUEST_METHOD": "GET" if body is None else "POST",
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body or b"")),
            "wsgi.input": io.BytesIO(body or b""),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "5",
            KEY: self.connection,
            **headers,
        }
        status: list[str] = []
        self.connection.begin_request()
        answer = b"".join(self.server.eio.handle_request(environ, lambda code, _headers: status.append(code)))
        return int(status[0].split()[0]), answer

    def shake_hands(self) -> str:
        """Begin a session by polling; returns its id."""
        status, answer = self.ask("EIO=4&transport=polling")
        assert status == 200
        return json.loads(answer[1:])["sid"]

    def post(self, sid: str, body: bytes) -> int:
        return self.ask(f"EIO=4&transport=polling&sid={sid}", body)[0]


@pytest.fixture
def web() -> Web:
    return Web()


def test_packets_by_polling_are_taken(web):
    sid = web.shake_hands()
    assert web.post(sid, b'40\x1e42["sensor_frame",{"a":1}]') == 200
    assert web.taken == [({"a": 1},)]
    assert web.mistakes == []


@pytest.mark.parametrize(
    "body",
    [
        b'45999999999-["sensor_frame",{"_placeholder":true,"num":0}]',
        b"bAAAA",
        b'42["sensor_frame",{}]\x1ebAAAA',
        b'd=42["sensor_frame",{}]',
        b"hello",
        b"",
        b"4\xff",
        b"\x1e".join([b"3"] * (MOST_PACKETS + 1)),
    ],
)
def test_a_payload_that_a_websocket_would_not_take_is_the_clients_mistake_and_the_session_goes_on(web, body):
    sid = web.shake_hands()
    web.post(sid, b"40")
    assert web.post(sid, body) == 400
    ((name, field, _, _),) = web.mistakes
    assert (name, field) == ("127.0.0.1:5", "message")
    assert web.taken == []
    assert web.post(sid, b'42["sensor_frame",{}]') == 200
    assert len(web.taken) == 1


def test_a_connection_is_known_once_its_session_has_sent_a_frame(web):
    sid = web.shake_hands()
    standings = []
    for body in (b"40", b'42["sensor_frame",{}]', b"3"):
        web.post(sid, body)
        standings.append((web.server.eio.sessions[sid].standing, web.connection.standing))
    # A request is judged by what its session has sent before; a websocket's connection rises with its session.
    assert standings == [
        (Standing.JOINED, Standing.STRANGER),
        (Standing.KNOWN, Standing.JOINED),
        (Standing.KNOWN, Standing.KNOWN),
    ]


def test_the_oldest_stranger_makes_room_for_another_session(web, monkeypatch):
    monkeypatch.setattr(engine, "MOST_STRANGERS", 2)
    known = web.shake_hands()
    web.post(known, b'42["sensor_frame",{}]')
    first, second, third = (web.shake_hands() for _ in range(3))
    assert list(web.server.eio.sessions) == [known, second, third]
    assert web.post(first, b"40") == 400
    assert len(web.mistakes) == 1


def test_a_session_is_refused_when_all_that_there_may_be_are_known(web, monkeypatch):
    monkeypatch.setattr(engine, "MOST_SESSIONS", 2)
    for _ in range(2):
        web.post(web.shake_hands(), b'42["sensor_frame",{}]')
    assert web.ask("EIO=4&transport=polling")[0] == 503
    assert len(web.server.eio.sessions) == 2


def test_a_client_that_does_not_read_is_dropped_by_bytes(web):
    sid = web.shake_hands()
    web.post(sid, b"40")
    client = web.server.eio.sockets[sid]
    web.server.emit("picture", "x" * (MOST_QUEUED_BYTES // 2))
    web.server.eio.drop_deaf_clients()
    assert not client.closed
    web.server.emit("picture", "x" * (MOST_QUEUED_BYTES // 2))
    web.server.eio.drop_deaf_clients()
    assert client.closed
    assert web.server.eio.sessions == {}


def test_what_a_client_reads_is_no_longer_counted(web):
    sid = web.shake_hands()
    web.post(sid, b"40")
    web.server.emit("picture", "x" * 1000)
    assert web.server.eio.sockets[sid].queue.bytes > 1000
    web.ask(f"EIO=4&transport=polling&sid={sid}")
    assert web.server.eio.sockets[sid].queue.bytes == 0


@pytest.mark.parametrize("query", ["EIO=3&transport=polling", "EIO=2&transport=websocket", "transport=polling"])
def test_a_client_of_an_older_protocol_is_told_of_once_for_its_machine(web, query):
    assert web.ask(query)[0] == 400
    ((name, field, _, _),) = web.mistakes
    assert (name, field) == ("127.0.0.1", "protocol")


def test_a_session_is_upgraded_by_one_connection_only(web):
    sid = web.shake_hands()
    web.server.eio.sessions[sid].connection = web.connection
    status, words = web.ask(f"EIO=4&transport=websocket&sid={sid}", HTTP_UPGRADE="websocket")
    assert (status, words) == (400, b"expected one upgrade of a session\n")
    assert len(web.mistakes) == 1


@pytest.mark.parametrize("is_finished", [False, True])
def test_an_unfinished_upgrade_ends_with_its_session(web, monkeypatch, is_finished):
    closed: list[bool] = []
    monkeypatch.setattr(Connection, "close", lambda _: closed.append(True))
    sid = web.shake_hands()
    session = web.server.eio.sessions[sid]
    session.connection, session.client.upgraded = web.connection, is_finished
    web.server.eio.disconnect(sid)
    assert closed == ([] if is_finished else [True])

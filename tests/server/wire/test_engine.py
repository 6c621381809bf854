"""Engine.IO within bounds, by polling as by websocket."""

import contextlib
import io
import json
import time
from types import SimpleNamespace

import pytest
from support.handshakes import HANDSHAKE, MALFORMED_HANDSHAKES

from server.supervision import Faults
from server.wire import engine
from server.wire.complaints import SERVER, RateLimitedWarnings
from server.wire.connections import KEY, SILENT_S, Connection, Standing
from server.wire.engine import MOST_PACKETS, MOST_QUEUED, MOST_QUEUED_BYTES
from server.wire.green import eventlet
from server.wire.pace import Pace
from server.wire.quadsim import QuadSimServer


class Web:
    """A server that is asked without sockets."""

    def __init__(self) -> None:
        complaints = RateLimitedWarnings()
        self.mistakes: list[tuple[str, ...]] = []
        self.taken: list[tuple] = []
        self.arrivals_s: list[float] = []
        complaints.listeners.append(lambda *words: self.mistakes.append(words))
        self.server = QuadSimServer(complaints, Faults())
        self.server.eio.start_service_task = False
        self.server.on("sensor_frame", self.take)
        self.state = [None, None, None]
        self.connection = Connection(self.state, Pace())

    def take(self, sid: str, acknowledge: object, *what: object) -> None:
        """Of frames, objects are understood."""
        self.taken.append(what)
        self.arrivals_s.append(self.server.earliest_arrival_s())
        if isinstance(what[0], dict):
            self.server.recognise(sid)

    def ask(self, query: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """GET, or with a body POST; returns status and answer."""
        environ = {
            "REQUEST_METHOD": "GET" if body is None else "POST",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body or b"")),
            "wsgi.input": io.BytesIO(body or b""),
            "eventlet.input": SimpleNamespace(chunked_input=False, content_length=0),
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


def test_a_connection_is_known_once_a_frame_of_its_session_was_understood(web):
    sid = web.shake_hands()
    standings = []
    for body in (b"40", b'42["sensor_frame",7]', b'42["sensor_frame",{}]', b"3"):
        web.post(sid, body)
        standings.append((web.server.eio.sessions[sid].standing, web.connection.standing))
    # A request is judged by what its session has sent before; a websocket's connection rises with its session.
    assert standings == [
        (Standing.JOINED, Standing.STRANGER),
        (Standing.JOINED, Standing.JOINED),
        (Standing.KNOWN, Standing.JOINED),
        (Standing.KNOWN, Standing.KNOWN),
    ]


def test_a_frame_by_polling_may_have_arrived_when_its_request_did(web):
    sid = web.shake_hands()
    web.connection.turns.earliest_arrival_s = 12.0
    web.post(sid, b'42["sensor_frame",{}]\x1e42["sensor_frame",{}]')
    other = Connection([None, None, None], Pace(), earliest_arrival_s=10.0)
    web.ask(f"EIO=4&transport=polling&sid={sid}", b'42["sensor_frame",{}]', **{KEY: other})
    assert web.arrivals_s == [12.0, 12.0, 10.0]


@pytest.mark.parametrize("body", [b"3", b"40", b"hello", None])
def test_a_session_that_its_client_has_closed_is_unknown(web, body):
    sid = web.shake_hands()
    assert web.post(sid, b"1") == 200
    assert web.ask(f"EIO=4&transport=polling&sid={sid}", body)[0] == 400
    assert web.server.eio.sockets == web.server.eio.sessions == {}


def test_the_oldest_stranger_makes_room_for_another_session(web, monkeypatch):
    monkeypatch.setattr(engine, "MOST_STRANGERS", 2)
    known = web.shake_hands()
    web.post(known, b'42["sensor_frame",{}]')
    first, second, third = (web.shake_hands() for _ in range(3))
    assert list(web.server.eio.sessions) == [known, second, third]
    assert web.post(first, b"40") == 400
    assert [field for _, field, _, _ in web.mistakes] == ["sessions", "session"]  # the reason, and the refusal
    assert "at most 2 of clients that have sent no valid event" in web.mistakes[0]


def test_a_stranger_makes_room_when_there_are_as_many_sessions_as_there_may_be(web, monkeypatch):
    monkeypatch.setattr(engine, "MOST_SESSIONS", 2)
    known = web.shake_hands()
    web.post(known, b'42["sensor_frame",{}]')
    _, newest = web.shake_hands(), web.shake_hands()
    assert list(web.server.eio.sessions) == [known, newest]
    assert [expected for _, _, expected, _ in web.mistakes] == ["at most 2"]


def test_a_session_is_refused_when_all_that_there_may_be_are_known(web, monkeypatch):
    monkeypatch.setattr(engine, "MOST_SESSIONS", 2)
    for _ in range(2):
        web.post(web.shake_hands(), b'42["sensor_frame",{}]')
    assert web.ask("EIO=4&transport=polling")[0] == 503
    assert len(web.server.eio.sessions) == 2


def test_the_session_that_has_been_silent_for_longest_makes_room_when_all_are_known(web, monkeypatch):
    monkeypatch.setattr(engine, "MOST_SESSIONS", 2)
    now = SimpleNamespace(monotonic=lambda: now.s, s=0.0)
    monkeypatch.setattr(engine, "time", now)
    first, second = web.shake_hands(), web.shake_hands()
    for sid in (first, second, first):
        now.s += 1.0
        web.post(sid, b'42["sensor_frame",{}]')
    now.s = 2.5 + SILENT_S
    third = web.shake_hands()
    assert list(web.server.eio.sessions) == [first, third]
    assert web.mistakes[0][0] == SERVER


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


def test_a_client_that_does_not_read_is_dropped_by_packets(web):
    sid = web.shake_hands()
    web.post(sid, b"40")
    client = web.server.eio.sockets[sid]
    for _ in range(MOST_QUEUED - client.queue.qsize()):
        web.server.emit("ping", "")
    web.server.eio.drop_deaf_clients()
    assert not client.closed
    web.server.emit("ping", "")
    web.server.eio.drop_deaf_clients()
    assert client.closed


def test_what_a_client_reads_is_no_longer_counted(web):
    sid = web.shake_hands()
    web.post(sid, b"40")
    web.server.emit("picture", "x" * 1000)
    assert web.server.eio.sockets[sid].queue.bytes > 1000
    web.ask(f"EIO=4&transport=polling&sid={sid}")
    assert web.server.eio.sockets[sid].queue.bytes == 0


@pytest.mark.parametrize("query", ["EIO=3&transport=polling", "EIO=2&transport=websocket", "transport=polling"])
def test_a_client_of_an_older_protocol_is_told_of_once_for_its_machine(web, query):
    assert web.ask(query, **HANDSHAKE)[0] == 400
    ((name, field, _, _),) = web.mistakes
    assert (name, field) == ("127.0.0.1", "protocol")


@pytest.mark.parametrize(
    ("query", "body", "mistake"),
    [
        (
            "EIO=4&transport=carrier-pigeon",
            None,
            ("transport", "polling or websocket", "'carrier-pi'… (14 characters)"),
        ),
        ("EIO=4&transport=polling&sid=abc", None, ("session", "one that has begun here and not ended", "'abc'")),
        ("EIO=4&transport=polling", b"40", ("session", "one that has begun here and not ended", "''")),
    ],
)
def test_a_request_that_is_refused_before_a_session_exists_is_complained_of(web, query, body, mistake):
    assert web.ask(query, body)[0] == 400
    assert web.mistakes == [("127.0.0.1", *mistake)]


def test_a_session_is_upgraded_by_one_connection_only(web):
    sid = web.shake_hands()
    web.server.eio.sessions[sid].connection = web.connection
    status, words = web.ask(f"EIO=4&transport=websocket&sid={sid}", **HANDSHAKE)
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


def upgrade_fails(web: Web, sid: str) -> None:
    """A handshake with a session that engineio begins, and that its client does not finish."""
    socket = SimpleNamespace(setsockopt=lambda *_: None, sendall=lambda _: None, recv=lambda _: b"", settimeout=int)
    socket.fd = socket
    given = SimpleNamespace(get_socket=lambda: socket)
    with contextlib.suppress(IndexError):  # nobody has called `start_response`
        web.ask(f"EIO=4&transport=websocket&sid={sid}", **HANDSHAKE, **{"eventlet.input": given})


def test_an_upgrade_that_fails_leaves_the_session_to_polling_and_to_another_one(web):
    sid = web.shake_hands()
    for _ in range(2):
        upgrade_fails(web, sid)
        assert web.server.eio.sessions[sid].connection is None
        assert not web.server.eio.sockets[sid].upgrading
    assert web.post(sid, b"40") == 200
    assert web.mistakes == []


@pytest.mark.parametrize("has_session", [False, True])
@pytest.mark.parametrize(("changes", "status", "word"), MALFORMED_HANDSHAKES)
def test_a_malformed_handshake_is_refused_and_leaves_nothing_behind(web, changes, status, word, has_session):
    sid = web.shake_hands() if has_session else None
    before = dict(web.server.eio.sockets), dict(web.server.eio.sessions)
    query = "EIO=4&transport=websocket" + (f"&sid={sid}" if sid else "")
    environ = {name: value for name, value in (HANDSHAKE | changes).items() if value is not None}
    received, words = web.ask(query, **environ)
    assert received == status
    assert words.startswith(b"expected ")
    assert words.count(b"\n") == 1
    assert word in words.decode()
    ((name, field, _, _),) = web.mistakes
    assert (name, field) == ("127.0.0.1", "websocket handshake")
    assert (web.server.eio.sockets, web.server.eio.sessions) == before
    assert web.state[2] == eventlet.wsgi.STATE_CLOSE
    if sid:
        assert web.server.eio.sessions[sid].connection is None
        assert web.post(sid, b"40") == 200


def test_an_upgrade_that_is_offered_by_polling_is_ignored(web):
    for upgrade in ("h2c", "websocket"):
        status, answer = web.ask("EIO=4&transport=polling", HTTP_UPGRADE=upgrade, HTTP_CONNECTION="Upgrade")
        assert status == 200
        sid = json.loads(answer[1:])["sid"]
        assert web.server.eio.sessions[sid].connection is None
        assert web.ask(f"EIO=4&transport=polling&sid={sid}", b"40", HTTP_UPGRADE=upgrade)[0] == 200


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_is_set_neither_drops_a_client_that_answers_pings_nor_keeps_one_that_does_not(
    web, monkeypatch, hours: int
):
    web.server.eio.ping_interval = 0
    sid = web.shake_hands()
    client = web.server.eio.sockets[sid]
    while client.last_ping is None:  # until the server sends its first ping
        eventlet.sleep(0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours)
    assert client.check_ping_timeout()
    client.last_ping -= web.server.eio.ping_timeout + 1.0  # as if so much time had passed
    assert not client.check_ping_timeout()
    assert client.closed

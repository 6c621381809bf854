"""Requests as the application gets them: whole, bounded, and from nobody else's page."""

import io
from types import SimpleNamespace

import pytest

from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import KEY, Connection, Standing
from server.wire.green import eventlet
from server.wire.guard import read_whole, refuse_foreign_names
from server.wire.pace import Pace
from server.wire.websocket import MOST_MESSAGE_BYTES


class Guarded:
    """An application that says what it was sent, behind the guards."""

    def __init__(self, content_type: str = "text/plain") -> None:
        complaints = RateLimitedWarnings()
        self.mistakes: list[tuple[str, ...]] = []
        complaints.listeners.append(lambda *words: self.mistakes.append(words))
        self.state = [None, None, None]
        self.connection = Connection(self.state, Pace())

        def application(environ, start_response):
            assert self.connection.is_received
            start_response("200 OK", [("Content-Type", content_type)])
            return [environ["wsgi.input"].read()]

        self._wsgi = read_whole(refuse_foreign_names(application, ("127.0.0.1", "Quad.local"), complaints), complaints)

    def ask(self, body: io.BytesIO, **environ: str) -> tuple[str, bytes]:
        status = []
        whole = {
            "wsgi.input": body,
            "eventlet.input": SimpleNamespace(chunked_input=False, content_length=1),
            "REMOTE_ADDR": "127.0.0.1",
            KEY: self.connection,
            **environ,
        }
        answer = self._wsgi(whole, lambda code, _headers, *_: status.append(code))
        return status[0], b"".join(answer)


def test_a_body_is_read_whole_before_the_application_runs():
    assert Guarded().ask(io.BytesIO(b"x" * 100_000), CONTENT_LENGTH="100000") == ("200 OK", b"x" * 100_000)


@pytest.mark.parametrize(
    "headers", [{"CONTENT_LENGTH": str(MOST_MESSAGE_BYTES + 1)}, {"HTTP_TRANSFER_ENCODING": "chunked"}]
)
def test_a_body_that_is_too_long_or_of_unknown_length_is_refused_unread(headers):
    guarded, body = Guarded(), io.BytesIO(b"x" * 10)
    status, _ = guarded.ask(body, **headers)
    assert status == "413 Content Too Large"
    assert body.tell() == 0
    assert guarded.state[2] == eventlet.wsgi.STATE_CLOSE
    assert guarded.mistakes[0][1] == "HTTP request"


def test_a_body_that_breaks_off_is_a_broken_connection():
    with pytest.raises(ConnectionResetError):
        Guarded().ask(io.BytesIO(b"x"), CONTENT_LENGTH="2")


def test_who_reads_a_stream_of_events_is_no_stranger():
    viewer, other = Guarded("text/event-stream; charset=utf-8"), Guarded()
    viewer.ask(io.BytesIO())
    other.ask(io.BytesIO())
    assert (viewer.connection.standing, other.connection.standing) == (Standing.VIEWER, Standing.STRANGER)


@pytest.mark.parametrize("name", ["follow-me:4567", "evil.example", "[::1", ""])
def test_a_foreign_name_is_refused_and_complained_of(name):
    guarded = Guarded()
    assert guarded.ask(io.BytesIO(), HTTP_HOST=name)[0] == "403 Forbidden"
    ((peer, field, _, _),) = guarded.mistakes
    assert (peer, field) == ("127.0.0.1", "Host header")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:4567", "http://evil.example"),
        ("127.0.0.1:4567", "http://127.0.0.1:1"),
        ("localhost", "http://quad.local"),  # a name that is allowed, but another site than the one that is asked
        ("localhost", "null"),
        ("localhost", "http://[::1"),
        ("localhost", ""),
    ],
)
def test_a_page_of_another_site_is_refused_and_complained_of(host, origin):
    guarded = Guarded()
    status, words = guarded.ask(io.BytesIO(), HTTP_HOST=host, HTTP_ORIGIN=origin)
    assert (status, words) == ("403 Forbidden", f"expected a page of {host}, got one of {origin}\n".encode())
    ((peer, field, _, received),) = guarded.mistakes
    assert (peer, field, received) == ("127.0.0.1", "Origin header", repr(origin))


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:4567", "http://127.0.0.1:4567"),
        ("quad.local", "https://quad.local"),  # a proxy encrypts
        ("QUAD.local:4567", "http://quad.local:4567"),
    ],
)
def test_a_page_of_the_server_itself_is_served(host, origin):
    assert Guarded().ask(io.BytesIO(), HTTP_HOST=host, HTTP_ORIGIN=origin)[0] == "200 OK"


@pytest.mark.parametrize("name", ["localhost:4567", "127.0.0.1:4567", "[::1]:4567", "192.168.0.7", "quad.LOCAL:80"])
def test_own_names_allowed_names_and_addresses_are_served(name):
    assert Guarded().ask(io.BytesIO(), HTTP_HOST=name)[0] == "200 OK"

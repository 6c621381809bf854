"""Requests as the application gets them: whole, bounded, and not from pages of other sites."""

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
    """An application behind the guards, which answers with the request that it got."""

    def __init__(self, content_type: str = "text/plain", names: tuple[str, ...] = ("127.0.0.1", "Quad.local")) -> None:
        complaints = RateLimitedWarnings()
        self.mistakes: list[tuple[str, ...]] = []
        complaints.listeners.append(lambda *words: self.mistakes.append(words))
        self.state = [None, None, None]
        self.connection = Connection(self.state, Pace())

        def application(environ, start_response):
            assert self.connection.is_received
            start_response("200 OK", [("Content-Type", content_type)])
            return [environ["wsgi.input"].read()]

        self._wsgi = read_whole(refuse_foreign_names(application, names, complaints), complaints)

    def ask(self, body: io.BytesIO, lengths: tuple[str, ...] = (), **environ: str) -> tuple[str, bytes]:
        status = []
        whole = {
            "REQUEST_METHOD": "POST",
            "headers_raw": [("Host", "localhost"), *(("Content-Length", length) for length in lengths)],
            "wsgi.input": body,
            "eventlet.input": SimpleNamespace(chunked_input=False, content_length=1),
            "REMOTE_ADDR": "127.0.0.1",
            KEY: self.connection,
            **environ,
        }
        answer = self._wsgi(whole, lambda code, _headers, *_: status.append(code))
        return status[0], b"".join(answer)


def test_a_body_is_read_whole_before_the_application_runs():
    assert Guarded().ask(io.BytesIO(b"x" * 100_000), ("100000",)) == ("200 OK", b"x" * 100_000)


@pytest.mark.parametrize(
    ("lengths", "headers"),
    [
        ((str(MOST_MESSAGE_BYTES + 1),), {}),
        ((), {"HTTP_TRANSFER_ENCODING": "chunked"}),
        (("10",), {"HTTP_TRANSFER_ENCODING": ""}),
        (("2", "10"), {}),
        (("10", "10"), {}),
        (("1_0",), {}),
        (("+10",), {}),
        (("-1",), {}),
        ((" ",), {}),
        (("1" * 5000,), {}),
    ],
)
def test_a_body_that_is_too_long_or_of_no_certain_length_is_refused_unread(lengths, headers):
    guarded, body = Guarded(), io.BytesIO(b"x" * 10)
    status, _ = guarded.ask(body, lengths, **headers)
    assert status == "413 Content Too Large"
    assert body.tell() == 0
    assert guarded.state[2] == eventlet.wsgi.STATE_CLOSE
    assert guarded.mistakes[0][1] == "HTTP request"


def test_a_body_that_breaks_off_is_a_broken_connection():
    with pytest.raises(ConnectionResetError):
        Guarded().ask(io.BytesIO(b"x"), ("2",))


@pytest.mark.parametrize("headers", [{"HTTP_HOST": "evil.example"}, {}])
def test_an_answer_to_head_has_no_body(headers):
    assert Guarded().ask(io.BytesIO(b"x"), ("1",), REQUEST_METHOD="HEAD", **headers)[1] == b""


def test_who_reads_a_stream_of_events_is_no_stranger():
    viewer, other = Guarded("text/event-stream; charset=utf-8"), Guarded()
    viewer.ask(io.BytesIO())
    other.ask(io.BytesIO())
    assert (viewer.connection.standing, other.connection.standing) == (Standing.VIEWER, Standing.STRANGER)


@pytest.mark.parametrize(
    "name", ["follow-me:4567", "evil.example", "[::1", "", "0.0.0.0:4567", "[::]:4567", "[::ffff:127.0.0.1]:4567"]
)
def test_a_foreign_name_is_refused_and_complained_of(name):
    guarded = Guarded()
    assert guarded.ask(io.BytesIO(), HTTP_HOST=name)[0] == "403 Forbidden"
    ((peer, field, _, _),) = guarded.mistakes
    assert (peer, field) == ("127.0.0.1", "Host header")


@pytest.mark.parametrize("name", ["0.0.0.0", "::"])
def test_a_server_that_listens_on_every_address_is_not_called_by_that(name):
    host = f"[{name}]:4567" if ":" in name else f"{name}:4567"
    assert Guarded(names=(name,)).ask(io.BytesIO(), HTTP_HOST=host)[0] == "403 Forbidden"


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


@pytest.mark.parametrize("site", ["cross-site", "same-site", "what comes later"])
@pytest.mark.parametrize("destination", [{}, {"HTTP_SEC_FETCH_DEST": "image"}, {"HTTP_SEC_FETCH_DEST": "iframe"}])
def test_what_a_page_of_another_site_asks_for_without_origin_is_refused(site, destination):
    guarded = Guarded()
    assert guarded.ask(io.BytesIO(), HTTP_SEC_FETCH_SITE=site, **destination)[0] == "403 Forbidden"
    ((peer, field, _, received),) = guarded.mistakes
    assert (peer, field, received) == ("127.0.0.1", "Sec-Fetch-Site header", repr(site))


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_SEC_FETCH_DEST": "empty"},
        {"HTTP_SEC_FETCH_SITE": "none", "HTTP_SEC_FETCH_DEST": "document"},
        {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_DEST": "document"},  # a link to the page
    ],
)
def test_what_the_page_itself_asks_for_and_links_to_it_are_served(headers):
    assert Guarded().ask(io.BytesIO(), **headers)[0] == "200 OK"


@pytest.mark.parametrize("name", ["localhost:4567", "127.0.0.1:4567", "[::1]:4567", "192.168.0.7", "quad.LOCAL:80"])
def test_own_names_allowed_names_and_addresses_are_served(name):
    assert Guarded().ask(io.BytesIO(), HTTP_HOST=name)[0] == "200 OK"

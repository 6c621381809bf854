"""Who must show a token, and in which places it is looked for."""

from types import SimpleNamespace

import pytest
from werkzeug.http import parse_cookie

from server.wire.addresses import is_loopback
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import KEY, Connection
from server.wire.green import eventlet
from server.wire.pace import Pace
from server.wire.token import read_token, require_token

TOKEN = "a-token.of_24~characters"
ELSEWHERE = "192.0.2.7"


class Guarded:
    """An application behind the guard; `mistakes` are what was told of clients."""

    def __init__(self) -> None:
        complaints = RateLimitedWarnings()
        self.mistakes: list[tuple[str, ...]] = []
        complaints.listeners.append(lambda *words: self.mistakes.append(words))
        self.state = [None, None, None]

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"served"]

        self._wsgi = require_token(application, TOKEN, complaints)

    def ask(self, peer: str = ELSEWHERE, path: str = "/metrics", **environ: str) -> tuple[str, dict[str, str], bytes]:
        started = []
        whole = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "REMOTE_ADDR": peer,
            "eventlet.input": SimpleNamespace(chunked_input=False, content_length=0),
            KEY: Connection(self.state, Pace()),
            **environ,
        }
        body = b"".join(self._wsgi(whole, lambda status, headers, *_: started.append((status, dict(headers)))))
        return *started[0], body


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_programs_on_this_machine_need_no_token(peer):
    assert Guarded().ask(peer)[0] == "200 OK"


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"])
def test_whoever_comes_by_a_proxy_on_this_machine_needs_one(header):
    assert Guarded().ask("127.0.0.1", **{header: ELSEWHERE})[0] == "401 Unauthorized"
    authorised = {header: ELSEWHERE, "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}
    assert Guarded().ask("127.0.0.1", **authorised)[0] == "200 OK"


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"},
        {"HTTP_AUTHORIZATION": f"bearer  {TOKEN} "},
        {"HTTP_COOKIE": f"other=1; followme_token={TOKEN}"},
        {"QUERY_STRING": f"EIO=4&transport=websocket&token={TOKEN}"},
        {"QUERY_STRING": "token=wrong", "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"},
    ],
)
def test_the_token_is_taken_from_header_cookie_and_query(environ):
    guarded = Guarded()
    assert guarded.ask(**environ)[0] == "200 OK"
    assert guarded.mistakes == []


@pytest.mark.parametrize(
    ("environ", "received"),
    [
        ({}, "none"),
        ({"HTTP_AUTHORIZATION": f"Basic {TOKEN}"}, "none"),
        ({"HTTP_AUTHORIZATION": f"Bearer {TOKEN}x"}, "another"),
        ({"HTTP_AUTHORIZATION": "Bearer \udcff"}, "another"),
        ({"HTTP_COOKIE": "followme_token=" + "é" * 3}, "another"),
        ({"HTTP_COOKIE": ";;=,\x00"}, "none"),
        ({"QUERY_STRING": f"token={TOKEN[:-1]}"}, "another"),
        ({"QUERY_STRING": "token="}, "none"),
    ],
)
def test_others_are_refused_and_told_how_and_the_log_does_not_quote_them(environ, received):
    guarded = Guarded()
    status, headers, body = guarded.ask(**environ)
    assert (status, headers["WWW-Authenticate"]) == ("401 Unauthorized", "Bearer")
    assert b"/?token=TOKEN" in body
    assert guarded.mistakes == [(ELSEWHERE, "token", "the token of --token-file", received)]
    assert guarded.state[2] == eventlet.wsgi.STATE_CLOSE


@pytest.mark.parametrize("proxy", [{}, {"HTTP_X_FORWARDED_PROTO": "https"}])
def test_a_browser_that_opens_the_page_with_the_token_gets_a_cookie_and_an_address_without_it(proxy):
    guarded = Guarded()
    status, headers, body = guarded.ask(path="/", QUERY_STRING=f"token={TOKEN}", **proxy)
    assert (status, headers["Location"]) == ("303 See Other", "/")
    assert parse_cookie(headers["Set-Cookie"])["followme_token"] == TOKEN
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Lax" in headers["Set-Cookie"]
    assert ("Secure" in headers["Set-Cookie"]) == bool(proxy)
    assert TOKEN.encode() not in body
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert guarded.ask(path="/", HTTP_COOKIE=cookie)[0] == "200 OK"


def test_a_token_is_read_without_the_space_around_it(tmp_path):
    (tmp_path / "token").write_text(f"\n{TOKEN}\r\n")
    assert read_token(tmp_path / "token") == TOKEN


@pytest.mark.parametrize("text", ["", "short", "x" * 201, "two words of a token", "schlüsselschlüssel", "a+b/c=" * 3])
def test_a_file_without_a_token_is_refused_without_quoting_it(tmp_path, text):
    (tmp_path / "token").write_text(text)
    with pytest.raises(ValueError, match="expected a token of 16 to 200") as refusal:
        read_token(tmp_path / "token")
    assert not text or text not in str(refusal.value)


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("localhost", True), ("LOCALHOST", True), ("0.0.0.0", False), ("::", False), ("drone.local", False)],
)
def test_only_this_machine_reaches_loopback(host, is_own):
    assert is_loopback(host) == is_own

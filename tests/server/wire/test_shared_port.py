"""What a port that several fronts share serves."""

import pytest

from server.wire.complaints import RateLimitedWarnings
from server.wire.shared_port import guard_shared_port

SHARED, OWN = 4567, [4568, 4569]
WEBSOCKET = "EIO=4&transport=websocket"


class Guarded:
    """An application behind the guard."""

    def __init__(self) -> None:
        complaints = RateLimitedWarnings()
        self.mistakes: list[tuple[str, ...]] = []
        complaints.listeners.append(lambda *words: self.mistakes.append(words))

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b"served"]

        self._wsgi = guard_shared_port(application, SHARED, OWN, complaints)

    def ask(self, path: str, query: str = "", port: int = SHARED, **environ: str) -> tuple[str, str]:
        status = []
        whole = {"PATH_INFO": path, "QUERY_STRING": query, "SERVER_PORT": str(port), "REMOTE_ADDR": "127.0.0.1"}
        answer = self._wsgi({**whole, **environ}, lambda code, _headers, *_: status.append(code))
        return status[0], b"".join(answer).decode()


@pytest.mark.parametrize(("path", "query"), [("/socket.io/", WEBSOCKET), ("/healthz", "")])
def test_what_takes_one_connection_is_served(path, query):
    assert Guarded().ask(path, query) == ("200 OK", "served")


@pytest.mark.parametrize(
    ("path", "query"),
    [("/", ""), ("/metrics", ""), ("/events", ""), ("/hold", ""), ("/socket.io/", "EIO=4&transport=polling")],
)
def test_a_front_serves_everything_on_its_own_port(path, query):
    assert Guarded().ask(path, query, port=OWN[0]) == ("200 OK", "served")


@pytest.mark.parametrize("path", ["/metrics", "/events", "/hold", "/page/page.js", "/socket.io", "/none"])
def test_what_takes_several_is_led_to_the_fronts_own_ports(path):
    expected = "expected a request to each front's own port, 4568 to 4569\n"
    assert Guarded().ask(path) == ("421 Misdirected Request", expected)


@pytest.mark.parametrize("query", ["EIO=4&transport=polling", "EIO=4", "transport="])
def test_polling_is_refused_and_told(query):
    guarded = Guarded()
    status, words = guarded.ask("/socket.io/", query)
    assert status == "400 Bad Request"
    assert words == "expected transport=websocket alone, or each front's own port, 4568 to 4569\n"
    assert guarded.mistakes[0][1] == "transport"


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("127.0.0.1:4567", 'href="//127.0.0.1:4569/"'),
        ("[::1]:4567", 'href="//[::1]:4569/"'),
        ('a"<b>', 'href="//a&quot;&lt;b&gt;:4569/"'),
    ],
)
def test_the_first_page_leads_to_the_fronts_by_the_name_that_it_was_asked_for_by(name, link):
    status, page = Guarded().ask("/", HTTP_HOST=name)
    assert status == "200 OK"
    assert link in page
    assert "<b>" not in page

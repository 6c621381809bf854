"""Checks a websocket handshake before a session is opened for its sender.

Without this check, Engine.IO would open a session first. Then eventlet would refuse the connection, or the session's
packets would be sent as the answer to the request.

Source: RFC 6455, 4.2.1.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import Peer, connection_of
from server.wire.guard import refuse
from server.wire.messages import shorten

VERSIONS = ("13", "8")  # the versions that eventlet speaks; 8 differs in the name of a header that is not used here
KEY_BYTES = 16


class Mistake(NamedTuple):
    """Why a handshake is refused: the answer's status and headers, what was expected, what was received."""

    status: str
    headers: list[tuple[str, str]]
    expected: str
    received: str


def mistake_in(environ: Mapping[str, Any]) -> Mistake | None:
    """What is wrong with a handshake; None if nothing is."""

    def header(name: str) -> str:
        return str(environ.get(f"HTTP_{name}", ""))

    method, protocol = environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"]
    options = [option.strip() for option in header("CONNECTION").lower().split(",")]
    bad = "400 Bad Request"
    if method != "GET":
        return Mistake("405 Method Not Allowed", [("Allow", "GET")], "the method GET", shorten(method))
    if protocol != "HTTP/1.1":
        return Mistake(bad, [], "HTTP/1.1", shorten(protocol))
    if header("UPGRADE").lower() != "websocket":
        return Mistake(bad, [], "the header Upgrade: websocket", shorten(header("UPGRADE")))
    if "upgrade" not in options:
        return Mistake(bad, [], "the header Connection: Upgrade", shorten(header("CONNECTION")))
    if header("SEC_WEBSOCKET_VERSION") not in VERSIONS:
        supported = [("Sec-WebSocket-Version", ", ".join(VERSIONS))]
        expected = "the header Sec-WebSocket-Version: 13"
        return Mistake("426 Upgrade Required", supported, expected, shorten(header("SEC_WEBSOCKET_VERSION")))
    if not _is_key(header("SEC_WEBSOCKET_KEY")):
        expected = f"the header Sec-WebSocket-Key: {KEY_BYTES} bytes in base64"
        return Mistake(bad, [], expected, shorten(header("SEC_WEBSOCKET_KEY")))
    return None


def refuse_handshake(
    environ: dict[str, Any], start_response: Callable[..., Any], mistake: Mistake, complaints: RateLimitedWarnings
) -> Iterable[bytes]:
    """Complain of a handshake, answer it, and close the connection."""
    complaints.warn(Peer.of(environ).host, "websocket handshake", mistake.expected, mistake.received)
    connection_of(environ).close_after_answer(environ)
    words = f"expected {mistake.expected}, got {mistake.received}"
    return refuse(start_response, mistake.status, words, mistake.headers)


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except ValueError:
        return False

"""Guards around every HTTP request: refuse other sites' pages, read the whole request, report our own errors."""

import io
import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Any
from urllib.parse import urlsplit

from server.supervision import Faults
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import Connection, Peer, Standing, connection_of
from server.wire.green import eventlet
from server.wire.messages import shorten
from server.wire.websocket import MOST_MESSAGE_BYTES, RECEIVE_BYTES

# Addresses on which a server may listen, but which are no valid host name for a client's request.
UNSPECIFIED = {"0.0.0.0", "::"}

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def refuse_foreign_names(wsgi: Wsgi, names: Collection[str], complaints: RateLimitedWarnings) -> Wsgi:
    """Refuse requests of other sites' pages.

    A browser names the page's site in the Origin header of each command, stream and websocket. This site must be that
    of the Host header. For an image or a script, a browser sends no Origin but Sec-Fetch-Site. This must not be another
    site, unless a link opens a page (Sec-Fetch-Dest: document).

    An attacker's site whose host name resolves to this machine passes both checks (DNS rebinding). So the name in the
    Host header must be an address, "localhost", this machine's own name or one of `names`. The addresses 0.0.0.0 and
    IPv4 in IPv6 are refused: they lead to this machine, too, but browsers send them no Sec-Fetch-Site.
    """
    own_names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)} - UNSPECIFIED
    expected = f"an address (not 0.0.0.0) or one of {', '.join(sorted(own_names))}"

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host, origin = environ.get("HTTP_HOST", "localhost"), environ.get("HTTP_ORIGIN")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = "no host"
        if name not in own_names and not _is_address(name):
            complaints.warn(Peer.of(environ).host, "Host header", f"{expected} (--allow-host adds one)", shorten(name))
            return refuse(start_response, "403 Forbidden", f"expected {expected}, got {name}")
        if origin is not None and _site(origin) != host.lower():
            complaints.warn(Peer.of(environ).host, "Origin header", f"a page of {shorten(host)}", shorten(origin))
            return refuse(start_response, "403 Forbidden", f"expected a page of {host}, got one of {origin[:60]}")
        site = environ.get("HTTP_SEC_FETCH_SITE", "none")
        if site not in ("none", "same-origin") and environ.get("HTTP_SEC_FETCH_DEST") != "document":
            complaints.warn(Peer.of(environ).host, "Sec-Fetch-Site header", f"a page of {shorten(host)}", shorten(site))
            return refuse(start_response, "403 Forbidden", f"expected a page of {host}, got one of another site")
        return wsgi(environ, start_response)

    return guarded


def read_whole(wsgi: Wsgi, complaints: RateLimitedWarnings) -> Wsgi:
    """Read a request's body before the application gets the request, and note which clients are viewers.

    The size of the body is bounded, and there is a deadline for it (`Connections.expire`). So the application never
    waits for a client. A client that is answered by a stream of events counts as a viewer.
    """

    def whole(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        connection = connection_of(environ)
        # Requests of the page and of strangers wait behind simulators: a request costs 1 to 2 ms, many handshakes more.
        connection.pace.wait_busy()
        size = _body_length(environ)
        if size is None or size > MOST_MESSAGE_BYTES:
            received = "a body of unknown length" if size is None else f"{size} bytes"
            expected = f"at most {MOST_MESSAGE_BYTES} bytes"
            complaints.warn(Peer.of(environ).host, "HTTP request", expected, received)
            connection.close_after_answer(environ)
            return refuse(start_response, "413 Content Too Large", f"expected {expected}, got {received}")
        if size:
            environ["wsgi.input"] = _read(environ["wsgi.input"], size, connection)
        connection.receive()

        def start(status: str, headers: list[tuple[str, str]], *arguments: Any) -> Any:
            if dict(headers).get("Content-Type", "").startswith("text/event-stream"):
                connection.raise_standing(Standing.VIEWER)
            return start_response(status, headers, *arguments)

        answer = wsgi(environ, start)
        # No body for HEAD (as from `refuse`): the client would read it as the beginning of the next answer.
        return [] if environ["REQUEST_METHOD"] == "HEAD" and isinstance(answer, list) else answer

    return whole


def report_errors(wsgi: Wsgi, faults: Faults) -> Wsgi:
    """Report errors of the application, which the HTTP server would swallow. A broken connection is not reported."""

    def reported(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return wsgi(environ, start_response)
        except OSError:
            raise
        except Exception as error:
            faults.report("http", error)
            raise

    return reported


def _body_length(environ: dict[str, Any]) -> int | None:
    """Bytes of a request's body; None if another program, such as a proxy, may interpret its headers differently.

    Source: RFC 9112, 6.3.
    """
    lengths = [value for name, value in environ["headers_raw"] if name.lower() == "content-length"] or ["0"]
    if "HTTP_TRANSFER_ENCODING" in environ or len(lengths) > 1 or not re.fullmatch("[0-9]{1,20}", lengths[0]):
        return None
    return int(lengths[0])


def _read(body: Any, size: int, connection: Connection) -> io.BytesIO:
    data = bytearray()
    while not connection.is_closing and (piece := body.read(min(size - len(data), RECEIVE_BYTES))):
        data += piece
        connection.note_unfinished(data)
        eventlet.sleep(0)  # a client that sends faster than it is read must not keep the others waiting
    if len(data) < size:
        raise ConnectionResetError(f"{size - len(data)} bytes of a request's body are missing")
    return io.BytesIO(data)


def refuse(
    start_response: Callable[..., Any], status: str, words: str, headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    """Answer a request with a status, a line of text and further headers."""
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [f"{words}\n".encode()]


def _site(origin: str) -> str | None:
    """The host and port of an Origin header; None if it is no URL."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return not address.is_unspecified and not (address.version == 6 and address.ipv4_mapped)

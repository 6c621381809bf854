"""The guard of the port that several fronts share (`server/fronts.py`): it serves websockets, and little else.

Two requests to the shared port may reach two fronts. So everything that takes more than one connection is on each
front's own port: the page and its orders, metrics, and Socket.IO by polling.
"""

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from server.wire.addresses import in_url
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import Peer
from server.wire.guard import Wsgi, refuse

SOCKET_IO = "/socket.io/"


def guard_shared_port(wsgi: Wsgi, shared_port: int, ports: Sequence[int], complaints: RateLimitedWarnings) -> Wsgi:
    """Serve on the shared port only requests that take one connection; /healthz is that of any front.

    Args:
        wsgi: the application, which each front's own port serves completely.
        shared_port: the shared port.
        ports: the own port of each front.
        complaints: where clients' mistakes are reported.
    """
    own = f"each front's own port, {ports[0]} to {ports[-1]}"

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if environ["SERVER_PORT"] != str(shared_port) or path == "/healthz":
            return wsgi(environ, start_response)
        if path == "/":
            start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-cache")])
            return [_links(environ, ports).encode()]
        if path != SOCKET_IO:
            return refuse(start_response, "421 Misdirected Request", f"expected a request to {own}")
        transport = parse_qs(environ.get("QUERY_STRING", "")).get("transport", ["polling"])[0]
        if transport != "websocket":
            expected = f"transport=websocket alone, or {own}"
            complaints.warn(Peer.of(environ).host, "transport", expected, "polling on the shared port")
            return refuse(start_response, "400 Bad Request", f"expected {expected}")
        return wsgi(environ, start_response)

    return guarded


def _links(environ: dict[str, Any], ports: Sequence[int]) -> str:
    """A page with links to the pages of all fronts, under the host name of this request."""
    name = urlsplit(f"//{environ.get('HTTP_HOST', 'localhost')}").hostname or "localhost"
    host = html.escape(in_url(name))
    links = "".join(f'<li><a href="//{host}:{port}/">Front {at}</a></li>' for at, port in enumerate(ports, 1))
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="dark light"><link rel="icon" href="data:,"><title>Follow me</title>'
        f"<h1>Follow me</h1><p>{len(ports)} fronts share this port. Each shows its own drones.</p>"
        f"<ul>{links}</ul></html>\n"
    )

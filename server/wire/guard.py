"""Who may ask this server: no page but its own."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit


def refuse_foreign_names(wsgi: Callable[..., Any], host: str) -> Callable[..., Any]:
    """Refuse requests that name this server as only a foreign page can.

    Socket.IO compares a page's origin with the Host header. A site whose name has been pointed at this machine passes
    that, so the name must be an address, "localhost", this machine's own or the one in `host`.
    """
    own_names = {"localhost", socket.gethostname().lower(), host.lower()}

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            name = urlsplit(f"//{environ.get('HTTP_HOST', 'localhost')}").hostname or ""
        except ValueError:
            name = "no host"
        if name not in own_names and not _is_address(name):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [f"expected an address or one of {', '.join(sorted(own_names))}, got {name}\n".encode()]
        return wsgi(environ, start_response)

    return guarded


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""Around every HTTP request: only the server's own page may ask, and our own errors are reported."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from server.supervision import Faults


def refuse_foreign_names(wsgi: Callable[..., Any], host: str) -> Callable[..., Any]:
    """Refuse requests whose Host header can only come from another site's page.

    Socket.IO compares a page's origin with the Host header. A site whose name has been pointed at this machine passes
    that check, so the name must be an address, "localhost", this machine's own name or the one in `host`.
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


def report_errors(wsgi: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    """Report errors of the application, which the HTTP server would swallow; a connection that breaks is none."""

    def reported(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            return wsgi(environ, start_response)
        except OSError:
            raise
        except Exception as error:
            faults.report("http", error)
            raise

    return reported


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""The token that clients of other machines must show. Programs on this machine need none: QuadSim cannot send one.

A proxy on this machine connects from loopback, too, on behalf of others. It is recognised by the headers that it adds.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from werkzeug.http import dump_cookie, parse_cookie

from server.wire.addresses import is_loopback
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import Peer, connection_of
from server.wire.guard import Wsgi, refuse

# Characters that need no escape in a URL, a header or a cookie (RFC 3986, 2.3).
TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,200}")
COOKIE = "followme_token"
OF_A_PROXY = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")
HOW_TO_SHOW = "open the page once as /?token=TOKEN, or send the header 'Authorization: Bearer TOKEN'"


def read_token(file: Path) -> str:
    """Read the token in a file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the file holds anything but a token; the message does not quote the file.
    """
    text = file.read_bytes().decode(errors="replace").strip()
    if not TOKEN.fullmatch(text):
        raise ValueError(
            f"{file}: expected a token of 16 to 200 letters, digits and . _ ~ -, got {len(text)} characters; "
            "'openssl rand -hex 16' makes one"
        )
    return text


def require_token(wsgi: Wsgi, token: str, complaints: RateLimitedWarnings) -> Wsgi:
    """Refuse requests of other machines that do not show the token: pages, routes and sockets.

    The token is in the header `Authorization: Bearer TOKEN`, in the query as `token=TOKEN`, or in a cookie. A browser
    gets the cookie when it opens the page with that query, and is then redirected to the page without the query.
    """

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if _is_local(environ):
            return wsgi(environ, start_response)
        in_query = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[0]
        shown = [in_query, _in_authorization(environ), _in_cookie(environ)]
        if not any(_is_same(each, token) for each in shown):
            received = "another" if any(shown) else "none"
            complaints.warn(Peer.of(environ).host, "token", "the token of --token-file", received)
            connection_of(environ).close_after_answer(environ)
            headers = [("WWW-Authenticate", "Bearer"), ("Cache-Control", "no-store")]
            return refuse(
                start_response, "401 Unauthorized", f"expected a token, got {received}: {HOW_TO_SHOW}", headers
            )
        if in_query and environ["REQUEST_METHOD"] == "GET" and environ.get("PATH_INFO") == "/":
            headers = [("Location", "/"), ("Set-Cookie", _cookie(token, environ)), ("Cache-Control", "no-store")]
            return refuse(start_response, "303 See Other", "the page is at /", headers)
        return wsgi(environ, start_response)

    return guarded


def _is_local(environ: Mapping[str, Any]) -> bool:
    return is_loopback(str(environ.get("REMOTE_ADDR"))) and not any(name in environ for name in OF_A_PROXY)


def _is_same(shown: str, token: str) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(shown.encode(errors="replace"), token.encode())


def _in_authorization(environ: Mapping[str, Any]) -> str:
    scheme, _, shown = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else ""


def _in_cookie(environ: Mapping[str, Any]) -> str:
    header = environ.get("HTTP_COOKIE", "").encode("ascii", errors="replace").decode()  # werkzeug raises for non-ASCII
    return parse_cookie(header).get(COOKIE, "")


def _cookie(token: str, environ: Mapping[str, Any]) -> str:
    """The cookie with the token. No script can read it. Browsers don't send it with orders from other sites' pages."""
    is_encrypted = environ.get("HTTP_X_FORWARDED_PROTO") == "https"
    return dump_cookie(COOKIE, token, httponly=True, samesite="Lax", secure=is_encrypted)

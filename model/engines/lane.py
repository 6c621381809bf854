"""One HTTP connection to a machine that infers, with a deadline for each answer."""

import contextlib
import http.client
import socket
import time
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from model.engines.engine import UnavailableError

# What a machine says in a refusal is quoted as far.
MOST_QUOTED = 200


class Answer(NamedTuple):
    """A whole answer with status 200."""

    headers: http.client.HTTPMessage
    body: bytes


def check_url(url: str) -> str:
    """An address such as http://gpu.lan:8000, without a slash at its end.

    Raises:
        ValueError: if it is not http or https with a host, a port perhaps, and nothing else.
    """
    wrong = ValueError(f"expected an address such as http://127.0.0.1:8000, got {url}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise wrong from None
    is_whole = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if not is_whole or parts.path not in ("", "/") or parts.query or parts.fragment or not url.isprintable():
        raise wrong
    return f"{parts.scheme}://{parts.netloc}"


class Lane:
    """A connection that is kept open. One thread at a time asks, and any may abort it.

    Args:
        url: result of `check_url`.
        token: to show as a bearer; None for none.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._is_aborted = False

    def ask(
        self,
        path: str,
        deadline_s: float,
        most_bytes: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """GET, or POST a body.

        What fails at once is tried once more: the machine may have closed the connection meanwhile, and where several
        programs serve, another one may take the place of one that has died.

        Args:
            path: of the address.
            deadline_s: monotonic seconds.
            most_bytes: longest answer.
            body: to POST.
            headers: beside the token.

        Raises:
            UnavailableError: if there is no whole answer with status 200.
            TimeoutError: if there is none in time.
        """
        half_s = (deadline_s + time.monotonic()) / 2
        try:
            return self._ask(path, deadline_s, most_bytes, body, headers)
        except UnavailableError:
            if self._is_aborted or time.monotonic() > half_s:
                raise
        return self._ask(path, deadline_s, most_bytes, body, headers)

    def _ask(
        self, path: str, deadline_s: float, most_bytes: int, body: bytes | None, headers: Mapping[str, str] | None
    ) -> Answer:
        connection = self._connection
        try:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or self._is_aborted:
                raise TimeoutError
            connection.timeout = left_s  # of each wait; whoever needs the whole of them limited aborts
            if connection.sock is not None:
                connection.sock.settimeout(left_s)
            connection.request("GET" if body is None else "POST", path, body, {**self._headers, **(headers or {})})
            response = connection.getresponse()
            answer = response.read(most_bytes + 1)
            if response.status != HTTPStatus.OK:
                raise UnavailableError(f"status {response.status}: {_quoted(answer)}")
            if len(answer) > most_bytes:
                raise UnavailableError(f"an answer of more than {most_bytes} bytes")
            if response.length:
                raise UnavailableError(f"an answer that ends {response.length} bytes early")
            if response.getheader("Content-Encoding", "identity") != "identity":
                answer = _unpacked(answer, most_bytes)
            return Answer(response.headers, answer)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if isinstance(error, UnavailableError | TimeoutError):
                raise
            raise UnavailableError(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Close the connection; the next question opens it anew."""
        self._connection.close()

    def abort(self) -> None:
        """Have the thread that asks fail at once, and every later question; never waits."""
        self._is_aborted = True
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # closed meanwhile
                sock.shutdown(socket.SHUT_RDWR)


def _unpacked(packed: bytes, most_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=47)  # zlib's format and gzip's
    try:
        unpacked = unpacker.decompress(packed, most_bytes + 1)
    except zlib.error as error:
        raise UnavailableError(f"a damaged answer: {error}") from error
    if len(unpacked) > most_bytes or not unpacker.eof:
        raise UnavailableError("a packed answer that is too long or cut off")
    return unpacked


def _quoted(text: bytes) -> str:
    words = text[:MOST_QUOTED].decode(errors="replace").split()
    return "".join(letter for letter in " ".join(words) if letter.isprintable())

"""The Open Inference Protocol over HTTP, with tensors as bytes after the JSON."""

import contextlib
import http.client
import socket
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from model.command import error_text
from model.engines.engine import UnavailableError
from model.engines.inference_protocol import LENGTH_HEADER, Message, ModelMetadata, ProtocolError, decode, encode
from model.engines.lane import MOST_METADATA_BYTES, Lane, Question


class Answer(NamedTuple):
    """A whole answer with status 200."""

    headers: http.client.HTTPMessage
    body: bytes


class HttpLane(Lane):
    """A connection by HTTP.

    Args:
        url: result of `check_url`: http or https.
        token: bearer token to send; None for none.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def abort(self) -> None:
        """See `Lane.abort`."""
        self.is_aborted = True
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):  # closed meanwhile
                sock.shutdown(socket.SHUT_RDWR)

    def _ask_metadata(self, model: str, deadline_s: float) -> ModelMetadata:
        body = self._request(_path(model), deadline_s, MOST_METADATA_BYTES).body
        try:
            return msgspec.json.decode(body, type=ModelMetadata)
        except (ValueError, RecursionError) as error:  # from msgspec, or for bytes that are no UTF-8
            raise ProtocolError(f"no model's metadata: {error}") from error

    def _ask(self, question: Question, deadline_s: float, most_bytes: int) -> Message:
        content = {"id": question.number, "parameters": {"binary_data_output": True}}
        json_bytes, body = encode(content, "inputs", {question.tensor: question.image})
        headers = {
            LENGTH_HEADER: str(json_bytes),
            "Content-Type": "application/octet-stream",
            "Accept-Encoding": "deflate",
        }
        answer = self._request(f"{_path(question.model)}/infer", deadline_s, most_bytes, body, headers)
        return decode(answer.body, answer.headers.get(LENGTH_HEADER), "outputs")

    def _request(
        self,
        path: str,
        deadline_s: float,
        most_bytes: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """GET, or POST a body."""
        connection = self._connection
        try:
            left_s = self._left_s(deadline_s)
            connection.timeout = left_s  # limits each wait; to limit the whole request, call `abort`
            if connection.sock is None:
                self.is_checked = False
            else:
                connection.sock.settimeout(left_s)
            connection.request("GET" if body is None else "POST", path, body, {**self._headers, **(headers or {})})
            response = connection.getresponse()
            answer = response.read(most_bytes + 1)
            if response.status != HTTPStatus.OK:
                raise UnavailableError(f"status {response.status}: {answer.decode(errors='replace')}")
            if len(answer) > most_bytes:
                raise UnavailableError(f"an answer of more than {most_bytes} bytes")
            if response.length:
                raise UnavailableError(f"an answer that ends {response.length} bytes early")
            if response.getheader("Content-Encoding", "identity") != "identity":
                answer = _unpacked(answer, most_bytes)
            return Answer(response.headers, answer)
        except (OSError, ValueError, http.client.HTTPException) as error:  # a ValueError for a chunk of negative size
            connection.close()  # the next question opens it anew
            if isinstance(error, UnavailableError | TimeoutError):
                raise
            raise UnavailableError(error_text(error) or type(error).__name__) from error


def _path(model: str) -> str:
    return f"/v2/models/{quote(model, safe='')}"


def _unpacked(packed: bytes, most_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=47)  # zlib's format and gzip's
    try:
        unpacked = unpacker.decompress(packed, most_bytes + 1)
    except zlib.error as error:
        raise UnavailableError(f"a damaged answer: {error}") from error
    if len(unpacked) > most_bytes or not unpacker.eof:
        raise UnavailableError("a packed answer that is too long or cut off")
    return unpacked

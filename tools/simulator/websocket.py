"""The client side of the websocket protocol as in websocket-sharp, QuadSim's library, on bytes, without sockets.

Encoding is fast: a 100 kB message is masked and cut into fragments in about 0.2 ms.

Source: RFC 6455; handshake and fragments as in a recorded session of QuadSim's own client.
"""

import base64
import hashlib
import os
from typing import NamedTuple

import numpy as np

from tools.simulator.address import ServerAddress

FRAGMENT_BYTES = 1016
"""Payload of a fragment; websocket-sharp cuts longer messages into such fragments (1024 bytes with the header)."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_FIN = 0x80
_MASKED = 0x80
_LENGTH_IN_2_BYTES, _LENGTH_IN_8_BYTES = 126, 127
_MASK_BYTES = 4
_WORDS_PER_FRAGMENT = FRAGMENT_BYTES // _MASK_BYTES
_MAX_MESSAGE_BYTES = 16 * 2**20
_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebsocketError(ConnectionError):
    """The server violated the websocket protocol; the connection cannot continue."""


class Message(NamedTuple):
    """A complete message of joined fragments; `opcode` is TEXT, BINARY, CLOSE, PING or PONG."""

    opcode: int
    payload: bytes


def handshake_request(host: str, port: int, key: str) -> bytes:
    """Make QuadSim's upgrade request: the same headers in the same order, no Origin, and `EIO=4`."""
    return (
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
        "User-Agent: websocket-sharp/1.0\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        f"Host: {ServerAddress(host, port).authority}\r\n"
        f"Sec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "\r\n"
    ).encode("ascii")


def new_key() -> str:
    """Make a random `Sec-WebSocket-Key`."""
    return base64.b64encode(os.urandom(16)).decode("ascii")


def accept_key(key: str) -> str:
    """Compute the `Sec-WebSocket-Accept` with which a server confirms `key`."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii") + _ACCEPT_GUID).digest()).decode("ascii")


def check_handshake_response(head: bytes, key: str) -> None:
    """Check the server's response to `handshake_request`.

    Args:
        head: status line and headers, without the final empty line.
        key: key of the request.

    Raises:
        WebsocketError: if the server did not switch protocols, or the key does not match.
    """
    status, *lines = head.decode("latin-1").split("\r\n")
    if status.split(" ")[1:2] != ["101"]:
        raise WebsocketError(f"expected 'HTTP/1.1 101 Switching Protocols', got {status!r}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    for name, expected in (("upgrade", "websocket"), ("connection", "upgrade")):
        if headers.get(name, "").lower() != expected:
            raise WebsocketError(f"expected the header {name}: {expected}, got {headers.get(name)!r}")
    if headers.get("sec-websocket-accept") != accept_key(key):
        raise WebsocketError(
            f"expected Sec-WebSocket-Accept {accept_key(key)}, got {headers.get('sec-websocket-accept')!r}"
        )
    if "sec-websocket-extensions" in headers:
        raise WebsocketError(f"expected no extension, got {headers['sec-websocket-extensions']!r}")


def encode_message(text: str) -> bytes:
    """Encode a text message as QuadSim sends it: fragments of 1016 bytes, each masked with its own random key.

    The bytes can be sent repeatedly; a benchmark encodes its messages before the measurement.
    """
    payload = text.encode("utf-8")
    whole = max(len(payload) - 1, 0) // FRAGMENT_BYTES
    words = np.frombuffer(payload, "<u4", count=whole * _WORDS_PER_FRAGMENT).reshape(whole, _WORDS_PER_FRAGMENT)
    masks = np.frombuffer(os.urandom(whole * _MASK_BYTES), "<u4")
    header_words = 2  # opcode and length, then the mask
    fragments = np.empty((whole, header_words + _WORDS_PER_FRAGMENT), "<u4")
    fragments[:, 0] = _full_fragment_header(CONTINUATION)
    fragments[:1, 0] = _full_fragment_header(TEXT)
    fragments[:, 1] = masks
    np.bitwise_xor(words, masks[:, np.newaxis], out=fragments[:, header_words:])
    last = payload[whole * FRAGMENT_BYTES :]
    return fragments.tobytes() + encode_frame(CONTINUATION if whole else TEXT, last)


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Encode a masked and final frame with a payload of at most 65535 bytes."""
    first = _FIN | opcode
    if len(payload) < _LENGTH_IN_2_BYTES:
        header = bytes([first, _MASKED | len(payload)])
    else:
        header = bytes([first, _MASKED | _LENGTH_IN_2_BYTES]) + len(payload).to_bytes(2, "big")
    mask = os.urandom(_MASK_BYTES)
    return header + mask + apply_mask(payload, mask)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """XOR `payload` with the repeated 4-byte `mask`; the same operation masks and unmasks."""
    repeated = (mask * (len(payload) // _MASK_BYTES + 1))[: len(payload)]
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")
    return masked.to_bytes(len(payload), "little")


class ServerMessages:
    """Joins received bytes into messages, and checks that a server may send them."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._opcode: int | None = None
        self._fragments: list[bytes] = []

    def feed(self, data: bytes) -> list[Message]:
        """Add received bytes; returns the messages that they complete.

        Raises:
            WebsocketError: for masked or extended frames, unexpected continuations, and messages over 16 MiB.
        """
        self._received += data
        messages = []
        while (frame := self._next_frame()) is not None:
            message = self._join(*frame)
            if message is not None:
                messages.append(message)
        return messages

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        """Take the next complete frame from the received bytes: (is final, opcode, payload)."""
        received = self._received
        if len(received) < 2:
            return None
        if received[0] & 0x70:
            raise WebsocketError(f"expected no reserved bits, got the first byte {received[0]:#04x}")
        if received[1] & _MASKED:
            raise WebsocketError("expected unmasked frames from a server, got a masked frame")
        start, length = 2, received[1]
        if length >= _LENGTH_IN_2_BYTES:
            start += 8 if length == _LENGTH_IN_8_BYTES else 2
            if len(received) < start:
                return None
            length = int.from_bytes(received[2:start], "big")
        if length > _MAX_MESSAGE_BYTES:
            raise WebsocketError(f"expected a frame of at most {_MAX_MESSAGE_BYTES} bytes, got {length}")
        if len(received) < start + length:
            return None
        is_final, opcode = bool(received[0] & _FIN), received[0] & 0x0F
        payload = bytes(received[start : start + length])
        del received[: start + length]
        return is_final, opcode, payload

    def _join(self, is_final: bool, opcode: int, payload: bytes) -> Message | None:
        if opcode >= CLOSE:
            return Message(opcode, payload)
        if (opcode == CONTINUATION) != (self._opcode is not None):
            raise WebsocketError(
                f"expected {'a new' if self._opcode is None else 'the same'} message, got opcode {opcode}"
            )
        self._opcode = self._opcode if opcode == CONTINUATION else opcode
        self._fragments.append(payload)
        if sum(map(len, self._fragments)) > _MAX_MESSAGE_BYTES:
            raise WebsocketError(f"expected a message of at most {_MAX_MESSAGE_BYTES} bytes, got a longer one")
        if not is_final or self._opcode is None:
            return None
        message = Message(self._opcode, b"".join(self._fragments))
        self._opcode, self._fragments = None, []
        return message


def _full_fragment_header(opcode: int) -> int:
    """Header of a fragment of 1016 bytes, not the last, as a little-endian word."""
    header = bytes([opcode, _MASKED | _LENGTH_IN_2_BYTES]) + FRAGMENT_BYTES.to_bytes(2, "big")
    return int.from_bytes(header, "little")

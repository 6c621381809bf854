"""A server small enough to be obviously right: it records a QuadSim client's bytes, and answers as the test says."""

import base64
import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import pytest
from support.waiting import PATIENCE_S


class Frame(NamedTuple):
    """One websocket frame as received, with its payload unmasked."""

    is_final: bool
    opcode: int
    mask: bytes
    payload: bytes
    arrived_s: float


class Peer:
    """Accepts one websocket client at a time. `answer` maps each text message to the texts to send back."""

    def __init__(self) -> None:
        self.handshake = b""
        self.refuse_with: bytes | None = None
        self.greeting = ['0{"sid":"abc","upgrades":[],"pingTimeout":20000,"pingInterval":25000}']
        self.answer: Callable[[str], list[str]] = lambda text: ["3"] if text == "2" else []
        self._frames: list[Frame] = []
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def frames(self, count: int = 0, opcodes: tuple[int, ...] = (0, 1, 8, 10)) -> list[Frame]:
        """The frames with one of these opcodes so far, as soon as there are `count` of them."""
        return self._wait_for(count, lambda: [frame for frame in self._frames if frame.opcode in opcodes])

    def texts(self, count: int = 0) -> list[str]:
        """Whole text messages, joined, as soon as there are `count` of them."""
        return self._wait_for(count, self._joined)

    def events(self, count: int = 0) -> list[str]:
        """The text messages that are Socket.IO events, as soon as there are `count` of them."""
        return self._wait_for(count, lambda: [text for text in self._joined() if text.startswith("42")])

    def send(self, data: str | bytes) -> None:
        """Send text as one unmasked frame, or bytes as they are."""
        assert self._connection is not None
        if isinstance(data, str):
            payload = data.encode()
            length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
            data = b"\x81" + length + payload
        self._connection.sendall(data)

    def hang_up(self) -> None:
        """Cut the connection without a close frame."""
        assert self._connection is not None
        self._connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with contextlib.suppress(OSError, AssertionError):
            self.hang_up()
        self._thread.join(timeout=PATIENCE_S)

    def _wait_for(self, count: int, find: Callable[[], list]) -> list:
        with self._changed:
            assert self._changed.wait_for(lambda: len(find()) >= count, timeout=PATIENCE_S), self._frames
            return find()

    def _joined(self) -> list[str]:
        texts, current = [], b""
        for frame in self._frames:
            if frame.opcode in (0, 1):
                current += frame.payload
                if frame.is_final:
                    texts.append(current.decode())
                    current = b""
        return texts

    def _serve(self) -> None:
        while True:
            try:
                self._connection, _ = self._listener.accept()
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                return
            with (
                contextlib.suppress(EOFError, OSError),
                self._connection,
                self._connection.makefile("rb") as stream,
            ):
                self._talk(self._connection, stream)

    def _talk(self, connection: socket.socket, stream: BinaryIO) -> None:
        self.handshake = b"".join(iter(stream.readline, b"\r\n"))
        if self.refuse_with is not None:
            connection.sendall(self.refuse_with)
            return
        key = next(line for line in self.handshake.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
        digest = hashlib.sha1(key.split(b": ")[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        for text in self.greeting:
            self.send(text)
        known = len(self.texts())
        while True:
            frame = self._read_frame(stream.read)
            with self._changed:
                self._frames.append(frame)
                self._changed.notify_all()
            if frame.opcode == 8:
                return
            for text in self.texts()[known:]:
                known += 1
                for reply in self.answer(text):
                    self.send(reply)

    @staticmethod
    def _read_frame(read: Callable[[int], bytes]) -> Frame:
        def exactly(count: int) -> bytes:
            data = read(count)
            if len(data) < count:
                raise EOFError
            return data

        first, second = exactly(2)
        assert second & 0x80, "expected a client's frames masked"
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(exactly(2 if length == 126 else 8), "big")
        mask = exactly(4)
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(exactly(length)))
        return Frame(bool(first & 0x80), first & 0x0F, mask, payload, time.monotonic())


@pytest.fixture
def peer() -> Iterator[Peer]:
    server = Peer()
    yield server
    server.stop()

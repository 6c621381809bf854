"""A client of QuadSim's Socket.IO dialect, byte for byte, for tests, benchmark, player and simulator.

QuadSim uses Engine.IO 3 and Socket.IO 2, although its URL says `EIO=4`. It never sends the CONNECT packet (`40`), pings
the server itself (`2`, answered by `3`), and accepts only events with exactly one argument, a JSON object. Messages
that its parser cannot read are kept in `QuadSimClient.violations`; tests assert that there are none.

There is an extension, which QuadSim does not use: this project's server acknowledges a frame with a number after it has
sent the commands that the frame caused (`42<number>[...]` and `43<number>[]`, as in Socket.IO).
"""

import contextlib
import json
import math
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from model.command import error_text
from tools.simulator.address import QUADSIM_HOST, QUADSIM_PORT
from tools.simulator.inbox import Inbox, ReceivedEvent
from tools.simulator.packets import EVENT_PREFIX, parse_event, sensor_frame_message
from tools.simulator.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Message,
    ServerMessages,
    WebsocketError,
    check_handshake_response,
    encode_frame,
    encode_message,
    handshake_request,
    new_key,
)

PING_PERIOD_S = 0.33
"""Time from a pong to QuadSim's next ping."""

_MAX_HANDSHAKE_BYTES = 65536
_RECEIVE_BYTES = 65536


class QuadSimClient(Inbox):
    """A QuadSim from the server's point of view: a socket, and a thread that reads it, pings and answers pings.

    Use it as a context manager, or call `connect` and `close`; after a disconnect, `connect` may be called again. The
    received events stay readable after the end. All methods may be called from any thread.

    Args:
        host: host of the server.
        port: port of the server.
        ping_period_s: time from a pong to the next ping; infinite for no pings.
        connect_timeout_s: time limit for the connection and for the handshake.
        on_event: called on the reader's thread with each accepted event, right after it is parsed.
        kept: most events, most round trips and most violations to keep, the newest of each; None for all.
    """

    def __init__(
        self,
        host: str = QUADSIM_HOST,
        port: int = QUADSIM_PORT,
        *,
        ping_period_s: float = PING_PERIOD_S,
        connect_timeout_s: float = 5.0,
        on_event: Callable[[ReceivedEvent], None] | None = None,
        kept: int | None = None,
    ):
        super().__init__(kept)
        self.host = host
        self.port = port
        self._ping_period_s = ping_period_s
        self._connect_timeout_s = connect_timeout_s
        self._on_event = on_event
        self._socket: socket.socket | None = None
        self._name = ""
        self._reader: threading.Thread | None = None
        self._send_lock = threading.Lock()  # a ping must not land between the fragments of a message
        self._linked_s = -math.inf
        self._session_id: str | None = None
        self._is_closing = False

    @property
    def linked_s(self) -> float:
        """`time.monotonic()` of the latest ping or pong from the server; −infinity before the first."""
        return self._linked_s

    @property
    def session_id(self) -> str | None:
        """The `sid` of the server's open packet; None before that packet."""
        return self._session_id

    @property
    def name(self) -> str:
        """The server's name for this client: the address of this end of the connection; empty without a connection."""
        return self._name

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Connect and make the handshake.

        Raises:
            OSError: if there is no server (`ConnectionRefusedError`), no answer in time (`TimeoutError`), or an answer
                that is not a websocket handshake (`WebsocketError`).
            RuntimeError: if already connected.
        """
        if self.is_connected:
            raise RuntimeError(f"expected no connection, got one to {self.host}:{self.port}")
        sock = socket.create_connection((self.host, self.port), self._connect_timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            first_bytes = self._shake_hands(sock)
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        self._socket, self._name = sock, "{}:{}".format(*sock.getsockname())
        self._session_id = None
        self._unanswered.clear()
        self._is_closing = False
        self._close_reason = None
        self._reader = threading.Thread(
            target=self._read, args=(sock, first_bytes), name=f"QuadSim {sock.getsockname()[1]}", daemon=True
        )
        self._reader.start()

    def close(self) -> None:
        """Send a close frame and disconnect; does nothing if not connected."""
        self._is_closing = True
        with contextlib.suppress(OSError):  # the other side was faster
            self.send_raw_bytes(encode_frame(CLOSE, b""))
            self.wait_closed(timeout_s=1.0)
        self.drop()

    def drop(self) -> None:
        """Cut the connection without a close frame, as a crashed simulator does."""
        self._end("closed by this side")
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(timeout=5.0)

    def send_frame(self, payload: str | dict[str, Any], number: int | None = None) -> float:
        """Send a `sensor_frame`.

        Args:
            payload: argument of the event, as an object or as JSON text.
            number: number for `wait_answered`, unique on this connection; None for a frame as QuadSim sends it.

        Returns:
            `time.monotonic()` right before the bytes are sent, for the argument `since_s` of `wait_for`.

        Raises:
            ConnectionError: if there is no connection, or it breaks during sending.
        """
        if number is not None:
            with self._changed:
                self._unanswered.add(number)
        return self.send_raw_text(sensor_frame_message(payload, number))

    def send_raw_text(self, text: str) -> float:
        """Send a text as a message in QuadSim's fragments; returns and raises as `send_frame`."""
        return self.send_raw_bytes(encode_message(text))

    def send_raw_bytes(self, data: bytes) -> float:
        """Send bytes unchanged, from `encode_message` or malformed; returns and raises as `send_frame`."""
        with self._send_lock:
            if self._socket is None or self._close_reason is not None:
                raise ConnectionError(
                    f"expected a connection to {self.host}:{self.port}, got none: {self._close_reason}"
                )
            sent_s = time.monotonic()
            self._socket.sendall(data)
            return sent_s

    def _shake_hands(self, sock: socket.socket) -> bytes:
        """Upgrade to websocket; returns the bytes after the server's response."""
        key = new_key()
        sock.sendall(handshake_request(self.host, self.port, key))
        response = b""
        while b"\r\n\r\n" not in response:
            received = sock.recv(4096)
            if not received or len(response) > _MAX_HANDSHAKE_BYTES:
                raise WebsocketError(
                    f"expected a websocket handshake from {self.host}:{self.port}, got {response[:80]!r}"
                )
            response += received
        head, _, rest = response.partition(b"\r\n\r\n")
        check_handshake_response(head, key)
        return rest

    def _read(self, sock: socket.socket, first_bytes: bytes) -> None:
        """Receive, ping and answer pings until the connection ends."""
        reason = "the reader failed"
        try:
            reason = self._exchange(sock, first_bytes)
        except WebsocketError as error:
            reason = str(error)
            self._append(self._violations, reason)
        except OSError as error:
            reason = f"connection lost: {error_text(error)}"
        finally:
            self._end("closed by this side" if self._is_closing else reason)
            with self._send_lock:
                sock.close()

    def _exchange(self, sock: socket.socket, received: bytes) -> str:
        """Handle messages, starting with those in `received`, and ping; returns why the connection was closed."""
        incoming = ServerMessages()
        next_ping_s = time.monotonic() if self._ping_period_s < math.inf else math.inf
        pinged_s: float | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            while True:
                for message in incoming.feed(received):
                    if message.opcode == CLOSE:
                        return self._answer_close(message)
                    if message.opcode == TEXT and message.payload == b"3" and pinged_s is not None:
                        arrived_s = self._linked_s = time.monotonic()
                        self._append(self._round_trips_s, arrived_s - pinged_s)
                        pinged_s, next_ping_s = None, arrived_s + self._ping_period_s
                    else:
                        self._handle(message)
                if time.monotonic() >= next_ping_s:
                    pinged_s, next_ping_s = self.send_raw_text("2"), math.inf  # the next ping waits for the pong
                received = b""
                if selector.select(None if next_ping_s == math.inf else max(next_ping_s - time.monotonic(), 0.0)):
                    received = sock.recv(_RECEIVE_BYTES)
                    if not received:
                        return "closed by the server without a close frame"

    def _answer_close(self, message: Message) -> str:
        """Answer a close frame, unless it answers ours; returns the reason with the status."""
        if not self._is_closing:
            self.send_raw_bytes(encode_frame(CLOSE, message.payload[:2]))
        status = int.from_bytes(message.payload[:2], "big") or "none"
        return f"closed by the server (status {status})"

    def _handle(self, message: Message) -> None:
        """Handle a message as QuadSim does, or note the violation."""
        if message.opcode == PING:
            self.send_raw_bytes(encode_frame(PONG, message.payload))
        elif message.opcode == BINARY:
            self._append(self._violations, f"expected text, got a binary message of {len(message.payload)} bytes")
        elif message.opcode == TEXT:
            try:
                self._handle_packet(message.payload.decode("utf-8"))
            except ValueError as error:
                self._append(self._violations, str(error))

    def _handle_packet(self, packet: str) -> None:
        """Handle an Engine.IO packet; ValueError if QuadSim's parser cannot read it."""
        if packet.startswith(EVENT_PREFIX):
            event = ReceivedEvent(*parse_event(packet), time.monotonic())
            self._append(self._events, event)
            if self._on_event is not None:
                self._on_event(event)
        elif packet.startswith("2"):
            self._linked_s = time.monotonic()
            self.send_raw_text("3" + packet[1:])
        elif packet.startswith("43"):
            self._take_acknowledgement(packet)
        elif packet.startswith("0"):
            opening = json.loads(packet[1:])
            if not isinstance(opening, dict) or not isinstance(opening.get("sid"), str):
                raise ValueError(f"expected an open packet with a sid, got {packet[:60]!r}")
            self._session_id = opening["sid"]
        elif not packet.startswith(("1", "3", "6", "40", "41")):
            raise ValueError(f"expected an Engine.IO 3 packet with text, got {packet[:60]!r}")

    def _end(self, reason: str) -> None:
        super()._end(reason)
        if self._socket is not None:
            with contextlib.suppress(OSError):  # already down
                self._socket.shutdown(socket.SHUT_RDWR)

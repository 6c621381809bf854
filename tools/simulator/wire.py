"""A client of QuadSim's Socket.IO dialect, byte for byte, for tests, benchmark, player and simulator.

QuadSim uses Engine.IO 3 and Socket.IO 2, although its URL says `EIO=4`. It never sends the CONNECT packet (`40`), pings
the server itself (`2`, answered by `3`), and accepts only events with exactly one argument, a JSON object. Messages
that its parser cannot read are kept in `QuadSimClient.violations`; tests assert that there are none.

There is an extension, which QuadSim does not use: this project's server acknowledges a frame with a number after it has
sent the commands that the frame caused (`42<number>[...]` and `43<number>[]`, as in Socket.IO).
"""

import contextlib
import itertools
import json
import math
import re
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from tools.simulator.address import QUADSIM_HOST, QUADSIM_PORT
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

_EVENT_PREFIX = "42"
_ACKNOWLEDGEMENT = re.compile(r"43(\d+)\[\]")
_MAX_HANDSHAKE_BYTES = 65536
_RECEIVE_BYTES = 65536


class ReceivedEvent(NamedTuple):
    """An event that QuadSim's parser accepts; `arrived_s` is `time.monotonic()` at its arrival."""

    name: str
    argument: dict[str, Any]
    arrived_s: float


def sensor_frame_message(payload: str | dict[str, Any], number: int | None = None) -> str:
    """Make the Socket.IO packet of a `sensor_frame`.

    Args:
        payload: argument of the event, as an object or as JSON text.
        number: number for the acknowledgement; None for a frame as QuadSim sends it.
    """
    argument = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return f'{_EVENT_PREFIX}{"" if number is None else number}["sensor_frame",{argument}]'


def parse_event(packet: str) -> tuple[str, dict[str, Any]]:
    """Parse an event packet as strictly as QuadSim's parser does.

    Args:
        packet: text of the whole Engine.IO message, with its leading `42`.

    Returns:
        Name and argument of the event.

    Raises:
        ValueError: for any other form than `42["name",{...}]`, on which QuadSim's parser throws.
    """

    def refuse_constant(constant: str) -> None:
        raise ValueError(f"expected JSON numbers, got {constant}")

    body = packet.removeprefix(_EVENT_PREFIX)
    if not body.startswith("["):
        raise ValueError(
            f"expected '[' after {_EVENT_PREFIX} (no namespace, no acknowledgement id), got {packet[:60]!r}"
        )
    items = json.loads(body, parse_constant=refuse_constant)
    if not items or not isinstance(items[0], str):
        raise ValueError(f"expected an event name, got {packet[:60]!r}")
    name, *arguments = items
    if len(arguments) != 1 or not isinstance(arguments[0], dict):
        kinds = [type(argument).__name__ for argument in arguments]
        raise ValueError(f"expected exactly one argument, a JSON object, for {name!r}, got {kinds}")
    return name, arguments[0]


class QuadSimClient:
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
        self.host = host
        self.port = port
        self._ping_period_s = ping_period_s
        self._connect_timeout_s = connect_timeout_s
        self._on_event = on_event
        self._socket: socket.socket | None = None
        self._name = ""
        self._reader: threading.Thread | None = None
        self._send_lock = threading.Lock()  # a ping must not land between the fragments of a message
        self._changed = threading.Condition()  # its holder may take it again
        self._events = deque[ReceivedEvent](maxlen=kept)
        self._round_trips_s = deque[float](maxlen=kept)
        self._violations = deque[str](maxlen=kept)
        self._unanswered: set[int] = set()
        self._linked_s = -math.inf
        self._session_id: str | None = None
        self._is_closing = False
        self._close_reason: str | None = "not connected yet"

    @property
    def events(self) -> tuple[ReceivedEvent, ...]:
        """The events received so far, oldest first."""
        with self._changed:
            return tuple(self._events)

    def events_since(self, since_s: float) -> list[ReceivedEvent]:
        """Events that arrived from `since_s` on, oldest first; searched from the end because there may be many."""
        with self._changed:
            recent = itertools.takewhile(lambda event: event.arrived_s >= since_s, reversed(self._events))
            return [*recent][::-1]

    @property
    def round_trips_s(self) -> tuple[float, ...]:
        """Time from each answered ping to its pong, s."""
        with self._changed:
            return tuple(self._round_trips_s)

    @property
    def violations(self) -> tuple[str, ...]:
        """Descriptions of messages from the server that QuadSim cannot parse; empty for a correct server."""
        with self._changed:
            return tuple(self._violations)

    @property
    def linked_s(self) -> float:
        """`time.monotonic()` of the latest ping or pong from the server; −infinity before the first."""
        return self._linked_s

    @property
    def session_id(self) -> str | None:
        """The `sid` of the server's open packet; None before that packet."""
        return self._session_id

    @property
    def close_reason(self) -> str | None:
        """Why there is no connection; None while there is one."""
        return self._close_reason

    @property
    def name(self) -> str:
        """The server's name for this client: the address of this end of the connection; empty without a connection."""
        return self._name

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._close_reason is None

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

    def wait_for(self, *event_names: str, timeout_s: float = 5.0, since_s: float = 0.0) -> ReceivedEvent:
        """Wait for an event and return it.

        Args:
            event_names: names to wait for; without names, any event.
            timeout_s: time limit from now; 0 considers only events that have arrived.
            since_s: `time.monotonic()` from which events count, as `send_frame` returns it.

        Raises:
            TimeoutError: if no such event arrives in time; the message names the events that did.
            ConnectionError: if the connection is closed before.
        """
        deadline_s = time.monotonic() + timeout_s
        expected = " or ".join(event_names) or "any event"
        with self._changed:
            while True:
                recent = self.events_since(since_s)
                for event in recent:
                    if not event_names or event.name in event_names:
                        return event
                if self._close_reason is not None:
                    raise ConnectionError(f"expected {expected}, got a disconnect: {self._close_reason}")
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0:
                    names = ", ".join(sorted({event.name for event in recent})) or "nothing"
                    raise TimeoutError(f"expected {expected} within {timeout_s:g} s, got {names}")
                self._changed.wait(remaining_s)

    def wait_answered(self, number: int, timeout_s: float = 60.0) -> None:
        """Wait until the server has acknowledged a frame; by then, all its earlier messages have arrived.

        Raises:
            TimeoutError: if there is no acknowledgement in time.
            ConnectionError: if the connection is closed before.
        """
        with self._changed:
            is_over = self._changed.wait_for(lambda: number not in self._unanswered or not self.is_connected, timeout_s)
            if number not in self._unanswered:
                return
            if is_over:
                raise ConnectionError(f"expected frame {number} acknowledged, got a disconnect: {self._close_reason}")
        raise TimeoutError(f"expected frame {number} acknowledged within {timeout_s:g} s, got nothing")

    def wait_closed(self, timeout_s: float = 5.0) -> bool:
        """Wait until the connection is closed; returns False if it is still open after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.is_connected, timeout_s)

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
            reason = f"connection lost: {error}"
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
        if packet.startswith(_EVENT_PREFIX):
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

    def _take_acknowledgement(self, packet: str) -> None:
        """Note an acknowledged frame; ValueError if the packet does not acknowledge an unanswered frame."""
        match = _ACKNOWLEDGEMENT.fullmatch(packet)
        with self._changed:
            if match is None or int(match[1]) not in self._unanswered:
                raise ValueError(f"expected 43, the number of an unanswered frame, and [], got {packet[:60]!r}")
            self._unanswered.remove(int(match[1]))
            self._changed.notify_all()

    def _append(self, record: deque[Any], item: object) -> None:
        with self._changed:
            record.append(item)
            self._changed.notify_all()

    def _end(self, reason: str) -> None:
        """Mark the connection as closed; the first reason is kept."""
        with self._changed:
            if self._close_reason is None:
                self._close_reason = reason
            self._changed.notify_all()
        if self._socket is not None:
            with contextlib.suppress(OSError):  # already down
                self._socket.shutdown(socket.SHUT_RDWR)

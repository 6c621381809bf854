"""QuadSim's dialect on top of python-engineio and python-socketio, beside the current protocol.

QuadSim says `EIO=4` but speaks the older one: it sends its first event without a CONNECT packet, and it is the one
who pings. Both are added here, by subclasses; a client of the current protocol notices nothing. An event that asks for
Socket.IO's acknowledgement, which QuadSim's never do, has it when it has been answered rather than received.

Nothing that a client sends gets past this module but whole, well-formed events: what else comes is complained of
and dropped, and the connection goes on.
"""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import engineio
import eventlet
import socketio
from eventlet.websocket import RFC6455WebSocket
from eventlet.websocket import WebSocketWSGI as EventletWebSocketWSGI
from socketio.packet import ACK

from server.wire.complaints import RateLimitedWarnings
from server.wire.messages import shorten

logger = logging.getLogger(__name__)

# A frame message is 30–150 kB.
MOST_MESSAGE_BYTES = 1_000_000
MOST_FRAGMENTS = 10_000
# Small enough that what one client has sent is worked off in some 20 ms, before the others have their turn.
RECEIVE_BYTES = 32768
# Packets that wait for a client who does not read them; 20 a second is what a simulator is sent.
MOST_QUEUED = 1000
# Names that python-socketio raises itself; a client must not.
RESERVED_EVENTS = frozenset({"connect", "disconnect", "*"})


class Rubbish:
    """A message that is none: what was expected in its place, and what came."""

    def __init__(self, expected: str, received: str) -> None:
        self.expected, self.received = expected, received


class BoundedMessage(RFC6455WebSocket.Message):
    """A websocket message of bounded size: what comes beyond it is counted and thrown away."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._size = self._fragments = 0

    def push(self, data: bytes, final: bool = False) -> None:
        """Take the next piece of the message."""
        self._size += len(data)
        self._fragments += 1
        if self._size > MOST_MESSAGE_BYTES or self._fragments > MOST_FRAGMENTS:
            self.data.clear()
            data = b""
        super().push(data, final)

    def getvalue(self) -> str | bytes | Rubbish:
        """The whole message, or that it was rubbish."""
        if self._size > MOST_MESSAGE_BYTES:
            return Rubbish(f"at most {MOST_MESSAGE_BYTES} bytes", f"{self._size} bytes")
        if self._fragments > MOST_FRAGMENTS:
            return Rubbish(f"at most {MOST_FRAGMENTS} fragments", f"{self._fragments}")
        try:
            return super().getvalue()
        except UnicodeDecodeError as error:
            return Rubbish("text in UTF-8", str(error))


class BufferedSocket:
    """A green socket that reads ahead: QuadSim's 1016-byte fragments would cost five system calls each.

    Attributes:
        ahead: bytes received and not yet taken.
    """

    def __init__(self, green_socket: Any) -> None:
        self._socket = green_socket
        self.ahead = memoryview(b"")

    def recv(self, most: int) -> bytes:
        """Up to `most` bytes; empty when the peer has closed."""
        if not self.ahead:
            eventlet.sleep(0)  # a client that sends faster than it is read must not keep the others waiting
            self.ahead = memoryview(self._socket.recv(RECEIVE_BYTES))
        piece, self.ahead = bytes(self.ahead[:most]), self.ahead[most:]
        return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class WebSocket(RFC6455WebSocket):
    """eventlet's websocket, reading a frame message in a fraction of a millisecond, and answering QuadSim's pings.

    `complain` is called with what was expected and what came for each message that is not passed on.
    """

    Message = BoundedMessage
    complain: Callable[[str, str], None]
    socket: BufferedSocket

    @staticmethod
    def _apply_mask(data: bytes, mask: Sequence[int], length: int | None = None, offset: int = 0) -> bytes:
        # eventlet XORs byte by byte in Python, 16 ms a frame; over one large integer it is 50 times as fast.
        length = len(data)
        key = bytes(mask[(offset + i) % 4] for i in range(4)) if offset else bytes(mask)
        keys = int.from_bytes((key * (length // 4 + 1))[:length], "little")
        return (int.from_bytes(data, "little") ^ keys).to_bytes(length, "little")

    def _recv_frame(self, message: BoundedMessage | None = None) -> BoundedMessage:
        # The 80 fragments of a frame message that follow the first: masked continuations, their length in 16 bits.
        # Those that have arrived whole are taken here; anything else is eventlet's.
        ahead = self.socket.ahead
        if message is not None and len(ahead) > 8 and ahead[0] in (0x00, 0x80) and ahead[1] == 0xFE:
            end = 8 + int.from_bytes(ahead[2:4])
            if end <= len(ahead):
                message.push(self._apply_mask(bytes(ahead[8:end]), ahead[4:8]), final=ahead[0] == 0x80)
                self.socket.ahead = ahead[end:]
                return message
        return super()._recv_frame(message)

    def wait(self) -> str | None:
        """The next Engine.IO packet, or None once the client has gone."""
        for message in self.iterator:
            eventlet.sleep(0)  # as in `BufferedSocket.recv`: one message, then the others' turn
            if isinstance(message, Rubbish):
                self.complain(message.expected, message.received)
            elif message == "2":
                # QuadSim's ping. In the current protocol only the server sends a bare "2".
                self.send("3")
            elif is_packet(message):
                return message
            else:
                self.complain("an Engine.IO packet", shorten(message))
        return None


def is_packet(message: object) -> bool:
    """Tell whether a websocket message is an Engine.IO packet that a client may send.

    Engine.IO would also take binary messages and JSON in places where no client of ours sends any.
    """
    if not isinstance(message, str) or not message:
        return False
    if message[0] == "4":
        return message[1:2] in {"0", "1", "2", "3"}  # CONNECT, DISCONNECT, EVENT, ACK; no binary
    return message in {"1", "3", "5", "6", "2probe"}


def session_name(environ: Mapping[str, Any]) -> str:
    """What logs call a client: the address that it connected from."""
    return f"{environ.get('REMOTE_ADDR')}:{environ.get('REMOTE_PORT')}"


class WebSocketWSGI(EventletWebSocketWSGI):
    """The websocket handshake, handing out our `WebSocket`."""

    def __init__(self, handler: Callable[[Any], None], server: "EngineServer") -> None:
        # A frame of any length may begin; `BoundedMessage` bounds what is kept of it.
        super().__init__(handler, max_frame_length=2**63)
        self.support_legacy_versions = False  # drafts before RFC 6455, which know no bounds
        self._server = server

    def _negotiate_permessage_deflate(self, extensions: object) -> None:
        # Compression gains nothing on this machine, and nothing on JPEGs.
        return None

    def _handle_hybi_request(self, environ: Mapping[str, Any]) -> WebSocket:
        plain = super()._handle_hybi_request(environ)
        # A command and its marker are two small writes: Nagle's algorithm would hold the second back for 40 ms.
        plain.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        websocket = WebSocket(
            BufferedSocket(plain.socket),
            environ,
            plain.version,
            protocol=plain.protocol,
            extensions=plain.extensions,
            max_frame_length=self.max_frame_length,
        )
        websocket.complain = lambda expected, received: self._server.complaints.warn(
            session_name(environ), "message", expected, received
        )
        return websocket


class EngineServer(engineio.Server):
    """Engine.IO on our websocket."""

    complaints: RateLimitedWarnings
    _async: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A copy: the original is a module's global.
        self._async = {**self._async, "websocket": WebSocketWSGI}

    def disconnect(self, sid: str | None = None) -> None:
        """Close a client's session without waiting until it has read all: some never do."""
        gone = self.sockets.pop(sid, None)
        if gone is not None:
            gone.close(wait=False, reason=self.reason.SERVER_DISCONNECT)

    def drop_deaf_clients(self) -> None:
        """Close the sessions of clients who send and do not read; called several times a second."""
        for client in list(self.sockets.values()):
            if client.queue.qsize() > MOST_QUEUED:
                client.close(wait=False, abort=True, reason=self.reason.TRANSPORT_ERROR)


class QuadSimServer(socketio.Server):
    """Socket.IO that also serves QuadSim.

    A handler of an event is called with the client's id, a function to call when the event has been answered, and what
    the client sent.

    Args:
        complaints: where bad input is reported.
        options: python-socketio's.
    """

    def __init__(self, complaints: RateLimitedWarnings, **options: Any) -> None:
        super().__init__(
            async_mode="eventlet",
            # Handlers run in the order in which events came; they only parse and store.
            async_handlers=False,
            max_http_buffer_size=MOST_MESSAGE_BYTES,
            **options,
        )
        self._complaints = complaints
        self.eio.complaints = complaints

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    def session_name(self, eio_sid: str) -> str:
        """The name of a connected client, for logs."""
        return session_name(self.environ.get(eio_sid, {}))

    def has_read_all(self, sid: str) -> bool:
        """Whether nothing waits for a client of this id to be read by them."""
        client = self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, "/"))
        return client is not None and client.queue.empty()

    def _handle_eio_message(self, eio_sid: str, data: object) -> None:
        try:
            super()._handle_eio_message(eio_sid, data)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            logger.debug("packet not handled", exc_info=True)
            self._complain(eio_sid, "packet", "a Socket.IO packet", f"{shorten(data)}: {error}")

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: object) -> None:
        if self.manager.sid_from_eio_sid(eio_sid, namespace or "/") is not None:
            self._complain(eio_sid, "packet", "one CONNECT packet", "another")
            return
        super()._handle_connect(eio_sid, namespace, data)

    def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: object) -> None:
        name = data[0] if isinstance(data, list) and data else None
        known = set(self.handlers.get(namespace or "/", {})) - RESERVED_EVENTS
        if not isinstance(name, str) or name not in known:
            expected = f"one of {', '.join(sorted(known))}" if known else "an event of the default namespace"
            self._complain(eio_sid, "event", expected, shorten(data if name is None else name))
            return
        if not namespace and self.manager.sid_from_eio_sid(eio_sid, "/") is None:
            # QuadSim takes the default namespace as joined.
            self._handle_connect(eio_sid, "/", None)
        super()._handle_event(eio_sid, namespace, id, data)

    def _handle_event_internal(
        self, server: "QuadSimServer", sid: str, eio_sid: str, data: list[Any], namespace: str, id: int | None
    ) -> None:
        def acknowledge() -> None:
            if id is not None and eio_sid in self.environ:
                self._send_packet(eio_sid, self.packet_class(ACK, namespace=namespace, id=id, data=[]))

        self._trigger_event(data[0], namespace, sid, acknowledge, *data[1:])

    def _complain(self, eio_sid: str, field: str, expected: str, received: str) -> None:
        self._complaints.warn(self.session_name(eio_sid), field, expected, received)

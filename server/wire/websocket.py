"""A websocket, on top of eventlet's, that bounds a client's messages and answers QuadSim's pings."""

import functools
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from server.wire.connections import Connection, connection_of
from server.wire.green import eventlet
from server.wire.messages import shorten

# A frame message is 30–150 kB.
MOST_MESSAGE_BYTES = 1_000_000
MOST_FRAGMENTS = 10_000
RECEIVE_BYTES = 32768
# Largest incomplete fragment, with its header, that waits for its remaining bytes, so that it is processed together
# with the next fragments. QuadSim's have 1024 bytes. The limit bounds the copying for a client that sends byte by byte.
LARGEST_AWAITED_BYTES = 4096
# Opcodes.
TEXT, PING = 1, 9
CONTROL = (8, PING, 10)
# In the WSGI environment: the client speaks Engine.IO 3, in which clients ping and servers don't.
OLDER_CLIENT = "followme.older_client"


class Malformed(NamedTuple):
    """A malformed message: what was expected, what was received."""

    expected: str
    received: str


class BoundedMessage(eventlet.websocket.RFC6455WebSocket.Message):
    """A websocket message of bounded size: the data of a longer message is counted and thrown away.

    Args:
        connection: the connection by which it arrives.
        opcode: opcode of its first fragment.
        rest: further arguments of eventlet.
    """

    data: bytearray

    def __init__(self, connection: Connection, opcode: int, *rest: Any, **options: Any) -> None:
        super().__init__(opcode, *rest, **options)
        self._connection = connection
        self._size = self._fragments = 0
        self.data = bytearray()  # eventlet's list of fragments of QuadSim's size would fragment the memory

    def push(self, data: bytes, final: bool = False, fragments: int = 1) -> None:
        """Take the next piece of the message, which consists of this number of fragments."""
        self.finished = final
        self._size += len(data)
        self._fragments += fragments
        if self._size > MOST_MESSAGE_BYTES or self._fragments > MOST_FRAGMENTS:
            self.data.clear()
        else:
            self.data += data
        if self.opcode not in CONTROL:  # a control frame may come between the fragments of a message
            self._connection.note_unfinished(self.data)

    def getvalue(self) -> "bytes | BoundedMessage":
        """The content of a control frame; for other frames this object, which eventlet keeps until the next frame."""
        return bytes(self.data) if self.opcode in CONTROL else self

    def take(self) -> str | bytes | Malformed:
        """The whole message, or why it is malformed; this object no longer holds it."""
        self._connection.receive()
        data, self.data = self.data, bytearray()
        if self._size > MOST_MESSAGE_BYTES:
            return Malformed(f"at most {MOST_MESSAGE_BYTES} bytes", f"{self._size} bytes")
        if self._fragments > MOST_FRAGMENTS:
            return Malformed(f"at most {MOST_FRAGMENTS} fragments", f"{self._fragments}")
        try:
            return data.decode() if self.opcode == TEXT else bytes(data)
        except UnicodeDecodeError as error:
            return Malformed("text in UTF-8", str(error))


class BufferedSocket:
    """A green socket that reads ahead, because each of QuadSim's 1016-byte fragments would cost five system calls.

    Args:
        green_socket: the socket to read from.
        connection: the connection of this socket.

    Attributes:
        ahead: bytes received and not yet taken.
    """

    def __init__(self, green_socket: Any, connection: Connection) -> None:
        self._socket, self.connection, self._turns = green_socket, connection, connection.turns
        self.ahead = memoryview(b"")

    def recv(self, most: int) -> bytes:
        """Up to `most` bytes; empty when the peer has closed."""
        if not self.ahead:
            self.read_on()
        elif self._turns.is_over:  # within many small fragments or control frames
            self._turns.end()
        piece, self.ahead = bytes(self.ahead[:most]), self.ahead[most:]
        return piece

    def read_on(self) -> bool:
        """Receive more data and append it to `ahead`; returns False when the peer has closed."""
        self._turns.end()  # a client that sends faster than it is read must not keep the others waiting
        piece = self._receive()
        self.ahead = memoryview(bytes(self.ahead) + piece if self.ahead else piece)
        self._turns.begin()
        return bool(piece)

    def _receive(self) -> bytes:
        try:
            return self._socket.fd.recv(RECEIVE_BYTES)
        except OSError:  # no data has arrived, or the connection is over, which the green socket handles
            self._turns.catch_up()
            piece = self._socket.recv(RECEIVE_BYTES)
            self._turns.wake()
            return piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class WebSocket(eventlet.websocket.RFC6455WebSocket):
    """eventlet's websocket that reads a frame message in a fraction of a millisecond, and answers QuadSim's pings.

    For each malformed message, `complain` is called with what was expected and what was received.
    """

    complain: Callable[[str, str], None]
    socket: BufferedSocket

    def __init__(self, sock: BufferedSocket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.connection = sock.connection
        self.Message = functools.partial(BoundedMessage, sock.connection)

    @staticmethod
    def _apply_mask(data: bytes, mask: Sequence[int], length: int | None = None, offset: int = 0) -> bytes:
        # eventlet XORs byte by byte in Python, which takes 16 ms a frame. XOR of one large integer is 50 times as fast.
        length = len(data)
        key = bytes(mask[(offset + i) % 4] for i in range(4)) if offset else bytes(mask)
        keys = int.from_bytes((key * (length // 4 + 1))[:length], "little")
        return (int.from_bytes(data, "little") ^ keys).to_bytes(length, "little")

    def _recv_frame(self, message: BoundedMessage | None = None) -> BoundedMessage:
        if message is not None and self._take_fragments(message):
            return message
        return super()._recv_frame(message)

    def _take_fragments(self, message: BoundedMessage) -> bool:
        """Take all fragments that have arrived after the first one of a message (a frame message has some 80).

        Handles only masked continuations with a 16-bit length. For all other fragments it returns False, and eventlet
        takes them.
        """
        while True:
            ahead = self.socket.ahead
            if len(ahead) <= 8 or ahead[0] not in (0x00, 0x80) or ahead[1] != 0xFE:
                return False
            end = 8 + int.from_bytes(ahead[2:4])
            if end <= len(ahead):
                break
            if end > LARGEST_AWAITED_BYTES or not self.socket.read_on():
                return False
        is_last, count = ahead[0] == 0x80, 1
        if is_last or end % 4:
            content = self._apply_mask(bytes(ahead[8:end]), ahead[4:8])
        else:  # like QuadSim's fragments: of equal length, a multiple of 4, each with its own key
            fragments = np.frombuffer(ahead, "<u4", len(ahead) // end * (end // 4)).reshape(-1, end // 4)
            is_other = fragments[:, 0] != fragments[0, 0]
            count = int(is_other.argmax()) if is_other.any() else len(fragments)
            content = (fragments[:count, 2:] ^ fragments[:count, 1:2]).tobytes()
        message.push(content, is_last, count)
        self.socket.ahead = ahead[count * end :]
        return True

    def _handle_control_frame(self, opcode: int, data: bytes) -> None:
        # Only the last of several pings that have arrived together is answered (RFC 6455, 5.5.3), because each answer
        # is a system call.
        ahead = self.socket.ahead
        if opcode != PING or not ahead or ahead[0] & 0x0F != PING:
            super()._handle_control_frame(opcode, data)

    def wait(self) -> str | None:
        """The next Engine.IO packet, or None once the client has disconnected."""
        for arrived in self.iterator:
            message = arrived.take()
            self.connection.turns.end()  # as in `BufferedSocket.recv`: after each message, others have their turn
            if self.connection.is_closing:  # we have closed it, and the data of the message was thrown away
                break
            if isinstance(message, Malformed):
                self.complain(message.expected, message.received)
            elif message == "2":
                # QuadSim's ping. In the current protocol only the server sends a bare "2".
                self.send("3")
                if OLDER_CLIENT in self.environ:
                    return "3"  # a pong: tells Engine.IO that the client is alive
            elif is_packet(message):
                return message
            else:
                self.complain("an Engine.IO packet", shorten(message))
        return None


def is_packet(message: object) -> bool:
    """Tell whether a websocket message is an Engine.IO packet that a client may send.

    Engine.IO would also accept binary messages, and JSON in places where our clients never send it.
    """
    if not isinstance(message, str) or not message:
        return False
    if message[0] == "4":
        return message[1:2] in {"0", "1", "2", "3"}  # CONNECT, DISCONNECT, EVENT, ACK; no binary
    return message in {"1", "3", "5", "6", "2probe"}


class WebSocketWSGI(eventlet.websocket.WebSocketWSGI):
    """The websocket handshake; `handler` is called with our `WebSocket`.

    Args:
        handler: called with the websocket of each client.
        complain: called with a client's WSGI environment, what was expected and what was received.
    """

    def __init__(self, handler: Callable[[Any], None], complain: Callable[[Mapping[str, Any], str, str], None]) -> None:
        # No limit of eventlet's on a frame's length, because `BoundedMessage` bounds the data that is kept.
        super().__init__(handler, max_frame_length=2**63)
        self.support_legacy_versions = False  # drafts before RFC 6455, for which there are no bounds
        self._complain = complain

    def _negotiate_permessage_deflate(self, extensions: object) -> None:
        # Compression does not help for connections within one machine, nor for JPEGs.
        return None

    def _handle_hybi_request(self, environ: dict[str, Any]) -> WebSocket:
        plain = super()._handle_hybi_request(environ)
        # A command and its marker are two small writes. Nagle's algorithm would delay the second by 40 ms.
        plain.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = connection_of(environ)
        connection.is_websocket = True
        websocket = WebSocket(
            BufferedSocket(plain.socket, connection),
            environ,
            plain.version,
            protocol=plain.protocol,
            extensions=plain.extensions,
            max_frame_length=self.max_frame_length,
        )
        websocket.complain = lambda expected, received: self._complain(environ, expected, received)
        return websocket

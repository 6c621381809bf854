"""QuadSim's dialect on top of python-engineio and python-socketio, beside the current protocol.

QuadSim says `EIO=4` but speaks the older dialect: it sends its first event without a CONNECT packet, and the client
sends the pings. Subclasses here add both; clients of the current protocol are served as before. If an event asks for
Socket.IO's acknowledgement (QuadSim's never do), the acknowledgement is sent when the event has been answered, not when
it is received.

Only complete, well-formed events get past this module. Other packets are reported as the client's mistake and dropped,
and the connection goes on. Only decoding is guarded, so errors in our own handlers never count as a client's mistake.
"""

from typing import Any

import numpy as np
import socketio
from socketio.packet import ACK, CONNECT, DISCONNECT, EVENT

from server.supervision import Faults
from server.wire import numbers
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import Standing
from server.wire.engine import EngineServer, Peer
from server.wire.messages import shorten
from server.wire.websocket import MOST_MESSAGE_BYTES, OLDER_CLIENT

# Names of events that python-socketio itself raises; a client must not send them.
RESERVED_EVENTS = frozenset({"connect", "disconnect", "*"})
# Characters. An answer repeats the namespace, and is kept in memory until the client reads it.
LONGEST_NAMESPACE = 100
# Parsing a megabyte of JSON takes 0.1 s if it consists of empty lists. A frame is an object of strings with some 30
# commas.
VALUE_MARKS, MOST_VALUES = b",[{", 1000
# Clients of Engine.IO 3 ignore the server's pings and send their own, at the interval that the server announces. Their
# ping must come before the server stops waiting for a pong.
PING_INTERVAL_S, PING_TIMEOUT_S = 15, 20


class QuadSimServer(socketio.Server):
    """Socket.IO that also serves QuadSim.

    A handler of an event is called with the client's id, a function to call when the event has been answered, and the
    event's arguments.

    Args:
        complaints: where clients' mistakes are reported.
        faults: where our own errors are reported.
        options: options of python-socketio.
    """

    def __init__(self, complaints: RateLimitedWarnings, faults: Faults, **options: Any) -> None:
        super().__init__(
            async_mode="eventlet",
            # Handlers run in the order in which events came; they only parse and store.
            async_handlers=False,
            max_http_buffer_size=MOST_MESSAGE_BYTES,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            json=numbers,
            cors_allowed_origins=[],  # `guard.py` checks origins, and reports those that it refuses
            **options,
        )
        self._complaints, self._faults = complaints, faults
        self.eio.complaints = complaints

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    def peer(self, sid: str) -> Peer:
        """The address and port of the connected client with this id."""
        return Peer.of(self.environ.get(self.manager.eio_sid_from_sid(sid, "/"), {}))

    def recognise(self, sid: str) -> None:
        """Note that an event of the client with this id has been understood.

        Until then the client is a stranger, which is dropped first when there are too many clients.
        """
        self.eio.raise_standing(self.manager.eio_sid_from_sid(sid, "/"), Standing.KNOWN)

    def earliest_arrival_s(self) -> float:
        """The earliest time (monotonic s) at which the event that is being handled can have arrived at this machine."""
        return self.eio.earliest_arrival_s

    def members(self, room: str) -> list[str]:
        """Ids of the clients in a room; a client that disconnects leaves it."""
        return (
            [sid for sid, _ in self.manager.get_participants("/", room)]
            if room in self.manager.rooms.get("/", {})
            else []
        )

    def has_read_all(self, sid: str) -> bool:
        """Whether the client with this id has been sent all packets that were queued for it."""
        client = self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, "/"))
        return client is not None and client.queue.empty()

    def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        super()._handle_eio_connect(eio_sid, environ)
        if environ.get(OLDER_CLIENT):
            # A client of Socket.IO 2 joins the default namespace without asking, and waits for a packet to confirm it.
            self._handle_connect(eio_sid, "/", None)

    def _handle_eio_message(self, eio_sid: str, data: object) -> None:
        try:
            packet = self._decoded(data)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            self._complain(eio_sid, "packet", "a Socket.IO packet", f"{shorten(data)}: {error}")
            return
        if eio_sid not in self.environ:
            return  # the client has closed its session before this packet
        with self._faults.contained("packet"):
            self._dispatch(eio_sid, packet)

    def _decoded(self, data: object) -> Any:
        if not isinstance(data, str):
            raise TypeError("binary messages are not used here")
        content = np.frombuffer(data.encode(), np.uint8)  # three times as fast as str.count
        if sum(np.count_nonzero(content == mark) for mark in VALUE_MARKS) > MOST_VALUES:
            raise ValueError(f"at most {MOST_VALUES} values and commas")
        packet = self.packet_class(encoded_packet=data)
        if packet.packet_type not in (CONNECT, DISCONNECT, EVENT):
            raise ValueError(f"packets of type {packet.packet_type} are not used here")
        if packet.namespace and len(packet.namespace) > LONGEST_NAMESPACE:
            raise ValueError(f"a namespace has at most {LONGEST_NAMESPACE} characters")
        return packet

    def _dispatch(self, eio_sid: str, packet: Any) -> None:
        if packet.packet_type == CONNECT:
            self._handle_connect(eio_sid, packet.namespace, packet.data)
        elif packet.packet_type == DISCONNECT:
            self._handle_disconnect(eio_sid, packet.namespace, self.reason.CLIENT_DISCONNECT)
        else:
            self._handle_event(eio_sid, packet.namespace, packet.id, packet.data)

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: object) -> None:
        if self.manager.sid_from_eio_sid(eio_sid, namespace or "/") is not None:
            self._complain(eio_sid, "packet", "one CONNECT packet", "another")
            return
        super()._handle_connect(eio_sid, namespace, data)
        if self.manager.sid_from_eio_sid(eio_sid, "/") is not None:
            self.eio.raise_standing(eio_sid, Standing.JOINED)

    def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: object) -> None:
        name = data[0] if isinstance(data, list) and data else None
        known = set(self.handlers.get(namespace or "/", {})) - RESERVED_EVENTS
        if not isinstance(name, str) or name not in known:
            expected = f"one of {', '.join(sorted(known))}" if known else "an event of the default namespace"
            self._complain(eio_sid, "event", expected, shorten(data if name is None else name))
            return
        if not namespace and self.manager.sid_from_eio_sid(eio_sid, "/") is None:
            # QuadSim joins the default namespace without asking.
            self._handle_connect(eio_sid, "/", None)
        super()._handle_event(eio_sid, namespace, id, data)

    def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        # engineio would swallow the exceptions of a handler.
        with self._faults.contained(event):
            return super()._trigger_event(event, namespace, *args)

    def _handle_event_internal(
        self, server: "QuadSimServer", sid: str, eio_sid: str, data: list[Any], namespace: str, id: int | None
    ) -> None:
        def acknowledge() -> None:
            if id is not None and eio_sid in self.environ:
                self._send_packet(eio_sid, self.packet_class(ACK, namespace=namespace, id=id, data=[]))

        self._trigger_event(data[0], namespace, sid, acknowledge, *data[1:])

    def _complain(self, eio_sid: str, field: str, expected: str, received: str) -> None:
        self._complaints.warn(str(Peer.of(self.environ.get(eio_sid, {}))), field, expected, received)

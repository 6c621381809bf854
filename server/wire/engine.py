"""Engine.IO on our websocket, with bounds that hold for both of its transports.

By polling and by websocket, a client may only send packets that `is_packet` accepts, of at most `MOST_MESSAGE_BYTES`.
The data that waits for a client that does not read is bounded. The number of strangers' sessions and the number of all
sessions are bounded, too.
"""

import io
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import engineio
import engineio.socket

from server.wire.complaints import SERVER, RateLimitedWarnings
from server.wire.connections import SILENT_S, Connection, Peer, Standing, connection_of
from server.wire.green import eventlet
from server.wire.guard import refuse
from server.wire.handshake import mistake_in, refuse_handshake
from server.wire.messages import shorten
from server.wire.websocket import OLDER_CLIENT, WebSocketWSGI, is_packet

# Packets that may wait for a client that does not read them. A simulator is sent 20 packets a second.
MOST_QUEUED = 1000
# Bytes that may wait. A viewer's image has some 50 kB, and the next image is sent only once it has been read.
MOST_QUEUED_BYTES = 500_000
# Bounds of sessions, because sessions by polling need no connection. Beyond either, the oldest stranger's session is
# closed. If there are only known clients, the session of the longest-silent client is closed (`SILENT_S`).
MOST_STRANGERS, MOST_SESSIONS = 200, 500
MOST_PACKETS = 16  # of a payload, engineio's own limit
SEPARATOR = "\x1e"

# engineio measures by the wall clock how long a client has not answered a ping. If that clock is set forward, it would
# drop clients that are about to answer; if it is set back, it would keep those that have gone.
engineio.socket.time = SimpleNamespace(time=time.monotonic)


@dataclass
class Session:
    """A client's session.

    Args:
        peer: address and port of the client that began it.
        client: engineio's record of the session.
        connection: its websocket, or the websocket that it is being upgraded to; None without a websocket.
        standing: how well the client is known.
        heard_s: monotonic time of the latest event that was understood.
    """

    peer: Peer
    client: Any
    connection: Connection | None
    standing: Standing = Standing.STRANGER
    heard_s: float = field(default_factory=time.monotonic)


class PacketQueue(eventlet.queue.Queue):
    """Packets that wait for a client.

    Attributes:
        bytes: total size of their data (characters).
    """

    def _init(self, maxsize: int | None) -> None:
        super()._init(maxsize)
        self.bytes = 0

    def _put(self, item: Any) -> None:
        self.bytes += _size(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self.bytes -= _size(item)
        return item


class EngineServer(engineio.Server):
    """Engine.IO with bounds, see the module.

    Attributes:
        complaints: where clients' mistakes are reported.
        sessions: the sessions by their id.
    """

    complaints: RateLimitedWarnings
    _async: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A copy, because the original is a global of engineio.
        self._async = {**self._async, "websocket": self._websocket, "queue": PacketQueue}
        self.sessions: dict[str, Session] = {}
        self._present = eventlet.corolocal.local()

    @property
    def earliest_arrival_s(self) -> float:
        """The earliest time (monotonic s) at which the event being handled can have arrived at this machine."""
        return self._present.connection.turns.earliest_arrival_s

    def handle_request(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handle an HTTP request of a client, within the bounds. For a websocket, this returns when it ends."""
        self._present.connection = connection_of(environ)
        query = parse_qs(environ.get("QUERY_STRING", ""))
        if query.get("transport", [""])[0] != "websocket":
            environ.pop("HTTP_UPGRADE", None)  # engineio would obey it; a server may ignore it (RFC 9110, 7.8)
        elif (mistake := mistake_in(environ)) is not None:
            return refuse_handshake(environ, start_response, mistake, self.complaints)
        sid = query.get("sid", [""])[0]
        if sid in self.sockets and self.sockets[sid].closed:
            del self.sockets[sid]  # engineio would delete it later, and raise an exception until then
        self._complain_of_request(environ, query, sid)
        session = self.sessions.get(sid)
        if "sid" not in query:
            if self._is_version_supported(environ, query) and not self._has_room(environ):
                return refuse(start_response, "503 Service Unavailable", "too many clients")
        elif session is not None:
            if "HTTP_UPGRADE" in environ and session.connection is not None:
                self.complaints.warn(str(session.peer), "message", "one upgrade of a session", "another")
                return refuse(start_response, "400 Bad Request", "expected one upgrade of a session")
            self._note_connection(session, environ)
            if environ["REQUEST_METHOD"] == "POST" and not self._is_payload(session, environ):
                return refuse(start_response, "400 Bad Request", "expected Engine.IO packets")
        try:
            return super().handle_request(environ, start_response)
        finally:
            if session is not None and "HTTP_UPGRADE" in environ and not session.client.upgraded:
                # The upgrade has failed: polling goes on, and another upgrade may follow.
                session.connection, session.client.upgrading = None, False

    def raise_standing(self, sid: str, standing: Standing) -> None:
        """Note that a packet of a session's client has been understood, which raises its standing to `standing`."""
        session = self.sessions.get(sid)
        if session is not None:
            session.standing, session.heard_s = max(session.standing, standing), time.monotonic()
            if session.connection is not None:
                session.connection.raise_standing(standing, session.heard_s)

    def disconnect(self, sid: str | None = None) -> None:
        """Close a client's session without waiting until the client has read everything, because some never do."""
        gone = self.sockets.pop(sid, None)
        if gone is not None:
            gone.close(wait=False, reason=self.reason.SERVER_DISCONNECT)

    def drop_deaf_clients(self) -> None:
        """Close the sessions of clients that do not read; called several times a second."""
        for client in list(self.sockets.values()):
            if client.queue.qsize() > MOST_QUEUED or client.queue.bytes > MOST_QUEUED_BYTES:
                client.close(wait=False, abort=True, reason=self.reason.TRANSPORT_ERROR)

    def _websocket(self, handler: Callable[[Any], None], _server: object) -> WebSocketWSGI:
        return WebSocketWSGI(
            handler,
            lambda environ, expected, received: self.complaints.warn(
                str(Peer.of(environ)), "message", expected, received
            ),
        )

    def _trigger_event(self, event: str, sid: str, *args: Any, **options: Any) -> Any:
        if event == "connect":
            environ = args[0]
            connection = connection_of(environ) if "HTTP_UPGRADE" in environ else None
            self.sessions[sid] = Session(Peer.of(environ), self.sockets[sid], connection)
        result = super()._trigger_event(event, sid, *args, **options)
        if event == "disconnect":
            gone = self.sessions.pop(sid, None)
            if gone is not None and gone.connection is not None and not gone.client.upgraded:
                gone.connection.close()  # its upgrade was never finished, and nothing else would close it
        return result

    def _is_version_supported(self, environ: dict[str, Any], query: Mapping[str, list[str]]) -> bool:
        """Whether the client's version is supported: 4, or 3 by websocket, which is close to QuadSim's dialect.

        Version 3 by polling has payloads of another format, and is not supported; nor are older versions.
        """
        version, transport = (query.get(name, ["none"])[0] for name in ("EIO", "transport"))
        if version == "3" and transport == "websocket":
            environ["QUERY_STRING"] = environ["QUERY_STRING"].replace("EIO=3", "EIO=4")
            environ[OLDER_CLIENT] = True
        elif version != "4":
            expected = "EIO=4 (Socket.IO from version 3 on, python-socketio from 5), or EIO=3 by websocket only"
            received = f"EIO={shorten(version, 10)}, transport={shorten(transport, 10)}"
            self.complaints.warn(Peer.of(environ).host, "protocol", expected, received)
            return False
        return True

    def _complain_of_request(self, environ: Mapping[str, Any], query: Mapping[str, list[str]], sid: str) -> None:
        """Report a request that engineio will refuse, because engineio itself only tells the client."""
        transport = query.get("transport", ["polling"])[0]
        if transport not in self.transports:
            mistake = "transport", " or ".join(self.transports), shorten(transport, 10)
        elif ("sid" in query or environ["REQUEST_METHOD"] == "POST") and sid not in self.sockets:
            mistake = "session", "one that has begun here and not ended", shorten(sid, 30)
        else:
            return
        self.complaints.warn(Peer.of(environ).host, *mistake)

    def _has_room(self, environ: Mapping[str, Any]) -> bool:
        """Whether another session may begin; may close the session of the oldest stranger or of a silent client."""
        strangers = [sid for sid, session in self.sessions.items() if session.standing < Standing.KNOWN]
        if len(strangers) < MOST_STRANGERS and len(self.sessions) < MOST_SESSIONS:
            return True
        expected, more = f"at most {MOST_SESSIONS}", f"one more from {Peer.of(environ).host}"
        silent_s, longest_silent = min((session.heard_s, sid) for sid, session in self.sessions.items())
        if strangers:
            if len(strangers) >= MOST_STRANGERS:
                expected = f"at most {MOST_STRANGERS} of clients that have sent no valid event"
            self.complaints.warn(SERVER, "sessions", expected, f"{more}, for which the oldest was closed")
            # Among those with the lowest standing, `min` takes the first, which is the oldest.
            self.disconnect(min(strangers, key=lambda sid: self.sessions[sid].standing))
        elif time.monotonic() - silent_s > SILENT_S:
            self.complaints.warn(SERVER, "sessions", expected, f"{more}, for which the longest-silent was closed")
            self.disconnect(longest_silent)
        else:
            self.complaints.warn(SERVER, "sessions", expected, f"{more}, which was refused")
            return False
        return True

    def _note_connection(self, session: Session, environ: dict[str, Any]) -> None:
        connection = connection_of(environ)
        connection.raise_standing(session.standing, session.heard_s)
        if "HTTP_UPGRADE" in environ:
            session.connection = connection

    def _is_payload(self, session: Session, environ: dict[str, Any]) -> bool:
        """Whether a request's body consists of packets that a client may send. Otherwise all of it is refused."""
        body = environ["wsgi.input"].read()
        try:
            packets = body.decode().split(SEPARATOR)
        except UnicodeDecodeError as error:
            self.complaints.warn(str(session.peer), "message", "text in UTF-8", str(error))
            return False
        bad = next((packet for packet in packets if not is_packet(packet)), None)
        if bad is not None:
            self.complaints.warn(str(session.peer), "message", "an Engine.IO packet", shorten(bad))
        elif len(packets) > MOST_PACKETS:
            self.complaints.warn(str(session.peer), "message", f"at most {MOST_PACKETS} packets", f"{len(packets)}")
        environ["wsgi.input"] = io.BytesIO(body)
        return bad is None and len(packets) <= MOST_PACKETS


def _size(packet: Any) -> int:
    data = getattr(packet, "data", None)
    return len(data) if isinstance(data, str) else 0

"""Accepted connections: their number, the deadline for a request, and which client is dropped when all are taken.

A stranger is a client that does not watch the page and has not sent an event that was understood. When all
connections are taken, a new client takes the place of the longest-waiting stranger. Without a stranger, it takes the
place of the client that has been silent for longest. A QuadSim sends its first frame within 0.2 s.
"""

import enum
import errno
import select
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from server.wire.complaints import SERVER, RateLimitedWarnings
from server.wire.green import eventlet
from server.wire.pace import Pace, Turns

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

MOST_CONNECTIONS = 500
# Longest time until a request has arrived completely, from the start of the connection or the end of the last answer.
# For a websocket message, the time begins with its first fragment.
REQUEST_S = 10.0
# Total size of requests and messages that are still arriving, of all clients. A hundred QuadSims have 10 MB at most.
MOST_HELD_BYTES = 20_000_000
# A known client counts as silent if none of its events was understood for this time; a QuadSim sends 5 frames a second.
SILENT_S = 60.0
# How long to wait for a free file descriptor or for a connection to end.
RETRY_S = 0.05
# Pause before each accepted connection. A handshake costs 1 to 2 ms, so many of them would keep other clients waiting.
ACCEPT_PAUSE_S = 0.002
KEY = "followme.connection"
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
NOT_LISTENING = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}


class Peer(NamedTuple):
    """The address and port of a client."""

    host: str
    port: str

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> "Peer":
        """The client of a WSGI environment."""
        return cls(str(environ.get("REMOTE_ADDR")), str(environ.get("REMOTE_PORT")))

    def __str__(self) -> str:
        """The client's name in logs."""
        return f"{self.host}:{self.port}"


class Standing(enum.IntEnum):
    """How well a client is known. The least known clients are dropped first."""

    STRANGER = 0
    JOINED = 1  # has joined the default namespace of Socket.IO
    KNOWN = 2  # has sent an event that was understood
    VIEWER = 3  # watches the page; viewers are few and send nothing


class Connection:
    """One accepted connection.

    Args:
        state: eventlet's record of the connection: [address, socket, state].
        pace: the pace of the event loop.
        on_held: called with the difference when the number of held bytes changes.
        earliest_arrival_s: the earliest time at which the client can have connected, monotonic seconds; None for now.

    Attributes:
        since_s: monotonic time at which the deadline of the present request or message begins.
        is_received: whether the present request or message has arrived completely.
        held_bytes: size of the part of it that has arrived; 0 once it has arrived completely, or is no longer wanted.
        standing: how well the client is known.
        heard_s: monotonic time of the latest event that was understood.
        pace: the pace of the event loop.
        is_websocket: whether the connection has become a websocket.
        is_closing: whether its thread has been told to end.
        turns: the client's turns on the event loop.
        thread: the green thread that serves the connection.
    """

    def __init__(
        self,
        state: list[Any],
        pace: Pace,
        on_held: Callable[[int], None] = lambda _: None,
        earliest_arrival_s: float | None = None,
    ) -> None:
        self._state, self._clock, self.pace = state, pace.clock, pace
        self.turns = Turns(pace, earliest_arrival_s)
        self._on_held, self._unfinished, self.held_bytes = on_held, bytearray(), 0
        self.is_websocket = self.is_closing = False
        self.thread: Any = None
        self.begin_request()

    @property
    def name(self) -> str:
        """The client's name in logs."""
        host, port = self._state[0][:2]
        return str(Peer(host, port))

    def begin_request(self) -> None:
        """Await a request. Its sender counts as a stranger, because a proxy may use a connection for many clients."""
        self.standing = Standing.STRANGER
        self.heard_s = self.since_s = self._clock()
        self.is_received = False
        self._set_unfinished(bytearray())

    def note_unfinished(self, unfinished: bytearray) -> None:
        """Note how much of a message has arrived; its deadline begins with the first bytes.

        Args:
            unfinished: the data that has arrived; cleared when the connection is closed.
        """
        if self.is_received:
            self.since_s, self.is_received = self._clock(), False
        if self.is_closing:
            unfinished.clear()
        self._set_unfinished(unfinished)

    def receive(self) -> None:
        """Note that a request or a message has arrived completely, or never will; it is no longer held here."""
        self.is_received = True
        self._set_unfinished(bytearray())

    def _set_unfinished(self, unfinished: bytearray) -> None:
        self._unfinished = unfinished
        change, self.held_bytes = len(unfinished) - self.held_bytes, len(unfinished)
        if change:
            self._on_held(change)

    def raise_standing(self, standing: Standing, heard_s: float | None = None) -> None:
        """Raise the client's standing to at least `standing`.

        Args:
            standing: the least standing.
            heard_s: when an event of the client was last understood, monotonic seconds; None for now.
        """
        self.standing = max(self.standing, standing)
        self.heard_s = self._clock() if heard_s is None else heard_s

    def is_silent(self, now_s: float) -> bool:
        """Whether it belongs to a known client of which no event was understood for `SILENT_S`."""
        return self.standing == Standing.KNOWN and now_s - self.heard_s > SILENT_S

    def close_after_answer(self, environ: dict[str, Any]) -> None:
        """Leave the rest of a request unread and close after the answer; eventlet would read all of the request."""
        body = environ["eventlet.input"]
        body.chunked_input, body.content_length = False, 0
        self._state[2] = eventlet.wsgi.STATE_CLOSE

    def close(self) -> None:
        """Close the connection. A websocket's thread ends by itself. Another thread may wait, and is killed."""
        self.is_closing = True
        self._unfinished.clear()  # now, because the thread may have to wait for its turn before it ends
        self._set_unfinished(self._unfinished)
        eventlet.greenio.shutdown_safe(self._state[1])
        if not self.is_websocket and self.thread is not None and self.thread is not eventlet.getcurrent():
            self.thread.kill()


class Connections:
    """Listens, and keeps the connections within bounds. Serves as socket and pool of eventlet's HTTP server.

    Args:
        listener: listening socket.
        complaints: where a shortage of connections is reported.
        pace: the pace of the event loop.
        most: most connections at once.
    """

    def __init__(self, listener: Any, complaints: RateLimitedWarnings, pace: Pace, most: int) -> None:
        self._listener, self._complaints, self._pace, self._most = listener, complaints, pace, most
        self._turns = Turns(pace)  # of new clients, whose connections and first requests may wait to be accepted
        self._open: dict[Any, Connection] = {}
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def accept(self) -> tuple[Any, Any]:
        """The next connection and its address, within the bounds. Goes on after a lack of file descriptors."""
        while True:
            self._pace.sleep(ACCEPT_PAUSE_S)
            is_awaited = not select.select([self._listener], [], [], 0)[0]
            if is_awaited:
                self._turns.catch_up()
            # Wait first: Linux reports a lack of descriptors even if no client waits. Then no client must be dropped.
            eventlet.hubs.trampoline(self._listener, read=True)
            if is_awaited:
                self._turns.wake()
            try:
                socket, address = self._listener.accept()
            except OSError as error:
                if error.errno in NOT_LISTENING:
                    raise
                if error.errno in NO_ROOM:
                    self._complain("enough file descriptors", error.strerror or str(error))
                    self._make_room()
                    self._pace.sleep(RETRY_S)
                continue
            if len(self) < self._most or self._make_room():
                return socket, address
            socket.close()

    def spawn(self, serve: Callable[[list[Any]], None], state: list[Any]) -> Any:
        """Serve a connection in a green thread; `state` is eventlet's record of it."""
        connection = Connection(state, self._pace, self._add_held_bytes, self._turns.earliest_arrival_s)
        self._open[state[1]] = connection
        connection.thread = eventlet.spawn(serve, state)
        connection.thread.link(lambda _: self._forget(state[1]))
        return connection.thread

    def waitall(self) -> None:
        """Do nothing: the process ends without waiting for clients."""

    def of(self, socket: Any) -> Connection:
        """The connection of a socket."""
        return self._open[socket]

    def expire(self) -> None:
        """Close connections whose request or message is overdue; called twice a second."""
        arriving = [each for each in self._open.values() if not each.is_received and not each.is_closing]
        for connection in arriving:
            if self._pace.clock() - connection.since_s > REQUEST_S:
                if held_bytes := connection.held_bytes:  # without any, it was idle, which is normal for browsers
                    expected = f"a whole request or message within {REQUEST_S:g} s"
                    self._complaints.warn(connection.name, "message", expected, f"{held_bytes} bytes of one")
                connection.close()

    def _add_held_bytes(self, change_bytes: int) -> None:
        self._held_bytes += change_bytes
        if self._held_bytes > MOST_HELD_BYTES:
            self._complain(f"at most {MOST_HELD_BYTES} bytes of unfinished messages", f"{self._held_bytes} bytes")
            max(self._open.values(), key=self._bytes_times_wait).close()

    def _bytes_times_wait(self, connection: Connection) -> tuple[float, int]:
        """Bytes that a connection holds × time. Small for a simulator, whose frame arrives within milliseconds."""
        held_s = self._pace.clock() - connection.since_s
        return connection.held_bytes * held_s, connection.held_bytes

    def _forget(self, socket: Any) -> None:
        connection = self._open.pop(socket)
        connection.receive()
        # The thread's local storage refers to the connection, so both would refer to each other for ever.
        connection.thread = None

    def _make_room(self) -> bool:
        """Close the connection of the longest-waiting stranger, or else of the longest-silent client.

        Returns:
            Whether there was such a client.
        """
        now_s, expected = self._pace.clock(), f"at most {self._most} connections"
        staying = [each for each in self._open.values() if not each.is_closing]
        strangers = [each for each in staying if each.standing < Standing.KNOWN]
        silent = [each for each in staying if each.is_silent(now_s)]
        if strangers:
            self._complain(expected, "one more; the stranger who waited longest was dropped")
            min(strangers, key=lambda each: (each.standing, each.since_s)).close()
        elif silent:
            self._complain(expected, "one more; the client that was silent longest was dropped")
            min(silent, key=lambda each: each.heard_s).close()
        else:
            self._complain(expected, "one more, which was refused")
        return bool(strangers or silent)

    def _complain(self, expected: str, received: str) -> None:
        self._complaints.warn(SERVER, "connections", expected, received)


def most_connections() -> int:
    """The most connections of this process at once: half of its file descriptors, because files need some, too."""
    if resource is None:
        return MOST_CONNECTIONS
    with suppress(OSError, ValueError):
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            return max(1, min(MOST_CONNECTIONS, soft // 2))
    return MOST_CONNECTIONS


def connection_of(environ: Mapping[str, Any]) -> Connection:
    """The connection of a request."""
    return environ[KEY]

"""eventlet's event loop and HTTP server: one green thread per client, all in the main thread."""

import functools
import io
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

from server.supervision import Faults
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import KEY, Connections, most_connections
from server.wire.green import eventlet
from server.wire.mailbox import Mailbox
from server.wire.pace import STOOD_STILL_S, Pace, Turns
from server.wire.signals import on_signals

logger = logging.getLogger(__name__)

# Longest time for which a connection may be silent amid a request or leave an answer unread. Socket.IO's pings watch a
# websocket.
IDLE_S = 5
# Unread data kept here for a client that reads slowly; the kernel would let megabytes of old pictures queue up.
SEND_BUFFER_BYTES = 65536
# Longest time for which a native thread in pure Python may keep the event loop waiting; Python's default is 5 ms.
SWITCH_INTERVAL_S = 0.001
EXPIRE_S = 0.5
# Connections that the operating system keeps until they are accepted. Beyond it, it lets clients try again after 1 s.
BACKLOG = 1024
# A front's own port, for pages and metrics, may have this many times fewer connections than the shared port.
SHARED_PER_OWN_PORT = 10


class EventLoop:
    """Runs everything that is not in a native thread of its own.

    Args:
        faults: where errors of posted calls and repeated work are reported.
        complaints: where clients are reported that take all connections.
    """

    def __init__(self, faults: Faults, complaints: RateLimitedWarnings) -> None:
        self._faults, self._complaints = faults, complaints
        self._mailbox = Mailbox(faults)
        self._stopped = eventlet.event.Event()
        self._failure: str | None = None

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have a call run on the loop; any thread may ask, and never waits."""
        self._mailbox.post(call, *arguments)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Let others run for a time; with 0, until each has had a turn."""
        eventlet.sleep(seconds)

    def give_way(self) -> None:
        """Let each other have a turn, unless calls wait that have been posted.

        Beside ten clients that send without end, a turn of all takes 20 ms. Answers to frames, which come by `post`,
        would arrive faster than they leave if each waited for two such turns.
        """
        if self._mailbox.is_empty:
            eventlet.sleep(0)

    def every(self, period_s: float, work: Callable[[], None], name: str) -> None:
        """Do work again and again, whatever it raises.

        Args:
            period_s: between the end of the work and its next beginning.
            work: called on the loop.
            name: of the work, for reports of its errors.
        """

        def repeat() -> None:
            while True:
                eventlet.sleep(period_s)
                with self._faults.contained(name):
                    work()

        eventlet.spawn(repeat)

    def serve(
        self,
        wsgi: Callable[..., Any],
        host: str,
        port: int,
        stop: Callable[[], None],
        reload: Callable[[], None],
        shared_port: int | None = None,
    ) -> tuple[str, int]:
        """Listen, and serve from when `wait` is called.

        Args:
            wsgi: the application.
            host: address to listen on.
            port: 0 for any that is free.
            stop: called on SIGTERM, Ctrl-C and the terminal's end.
            reload: called on any other SIGHUP.
            shared_port: listened on as well, as other processes do; `port` then is for few clients. None for none.

        Returns:
            The address and the port that it listens on.

        Raises:
            OSError: if the address cannot be listened on; its `filename` says which.
        """
        listener = _listen(host, port)
        shared = None if shared_port is None else _listen(host, shared_port, is_shared=True)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        eventlet.spawn(self._mailbox.run)
        on_signals(lambda: self.post(stop), lambda: self.post(reload))
        pace = Pace()
        self.every(STOOD_STILL_S / 3, pace.beat, "pace")
        most = most_connections()
        if shared is not None:
            self._accept(shared, wsgi, pace, most, stop)
            most = max(1, most // SHARED_PER_OWN_PORT)
        self._accept(listener, wsgi, pace, most, stop)
        return listener.getsockname()[:2]

    def _accept(self, listener: Any, wsgi: Callable[..., Any], pace: Pace, most: int, stop: Callable[[], None]) -> None:
        """Serve the clients of one listening socket, at most so many at once."""
        connections = Connections(listener, self._complaints, pace, most)
        self.every(EXPIRE_S, connections.expire, "connections")
        eventlet.spawn(
            eventlet.wsgi.server,
            connections,
            wsgi,
            protocol=functools.partial(_Protocol, connections),
            custom_pool=connections,
            environ={"wsgi.errors": _Silent()},
            log=_Silent(),
            log_output=False,
            debug=False,
            socket_timeout=IDLE_S,
            keepalive=IDLE_S,
            minimum_chunk_size=1,  # an event leaves at once
        ).link(self._on_http_end, stop)

    def wait(self) -> None:
        """Run until `end`.

        Raises:
            RuntimeError: if the HTTP server has ended by itself.
        """
        self._stopped.wait()
        if self._failure is not None:
            raise RuntimeError(self._failure)

    def end(self, after_s: float) -> None:
        """Have `wait` return after a time."""

        def stop() -> None:
            if not self._stopped.ready():  # by another signal
                self._stopped.send()

        eventlet.spawn_after(after_s, stop)

    def _on_http_end(self, thread: Any, stop: Callable[[], None]) -> None:
        """Stop the program with an error when the HTTP server has ended by itself."""
        try:
            thread.wait()
            self._failure = "the HTTP server has ended"
        except Exception as error:
            self._faults.report("http", error)
            self._failure = f"the HTTP server has ended: {error!r}"
        self.post(stop)


def _listen(host: str, port: int, is_shared: bool = False) -> Any:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = eventlet.listen((host, port), family, backlog=BACKLOG, reuse_port=is_shared)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # its connections inherit it
    return listener


class _Silent:
    """The log of eventlet's HTTP server and websockets: its complaints about broken requests are for debugging only."""

    def write(self, text: str) -> None:
        logger.debug("%s", text.rstrip())

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""


class TimedReader(io.RawIOBase):
    """Reads the requests of a connection; notes when data was awaited and when it came.

    Args:
        file: eventlet's, of the connection. It is kept: without it the connection would be closed.
        green_socket: the connection's.
        turns: the client's.
    """

    def __init__(self, file: Any, green_socket: Any, turns: Turns) -> None:
        self._file, self._socket, self._turns = file, green_socket, turns

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has arrived; if that is nothing, wait for it."""
        try:
            return self._socket.fd.recv_into(buffer)
        except OSError:  # nothing has arrived, or the connection is over, which the file sees to
            self._turns.catch_up()
            size = self._file.raw.readinto(buffer)
            self._turns.wake()
            return size

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()


class _Protocol(eventlet.wsgi.HttpProtocol):
    """eventlet's HTTP, whose requests know their connection."""

    rfile: Any

    def __init__(self, connections: Connections, state: list[Any], server: Any) -> None:
        self._connections = connections
        super().__init__(state, server)

    def setup(self) -> None:
        super().setup()
        turns = self._connections.of(self.request).turns
        self.rfile = io.BufferedReader(TimedReader(self.rfile, self.connection, turns))

    def handle_one_request(self) -> None:
        self._connections.of(self.request).begin_request()
        super().handle_one_request()

    def get_environ(self) -> dict[str, Any]:
        # eventlet says HTTP/1.0 of every request.
        own = {KEY: self._connections.of(self.request), "SERVER_PROTOCOL": self.request_version}
        return {**super().get_environ(), **own}

    def log_request(self, code: object = "-", size: object = "-") -> None:
        logger.debug("a request that is not understood as HTTP: answered %s", code)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing more: it quotes the request, with a token that may be in it."""

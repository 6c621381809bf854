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

# Longest time for which a connection may be silent within a request or leave an answer unread. For websockets,
# Socket.IO's pings take care of this.
IDLE_S = 5
# Size of the send buffer for a client that reads slowly. By default, the kernel would queue megabytes of old images.
SEND_BUFFER_BYTES = 65536
# Longest time for which a native thread in pure Python may keep the event loop waiting; Python's default is 5 ms.
SWITCH_INTERVAL_S = 0.001
EXPIRE_S = 0.5
# Connections that the operating system keeps until they are accepted. Beyond this number, clients try again after 1 s.
BACKLOG = 1024
# A front's own port, for pages and metrics, may have this many times fewer connections than the shared port.
SHARED_PER_OWN_PORT = 10


class EventLoop:
    """Runs all work that has no native thread of its own.

    Args:
        faults: where errors of posted calls and repeated work are reported.
        complaints: where a shortage of connections is reported.
    """

    def __init__(self, faults: Faults, complaints: RateLimitedWarnings) -> None:
        self._faults, self._complaints = faults, complaints
        self._mailbox = Mailbox(faults)
        self._stopped = eventlet.event.Event()
        self._failure: str | None = None

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have a call run on the loop; any thread may call this, and it returns at once."""
        self._mailbox.post(call, *arguments)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Let other green threads run for a time; with 0, until each has had a turn."""
        eventlet.sleep(seconds)

    def give_way(self) -> None:
        """Let each other green thread have a turn, unless posted calls wait.

        With ten clients that send without end, a round of turns takes 20 ms. Answers to frames come by `post`. They
        would arrive faster than they are sent if each answer waited for two rounds.
        """
        if self._mailbox.is_empty:
            eventlet.sleep(0)

    def every(self, period_s: float, work: Callable[[], None], name: str) -> None:
        """Call `work` repeatedly, also after it has raised an exception.

        Args:
            period_s: time between the end of a call and the start of the next.
            work: called on the loop.
            name: name of the work, for reports of its errors.
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
        """Listen; clients are served once `wait` is called.

        Args:
            wsgi: the application.
            host: address to listen on.
            port: port to listen on; 0 for any free port.
            stop: called on SIGTERM, on Ctrl-C and when the terminal ends.
            reload: called on any other SIGHUP.
            shared_port: second port to listen on, shared with other processes; `port` is then for few clients. None
                for no second port.

        Returns:
            The address and the port (not the shared one) that it listens on.

        Raises:
            OSError: if the server cannot listen on an address; `filename` of the error is the address.
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
        """Serve the clients of one listening socket, at most `most` connections at once."""
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
            minimum_chunk_size=1,  # an event is sent at once
        ).link(self._on_http_end, stop)

    def wait(self) -> None:
        """Run until `end`.

        Raises:
            RuntimeError: if the HTTP server has ended unexpectedly.
        """
        self._stopped.wait()
        if self._failure is not None:
            raise RuntimeError(self._failure)

    def end(self, after_s: float) -> None:
        """Have `wait` return after a time."""

        def stop() -> None:
            if not self._stopped.ready():  # it is ready if an earlier signal has stopped the loop
                self._stopped.send()

        eventlet.spawn_after(after_s, stop)

    def _on_http_end(self, thread: Any, stop: Callable[[], None]) -> None:
        """Stop the program with an error, because the HTTP server has ended unexpectedly."""
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
    """Reads the requests of a connection, and notes when it begins to wait for data and when data arrives.

    Args:
        file: eventlet's file of the connection. A reference is kept, because the connection closes with the file.
        green_socket: the connection's socket.
        turns: the client's turns.
    """

    def __init__(self, file: Any, green_socket: Any, turns: Turns) -> None:
        self._file, self._socket, self._turns = file, green_socket, turns

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read the data that has arrived; if there is none, wait for data."""
        try:
            return self._socket.fd.recv_into(buffer)
        except OSError:  # no data has arrived, or the connection is over, which the file's `readinto` handles
            self._turns.catch_up()
            size = self._file.raw.readinto(buffer)
            self._turns.wake()
            return size

    def close(self) -> None:
        """Close eventlet's file, too."""
        self._file.close()
        super().close()


class _Protocol(eventlet.wsgi.HttpProtocol):
    """eventlet's HTTP protocol; the environment of its requests has their `Connection`."""

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
        # eventlet gives HTTP/1.0 as the version of every request.
        own = {KEY: self._connections.of(self.request), "SERVER_PROTOCOL": self.request_version}
        return {**super().get_environ(), **own}

    def log_request(self, code: object = "-", size: object = "-") -> None:
        logger.debug("a request that is not understood as HTTP: answered %s", code)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing, because the message quotes the request, which may contain a token."""

"""eventlet's event loop and HTTP server: one green thread per client, all in the main thread."""

import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from server.supervision import Faults
from server.wire.green import eventlet
from server.wire.mailbox import Mailbox

logger = logging.getLogger(__name__)

# Half of the file descriptors that a process usually has.
MOST_CONNECTIONS = 500
# Longest time for a connection's request. A websocket's is over early, and Socket.IO's pings watch it from then on.
IDLE_S = 5
# Unread data kept here for a client that reads slowly; the kernel would let megabytes of old pictures queue up.
SEND_BUFFER_BYTES = 65536
# Longest time for which a native thread in pure Python may keep the event loop waiting; Python's default is 5 ms.
SWITCH_INTERVAL_S = 0.001
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")


class EventLoop:
    """Runs everything that is not in a native thread of its own.

    Args:
        faults: where errors of posted calls and repeated work are reported.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._mailbox = Mailbox(faults)
        self._stopped = eventlet.event.Event()

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have a call run on the loop; any thread and signal handlers may ask, and never wait."""
        self._mailbox.post(call, *arguments)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Let others run for a time; with 0, until each has had a turn."""
        eventlet.sleep(seconds)

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

    def serve(self, wsgi: Callable[..., Any], host: str, port: int, stop: Callable[[], None]) -> tuple[str, int]:
        """Listen, and serve from when `wait` is called.

        Args:
            wsgi: the application.
            host: address to listen on.
            port: 0 for any that is free.
            stop: called on SIGTERM, Ctrl-C and the terminal's end, and if the HTTP server ends by itself.

        Returns:
            The address and the port that it listens on.

        Raises:
            OSError: if the address cannot be listened on.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = eventlet.listen((host, port), family, backlog=128, reuse_port=False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # its connections inherit it
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        eventlet.spawn(self._mailbox.run)
        for name in SIGNALS:
            if hasattr(signal, name):  # Windows has no SIGHUP
                signal.signal(getattr(signal, name), lambda *_: self.post(stop))
        http = eventlet.spawn(
            eventlet.wsgi.server,
            listener,
            wsgi,
            protocol=_QuietProtocol,
            environ={"wsgi.errors": _Silent()},
            log=_Silent(),
            log_output=False,
            debug=False,
            max_size=MOST_CONNECTIONS,
            socket_timeout=IDLE_S,
            keepalive=IDLE_S,
            minimum_chunk_size=1,  # an event leaves at once
        )
        http.link(lambda _: stop())  # a server that no longer listens must not go on as if it did
        return listener.getsockname()[:2]

    def wait(self) -> None:
        """Run until `end`."""
        self._stopped.wait()

    def end(self, after_s: float) -> None:
        """Have `wait` return after a time."""
        eventlet.spawn_after(after_s, self._stopped.send)


class _Silent:
    """The log of eventlet's HTTP server and websockets: its complaints about broken requests are for debugging only."""

    def write(self, text: str) -> None:
        logger.debug("%s", text.rstrip())

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""


class _QuietProtocol(eventlet.wsgi.HttpProtocol):
    def log_message(self, format: str, *arguments: object) -> None:
        logger.debug(format, *arguments)

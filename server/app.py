"""Flask, Socket.IO and eventlet wired to perception and sessions; with `quadsim.py`, all that knows of eventlet.

eventlet runs one green thread per client in the main thread; perception runs in a native one. They meet in
`Perception.submit` on the way in and in `Mailbox` on the way out.
"""

import contextlib
import ipaddress
import json
import logging
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import eventlet
import eventlet.wsgi
import socketio
from eventlet.greenio import GreenSocket
from flask import Flask, Response

from server.complaints import RateLimitedWarnings
from server.engine import Engine
from server.geometry import Camera
from server.messages import BadFrameError, Command, parse_sensor_frame
from server.perception import Failed, Job, NotUnderstood, Perception, Result
from server.quadsim import QuadSimServer
from server.session import Session
from server.tracker import TrackerConfig

logger = logging.getLogger(__name__)

TICK_S = 0.1
# Half of the file descriptors that a process usually has.
MOST_CONNECTIONS = 500
# How long a connection may take for its request; a websocket's is over then, and Socket.IO's pings watch it.
IDLE_S = 5
# How long the last commands may take to leave at shutdown.
FLUSH_S = 0.3


@dataclass(frozen=True)
class Settings:
    """What a user may choose; `help` is what the command line says of each.

    Raises:
        ValueError: for a setting outside its range.
    """

    host: str = field(default="127.0.0.1", metadata={"help": "address to listen on; QuadSim only tries 127.0.0.1"})
    port: int = field(default=4567, metadata={"help": "port to listen on; QuadSim only tries 4567"})
    vertical_fov_deg: float = field(default=60.0, metadata={"help": "the camera's vertical field of view, degrees"})
    depth_far_m: float = field(
        default=100.0, metadata={"help": "depth that 255 stands for, metres; 50 in some releases of QuadSim"}
    )
    min_blob_px: int = field(
        default=0, metadata={"help": "smallest hero to believe, pixels of the network; 0 for what its card says"}
    )
    watchdog_s: float = field(
        default=1.0,
        metadata={"help": "longest time that a drone is left following without a fresh frame, seconds"},
    )

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be 0 to 65535, got {self.port}")
        _ = self.camera  # checks its own two
        if not 0 < self.watchdog_s <= 3:
            raise ValueError(f"watchdog_s must be in (0, 3], got {self.watchdog_s}")
        if self.min_blob_px < 0:
            raise ValueError(f"min_blob_px must not be negative, got {self.min_blob_px}")

    @property
    def camera(self) -> Camera:
        """The camera of every simulator."""
        return Camera(vertical_fov_deg=self.vertical_fov_deg, far_m=self.depth_far_m)


class Mailbox:
    """Calls posted by native threads and signal handlers, run one after the other on the event loop."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        receiver, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._receiver = GreenSocket(receiver)

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have `call(*arguments)` run on the event loop; returns at once."""
        self._calls.append((call, arguments))
        # A full buffer holds wake-ups enough that have not been read yet.
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")

    def run(self) -> None:
        """Run what is posted, for ever."""
        while True:
            self._receiver.recv(4096)
            while self._calls:
                call, arguments = self._calls.popleft()
                try:
                    call(*arguments)
                except Exception:
                    logger.exception("%s failed", call)


class FollowerServer:
    """The server: one session per simulator, one perception for all.

    Args:
        settings: the user's.
        tracker: the user's settings of each session's tracker.
        engine: the loaded network.
    """

    def __init__(self, settings: Settings, tracker: TrackerConfig, engine: Engine) -> None:
        self._settings, self._tracker_config = settings, tracker
        self._sessions: dict[str, Session] = {}
        # Of each session the arrivals of frames in work, and what to call when they, or newer ones, are answered.
        self._unanswered: dict[str, deque[tuple[float, Callable[[], None]]]] = {}
        self._frames = 0
        self._mailbox = Mailbox()
        self._is_stopping = False
        self._stopped = eventlet.event.Event()
        self._complaints = RateLimitedWarnings()
        self._perception = Perception(
            engine,
            settings.camera,
            deliver=lambda result: self._mailbox.post(self._on_result, result),
            min_blob_px=settings.min_blob_px or None,
        )
        # What clients do wrong is reported by `complaints`; the libraries would add tracebacks.
        quiet = logging.getLogger("server.socketio")
        quiet.setLevel(logging.CRITICAL)
        self._sio = QuadSimServer(self._complaints, logger=quiet, engineio_logger=quiet)
        self._sio.on("connect", self._on_connect)
        self._sio.on("disconnect", self._on_disconnect)
        self._sio.on("sensor_frame", self._on_sensor_frame)
        self._wsgi = refuse_foreign_names(socketio.WSGIApp(self._sio, self._flask()), settings.host)

    def run(self) -> None:
        """Listen and serve until SIGTERM or Ctrl-C; then tell every drone to stop following.

        Raises:
            OSError: if the address cannot be listened on.
        """
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        listener = eventlet.listen((self._settings.host, self._settings.port), family, backlog=128, reuse_port=False)
        # A thread in pure Python gives way to the event loop after this long, rather than after 5 ms.
        sys.setswitchinterval(0.001)
        self._perception.start()
        eventlet.spawn(self._mailbox.run)
        eventlet.spawn(self._tick)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._mailbox.post(self._stop))
        http = eventlet.spawn(
            eventlet.wsgi.server,
            listener,
            self._wsgi,
            protocol=_QuietProtocol,
            environ={"wsgi.errors": _Silent()},
            log=_Silent(),
            log_output=False,
            debug=False,
            max_size=MOST_CONNECTIONS,
            socket_timeout=IDLE_S,
            keepalive=IDLE_S,
        )
        http.link(lambda _: self._stop())  # a server that no longer listens must not stay as if it did
        host, port = listener.getsockname()[:2]
        logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        if host == "127.0.0.1" and port == 4567:
            logger.info("ready: start QuadSim and choose Follow Me; it connects by itself")
        else:
            logger.info("ready; QuadSim itself only ever connects to 127.0.0.1:4567")
        self._stopped.wait()
        self._perception.stop()

    def health(self) -> tuple[dict[str, Any], bool]:
        """The state as /healthz tells it, and whether the server is ready."""
        # Sooner than the watchdog, so that a drone that it stops finds the reason told here.
        trouble = self._perception.trouble(self._settings.watchdog_s / 2)
        engine = self._perception.engine
        report = {
            "ready": trouble is None,
            "trouble": trouble,
            "engine": engine.description,
            "input_px": engine.input_px,
            "frames": self._frames,
            "sessions": [
                {
                    "name": session.name,
                    "state": session.tracker.state.value,
                    "is_told_to_follow": session.is_told_to_follow,
                    "hero_age_s": session.hero_age_s(time.monotonic()),
                    **session.counts._asdict(),
                }
                for session in self._sessions.values()
            ],
        }
        return report, trouble is None

    def _flask(self) -> Flask:
        app = Flask(__name__, static_folder=None)

        @app.get("/healthz")
        def healthz() -> Response:
            report, is_ready = self.health()
            return Response(json.dumps(report) + "\n", 200 if is_ready else 503, mimetype="application/json")

        return app

    def _on_connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        logger.debug("client connected: %s", sid)

    def _on_disconnect(self, sid: str, reason: object = None) -> None:
        self._perception.forget(sid)
        self._unanswered.pop(sid, None)
        session = self._sessions.pop(sid, None)
        if session is not None:
            logger.info("[%s] simulator disconnected after %d frames", session.name, session.counts.received)

    def _on_sensor_frame(self, sid: str, acknowledge: Callable[[], None], *arguments: object) -> None:
        arrival_s = time.monotonic()
        if self._is_stopping:
            return
        session = self._sessions.get(sid)
        if session is None:
            eio_sid = self._sio.manager.eio_sid_from_sid(sid, "/")
            session = Session(self._sio.session_name(eio_sid), self._tracker_config, self._settings.watchdog_s)
            self._sessions[sid] = session
            self._unanswered[sid] = deque()
            logger.info("[%s] simulator connected", session.name)
        self._frames += 1
        self._unanswered[sid].append((arrival_s, acknowledge))
        try:
            frame = parse_sensor_frame(arguments[0] if len(arguments) == 1 else arguments)
        except BadFrameError as error:
            self._on_bad_frame(sid, session, arrival_s, error)
            return
        session.on_received(arrival_s, self._perception.submit(Job(sid, frame, arrival_s)))

    def _on_result(self, result: Result) -> None:
        sid = result.job.session
        session = self._sessions.get(sid)
        if session is None or self._is_stopping:
            return  # gone meanwhile, or told its last command
        now_s = time.monotonic()
        if isinstance(result, NotUnderstood):
            self._on_bad_frame(sid, session, result.job.arrival_s, result.error)
        elif isinstance(result, Failed):
            self._answer(sid, result.job.arrival_s, session.on_failure(now_s))
        else:
            self._answer(sid, result.job.arrival_s, session.on_seen(result.job, result.targets, now_s))

    def _on_bad_frame(self, sid: str, session: Session, arrival_s: float, error: BadFrameError) -> None:
        self._answer(sid, arrival_s, session.on_bad_frame(arrival_s, time.monotonic()))
        self._complaints.warn(session.name, error.field, error.expected, error.received)

    def _answer(self, sid: str, arrival_s: float, commands: Iterable[Command]) -> None:
        """Answer a frame, and with it those before it, which it has superseded."""
        self._send(sid, commands)
        frames = self._unanswered.get(sid, deque())
        while frames and frames[0][0] <= arrival_s:
            frames.popleft()[1]()

    def _send(self, sid: str, commands: Iterable[Command]) -> None:
        for command in commands:
            self._sio.emit(command.event, command.payload, to=sid)
            eventlet.sleep(0)  # lets it leave before the next is made: the marker can wait, the command can't

    def _tick(self) -> None:
        while True:
            eventlet.sleep(TICK_S)
            self._sio.eio.drop_deaf_clients()
            for sid, session in list(self._sessions.items()):
                self._send(sid, session.on_tick(time.monotonic()))

    def _stop(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        logger.info("shutting down")
        for sid, session in list(self._sessions.items()):
            self._send(sid, session.on_shutdown(time.monotonic()))
        eventlet.spawn_after(FLUSH_S, self._stopped.send)


def refuse_foreign_names(wsgi: Callable[..., Any], host: str) -> Callable[..., Any]:
    """Refuse requests that name this server as only a foreign page can.

    Socket.IO compares a page's origin with the Host header. A site whose name has been pointed at this machine passes
    that, so the name must be an address, "localhost", this machine's own or the one in `host`.
    """
    own_names = {"localhost", socket.gethostname().lower(), host.lower()}

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            name = urlsplit(f"//{environ.get('HTTP_HOST', 'localhost')}").hostname or ""
        except ValueError:
            name = "no host"
        if name not in own_names and not _is_address(name):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [f"expected an address or one of {', '.join(sorted(own_names))}, got {name}\n".encode()]
        return wsgi(environ, start_response)

    return guarded


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Silent:
    """The log of eventlet's HTTP server and websockets, whose complaints about broken requests help nobody."""

    def write(self, text: str) -> None:
        logger.debug("%s", text.rstrip())

    def flush(self) -> None:
        """Nothing is held back."""


class _QuietProtocol(eventlet.wsgi.HttpProtocol):
    def log_message(self, format: str, *arguments: object) -> None:
        logger.debug(format, *arguments)

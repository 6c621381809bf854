"""Flask, Socket.IO and eventlet wired to perception and sessions.

Only this module, `quadsim.py` and `mailbox.py` know of eventlet, which runs one green thread per client in the main
thread; perception runs in a native one. They meet in `Perception.submit` on the way in and in `Mailbox` on the way out.
"""

import json
import logging
import math
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import eventlet
import eventlet.wsgi
import socketio
from flask import Flask, Response

from model.engines import Engine
from server.flight.session import Counts, Session
from server.settings import Settings, TrackerConfig
from server.sight.perception import Failed, Job, NotUnderstood, Perception, Result
from server.watch.dashboard import Dashboard
from server.watch.metrics import CONTENT_TYPE, Metrics, Reading
from server.watch.overlay import Painter, Picture, View
from server.watch.recording.recorder import Recorder
from server.wire.complaints import RateLimitedWarnings
from server.wire.guard import refuse_foreign_names
from server.wire.mailbox import Mailbox
from server.wire.messages import BadFrameError, Command, SensorFrame, parse_sensor_frame, shorten
from server.wire.quadsim import QuadSimServer

logger = logging.getLogger(__name__)

TICK_S = 0.1
# Half of the file descriptors that a process usually has.
MOST_CONNECTIONS = 500
# How long a connection may take for its request; a websocket's is over then, and Socket.IO's pings watch it.
IDLE_S = 5
# What a client that reads slowly may leave unread here; the kernel would let megabytes of old pictures queue up.
SEND_BUFFER_BYTES = 65536
# QuadSim reconnects by itself, and a hold outlasts that, and a restart of the simulator.
HOLD_KEPT_S = 60.0
# How long the last commands may take to leave at shutdown.
FLUSH_S = 0.3


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
        # Of the sessions that have gone.
        self._past_counts: Counter[str] = Counter()
        self._past_sessions = 0
        # By address, until when whoever connects from there is put on hold, for a held one has left; monotonic seconds.
        self._held_until_s: dict[str, float] = {}
        self._overlay_watchers: set[str] = set()
        self._mailbox = Mailbox()
        self._is_stopping = False
        self._stopped = eventlet.event.Event()
        self._perception = Perception(
            engine,
            settings.camera,
            deliver=lambda result: self._mailbox.post(self._on_result, result),
            min_blob_px=settings.min_blob_px or None,
        )
        self._painter = Painter(engine.card, lambda picture: self._mailbox.post(self._on_picture, picture))
        self._recorder = Recorder(
            settings.record, engine, settings.camera, self._perception.min_blob_px, settings.watchdog_s, tracker
        )
        self._dashboard = Dashboard(self._hold, self._record, self._recorder.about, self._trouble, engine.description)
        self._metrics = Metrics(self._reading)
        self._complaints = RateLimitedWarnings(listener=self._dashboard.on_complaint)
        # What clients do wrong is reported by `complaints`; the libraries would add tracebacks.
        quiet = logging.getLogger("server.socketio")
        quiet.setLevel(logging.CRITICAL)
        self._sio = QuadSimServer(self._complaints, logger=quiet, engineio_logger=quiet)
        self._sio.on("connect", self._on_connect)
        self._sio.on("disconnect", self._on_disconnect)
        self._sio.on("sensor_frame", self._on_sensor_frame)
        self._sio.on("watch_overlay", self._on_watch_overlay)
        self._wsgi = refuse_foreign_names(socketio.WSGIApp(self._sio, self._flask()), settings.host)

    def run(self) -> None:
        """Listen and serve until SIGTERM, Ctrl-C or the terminal's end; then tell every drone to stop following.

        Raises:
            OSError: if the address cannot be listened on.
        """
        family = socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET
        listener = eventlet.listen((self._settings.host, self._settings.port), family, backlog=128, reuse_port=False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # its connections inherit it
        # A thread in pure Python gives way to the event loop after this long, rather than after 5 ms.
        sys.setswitchinterval(0.001)
        self._perception.start()
        self._painter.start()
        self._recorder.start()
        eventlet.spawn(self._mailbox.run)
        eventlet.spawn(self._tick)
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if hasattr(signal, name):  # Windows has no SIGHUP
                signal.signal(getattr(signal, name), lambda *_: self._mailbox.post(self._stop))
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
            minimum_chunk_size=1,  # an event leaves at once
        )
        http.link(lambda _: self._stop())  # a server that no longer listens must not stay as if it did
        host, port = listener.getsockname()[:2]
        logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        if host == "127.0.0.1" and port == 4567:
            logger.info("ready: start QuadSim and choose Follow Me; it connects by itself")
        else:
            logger.info("ready; QuadSim itself only ever connects to 127.0.0.1:4567")
        self._stopped.wait()
        self._recorder.stop()
        self._perception.stop()

    def health(self) -> tuple[dict[str, Any], bool]:
        """The state as /healthz tells it, and whether the server is ready."""
        trouble = self._trouble()
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

    def _trouble(self) -> str | None:
        # Sooner than the watchdog, so that a drone that it stops finds the reason told here.
        return self._perception.trouble(self._settings.watchdog_s / 2)

    def _reading(self) -> Reading:
        sessions = self._sessions.values()
        counts = sum((Counter(session.counts._asdict()) for session in sessions), self._past_counts)
        return Reading(
            received=self._frames,
            counts=Counts(*(counts[name] for name in Counts._fields)),
            states=[session.tracker.state for session in sessions],
            held=sum(session.is_held for session in sessions),
            recorded=sum(self._recorder.is_recorded(session) for session in sessions),
            sessions=self._past_sessions + len(sessions),
            viewers=self._dashboard.viewers,
            is_ready=self._trouble() is None,
        )

    def _flask(self) -> Flask:
        app = Flask(__name__, static_folder=None)
        app.register_blueprint(self._dashboard.blueprint(eventlet.sleep))

        @app.get("/healthz")
        def healthz() -> Response:
            report, is_ready = self.health()
            return Response(json.dumps(report) + "\n", 200 if is_ready else 503, mimetype="application/json")

        @app.get("/metrics")
        def metrics() -> Response:
            return Response(self._metrics.text(), content_type=CONTENT_TYPE)

        return app

    def _on_connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        logger.debug("client connected: %s", sid)

    def _on_disconnect(self, sid: str, reason: object = None) -> None:
        self._perception.forget(sid)
        self._unanswered.pop(sid, None)
        self._overlay_watchers.discard(sid)
        session = self._sessions.pop(sid, None)
        if session is not None:
            if session.is_held:
                self._held_until_s[_address(session)] = time.monotonic() + HOLD_KEPT_S
            self._recorder.on_disconnected(session)
            self._past_counts.update(session.counts._asdict())
            self._past_sessions += 1
            self._dashboard.on_disconnected(session.name)
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
            self._recorder.on_connected(session)
            self._dashboard.on_connected(session, self._settings.camera)
            logger.info("[%s] simulator connected", session.name)
            if self._must_hold(_address(session), arrival_s):
                self._put_on_hold(sid, session, "for one from its machine is, or was when it left")
        self._frames += 1
        self._unanswered[sid].append((arrival_s, acknowledge))
        argument = arguments[0] if len(arguments) == 1 else arguments
        try:
            frame = parse_sensor_frame(argument)
        except BadFrameError as error:
            session.on_received(arrival_s, superseded=False)
            self._recorder.on_frame(session, arrival_s, None, argument)
            self._on_bad_frame(sid, session, arrival_s, error)
            return
        is_superseding = self._perception.submit(Job(sid, frame, arrival_s))
        session.on_received(arrival_s, is_superseding)
        self._recorder.on_frame(session, arrival_s, is_superseding, argument)

    def _on_result(self, result: Result) -> None:
        sid = result.job.session
        session = self._sessions.get(sid)
        if session is None or self._is_stopping:
            return  # gone meanwhile, or told its last command
        job, now_s = result.job, time.monotonic()
        if isinstance(result, NotUnderstood):
            self._on_bad_frame(sid, session, job.arrival_s, result.error)
        elif isinstance(result, Failed):
            commands = session.on_failure(now_s)
            self._recorder.note(session, "failed", now_s, commands, arrival_s=job.arrival_s)
            self._answer(sid, session, job.arrival_s, commands)
        else:
            commands = session.on_seen(job, result.targets, now_s)
            self._recorder.on_seen(session, result, now_s, commands)
            self._answer(sid, session, job.arrival_s, commands, job.frame)
            self._metrics.on_seen(result.spent, bool(result.targets))
            remark = result.remark
            if remark is not None:
                self._complaints.warn(session.name, remark.field, remark.expected, remark.received)
            if self._settings.pred_viz or self._dashboard.viewers or self._overlay_watchers:
                self._painter.submit(View(session.name, result, session.situation(time.monotonic())))

    def _on_bad_frame(self, sid: str, session: Session, arrival_s: float, error: BadFrameError) -> None:
        now_s = time.monotonic()
        commands = session.on_bad_frame(arrival_s, now_s)
        what = {"field": error.field, "expected": error.expected, "received": error.received}
        self._recorder.note(session, "bad", now_s, commands, arrival_s=arrival_s, **what)
        self._answer(sid, session, arrival_s, commands)
        self._complaints.warn(session.name, **what)

    def _answer(
        self,
        sid: str,
        session: Session,
        arrival_s: float,
        commands: Iterable[Command],
        frame: SensorFrame | None = None,
    ) -> None:
        """Answer a frame, and with it those before it, which it has superseded; `frame` is None for one no good."""
        self._send(sid, commands)
        frames = self._unanswered.get(sid, deque())
        while frames and frames[0][0] <= arrival_s:
            frames.popleft()[1]()
        now_s = time.monotonic()
        self._metrics.on_answered(now_s - arrival_s)
        situation = session.situation(now_s)
        self._recorder.on_answered(session, arrival_s, now_s, situation, frame)
        self._dashboard.on_answered(session.name, arrival_s, now_s, situation, frame)

    def _send(self, sid: str, commands: Iterable[Command]) -> None:
        for command in commands:
            self._sio.emit(command.event, command.payload, to=sid)
            eventlet.sleep(0)  # lets it leave before the next is made: the marker can wait, the command can't
            self._metrics.on_command(command.event)
            self._dashboard.on_change()

    def _hold(self, name: str, is_held: bool) -> bool:
        named = self._named(name)
        if named is None:
            return False
        sid, session = named
        if is_held:
            self._put_on_hold(sid, session, "by hand")
        else:
            logger.info("[%s] released by hand", name)
            self._held_until_s.pop(_address(session), None)
            commands = session.release()
            self._recorder.note(session, "release", time.monotonic(), commands)
            self._send(sid, commands)
        return True

    def _named(self, name: str) -> tuple[str, Session] | None:
        return next(((sid, session) for sid, session in self._sessions.items() if session.name == name), None)

    def _put_on_hold(self, sid: str, session: Session, why: str) -> None:
        logger.info("[%s] held %s", session.name, why)
        commands = session.hold()
        self._recorder.note(session, "hold", time.monotonic(), commands)
        self._send(sid, commands)

    def _must_hold(self, address: str, now_s: float) -> bool:
        """Whether a simulator that connects may be a held one that has lost its connection, noticed here or not."""
        is_there = any(session.is_held and _address(session) == address for session in self._sessions.values())
        return is_there or now_s < self._held_until_s.get(address, -math.inf)

    def _record(self, name: str, is_recorded: bool) -> bool:
        named = self._named(name)
        if named is None:
            return False
        _, session = named
        if is_recorded:
            self._recorder.begin(session)
        else:
            self._recorder.end(session, "stopped by hand")
        return True

    def _on_watch_overlay(self, sid: str, acknowledge: Callable[[], None], *arguments: object) -> None:
        if arguments == ({"watch": True},):
            self._overlay_watchers.add(sid)
        elif arguments == ({"watch": False},):
            self._overlay_watchers.discard(sid)
        else:
            name = self._sio.session_name(self._sio.manager.eio_sid_from_sid(sid, "/"))
            self._complaints.warn(name, "watch_overlay", '{"watch": true or false}', shorten(arguments))
        acknowledge()

    def _on_picture(self, picture: Picture) -> None:
        self._metrics.on_picture()
        self._dashboard.on_picture(picture)
        for sid in list(self._overlay_watchers):
            if self._sio.has_read_all(sid):  # a slow one gets fewer
                self._sio.emit("overlay_image", picture.as_json(), to=sid)

    def _tick(self) -> None:
        while True:
            eventlet.sleep(TICK_S)
            self._sio.eio.drop_deaf_clients()
            for sid, session in list(self._sessions.items()):
                now_s = time.monotonic()
                commands = session.on_tick(now_s)
                self._recorder.note(session, "tick", now_s, commands)
                self._send(sid, commands)

    def _stop(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        logger.info("shutting down")
        for sid, session in list(self._sessions.items()):
            now_s = time.monotonic()
            commands = session.on_shutdown(now_s)
            self._recorder.note(session, "shutdown", now_s, commands)
            self._send(sid, commands)
        eventlet.spawn_after(FLUSH_S, self._stopped.send)


def _address(session: Session) -> str:
    """The machine that a simulator runs on."""
    return session.name.rpartition(":")[0]


class _Silent:
    """The log of eventlet's HTTP server and websockets, whose complaints about broken requests help nobody."""

    def write(self, text: str) -> None:
        logger.debug("%s", text.rstrip())

    def flush(self) -> None:
        """Nothing is held back."""


class _QuietProtocol(eventlet.wsgi.HttpProtocol):
    def log_message(self, format: str, *arguments: object) -> None:
        logger.debug(format, *arguments)

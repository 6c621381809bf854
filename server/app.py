"""Wiring: the event loop, the path from frames to commands, and the listeners."""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import socketio

from model.engines import Engine
from server.control import TICK_S, Control
from server.front import TELL_EVERY_S, Front, HoldReporter, Link
from server.networks import Networks
from server.settings import Settings, trackers_for
from server.sight.perception import Perception
from server.sight.sight import Sight
from server.simulator import Simulator
from server.supervision import Faults
from server.watch.about import health_of
from server.watch.dashboard import Dashboard
from server.watch.metrics import Metrics
from server.watch.orders import Order, OrderError, choose_order, refuse_order, switch_order, target_order
from server.watch.overlay import Overlay, Picture, Viewer
from server.watch.recording.live import Live
from server.watch.recording.recorder import Recorder
from server.watch.routes import make_app
from server.watch.thumbnails import Thumbnails
from server.wire.addresses import in_url, is_loopback
from server.wire.complaints import RateLimitedWarnings
from server.wire.guard import Wsgi, read_whole, refuse_foreign_names, report_errors
from server.wire.loop import EventLoop
from server.wire.messages import Command, shorten
from server.wire.quadsim import QuadSimServer
from server.wire.shared_port import guard_shared_port
from server.wire.token import require_token

logger = logging.getLogger(__name__)

OVERLAY_ROOM = "overlay"
# At shutdown: time for the last commands to be sent once all clients' queues are empty; longest wait for empty queues,
# because some clients do not read; time between checks.
FLUSH_S, LONGEST_FLUSH_S, FLUSH_CHECK_S = 0.2, 1.0, 0.02


class FollowerServer:
    """The server: one session per simulator, one perception for all.

    Args:
        settings: the user's settings.
        chosen: tracker settings that the user has changed, by name.
        weights: path of the network, as the user named it.
        engine: that network, loaded.
        load: opens and tests another network; see `Networks`.
        token: token that clients of other machines must show; None if they need none.
        front: this process among several fronts that share the port; None if it is the only one.
    """

    def __init__(
        self,
        settings: Settings,
        chosen: Mapping[str, Any],
        weights: str,
        engine: Engine,
        load: Callable[[str], Engine],
        token: str | None = None,
        front: Front | None = None,
    ) -> None:
        self._settings, self._chosen, self._front = settings, chosen, front
        faults = Faults()
        self._complaints = RateLimitedWarnings()
        self._loop = EventLoop(faults, self._complaints)
        # Clients' mistakes are reported by `complaints`; the libraries would add tracebacks.
        quiet = logging.getLogger("server.socketio")
        quiet.setLevel(logging.CRITICAL)
        self._sio = QuadSimServer(self._complaints, faults, logger=quiet, engineio_logger=quiet)
        make_sight = partial(
            Sight, camera=settings.camera, min_blob_px=settings.min_blob_px or None, target=settings.follow
        )
        sight = make_sight(engine)
        self._perception = Perception(sight, faults)
        self._networks = Networks(
            weights, sight, settings.networks, load, make_sight, self._perception, self._loop.post, faults
        )
        self._control = Control(
            settings,
            trackers_for(sight.card, chosen),
            self._perception,
            self._loop.post,
            self._send,
            self._sio.recognise,
            self._complaints,
            faults,
        )

        def fail(simulator: Simulator) -> None:
            self._loop.post(self._control.fail, simulator)

        self._metrics = Metrics(faults)
        self._overlay = Overlay(self._loop.post, faults, fail)
        self._recorder = Recorder(settings.record, sight, settings.camera, settings.watchdog_s, chosen, faults, fail)
        self._dashboard = Dashboard(
            settings.camera, self._recorder.about, self._control.trouble, self._networks.about, front
        )
        self._thumbnails = Thumbnails()
        self._networks.listeners.append(self._on_network)
        self._live = None if settings.foxglove is None else Live(settings.foxglove, faults, fail)
        self._control.listeners += [self._metrics, self._recorder, self._dashboard, self._thumbnails, self._overlay]
        if self._live is not None:
            self._control.listeners.append(self._live)
        self._link = self._holds = None
        if front is not None:
            self._link = Link(self._on_hold_elsewhere, on_end=partial(os.kill, os.getpid(), signal.SIGTERM))
            self._holds = HoldReporter(self._link.tell_hold)
            self._control.listeners.append(self._holds)
        self._complaints.listeners.append(self._dashboard.on_complaint)
        self._overlay.viewers += [
            Viewer(lambda _: settings.pred_viz, self._metrics.show),
            Viewer(self._dashboard.is_seen, self._dashboard.show),
            Viewer(self._thumbnails.is_wanted, self._thumbnails.show, is_small=True),
            Viewer(lambda _: bool(self._sio.members(OVERLAY_ROOM)), self._send_picture),
        ]
        self._add_metrics()
        self._wsgi = self._make_wsgi(self._add_orders(), token, faults)

    def _add_metrics(self) -> None:
        self._metrics.gauge("sessions_recorded", "Simulators being recorded", lambda: self._recorder.recorded)
        self._metrics.gauge("viewers", "Open pages", lambda: self._dashboard.viewers)
        self._metrics.gauge("ready", "1 if /healthz says ready", lambda: self._control.trouble() is None)
        self._metrics.gauge("network_loading", "1 while another network is loaded", lambda: self._networks.is_loading)
        self._metrics.gauge("remote", "1 while frames are inferred elsewhere", lambda: self._networks.engine.is_remote)
        images = "Images sent elsewhere to be inferred"
        self._metrics.counter("remote_images", images, "outcome", lambda: self._networks.engine.remote_outcomes)
        loads = "Requests to load a network while the server runs"
        self._metrics.counter("network_loads", loads, "outcome", lambda: self._networks.outcomes)

    def _add_orders(self) -> dict[str, Order]:
        """Handle the events of Socket.IO; returns the kinds of orders by HTTP, by the names of their routes."""
        self._sio.on("disconnect", self._on_disconnect)
        self._sio.on("sensor_frame", self._on_sensor_frame)
        self._sio.on("watch_overlay", self._on_watch_overlay)
        choose, refuse = choose_order(self._control.choose), refuse_order(self._control.refuse)
        self._sio.on("choose_person", partial(self._on_order, "choose_person", choose))
        self._sio.on("refuse_person", partial(self._on_order, "refuse_person", refuse))
        return {
            "hold": switch_order("is_held", self._control.hold),
            "record": switch_order("is_recorded", self._record),
            "choose": choose,
            "refuse": refuse,
            "target": target_order(self._control.aim, lambda: self._networks.targets),
        }

    def _make_wsgi(self, orders: Mapping[str, Order], token: str | None, faults: Faults) -> Wsgi:
        """The application with its guards, the outermost last."""
        settings, front = self._settings, self._front
        http = make_app(
            self._dashboard,
            self._thumbnails,
            self._metrics,
            self.health,
            orders,
            self._networks,
            self._loop.sleep,
            faults,
        )
        wsgi = report_errors(socketio.WSGIApp(self._sio, http), faults)
        if front is not None:
            wsgi = guard_shared_port(wsgi, front.shared_port, front.ports, self._complaints)
        if token is not None:
            wsgi = require_token(wsgi, token, self._complaints)
        return read_whole(refuse_foreign_names(wsgi, settings.names, self._complaints), self._complaints)

    def run(self) -> None:
        """Listen and serve until SIGTERM, Ctrl-C or the terminal's end; then tell every drone to stop following.

        Raises:
            OSError: if the server cannot listen on the address.
        """
        front = self._front
        ports = (self._settings.port, None) if front is None else (front.port, front.shared_port)
        host, port = self._loop.serve(
            self._wsgi, self._settings.host, ports[0], self._stop, self._networks.reload, ports[1]
        )
        if self._live is not None:
            logger.info("Foxglove: open a connection to %s", self._live.start())
        self._perception.start()
        self._overlay.start()
        self._recorder.start()
        self._networks.start()
        self._loop.every(TICK_S, self._control.tick, "tick")
        self._loop.every(TICK_S, self._sio.eio.drop_deaf_clients, "deaf clients")
        logger.info("listening on http://%s:%d", in_url(host), port)
        if self._settings.without_token and not is_loopback(host):
            logger.warning("no token is required: everybody who can connect may control the drones")
        if self._link is not None and self._holds is not None:
            self._loop.every(TELL_EVERY_S, self._holds.tell_again, "holds")
            self._link.start()
        port = self._settings.port if front is not None else port
        if host == "127.0.0.1" and port == 4567:
            logger.info("ready: start QuadSim and choose Follow Me; it connects by itself")
        else:
            logger.info("ready; QuadSim itself only ever connects to 127.0.0.1:4567")
        self._loop.wait()
        self._recorder.stop()
        self._perception.stop()

    def health(self) -> dict[str, Any]:
        """The state of the server for /healthz."""
        trouble, now_s, engine = self._control.trouble(), time.monotonic(), self._networks.engine
        return {
            "ready": trouble is None,
            "trouble": trouble,
            **({} if self._front is None else {"front": self._front.number}),
            "engine": engine.description,
            "is_remote": engine.is_remote,
            "input_px": engine.input_px,
            "target": self._networks.target,
            "records_all": self._settings.record is not None,
            "frames": self._control.frames,
            "sessions": [health_of(simulator, now_s) for simulator in self._control.simulators],
        }

    def _record(self, simulator: Simulator, is_recorded: bool) -> None:
        if is_recorded:
            self._recorder.begin(simulator)
        else:
            self._recorder.end(simulator, "stopped by hand")

    def _on_hold_elsewhere(self, host: str, is_held: bool) -> None:
        self._loop.post(self._control.kept_holds.note_elsewhere, host, is_held)
        if not is_held and self._holds is not None:
            # The other fronts have now forgotten all holds of that address. Simulators here may still be on hold.
            self._loop.post(self._holds.tell_again)

    def _on_network(self, sight: Sight) -> None:
        """Pass on a new network to the sessions, the recorder and the parent of the fronts."""
        self._control.retarget(trackers_for(sight.card, self._chosen))
        self._recorder.use_network(sight)
        if self._link is not None:
            self._link.tell_network(self._networks.weights)

    def _on_disconnect(self, sid: str, reason: object = None) -> None:
        self._control.on_disconnect(sid)

    def _on_sensor_frame(self, sid: str, acknowledge: Callable[[], None], *arguments: object) -> None:
        peer = self._sio.peer(sid)
        self._control.on_frame(sid, peer.host, str(peer), self._sio.earliest_arrival_s(), acknowledge, arguments)

    def _on_watch_overlay(self, sid: str, acknowledge: Callable[[], None], *arguments: object) -> None:
        if arguments == ({"watch": True},):
            self._sio.recognise(sid)
            self._sio.enter_room(sid, OVERLAY_ROOM)
        elif arguments == ({"watch": False},):
            self._sio.recognise(sid)
            self._sio.leave_room(sid, OVERLAY_ROOM)
        else:
            peer = self._sio.peer(sid)
            self._complaints.warn(str(peer), "watch_overlay", '{"watch": true or false}', shorten(arguments))
        acknowledge()

    def _on_order(
        self, event: str, order: Order, sid: str, acknowledge: Callable[[], None], *arguments: object
    ) -> None:
        try:
            order.obey(arguments[0] if len(arguments) == 1 else None, self._dashboard.simulator)
        except OrderError as error:
            self._complaints.warn(str(self._sio.peer(sid)), event, error.expected, shorten(arguments))
        else:
            self._sio.recognise(sid)
            self._dashboard.on_change()
        acknowledge()

    def _send(self, sid: str, command: Command) -> None:
        self._sio.emit(command.event, command.payload, to=sid)
        self._loop.give_way()  # sends the command before the next one is built: its marker is less urgent

    def _send_picture(self, picture: Picture) -> None:
        for sid in self._sio.members(OVERLAY_ROOM):
            if self._sio.has_read_all(sid):  # a slow client gets fewer images
                self._sio.emit("overlay_image", picture.as_json(), to=sid)

    def _stop(self) -> None:
        self._control.stop()
        until_s = time.monotonic() + LONGEST_FLUSH_S
        while time.monotonic() < until_s and not all(
            self._sio.has_read_all(each.id) for each in self._control.simulators
        ):
            self._loop.sleep(FLUSH_CHECK_S)
        self._loop.end(FLUSH_S)

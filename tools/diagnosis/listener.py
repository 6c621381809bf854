"""Listens in the server's place, and reports for each client what the server understands.

The server's own code reads the handshake, the protocol and the frames; only the network is missing. A simulator's drone
is told to patrol when its first frame arrives.
"""

import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import socketio

from server.supervision import Faults
from server.wire.addresses import cannot_listen
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import Peer
from server.wire.guard import read_whole, refuse_foreign_names, report_errors
from server.wire.loop import EventLoop
from server.wire.messages import object_lost, shorten
from server.wire.quadsim import QuadSimServer
from tools.diagnosis.advice import FRAME_SAMPLE, from_complaint
from tools.diagnosis.finding import Finding, Mark
from tools.diagnosis.frames import FrameCheck

PATH = "/socket.io/"
JUDGE_EVERY_S = 0.25
# A QuadSim sends its first frame within 0.2 s.
SILENT_S = 5.0
# A client that is refused may connect again 200 times a second.
MOST_FINDINGS = 500

Report = Callable[[str, Finding], None]


class Listener:
    """Listens until it is stopped; see the module.

    Args:
        report: called with a client's name and a finding about it. The same fault of another client of the same machine
            is not reported again.

    Attributes:
        understood: number of frames that were understood.
        wrong: number of faults that were reported.
    """

    def __init__(self, report: Report) -> None:
        self.understood = self.wrong = self._lines = 0
        self._report_to_user = report
        self._reported: set[tuple[object, ...]] = set()
        self._checks: dict[str, tuple[str, FrameCheck]] = {}
        self._awaited: dict[str, float] = {}  # client that has sent nothing since its handshake → time of that
        faults, complaints = Faults(), RateLimitedWarnings()
        complaints.listeners.append(self._on_complaint)
        logging.getLogger("server.wire.complaints").setLevel(logging.CRITICAL)  # reported as findings instead
        quiet = logging.getLogger("server.socketio")
        quiet.setLevel(logging.CRITICAL)
        self._loop = EventLoop(faults, complaints)
        self._sio = QuadSimServer(complaints, faults, logger=quiet, engineio_logger=quiet)
        self._sio.on("sensor_frame", self._on_frame)
        self._sio.on("disconnect", self._on_disconnect)
        wsgi = report_errors(self._reporting_handshakes(socketio.WSGIApp(self._sio)), faults)
        self._wsgi = read_whole(refuse_foreign_names(wsgi, (), complaints), complaints)

    def run(self, host: str, port: int, seconds: float | None, ready: Callable[[str, int], None]) -> None:
        """Listen until a signal, or for some seconds.

        Args:
            host: address to listen on.
            port: port to listen on; 0 for any that is free.
            seconds: duration, s; None: until a signal.
            ready: called with address and port once it listens.

        Raises:
            OSError: if it cannot listen on the address.
        """
        try:
            address = self._loop.serve(self._wsgi, host, port, lambda: self._loop.end(0), reload=lambda: None)
        except OSError as error:
            raise OSError(cannot_listen(host, port, error)) from error
        self._loop.every(JUDGE_EVERY_S, self._judge_clients, "judging")
        if seconds is not None:
            self._loop.end(seconds)
        ready(*address)
        self._loop.wait()
        for sid in list(self._checks):
            self._on_disconnect(sid)

    def _reporting_handshakes(self, wsgi: Callable[..., Any]) -> Callable[..., Any]:
        """Report each handshake before it is answered."""

        def reported(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            peer, query = Peer.of(environ), parse_qs(environ.get("QUERY_STRING", ""))
            if not environ["PATH_INFO"].startswith(PATH):
                expected = f"{PATH}?EIO=4&transport=websocket, where the server talks to simulators"
                self._report(peer.host, Finding(Mark.NOTE, "path", shorten(environ["PATH_INFO"]), expected=expected))
            elif "sid" not in query:
                self._report(str(peer), _handshake(environ, query))
                if query.get("transport") == ["websocket"]:
                    self._awaited[str(peer)] = time.monotonic()
            return wsgi(environ, start_response)

        return reported

    def _on_complaint(self, session: str, field: str, expected: str, received: str) -> None:
        for name in [name for name in self._awaited if session in (name, _host(name))]:
            del self._awaited[name]
        self._report(session, from_complaint(field, expected, received))

    def _on_frame(self, sid: str, acknowledge: Callable[[], None], *arguments: object) -> None:
        now_s = time.monotonic()
        if sid not in self._checks:
            name = str(self._sio.peer(sid))
            self._awaited.pop(name, None)
            self._checks[sid] = name, FrameCheck()
            command = object_lost()
            self._sio.emit(command.event, command.payload, to=sid)
        name, check = self._checks[sid]
        understood = check.understood
        for finding in check.take(now_s, arguments[0] if len(arguments) == 1 else arguments):
            self._report(name, finding)
        if check.understood > understood:
            self.understood += 1
            self._sio.recognise(sid)
        acknowledge()

    def _on_disconnect(self, sid: str, reason: object = None) -> None:
        if sid in self._checks:
            name, check = self._checks.pop(sid)
            text = f"{check.frames} received, {check.understood} understood"
            self._report(name, Finding(Mark.OK if check.frames == check.understood else Mark.NOTE, "frames", text))

    def _judge_clients(self) -> None:
        now_s = time.monotonic()
        for name, check in list(self._checks.values()):
            for finding in check.judge(now_s):
                self._report(name, finding)
        for name, since_s in list(self._awaited.items()):
            if now_s - since_s > SILENT_S:
                del self._awaited[name]
                text = f"none within {SILENT_S:g} s of the handshake"
                fix = "emit the event 'sensor_frame' 5 times a second; in QuadSim, choose Follow Me"
                self._report(name, Finding(Mark.WRONG, "frames", text, expected=FRAME_SAMPLE, fix=fix))

    def _report(self, client: str, finding: Finding) -> None:
        key = (_host(client), finding.mark, finding.subject, finding.expected or finding.text)
        is_news = key not in self._reported or (finding.mark is Mark.OK and finding.subject != "handshake")
        if not is_news or self._lines >= MOST_FINDINGS:
            return
        self._reported.add(key)
        self._lines += 1
        self.wrong += finding.mark is Mark.WRONG
        self._report_to_user(client, finding)
        if self._lines == MOST_FINDINGS:
            self._report_to_user(client, Finding(Mark.NOTE, "doctor", "no more findings are shown; restart the doctor"))


def _host(client: str) -> str:
    """The machine of a client; the client's name may end with a port."""
    return client.rpartition(":")[0] or client


def _handshake(environ: dict[str, Any], query: dict[str, list[str]]) -> Finding:
    version, transport = (shorten(query.get(name, ["none"])[0], 10) for name in ("EIO", "transport"))
    text = f"EIO={version}, transport={transport}, User-Agent={shorten(environ.get('HTTP_USER_AGENT', 'none'))}"
    if (version, transport) == ("'3'", "'websocket'"):
        return Finding(Mark.NOTE, "handshake", f"{text}: an old client (Engine.IO 3), which is served")
    return Finding(Mark.OK, "handshake", text)

"""Wiring of the page that shows a recording: no simulators, no network, only HTTP with the guards of the live server.

The event loop itself reads and draws each step, which takes some 10 ms. This is no problem, because no drone waits.
"""

import json
from typing import Any

from flask import Flask, Response, abort

from server.supervision import Faults
from server.watch.recording.film import Film
from server.watch.recording.records import UnreadableRecordingError
from server.watch.routes import answer_errors, page_files
from server.wire.addresses import cannot_listen, in_url
from server.wire.complaints import RateLimitedWarnings
from server.wire.guard import UNSPECIFIED, read_whole, refuse_foreign_names, report_errors
from server.wire.loop import EventLoop
from server.wire.token import require_token


def make_app(film: Film, faults: Faults) -> Flask:
    """The HTTP application: the page, the recording's timeline, and the content of each step.

    Args:
        film: the recording to show.
        faults: where our own errors are reported.
    """
    app = Flask(__name__, static_folder=None)
    page = page_files("recording.js")
    timeline = _json(film.timeline())

    @page.get("/recording")
    def recording() -> Response:
        return timeline

    @page.get("/recording/<int:step>")
    def message(step: int) -> Response:
        if step >= len(film):
            abort(404, f"expected a step below {len(film)}, got {step}")
        try:
            return _json(film.message(step))
        except UnreadableRecordingError as error:
            abort(409, str(error))

    app.register_blueprint(page)
    answer_errors(app, faults)
    return app


class PlaybackServer:
    """Serves the page of a recording.

    Args:
        film: the recording to show.
        host: address to listen on.
        port: port to listen on; 0 for any free port.
        token: token that clients of other machines must show; None if they need none.

    Attributes:
        url: URL of the page on this machine.

    Raises:
        OSError: if the server cannot listen on the address.
    """

    def __init__(self, film: Film, host: str, port: int, token: str | None) -> None:
        faults, complaints = Faults(), RateLimitedWarnings()
        self._loop = EventLoop(faults, complaints)
        wsgi = report_errors(make_app(film, faults), faults)
        if token is not None:
            wsgi = require_token(wsgi, token, complaints)
        guarded = read_whole(refuse_foreign_names(wsgi, [host], complaints), complaints)
        try:
            address, port = self._loop.serve(guarded, host, port, lambda: self._loop.end(0.0), lambda: None)
        except OSError as error:
            raise OSError(cannot_listen(host, port, error)) from error
        name = "localhost" if address in UNSPECIFIED else in_url(address)
        self.url = f"http://{name}:{port}/"

    def run(self) -> None:
        """Serve until SIGTERM, Ctrl-C or the terminal's end."""
        self._loop.wait()


def _json(value: Any) -> Response:
    return Response(json.dumps(value, separators=(",", ":")), mimetype="application/json")

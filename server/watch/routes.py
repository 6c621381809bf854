"""What a browser or a monitor may ask over HTTP: the page and its stream, /healthz, /metrics, hold and record."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, abort, request, send_from_directory
from werkzeug.exceptions import HTTPException

from server.simulator import Simulator
from server.supervision import Faults
from server.watch.dashboard import Dashboard
from server.watch.metrics import CONTENT_TYPE, Metrics

PAGE = Path(__file__).with_name("page")
MOST_COMMAND_BYTES = 1000
# Each costs the event loop a message every 0.1 s.
MOST_VIEWERS = 20


def make_app(
    dashboard: Dashboard,
    metrics: Metrics,
    health: Callable[[], dict[str, Any]],
    hold: Callable[[Simulator, bool], None],
    record: Callable[[Simulator, bool], None],
    sleep: Callable[[float], None],
    faults: Faults,
) -> Flask:
    """The HTTP application.

    Args:
        dashboard: what the page shows.
        metrics: for /metrics.
        health: for /healthz; its "ready" decides between status 200 and 503.
        hold: holds (True) or releases (False) a simulator.
        record: begins (True) or ends (False) its recording.
        sleep: lets others run for a time, seconds.
        faults: where our own errors are reported.
    """
    app = Flask(__name__, static_folder=None)

    def stream() -> Iterator[bytes]:
        with faults.contained("page"):
            yield from dashboard.stream(sleep)

    app.register_blueprint(_page(dashboard, hold, record, stream))

    @app.errorhandler(Exception)
    def on_error(error: Exception) -> Response | HTTPException:
        if isinstance(error, HTTPException):  # the client's mistake
            return error
        faults.report("http", error)
        return Response("internal error: see the server's log\n", 500, mimetype="text/plain")

    @app.get("/healthz")
    def healthz() -> Response:
        report = health()
        return Response(json.dumps(report) + "\n", 200 if report["ready"] else 503, mimetype="application/json")

    @app.get("/metrics")
    def metrics_text() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    return app


def _page(
    dashboard: Dashboard,
    hold: Callable[[Simulator, bool], None],
    record: Callable[[Simulator, bool], None],
    stream: Callable[[], Iterator[bytes]],
) -> Blueprint:
    """The page, its stream of events, and its commands. Other sites' pages are refused."""
    blueprint = Blueprint("dashboard", __name__)

    @blueprint.before_request
    def refuse_other_sites() -> None:
        # A browser names the page's own site in each command, and in a stream that another site's page asks for.
        origin = request.headers.get("Origin")
        if origin is not None and _site(origin) != request.host:
            abort(403, f"expected a page of {request.host}, got one of {origin[:60]}")

    @blueprint.after_request
    def guard(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-cache"
        return response

    @blueprint.get("/")
    def index() -> Response:
        return send_from_directory(PAGE, "index.html")

    @blueprint.get("/page/<name>")
    def file(name: str) -> Response:
        return send_from_directory(PAGE, name)

    @blueprint.get("/events")
    def events() -> Response:
        if dashboard.viewers >= MOST_VIEWERS:
            abort(503, f"expected at most {MOST_VIEWERS} viewers")
        return Response(stream(), mimetype="text/event-stream")

    @blueprint.post("/hold")
    def hold_route() -> Response:
        return _obey(dashboard, hold, "is_held")

    @blueprint.post("/record")
    def record_route() -> Response:
        return _obey(dashboard, record, "is_recorded")

    return blueprint


def _site(origin: str) -> str | None:
    """The host and port of an Origin header; None if it is no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _obey(dashboard: Dashboard, do: Callable[[Simulator, bool], None], wish: str) -> Response:
    # JSON, because a form of another site can't send that.
    request.max_content_length = MOST_COMMAND_BYTES
    try:
        command = request.get_json()
    except RecursionError:  # Flask takes only a ValueError for the client's mistake
        abort(400, "expected JSON of a few levels")
    if not isinstance(command, dict) or not isinstance(command.get(wish), bool):
        abort(400, f'expected {{"simulator": its name, "{wish}": true or false}}')
    simulator = dashboard.simulator(str(command.get("simulator")))
    if simulator is None:
        abort(404, "expected a connected simulator")
    do(simulator, command[wish])
    dashboard.on_change()
    return Response(status=204)

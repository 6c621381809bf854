"""The routes of HTTP: the page and its stream, /healthz, /metrics, and orders of the operator."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, abort, request, send_from_directory
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from server.networks import BusyError, Networks
from server.supervision import Faults
from server.watch.dashboard import Dashboard
from server.watch.metrics import CONTENT_TYPE, Metrics
from server.watch.orders import Order, OrderError
from server.watch.thumbnails import Thumbnails
from server.wire.messages import shorten

PAGE = Path(__file__).with_name("page")
MOST_COMMAND_BYTES = 1000
# Each viewer costs the event loop a message every 0.1 s.
MOST_VIEWERS = 20
LOADING_CHECK_S = 0.1


def make_app(
    dashboard: Dashboard,
    thumbnails: Thumbnails,
    metrics: Metrics,
    health: Callable[[], dict[str, Any]],
    orders: Mapping[str, Order],
    networks: Networks,
    sleep: Callable[[float], None],
    faults: Faults,
) -> Flask:
    """The HTTP application.

    Args:
        dashboard: the content of the page.
        thumbnails: the thumbnails of the page's wall.
        metrics: for /metrics.
        health: for /healthz; its "ready" decides between status 200 and 503.
        orders: the kinds of orders, by the name of their route.
        networks: for /network.
        sleep: lets other green threads run for a time, seconds.
        faults: where our own errors are reported.
    """
    app = Flask(__name__, static_folder=None)

    def stream(in_full: str | None) -> Iterator[bytes]:
        with faults.contained("page"):
            yield from dashboard.stream(sleep, in_full)

    page = _live(dashboard, thumbnails, orders, stream)
    page.add_url_rule("/network", "network", partial(_load, networks, sleep), methods=["POST"])
    app.register_blueprint(page)
    answer_errors(app, faults)

    @app.get("/healthz")
    def healthz() -> Response:
        report = health()
        return Response(json.dumps(report) + "\n", 200 if report["ready"] else 503, mimetype="application/json")

    @app.get("/metrics")
    def metrics_text() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    return app


def page_files(source: str) -> Blueprint:
    """The files of the page, without its data. `wire/guard.py` has already refused the pages of other sites.

    Args:
        source: the script of the page that fetches the data: `live.js` or `recording.js`.
    """
    blueprint = Blueprint("page", __name__)

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

    @blueprint.get("/source.js")
    def source_script() -> Response:
        return send_from_directory(PAGE, source)

    @blueprint.get("/page/<name>")
    def file(name: str) -> Response:
        return send_from_directory(PAGE, name)

    return blueprint


def answer_errors(app: Flask, faults: Faults) -> None:
    """Answer errors with one line of text. Our own errors are also reported, and their answer has no details."""

    @app.errorhandler(Exception)
    def on_error(error: Exception) -> Any:
        if isinstance(error, HTTPException):  # the client's mistake
            response = error.get_response()
            response.data, response.mimetype = f"{error.description}\n", "text/plain"
            return response
        faults.report("http", error)
        return Response("internal error: see the server's log\n", 500, mimetype="text/plain")


def _live(
    dashboard: Dashboard,
    thumbnails: Thumbnails,
    orders: Mapping[str, Order],
    stream: Callable[[str | None], Iterator[bytes]],
) -> Blueprint:
    """The page of the connected simulators, its stream of events, and its orders."""
    blueprint = page_files("live.js")

    @blueprint.get("/events")
    def events() -> Response:
        if dashboard.viewers >= MOST_VIEWERS:
            abort(503, f"expected at most {MOST_VIEWERS} viewers")
        return Response(stream(request.args.get("in_full")), mimetype="text/event-stream")

    @blueprint.get("/thumbnails")
    def small_pictures() -> Response:
        first = request.args.get("first", "0")
        if not re.fullmatch("[0-9]{1,4}", first):
            abort(400, "expected first of 0 to 9999")
        images = thumbnails.ask(int(first), time.monotonic())
        return Response(json.dumps(images), mimetype="application/json")

    for name, order in orders.items():
        blueprint.add_url_rule(f"/{name}", name, partial(_execute, dashboard, order), methods=["POST"])
    return blueprint


def _argument() -> Any:
    """The body of a command: JSON, because a form of another site can't send JSON."""
    request.max_content_length = MOST_COMMAND_BYTES
    try:
        return request.get_json()
    except UnsupportedMediaType:
        abort(415, f"expected the header Content-Type: application/json, got {shorten(request.content_type)}")
    except RequestEntityTooLarge:
        abort(413, f"expected at most {MOST_COMMAND_BYTES} bytes, got {request.content_length}")
    except (BadRequest, RecursionError):  # Flask turns only a ValueError into a BadRequest
        abort(400, f"expected JSON of a few levels, got {_received()}")


def _received() -> str:
    return shorten(request.get_data(as_text=True))


def _load(networks: Networks, sleep: Callable[[float], None]) -> Response:
    """Load a network; answers once it is in use or loading has failed."""
    argument = _argument()
    if not isinstance(argument, dict) or "network" not in argument:
        expected = '{"network": the path of a network below the folder of --networks}'
        abort(400, f"expected {expected}, got {_received()}")
    try:
        loading = networks.ask(argument["network"])
    except BusyError as error:
        abort(409, str(error))
    except ValueError as error:
        abort(400, str(error))
    while not loading.is_over:
        sleep(LOADING_CHECK_S)
    if loading.trouble is not None:
        abort(422, loading.trouble)
    return Response(status=204)


def _execute(dashboard: Dashboard, order: Order) -> Response:
    argument = _argument()
    try:
        order.obey(argument, dashboard.simulator)
    except OrderError as error:
        if error.is_understood:
            abort(404, str(error))
        abort(400, f"{error}, got {_received()}")
    dashboard.on_change()
    return Response(status=204)

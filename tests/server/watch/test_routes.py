"""HTTP routes without a server; the live ones are in `test_page.py`."""

from types import SimpleNamespace

import pytest
from support.road import a_simulator
from support.seen import seen, sighting

from server.networks import BusyError, Loading
from server.sight.geometry import Camera
from server.supervision import Faults
from server.watch import routes
from server.watch.dashboard import Dashboard
from server.watch.metrics import Metrics
from server.watch.orders import choose_order, refuse_order, switch_order, target_order
from server.watch.routes import MOST_COMMAND_BYTES, make_app
from server.watch.thumbnails import Thumbnails
from server.wire.messages import shorten


def client(health, faults: Faults):
    return client_and_dashboard(health, faults, lambda *_: None)[0]


def client_and_dashboard(health, faults: Faults, do):
    dashboard = Dashboard(Camera(), lambda *_: None, lambda: None, dict)
    orders = {
        "hold": switch_order("is_held", do),
        "choose": choose_order(do),
        "refuse": refuse_order(do),
        "target": target_order(do, lambda: ["hero"]),
    }
    networks = SimpleNamespace(ask=ask_in_vain)
    app = make_app(dashboard, Thumbnails(), Metrics(faults), health, orders, networks, lambda _: None, faults)
    return app.test_client(), dashboard


def ask_in_vain(name: object):
    if name == "busy":
        raise BusyError("another is being loaded")
    if name != "damaged":
        raise ValueError("expected another name")
    loading = Loading(name)
    loading.is_over, loading.trouble = True, "it is damaged"
    return loading


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
def test_health_is_the_status_too(is_ready, status):
    response = client(lambda: {"ready": is_ready, "trouble": "why"}, Faults()).get("/healthz")
    assert response.status_code == status
    assert response.json == {"ready": is_ready, "trouble": "why"}


def test_an_error_of_ours_is_reported_and_the_next_request_is_answered():
    faults = Faults()
    subject = client(lambda: {}["ready"], faults)
    assert subject.get("/healthz").status_code == 500
    assert faults.counts == {"http": 1}
    assert b'followme_internal_errors_total{place="http"} 1.0' in subject.get("/metrics").data


def test_a_route_that_does_not_exist_is_the_clients_mistake():
    faults = Faults()
    assert client(dict, faults).get("/nowhere").status_code == 404
    assert faults.counts == {}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ('{"network": "busy"}', 409, "another is being loaded"),
        ('{"network": "damaged"}', 422, "it is damaged"),
        ('{"network": null}', 400, "expected another name"),
        ('{"path": "damaged"}', 400, 'expected {"network"'),
    ],
)
def test_a_network_that_is_not_loaded_is_told_in_words(body, status, words):
    faults = Faults()
    response = client(dict, faults).post("/network", data=body, content_type="application/json")
    assert response.status_code == status
    assert words in response.text
    assert faults.counts == {}


@pytest.mark.parametrize("path", ["/hold", "/choose", "/refuse", "/target", "/network"])
@pytest.mark.parametrize("body", ["", "{", "null", "[" * 990, '{"simulator":' * 70, "1" * 990, "[" * 100_000])
def test_a_command_that_makes_no_sense_is_the_clients_mistake(path, body):
    faults = Faults()
    response = client(dict, faults).post(path, data=body, content_type="application/json")
    is_too_long = len(body) > MOST_COMMAND_BYTES
    assert response.status_code == (413 if is_too_long else 400)
    assert response.text.startswith(f"expected at most {MOST_COMMAND_BYTES} bytes" if is_too_long else "expected ")
    assert response.text.endswith(f", got {len(body)}\n" if is_too_long else f", got {shorten(body)}\n")
    assert faults.counts == {}


def test_a_command_that_is_not_sent_as_json_is_told_so():
    response = client(dict, Faults()).post("/hold", data="{}", content_type="text/plain")
    expected = "expected the header Content-Type: application/json, got 'text/plain'\n"
    assert (response.status_code, response.text) == (415, expected)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ('{"simulator": "drone", "person": 1}', 204, ""),
        ('{"simulator": "drone", "person": 7}', 404, "expected a person tracked by this simulator"),
        ('{"simulator": "nobody", "person": 1}', 404, "expected a connected simulator"),
        ('{"simulator": "drone", "person": true}', 400, '"person": a number'),
    ],
)
@pytest.mark.parametrize("path", ["/choose", "/refuse"])
def test_an_order_about_a_person_is_for_those_tracked(path, body, status, words):
    faults, done = Faults(), []
    subject, dashboard = client_and_dashboard(dict, faults, lambda *order: done.append(order))
    simulator = a_simulator()
    simulator.session.take(seen(0.0, sighting()))
    dashboard.connected(simulator)
    response = subject.post(path, data=body, content_type="application/json")
    assert response.status_code == status
    assert words in response.text
    assert done == ([(simulator, 1)] if status == 204 else [])
    assert faults.counts == {}


def test_an_error_in_the_pages_stream_ends_that_stream_and_is_reported(monkeypatch):
    faults = Faults()
    monkeypatch.setattr(Dashboard, "news", lambda *_: 1 / 0)
    assert client(dict, faults).get("/events").data == b""
    assert faults.counts == {"page": 1}


def test_viewers_are_limited(monkeypatch):
    monkeypatch.setattr(routes, "MOST_VIEWERS", 0)
    assert client(dict, Faults()).get("/events").status_code == 503


@pytest.mark.parametrize(
    ("query", "status"), [("", 200), ("?first=24", 200), ("?first=-1", 400), ("?first=x", 400), ("?first=99999", 400)]
)
def test_thumbnails_are_asked_for_from_a_number_on(query, status):
    faults = Faults()
    assert client(dict, faults).get(f"/thumbnails{query}").status_code == status
    assert faults.counts == {}

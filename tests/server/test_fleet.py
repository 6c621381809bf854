"""A real fleet on this machine: Ray, Serve, two replicas and a shadow; what it answers, and when its parts fail."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
import requests
from support.waiting import wait_until

from model.engines import Engine, load_engine
from model.engines.engine import UnavailableError
from model.engines.inference_protocol import LENGTH_HEADER, encode
from model.engines.remote import InferenceHost, RemoteEngine, connect
from model.engines.self_test import known_frame
from tools.fault_injection.relay import Relay
from tools.simulator.fleet_process import FleetProcess, running_fleet
from tools.simulator.server_process import SHIPPED_WEIGHTS

pytest.importorskip("ray", reason="NO RAY: 'make fleet-test' installs it and runs these tests")

WEIGHTS = SHIPPED_WEIGHTS.with_name("fcn4")
FRAME = known_frame(160)
TOKEN = "0123456789abcdef"
DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Iterator[FleetProcess]:
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(TOKEN)
    with running_fleet(
        also=str(SHIPPED_WEIGHTS),
        weights=str(WEIGHTS),
        shadow=str(WEIGHTS),
        replicas=2,
        most_replicas=2,
        token_file=str(token),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def local() -> Engine:
    return load_engine("openvino", WEIGHTS)


@pytest.fixture
def engine(fleet) -> Iterator[RemoteEngine]:
    made = connect(InferenceHost(fleet.url, DEADLINE_S, TOKEN), WEIGHTS)
    yield made
    made.close()


def assert_right(engine: Engine, local: Engine) -> None:
    got, expected = engine.infer(np.repeat(FRAME, 4, axis=0)), local.infer(FRAME)
    is_unsure = expected[0, ..., 0] < 0.9
    for answer in got:
        np.testing.assert_allclose(answer[is_unsure], expected[0][is_unsure], rtol=1e-3, atol=1e-6)


def test_a_fleet_answers_as_the_local_engine_does(engine, local):
    assert_right(engine, local)


def test_answers_of_another_network_are_not_used(fleet, local):
    relay = Relay(fleet.port)
    engine = connect(InferenceHost(relay.url, DEADLINE_S, TOKEN), WEIGHTS)
    relay.replaced_model = "fcn4", "model_weights"
    with pytest.raises(UnavailableError, match=r"status 400: .*expected images uint8"):
        engine.infer(FRAME)
    relay.replaced_model = None
    assert_right(engine, local)
    engine.close()
    relay.close()


def post(
    fleet: FleetProcess,
    content: dict,
    tensor: np.ndarray,
    model: str = "fcn4",
    token: str = TOKEN,
    name: str = "images",
):
    json_bytes, body = encode(content, "inputs", {name: tensor})
    headers = {LENGTH_HEADER: str(json_bytes), "Authorization": f"Bearer {token}"}
    return requests.post(f"{fleet.url}/v2/models/{model}/infer", body, headers=headers, timeout=DEADLINE_S)


def test_what_is_no_request_is_refused_in_words(fleet):
    for response, status, words in (
        (post(fleet, {}, FRAME, token="another"), 401, "Bearer TOKEN"),
        (post(fleet, {}, FRAME, model="other"), 404, "expected the model fcn4"),
        (post(fleet, {}, FRAME[:, 1:]), 400, "expected images uint8 (1, 160, 160, 3) alone, got images uint8"),
        (post(fleet, {}, FRAME, name="\ud800"), 400, r"alone, got \\ud800 uint8"),
        (post(fleet, {"id": 5}, FRAME), 400, "expected an id that is text, got 5"),
        (post(fleet, {}, np.repeat(FRAME, 3, axis=0)), 413, "expected a POST of at most"),
        (post(fleet, {"id": "5"}, FRAME), 200, ""),
    ):
        assert response.status_code == status
        assert words in response.text
    assert requests.get(f"{fleet.url}/v2/health/live", timeout=DEADLINE_S).status_code == 200
    assert requests.get(f"{fleet.url}/v2/models/fcn4", timeout=DEADLINE_S).status_code == 401


def test_the_shadow_is_counted(fleet, engine):
    def is_counted() -> bool:
        engine.infer(FRAME)
        with contextlib.suppress(OSError):
            lines = fleet.metrics().splitlines()
            return all(
                any(line.startswith(f"ray_followme_fleet_{name}_total{{") and tag in line for line in lines)
                for name, tag in (("shadow", 'found_by="both"'), ("images", 'outcome="answered"'))
            )
        return False

    wait_until(is_counted, "a count of images in which both found the hero")


def test_a_killed_controller_is_replaced_and_the_replicas_answer_meanwhile(fleet, engine, local):
    """Runs before the tests that kill a replica, because a replica that is still starting ends with the controller."""
    [before], replicas = fleet.controllers(), fleet.replicas()
    os.kill(before, signal.SIGKILL)

    def is_replaced() -> bool:
        assert_right(engine, local)
        return fleet.controllers() not in ([], [before])

    wait_until(is_replaced, "another controller", patience_s=120)
    assert_right(engine, local)
    assert fleet.replicas() == replicas


def test_a_killed_replica_is_replaced_and_the_other_one_answers_meanwhile(fleet, engine, local):
    before = set(fleet.replicas())
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    failed = answered = 0
    until_s = time.monotonic() + 120

    def is_replaced() -> bool:
        return len(fleet.replicas()) == 2 and min(before) not in fleet.replicas()

    while not is_replaced():
        assert time.monotonic() < until_s, "no new replica"
        try:
            assert_right(engine, local)
            answered += 1
        except UnavailableError:
            failed += 1
    assert answered > failed
    assert_right(engine, local)


def test_a_killed_fleet_leaves_nobody_who_answers(fleet, engine):
    """The last test of this fleet."""
    fleet.kill()
    assert fleet.replicas() == fleet.controllers() == []
    with pytest.raises(UnavailableError):
        engine.infer(FRAME)

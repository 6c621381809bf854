"""A network on another machine: real servers with the real local engine behind them, and what may go wrong."""

import threading
from concurrent.futures import wait

import numpy as np
import pytest
from support.inference_server import InferenceServer
from support.remote_engines import FRAME, IMAGES, KINDS, assert_right
from support.waiting import wait_until

from model.card import Card
from model.engines import Engine, inference_client
from model.engines.engine import UnavailableError
from model.engines.inference_client import MOST_TOGETHER


def test_another_machine_answers_as_the_local_engine_does(server, use, local):
    engine = use()
    assert_right(engine, local)
    assert (engine.card, engine.input_px, engine.weights_sha256) == (local.card, 160, local.weights_sha256)
    assert engine.parts_sha256 == local.parts_sha256
    assert engine.is_remote
    assert engine.description == f"{server.url} ({local.description})"
    assert engine.remote_outcomes == {"answered": 3, "failed": 0}
    server.fault = "unpacked"
    assert_right(engine, local)


def test_images_of_a_batch_are_under_way_at_once(server, use, local):
    engine = use()
    server.barrier = threading.Barrier(MOST_TOGETHER)
    images = np.repeat(FRAME, MOST_TOGETHER, axis=0)
    np.testing.assert_array_equal(engine.infer(images)[3], engine.infer(images)[5])


@pytest.mark.parametrize(
    ("server", "fault", "words"),
    [
        ("http", "status", 'status 503: {"error": "no room"}'),
        ("http", "text", "expected JSON with outputs"),
        ("http", "cut", "bytes early"),
        ("http", "long", "an answer of more than"),
        ("http", "digits", "expected Inference-Header-Content-Length of at most [0-9]+, got 9{20}$"),
        ("http", "chunk", "expected an answer, got: "),
        ("grpc", "status", 'status UNAVAILABLE: {"error": "no room"}'),
        ("grpc", "text", "27 bytes that are no Answer of the protocol"),
        ("grpc", "bytes", "expected the bytes of 1 tensors, got those of 0"),
        ("grpc", "size", "expected the bytes of a tensor, got: "),
        ("grpc", "long", "status RESOURCE_EXHAUSTED"),
        *(
            (kind, fault, words)
            for kind in KINDS
            for fault, words in (
                ("id", "the answer to image another instead of"),
                ("version", "version ffffffffffff, not"),
                ("noise", "expected probabilities"),
                ("shape", "no probabilities of shape"),
            )
        ),
    ],
    indirect=["server"],
)
def test_a_wrong_answer_is_a_failure_and_the_next_right_one_is_taken(server, use, local, fault, words):
    engine = use()
    server.fault = fault
    with pytest.raises(UnavailableError, match=words) as failed:
        engine.infer(IMAGES)
    assert str(failed.value).startswith(f"{server.url}: expected an answer, got: ")
    server.fault = ""
    assert_right(engine, local)
    assert engine.remote_outcomes == {"answered": 3, "failed": 3}


@pytest.mark.parametrize(
    ("server", "slowness"),
    [("http", {"delay_s": 3.0}), ("http", {"fault": "dribble"}), ("grpc", {"delay_s": 3.0})],
    indirect=["server"],
)
def test_an_answer_after_its_deadline_is_taken_for_no_other_image(server, use, local, slowness):
    engine = use(deadline_s=0.5)
    for name, value in slowness.items():
        setattr(server, name, value)
    with pytest.raises(UnavailableError, match="expected an answer within 500 ms, got none"):
        engine.infer(IMAGES[:1])
    server.delay_s, server.fault = 0.0, ""
    seen = server.seen

    def answers() -> bool:
        try:
            assert_right(engine, local, IMAGES[1:2])
        except UnavailableError:  # the machine is too slow
            return False
        return True

    wait_until(answers)
    assert server.seen > seen


@pytest.mark.parametrize("server", ["http"], indirect=True)
@pytest.mark.parametrize("lane_tells", [False, True])
def test_after_a_late_answer_all_connections_are_opened_anew(server, use, monkeypatch, lane_tells):
    """Behind a load balancer, idle connections may lead to the same machine, which stands still."""
    if lane_tells:  # the lane reports the timeout before the waiting caller notices it
        monkeypatch.setattr(inference_client, "wait", lambda futures, _: wait(futures))
    engine = use(deadline_s=0.5)
    wait_until(lambda: is_answered(engine, IMAGES))
    before = server.open
    assert len(before) >= len(IMAGES)
    server.delay_s = 3.0
    assert not is_answered(engine, IMAGES[:1])
    wait_until(lambda: not before & server.open, "the end of the connections")


def is_answered(engine: Engine, images: np.ndarray) -> bool:
    try:
        engine.infer(images)
    except UnavailableError:
        return False
    return True


def test_a_machine_that_is_gone_and_back_is_used_again(server, use, local, caplog):
    caplog.set_level("INFO")
    engine = use()
    server.stop()
    for _ in range(3):
        with pytest.raises(UnavailableError, match="Connection refused"):
            engine.infer(IMAGES)
    server.start()
    assert_right(engine, local)
    said = [record.message for record in caplog.records if server.url in record.message]
    assert len(said) == 2
    assert said[0].endswith("perception fails until it answers again")
    assert said[1] == f"{server.url} answers again"


def test_a_connection_that_was_lost_meanwhile_costs_no_image(server, use, local):
    engine = use()
    assert_right(engine, local)
    server.stop()
    server.start()
    assert_right(engine, local)
    assert engine.remote_outcomes["failed"] == 0


@pytest.mark.parametrize("server", ["http"], indirect=True)
def test_metadata_that_are_no_text_are_a_failure(server, use, local):
    server.fault = "metadata"
    with pytest.raises(UnavailableError, match="expected an answer, got: no model's metadata: "):
        use()
    assert not use(local=local).is_remote


def test_what_another_machine_says_is_shown_in_one_short_line_that_no_terminal_obeys(server, use):
    server.metadata["platform"] = "\x1b[2J\nFAKE"
    engine = use()
    assert engine.description == f"{server.url} (\\x1b[2J FAKE)"
    server.sha256 = "\x1b[2J\nFAKE"
    with pytest.raises(UnavailableError, match=r"version \\x1b\[2J FAKE, not ") as failed:
        engine.infer(IMAGES)
    assert str(failed.value).isprintable()
    server.metadata["versions"] = ["1" * 50_000]
    with pytest.raises(UnavailableError, match=r"version \\x1b\[2J FAKE, not 1+$") as failed:
        use()
    assert len(str(failed.value)) < 300
    server.metadata["outputs"][0]["datatype"] = "\x1b[2J\nFAKE"
    with pytest.raises(ValueError, match=r"expected one output of fcn4, .*, got \\x1b\[2J FAKE ") as refused:
        use()
    assert str(refused.value).isprintable()


def damaged(server: InferenceServer, **changes) -> None:
    server.metadata.update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["parameters"].update(weights_sha256="1" * 64), "expected the network fcn4 with weights_sha256 "),
        (
            lambda m: m["inputs"][0].update(shape=[-1, 256, 256, 3]),
            "expected one input of fcn4, UINT8 [-1, 160, 160, 3]",
        ),
        (lambda m: m["inputs"][0].update(datatype="FP32"), "got FP32 [-1, 160, 160, 3]"),
        (lambda m: m["outputs"][0].update(shape=[-1, 2, 160, 160]), "expected one output of fcn4, FP16 or FP32"),
        (lambda m: m["outputs"][0].update(shape=[]), "got FP16 []"),
        (lambda m: m.update(outputs=[]), "expected one output of fcn4"),
        (lambda m: m["parameters"].update(card="{"), "expected a card in the metadata"),
        (lambda m: m["parameters"].update(card='{"scale": 3.0}'), "expected a network with scale"),
    ],
)
def test_another_network_is_refused_in_one_line(server, use, change, words):
    change(server.metadata)
    with pytest.raises(ValueError) as refused:
        use()
    assert str(refused.value).startswith(f"{server.url}: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_network_without_parameters_is_known_by_its_answer(server, use, local, engine_there):
    server.metadata["parameters"] = {}
    assert_right(use(), local)
    server.engine = Reversed(engine_there)
    with pytest.raises(ValueError, match="expected the known answer of fcn4 on a known frame, got another"):
        use()


def test_a_machine_may_have_no_versions(server, use, local):
    server.metadata["versions"], server.fault = None, "null"
    assert_right(use(), local)


def test_the_check_of_new_connections_takes_no_time_of_images(server, use, local):
    server.metadata.update(parameters={}, versions=None)
    server.fault = "null"
    engine = use()
    seen = server.seen
    assert_right(engine, local)
    assert server.seen == seen + len(IMAGES)
    server.stop()
    server.start()
    engine.infer(IMAGES[:1])
    seen = server.seen
    engine.infer(IMAGES)
    assert server.seen == seen + 2 * len(IMAGES) - 1, "those connections were checked that had not been"
    seen = server.seen
    engine.infer(IMAGES)
    assert server.seen == seen + len(IMAGES)


@pytest.mark.parametrize("has_local", [False, True])
def test_another_network_behind_a_new_connection_is_known_by_its_answer(
    server, use, local, engine_there, quick_probe, has_local
):
    server.metadata.update(parameters={}, versions=None)
    server.fault = "null"
    engine = use(local=local if has_local else None)
    assert_right(engine, local)
    server.stop()
    server.engine = Reversed(engine_there)
    server.start()
    for _ in range(1 if has_local else 2):
        with pytest.raises(UnavailableError, match="expected the known answer of fcn4 on a known frame, got another"):
            engine.infer(IMAGES)
    if has_local:
        assert not engine.is_remote
        np.testing.assert_array_equal(engine.infer(IMAGES), local.infer(IMAGES))
    server.engine = engine_there
    wait_until(lambda: engine.is_remote)
    assert_right(engine, local)


def test_another_network_behind_the_same_connection_is_known_by_its_answer_after_a_failure(
    server, use, local, engine_there
):
    server.metadata.update(parameters={}, versions=None)
    server.fault = "null"
    engine = use()
    assert_right(engine, local)
    server.fault = "version"
    with pytest.raises(UnavailableError, match="version ffffffffffff, not"):
        engine.infer(IMAGES)
    server.engine, server.fault = Reversed(engine_there), "null"
    with pytest.raises(UnavailableError, match="expected the known answer of fcn4 on a known frame, got another"):
        engine.infer(IMAGES)


class Reversed(Engine):
    """Another network of the same shape: it takes the hero for other people."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.input_px, self.card, self.description = engine, engine.input_px, Card(), "reversed"

    def infer(self, images: np.ndarray) -> np.ndarray:
        return self._engine.infer(images)[..., [2, 1, 0]]


def test_a_machine_with_a_token_wants_it_shown(server, use, local):
    server.token = "0123456789abcdef"
    with pytest.raises(UnavailableError, match=r"status (401|UNAUTHENTICATED): .*a token is needed"):
        use(token="another")
    assert_right(use(token=server.token), local)


def test_nobody_there_is_told_in_one_line(server, use):
    server.stop()
    refused = "expected an answer, got: (status UNAVAILABLE: .*)?Connection refused$"
    with pytest.raises(UnavailableError, match=f"^{server.url}: {refused}"):
        use()
    server.start()

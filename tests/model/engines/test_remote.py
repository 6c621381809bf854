"""A network on another machine: real servers with the real local engine behind them, and what may go wrong."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.grpc_server import WORKERS, GrpcInferenceServer
from support.inference_server import InferenceServer
from support.waiting import PATIENCE_S, wait_until

from model.card import Card
from model.engines import Engine, load_engine, remote
from model.engines.engine import UnavailableError
from model.engines.inference_client import MOST_TOGETHER, InferenceClient
from model.engines.lane import check_url
from model.engines.remote import FEWEST_PROBES, InferenceHost, RemoteEngine, connect
from model.engines.self_test import known_frame
from tools.simulator.server_process import SHIPPED_WEIGHTS

WEIGHTS = SHIPPED_WEIGHTS.with_name("fcn4")
FRAME = known_frame(160)
IMAGES = np.concatenate([FRAME, FRAME[:, :, ::-1], FRAME[:, ::-1]])


@pytest.fixture(scope="module")
def local() -> Engine:
    return load_engine("openvino", WEIGHTS, "f32")


@pytest.fixture(scope="module")
def engine_there() -> Engine:
    """The other machine's: an engine is one thread's."""
    return load_engine("openvino", WEIGHTS, "f32")


KINDS = {"http": InferenceServer, "grpc": GrpcInferenceServer}


@pytest.fixture(params=KINDS)
def server(engine_there, request) -> Iterator[InferenceServer]:
    subject = KINDS[request.param](engine_there, "fcn4", engine_there.weights_sha256)
    yield subject
    subject.fault = ""
    subject.stop()


@pytest.fixture
def use(server):
    """Connects to the server, and closes at the end what was connected."""
    made: list[RemoteEngine] = []

    def use(deadline_s: float = PATIENCE_S, local: Engine | None = None, token: str | None = None) -> RemoteEngine:
        made.append(connect(InferenceHost(server.url, deadline_s, token), WEIGHTS, local))
        return made[-1]

    yield use
    for engine in made:
        engine.close()


def assert_right(engine: Engine, local: Engine, images: np.ndarray = IMAGES) -> None:
    """That answers are those of the local engine, in half precision, where somebody may be."""
    got, expected = engine.infer(images), local.infer(images)
    assert got.shape == expected.shape
    assert got.dtype == np.float32
    is_sure = expected[..., 0] >= 0.9
    assert 0 < (~is_sure).sum() < is_sure.sum()
    np.testing.assert_allclose(got[~is_sure], expected[~is_sure], rtol=1e-3, atol=1e-7)
    assert (got[is_sure] == (1, 0, 0)).all()


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
        except UnavailableError:  # a machine so slow
            return False
        return True

    wait_until(answers)
    assert server.seen > seen


@pytest.mark.parametrize("server", ["http"], indirect=True)
def test_after_a_late_answer_all_connections_are_opened_anew(server, use):
    """Those without a question may lead to the same machine that stands still, behind a load balancer."""
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
    with pytest.raises(UnavailableError, match=f"^{server.url}: expected an answer, got: .*Connection refused.*$"):
        use()
    server.start()


@pytest.fixture
def quick_probe(monkeypatch):
    monkeypatch.setattr(remote, "PROBE_S", 0.01)


def test_the_local_engine_takes_over_until_the_other_machine_is_healthy(server, use, local, quick_probe, caplog):
    caplog.set_level("INFO")
    engine = use(local=local)
    server.fault = "status"
    with pytest.raises(UnavailableError):
        engine.infer(IMAGES)
    for _ in range(3):
        np.testing.assert_array_equal(engine.infer(IMAGES), local.infer(IMAGES))
    assert not engine.is_remote
    assert engine.description.startswith(f"{local.description}, because {server.url}: expected an answer, got: status")
    assert engine.most_per_batch == local.most_per_batch
    assert engine.most_at_once == local.most_at_once
    seen, server.fault = server.seen, ""
    wait_until(lambda: engine.is_remote)
    assert server.seen - seen >= FEWEST_PROBES - 1  # one may have been in work
    assert engine.most_at_once == 1
    assert_right(engine, local)
    said = [record.message for record in caplog.records if record.message.startswith(server.url)]
    assert len(said) == 2
    assert said[0].endswith(f"frames are inferred here from now on, by {local.description}")
    assert said[1].endswith("answers again; frames are inferred there from now on")


def test_threads_that_began_while_the_local_engine_inferred_ask_the_other_machine_in_turns(
    server, use, local, monkeypatch
):
    engine = use(local=local)
    asking, infer = threading.Lock(), InferenceClient.infer

    def alone(*arguments) -> np.ndarray:
        assert asking.acquire(blocking=False), "another thread asks"
        try:
            return infer(*arguments)
        finally:
            asking.release()

    monkeypatch.setattr(InferenceClient, "infer", alone)
    with ThreadPoolExecutor(3) as threads:
        assert len(list(threads.map(lambda _: assert_right(engine, local), range(6)))) == 6


class SlowClient:
    """A client whose first answer comes when it is released."""

    url, platform = "http://slow", "a test"

    def __init__(self, fails: bool) -> None:
        self.fails, self.asked_since_s = fails, []
        self.is_asked, self.released = threading.Event(), threading.Event()

    def infer(self, images: np.ndarray, deadline_s: float, since_s: float) -> np.ndarray:
        self.asked_since_s.append(since_s)
        self.is_asked.set()
        assert self.released.wait(PATIENCE_S)
        if self.fails:
            raise UnavailableError("it fails")
        return images

    def close(self) -> None:
        pass


class Waited(RemoteEngine):
    """Counts how often a thread has asked where it is to infer."""

    looks = 0

    @property
    def is_remote(self) -> bool:
        self.looks += 1
        return super().is_remote


@pytest.mark.parametrize("fails", [True, False])
def test_a_thread_that_waited_for_another_one_infers_by_what_became_of_that(local, fails):
    client = SlowClient(fails)
    engine = Waited(client, 1.0, local)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(engine.infer, FRAME)
        assert client.is_asked.wait(PATIENCE_S)
        looks = engine.looks
        second = threads.submit(engine.infer, FRAME)
        wait_until(lambda: engine.looks > looks)
        released_s = time.monotonic()
        client.released.set()
        assert (first.exception() is not None) == fails
        np.testing.assert_array_equal(second.result(), local.infer(FRAME) if fails else FRAME)
    assert len(client.asked_since_s) == (1 if fails else 2)
    assert max(client.asked_since_s) < released_s, "its deadline counts from when the image came"
    engine.close()


def test_a_machine_that_fails_again_soon_must_prove_itself_for_longer(server, use, local, quick_probe):
    engine = use(local=local)
    for probes in (FEWEST_PROBES, 2 * FEWEST_PROBES, 4 * FEWEST_PROBES):
        server.fault = "status"
        with pytest.raises(UnavailableError):
            engine.infer(IMAGES)
        seen, server.fault = server.seen, ""
        wait_until(lambda: engine.is_remote)
        assert server.seen - seen >= probes - 1  # one may have been in work


def test_the_local_engine_begins_where_nobody_is_there_yet(server, use, local, quick_probe):
    server.stop()
    engine = use(local=local)
    assert not engine.is_remote
    np.testing.assert_array_equal(engine.infer(IMAGES), local.infer(IMAGES))
    server.start()
    wait_until(lambda: engine.is_remote)
    assert_right(engine, local)


def test_another_network_in_place_of_the_former_is_not_gone_back_to(server, use, local, quick_probe, caplog):
    engine = use(local=local)
    server.fault = "version"
    with pytest.raises(UnavailableError):
        engine.infer(IMAGES)
    server.metadata["parameters"]["weights_sha256"] = "f" * 64
    wait_until(lambda: any("expected the network fcn4 with weights_sha256" in each.message for each in caplog.records))
    assert not engine.is_remote
    np.testing.assert_array_equal(engine.infer(IMAGES), local.infer(IMAGES))


def test_a_closed_engine_ends_its_threads(server, use, local):
    before = threading.active_count()
    engine = use(local=local)
    engine.infer(IMAGES)
    engine.close()
    wait_until(lambda: threading.active_count() <= before + WORKERS)  # the server's own
    wait_until(
        lambda: not any(each.name == "probe" or each.name.startswith("remote_") for each in threading.enumerate())
    )


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://gpu:8000", "http://gpu:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("https://gpu", "https://gpu"),
        ("grpc://gpu:8001/", "grpc://gpu:8001"),
        ("grpcs://gpu", "grpcs://gpu"),
    ],
)
def test_an_address_is_a_scheme_a_host_and_perhaps_a_port(url, same):
    assert check_url(url) == same


@pytest.mark.parametrize(
    "url",
    [
        "ftp://gpu",
        "grpc://",
        "grpc://gpu:8001/v2",
        "http://",
        "http://gpu:port",
        "http://gpu:99999",
        "http://me@gpu",
        "http://gpu/v2",
        "http://g\n",
    ],
)
def test_any_other_address_is_refused(url):
    with pytest.raises(ValueError, match="expected an address such as"):
        check_url(url)

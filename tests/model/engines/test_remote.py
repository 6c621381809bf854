"""A network on another machine, and the local engine that takes its place."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.grpc_server import WORKERS
from support.remote_engines import FRAME, IMAGES, assert_right
from support.waiting import PATIENCE_S, wait_until

from model.engines.engine import UnavailableError
from model.engines.inference_client import InferenceClient
from model.engines.remote import FEWEST_PROBES, RemoteEngine


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
    assert said[0].endswith(f"frames are now inferred on this machine, by {local.description}")
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


class ClosingClient(SlowClient):
    """A client whose engine is closed during the last probe before the other machine is used again."""

    engine: RemoteEngine
    probes = 0

    def check(self, _: float) -> None:
        self.probes += 1
        if self.probes == FEWEST_PROBES:
            self.engine.close()


def test_an_engine_that_is_closed_just_as_it_goes_back_ends_its_thread(local, quick_probe):
    client = ClosingClient(fails=False)
    client.engine = RemoteEngine(client, 1.0, local, "nobody was there")
    wait_until(lambda: client.probes == FEWEST_PROBES)
    wait_until(lambda: not any(each.name == "probe" for each in threading.enumerate()))


def test_an_engine_whose_trouble_is_just_over_tells_of_none(local):
    engine = RemoteEngine(SlowClient(fails=False), 1.0, local)
    engine._uses_local.set()  # as an instant before the other machine is used again
    description = engine.description
    engine.close()
    assert description == "http://slow (a test)"

"""Another machine with the network `fcn4`, over HTTP and over gRPC, and what connects to it."""

from collections.abc import Iterator

import numpy as np
import pytest
from support.inference_server import InferenceServer
from support.remote_engines import KINDS, WEIGHTS
from support.waiting import PATIENCE_S

from model.engines import Engine, load_engine, remote
from model.engines.remote import InferenceHost, RemoteEngine, connect


def remembering(engine: Engine) -> Engine:
    """A real engine that infers each image once, because the tests send the same few images hundreds of times."""
    infer, answers = engine.infer, dict[bytes, np.ndarray]()

    def infer_once(images: np.ndarray) -> np.ndarray:
        key = images.tobytes()
        if key not in answers:
            answers[key] = infer(images)
        return answers[key]

    engine.infer = infer_once  # type: ignore[method-assign]
    return engine


@pytest.fixture(scope="module")
def local() -> Engine:
    return remembering(load_engine("openvino", WEIGHTS, "f32"))


@pytest.fixture(scope="module")
def engine_there() -> Engine:
    """The other machine's own engine, because an engine belongs to one thread."""
    return remembering(load_engine("openvino", WEIGHTS, "f32"))


@pytest.fixture(params=KINDS)
def server(engine_there, request) -> Iterator[InferenceServer]:
    subject = KINDS[request.param](engine_there, "fcn4", engine_there.weights_sha256)
    yield subject
    subject.fault = ""
    subject.stop()


@pytest.fixture
def use(server):
    """A function that connects to the server; its engines are closed at the end."""
    made: list[RemoteEngine] = []

    def use(deadline_s: float = PATIENCE_S, local: Engine | None = None, token: str | None = None) -> RemoteEngine:
        made.append(connect(InferenceHost(server.url, deadline_s, token), WEIGHTS, local))
        return made[-1]

    yield use
    for engine in made:
        engine.close()


@pytest.fixture
def quick_probe(monkeypatch):
    monkeypatch.setattr(remote, "PROBE_S", 0.01)

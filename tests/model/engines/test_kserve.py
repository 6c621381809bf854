"""A second program that speaks the protocol: KServe's server gives what the local engine gives."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import requests
from support.waiting import wait_until

from model.engines import load_engine
from model.engines.remote import InferenceHost, connect
from model.engines.self_test import known_frame
from tools.simulator.server_process import REPOSITORY, SHIPPED_WEIGHTS, free_port

pytest.importorskip("kserve", reason="NO KSERVE: 'pip install kserve', in an environment of its own, adds it")

DEADLINE_S = 30.0
SERVER = REPOSITORY / "tests" / "support" / "kserve_server.py"


@pytest.fixture(scope="module")
def ports(tmp_path_factory) -> Iterator[dict[str, int]]:
    """Ports by protocol."""
    folder, ports = tmp_path_factory.mktemp("kserve"), {"http": free_port(), "grpc": free_port()}
    with (folder / "output").open("wb") as output:
        listening = [f"--{kind}_port={port}" for kind, port in ports.items()]
        command = [sys.executable, str(SERVER), str(SHIPPED_WEIGHTS), *listening]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{ports['http']}"

    def is_ready() -> bool:
        assert process.poll() is None, (folder / "output").read_text()
        try:
            return requests.get(f"{url}/v2/models/model_weights/ready", timeout=DEADLINE_S).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(is_ready, "KServe's server")
        yield ports
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_kserve_gives_what_the_local_engine_gives(ports, kind):
    url = f"{kind}://127.0.0.1:{ports[kind]}"
    local, remote = load_engine("openvino", SHIPPED_WEIGHTS), connect(InferenceHost(url, DEADLINE_S), SHIPPED_WEIGHTS)
    frame = known_frame(local.input_px)
    answers, expected = remote.infer(np.repeat(frame, 4, axis=0)), local.infer(frame)[0]
    remote.close()
    is_unsure = expected[..., 0] < 0.9
    assert is_unsure.any()
    for answer in answers:
        np.testing.assert_allclose(answer[is_unsure], expected[is_unsure], rtol=1e-3, atol=1e-6)

"""Starting, watching and stopping a server, tried on servers of a few lines."""

import math
import sys

import pytest
from support.waiting import PATIENCE_S

from tools.simulator.server_process import ServerError, ServerProcess, free_port, is_port_free, running_server

HEALTHY = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
"""
SERVE = "server.serve_forever()"
STOP_CLEANLY = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"


@pytest.fixture
def start():
    """Start a Python program that gets a free port as its argument."""
    started = []

    def start_program(program):
        port = free_port()
        started.append(ServerProcess([sys.executable, "-c", program, str(port)], port))
        return started[-1]

    yield start_program
    for server in started:
        server.process.kill()
        server.process.wait()


def test_a_ready_server_tells_its_health_and_stops_cleanly(start):
    server = start(HEALTHY + STOP_CLEANLY + SERVE)
    server.wait_ready(PATIENCE_S)
    assert 0 < server.ready_after_s < PATIENCE_S
    assert server.health() == (200, {"path": "/healthz"})
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert not is_port_free(server.port)
    assert server.stop(PATIENCE_S) == 0
    assert server.stop() == 0
    assert is_port_free(server.port)


def test_a_server_that_dies_is_reported_at_once_with_its_last_words(start):
    server = start("import sys; print('loading'); sys.exit('no such network')")
    with pytest.raises(ServerError, match=r"(?s)got exit status 1.*loading\n +no such network"):
        server.wait_ready(timeout_s=math.inf)


def test_a_server_that_is_never_ready_is_reported_in_time(start):
    server = start("import time; print('thinking', flush=True); time.sleep(60)")
    server.wait_for_log("thinking", PATIENCE_S)
    with pytest.raises(ServerError, match=r"(?s)ready within 0\.1 s, it was not.*thinking"):
        server.wait_ready(timeout_s=0.1)


def test_much_output_on_both_streams_blocks_nobody(start):
    program = "[print('x' * 99, file=f) for _ in range(3000) for f in (sys.stdout, sys.stderr)]; print('done')\n"
    server = start(HEALTHY + STOP_CLEANLY + program + SERVE)
    server.wait_ready(PATIENCE_S)
    assert server.wait_for_log("done", PATIENCE_S) == "done"
    assert len(server.log) == 6001
    with pytest.raises(ServerError, match="expected 'never said' in the server's log"):
        server.wait_for_log("never said", timeout_s=0.05)


def test_a_server_that_ignores_sigterm_is_killed_and_told_on(start):
    server = start(HEALTHY + "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE)
    server.wait_ready(PATIENCE_S)
    with pytest.raises(ServerError, match=r"stop within 0\.3 s of SIGTERM, killed it"):
        server.stop(timeout_s=0.3)
    assert server.process.returncode is not None


def test_a_taken_port_is_an_error_before_anything_starts(start):
    server = start(HEALTHY + SERVE)
    server.wait_ready(PATIENCE_S)
    with (
        pytest.raises(ServerError, match=f"expected port {server.port} to be free"),
        running_server("weights", port=server.port),
    ):
        pass


def test_the_real_server_without_its_network_says_what_is_missing(tmp_path):
    with (
        pytest.raises(ServerError, match=r"(?s)got exit status 2.*no_such_network"),
        running_server(tmp_path / "no_such_network"),
    ):
        pass

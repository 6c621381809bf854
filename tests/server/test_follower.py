"""The command line, run as its user runs it."""

import importlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from support.command import follower
from support.fake_engine import FAKE_SERVER, HERO_AND_DOG
from support.waiting import PATIENCE_S

from model.profile import MOTION, hero_profile
from server.settings import OWN, TrackerConfig
from tools.simulator.server_process import REPOSITORY, ServerProcess, running_server

REFUSED = {
    "--port=99999": "expected --port from 0 to 65535, got 99999",
    "--host=": "expected --host with an address or a name, got ''",
    "--token-file=no/token": "expected the folder no, which does not exist",
    "--gpu-memory-mb=0": "expected --gpu-memory-mb of at least 1, got 0",
    "--gpu-memory-mb=512": "expected TensorFlow and a GPU with --gpu-memory-mb, found none: see docs/server.md",
    "--follow=cat": "expected a target of the network (hero), got cat",
    "--tracker=no/file.toml": "expected the folder no, which does not exist",
    "--front=1": "expected --fronts N, which gives each front its --front, got --front by itself",
}
TRY_ONE_BY_ONE = """
import sys
from support import fake_server
fake_server.follower.load_engine = fake_server.load
for option in sys.argv[1:]:
    status = fake_server.follower.main(["unused", option])
    print("exit status", status, file=sys.stderr)
    sys.stderr.wait_written(60)  # a thread writes
"""


@pytest.fixture(scope="module")
def tried() -> dict[str, tuple[str, str]]:
    """What the command says for each option, and its exit status; in one process, whose imports take a second."""
    command = [sys.executable, "-c", TRY_ONE_BY_ONE, *REFUSED]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])}
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    return dict(zip(REFUSED, re.findall(r"(.*?)exit status (\S+)\n", run.stderr, re.DOTALL), strict=True))


@pytest.mark.parametrize("option", REFUSED)
def test_a_setting_that_makes_no_sense_is_told_in_one_line(tried, option):
    assert tried[option] == (f"follower: {REFUSED[option]}\n", "2")


def test_the_command_ends_with_the_status_of_a_refused_setting_and_says_nothing_else():
    run = follower("unused", "--port=99999")
    assert (run.returncode, run.stderr) == (2, f"follower: {REFUSED['--port=99999']}\n")


@pytest.fixture
def command_line() -> ModuleType:
    """The module of the command, which changes what Ctrl-C does when it is imported."""
    before = signal.getsignal(signal.SIGINT)
    try:
        return importlib.import_module("server.follower")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ("auto", None)),
        (("--fronts=3",), ("auto", 2)),
        (("--fronts=16",), ("auto", 1)),
        (("--fronts=3", "--engine=openvino"), ("openvino", 2)),
        (("--fronts=3", "--engine=http://gpu", "--fallback"), ("auto", 2)),
    ],
)
def test_each_of_several_fronts_infers_on_its_share_of_the_cores(options, expected, command_line, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(command_line, "connect", lambda host, weights, local: local)
    parsed = command_line.parse([*options, "weights/fcn4"])
    host = command_line.find_inference_host(parsed, watchdog_s=1.0)
    got = command_line.load(parsed, host, lambda name, weights, precision, device, threads: (name, threads), "another")
    assert got == expected


@pytest.mark.parametrize("option", ["--precision=int8", "--device=GPU", "--gpu-memory-mb=500"])
def test_an_option_of_a_network_here_is_not_ignored_where_other_machines_have_it(option, command_line):
    parsed = command_line.parse(["--engine=http://gpu", option, "weights/fcn4"])
    with pytest.raises(ValueError, match=f"^expected {option.split('=')[0]} only for a network on this machine, "):
        command_line.find_inference_host(parsed, watchdog_s=1.0)


def test_what_an_error_quotes_from_a_file_is_harmless_in_a_terminal(tmp_path):
    (tmp_path / "tracker.toml").write_text('"\\u001b[2J\\n" = 1')
    run = follower("unused", f"--tracker={tmp_path / 'tracker.toml'}")
    assert run.returncode == 2
    assert run.stderr.endswith("got \\x1b[2J\\n\n")
    assert run.stderr.count("\n") == 1


def test_missing_weights_are_told_in_one_line():
    run = follower("no/such/weights", script=REPOSITORY / "server" / "follower.py")
    assert run.returncode == 2
    assert run.stderr.startswith("follower: expected a network at no/such/weights")
    assert run.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server without options, to which no client connects."""
    with running_server("unused", script=FAKE_SERVER) as process:
        yield process


def test_a_taken_port_is_told_in_one_line(server):
    run = follower("unused", "--port", str(server.port))
    assert run.returncode == 1
    assert f"follower: cannot listen on 127.0.0.1:{server.port}: Address already in use; end the program" in run.stderr


def test_a_server_for_all_machines_without_a_token_says_so():
    with running_server("unused", "--host", "0.0.0.0", "--without-token", script=FAKE_SERVER) as server:
        assert server.wait_for_log("everybody who can connect may control the drones")


def test_the_start_tells_what_a_user_needs_and_nothing_else(server):
    server.wait_for_log("ready;", PATIENCE_S)
    lines = [line.split(maxsplit=2)[2] for line in server.log]
    assert lines == [
        "network: unused, 160 px, classes surroundings, people, hero",
        "target: hero, 1.75 m high, 0.5 m deep, upright, up to 8 m/s; others: people",
        "engine: colours",
        f"listening on http://127.0.0.1:{server.port}",
        "ready; QuadSim itself only ever connects to 127.0.0.1:4567",
    ]


def test_the_start_tells_which_target_of_several_is_followed():
    with running_server(HERO_AND_DOG, "--follow", "dog", script=FAKE_SERVER) as server:
        server.wait_for_log("targets to choose from", PATIENCE_S)
        lines = [line.split(maxsplit=2)[2] for line in server.log][1:3]
    assert lines == [
        "target: dog, 1.75 m high, 0.5 m deep, upright, up to 8 m/s; others: people",
        "targets to choose from: hero, dog",
    ]


@pytest.fixture(scope="module")
def usage() -> str:
    """What `--help` prints."""
    return follower("--help").stdout


def test_the_documentation_lists_every_option_and_every_setting_of_the_tracker_with_its_default(usage):
    page = (REPOSITORY / "docs/server.md").read_text()
    options = dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| (\S*) *\|", page, re.MULTILINE))
    offered = set(re.findall(r"--[a-z0-9-]+(?=[\s,])", usage)) - {"--help"}
    assert set(options) == offered
    for option, default in options.items():
        if default:
            assert re.search(rf"{option}[ ,].*?\(default:\s+{re.escape(default)}", usage, re.DOTALL), option
    settings = dict(re.findall(r"^\| `([a-z_]+)` \| ([\d.]+) \|", page, re.MULTILINE))
    own = {name: getattr(TrackerConfig(), name) for name in OWN}
    motion = {name: getattr(hero_profile(), name) for name in MOTION}
    assert settings == {name: str(value) for name, value in (own | motion).items()}


def test_the_help_fits_one_screen(usage):
    assert len(usage.splitlines()) <= 40

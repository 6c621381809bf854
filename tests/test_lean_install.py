"""What works without TensorFlow and the workshop's packages, and the errors of everything else."""

import shutil
import subprocess
import sys

import pytest
from support.lean import lean_environment, pins

from tools.simulator.server_process import REPOSITORY, SHIPPED_WEIGHTS, ServerError, running_server

SHIPPED = SHIPPED_WEIGHTS.with_suffix(".keras")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The environment of an installation of `requirements-runtime.lock`, which cannot write a cache."""
    blocked = tmp_path_factory.mktemp("blocked") / "file"
    blocked.write_text("not a folder")
    environment = lean_environment(tmp_path_factory.mktemp("runtime"), "requirements-runtime.lock")
    return {**environment, "XDG_CACHE_HOME": str(blocked), "HOME": str(blocked)}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The environment of an installation of `requirements-demo.lock`."""
    return lean_environment(tmp_path_factory.mktemp("demo"), "requirements-demo.lock")


def run(environment, *command):
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_each_lock_file_holds_the_versions_of_the_larger_one():
    runtime, demo, everything = (pins(REPOSITORY / f"requirements{kind}.lock") for kind in ("-runtime", "-demo", ""))
    assert {"openvino", "eventlet"} < runtime.keys() < demo.keys() < everything.keys()
    assert not runtime.keys() & {"tensorflow", "keras", "panda3d", "matplotlib", "nncf"}
    assert all(demo[name] == versions for name, versions in runtime.items())
    assert all(versions <= everything[name] for name, versions in demo.items())
    search = pins(REPOSITORY / "requirements-search.lock")
    assert {"ray", "optuna", "plotly", "tensorflow"} < search.keys()
    assert all(versions <= everything[name] for name, versions in search.items() if name in everything)


def test_the_shipped_networks_are_served_without_tensorflow_and_without_a_cache(runtime, monkeypatch):
    for name, value in runtime.items():
        monkeypatch.setenv(name, value)
    for weights in (SHIPPED_WEIGHTS, SHIPPED_WEIGHTS.with_name("fcn4")):
        with running_server(weights) as server:
            assert server.health()[1]["ready"]
            assert not any("convert" in line or "cache" in line for line in server.log), server.log


def test_a_network_that_is_not_converted_is_refused_in_one_line(runtime, tmp_path, monkeypatch):
    for name, value in runtime.items():
        monkeypatch.setenv(name, value)
    shutil.copy(SHIPPED, tmp_path / "other.keras")
    with (
        pytest.raises(ServerError, match="expected a running server, got exit status 2") as refused,
        running_server(tmp_path / "other"),
    ):
        pass
    assert (
        f"follower: {tmp_path}/other.keras: expected a conversion of it for OpenVINO, or TensorFlow, which makes one; "
        "tensorflow is not installed: 'make setup' installs everything"
    ) in str(refused.value)


def test_other_machines_are_asked_by_grpc_only_where_it_is_installed(runtime):
    started = run(runtime, "server/follower.py", str(SHIPPED_WEIGHTS), "--engine", "grpc://127.0.0.1:1")
    assert started.returncode == 2
    assert started.stderr == "follower: grpcio is not installed: 'make setup' installs everything\n"


def test_the_stand_in_flies_with_what_the_demo_installs(demo, tmp_path):
    flown = run(demo, "tools/simulate.py", "--no-server", "--duration", "0.4", "--record", str(tmp_path / "run"))
    assert flown.returncode == 0, flown.stderr
    assert list((tmp_path / "run" / "IMG").iterdir())
    assert run(demo, "tools/demo.py", "--help").returncode == 0


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("train --data data --out out", "keras"),
        ("benchmark", "psutil"),
        ("plot_people recording.mcap --out people.png", "matplotlib"),
    ],
)
def test_a_command_says_which_package_it_lacks_and_how_to_get_it(demo, line, package):
    name, *arguments = line.split()
    failed = run(demo, f"tools/{name}.py", *arguments)
    assert failed.stderr == f"{name}: {package} is not installed: 'make setup' installs everything\n"
    assert failed.returncode == 2

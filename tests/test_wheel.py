"""The wheel holds all that the server needs: it serves from a folder with nothing else of this repository in it."""

import subprocess
import sys

import pytest
import requests

from tools.simulator.server_process import REPOSITORY, running_server


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel was installed into; its dependencies are those of the tests."""
    folder, wheels = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path_factory.mktemp("source") / "repository"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in files.split("\0"):  # a copy, because a build leaves files in its folder
        if name.startswith(("server/", "model/", "tools/", "pyproject", "README")) and (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder, wheel], check=True)
    return folder


def test_an_installed_server_is_the_wheels_own_and_serves_its_page(installed, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(installed))
    where = "import server, model, tools; print(server.__file__, model.__file__, tools.__file__)"
    printed = subprocess.run([sys.executable, "-c", where], capture_output=True, text=True, check=True, cwd="/")
    assert all(file.startswith(str(installed)) for file in printed.stdout.split())
    with running_server(REPOSITORY / "weights" / "fcn4", script=installed / "server" / "follower.py") as server:
        for file in (REPOSITORY / "server" / "watch" / "page").iterdir():
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            assert requests.get(f"{server.url}{path}", timeout=60).content == file.read_bytes()

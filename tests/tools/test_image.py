"""The image of the Dockerfile: its contents, and the command that builds it and flies with the server in it."""

import json
import os
import re
import shutil
import sys

import pytest

from tools import image
from tools.simulator.server_process import REPOSITORY

# Takes the place of buildah: records the requests, and runs the commands of containers in the folder APP.
STAND_IN = """#!{python}
import json, os, sys
with open({asked!r}, "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
match sys.argv[1]:
    case "from":
        print("box")
    case "inspect":
        print(json.dumps({{"Docker": {{"config": {config!r}}}}}))
    case "images":
        print(json.dumps([{{"size": "798 MB"}}]))
    case "build":
        sys.exit({build_status})
    case "run":
        os.chdir({app!r})
        os.execv(sys.executable, [sys.executable, *sys.argv[sys.argv.index("--") + 2 :]])
"""

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
# The configuration that buildah reads from it.
ENTRYPOINT, CMD, HEALTH_CHECK = (
    json.loads(re.findall(rf"^{instruction} (\[.+\])$", DOCKERFILE, re.MULTILINE)[0])
    for instruction in ("ENTRYPOINT", "CMD", " +CMD")
)
CONFIG = {"Entrypoint": ENTRYPOINT, "Cmd": CMD, "Healthcheck": {"Test": ["CMD", *HEALTH_CHECK]}}
# A server that starts at once, and is healthy.
STUB_SERVER = """
import http.server, sys
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Healthy).serve_forever()
"""
STUB = {**CONFIG, "Entrypoint": ["python", "-c", STUB_SERVER]}


@pytest.fixture
def buildah(tmp_path, monkeypatch):
    """Replace buildah by a stand-in; returns a function that makes the stand-in, and the requests to it."""
    app, asked = tmp_path / "app", tmp_path / "asked"
    app.mkdir()
    for name in ("model", "server", "weights"):
        (app / name).symlink_to(REPOSITORY / name)
    monkeypatch.setattr(image.os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(build_status=0, config=CONFIG):
        program = STAND_IN.format(
            python=sys.executable, asked=str(asked), config=config, app=str(app), build_status=build_status
        )
        (tmp_path / "buildah").write_text(program)
        (tmp_path / "buildah").chmod(0o755)

    return make, lambda: [json.loads(line) for line in asked.read_text().splitlines()]


def test_what_the_dockerfile_copies_exists_and_reaches_the_build():
    copied = re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE)
    locks = {"requirements-runtime.lock", "requirements-fleet.lock", "requirements-gpu.lock"}
    assert set(copied) == {"${LOCK}", "model", "server", "weights"}
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for name in {*copied, *locks} - {"${LOCK}"}:
        assert (REPOSITORY / name).exists()
        assert f"!{name}" in ignored


def test_the_image_is_built_on_the_base_and_its_own_command_is_flown_with(buildah, monkeypatch, capfd):
    make, asked = buildah
    make()
    monkeypatch.setattr(image, "fly", lambda server, duration_s: {"first_followed_s": 5.6})
    assert image.main(["--base", "some/base"]) == 0
    assert "localhost/follow-me has 798 MB, of which 798 MB are the base." in capfd.readouterr().out
    build = next(line for line in asked() if line[0] == "build")
    assert build[build.index("--build-arg") + 1] == "BASE=some/base"
    assert build[-1] == str(REPOSITORY)
    server, health_check = (line[line.index("--") + 1 :] for line in asked() if line[0] == "run")
    port = server[server.index("--port") + 1]
    assert server[:3] == ["python", "server/follower.py", "weights/model_weights"]
    assert f"127.0.0.1:{port}/healthz" in health_check[-1]
    assert ["rm", "box"] in asked()


def test_a_failed_health_check_fails_it_and_removes_the_container(buildah, capfd):
    make, asked = buildah
    make(config={**STUB, "Healthcheck": {"Test": ["CMD", "python", "-c", "raise SystemExit(5)"]}})
    assert image.main(["--base", "some/base"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == "image: buildah run failed with exit status 5"
    assert asked()[-1] == ["rm", "box"]


def test_a_flight_without_following_the_hero_fails_it(buildah, monkeypatch, capfd):
    make, _ = buildah
    make(config=STUB)
    monkeypatch.setattr(image, "fly", lambda server, duration_s: {"first_followed_s": None})
    assert image.main(["--base", "some/base", "--duration", "0.4"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == "image: the hero was not followed within 0.4 s"


def test_a_failed_build_fails_it(buildah, capfd):
    make, _ = buildah
    make(build_status=125)
    assert image.main(["--base", "some/base"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == "image: buildah build failed with exit status 125"


def test_a_machine_without_the_programs_or_without_root_is_refused(buildah, monkeypatch, tmp_path, capfd):
    make, _ = buildah
    monkeypatch.setenv("PATH", str(tmp_path))
    assert image.main([]) == 2
    assert "expected buildah and debootstrap to be installed" in capfd.readouterr().err
    make()
    monkeypatch.setattr(image.os, "geteuid", lambda: 1000)
    assert image.main(["--base", "some/base"]) == 2
    assert "expected to run as root" in capfd.readouterr().err


def test_a_real_image_serves_a_drone(capfd):
    if shutil.which("buildah") is None:
        pytest.skip("NO BUILDAH: the image has not been built; 'make image' says what it needs")
    if "FOLLOWME_IMAGE" not in os.environ:
        pytest.skip("NO IMAGE BUILT (takes minutes): FOLLOWME_IMAGE=BASE builds it on the image BASE")
    assert image.main(["--base", os.environ["FOLLOWME_IMAGE"]]) == 0
    assert "The server in the image followed the hero" in capfd.readouterr().out

"""Build the image of the Dockerfile without Docker, start the server in it, and fly the stand-in with it.

    python tools/image.py
    python tools/image.py --base docker.io/library/python:3.11-slim

Needs Linux, root, and `buildah` and `debootstrap` from the packages of Debian or Ubuntu; no daemon. Without --base, it
makes the base from Debian's packages: Debian 12 with its Python 3.11, laid out as in `python:3.11-slim`. Takes some
minutes, most of them for downloads and for writing 1 GB below /var/lib/containers and TMPDIR. The image stays as
localhost/follow-me, for podman or `buildah push`. The base stays as localhost/follow-me-base; --base uses it again.

Exit status: 0; 1, the image could not be built, or the server in it did not follow the hero; 2, refused for the reason
given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from model.command import command, command_parser, error_text, print_text, run_command
from model.options import check
from tools.simulator.faults import Faults
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.server_process import REPOSITORY, ServerError, ServerProcess, free_port, started
from tools.simulator.world import World

IMAGE, BASE = "localhost/follow-me", "localhost/follow-me-base"
# This isolation needs no daemon and shares this machine's network: the server's port is a port of this machine.
ISOLATED = ("--isolation", "chroot")
# Certificates that this machine trusts. The build needs them if the package index is behind a proxy.
CERTIFICATES = ("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro")
RELEASE, PACKAGES = "bookworm", "ca-certificates,python3-venv"
# Makes /usr/local/bin/python and pip, as in the official image. Debian's own pip refuses to install beside apt.
SET_UP_BASE = "apt-get clean && rm -rf /var/lib/apt/lists/* && python3 -m venv /usr/local"
# The port that the image's health check asks.
PORT_IN_IMAGE = "4567"
SEED, PEOPLE, DURATION_S = 0, 30, 20.0


@command("image")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 0 if the server in the image followed the hero."""
    options = _parse(arguments)
    check(options, ("duration", 0 < options.duration < math.inf, "above 0 and finite"))
    _check_machine(["buildah"] if options.base else ["buildah", "debootstrap"])
    try:
        if not options.base:
            print_text(f"Making {BASE} of Debian's packages ...")
            make_base()
        print_text(f"Building {IMAGE} ...")
        build_image(options.base or BASE)
        with container_of(IMAGE) as container, serving(container) as server:
            summary = fly(server, options.duration)
    except subprocess.CalledProcessError as error:
        print_text(f"image: {' '.join(error.cmd[:2])} failed with exit status {error.returncode}", file=sys.stderr)
        return 1
    except (ServerError, ConnectionError, TimeoutError) as error:
        print_text(f"image: {error_text(error)}", file=sys.stderr)
        return 1
    if summary["first_followed_s"] is None:
        print_text(f"image: the hero was not followed within {options.duration:g} s", file=sys.stderr)
        return 1
    print_text(
        f"The server in the image followed the hero after {summary['first_followed_s']:.1f} s. "
        f"{IMAGE} has {size_of(IMAGE)}, of which {size_of(options.base or BASE)} are the base."
    )
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--base", help="image with Python 3.11 and pip to build on (default: of Debian's packages)")
    parser.add_argument(
        "--duration", type=float, default=DURATION_S, help="length of the flight, simulated s (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def _check_machine(programs: Sequence[str]) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise ValueError(f"expected {' and '.join(missing)} to be installed, by apt on Debian or Ubuntu")
    if os.geteuid() != 0:
        raise ValueError("expected to run as root, which unpacks the files of other users")


def make_base() -> None:
    """Make the image `BASE`.

    Raises:
        CalledProcessError: if a step fails; the step has printed the reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, folder], check=True)
        with container_of("scratch") as container:
            _buildah("copy", "--quiet", container, folder, "/")
            _buildah("run", *ISOLATED, container, "--", "sh", "-c", SET_UP_BASE)
            _buildah("commit", "--quiet", container, BASE)


def build_image(base: str) -> None:
    """Build the image `IMAGE`.

    Raises:
        CalledProcessError: if a step fails; the step has printed the reason.
    """
    # Only Docker's format has health checks.
    options = (*ISOLATED, *CERTIFICATES, "--format", "docker", "--build-arg", f"BASE={base}", "--tag", IMAGE)
    _buildah("build", *options, str(REPOSITORY))


@contextlib.contextmanager
def container_of(image: str) -> Iterator[str]:
    """Make a container, and remove it in the end; yields its name."""
    container = _buildah_says("from", image).strip()
    try:
        yield container
    finally:
        _buildah_says("rm", container)


@contextlib.contextmanager
def serving(container: str) -> Iterator[ServerProcess]:
    """Run the image's own command on a free port, and its health check; yields the ready server.

    Raises:
        ServerError: if the server does not get ready.
        CalledProcessError: if the health check fails.
    """
    config = json.loads(_buildah_says("inspect", container))["Docker"]["config"]
    port = free_port()
    in_container = ("buildah", "run", *ISOLATED, container, "--")
    # The folder of the recordings has to belong to the image's user.
    own_options = ("--port", str(port), "--record", "recordings")
    with started([*in_container, *config["Entrypoint"], *config["Cmd"], *own_options], port) as server:
        server.wait_ready()
        health_check = [word.replace(PORT_IN_IMAGE, str(port)) for word in config["Healthcheck"]["Test"][1:]]
        subprocess.run([*in_container, *health_check], check=True)
        yield server


def fly(server: ServerProcess, duration_s: float) -> dict[str, Any]:
    """Fly a drone in lock-step with the server; returns the flight's summary.

    Raises:
        ServerError: if the flight is not recorded.
        ConnectionError, TimeoutError: if the server does not answer the drone.
    """
    with (
        World(SEED, PEOPLE) as world,
        QuadSim(world, "127.0.0.1", server.port, faults=Faults.none(), is_lock_step=True) as simulator,
    ):
        run([simulator], duration_s, speed=1.0)
    server.wait_for_log(" into recordings/", timeout_s=60.0)
    return simulator.log.summary()


def size_of(image: str) -> str:
    """Size of an image as `buildah images` prints it, for example 798 MB."""
    return json.loads(_buildah_says("images", "--json", image))[0]["size"]


def _buildah(*arguments: str) -> None:
    subprocess.run(["buildah", *arguments], check=True)


def _buildah_says(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    run_command(main)

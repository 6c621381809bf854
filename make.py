"""Set up, demonstrate and test this project without make, such as on Windows.

    python make.py demo     sets up .venv for it, starts the server, and flies a simulated drone with it for two minutes
    python make.py test     sets up .venv with everything, then lint, format, types and all tests
    python make.py quick    only the tests without servers, browsers, renderer and training
    python make.py check    lint, format and types
    python make.py setup    only the setup
    python make.py fleet    Ray Serve on this machine, for two servers with six simulated drones each: some minutes
    python make.py fleet-test     the tests of Ray Serve
    python make.py search-test    the tests of searches with Ray Tune and Optuna
    python make.py image    as root, on Linux: the Dockerfile's image without Docker, and a flight with the server in it

The Makefile calls this file. Standard library only; not run on Windows yet.
"""

from __future__ import annotations  # so that an older Python gets as far as the message about its version

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LEAST_PYTHON = (3, 11)


class Setup(NamedTuple):
    """A set of packages to install.

    Args:
        lock: the lock file of the packages.
        cost: time and disk space, for the user.
    """

    lock: str
    cost: str

    @property
    def stamp(self) -> Path:
        """A file that is touched when everything is installed. It is then newer than the lock file."""
        return VENV / f".{self.lock}"

    @property
    def is_done(self) -> bool:
        """Whether .venv holds the packages of the present lock file."""
        sources = (ROOT / self.lock, ROOT / "pyproject.toml")
        newest = max(source.stat().st_mtime for source in sources)
        return self.stamp.exists() and self.stamp.stat().st_mtime >= newest


EVERYTHING = Setup("requirements.lock", "about a minute and 3.3 GB of disk")
FOR_THE_DEMO = Setup("requirements-demo.lock", "half a minute and 0.8 GB of disk")
# Installed in addition to one of the others.
FOR_A_FLEET = Setup("requirements-fleet.lock", "half a minute and 0.3 GB of disk")
FOR_A_SEARCH = Setup("requirements-search.lock", "half a minute and 0.5 GB of disk")
ADDED = {"fleet": FOR_A_FLEET, "fleet-test": FOR_A_FLEET, "search-test": FOR_A_SEARCH}

CHECK = (["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."], ["-m", "mypy"])
# Two test files at a time: most tests wait for a server, a renderer or a process of their own.
PYTEST = ["-m", "pytest", "--numprocesses", "2", "--dist", "loadfile"]
PIP = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
NEED_RAY = (
    "tests/server/test_fleet.py",
    "tests/server/test_kuberay.py",
    "tests/tools/test_cluster.py",
    "tests/tools/test_measuring_fleet.py",
)
# For each target: the commands that Python runs, and the message after their success.
TARGETS: dict[str, tuple[tuple[list[str], ...], str]] = {
    "setup": ((), "Everything is installed in .venv."),
    "demo": ((["tools/demo.py"],), ""),
    "check": (CHECK, ""),
    "quick": (([*PYTEST, "-m", "not slow"],), "The quick tests passed. Next: 'make test' runs all of them."),
    "fleet": ((["tools/fleet.py"],), ""),
    "image": ((["tools/image.py"],), ""),
    "fleet-test": ((["-m", "pytest", *NEED_RAY],), ""),
    "search-test": ((["-m", "pytest", "tests/tools/test_search.py"],), ""),
    "test": ((*CHECK, PYTEST), "All tests passed. Next: 'make demo' shows the server at work."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status of the command that failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=[*TARGETS, "help"])
    target = parser.parse_args(arguments).target
    if target == "help":
        parser.print_help()
        return 0
    commands, last_words = TARGETS[target]
    # The demos need only some packages. If all packages were installed before, all are kept up to date instead.
    setup = FOR_THE_DEMO if target in ("demo", "fleet", "image") and not EVERYTHING.stamp.exists() else EVERYTHING
    # Ctrl-C is handled by the program that this one runs: it cleans up and ends. Then this program ends, too.
    signal.signal(signal.SIGINT, lambda *_: None)
    status = set_up(setup)
    if status == 0 and target in ADDED:
        status = add(ADDED[target])
    if status := status or run_all([[str(PYTHON), *command] for command in commands]):
        return status
    if last_words:
        print(last_words)
    return 0


def set_up(setup: Setup) -> int:
    """Make .venv, unless it is up to date; returns the exit status of the command that failed, else 0."""
    if setup.is_done:
        return 0
    if sys.version_info < LEAST_PYTHON or Path(sys.prefix) == VENV:
        print(
            f"Python 3.11 or newer is needed, outside of .venv; this is {sys.version.split()[0]} at {sys.executable}. "
            f"Run for example 'make PYTHON=python3.12 setup', or on Windows 'py -3.12 make.py setup'.",
            file=sys.stderr,
        )
        return 1
    print(f"Setting up .venv (once; {setup.cost}) ...", flush=True)
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [str(PYTHON), *PIP, "--require-hashes", "--requirement", setup.lock],
        [str(PYTHON), *PIP, "--no-deps", "--no-build-isolation", "--editable", "."],
    ]
    status = run_all(commands)
    if status == 0:
        setup.stamp.touch()
    return status


def add(setup: Setup) -> int:
    """Install more packages into .venv, unless they are there; returns the exit status of a failed command, else 0."""
    if setup.is_done:
        return 0
    print(f"Adding {setup.lock} to .venv (once; {setup.cost}) ...", flush=True)
    status = run_all([[str(PYTHON), *PIP, "--require-hashes", "--requirement", setup.lock]])
    if status == 0:
        setup.stamp.touch()
    return status


def run_all(commands: Iterable[Sequence[str]]) -> int:
    """Run commands until one fails; returns its exit status, else 0."""
    return next((status for command in commands if (status := subprocess.call(command, cwd=ROOT))), 0)


if __name__ == "__main__":
    sys.exit(main())

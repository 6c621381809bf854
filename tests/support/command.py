"""Commands, run to their end."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from support.fake_engine import FAKE_SERVER
from tools.simulator.server_process import REPOSITORY


def exit_status(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int | str | None:
    """Run a command in this process; returns its exit status, also if argparse ends it."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


def follower(*arguments: str, script: Path = FAKE_SERVER) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, script, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=REPOSITORY,
    )

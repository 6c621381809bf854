"""The server's command, run to its end."""

import subprocess
import sys
from pathlib import Path

from support.fake_engine import FAKE_SERVER
from tools.simulator.server_process import REPOSITORY


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

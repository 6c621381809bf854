"""The server's command, run to its end."""

import subprocess
import sys
from pathlib import Path

from support.fake_engine import FAKE_SERVER

REPOSITORY = Path(__file__).resolve().parents[2]


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

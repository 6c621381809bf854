"""The fake server in a process that is badly off: the environment variable CRAMPED says how.

`descriptors`: it may have 128 open files. `stderr`: its standard error is a pipe that is full and that nobody reads.
"""

import os
import resource
import runpy
import sys
from pathlib import Path


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))


def _stuck_stderr() -> None:
    _, writer = os.pipe()  # the reader stays open, and unread
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    os.dup2(writer, sys.__stderr__.fileno())


if __name__ == "__main__":
    {"descriptors": _few_descriptors, "stderr": _stuck_stderr}[os.environ["CRAMPED"]]()
    runpy.run_path(str(Path(__file__).with_name("fake_server.py")), run_name="__main__")

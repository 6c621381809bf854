"""The fake server in a process that lacks a resource: the environment variable CRAMPED says which.

`descriptors`: it may have 128 open files. `stderr`: its standard error is a pipe that is full and that nobody reads.
`disk`: writing a recording takes for ever.
"""

import os
import resource
import runpy
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


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


def _hanging_disk() -> None:
    from server.watch.recording.mcap_file import McapFile

    McapFile.flush = lambda _: time.sleep(3600)  # type: ignore[method-assign]


if __name__ == "__main__":
    {"descriptors": _few_descriptors, "stderr": _stuck_stderr, "disk": _hanging_disk}[os.environ["CRAMPED"]]()
    runpy.run_path(str(Path(__file__).with_name("fake_server.py")), run_name="__main__")

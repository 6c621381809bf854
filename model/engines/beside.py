"""Load a network while another network runs, without slowing it down much.

First, a separate process with low priority opens, converts and tests the network. A damaged file can crash only that
process. The conversion, which needs TensorFlow, happens there, and its result is put into the cache. Then this process
loads the network from the cache in a fraction of a second.
"""

import signal
import subprocess
import sys

from model.engines import Engine, load_engine
from model.startup import child_environment

# Importing TensorFlow and converting take some 10 s on an idle machine.
LONGEST_S = 300.0

_PROGRAM = """
import os, sys
if hasattr(os, "nice"):
    os.nice(10)
from model.command import error_text
from model.engines import load_engine
try:
    load_engine(*sys.argv[1:])
except (ValueError, OSError) as error:
    sys.exit(error_text(error))
"""


def load_beside(name: str, weights: str, precision: str, device: str, threads: int | None = None) -> Engine:
    """Load weights into an engine, as `load_engine` does. Call it in a thread other than the event loop's.

    Raises:
        ValueError: if loading fails for any reason; a single line.
        OSError: if no process can be started, or the files are gone.
    """
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _PROGRAM, name, weights, precision, device],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{weights}: expected a network that loads within {LONGEST_S:g} s, it did not") from error
    if tried.returncode < 0:
        crash = signal.strsignal(-tried.returncode) or f"signal {-tried.returncode}"
        raise ValueError(f"{weights}: expected a network, got a file that crashes the program that opens it: {crash}")
    if tried.returncode:
        raise ValueError((tried.stderr.strip().splitlines() or [f"{weights}: it cannot be loaded"])[-1])
    return load_engine(name, weights, precision, device, threads)

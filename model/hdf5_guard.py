"""Read HDF5 files in a separate process first, because libhdf5 never returns or crashes on some damaged files.

Ctrl-C does not end libhdf5 either. The check takes about 0.2 s for a good file. Imports neither Keras nor TensorFlow.
"""

import functools
import subprocess
import sys
from pathlib import Path

from model.startup import child_environment

# The largest weights that are accepted have 800 MB.
LONGEST_READ_S = 30.0

# Errors are ignored here, because the caller reads the file again and reports them. Signals end this process even
# within libhdf5: Ctrl-C, and an alarm after a minute in case the caller is gone.
_PROGRAM = """
import contextlib, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
if hasattr(signal, "alarm"):
    signal.alarm(60)
from pathlib import Path
from model.legacy_files import holds_config, read_config, read_weights
for read in (holds_config, read_config, read_weights):
    with contextlib.suppress(Exception):
        read(Path(sys.argv[1]))
"""


class NeverReadError(ValueError):
    """An HDF5 file on which the library hangs or crashes; the message is a single line."""


def check_reading_ends(path: Path) -> None:
    """Check that libhdf5 returns from reading a file, with or without an error.

    Raises:
        OSError: if there is no such file.
        NeverReadError: if it does not.
    """
    found = path.stat()
    _check(path, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _check(path: Path, _size: int, _changed_ns: int) -> None:
    """See `check_reading_ends`; runs once for each version of a file."""
    try:
        status = subprocess.run(
            [sys.executable, "-c", _PROGRAM, path],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST_READ_S,
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise NeverReadError(
            f"{path}: expected a whole HDF5 file, got one that is not read within {LONGEST_READ_S:g} s"
        ) from error
    if status < 0:
        raise NeverReadError(f"{path}: expected a whole HDF5 file, got one that libhdf5 crashes on")

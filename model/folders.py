"""Folders that a program writes into."""

import tempfile
from pathlib import Path


def make_writable(folder: Path) -> None:
    """Make a folder if it does not exist, and check that files can be written into it.

    Raises:
        OSError: if they cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass

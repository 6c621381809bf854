"""Folders that a program reads or writes."""

import tempfile
from collections.abc import Callable
from pathlib import Path


def check_folder(folder: Path) -> None:
    """Check that a folder exists.

    Raises:
        OSError: if it does not; the message names the outermost folder of its path that is missing.
    """
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            raise FileNotFoundError(f"expected the folder {path}, which does not exist")
        if not path.is_dir():
            raise NotADirectoryError(f"expected a folder, got the file {path}")


def make_writable(folder: Path) -> None:
    """Make a folder if it does not exist, and check that files can be written into it.

    Raises:
        OSError: if they cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a kill leaves either the old file or the new one, never a part of the new one.

    The unfinished file is hidden, because it has the ending of the file: networks and sets are listed by their endings.
    """
    part = file.with_name(f".part-{file.name}")
    write(part)
    part.replace(file)

"""Reading the TOML files that users write: profiles, settings, search spaces."""

import tomllib
from pathlib import Path
from typing import Any


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not TOML; the message does not name the file.
    """
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except RecursionError as error:
        raise ValueError("expected TOML, got values that are nested too deeply") from error

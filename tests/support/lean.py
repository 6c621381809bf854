"""An installation with fewer packages than that of the tests."""

import os
import re
from importlib.metadata import distributions
from pathlib import Path

from tools.simulator.server_process import REPOSITORY

# Python imports this at its start. The packages that remain are linked into the folder on PYTHONPATH.
WITHOUT_SITE_PACKAGES = """
import sys
sys.path[:] = [path for path in sys.path if not path.endswith("site-packages")]
"""


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions of each package in a lock file; several where they depend on Python's version."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def lean_environment(folder: Path, lock: str) -> dict[str, str]:
    """Environment of a Python that finds only the packages in a lock file of this repository.

    Args:
        folder: an empty folder, for the files that this needs.
        lock: name of the lock file.
    """
    kept = pins(REPOSITORY / lock)
    for package in distributions():
        if re.sub(r"[-_.]+", "-", package.name).lower() in kept:
            for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
                (folder / top).symlink_to(str(package.locate_file(top)))
    (folder / "sitecustomize.py").write_text(WITHOUT_SITE_PACKAGES)
    return {**os.environ, "PYTHONPATH": f"{folder}:{REPOSITORY}"}

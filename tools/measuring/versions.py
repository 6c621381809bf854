"""Versions of the server that are measured side by side: this one, and one of another commit."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.simulator.server_process import REPOSITORY, ServerProcess, running_server


class Version(NamedTuple):
    """A server to measure.

    Attributes:
        name: what the tables call it.
        folder: the root of its repository.
        weights: the network that it serves.
        options: further command-line options.
    """

    name: str
    folder: Path
    weights: Path
    options: tuple[str, ...] = ()

    def running(self, *options: str) -> contextlib.AbstractContextManager[ServerProcess]:
        """Run it until the block ends."""
        return running_server(
            self.weights, *self.options, *options, script=self.folder / "server" / "follower.py", folder=self.folder
        )


@contextlib.contextmanager
def checked_out(revision: str, weights: Path, options: tuple[str, ...] = ()) -> Iterator[Version]:
    """Check a commit out into a temporary folder until the block ends.

    Args:
        revision: a commit, branch or tag of this repository.
        weights: the network to serve; the commit's own file is used if it has one.
        options: further command-line options of its server.

    Raises:
        ValueError: if this repository has no such commit.
    """
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "repository"
        _git("worktree", "add", "--detach", "--quiet", str(folder), revision)
        try:
            if weights.is_relative_to(REPOSITORY):
                own = folder / weights.relative_to(REPOSITORY)
                # A name without its ending is no file: then the card beside it shows that there is a network.
                if own.exists() or own.with_suffix(".json").exists():
                    weights = own
            yield Version(revision, folder, weights, options)
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"expected git {arguments[0]} {arguments[1]} to succeed, got: {done.stderr.strip()}")

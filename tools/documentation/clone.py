"""Run the commands of the documentation in a fresh clone, as a user would."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from model.command import interrupt_put_off
from tools.documentation.commands import Command

LONGEST_S = 3600.0
READY_WITHIN_S = 300.0
STOPPED_WITHIN_S = 30.0
LAST_LINES = 12  # of the output of a command that failed
SERVER = "http://127.0.0.1:4567/healthz"
# A word of a command with NAME in place of a name that the reader inserts. The check inserts the newest file that fits.
PLACEHOLDER = re.compile(r"\S*\bNAME\b\S*")


class Outcome(NamedTuple):
    """How a command ended.

    `mistake` says what went wrong, with the last lines of the output; it is empty if nothing went wrong.
    """

    mistake: str
    seconds: float


class Clone:
    """A clone of the repository's latest commit in a folder of its own, which is made by `clone_of`.

    Args:
        folder: the clone's folder.
        scratch: folder for the cache and the output of commands.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self._scratch = folder, scratch
        self._server: tuple[Command, subprocess.Popen[bytes]] | None = None
        # As for a new user: no environment is active, and the cache is empty.
        unwanted = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "FOLLOWME_DATA")
        kept = {name: value for name, value in os.environ.items() if name not in unwanted}
        self._environment = {**kept, "XDG_CACHE_HOME": str(scratch / "cache"), "PYTHONUNBUFFERED": "1"}

    def run(self, command: Command) -> Outcome:
        """Run a command to its end, or until a server is ready."""
        start_s = time.monotonic()
        try:
            text = self._filled_in(f"{without_comment(command.text)} {command.run_with}".strip())
        except FileNotFoundError as error:
            return Outcome(str(error), 0.0)
        if command.is_server:
            mistake = self.stop_server() or self._start_server(command, text)
        else:
            process = None
            try:
                with interrupt_put_off():
                    process = self._start(command, text)
                process.wait(LONGEST_S)
                mistake = self._mistake(command, process)
            except subprocess.TimeoutExpired:
                mistake = f"expected it to end within {LONGEST_S:.0f} s"
            finally:
                if process is not None:
                    _end(process, signal.SIGKILL)
        return Outcome(mistake, time.monotonic() - start_s)

    def stop_server(self) -> str:
        """Stop the server that runs in the background, if there is one; returns what went wrong, or an empty text."""
        if self._server is None:
            return ""
        (command, process), self._server = self._server, None
        _end(process, signal.SIGTERM)
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            _end(process, signal.SIGKILL)
            return f"expected the server of {command.place} to stop within {STOPPED_WITHIN_S:.0f} s of SIGTERM"
        mistake = self._mistake(command, process)
        return f"the server of {command.place}: {mistake}" if mistake else ""

    def _start(self, command: Command, text: str) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own, with its output in a file."""
        with self._output(command).open("wb") as output:
            return subprocess.Popen(
                ["bash", "-c", text],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _start_server(self, command: Command, text: str) -> str:
        with interrupt_put_off():
            process = self._start(command, text)
            self._server = command, process
        deadline_s = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline_s and process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(SERVER, timeout=5):
                return ""
            time.sleep(0.2)
        return self.stop_server() or f"expected {SERVER} to answer within {READY_WITHIN_S:.0f} s"

    def _mistake(self, command: Command, process: subprocess.Popen[bytes]) -> str:
        """What went wrong with a command that has ended; empty if nothing did."""
        if process.returncode in command.statuses:
            return ""
        wanted = " or ".join(map(str, sorted(command.statuses)))
        last = self._output(command).read_text(errors="replace").replace("\r", "\n").splitlines()[-LAST_LINES:]
        return "\n    ".join([f"expected exit status {wanted}, got {process.returncode}", *last])

    def _output(self, command: Command) -> Path:
        return self._scratch / command.place.replace("/", "-")

    def _filled_in(self, text: str) -> str:
        """A command with real files in place of NAME.

        Raises:
            FileNotFoundError: if no file fits.
        """

        def newest(placeholder: re.Match[str]) -> str:
            files = list(self.folder.glob(placeholder.group().replace("NAME", "*")))
            if not files:
                raise FileNotFoundError(f"expected a file such as {placeholder.group()}, found none")
            return str(max(files, key=lambda file: file.stat().st_mtime).relative_to(self.folder))

        return PLACEHOLDER.sub(newest, text)


@contextlib.contextmanager
def clone_of(repository: Path, data: Path | None) -> Iterator[Clone]:
    """Clone a repository's latest commit, with the dataset at `../shared/data`; all is deleted at the end.

    Args:
        repository: its folder.
        data: the dataset's folder; its sibling folders are linked beside it, too. None if there is no dataset.

    Raises:
        OSError: if it can't be cloned.
    """
    with tempfile.TemporaryDirectory(prefix="check_readme-") as made:
        scratch = Path(made)
        cloning = ["git", "clone", "--quiet", str(repository), str(scratch / "clone")]
        try:
            subprocess.run(cloning, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise OSError(f"expected to clone {repository}, got: {error.stderr.strip()}") from error
        (scratch / "shared").mkdir()
        if data is not None:
            for beside in {*data.parent.iterdir()} - {data}:
                (scratch / "shared" / beside.name).symlink_to(beside)
            (scratch / "shared" / "data").symlink_to(data)
        clone = Clone(scratch / "clone", scratch)
        try:
            yield clone
        finally:
            clone.stop_server()


def without_comment(text: str) -> str:
    """Remove a comment at the end of a command; it begins with ` #`."""
    return re.sub(r"\s+#.*$", "", text)


def _end(process: subprocess.Popen[bytes], signal_number: int) -> None:
    """Send a signal to a command and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal_number)

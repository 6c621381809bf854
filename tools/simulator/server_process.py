"""Run the follow-me server as a separate process on a real port, for tests, benchmark and demo."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.command import interrupt_put_off

REPOSITORY = Path(__file__).resolve().parents[2]
FOLLOWER = REPOSITORY / "server" / "follower.py"
SHIPPED_WEIGHTS = REPOSITORY / "weights" / "model_weights"

_POLL_S = 0.02
LONGEST_START_S = 120.0  # with the conversion of a new network


class ServerError(ChildProcessError):
    """The server did not start, ended, or did not stop; the message ends with the last lines of its output."""


class ServerProcess:
    """A server started by `running_server`. Its output is read continuously, so it never blocks on a full pipe.

    Args:
        command: command line of the server.
        port: port on 127.0.0.1 that it listens on.
        folder: the root of the repository whose server it is.

    Attributes:
        process: the running process, e.g. for its resident memory.
        port: the port.
        ready_after_s: time from the start of the process to the first `GET /healthz` with status 200.
    """

    def __init__(self, command: list[str], port: int, folder: Path = REPOSITORY):
        self.port = port
        self.ready_after_s = float("nan")
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._started_s = time.monotonic()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **_import_path(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name=f"log of port {port}", daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> tuple[str, ...]:
        """All lines written so far to standard output and standard error."""
        with self._changed:
            return tuple(self._lines)

    def wait_for_log(self, text: str, timeout_s: float = 5.0, after: int = 0) -> str:
        """Wait for a line that contains `text`, and return it.

        Args:
            text: text to look for.
            timeout_s: time limit from now.
            after: number of lines to skip, e.g. an earlier `len(server.log)`.

        Raises:
            ServerError: if no such line is written in time.
        """
        with self._changed:
            found = self._changed.wait_for(
                lambda: next((line for line in self._lines[after:] if text in line), None), timeout_s
            )
        if found is None:
            raise self.failure(f"expected {text!r} in the server's log within {timeout_s:g} s, got none")
        return found

    def health(self, timeout_s: float = 5.0) -> tuple[int, dict[str, Any]]:
        """Request `GET /healthz`; returns its status and its JSON.

        Raises:
            OSError: if there is no answer in time.
        """
        status, body = self._get("/healthz", timeout_s)
        return status, json.loads(body)

    def metrics(self) -> dict[str, float]:
        """Request `GET /metrics`; returns the values by name and labels, as in the text.

        Raises:
            OSError: if there is no answer within a minute.
        """
        lines = self._get("/metrics", timeout_s=60.0)[1].decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def _get(self, path: str, timeout_s: float) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)) as connection:
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                return response.status, response.read()
            except http.client.HTTPException as error:
                raise ConnectionError(f"expected HTTP from port {self.port}, got {error!r}") from error

    def wait_ready(self, timeout_s: float = LONGEST_START_S) -> None:
        """Wait until `/healthz` answers with status 200.

        Raises:
            ServerError: if the process ends before, or is not ready in time.
        """
        while time.monotonic() - self._started_s < timeout_s:
            if self.process.poll() is not None:
                self._reader.join(timeout=1.0)
                raise self.failure(f"expected a running server, got exit status {self.process.returncode}")
            with contextlib.suppress(OSError, ValueError):
                status, _ = self.health(timeout_s=1.0)
                if status == http.HTTPStatus.OK:
                    self.ready_after_s = time.monotonic() - self._started_s
                    return
            time.sleep(_POLL_S)
        raise self.failure(f"expected the server to be ready within {timeout_s:g} s, it was not")

    def stop(self, timeout_s: float = 60.0) -> int:
        """Stop the server with SIGTERM and wait for its end; does nothing if it has ended already.

        Returns:
            The exit status, 0 for a clean end.

        Raises:
            ServerError: if the server had to be killed.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise self.failure(f"expected the server to stop within {timeout_s:g} s of SIGTERM, killed it") from None
        finally:
            self._reader.join(timeout=1.0)
        return status

    def failure(self, what: str) -> ServerError:
        """Make an error that says `what`, with the last lines of the server's output."""
        tail = "\n".join(f"    {line}" for line in self.log[-15:]) or "    (nothing)"
        return ServerError(f"{what}. The server's last lines:\n{tail}")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()


@contextlib.contextmanager
def running_server(
    weights: Path | str,
    *options: str,
    port: int | None = None,
    script: Path = FOLLOWER,
    folder: Path = REPOSITORY,
) -> Iterator[ServerProcess]:
    """Run `server/follower.py` until the block ends, then stop it.

    Args:
        weights: the network, as the server takes it; relative to the root of the repository.
        options: further command-line options, e.g. "--watchdog-s", "0.5".
        port: port to listen on; None chooses a free port.
        script: script to run; it takes the arguments of `server/follower.py`.
        folder: the root of the repository whose server it is.

    Yields:
        The ready server.

    Raises:
        ServerError: if the port is taken, or the server does not get ready or does not stop.
    """
    port = free_port() if port is None else port
    if not is_port_free(port):
        raise ServerError(f"expected port {port} to be free, another program listens on it")
    command = [sys.executable, str(script), str(weights), "--port", str(port), *options]
    with started(command, port, folder) as server:
        server.wait_ready()
        yield server


@contextlib.contextmanager
def started(command: list[str], port: int, folder: Path = REPOSITORY) -> Iterator[ServerProcess]:
    """Run a server until the block ends; the arguments are those of `ServerProcess`.

    Ctrl-C or SIGTERM ends it at any time, also during its start.
    """
    with contextlib.ExitStack() as stack:
        with interrupt_put_off():
            server = ServerProcess(command, port, folder)
            stack.callback(server.stop)
        yield server


def _import_path(folder: Path) -> dict[str, str]:
    """Environment that lets the server of another working copy import its own modules, not those installed."""
    return {} if folder == REPOSITORY else {"PYTHONPATH": str(folder)}


def free_port() -> int:
    """Find a port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def is_port_free(port: int) -> bool:
    """Whether this port of 127.0.0.1 is free."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True

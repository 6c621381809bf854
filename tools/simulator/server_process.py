"""The follow-me server as a process of its own, on a real port: for tests, benchmark and demo."""

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

REPOSITORY = Path(__file__).resolve().parents[2]
FOLLOWER = REPOSITORY / "server" / "follower.py"

_POLL_S = 0.02


class ServerError(RuntimeError):
    """The server did not start, died, or did not stop; the message ends with the last lines that it wrote."""


class ServerProcess:
    """A server started by `running_server`. What it writes is read all along, so it never blocks on a full pipe.

    Args:
        command: to run, with its arguments.
        port: that it listens on, on 127.0.0.1.

    Attributes:
        process: the running command, e.g. for its resident memory.
        port: as given.
        ready_after_s: from the start of the command to the first `GET /healthz` with status 200.
    """

    def __init__(self, command: list[str], port: int):
        self.port = port
        self.ready_after_s = float("nan")
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._started_s = time.monotonic()
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
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
        """Where the server listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> tuple[str, ...]:
        """Every line written so far, to either stream."""
        with self._changed:
            return tuple(self._lines)

    def wait_for_log(self, text: str, timeout_s: float = 5.0, after: int = 0) -> str:
        """The first line that contains `text`, as soon as it is written.

        Args:
            text: to look for.
            timeout_s: how long from now.
            after: lines to pass over, e.g. `len(server.log)` of a moment ago.

        Raises:
            ServerError: if none is written in time.
        """
        with self._changed:
            found = self._changed.wait_for(
                lambda: next((line for line in self._lines[after:] if text in line), None), timeout_s
            )
        if found is None:
            raise self.failure(f"expected {text!r} in the server's log within {timeout_s:g} s, got none")
        return found

    def health(self, timeout_s: float = 5.0) -> tuple[int, dict[str, Any]]:
        """`GET /healthz`: its status and its JSON.

        Raises:
            OSError: if nobody answers in time.
        """
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)) as connection:
            try:
                connection.request("GET", "/healthz")
                response = connection.getresponse()
                return response.status, json.loads(response.read())
            except http.client.HTTPException as error:
                raise ConnectionError(f"expected HTTP from port {self.port}, got {error!r}") from error

    def wait_ready(self, timeout_s: float) -> None:
        """Wait for `/healthz` to say 200.

        Raises:
            ServerError: if the process ends first, or is not ready in time.
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
        raise self.failure(f"expected the server ready within {timeout_s:g} s, got none")

    def stop(self, timeout_s: float = 60.0) -> int:
        """Ask the server to end, as `kill` and Ctrl-C do, and wait for it; harmless if it has ended.

        Returns:
            The exit status, 0 for a clean end.

        Raises:
            ServerError: if it had to be killed.
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
        """An error to raise that says `what`, and what the server wrote last."""
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
    ready_timeout_s: float = 120.0,
    script: Path = FOLLOWER,
) -> Iterator[ServerProcess]:
    """Run `server/follower.py` until the block ends, then stop it.

    Args:
        weights: the network, as the server takes it; a relative path counts from the repository's root.
        options: further command-line options, e.g. "--watchdog-s", "0.5".
        port: to listen on; None picks a free one.
        ready_timeout_s: how long it may take to be ready; a network's first conversion takes longer than a start.
        script: what to run; it takes the arguments of `server/follower.py`.

    Yields:
        The server, ready.

    Raises:
        ServerError: if the port is taken, or the server does not get ready, or does not stop.
    """
    port = free_port() if port is None else port
    if not is_port_free(port):
        raise ServerError(f"expected port {port} free, got one that another program listens on")
    command = [sys.executable, str(script), str(weights), "--port", str(port), *options]
    server = ServerProcess(command, port)
    try:
        server.wait_ready(ready_timeout_s)
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def is_port_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True

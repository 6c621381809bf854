"""Several fronts behind one port, on the fake network."""

import contextlib
from collections.abc import Iterator

import requests

from support.fake_engine import FAKE_SERVER
from support.live import WATCHDOG
from support.waiting import PATIENCE_S
from tools.simulator.server_process import ServerProcess, free_port, is_port_free, running_server

FRONTS = 2
# A busy machine may take seconds for a frame.
OPTIONS = ("--fronts", str(FRONTS), *WATCHDOG)


class Front:
    """One front by its own port, with what `support.page` uses of a server."""

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def sessions(self) -> dict[str, dict]:
        """The front's sessions, by the simulators' names."""
        told = requests.get(f"{self.url}/healthz", timeout=PATIENCE_S).json()["sessions"]
        return {session["name"]: session for session in told}


def free_ports() -> int:
    """A port that is free; the fronts' own ports after it are free, too."""
    while True:
        first = free_port()
        if all(is_port_free(port) for port in range(first, first + FRONTS + 1)):
            return first


@contextlib.contextmanager
def running_fronts(*options: str) -> Iterator[ServerProcess]:
    with running_server("unused", *OPTIONS, *options, script=FAKE_SERVER, port=free_ports()) as process:
        process.wait_for_log(f"all {FRONTS} fronts listen", PATIENCE_S)
        yield process


def fronts_of(server: ServerProcess) -> dict[int, Front]:
    """The fronts of a server, by their numbers."""
    return {number: Front(server.port + number) for number in range(1, FRONTS + 1)}

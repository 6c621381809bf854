"""One of several fronts that share a port (`server/fronts.py`), in its own process: its number, and its link.

The link is a socket to the parent process, as standard input. The front tells the parent when it listens, and which
addresses are on hold. The parent passes the holds on to the other fronts, because a QuadSim that connects again may
reach any of them. The front also tells the parent when it exchanges its network, so that the parent can start it again
with the new network. When the link ends, the parent has ended, and the front ends as well.
"""

import contextlib
import json
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from server.flight.events import Hold, Release
from server.simulator import Simulator, Taken, Watch

logger = logging.getLogger(__name__)

STDIN = 0
READY = {"is_ready": True}
# Key of the message that names a network.
WEIGHTS = "weights"
# Period with which holds are told again; much shorter than the time for which another front keeps them (`holds.py`).
TELL_EVERY_S = 10.0


class Front(NamedTuple):
    """The number and the ports of the front that a process is.

    Attributes:
        number: counts from 1.
        total: number of fronts.
        shared_port: the port that simulators connect to.
    """

    number: int
    total: int
    shared_port: int

    @classmethod
    def of_this_process(cls, number: int, total: int, shared_port: int) -> "Front":
        """The front that this process is.

        Raises:
            ValueError: if standard input is no socket, because `server/fronts.py` did not start this process.
        """
        if not stat.S_ISSOCK(os.fstat(STDIN).st_mode):
            raise ValueError("expected --fronts N, which gives each front its --front, got --front by itself")
        return cls(number, total, shared_port)

    @property
    def port(self) -> int:
        """Its own port, for its page, metrics and orders."""
        return self.shared_port + self.number

    @property
    def ports(self) -> list[int]:
        """The own ports of all fronts."""
        return [self.shared_port + number for number in range(1, self.total + 1)]

    def __str__(self) -> str:
        return f"front {self.number} of {self.total}"


class Link:
    """This front's end of the link.

    Args:
        on_hold: called in a thread for each message of another front, with an address and whether it is on hold.
        on_end: called in that thread when the parent has ended.
        link: a socket to the parent; None for standard input.
    """

    def __init__(
        self, on_hold: Callable[[str, bool], None], on_end: Callable[[], None], link: socket.socket | None = None
    ) -> None:
        self._on_hold, self._on_end = on_hold, on_end
        self._socket = socket.socket(fileno=os.dup(STDIN)) if link is None else link
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def start(self) -> None:
        """Start the thread, which ends with the process, and tell the parent that this front listens."""
        self._thread.start()
        self._send(READY)

    def tell_hold(self, host: str, is_held: bool) -> None:
        """Tell the other fronts whether an address is on hold; never waits."""
        self._send(hold_message(host, is_held))

    def tell_network(self, weights: str) -> None:
        """Tell the parent which network this front uses from now on; never waits."""
        self._send({WEIGHTS: weights})

    def _send(self, message: dict[str, Any]) -> None:
        # The socket is full only if the parent stands still. Holds are told again later. A network is not told again,
        # because a parent that stands still starts no front.
        with contextlib.suppress(OSError):
            self._socket.send(encode(message), socket.MSG_DONTWAIT)

    def _run(self) -> None:
        with contextlib.suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                self._on_hold(message["host"], message["is_held"])
        logger.error("the process that started this front has ended: this front ends as well")
        self._on_end()


class HoldReporter:
    """Tells the other fronts which addresses are on hold; a listener.

    Args:
        tell_hold: called with an address and whether it is on hold.
    """

    def __init__(self, tell_hold: Callable[[str, bool], None]) -> None:
        self._tell_hold = tell_hold
        self._simulators: list[Simulator] = []

    def connected(self, simulator: Simulator) -> "_Watch":
        """See `Listener.connected`."""
        self._simulators.append(simulator)
        return _Watch(self, simulator)

    def report(self, simulator: Simulator, is_held: bool) -> None:
        """Tell of a hold or its end. The address stays on hold while another of its simulators is on hold."""
        others = (other for other in self._simulators if other is not simulator and other.host == simulator.host)
        if is_held or not any(other.session.state.is_held for other in others):
            self._tell_hold(simulator.host, is_held)

    def remove(self, simulator: Simulator) -> None:
        """Note that a simulator has disconnected. Its hold is told again, because it is kept for a time from now on."""
        self._simulators.remove(simulator)
        if simulator.session.state.is_held:
            self._tell_hold(simulator.host, True)

    def tell_again(self) -> None:
        """Tell all holds again; called every `TELL_EVERY_S`."""
        for host in {each.host for each in self._simulators if each.session.state.is_held}:
            self._tell_hold(host, True)


class _Watch(Watch):
    """Watches one simulator for `HoldReporter`."""

    def __init__(self, holds: HoldReporter, simulator: Simulator) -> None:
        self._holds, self._simulator = holds, simulator

    def taken(self, taken: Taken) -> None:
        """See `Watch`."""
        if isinstance(taken.event, Hold | Release):
            self._holds.report(self._simulator, isinstance(taken.event, Hold))

    def disconnected(self) -> None:
        """See `Watch`."""
        self._holds.remove(self._simulator)


def hold_message(host: str, is_held: bool) -> dict[str, Any]:
    """The message that says whether an address is on hold."""
    return {"host": host, "is_held": is_held}


def encode(message: dict[str, Any]) -> bytes:
    """Encode a message for the link: a line of JSON."""
    return json.dumps(message).encode() + b"\n"

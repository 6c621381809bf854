"""The parent of several fronts. Each front is a process that runs the whole server; all fronts share one port.

    parent ─▶ front 1 ─▶ front 2 ─▶ ...     each is started once the front before it listens

Linux gives each new connection to one of the processes that listen on the port with SO_REUSEPORT. The parent starts the
fronts, and restarts a front that has ended. The parent serves no clients, so the fronts go on while it stands still.
"""

import contextlib
import json
import logging
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from server.front import WEIGHTS, encode, hold_message
from server.holds import KeptHolds
from server.wire.signals import DEADLINE_S, on_signals

logger = logging.getLogger(__name__)

# A front that has ended is started again after `FIRST_WAIT_S`. The wait doubles, up to `LONGEST_WAIT_S`, each time that
# the front has run for less than `STABLE_S`.
FIRST_WAIT_S, LONGEST_WAIT_S, STABLE_S = 0.5, 30.0, 60.0
# Time from the signal until fronts that still run are killed. A front ends itself earlier, after `DEADLINE_S`.
END_S = DEADLINE_S + 1.0
RECEIVE_BYTES = 65536
# Messages from the thread of signals to the loop.
STOP, RELOAD = b"s", b"r"
# Exit statuses of a front that was told to end: a proper end, or SIGTERM while it was starting.
ENDED = (0, -signal.SIGTERM)


@dataclass
class _Running:
    """A front's process, and the parent's end of its link."""

    number: int
    process: subprocess.Popen[bytes]
    link: socket.socket
    since_s: float = field(default_factory=time.monotonic)
    is_ready: bool = False
    is_reload_due: bool = False  # it was to read its network again while it was starting
    received: bytes = b""


class Fronts:
    """Starts fronts and watches them, see the module.

    Args:
        command: command line of a front, without its number.
        count: number of fronts.
    """

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command, self._count = command, count
        self._running: dict[int, _Running] = {}
        self._due_s: dict[int, float] = {1: 0.0}  # front's number → when to start it, monotonic seconds
        self._waits_s: dict[int, float] = {}
        self._have_all_listened = False
        self._stopped_s: float | None = None
        self._status = 0
        self._holds = KeptHolds()
        self._exchanged: dict[int, str] = {}  # front's number → network that it uses instead of the command's
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def run(self) -> int:
        """Run until SIGTERM, Ctrl-C or the terminal's end, or until a front does not start.

        Returns:
            The exit status: 0, or that of the front that did not start, or 1 if a front did not end properly.
        """
        on_signals(partial(self._wake.sendall, STOP), partial(self._wake.sendall, RELOAD), END_S + 1.0)
        while self._running or self._stopped_s is None:
            for key, _ in self._selector.select(self._select_timeout_s()):
                if key.data is None:
                    self._take_signals(self._woken.recv(RECEIVE_BYTES))
                else:
                    self._read(key.data)
            self._start_due()
            self._kill_late()
        return self._status

    def _select_timeout_s(self) -> float | None:
        """How long to wait for signals and links; None for ever."""
        if self._stopped_s is not None:
            return max(0.0, self._stopped_s + END_S - time.monotonic())
        return max(0.0, min(self._due_s.values()) - time.monotonic()) if self._due_s else None

    def _take_signals(self, letters: bytes) -> None:
        if STOP in letters:
            self._stop()
        elif RELOAD in letters:
            self._reload()

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for number in [number for number, due_s in self._due_s.items() if due_s <= now_s]:
            del self._due_s[number]
            try:
                self._start(number)
            except OSError as error:  # no memory for a process, no descriptors
                if not self._have_all_listened:
                    raise
                self._due_s[number] = now_s + LONGEST_WAIT_S
                logger.warning(
                    "front %d cannot be started (%s); it is tried again in %g s", number, error, LONGEST_WAIT_S
                )

    def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            network = [f"--exchanged={self._exchanged[number]}"] if number in self._exchanged else []
            process = subprocess.Popen(
                [*self._command, *network, "--front", str(number)],
                stdin=theirs.fileno(),
                start_new_session=True,  # without the terminal, whose Ctrl-C and end the parent handles
            )
            undo.pop_all()
        ours.setblocking(False)
        running = self._running[number] = _Running(number, process, ours)
        self._selector.register(ours, selectors.EVENT_READ, running)
        for host in self._holds.hosts:
            self._send(running, encode(hold_message(host, True)))

    def _read(self, front: _Running) -> None:
        try:
            data = front.link.recv(RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._handle_exit(front)
            return
        *lines, front.received = (front.received + data).split(b"\n")
        for line in lines:
            self._take_message(front, json.loads(line))

    def _take_message(self, front: _Running, message: dict[str, Any]) -> None:
        """Take a message of a front (`front.Link`): it listens, it uses another network, or an address is on hold."""
        if "is_ready" in message:
            self._take_ready(front)
        elif WEIGHTS in message:
            self._exchanged[front.number] = message[WEIGHTS]
        else:
            self._holds.note_elsewhere(message["host"], message["is_held"])
            for other in self._running.values():
                if other is not front:
                    self._send(other, encode(message))

    @staticmethod
    def _send(front: _Running, data: bytes) -> None:
        # Sending fails if the front stands still, or if it has ended, which is handled when its link is read.
        with contextlib.suppress(OSError):
            front.link.send(data)

    def _take_ready(self, front: _Running) -> None:
        front.is_ready = True
        if front.is_reload_due:
            front.process.send_signal(signal.SIGHUP)
        if self._have_all_listened or self._stopped_s is not None:  # it may have been told to end a moment ago
            return
        if front.number < self._count:
            self._due_s[front.number + 1] = 0.0
        else:
            self._have_all_listened = True
            logger.info("all %d fronts listen", self._count)

    def _handle_exit(self, front: _Running) -> None:
        self._selector.unregister(front.link)
        front.link.close()
        del self._running[front.number]
        status = front.process.wait()
        if self._stopped_s is not None:
            if status not in ENDED:
                self._status = self._status or 1
        elif not self._have_all_listened:
            self._status = status if status > 0 else 1
            self._stop()
        else:
            has_lasted = time.monotonic() - front.since_s > STABLE_S
            wait_s = FIRST_WAIT_S if has_lasted else self._waits_s.get(front.number, FIRST_WAIT_S)
            self._waits_s[front.number] = min(2 * wait_s, LONGEST_WAIT_S)
            self._due_s[front.number] = time.monotonic() + wait_s
            how = f"with status {status}" if status >= 0 else f"by signal {-status}"
            logger.warning("front %d has ended %s; it is started again in %g s", front.number, how, wait_s)

    def _stop(self) -> None:
        if self._stopped_s is None:
            self._stopped_s = time.monotonic()
        self._due_s.clear()
        for front in self._running.values():
            front.process.send_signal(signal.SIGTERM)

    def _reload(self) -> None:
        """Have all fronts read their network again; a front that is starting, which SIGHUP would end, does so later."""
        for front in self._running.values():
            if front.is_ready:
                front.process.send_signal(signal.SIGHUP)
            else:
                front.is_reload_due = True

    def _kill_late(self) -> None:
        if self._stopped_s is not None and time.monotonic() - self._stopped_s >= END_S:
            for front in self._running.values():
                front.process.kill()


def own_command(arguments: Sequence[str]) -> list[str]:
    """The command line that runs this program again.

    Args:
        arguments: its arguments.
    """
    program = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return [sys.executable, *program, *arguments]

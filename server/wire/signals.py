"""Signals: the event loop is told of those that end the process, and a thread sees to it that the end comes in time.

SIGHUP comes with the end of the terminal, and then ends the process, too. Anybody else sends it to have files read
again.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

SIGNALS = [signal.SIGTERM, signal.SIGINT]
TERMINAL = "/dev/tty"  # that of the process, if it has one
# Longest time from a signal to the end. Drones are told within the first 0.1 s; the rest is for files being written.
DEADLINE_S = 2.5
LAST_LINE_S = 0.1


def on_signals(stop: Callable[[], None], reload: Callable[[], None], deadline_s: float = DEADLINE_S) -> None:
    """Have `stop` called on each of `SIGNALS`, and the process ended with status 1 if it goes on for too long after.

    Args:
        stop: called in the main thread; must not block.
        reload: called likewise on SIGHUP while the terminal is still there, or if there never was one.
        deadline_s: from the signal to the hard end. A thread waits for it, because the main thread may hang: it learns
            of signals from the operating system, not from the main thread.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    threading.Thread(target=_end_in_time, args=(receiver, sender, deadline_s), name="deadline", daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop())
    had_terminal = _has_terminal()

    def on_hangup(*_: object) -> None:
        if had_terminal and not _has_terminal():
            signal.raise_signal(signal.SIGTERM)
        else:
            reload()

    if hasattr(signal, "SIGHUP"):  # Windows has none
        signal.signal(signal.SIGHUP, on_hangup)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)


def _has_terminal() -> bool:
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY))
    except OSError:
        return False
    return True


def _end_in_time(receiver: socket.socket, _sender: socket.socket, deadline_s: float) -> None:
    """Wait for a signal and then for the deadline; holding `_sender` keeps its descriptor open."""
    while receiver.recv(1)[0] not in SIGNALS:
        pass
    time.sleep(deadline_s)
    logger.error("expected to have shut down within %g s; ending at once", deadline_s)
    time.sleep(LAST_LINE_S)
    os._exit(1)

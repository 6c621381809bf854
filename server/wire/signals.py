"""Signals: a thread tells the program of those that end it, and sees to it that the end comes in time.

A SIGHUP that comes with the end of the terminal also ends the process. Any other SIGHUP asks to read files again.
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
HANGUPS = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []  # Windows has none
TERMINAL = "/dev/tty"  # that of the process, if it has one
# Longest time from a signal to the end. Drones are told within the first 0.1 s; the rest is for files being written.
DEADLINE_S = 2.5
LAST_LINE_S = 0.1


def on_signals(stop: Callable[[], None], reload: Callable[[], None], deadline_s: float = DEADLINE_S) -> None:
    """Have `stop` called on any of `SIGNALS`, and the process ended with status 1 if it goes on for too long after.

    A thread learns of signals from the operating system, and calls. The main thread would learn of them too late: it
    may hang, or may have gone to sleep just as the signal came.

    Args:
        stop: called in that thread, once; must not block.
        reload: called likewise on each SIGHUP while the terminal is still there, or if there never was one.
        deadline_s: from the signal to the hard end.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    arguments = (receiver, _has_terminal(), stop, reload, deadline_s)
    threading.Thread(target=_run, args=arguments, name="signals", daemon=True).start()
    # In this order, so that no signal is lost between. Python writes only signals to the socket that have a handler.
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    for number in [*SIGNALS, *HANGUPS]:
        signal.signal(number, lambda *_: None)


def _run(
    receiver: socket.socket,
    had_terminal: bool,
    stop: Callable[[], None],
    reload: Callable[[], None],
    deadline_s: float,
) -> None:
    while (number := receiver.recv(1)[0]) not in SIGNALS:
        if number in HANGUPS:
            if had_terminal and not _has_terminal():
                break
            reload()
    stop()
    time.sleep(deadline_s)
    logger.error("expected to have shut down within %g s; ending at once", deadline_s)
    time.sleep(LAST_LINE_S)
    os._exit(1)


def _has_terminal() -> bool:
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY))
    except OSError:
        return False
    return True

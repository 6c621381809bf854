"""Signals: a thread stops the program on a signal, and ends the process if stopping takes too long.

A SIGHUP that comes with the end of the terminal also stops the program, unless the program was started by nohup. Any
other SIGHUP asks to read files again.
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
TERMINAL = "/dev/tty"  # the terminal of the process, if it has one
# Longest time from a signal to the end. Drones are told within the first 0.1 s; the rest is for files being written.
DEADLINE_S = 2.5
LAST_LINE_S = 0.1


def on_signals(stop: Callable[[], None], reload: Callable[[], None], deadline_s: float = DEADLINE_S) -> None:
    """Call `stop` on any of `SIGNALS`, and end the process with status 1 if it still runs after `deadline_s`.

    A thread receives the signals from the operating system and calls `stop`. The main thread would notice a signal too
    late: it may hang, or may have gone to sleep just as the signal came.

    Args:
        stop: called in that thread, once; must not block.
        reload: called in that thread on each SIGHUP while the terminal is still there, or if the program need not end
            with a terminal; must not block.
        deadline_s: time from the signal until the process is ended.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    arguments = (receiver, _ends_with_terminal(), stop, reload, deadline_s)
    threading.Thread(target=_run, args=arguments, name="signals", daemon=True).start()
    # In this order, so that no signal is lost in between. Python writes to the socket only signals that have a handler.
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    for number in [*SIGNALS, *HANGUPS]:
        signal.signal(number, lambda *_: None)


def _run(
    receiver: socket.socket,
    ends_with_terminal: bool,
    stop: Callable[[], None],
    reload: Callable[[], None],
    deadline_s: float,
) -> None:
    while (number := receiver.recv(1)[0]) not in SIGNALS:
        if number in HANGUPS:
            if ends_with_terminal and not _has_terminal():
                break
            reload()
    stop()
    time.sleep(deadline_s)
    logger.error("expected to have shut down within %g s; ending at once", deadline_s)
    time.sleep(LAST_LINE_S)
    os._exit(1)


def _ends_with_terminal() -> bool:
    """Whether the program has a terminal and ends with it: nohup has SIGHUP ignored."""
    return _has_terminal() and all(signal.getsignal(number) is not signal.SIG_IGN for number in HANGUPS)


def _has_terminal() -> bool:
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY))
    except OSError:
        return False
    return True

"""The log: few lines, and nobody waits for them to be written.

A terminal on hold (Ctrl-S) or a pipe that nobody reads blocks the thread that writes to it, which
must not be the event loop's.
"""

import contextlib
import io
import logging
import os
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable

MOST_LINES_A_SECOND = 50
# Of one text, such as a traceback; from its beginning and from its end.
MOST_FIRST_LINES, MOST_LAST_LINES = 10, 40
MOST_LINE_CHARACTERS = 500
# Texts that wait to be written; some 100 kB.
MOST_WAITING = 500
# Longest time for the last lines to be written when the process ends.
END_S = 0.5
STDERR = 2


class LineLimit:
    """Lets through a limited number of log lines a second and counts the rest: clients could cause any number.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second, self._lines, self._left_out = 0, 0, 0

    def passed(self, text: str, is_urgent: bool = False) -> str | None:
        """The text to write, or None if too many lines were written in this second; an urgent text passes all the same.

        The first text of a second says how many lines were left out before it. Of a long text, such as the traceback of
        a deep recursion, the middle is left out.
        """
        lines = [line[:MOST_LINE_CHARACTERS] for line in text.splitlines()]
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= MOST_LINES_A_SECOND and not is_urgent:
            self.leave_out(text)
            return None
        if len(lines) > MOST_FIRST_LINES + MOST_LAST_LINES:
            between = f"({len(lines) - MOST_FIRST_LINES - MOST_LAST_LINES} lines left out)"
            lines = [*lines[:MOST_FIRST_LINES], between, *lines[-MOST_LAST_LINES:]]
        if self._left_out:
            lines[:1] = [f"({self._left_out} lines left out) {lines[0]}"]
            self._left_out = 0
        self._lines += len(lines)
        return "".join(f"{line}\n" for line in lines)

    def leave_out(self, text: str) -> None:
        """Count the lines of a text that is not written."""
        self._left_out += len(text.splitlines())


class NonBlockingStream(io.TextIOBase):
    """A text stream that never keeps its user waiting: a thread of its own writes.

    Args:
        write: writes a text; may block.
        clock: monotonic seconds.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._limit = write, LineLimit(clock)
        self._lock = threading.RLock()
        self._begun = ""  # a line whose end has not been written yet
        # A text, or an event that is set when all before it is written.
        self._waiting: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str, is_urgent: bool = False) -> int:
        """Have a text written, if there is room for it; an urgent one beyond the limit of lines, too."""
        with self._lock:
            whole, end, begun = (self._begun + text).rpartition("\n")
            self._begun = begun[:MOST_LINE_CHARACTERS]
            if end and self._waiting.qsize() >= MOST_WAITING:
                self._limit.leave_out(whole)
            elif end and (passed := self._limit.passed(whole or "\n", is_urgent)):
                self._waiting.put(passed)
        return len(text)

    def wait_written(self, timeout_s: float) -> bool:
        """Wait until all is written; returns whether it is."""
        is_written = threading.Event()
        self._waiting.put(is_written)
        return is_written.wait(timeout_s)

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                with contextlib.suppress(OSError):  # nobody is there to read it
                    self._write(item)


def set_up(level: str, who: str = "") -> None:
    """Log to the process's standard error, which is non-blocking from now on for all of Python that writes to it.

    Args:
        level: least severe lines to log: debug, info or warning.
        who: stands before each message, of one of several processes.
    """
    _open_standard_descriptors()
    sys.stderr = stream = NonBlockingStream(_write_to_stderr)
    handler = LogHandler(stream)
    form = f"%(asctime)s %(levelname)-7s {who}%(message)s"
    logging.basicConfig(format=form, datefmt="%H:%M:%S", handlers=[handler])
    logging.getLogger().setLevel(logging.WARNING)
    for name in ("server", "follower", "model"):
        logging.getLogger(name).setLevel(level.upper())
    warnings.filterwarnings("ignore", module="PIL")  # oddities in images' metadata, which nobody here reads


class LogHandler(logging.StreamHandler[NonBlockingStream]):
    """Lets errors pass, so that clients cannot hide our own; `Faults` limits these by itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            self.stream.write(f"{self.format(record)}\n", is_urgent=record.levelno >= logging.ERROR)
        except Exception:  # as every handler: arguments that do not fit the format
            self.handleError(record)


def end_process(status: int) -> None:
    """End the process with an exit status, whatever its threads wait for; before that, its last lines are written.

    Python's own way would wait for thread pools, and for the lock of a stream that blocks.
    """
    if isinstance(sys.stderr, NonBlockingStream):
        sys.stderr.wait_written(END_S)
    os._exit(status)


def _open_standard_descriptors() -> None:
    """Open those that the parent has closed; otherwise the log would be written into the next file or socket opened."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)


def _write_to_stderr(text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(STDERR, data) :]

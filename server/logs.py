"""The log: a limited number of lines, written by a separate thread.

A paused terminal (Ctrl-S) or a pipe that nobody reads blocks the thread that writes to it. The event loop must not be
blocked.
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
# Most lines of one text, such as a traceback, that are kept from its beginning and from its end.
MOST_FIRST_LINES, MOST_LAST_LINES = 10, 40
MOST_LINE_CHARACTERS = 500
# Most texts that wait to be written; some 100 kB.
MOST_WAITING = 500
# Longest time for the last lines to be written when the process ends.
END_S = 0.5
STDERR = 2


class LineLimit:
    """Passes a limited number of log lines a second and counts the rest, because clients could cause any number.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second, self._lines, self._left_out = 0, 0, 0

    def passed(self, text: str, is_urgent: bool = False) -> str | None:
        """The text to write, or None if too many lines were written in this second. An urgent text always passes.

        The first text after a gap says how many lines were left out before it. The middle of a long text is left out,
        such as the traceback of a deep recursion.
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
    """A text stream whose `write` never blocks, because a thread of its own writes.

    Args:
        write: writes a text; may block.
        clock: monotonic seconds.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._limit = write, LineLimit(clock)
        self._lock = threading.RLock()
        self._begun = ""  # a line whose end has not been written yet
        # Texts to write, and events to set when all texts before them are written.
        self._waiting: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str, is_urgent: bool = False) -> int:
        """Queue a text if the queue has room. An urgent text is not limited in lines."""
        with self._lock:
            whole, end, begun = (self._begun + text).rpartition("\n")
            self._begun = begun[:MOST_LINE_CHARACTERS]
            if end and self._waiting.qsize() >= MOST_WAITING:
                self._limit.leave_out(whole)
            elif end and (passed := self._limit.passed(whole or "\n", is_urgent)):
                self._waiting.put(passed)
        return len(text)

    def wait_written(self, timeout_s: float) -> bool:
        """Wait until all queued texts are written; returns False after `timeout_s`."""
        is_written = threading.Event()
        self._waiting.put(is_written)
        return is_written.wait(timeout_s)

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                with contextlib.suppress(OSError):  # the reader has closed the pipe
                    self._write(item)


def set_up(level: str, who: str = "") -> None:
    """Log to standard error, and make `sys.stderr` non-blocking.

    Args:
        level: least severity to log: debug, info or warning.
        who: prefix of each message, which names this one of several processes.
    """
    _open_standard_descriptors()
    sys.stderr = stream = NonBlockingStream(_write_to_stderr)
    handler = LogHandler(stream)
    form = f"%(asctime)s %(levelname)-7s {who}%(message)s"
    logging.basicConfig(format=form, datefmt="%H:%M:%S", handlers=[handler])
    logging.getLogger().setLevel(logging.WARNING)
    for name in ("server", "follower", "model"):
        logging.getLogger(name).setLevel(level.upper())
    warnings.filterwarnings("ignore", module="PIL")  # about the metadata of images, which is not used here


class LogHandler(logging.StreamHandler[NonBlockingStream]):
    """Writes errors as urgent, so that clients cannot suppress our own errors. `Faults` limits the errors by itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            self.stream.write(f"{self.format(record)}\n", is_urgent=record.levelno >= logging.ERROR)
        except Exception:  # such as arguments that do not fit the format; all handlers of logging do this
            self.handleError(record)


def end_process(status: int) -> None:
    """Write the last lines of the log, then end the process with an exit status, without waiting for its threads.

    Python's own exit would wait for thread pools, and for the lock of a stream that blocks.
    """
    if isinstance(sys.stderr, NonBlockingStream):
        sys.stderr.wait_written(END_S)
    os._exit(status)


def _open_standard_descriptors() -> None:
    """Open standard descriptors that the parent has closed. Otherwise the next file or socket would get the log."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)


def _write_to_stderr(text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(STDERR, data) :]

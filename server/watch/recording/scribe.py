"""The thread that writes recordings: items in, files out."""

import logging
import math
import re
import shutil
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path

from server.supervision import Faults
from server.watch.recording.items import Begun, Ended, Item, Recording
from server.watch.recording.mcap_file import McapFile
from server.watch.recording.topics import Topics

logger = logging.getLogger(__name__)

# Period of writing to the disk, and longest sleep. A kill loses at most the data of both times and of the work itself:
# less than a second in total.
FLUSH_S, LONGEST_SLEEP_S = 0.5, 0.2
MOST_FILES = 32
# Recordings stop at this free space, so that other programs can still use the disk.
LEAST_FREE_BYTES = 500_000_000
# Largest growth of one file, and the time over which it is averaged. A simulator makes a quarter of that.
MOST_BYTES_PER_S, AVERAGED_S = 20_000_000, 5.0
# Most data that waits in memory, of one recording and of all. A simulator makes 5 MB a second, mostly the network's
# output.
MOST_WAITING_BYTES, MOST_WAITING_IN_ALL_BYTES = 100_000_000, 400_000_000
# How long the last writes may take when the server ends.
CLOSING_S = 1.2


class Scribe:
    """Writes the items that are handed over to it, each recording into a file of its own.

    Args:
        folder: folder for the files; it is made with the first file.
        faults: where errors of our own are reported.
        on_fault: ends a recording after an error of our own.
    """

    def __init__(self, folder: Path, faults: Faults, on_fault: Callable[[Recording], None]) -> None:
        self._folder, self._faults, self._on_fault = folder, faults, on_fault
        # A recording for each item handed over, in order; None is the end.
        self._queue: deque[Recording | None] = deque()
        self._recordings: weakref.WeakSet[Recording] = weakref.WeakSet()  # used only by the event loop
        self._wake = threading.Event()
        self._open: dict[Recording, _Open] = {}
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if it runs, once all items are written; wait at most `CLOSING_S`."""
        self._queue.append(None)
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING_S)

    def hand_over(self, recording: Recording, item: Item, size: int) -> None:
        """Have an item written later; never waits.

        If too much data waits, a recording fails, because a replay of a recording with a gap would be wrong. This
        recording fails if too much of its own data waits. If too much data of all recordings waits, the recording with
        the most waiting data fails.

        Args:
            recording: the recording that the item belongs to.
            item: the item to write.
            size: size of the item in memory, bytes.
        """
        self._recordings.add(recording)
        if recording.waiting_bytes + size > MOST_WAITING_BYTES:
            waiting = f"{recording.waiting_bytes / 1e6:.0f} MB"
            recording.fail(f"{waiting} wait to be written: the disk is too slow, or the simulator too fast")
        while recording.is_on:
            in_all_bytes = sum(each.waiting_bytes for each in self._recordings)
            if in_all_bytes + size <= MOST_WAITING_IN_ALL_BYTES:
                break
            most = max(self._recordings, key=lambda each: each.waiting_bytes)
            most.fail(
                f"{in_all_bytes / 1e6:.0f} MB of all recordings wait to be written, {most.waiting_bytes / 1e6:.0f} MB "
                "of this one: the disk is too slow, or the simulators too many"
            )
        if recording.is_on:
            recording.handed_over_bytes += size
            recording.waiting.append((item, size))
            self._queue.append(recording)

    @property
    def has_room(self) -> bool:
        """Whether the limit of files allows one more recording now."""
        return len(self._open) < MOST_FILES

    def wake(self) -> None:
        """Have the thread work now, because commands have just been sent."""
        self._wake.set()

    # The methods below run in the thread.

    def _run(self) -> None:
        is_over = False
        while not is_over:
            self._wake.wait(LONGEST_SLEEP_S if self._open else None)
            self._wake.clear()
            while self._queue:
                recording = self._queue.popleft()
                if recording is None:
                    is_over = True
                else:
                    self._run_step(recording, self._take)
            recording = None  # so that a recording that has ended does not stay in memory
            for recording in list(self._open):
                self._run_step(recording, self._flush_if_due)

    def _run_step(self, recording: Recording, step: Callable[[Recording], None]) -> None:
        if recording.trouble is None:
            with self._faults.contained("recorder", lambda: self._on_fault(recording)):
                try:
                    step(recording)
                except _StoppedError as error:
                    recording.fail(str(error))
                except OSError as error:
                    recording.fail(f"{error.filename or recording.file}: {error.strerror or error}")
        if recording.trouble is not None:
            opened = self._open.pop(recording, None)
            if opened is not None:
                with self._faults.contained("recorder"):
                    opened.mcap.abandon()

    def _take(self, recording: Recording) -> None:
        try:
            item, size = recording.waiting.popleft()
        except IndexError:  # the recording has just failed, which clears its items
            return
        try:
            if recording not in self._open:
                self._open_file(recording)
            self._write(recording, item)
        finally:
            recording.worked_off_bytes += size

    def _open_file(self, recording: Recording) -> None:
        if len(self._open) >= MOST_FILES:
            recording.is_refused = True
            raise _StoppedError(f"{MOST_FILES} recordings are going on, which is the most at once")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._check_space()
        begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(recording.clock.wall_ns / 1e9))
        stem = f"{begun}_{re.sub(r'[^A-Za-z0-9.-]+', '_', recording.name)}"
        mcap, number = None, 1
        while mcap is None:
            path = self._folder / f"{stem}{f'_{number}' if number > 1 else ''}.mcap"
            try:
                mcap = McapFile(path)
            except FileExistsError:
                number += 1
        recording.file = path  # set only now, so that the name of another recording's file is never shown
        topics = Topics(mcap.context, recording.clock, recording.name)
        self._open[recording] = _Open(mcap, topics)  # before anything that may fail, so that the file is closed then
        topics.log(recording.start)
        logger.info("[%s] recording into %s", recording.name, recording.file)

    def _write(self, recording: Recording, item: Item) -> None:
        topics = self._open[recording].topics
        if isinstance(item, Ended):
            topics.log(item)
            mcap = self._open.pop(recording).mcap
            mcap.close()
            recording.written_bytes = mcap.written_bytes
            logger.info("[%s] recorded %.1f MB into %s", recording.name, mcap.written_bytes / 1e6, recording.file)
        elif not isinstance(item, Begun):
            topics.log(item)
            self._flush_if_due(recording)

    def _flush_if_due(self, recording: Recording) -> None:
        opened = self._open[recording]
        now_s = time.monotonic()
        if now_s >= opened.flush_at_s:
            opened.mcap.flush()
            opened.surplus_bytes += opened.mcap.written_bytes - recording.written_bytes
            opened.surplus_bytes = max(0.0, opened.surplus_bytes - MOST_BYTES_PER_S * (now_s - opened.flushed_s))
            opened.flushed_s, opened.flush_at_s = now_s, time.monotonic() + FLUSH_S
            recording.written_bytes = opened.mcap.written_bytes
            if opened.surplus_bytes > MOST_BYTES_PER_S * AVERAGED_S:
                raise _StoppedError(f"{recording.file} grows by more than {MOST_BYTES_PER_S / 1e6:g} MB a second")
            self._check_space()

    def _check_space(self) -> None:
        if shutil.disk_usage(self._folder).free < LEAST_FREE_BYTES:
            raise _StoppedError(f"less than {LEAST_FREE_BYTES / 1e6:g} MB are free on the disk of {self._folder}")


class _StoppedError(Exception):
    """A recording is refused or ended to protect the machine; the message says why."""


class _Open:
    """A recording's file, its channels, and the times (monotonic seconds) of the latest and of the next flush.

    `surplus_bytes` is the file's recent growth beyond `MOST_BYTES_PER_S`.
    """

    def __init__(self, mcap: McapFile, topics: Topics) -> None:
        self.mcap, self.topics = mcap, topics
        self.flushed_s, self.flush_at_s = time.monotonic(), -math.inf
        self.surplus_bytes = 0.0

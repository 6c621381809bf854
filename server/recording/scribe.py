"""The thread that writes recordings: it says in messages what it is handed, and puts them on the disk."""

import logging
import math
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.card import Card
from server.recording.items import Begun, Ended, Item, Recording, Saw
from server.recording.mcap_file import McapFile
from server.recording.topics import Topics

logger = logging.getLogger(__name__)

# What a kill costs is at most their sum, and the time of the work itself: together less than a second.
FLUSH_S, LONGEST_SLEEP_S = 0.5, 0.2
# A client that connects and leaves 200 times a second must not fill the disk with files.
MOST_FILES = 32
HELD_BEFORE_OPENING = 20
MOST_HELD_BYTES = 50_000_000
# In memory, of one recording and of all. One simulator makes 5 MB a second, most of it the network's output.
MOST_WAITING_BYTES, MOST_WAITING_IN_ALL_BYTES = 100_000_000, 400_000_000
# Players sort messages by their times, and the first must stay the first.
BEFORE_ALL_S = 0.001
# How long the last writes may take when the server ends.
CLOSING_S = 5.0


class Scribe:
    """Writes what it is handed, each recording into a file of its own.

    Args:
        folder: for the files; it is made when there is one to be made in it.
        card: of the network whose output is recorded.
    """

    def __init__(self, folder: Path, card: Card) -> None:
        self._folder, self._card = folder, card
        self._queue: deque[tuple[Recording, Item, int] | None] = deque()
        # Here and in `Recording` only the giver counts the first, only the thread the second.
        self._handed_over_bytes = self._worked_off_bytes = 0
        self._wake = threading.Event()
        self._open: dict[Recording, _Open] = {}
        self._held: dict[Recording, list[Item]] = {}  # what has come before there is a file
        self._held_bytes: Counter[Recording] = Counter()
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread once all that was handed over is written; give up on a disk that hangs."""
        self._queue.append(None)
        self._wake.set()
        self._thread.join(CLOSING_S)

    def hand_over(self, recording: Recording, item: Item, size: int) -> None:
        """Have an item written some time; never waits.

        Args:
            recording: where; it fails if too much waits already, for a gap would make a replay lie.
            item: what.
            size: what it takes in memory, in bytes.
        """
        waiting_bytes = recording.handed_over_bytes - recording.worked_off_bytes
        waiting_in_all_bytes = self._handed_over_bytes - self._worked_off_bytes
        if waiting_bytes + size > MOST_WAITING_BYTES or waiting_in_all_bytes + size > MOST_WAITING_IN_ALL_BYTES:
            waiting = f"{waiting_bytes / 1e6:.0f} MB"
            recording.fail(f"{waiting} wait to be written: the disk is too slow, or the simulator too fast")
            return
        recording.handed_over_bytes += size
        self._handed_over_bytes += size
        self._queue.append((recording, item, size))

    def wake(self) -> None:
        """Say that this is a good time for work: commands have left."""
        self._wake.set()

    # From here on the thread's own.

    def _run(self) -> None:
        is_over = False
        while not is_over:
            self._wake.wait(LONGEST_SLEEP_S if self._open else None)
            self._wake.clear()
            while self._queue:
                entry = self._queue.popleft()
                if entry is None:
                    is_over = True
                    continue
                recording, item, size = entry
                self._guarded(recording, self._take, item, size)
                recording.worked_off_bytes += size
                self._worked_off_bytes += size
            for recording in list(self._open):
                self._guarded(recording, self._flush_if_due)

    def _guarded(self, recording: Recording, step: Callable[..., None], *arguments: Any) -> None:
        if recording.trouble is None:
            try:
                step(recording, *arguments)
            except _TooManyError as error:
                recording.fail(str(error))
            except OSError as error:
                recording.fail(f"{error.filename or recording.file}: {error.strerror or error}")
            except Exception as error:
                logger.exception("[%s] cannot record", recording.name)
                recording.fail(repr(error))
        if recording.trouble is not None:
            self._no_longer_held(recording)
            opened = self._open.pop(recording, None)
            if opened is not None:
                opened.mcap.abandon()

    def _take(self, recording: Recording, item: Item, size: int) -> None:
        if recording in self._open:
            self._write(recording, item)
            return
        held = self._held.setdefault(recording, [])
        held.append(item)
        self._held_bytes[recording] += size
        is_much = len(held) >= HELD_BEFORE_OPENING or self._held_bytes.total() > MOST_HELD_BYTES
        if isinstance(item, Begun | Saw) or is_much:
            self._no_longer_held(recording)
            self._open[recording] = self._opened(recording)
            for earlier in held:
                self._write(recording, earlier)
        elif isinstance(item, Ended):
            self._no_longer_held(recording)

    def _no_longer_held(self, recording: Recording) -> None:
        self._held.pop(recording, None)
        del self._held_bytes[recording]

    def _opened(self, recording: Recording) -> "_Open":
        if len(self._open) >= MOST_FILES:
            raise _TooManyError(f"{MOST_FILES} recordings are going on, which is the most at once")
        self._folder.mkdir(parents=True, exist_ok=True)
        begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(recording.clock.wall_ns / 1e9))
        stem = f"{begun}_{re.sub(r'[^A-Za-z0-9.-]+', '_', recording.name)}"
        mcap, number = None, 1
        while mcap is None:
            recording.file = self._folder / f"{stem}{f'_{number}' if number > 1 else ''}.mcap"
            try:
                mcap = McapFile(recording.file)
            except FileExistsError:
                number += 1
        opened = _Open(mcap, Topics(mcap.context, recording.clock, recording.name, self._card))
        opened.topics.log_event(recording.clock.monotonic_s - BEFORE_ALL_S, **recording.start)
        logger.info("[%s] recording into %s", recording.name, recording.file)
        return opened

    def _write(self, recording: Recording, item: Item) -> None:
        topics = self._open[recording].topics
        if isinstance(item, Ended):
            topics.log_event(item.now_s, kind="end", reason=item.reason)
            mcap = self._open.pop(recording).mcap
            mcap.close()
            recording.written_bytes = mcap.written_bytes
            logger.info("[%s] recorded %.1f MB into %s", recording.name, mcap.written_bytes / 1e6, recording.file)
        elif not isinstance(item, Begun):
            topics.log(item)
            self._flush_if_due(recording)

    def _flush_if_due(self, recording: Recording) -> None:
        opened = self._open[recording]
        if time.monotonic() >= opened.flush_at_s:
            opened.mcap.flush()
            recording.written_bytes = opened.mcap.written_bytes
            opened.flush_at_s = time.monotonic() + FLUSH_S


class _TooManyError(Exception):
    """There are files enough."""


class _Open:
    """A recording's file, its channels, and when it is to be flushed next (monotonic seconds)."""

    def __init__(self, mcap: McapFile, topics: Topics) -> None:
        self.mcap, self.topics = mcap, topics
        self.flush_at_s = -math.inf

"""One recording as the event loop and the thread that writes it know it, and what passes from the one to the other."""

import json
import logging
import math
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from server.flight.session import Situation
from server.sight.perception import Seen
from server.wire.messages import Command

logger = logging.getLogger(__name__)

# Of the files: what recordings are read by, too.
FORMAT = 1
EVENTS_TOPIC, MASK_TOPIC = "/events", "/mask"
# Of an argument in memory so many values are measured, and one of more counts as a message of 1 MB at its worst.
MOST_MEASURED, ODD_ARGUMENT_BYTES = 200, 25_000_000
# Of the JSON of a frame that can't be parsed: enough to see what is wrong.
LONGEST_BAD_TEXT = 2000


class Clock(NamedTuple):
    """The wall-clock time of monotonic moments: `wall_ns` since 1970 at `monotonic_s`."""

    wall_ns: int
    monotonic_s: float

    def ns(self, moment_s: float) -> int:
        """Nanoseconds since 1970."""
        return self.wall_ns + round(1e9 * (moment_s - self.monotonic_s))


class Begun(NamedTuple):
    """A recording is worth a file from now on."""


class Arrived(NamedTuple):
    """A frame as it came: the event's argument, and whether it replaced one that waited for perception.

    `is_superseding` is None for one that was not handed to perception, or had been before the recording began.
    """

    arrival_s: float
    is_superseding: bool | None
    argument: object

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes."""
        size, measured = 0, 0
        values = [self.argument]
        while values:
            value = values.pop()
            measured += 1
            size += sys.getsizeof(value)
            parts = value if isinstance(value, Mapping | list | tuple) else ()
            if measured > MOST_MEASURED or len(parts) > MOST_MEASURED:
                return ODD_ARGUMENT_BYTES
            values += [*parts, *parts.values()] if isinstance(parts, Mapping) else parts
        return size


class Saw(NamedTuple):
    """A frame that perception understood, when the session took it in, its state then and what it answered."""

    seen: Seen
    now_s: float
    state: str
    commands: Sequence[Command]

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes."""
        frame = self.seen.job.frame
        return self.seen.probabilities.nbytes + len(frame.rgb_image) + len(frame.depth_image)


class Noted(NamedTuple):
    """Anything else that a session was told; `about` is what belongs to its kind."""

    kind: str
    now_s: float
    state: str
    commands: Sequence[Command]
    about: Mapping[str, Any]


class Answered(NamedTuple):
    """The situation once a frame's commands had left."""

    now_s: float
    latency_s: float
    situation: Situation
    is_told_to_follow: bool
    distance_m: float | None


class Ended(NamedTuple):
    """The end, in order, and why."""

    now_s: float
    reason: str


Item = Begun | Arrived | Saw | Noted | Answered | Ended


class Recording:
    """One recording.

    Args:
        name: the simulator's.
        facts: what its first message says, but for the times.

    Attributes:
        start: its first message.
        clock: of its messages.
        file: its path, once there is one.
        written_bytes: in it.
        waiting: to be written, each with what it takes in memory, in bytes.
        handed_over_bytes: of all that has ever waited; only the event loop counts.
        worked_off_bytes: of that, what has been taken up; only the thread counts.
        ended_s: when it was told to end, or failed, monotonic seconds; infinite before.
        trouble: why it ended before its time; None if it did not.
        is_refused: whether that was because of the others' number.
    """

    def __init__(self, name: str, facts: Mapping[str, Any]) -> None:
        self.name = name
        self.clock = Clock(time.time_ns(), time.monotonic())
        times = {"started_s": self.clock.wall_ns / 1e9, "monotonic_s": self.clock.monotonic_s}
        self.start = {"kind": "start", "format": FORMAT, "session": name, **facts, **times}
        self.file: Path | None = None
        self.written_bytes = 0
        self.waiting: deque[tuple[Item, int]] = deque()
        self.handed_over_bytes = self.worked_off_bytes = 0
        self.ended_s = math.inf
        self.trouble: str | None = None
        self.is_refused = False

    @property
    def is_on(self) -> bool:
        """Whether it still records."""
        return self.ended_s == math.inf

    @property
    def waiting_bytes(self) -> int:
        """What waits to be written, as memory holds it."""
        return self.handed_over_bytes - self.worked_off_bytes if self.trouble is None else 0

    def fail(self, trouble: str) -> None:
        """End it before its time, and say so; only the first trouble counts."""
        if self.trouble is None:
            self.trouble = trouble
            self.ended_s = time.monotonic()
            self.waiting.clear()
            logger.warning("[%s] recording stopped, following goes on: %s", self.name, trouble)


def shorten_bad(argument: object) -> object:
    """What to record of an argument that is no frame: itself, or if it is long, the text that its JSON begins with.

    That text is no frame either.
    """
    text = ""
    try:
        for piece in json.JSONEncoder().iterencode(argument):
            text += piece[: LONGEST_BAD_TEXT + 1]
            if len(text) > LONGEST_BAD_TEXT:
                return text[:LONGEST_BAD_TEXT]
    except (RecursionError, ValueError):  # too deep to be written, or with numbers of thousands of digits
        return text
    return argument

"""One recording as the event loop and the thread that writes it know it, and what passes from the one to the other."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from server.messages import Command
from server.perception import Seen
from server.session import Situation

logger = logging.getLogger(__name__)

FORMAT = 1
# What an event's argument may take in memory that is not what QuadSim sends.
ODD_ARGUMENT_BYTES = 10_000_000
MOST_FIELDS = 20


class Clock(NamedTuple):
    """The wall-clock time of monotonic moments: `wall_ns` since 1970 at `monotonic_s`."""

    wall_ns: int
    monotonic_s: float

    def ns(self, moment_s: float) -> int:
        """Nanoseconds since 1970."""
        return self.wall_ns + round(1e9 * (moment_s - self.monotonic_s))


class Begun(NamedTuple):
    """Somebody has asked for a recording now: it needn't wait until it is known to be worth a file."""


class Arrived(NamedTuple):
    """A frame as it came: the event's argument, and whether it replaced one that waited for perception.

    `is_superseding` is None for one that was not handed to perception, or had been before the recording began.
    """

    arrival_s: float
    is_superseding: bool | None
    argument: object

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes: quickly, and rather too much."""
        if not isinstance(self.argument, Mapping) or len(self.argument) > MOST_FIELDS:
            return ODD_ARGUMENT_BYTES
        return sum(
            len(value) if isinstance(value, str) else 100 if isinstance(value, float | None) else ODD_ARGUMENT_BYTES
            for value in self.argument.values()
        )


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
        handed_over_bytes: what has been handed over to be written, as memory holds it.
        worked_off_bytes: of that, what has been taken up.
        ended_s: when it was told to end, or failed, monotonic seconds; infinite before.
        trouble: why it ended before its time; None if it did not.
    """

    def __init__(self, name: str, facts: Mapping[str, Any]) -> None:
        self.name = name
        self.clock = Clock(time.time_ns(), time.monotonic())
        times = {"started_s": self.clock.wall_ns / 1e9, "monotonic_s": self.clock.monotonic_s}
        self.start = {"kind": "start", "format": FORMAT, "session": name, **facts, **times}
        self.file: Path | None = None
        self.written_bytes = 0
        self.handed_over_bytes = self.worked_off_bytes = 0
        self.ended_s = math.inf
        self.trouble: str | None = None

    @property
    def is_on(self) -> bool:
        """Whether it still records."""
        return self.ended_s == math.inf

    def fail(self, trouble: str) -> None:
        """End it before its time, and say so; only the first trouble counts."""
        if self.trouble is None:
            self.trouble = trouble
            self.ended_s = time.monotonic()
            logger.warning("[%s] recording stopped, following goes on: %s", self.name, trouble)

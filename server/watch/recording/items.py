"""The recording object that the event loop and the writing thread share, and the items passed between them."""

import json
import logging
import math
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from server.flight.events import Event, Received, Seen, Tick
from server.flight.session import SessionState, Situation
from server.flight.tracks import TrackState
from server.sight.sight import View
from server.simulator import Simulator, Taken
from server.watch.recording.format import Start
from server.wire.messages import BadFrameError, Command, Frame, SensorFrame

logger = logging.getLogger(__name__)

# Most values of an argument that are measured. An argument with more values counts as ODD_ARGUMENT_BYTES, the most
# memory that a message of 1 MB can take.
MOST_MEASURED, ODD_ARGUMENT_BYTES = 200, 25_000_000
# Most characters that are kept of the JSON of a frame that cannot be parsed; enough to see the error.
LONGEST_BAD_TEXT = 2000
SMALL_BYTES = 1000


class Clock(NamedTuple):
    """Wall-clock times of monotonic moments: `wall_ns` since 1970 at `monotonic_s`."""

    wall_ns: int
    monotonic_s: float

    def ns(self, moment_s: float) -> int:
        """Nanoseconds since 1970."""
        return self.wall_ns + round(1e9 * (moment_s - self.monotonic_s))


class Begun(NamedTuple):
    """The recording gets a file now."""


class Pending(NamedTuple):
    """A frame that perception was working on when the recording began."""

    frame: Frame


class Told(NamedTuple):
    """An event that the session has taken in.

    Args:
        event: as it was taken in.
        state: state of the tracker afterwards.
        commands: the session's commands.
        argument: argument of the frame's event, for a `Received`.
        content: content of the frame, for a `Seen`.
        view: view of that frame, for a `Seen`.
    """

    event: Event
    state: TrackState
    commands: Sequence[Command]
    argument: object = None
    content: SensorFrame | None = None
    view: View | None = None


class Answered(NamedTuple):
    """The situation after a frame's commands were sent, `latency_s` after its arrival; `now_s` is monotonic seconds.

    `distance_m` is from the camera to the hero; None without a track, and for a frame that was not understood.
    """

    now_s: float
    latency_s: float
    situation: Situation
    distance_m: float | None


class Ended(NamedTuple):
    """The recording ends properly, with a reason; `now_s` is monotonic seconds."""

    now_s: float
    reason: str


Item = Begun | Pending | Told | Answered | Ended


def is_empty_tick(taken: Taken, before: SessionState, after: SessionState) -> bool:
    """Whether an event is a tick without effect. There are ten ticks a second, so these are not recorded."""
    return isinstance(taken.event, Tick) and not taken.commands and after is before


def told(taken: Taken, state: TrackState) -> Told:
    """The item for an event that a session has taken in; `state` is the tracker's state afterwards."""
    event, frame = taken.event, taken.frame
    if frame is None or not isinstance(event, Received | Seen):
        return Told(event, state, taken.commands)
    content = frame.content
    if isinstance(event, Received):
        argument = shorten_bad(frame.argument) if isinstance(content, BadFrameError) else frame.argument
        return Told(event, state, taken.commands, argument)
    assert isinstance(content, SensorFrame)
    return Told(event, state, taken.commands, content=content, view=taken.view)


def answered(frame: Frame, view: View | None, situation: Situation, now_s: float) -> Answered:
    """The item for an answered frame; `view` is None if the frame was not understood."""
    content = None if view is None else frame.content
    distance_m = situation.distance_m(content.gimbal_pose) if isinstance(content, SensorFrame) else None
    return Answered(now_s, now_s - frame.arrival_s, situation, distance_m)


class Recording:
    """One recording.

    Args:
        simulator: the recorded simulator.
        start: its first message.

    Attributes:
        simulator: as given.
        start: as given.
        clock: clock of its messages.
        file: path of its file; None before there is one.
        written_bytes: size of that file.
        waiting: items to be written, each with its size in memory, bytes.
        handed_over_bytes: total size of all items so far; changed only by the event loop.
        worked_off_bytes: size of the items that the thread has taken; changed only by the thread.
        ended_s: when it was told to end, or failed, monotonic seconds; infinite before.
        trouble: why it failed; None if it did not fail.
        is_refused: whether it failed because too many others are recorded.
    """

    def __init__(self, simulator: Simulator, start: Start) -> None:
        self.simulator, self.start = simulator, start
        self.clock = Clock(round(1e9 * start.started_s), start.monotonic_s)
        self.file: Path | None = None
        self.written_bytes = 0
        self.waiting: deque[tuple[Item, int]] = deque()
        self.handed_over_bytes = self.worked_off_bytes = 0
        self.ended_s = math.inf
        self.trouble: str | None = None
        self.is_refused = False

    @property
    def name(self) -> str:
        """The simulator's name."""
        return self.simulator.name

    @property
    def is_on(self) -> bool:
        """Whether it still records."""
        return self.ended_s == math.inf

    @property
    def waiting_bytes(self) -> int:
        """Size in memory of the items that wait to be written."""
        return self.handed_over_bytes - self.worked_off_bytes if self.trouble is None else 0

    def fail(self, trouble: str) -> None:
        """End the recording because of a trouble, and log it. Only the first trouble counts. Any thread may call it."""
        if self.trouble is None:
            self.trouble = trouble
            self.ended_s = time.monotonic()
            self.waiting.clear()
            logger.warning("[%s] recording stopped, following goes on: %s", self.name, trouble)


def item_bytes(item: Item) -> int:
    """Size of an item in memory."""
    match item:
        case Pending(frame):
            return SMALL_BYTES + argument_bytes(frame.argument)
        case Told(argument=argument, content=content, view=view):
            size = SMALL_BYTES + argument_bytes(argument)
            if content is not None:
                size += len(content.rgb_image) + len(content.depth_image or b"")
            return size if view is None else size + view.probabilities.nbytes
    return SMALL_BYTES


def argument_bytes(argument: object) -> int:
    """Size of an event's argument in memory."""
    size, measured = 0, 0
    values = [argument]
    while values:
        value = values.pop()
        measured += 1
        size += sys.getsizeof(value)
        parts = value if isinstance(value, Mapping | list | tuple) else ()
        if measured > MOST_MEASURED or len(parts) > MOST_MEASURED:
            return ODD_ARGUMENT_BYTES
        values += [*parts, *parts.values()] if isinstance(parts, Mapping) else parts
    return size


def shorten_bad(argument: object) -> object:
    """The part of a malformed frame's argument to record: all of it, or the beginning of its JSON if it is long.

    The beginning cannot be parsed as a frame either.
    """
    text = ""
    try:
        for piece in json.JSONEncoder().iterencode(argument):
            text += piece[: LONGEST_BAD_TEXT + 1]
            if len(text) > LONGEST_BAD_TEXT:
                return text[:LONGEST_BAD_TEXT]
    except (RecursionError, ValueError):  # nested too deeply, or with numbers of thousands of digits
        return text
    return argument

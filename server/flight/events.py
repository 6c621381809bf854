"""What can happen to a session, as values: `Session.take` answers each with commands.

Live server, lock-step loop and replay all speak to a session in these; a recording is a list of them with the commands.
Times are this machine's monotonic clock, seconds; `frame` is the frame's number (`server.wire.messages.Frame`).
"""

from dataclasses import dataclass

from server.settings import TrackerConfig
from server.sight.people import Sighting
from server.sight.sight import View
from server.sight.surfaces import Surfaces
from server.wire.messages import BadFrameError, Frame


@dataclass(frozen=True, slots=True)
class Received:
    """A frame has come.

    `superseded` is the number of the older frame that it replaced before perception took it. `earliest_arrival_s` is
    the `arrival_s` of its answer: a frame may have waited in the network before it was read. None in recordings of
    versions that used the time of reading, `at_s`.
    """

    at_s: float
    frame: int
    superseded: int | None = None
    earliest_arrival_s: float | None = None

    @property
    def arrival_s(self) -> float:
        """The earliest time at which the frame can have arrived."""
        return self.at_s if self.earliest_arrival_s is None else self.earliest_arrival_s


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame that perception understood: its arrival, its own time (seconds since 1970) and who was seen.

    `surfaces` tell who is hidden; None in recordings of versions that did not know. `is_part`: only a part of the frame
    was looked at.
    """

    at_s: float
    frame: int
    arrival_s: float
    timestamp_s: float | None
    sightings: tuple[Sighting, ...]
    surfaces: Surfaces | None = None
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A frame that is not what a simulator should send, in words."""

    at_s: float
    frame: int
    arrival_s: float
    field: str
    expected: str
    received: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Our own code failed: on a frame, or with None elsewhere on this simulator's behalf."""

    at_s: float
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; comes several times a second."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Stop the drone and keep it on patrol, whatever is seen, until `Release`."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Release:
    """End a hold."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Choose:
    """The operator has chosen a person, by their number, to be followed whoever it is; with None, the hero again."""

    at_s: float
    person: int | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The operator has said of a person, by their number, that this is not the one: not to be followed again."""

    at_s: float
    person: int


@dataclass(frozen=True, slots=True)
class Retarget:
    """Another target is to be followed, or by other settings of the tracker: begin anew."""

    at_s: float
    tracker: TrackerConfig


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The server ends."""

    at_s: float


Event = Received | Seen | NotUnderstood | Failed | Tick | Hold | Release | Choose | Refuse | Retarget | Shutdown
Answer = Seen | NotUnderstood | Failed


def answer(frame: Frame, outcome: View | BadFrameError | None, at_s: float) -> Answer:
    """The event that tells a session what came of a frame.

    Args:
        frame: as received.
        outcome: a view of it, the error that its sender made, or None if perception failed.
        at_s: now.
    """
    if isinstance(outcome, BadFrameError):
        words = (outcome.field, outcome.expected, outcome.received)
        return NotUnderstood(at_s, frame.number, frame.arrival_s, *words)
    if outcome is None or isinstance(frame.content, BadFrameError):
        return Failed(at_s, frame.number)
    return Seen(
        at_s,
        frame.number,
        frame.arrival_s,
        frame.content.timestamp_s,
        outcome.sightings,
        outcome.surfaces,
        outcome.is_part,
    )

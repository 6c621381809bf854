"""The events of a session, as values. `Session.take` answers each event with commands.

The live server, the lock-step loop and replay all drive a session by these events. A recording is a list of events and
commands. Times are this machine's monotonic clock, s; `frame` is the frame's number (`server.wire.messages.Frame`).
"""

from dataclasses import dataclass

from server.settings import TrackerConfig
from server.sight.people import Sighting
from server.sight.sight import View
from server.sight.surfaces import Surfaces
from server.wire.messages import BadFrameError, Frame


@dataclass(frozen=True, slots=True)
class Received:
    """A frame was received.

    `superseded` is the number of an older frame that this frame replaced before perception took it. A frame may have
    waited in the network before it was read, so `earliest_arrival_s` can be before `at_s`; it is the `arrival_s` of the
    frame's answer. It is None in recordings of versions that used the time of reading, `at_s`.
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
    """A frame was understood: its arrival, its own timestamp (seconds since 1970) and the people in it.

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
    """A frame was malformed: the field, what was expected, what was received."""

    at_s: float
    frame: int
    arrival_s: float
    field: str
    expected: str
    received: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Our own code failed on a frame, or, if `frame` is None, elsewhere in the work for this simulator."""

    at_s: float
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; comes several times a second."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Hold:
    """The operator stops the drone and keeps it on patrol, whoever is in view, until `Release`."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Release:
    """The operator ends a hold."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Choose:
    """The operator has the drone follow the person with this number, whoever it is; None: the hero again."""

    at_s: float
    person: int | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The operator keeps the drone from following the person with this number ("Not this one")."""

    at_s: float
    person: int


@dataclass(frozen=True, slots=True)
class Retarget:
    """The target or the settings of the tracker change: the tracker starts anew."""

    at_s: float
    tracker: TrackerConfig


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The server ends."""

    at_s: float


Event = Received | Seen | NotUnderstood | Failed | Tick | Hold | Release | Choose | Refuse | Retarget | Shutdown
Answer = Seen | NotUnderstood | Failed


def answer(frame: Frame, outcome: View | BadFrameError | None, at_s: float) -> Answer:
    """The event that tells a session the outcome of a frame.

    Args:
        frame: as received.
        outcome: a view of the frame, the error that its sender made, or None if perception failed.
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

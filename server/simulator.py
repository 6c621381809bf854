"""One connected simulator: its state in the server, and the protocol of listeners that observe it."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from server.flight.events import Event
from server.flight.session import Session
from server.sight.frame_queue import Perceived, Slot
from server.sight.sight import View
from server.wire.messages import BadFrameError, Command, Frame

# Most frames that are acknowledged with one answer: the newest. More wait only if perception stands still.
MOST_ACKNOWLEDGED = 1000


class Taken(NamedTuple):
    """An event that a session has taken in, and the commands that the session returned.

    `frame` is the frame of the event; None if the event is not about a frame. `perceived` is the result of perception
    for it; None before there is a result.
    """

    event: Event
    commands: Sequence[Command]
    frame: Frame | None = None
    perceived: Perceived | None = None

    @property
    def view(self) -> View | None:
        """The view of the frame; None if the event is not a `Seen`."""
        outcome = None if self.perceived is None else self.perceived.outcome
        return outcome if isinstance(outcome, View) else None

    @property
    def mistake(self) -> BadFrameError | None:
        """The mistake that the client made in the frame; None if it made none, or there is no result yet."""
        outcome = None if self.perceived is None else self.perceived.outcome
        return outcome if isinstance(outcome, BadFrameError) else self.view and self.view.remark


class Watch:
    """Observes one simulator. Its methods are called on the event loop and must not wait; by default they do nothing.

    After a method has raised an exception, only `disconnected` is still called.
    """

    def taken(self, taken: Taken) -> None:
        """The session has taken in an event; its commands are sent next."""

    def answered(self, taken: Taken, now_s: float) -> None:
        """The commands that answer a frame were sent at `now_s` (monotonic seconds)."""

    def disconnected(self) -> None:
        """The simulator has disconnected."""


class Listener(Protocol):
    """Watches simulators: the page, overlay images, metrics, recordings."""

    def connected(self, simulator: "Simulator") -> Watch:
        """A simulator has connected; returns the watch that observes it."""


@dataclass(eq=False)
class Simulator:
    """One connection that has sent a frame.

    Args:
        id: id of the client, to which its commands are sent.
        host: address of the machine that it runs on.
        name: its name in logs and on the page; unique among the connected simulators.
        session: decides its commands.
        slot: holds its newest frame until perception takes it.

    Attributes:
        watches: observe it.
        failed_watches: watches that have raised an exception.
        frames: number of frames received so far, which is the number of the newest frame.
        in_work: its frames for which perception has no result yet, by number, oldest first.
        is_connected: whether it is still connected.
    """

    id: str
    host: str
    name: str
    session: Session
    slot: Slot
    watches: list[Watch] = field(default_factory=list)
    failed_watches: list[Watch] = field(default_factory=list)
    frames: int = 0
    in_work: dict[int, "InWork"] = field(default_factory=dict)
    is_connected: bool = True

    @property
    def target(self) -> str:
        """Name of the target that its session follows."""
        return self.session.state.tracker.config.profile.name

    def tracks(self, number: int) -> bool:
        """Whether a person of this number is tracked now."""
        return self.session.state.tracker.crowd.person(number) is not None


class InWork(NamedTuple):
    """A frame that perception has not answered yet, and the functions to call when it is answered."""

    frame: Frame
    acknowledge: deque[Callable[[], None]]

    @classmethod
    def in_place_of(cls, older: "InWork | None", frame: Frame, acknowledge: Callable[[], None]) -> "InWork":
        """A new frame that is acknowledged together with the frame that it has replaced, if there is one."""
        waiting = older.acknowledge if older else deque(maxlen=MOST_ACKNOWLEDGED)
        waiting.append(acknowledge)
        return cls(frame, waiting)

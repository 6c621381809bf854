"""One connected simulator: everything that the server knows of it, and who listens to what happens to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from server.flight.events import Event
from server.flight.session import Session
from server.sight.frame_queue import Perceived, Slot
from server.sight.sight import View
from server.wire.messages import Command, Frame


class Taken(NamedTuple):
    """An event that a session has taken in, and the commands that it gave.

    `frame` is the one that the event is about; None if it is about none. `perceived` is what perception made of it;
    None before that.
    """

    event: Event
    commands: Sequence[Command]
    frame: Frame | None = None
    perceived: Perceived | None = None

    @property
    def view(self) -> View | None:
        """What was seen; None for all but a `Seen`."""
        outcome = None if self.perceived is None else self.perceived.outcome
        return outcome if isinstance(outcome, View) else None


class Watch:
    """Is told what happens to one simulator, on the event loop; must not wait. What it leaves out does nothing.

    A watch that raises is told nothing more, except `disconnected`.
    """

    def taken(self, taken: Taken) -> None:
        """A session has taken in an event; its commands leave next."""

    def answered(self, taken: Taken, now_s: float) -> None:
        """The commands that answer a frame have left (monotonic seconds)."""

    def disconnected(self) -> None:
        """The simulator has gone."""


class Listener(Protocol):
    """Watches simulators: the page, overlay images, metrics, recordings."""

    def connected(self, simulator: "Simulator") -> Watch:
        """A simulator has come; returns who is told what happens to it."""


@dataclass(eq=False)
class Simulator:
    """One connection that has sent a frame.

    Args:
        id: where its commands are sent.
        host: address of the machine that it runs on.
        name: for people; unique among those connected.
        session: decides what it is told.
        slot: where its newest frame waits for perception.

    Attributes:
        watches: told what happens to it.
        failed_watches: those that have raised.
        frames: received so far; the newest one's number.
        in_work: its frames that perception has still to answer, by number, oldest first.
        is_connected: whether it is still there.
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
        """Name of whom its session looks for."""
        return self.session.state.tracker.config.profile.name

    def tracks(self, number: int) -> bool:
        """Whether a person of this number is tracked now."""
        return self.session.state.tracker.crowd.person(number) is not None


class InWork(NamedTuple):
    """A frame that is being worked on, and what to call when it is answered."""

    frame: Frame
    acknowledge: list[Callable[[], None]]

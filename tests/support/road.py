"""`server.control` without sockets and threads: sent commands and posted calls are kept for the test."""

import base64
import time
from collections import deque

from model.card import Card
from server.control import Control
from server.flight.session import Session
from server.settings import Settings
from server.sight.frame_queue import Perceived, Spent
from server.sight.geometry import QUADSIM_CAMERA
from server.sight.images import Size
from server.sight.sight import View
from server.simulator import Simulator
from server.supervision import Faults
from server.wire.complaints import RateLimitedWarnings
from server.wire.messages import BadFrameError, Frame
from support.seen import quick_tracker, session

POSE = "1.0000,2.0000,5.0000,0.0000,20.0000,45.0000"
ARGUMENT = {
    "timestamp": "1000000000.0",
    "rgb_image": base64.b64encode(b"rgb").decode(),
    "depth_image": base64.b64encode(b"depth").decode(),
    "pose": POSE,
    "gimbal_pose": POSE,
}


def a_simulator(name: str = "drone", at: Session | None = None) -> Simulator:
    """A simulator without a connection."""
    return Simulator(name, "127.0.0.1", name, at or session(), HandSlot(lambda perceived: None))


def argument(number: int) -> dict[str, str]:
    """The argument of the frame with this number, 0.2 s after the one before."""
    return {**ARGUMENT, "timestamp": f"{1e9 + 0.2 * number:.4f}"}


def view(*sightings, remark=None) -> View:
    """A frame understood; its probabilities are not looked at."""
    return View(sightings, QUADSIM_CAMERA, Size(256, 256), None, Card(), remark=remark)


class HandSlot:
    """A slot that waits for the test."""

    def __init__(self, deliver) -> None:
        self.deliver, self.waiting, self.is_closed = deliver, None, False

    def put(self, frame, content):
        older, self.waiting = self.waiting, frame
        return older

    def close(self) -> None:
        self.is_closed = True

    def take(self) -> Frame:
        """Perception begins with the frame that waits."""
        frame, self.waiting = self.waiting, None
        return frame


class HandPerception:
    """A perception whose results the test decides."""

    def __init__(self) -> None:
        self.slots: list[HandSlot] = []
        self.words: str | None = None

    def open_slot(self, deliver) -> HandSlot:
        self.slots.append(HandSlot(deliver))
        return self.slots[-1]

    def trouble(self, patience_s: float) -> str | None:
        return self.words


class Road:
    """A `Control` with its surroundings.

    Attributes:
        sent: (id, event) of each command, in order.
        acknowledged: numbers of the frames, in order.
        recognised: ids of those whose frames could be parsed, in order.
    """

    def __init__(self, **settings) -> None:
        self.sent: list[tuple[str, str]] = []
        self.acknowledged: list[int] = []
        self.recognised: list[str] = []
        self.posted: deque = deque()
        self.perception, self.faults, self.complaints = HandPerception(), Faults(), RateLimitedWarnings()
        self.control = Control(
            Settings(**settings),
            [quick_tracker()],
            self.perception,
            lambda call, *arguments: self.posted.append((call, arguments)),
            lambda sid, command: self.sent.append((sid, command.event)),
            self.recognised.append,
            self.complaints,
            self.faults,
        )

    def frame(self, sid: str, number: int, sent=None, host: str = "127.0.0.1") -> None:
        """A client sends a frame; `sent` replaces the good argument."""
        acknowledge = lambda: self.acknowledged.append(number)  # noqa: E731
        self.control.on_frame(
            sid,
            host,
            f"{host}:{sid}",
            time.monotonic(),
            acknowledge,
            [argument(number) if sent is None else sent],
        )

    def see(self, sid: str, outcome: View | BadFrameError | None) -> None:
        """Perception answers the frame that waits."""
        slot = self.simulator(sid).slot
        slot.deliver(Perceived(slot.take(), outcome, Spent(0.001, 0.002, 0.003)))
        self.run()

    def run(self) -> None:
        """Run what has been posted to the event loop."""
        while self.posted:
            call, arguments = self.posted.popleft()
            call(*arguments)

    def follow(self, sid: str, sighting, first: int = 1) -> None:
        """Make a simulator follow."""
        for number in (first, first + 1):
            self.frame(sid, number)
            self.see(sid, view(sighting))
        assert self.told(sid)[-2:] == ["object_detected", "create_box_marker"]

    def simulator(self, sid: str) -> Simulator:
        return next(simulator for simulator in self.control.simulators if simulator.id == sid)

    def told(self, sid: str) -> list[str]:
        """Names of the commands to a client so far."""
        return [event for to, event in self.sent if to == sid]

"""The one path of all events and commands: events of simulators in, commands out, listeners told.

    frame, view, tick, hold … ─▶ Session.take(event) ─▶ watches: taken ─▶ commands leave ─▶ watches: answered

Only the event loop calls it. Errors of this program are contained for each simulator: the simulator concerned is sent
`object_lost`, and the others are not affected.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from server.flight.events import (
    Choose,
    Event,
    Failed,
    Hold,
    Received,
    Refuse,
    Release,
    Retarget,
    Shutdown,
    Tick,
    answer,
)
from server.flight.glance import with_expected_place
from server.flight.session import Session
from server.holds import KeptHolds
from server.settings import Settings, TrackerConfig
from server.sight.frame_queue import Perceived
from server.sight.perception import Perception
from server.simulator import InWork, Listener, Simulator, Taken, Watch
from server.supervision import Faults
from server.wire.complaints import RateLimitedWarnings
from server.wire.messages import BadFrameError, Command, Frame, object_lost

logger = logging.getLogger(__name__)

TICK_S = 0.1
# The watchdog does not work if a tick is later than this.
LATE_TICK_S = 1.0


class Control:
    """All connected simulators. Every event of a simulator and every command passes through here.

    Args:
        settings: the user's settings.
        trackers: settings of a session's tracker for each target of the network; new sessions have the first.
        perception: sees the frames of all simulators.
        post: has a call run on the event loop, from any thread.
        send: sends a command to the client with an id, and lets other green threads run.
        recognise: called with the id of a client whenever a frame of the client could be parsed.
        complaints: where clients' mistakes are reported.
        faults: where our own errors are reported.

    Attributes:
        listeners: watch each simulator from its first frame on.
        frames: number of frames received so far from all simulators.
        kept_holds: holds of simulators that have left.
    """

    def __init__(
        self,
        settings: Settings,
        trackers: Sequence[TrackerConfig],
        perception: Perception,
        post: Callable[..., None],
        send: Callable[[str, Command], None],
        recognise: Callable[[str], None],
        complaints: RateLimitedWarnings,
        faults: Faults,
    ) -> None:
        self._settings, self._trackers, self._perception = settings, tuple(trackers), perception
        self._post, self._send_command, self._recognise = post, send, recognise
        self._complaints, self._faults = complaints, faults
        self.listeners: list[Listener] = []
        self.frames = 0
        self._simulators: dict[str, Simulator] = {}
        self.kept_holds = KeptHolds()
        self._ticked_s = time.monotonic()
        self._is_stopping = False

    @property
    def simulators(self) -> list[Simulator]:
        """The connected simulators, in the order in which they connected."""
        return list(self._simulators.values())

    def trouble(self) -> str | None:
        """A message that says why drones can't be led now; None if they can."""
        if time.monotonic() - self._ticked_s > LATE_TICK_S:
            return f"the watchdog has not run for more than {LATE_TICK_S:g} s"
        # A shorter time than the watchdog's, so that the reason is known before the watchdog stops a drone.
        return self._perception.trouble(self._settings.watchdog_s / 2)

    def on_frame(
        self,
        sid: str,
        host: str,
        name: str,
        arrival_s: float,
        acknowledge: Callable[[], None],
        arguments: Sequence[object],
    ) -> None:
        """A client has sent a frame; the first one makes it a simulator.

        Args:
            sid: the client's id.
            host: address of the client's machine.
            name: name of the client; its simulator's name is the same, with a number if another simulator has it.
            arrival_s: arrival of the frame, monotonic seconds; the earliest possible arrival if it is not known.
            acknowledge: to be called when the frame has been answered.
            arguments: the arguments of the event.
        """
        now_s = time.monotonic()
        if self._is_stopping:
            return
        simulator = self._simulators.get(sid) or self._connect(sid, host, name, now_s)
        self.frames, simulator.frames = self.frames + 1, simulator.frames + 1
        if not simulator.is_connected:
            return  # it has disconnected while it was told of a hold
        with self._contained("sensor_frame", simulator):
            argument = arguments[0] if len(arguments) == 1 else arguments
            frame = Frame.read(simulator.frames, arrival_s, argument)
            content = frame.content
            if isinstance(content, BadFrameError):
                self._take(simulator, Received(now_s, frame.number, None, arrival_s), frame)
                self._answer(simulator, Perceived(frame, content), [acknowledge])
                return
            self._recognise(sid)
            frame = with_expected_place(frame, simulator.session.state)
            superseded = simulator.slot.put(frame, content)
            older = None if superseded is None else simulator.in_work.pop(superseded.number, None)
            number = None if superseded is None else superseded.number
            self._take(simulator, Received(now_s, frame.number, number, arrival_s), frame)
            simulator.in_work[frame.number] = InWork.in_place_of(older, frame, acknowledge)

    def on_disconnect(self, sid: str) -> None:
        """A client has disconnected; it need not be a simulator."""
        simulator = self._simulators.pop(sid, None)
        if simulator is None:
            return
        simulator.is_connected = False
        simulator.slot.close()
        if simulator.session.state.is_held:
            self.kept_holds.keep(simulator.host)
        for watch in (*simulator.watches, *simulator.failed_watches):
            with self._faults.contained("listener"):
                watch.disconnected()
        logger.info("[%s] simulator disconnected after %d frames", simulator.name, simulator.frames)

    def tick(self) -> None:
        """Give each session a `Tick`; called every `TICK_S`."""
        self._ticked_s = time.monotonic()
        if self._is_stopping:
            return
        for simulator in self.simulators:
            if simulator.is_connected:  # it may have disconnected while commands of others were sent
                with self._contained("tick", simulator):
                    self._take(simulator, Tick(time.monotonic()))

    def hold(self, simulator: Simulator, is_held: bool) -> None:
        """Keep a drone on patrol by hand, or release it."""
        released = "released by hand" if simulator.session.state.is_held else "release by hand, but it was not on hold"
        logger.info("[%s] %s", simulator.name, "put on hold by hand" if is_held else released)
        if not is_held:
            self.kept_holds.drop(simulator.host)
        self._obey(simulator, (Hold if is_held else Release)(time.monotonic()))

    def choose(self, simulator: Simulator, number: int | None) -> None:
        """Follow a person chosen by the operator, whoever it is, until they are lost; None: the hero again."""
        former = simulator.session.state.tracker.chosen
        ended = "release by hand, but nobody was chosen" if former is None else f"person {former} released by hand"
        logger.info("[%s] %s", simulator.name, ended if number is None else f"person {number} chosen by hand")
        self._obey(simulator, Choose(time.monotonic(), number))

    def refuse(self, simulator: Simulator, number: int) -> None:
        """Do not follow a person refused by the operator, unless the person is chosen later or forgotten."""
        logger.info("[%s] person %d refused by hand", simulator.name, number)
        self._obey(simulator, Refuse(time.monotonic(), number))

    def aim(self, simulator: Simulator, target: str) -> None:
        """Follow another target of the network, until the simulator disconnects."""
        logger.info("[%s] told by hand to follow the %s", simulator.name, target)
        self._set_target(simulator, target)

    def retarget(self, trackers: Sequence[TrackerConfig]) -> None:
        """Use the trackers of another network. Each simulator keeps its target if the network has it."""
        if trackers[0] != self._trackers[0]:
            logger.info("target from now on: %s", trackers[0].profile)
        self._trackers = tuple(trackers)
        for simulator in self.simulators:
            self._set_target(simulator, simulator.target)

    def _set_target(self, simulator: Simulator, target: str) -> None:
        """Track a target with the present settings; if they differ from the session's, its people are forgotten."""
        tracker = next((each for each in self._trackers if each.profile.name == target), self._trackers[0])
        if tracker != simulator.session.state.tracker.config:
            self._take_or_patrol(simulator, Retarget(time.monotonic(), tracker))

    def fail(self, simulator: Simulator) -> None:
        """Bring a drone into the safe state, because our own code has failed for it."""
        if not self._is_stopping:
            self._take_or_patrol(simulator, Failed(time.monotonic()))

    def stop(self) -> None:
        """Tell every drone to stop following, and take in nothing more."""
        if self._is_stopping:
            return
        self._is_stopping = True
        logger.info("shutting down")
        for simulator in self.simulators:
            self._take_or_patrol(simulator, Shutdown(time.monotonic()))

    def _connect(self, sid: str, host: str, peer: str, now_s: float) -> Simulator:
        name = self._unique_name(peer)
        session = Session.begin(name, self._trackers[0], self._settings.watchdog_s)
        slot = self._perception.open_slot(lambda perceived: self._post(self._on_perceived, simulator, perceived))
        simulator = Simulator(sid, host, name, session, slot)
        self._simulators[sid] = simulator
        for listener in self.listeners:
            with self._faults.contained("listener"):
                simulator.watches.append(listener.connected(simulator))
        logger.info("[%s] simulator connected", name)
        if self._must_hold(host):
            logger.info("[%s] on hold: another simulator from this address is on hold, or was when it left", name)
            self._obey(simulator, Hold(now_s))
        return simulator

    def _unique_name(self, peer: str) -> str:
        """A name that no connected simulator has. By polling, several sessions may come from one port."""
        names = {other.name for other in self.simulators}
        numbered = (f"{peer}_{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain([peer], numbered) if name not in names)

    def _must_hold(self, host: str) -> bool:
        """Whether a new simulator starts on hold. It may have reconnected, even before its old connection ended."""
        is_there = any(other.session.state.is_held and other.host == host for other in self.simulators)
        return self.kept_holds.take_over(host) or is_there

    def _on_perceived(self, simulator: Simulator, perceived: Perceived) -> None:
        if not simulator.is_connected or self._is_stopping:
            return  # it has disconnected meanwhile, or its last command has been sent
        with self._contained("answer", simulator):
            if in_work := simulator.in_work.pop(perceived.frame.number, None):  # else the session failed to receive it
                self._answer(simulator, perceived, in_work.acknowledge)

    def _answer(self, simulator: Simulator, perceived: Perceived, acknowledge: Iterable[Callable[[], None]]) -> None:
        """Answer a frame, and acknowledge it and the frames that it has superseded."""
        event = answer(perceived.frame, perceived.outcome, time.monotonic())
        taken = self._take(simulator, event, perceived.frame, perceived)
        for call in acknowledge:
            call()
        now_s = time.monotonic()
        if simulator.is_connected:  # it may have disconnected while its commands were sent
            self._notify_watches(simulator, lambda watch: watch.answered(taken, now_s))
        if (mistake := taken.mistake) is not None:
            self._complaints.warn(simulator.name, mistake.field, mistake.expected, mistake.received)

    def _take(
        self, simulator: Simulator, event: Event, frame: Frame | None = None, perceived: Perceived | None = None
    ) -> Taken:
        taken = Taken(event, simulator.session.take(event), frame, perceived)
        self._notify_watches(simulator, lambda watch: watch.taken(taken))
        self._send(simulator, taken.commands)
        return taken

    def _obey(self, simulator: Simulator, order: Event) -> None:
        """Take in an order of the operator; if that fails, stop the drone, and pass the error on to the operator."""
        try:
            self._take(simulator, order)
        except Exception:
            self.fail(simulator)
            raise

    def _take_or_patrol(self, simulator: Simulator, event: Event) -> None:
        """Take in an event that stops the drone; if the session fails at it, stop the drone directly."""
        if simulator.is_connected:  # it may have disconnected while commands of others were sent
            with self._faults.contained("session", partial(self._send, simulator, [object_lost()])):
                self._take(simulator, event)

    def _notify_watches(self, simulator: Simulator, notify: Callable[[Watch], None]) -> None:
        for watch in tuple(simulator.watches):
            try:
                notify(watch)
            except Exception as error:
                self._faults.report("listener", error)
                simulator.watches.remove(watch)  # it would fail again at each frame
                simulator.failed_watches.append(watch)
                self._post(self.fail, simulator)  # posted, so that the commands of the present event are sent first

    def _contained(self, place: str, simulator: Simulator) -> AbstractContextManager[None]:
        return self._faults.contained(place, partial(self.fail, simulator))

    def _send(self, simulator: Simulator, commands: Iterable[Command]) -> None:
        for command in commands:
            self._send_command(simulator.id, command)

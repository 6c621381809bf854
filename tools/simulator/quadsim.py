"""A complete QuadSim: a world, a connection and a clock. It sends frames at 5 Hz of simulated time and obeys commands.

In lock-step, simulated time stands still until the server has answered a frame, so a flight depends only on its seed
and the server. Otherwise simulated time runs at a multiple of wall-clock time, or slower if the machine is too slow.
"""

import heapq
import math
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue

import numpy as np

from model.bars import progress_bar
from model.command import error_text
from server.wire.messages import FOLLOW
from tools.simulator.cameraman import DIRECT_EVERY_S, Cameraman
from tools.simulator.faults import RECONNECT_S, Faults, Payload
from tools.simulator.flight_log import FlightLog
from tools.simulator.inbox import ReceivedEvent
from tools.simulator.recording import Recorder
from tools.simulator.wire import PING_PERIOD_S, QuadSimClient
from tools.simulator.world import FRAMES_PER_S, Observation, World, frame_fields


class QuadSim:
    """A simulator that is connected to a server; the context manager connects and disconnects it.

    Args:
        world: world at its start; the caller closes it.
        host: host of the server.
        port: port of the server.
        faults: faults of frames and connection.
        is_lock_step: wait for the answer to each frame.
        locale: locale of the messages, a key of `frames.LOCALES`.
        speed: simulated seconds per second, for the period of the pings.
        recorder: recorder of frames; None: nothing is recorded.
        record_every_s: simulated time between recorded frames.
        on_notice: called with messages for the user.

    Attributes:
        log: log of the flight.
    """

    def __init__(
        self,
        world: World,
        host: str,
        port: int,
        *,
        faults: Faults,
        is_lock_step: bool = False,
        locale: str = "en",
        speed: float = 1.0,
        recorder: Recorder | None = None,
        record_every_s: float = 0.0,
        on_notice: Callable[[str], None] = print,
    ) -> None:
        self.world = world
        self.log = FlightLog(world.on_target_m, world.target)
        self._faults, self._is_lock_step, self._locale = faults, is_lock_step, locale
        self._recorder, self._record_every_s = recorder, record_every_s
        self._on_notice = on_notice
        self._received: SimpleQueue[ReceivedEvent] = SimpleQueue()
        self._refused: list[str] = []
        # QuadSim counts the time without a ping in simulated seconds.
        period_s = PING_PERIOD_S / max(speed, 1.0)
        self._client = QuadSimClient(host, port, ping_period_s=period_s, on_event=self._received.put)
        self._linked_s = 0.0
        self._reconnect_s: float | None = None
        self._sent = 0
        self._on_their_way: list[tuple[float, int, Payload]] = []
        self._queued = 0

    @property
    def violations(self) -> tuple[str, ...]:
        """Descriptions of messages from the server that QuadSim cannot parse."""
        return (*self._client.violations, *self._refused)

    @property
    def next_s(self) -> float:
        """Simulated time of the next action of `advance`."""
        next_arrival_s = self._on_their_way[0][0] if self._on_their_way else math.inf
        return min(self._next_frame_s, self._next_record_s, next_arrival_s)

    @property
    def _next_frame_s(self) -> float:
        return len(self.log.rows) / FRAMES_PER_S

    @property
    def _next_record_s(self) -> float:
        return self._recorder.frames * self._record_every_s if self._recorder is not None else math.inf

    def __enter__(self) -> "QuadSim":
        """Connect.

        Raises:
            OSError: as `QuadSimClient.connect`.
        """
        self._client.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def advance(self) -> None:
        """Advance to `next_s` and do what is due then.

        Raises:
            ConnectionError: in lock-step, if the connection is closed.
            TimeoutError: in lock-step, if the server does not answer.
            OSError: if a recording cannot be written.
        """
        now_s = self.next_s
        self._take_commands()
        self._take_pings()
        self.world.step(now_s - self.world.time_s)
        self._keep_connected(now_s)
        if self._recorder is not None and now_s >= self._next_record_s:
            self._recorder.record(self.world)
        if now_s >= self._next_frame_s:
            observation = self.world.observe()
            self.log.on_frame(observation, self.world.drone)
            for deliver_at_s, payload in self._faults.pass_on(now_s, frame_fields(observation, self._locale)):
                self._queued += 1
                heapq.heappush(self._on_their_way, (deliver_at_s, self._queued, payload))
        while self._on_their_way and self._on_their_way[0][0] <= now_s:
            self._deliver(heapq.heappop(self._on_their_way)[2], now_s)

    def _deliver(self, payload: Payload, now_s: float) -> None:
        """Send a frame if there is a connection; in lock-step, obey the answer."""
        if not self._client.is_connected:
            return
        if not self._is_lock_step:
            try:
                self._client.send_frame(payload)
            except ConnectionError as error:
                self._on_notice(f"connection lost: {error_text(error)}")
            return
        self._sent += 1
        self._client.send_frame(payload, self._sent)
        self._client.wait_answered(self._sent)
        self._take_commands()

    def _take_commands(self) -> None:
        """Obey the received commands."""
        while True:
            try:
                event = self._received.get_nowait()
            except Empty:
                return
            try:
                self.world.drone.on_command(event.name, event.argument)
            except ValueError as error:
                self._refused.append(str(error))
                continue
            target_m = self.world.drone.target_m
            if event.name == FOLLOW and target_m is not None:
                positions_m = self.world.walkers.positions_m
                self.log.on_coordinates(target_m, positions_m[0], positions_m[1:])

    def _take_pings(self) -> None:
        """Tell the drone of a ping or pong since the last call; in lock-step, a connection is enough."""
        linked_s = self._client.linked_s
        is_linked = self._client.is_connected if self._is_lock_step else linked_s > self._linked_s
        if is_linked:
            self.world.drone.on_link()
        self._linked_s = linked_s

    def _keep_connected(self, now_s: float) -> None:
        if self._faults.cuts(now_s):
            self._client.drop()
        if self._client.is_connected:
            return
        if self._reconnect_s is None:
            self._on_notice(f"disconnected ({self._client.close_reason}), next attempt in {RECONNECT_S:g} s")
            self._reconnect_s = now_s + RECONNECT_S
        elif now_s >= self._reconnect_s:
            try:
                self._client.connect()
            except OSError as error:
                if self._is_lock_step:
                    raise
                self._on_notice(f"no connection: {error_text(error)}")
                self._reconnect_s = now_s + RECONNECT_S
            else:
                self._reconnect_s = None
                self._on_notice("connected again")


def run(
    simulators: Sequence[QuadSim],
    duration_s: float,
    *,
    speed: float | None,
    on_frame: Callable[[QuadSim], None] = lambda _: None,
) -> None:
    """Fly several simulators side by side.

    Args:
        simulators: connected simulators.
        duration_s: simulated time.
        speed: simulated seconds per second; None for full speed, as in lock-step.
        on_frame: called after each step with the simulator that made it.

    Raises:
        OSError: as `QuadSim.advance`.
    """
    begin_s = time.monotonic()
    while (simulator := min(simulators, key=lambda each: each.next_s)).next_s < duration_s:
        if speed is not None:
            late_s = time.monotonic() - (begin_s + simulator.next_s / speed)
            if late_s < 0:
                time.sleep(-late_s)
            elif late_s > 1 / FRAMES_PER_S / speed:
                begin_s += late_s  # lost time is not made up for
        simulator.advance()
        on_frame(simulator)


def record_by_truth(
    world: World, recorder: Recorder, cameraman: Cameraman, duration_s: float, record_every_s: float
) -> Iterator[Observation]:
    """Record a flight without a server, at full speed.

    Args:
        world: world at its start.
        recorder: recorder of the frames.
        cameraman: director of the world's drone.
        duration_s: simulated time.
        record_every_s: simulated time between recorded frames.

    Yields:
        Each recorded frame.

    Raises:
        OSError: if a frame cannot be written.
    """
    directed = 0
    while (next_s := min(directed * DIRECT_EVERY_S, recorder.frames * record_every_s)) < duration_s:
        world.step(next_s - world.time_s)
        positions_m = world.walkers.positions_m
        if next_s == directed * DIRECT_EVERY_S:
            cameraman.direct(next_s, positions_m)
            directed += 1
        else:
            yield recorder.record(world, cameraman.camera_pose(positions_m))


def record_run(world: World, recorder: Recorder, seed: int, duration_s: float, record_every_s: float) -> int:
    """Record a flight without a server, with a progress bar; see `record_by_truth`.

    Args:
        world: world at its start.
        recorder: recorder of the frames.
        seed: decides the drone's tasks.
        duration_s: simulated time.
        record_every_s: simulated time between recorded frames.

    Returns:
        Number of frames that show the target.
    """
    cameraman = Cameraman(world.drone, np.random.default_rng([seed, 1]), world.lookalikes)
    frames = record_by_truth(world, recorder, cameraman, duration_s, record_every_s)
    count = math.ceil(duration_s / record_every_s)
    return sum(frame.truth.hero_px > 0 for frame in progress_bar(frames, desc="recording", unit=" frames", total=count))

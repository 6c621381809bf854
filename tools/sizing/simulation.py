"""Simulate drones, servers and a fleet: whether and when each frame is answered.

A frame passes the parts as in the real program: event loop → newest-frame slot of its drone → perception, which takes
up to `MOST_TOGETHER` frames → link → Serve's proxy → replica → link → perception, when all these frames are answered.
"""

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from tools.simulator.world import FRAMES_PER_S
from tools.sizing.fleet import MOST_TOGETHER, Fleet
from tools.sizing.queues import Line, ReplicaQueue, Timeline

# Frames that are sent in this time at the beginning, or in this time at the end, do not count.
WARM_UP_S, COOL_DOWN_S = 2.0, 1.0
LEAST_S = WARM_UP_S + COOL_DOWN_S + 1 / FRAMES_PER_S


class Outcome(NamedTuple):
    """Results for the frames that were sent between `WARM_UP_S` and `COOL_DOWN_S` before the end.

    Attributes:
        latencies_s: (N,) time from each answered frame to its command.
        sent: number of frames.
        answered: number of these frames with a command before the end.
        dropped: number of these frames that a newer frame of the drone replaced before their turn.
        failed: number of these frames whose answers were late.
    """

    latencies_s: np.ndarray
    sent: int
    answered: int
    dropped: int
    failed: int

    @property
    def answered_share(self) -> float:
        """Share of the sent frames that were answered."""
        return self.answered / self.sent

    def latency_s(self, percent: float) -> float:
        """A percentile of the latencies; NaN if nothing was answered."""
        return float(np.percentile(self.latencies_s, percent)) if len(self.latencies_s) else float("nan")


class Frame(NamedTuple):
    """A frame of a drone, and when it was sent."""

    drone: int
    sent_s: float


@dataclass(eq=False)
class Batch:
    """The frames that a server has sent together.

    Args:
        server: their server.
        frames: the frames.
        missing: number of their images that are not answered yet.
    """

    server: "Server"
    frames: Sequence[Frame]
    missing: int


class Server:
    """A server: the newest frame of each of its drones, and perception's round."""

    def __init__(self, timeline: Timeline, proxy: Line) -> None:
        self.loop, self.up, self.down = Line(timeline), Line(timeline), Line(timeline)
        self.proxy = proxy
        self.waiting: dict[int, Frame] = {}
        self.turns: dict[int, int] = {}
        self.latest_turn = 0
        self.batch: Batch | None = None


def simulate(fleet: Fleet, drones: int, seconds: float, seed: int = 0) -> Outcome:
    """Simulate a fleet.

    Args:
        fleet: its parts.
        drones: number of drones; they begin to send frames at random times.
        seconds: simulated time, above `LEAST_S`.
        seed: seed of the random choices.

    Raises:
        ValueError: if `seconds` is too short.
    """
    if not seconds > LEAST_S:
        raise ValueError(f"expected more than {LEAST_S:g} s, got {seconds:g}")
    return _Simulation(fleet, drones, seconds, seed).run()


class _Simulation:
    def __init__(self, fleet: Fleet, drones: int, seconds: float, seed: int) -> None:
        self._fleet, self._drones, self._seconds = fleet, drones, seconds
        self._random = random.Random(seed)
        self._timeline = Timeline()
        self._proxies = [Line(self._timeline) for _ in range(fleet.proxies)]
        self._servers = [Server(self._timeline, self._proxies[n % fleet.proxies]) for n in range(fleet.servers)]
        self._replicas: list[ReplicaQueue[Batch]] = []
        for _ in range(fleet.replicas):
            self._replicas.append(ReplicaQueue(self._timeline, fleet.replica, self._inferred))
        self._queued: deque[Batch] = deque()  # images at the proxies, while no replica takes more
        self._latencies_s: list[float] = []
        self._sent = self._dropped = self._failed = 0

    def run(self) -> Outcome:
        for drone in range(self._drones):
            self._timeline.at(self._random.random() / FRAMES_PER_S, partial(self._send, drone))
        self._timeline.run(self._seconds)
        return Outcome(np.array(self._latencies_s), self._sent, len(self._latencies_s), self._dropped, self._failed)

    def _is_counted(self, frame: Frame) -> bool:
        return WARM_UP_S <= frame.sent_s < self._seconds - COOL_DOWN_S

    def _send(self, drone: int) -> None:
        now_s = self._timeline.now_s
        self._timeline.at(now_s + 1 / FRAMES_PER_S, partial(self._send, drone))
        frame = Frame(drone, now_s)
        self._sent += self._is_counted(frame)
        server = self._servers[drone % len(self._servers)]
        server.loop.serve(self._fleet.loop_s, lambda: self._put_into_slot(server, frame))

    def _put_into_slot(self, server: Server, frame: Frame) -> None:
        older = server.waiting.get(frame.drone)
        if older is None:  # a drone that pauses saves up no turns
            server.turns[frame.drone] = max(server.turns.get(frame.drone, 0), server.latest_turn)
        else:
            self._dropped += self._is_counted(older)
        server.waiting[frame.drone] = frame
        if server.batch is None:
            self._begin_round(server)

    def _begin_round(self, server: Server) -> None:
        """Begin a round of perception with the frames whose turn it is, if there are any."""
        drones = sorted(server.waiting, key=server.turns.__getitem__)[:MOST_TOGETHER]
        server.batch = None
        if not drones:
            return
        server.latest_turn = server.turns[drones[-1]]
        for drone in drones:
            server.turns[drone] += 1
        frames = [server.waiting.pop(drone) for drone in drones]
        batch = server.batch = Batch(server, frames, len(frames))
        self._timeline.at(self._timeline.now_s + len(frames) * self._fleet.before_s, lambda: self._send_images(batch))

    def _send_images(self, batch: Batch) -> None:
        fleet, server = self._fleet, batch.server
        self._timeline.at(self._timeline.now_s + fleet.deadline_s, lambda: self._expire(batch))
        to_replica = partial(self._send_to_replica, batch)
        for _ in batch.frames:
            server.up.serve(fleet.request_s, lambda: server.proxy.serve(fleet.proxy_s, to_replica))

    def _send_to_replica(self, batch: Batch) -> None:
        """Give an image to the shorter queue of two replicas, as Serve does."""
        pair = self._random.sample(self._replicas, min(2, len(self._replicas)))
        replica = min(pair, key=lambda replica: replica.ongoing)
        if replica.ongoing >= self._fleet.replica.most_ongoing:
            self._queued.append(batch)
        else:
            replica.add(batch)

    def _inferred(self, batch: Batch) -> None:
        if self._queued:
            self._send_to_replica(self._queued.popleft())
        batch.server.down.serve(self._fleet.answer_s, lambda: self._answered(batch))

    def _answered(self, batch: Batch) -> None:
        batch.missing -= 1
        if batch.missing == 0 and batch.server.batch is batch:
            after_s = len(batch.frames) * self._fleet.after_s
            self._timeline.at(self._timeline.now_s + after_s, lambda: self._end_round(batch))

    def _end_round(self, batch: Batch) -> None:
        now_s = self._timeline.now_s
        self._latencies_s += [now_s - frame.sent_s for frame in batch.frames if self._is_counted(frame)]
        self._begin_round(batch.server)

    def _expire(self, batch: Batch) -> None:
        """Give up late answers; their images stay in the fleet's queues."""
        if batch.missing and batch.server.batch is batch:
            self._failed += sum(self._is_counted(frame) for frame in batch.frames)
            self._begin_round(batch.server)


def most_drones(fleet: Fleet, share: float, seconds: float, seed: int = 0) -> int:
    """The greatest number of drones with at least a share of their frames answered; 0 if one drone is too many.

    Args:
        fleet: its parts.
        share: least share of the frames, 0.8 to 1.
        seconds: as `simulate` takes it.
        seed: as `simulate` takes it.
    """
    # With a quarter more drones than the fullest part can serve, at most four fifths of the frames are answered.
    few, many = 0, math.ceil(1.25 * min(fleet.limits().values())) + fleet.servers
    while many - few > 1:
        drones = (few + many) // 2
        if simulate(fleet, drones, seconds, seed).answered_share >= share:
            few = drones
        else:
            many = drones
    return few

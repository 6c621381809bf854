"""The newest frame of each simulator, until its turn to be perceived.

The order of turns depends on the time that the frames of each slot have cost. A client that sends many or expensive
frames gets fewer turns, so that the other clients are hardly slowed down. Several frames may be in work at the same
time, but never two of the same slot: a frame cannot overtake an earlier frame of its simulator.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from server.sight.sight import Sight, View
from server.wire.messages import BadFrameError, Frame, SensorFrame

# Longest total decoding time of the frames in one batch, estimated from earlier frames. Without this limit, a frame
# would wait for all expensive frames of the batch before it and of its own batch.
DECODED_TOGETHER_S = 0.02


class Spent(NamedTuple):
    """How a frame's time was spent, s: waiting for its turn, decoding its camera image, inference of its batch."""

    queue_s: float
    decode_s: float
    inference_s: float


class Perceived(NamedTuple):
    """The outcome of a frame: a view, an error that its sender made, or None if perception itself failed."""

    frame: Frame
    outcome: View | BadFrameError | None
    spent: Spent | None = None


class Slot:
    """Holds the newest frame of one simulator until its turn.

    Args:
        queue: the queue that this slot belongs to.
        deliver: called with the outcome of each frame that was not dropped.
    """

    def __init__(self, queue: "FrameQueue", deliver: Callable[[Perceived], None]) -> None:
        self._queue, self.deliver = queue, deliver
        self.turn_s = 0.0  # virtual time of the fair queue, see `FrameQueue`
        self.cost_s = math.inf  # time of decoding the latest frame; infinite before the first

    def put(self, frame: Frame, content: SensorFrame) -> Frame | None:
        """Hand in the newest frame. The simulator keeps its turn.

        Returns:
            The older frame that was still waiting and is now dropped; None if no frame was waiting.
        """
        return self._queue.put(self, frame, content)

    def close(self) -> None:
        """Drop the waiting frame, because the simulator has disconnected."""
        self._queue.withdraw(self)


class Depth(NamedTuple):
    """A decoded depth image, (H, W) uint8 or None, or the error of decoding it; and the time that decoding took."""

    outcome: np.ndarray | BadFrameError | None
    cost_s: float


@dataclass
class Waiting:
    """A frame that waits for its turn; `depth` is the future of its depth image, None before decoding has begun."""

    frame: Frame
    content: SensorFrame
    depth: "Future[Depth] | None" = None


@dataclass(eq=False)
class Work:
    """Frames whose turn it is.

    Args:
        since_s: when their turn began, monotonic s.
        sight: the sight that sees them.
        batch: the frames, each of another slot.
        others_wait: whether more frames were waiting at `since_s`.
    """

    since_s: float
    sight: Sight
    batch: Sequence[tuple[Slot, Waiting]]
    others_wait: bool


class FrameQueue:
    """Gives frames to the threads that perceive them.

    Turns: each slot has a virtual time, to which the cost of each of its frames is added. The slot with the earliest
    time is next. A slot that was idle begins at the time of the latest turn, so that no slot can save up turns.
    Source: Goyal, Vin, Cheng, Start-time fair queueing, 1996.

    Args:
        sight: the first sight. Its engine says how many batches may be in work at the same time.
        begin_depth: begins to decode a frame's depth image in another thread.

    Attributes:
        sight: the sight in use now.
    """

    def __init__(self, sight: Sight, begin_depth: "Callable[[Sight, SensorFrame], Future[Depth]]") -> None:
        self.sight, self._begin_depth = sight, begin_depth
        self._changed = threading.Condition()  # guards all attributes below
        self._waiting: dict[Slot, Waiting] = {}
        self._works: list[Work] = []
        self._latest_turn_s = 0.0
        self._next_sight: tuple[Sight, Callable[[], None]] | None = None
        self._is_closed = False

    def put(self, slot: Slot, frame: Frame, content: SensorFrame) -> Frame | None:
        """See `Slot.put`."""
        waiting = Waiting(frame, content)
        with self._changed:
            older = self._waiting.get(slot)
            if not self._waiting and self._may_take() and not self._is_in_work(slot):
                # The frame's turn is now. To begin here rather than in perception's thread saves 0.8 of 8 ms.
                waiting.depth = self._begin_depth(self.sight, content)
            if older is None:
                slot.turn_s = max(slot.turn_s, self._latest_turn_s)
            self._waiting[slot] = waiting
            self._changed.notify()
        if older is None:
            return None
        if older.depth is not None:
            older.depth.cancel()
        return older.frame

    def withdraw(self, slot: Slot) -> None:
        """See `Slot.close`."""
        with self._changed:
            waiting = self._waiting.pop(slot, None)
        if waiting is not None and waiting.depth is not None:
            waiting.depth.cancel()

    def exchange(self, sight: Sight, done: Callable[[], None]) -> None:
        """Use another sight for all frames whose turn begins from now on.

        Args:
            sight: the new sight.
            done: called from a thread of perception, after the last frame of the former sight is delivered and before
                the first frame of the new sight is taken; must not block.
        """
        with self._changed:
            self._next_sight = sight, done
            self._changed.notify()

    def close(self) -> None:
        """Give out no more work."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def take(self) -> Work | None:
        """Wait for work; None after `close`."""
        with self._changed:
            while True:
                if self._next_sight is not None and not self._works:
                    (self.sight, done), self._next_sight = self._next_sight, None
                    done()
                    self._changed.notify_all()
                if self._is_closed:
                    return None
                if self._may_take() and (slots := self._next_slots()):
                    break
                self._changed.wait()
            self._latest_turn_s = slots[-1].turn_s
            batch = [(slot, self._waiting.pop(slot)) for slot in slots]
            work = Work(time.monotonic(), self.sight, batch, others_wait=bool(self._waiting))
            self._works.append(work)
        for _, waiting in batch:
            if waiting.depth is None:
                waiting.depth = self._begin_depth(work.sight, waiting.content)
        return work

    def finish(self, work: Work) -> None:
        """Note that all of the work has been delivered."""
        with self._changed:
            self._works.remove(work)

    def charge(self, slot: Slot, cost_s: float) -> None:
        """Note what a slot's frame has cost."""
        with self._changed:
            slot.turn_s += cost_s

    @property
    def busy_s(self) -> float:
        """Seconds since the oldest unfinished work began; 0 without unfinished work."""
        with self._changed:
            return time.monotonic() - self._works[0].since_s if self._works else 0.0

    def _may_take(self) -> bool:
        """Whether another batch may be taken now."""
        return self._next_sight is None and len(self._works) < self.sight.engine.most_at_once

    def _is_in_work(self, slot: Slot) -> bool:
        return any(slot is other for work in self._works for other, _ in work.batch)

    def _next_slots(self) -> list[Slot]:
        """The slots of the next batch: the slot whose turn it is, and those that share the batch with it."""
        ready = sorted((slot for slot in self._waiting if not self._is_in_work(slot)), key=lambda slot: slot.turn_s)
        slots: list[Slot] = []
        cost_s = 0.0
        for slot in ready:
            has_room = len(slots) < self.sight.engine.most_per_batch and cost_s + slot.cost_s <= DECODED_TOGETHER_S
            if not slots or has_room:
                slots.append(slot)
                cost_s += slot.cost_s
        return slots

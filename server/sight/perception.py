"""The threads around `Sight`: the newest frame of each simulator in, views out.

The event loop puts frames into slots and never waits; results are delivered back by a callback. Each slot holds only
the newest frame of its simulator. Slots take turns by the time that their frames have cost, so that a client whose
frames are expensive or many gets fewer turns and the others notice little of it.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.engines.engine import UnavailableError
from server.sight.images import Size
from server.sight.region import Region
from server.sight.sight import Sight, View
from server.supervision import Faults
from server.wire.messages import BadFrameError, Frame, SensorFrame

# Longest time of decoding for frames that share a batch, as far as earlier frames tell. Without it, a frame would wait
# for all expensive ones in the batch before and in its own.
DECODED_TOGETHER_S = 0.02
# How long a failure of perception is told when no frame comes that would show it mended.
FAILURE_TOLD_S = 10.0


class Spent(NamedTuple):
    """Where a frame's time went, seconds: until its turn, on its camera image, and in the network with its batch."""

    queue_s: float
    decode_s: float
    inference_s: float


class Perceived(NamedTuple):
    """What came of a frame: a view, an error that its sender made, or None if perception itself failed."""

    frame: Frame
    outcome: View | BadFrameError | None
    spent: Spent | None = None


class Slot:
    """Holds the newest frame of one simulator until its turn. Made by `Perception.open_slot`."""

    def __init__(self, perception: "Perception", deliver: Callable[[Perceived], None]) -> None:
        self._perception, self.deliver = perception, deliver
        self.turn_s = 0.0  # of the fair queue: see `Perception`
        self.cost_s = math.inf  # of decoding its latest frame; unknown before

    def put(self, frame: Frame, content: SensorFrame) -> Frame | None:
        """Hand in the newest frame, keeping the simulator's turn.

        Returns:
            The older frame that was still waiting and has been dropped for it; None if there was none.
        """
        return self._perception.submit(self, frame, content)

    def close(self) -> None:
        """Drop what waits: the simulator has gone."""
        self._perception.withdraw(self)


class _Depth(NamedTuple):
    """A decoded depth image, (H, W) uint8 or None, or why it can't be decoded; and the time that it took."""

    outcome: np.ndarray | BadFrameError | None
    cost_s: float


@dataclass
class _Waiting:
    """A frame that waits for its turn; `depth` is its depth image being decoded, None before that has begun."""

    frame: Frame
    content: SensorFrame
    depth: "Future[_Depth] | None" = None


class _Decoded(NamedTuple):
    """A frame whose camera image is decoded, (px, px, 3) uint8 RGB, and the part of it to look at; None: all."""

    slot: Slot
    waiting: _Waiting
    image: np.ndarray
    size: Size
    region: Region | None
    spent: Spent


class Perception:
    """The network and what follows it, in a thread of its own, fed with the newest frame of each simulator.

    Turns: each slot has a virtual time that its frames' costs move on; the slot with the earliest time is next. A slot
    that was idle begins at the time of the latest turn, so that nobody saves turns up.
    Source: Goyal, Vin, Cheng, Start-time fair queueing, 1996.

    Args:
        sight: what sees; only this object's thread calls it.
        faults: where failures are reported.

    Attributes:
        sight: what sees now.
    """

    def __init__(self, sight: Sight, faults: Faults) -> None:
        self.sight = sight
        self._faults = faults
        # Guards all below it.
        self._changed = threading.Condition()
        self._waiting: dict[Slot, _Waiting] = {}
        self._latest_turn_s = 0.0
        self._busy_since_s: float | None = None
        self._failed_at_s: float | None = None
        self._next_sight: tuple[Sight, Callable[[], None]] | None = None
        self._is_stopping = False
        # Decodes depth images, beside the camera image and inference.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="depth")
        self._thread = threading.Thread(target=self._run, name="perception", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 0.3) -> None:
        """Finish the frame in work and end the thread; give up on a stalled one after `timeout_s`."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def open_slot(self, deliver: Callable[[Perceived], None]) -> Slot:
        """A slot for a new simulator.

        Args:
            deliver: called from perception's thread with what came of each frame that was not dropped; must not block.
        """
        return Slot(self, deliver)

    def submit(self, slot: Slot, frame: Frame, content: SensorFrame) -> Frame | None:
        """See `Slot.put`."""
        waiting = _Waiting(frame, content)
        with self._changed:
            older = self._waiting.get(slot)
            if not self._waiting and self._busy_since_s is None:
                # Its turn is now. Begun here rather than in perception's thread: done 0.8 of 8 ms sooner.
                waiting.depth = self._pool.submit(_decode_depth, self.sight, content)
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
        """Have all frames whose turn comes from now on seen by another sight.

        Args:
            sight: sees from then on.
            done: called from perception's thread when the frames before have been delivered, and none after; must not
                block.
        """
        with self._changed:
            self._next_sight = sight, done
            self._changed.notify()

    def trouble(self, patience_s: float) -> str | None:
        """What is wrong with perception, in words; None if nothing is.

        Args:
            patience_s: how long one batch may take before it counts as stalled.
        """
        with self._changed:
            if not self._thread.is_alive():
                return "perception is not running"
            if self._busy_since_s is not None and time.monotonic() - self._busy_since_s > patience_s:
                return f"perception has stalled for {time.monotonic() - self._busy_since_s:.1f} s"
            if self._failed_at_s is not None and time.monotonic() - self._failed_at_s < FAILURE_TOLD_S:
                return "perception failed on the last frame"
            return None

    def _run(self) -> None:
        while batch := self._take():
            results = self._perceive(batch)
            has_failed = any(perceived.outcome is None for _, perceived in results)
            with self._changed:
                self._busy_since_s = None
                self._failed_at_s = time.monotonic() if has_failed else None
            for slot, perceived in results:
                with self._faults.contained("delivery"):
                    slot.deliver(perceived)

    def _take(self) -> list[tuple[Slot, _Waiting]]:
        with self._changed:
            while True:
                if self._next_sight is not None:
                    (self.sight, done), self._next_sight = self._next_sight, None
                    done()
                if self._waiting or self._is_stopping:
                    break
                self._changed.wait()
            if self._is_stopping:
                return []
            slots = self._next_slots()
            self._busy_since_s = time.monotonic()
            self._latest_turn_s = slots[-1].turn_s
            batch = [(slot, self._waiting.pop(slot)) for slot in slots]
        for _, waiting in batch:
            if waiting.depth is None:
                waiting.depth = self._pool.submit(_decode_depth, self.sight, waiting.content)
        return batch

    def _next_slots(self) -> list[Slot]:
        """Whose turn it is, and who shares it."""
        first, *others = sorted(self._waiting, key=lambda slot: slot.turn_s)
        slots, cost_s = [first], first.cost_s
        for slot in others:
            if len(slots) < self.sight.engine.most_per_batch and cost_s + slot.cost_s <= DECODED_TOGETHER_S:
                slots.append(slot)
                cost_s += slot.cost_s
        return slots

    def _charge(self, slot: Slot, cost_s: float) -> None:
        with self._changed:
            slot.turn_s += cost_s

    def _perceive(self, batch: Sequence[tuple[Slot, _Waiting]]) -> list[tuple[Slot, Perceived]]:
        """What comes of each frame of a batch, in any order; a failure is that frame's alone where that can be told."""
        results: list[tuple[Slot, Perceived]] = []
        decoded: list[_Decoded] = []
        taken_s = time.monotonic()
        for slot, waiting in batch:
            begun_s = time.monotonic()
            outcome: BadFrameError | None = None
            with self._faults.contained("perception"):
                try:
                    image, size = self.sight.decode(waiting.content)
                    region = self.sight.region(waiting.frame, size)
                    spent = Spent(taken_s - waiting.frame.arrival_s, time.monotonic() - begun_s, inference_s=0.0)
                    decoded.append(_Decoded(slot, waiting, image, size, region, spent))
                    continue
                except BadFrameError as error:
                    outcome = error.as_value()
            slot.cost_s = time.monotonic() - begun_s
            self._charge(slot, slot.cost_s)
            results.append((slot, Perceived(waiting.frame, outcome)))
        if decoded:
            results += self._infer(decoded)
        return results

    def _infer(self, decoded: Sequence[_Decoded]) -> list[tuple[Slot, Perceived]]:
        begun_s = time.monotonic()
        probabilities = None
        with self._faults.contained("perception"), contextlib.suppress(UnavailableError):  # which the engine tells
            probabilities = self.sight.infer([each.image for each in decoded], [each.region for each in decoded])
        inference_s = time.monotonic() - begun_s
        results = []
        for number, (slot, waiting, image, size, region, spent) in enumerate(decoded):
            outcome: View | BadFrameError | None = None
            if probabilities is not None:
                with self._faults.contained("perception"):
                    assert waiting.depth is not None
                    depth = waiting.depth.result()
                    slot.cost_s = spent.decode_s + depth.cost_s
                    self._charge(slot, depth.cost_s)
                    if isinstance(depth.outcome, BadFrameError):
                        outcome = depth.outcome
                    else:
                        outcome = self.sight.find(
                            waiting.frame, image, size, probabilities[number], depth.outcome, region
                        )
            self._charge(slot, spent.decode_s + inference_s / len(decoded))
            results.append((slot, Perceived(waiting.frame, outcome, spent._replace(inference_s=inference_s))))
        return results


def _decode_depth(sight: Sight, content: SensorFrame) -> _Depth:
    begun_s = time.monotonic()
    try:
        outcome: np.ndarray | BadFrameError | None = sight.decode_depth(content)
    except BadFrameError as error:
        outcome = error.as_value()
    return _Depth(outcome, time.monotonic() - begun_s)

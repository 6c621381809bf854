"""The threads around `Sight`: the newest frame of each simulator in, views out.

The event loop puts frames into slots and never waits. A callback delivers the results. Each slot holds only the newest
frame of its simulator (`server.sight.frame_queue`).
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from model.engines.engine import UnavailableError
from server.sight.frame_queue import Depth, FrameQueue, Perceived, Slot, Spent, Waiting, Work
from server.sight.images import Size
from server.sight.region import Region
from server.sight.sight import Sight, View
from server.supervision import Faults
from server.wire.messages import BadFrameError, SensorFrame

# How long a failure is reported while no later frame succeeds.
FAILURE_TOLD_S = 10.0


class _Decoded(NamedTuple):
    """A frame with its decoded camera image, (px, px, 3) uint8 RGB. `region` is the part to look at; None for all."""

    slot: Slot
    waiting: Waiting
    image: np.ndarray
    size: Size
    region: Region | None
    spent: Spent


class Perception:
    """Threads that run the network and find people, on the newest frame of each simulator.

    Args:
        sight: the sight that sees the frames; only this object's threads call it.
        faults: where failures are reported.
    """

    def __init__(self, sight: Sight, faults: Faults) -> None:
        self._queue = FrameQueue(sight, self._begin_depth)
        self._faults = faults
        self._failed_at_s: float | None = None
        # Decodes depth images while other threads decode camera images and run the network.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="depth")
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()  # guards the growth of the list above

    @property
    def sight(self) -> Sight:
        """The sight in use now."""
        return self._queue.sight

    def start(self) -> None:
        """Start the threads."""
        self._start_threads(self.sight)

    def stop(self, timeout_s: float = 0.3) -> None:
        """Finish the frames in work and end the threads; give up on stalled ones after `timeout_s`."""
        self._queue.close()
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def open_slot(self, deliver: Callable[[Perceived], None]) -> Slot:
        """A slot for a new simulator.

        Args:
            deliver: called from a thread of perception with the outcome of each frame that was not dropped; must not
                block.
        """
        return Slot(self._queue, deliver)

    def exchange(self, sight: Sight, done: Callable[[], None]) -> None:
        """See `FrameQueue.exchange`."""
        self._start_threads(sight)
        self._queue.exchange(sight, done)

    def trouble(self, patience_s: float) -> str | None:
        """A message that says what is wrong with perception; None if nothing is wrong.

        The message stays the same while the trouble lasts, because a screen reader reads the page's line again
        whenever it changes.

        Args:
            patience_s: how long one batch may take before it counts as stalled.
        """
        if not (self._threads and all(thread.is_alive() for thread in self._threads)):
            return "perception is not running"
        failed_at_s = self._failed_at_s
        if self._queue.busy_s > patience_s:
            return f"perception has stalled for more than {patience_s:g} s"
        if failed_at_s is not None and time.monotonic() - failed_at_s < FAILURE_TOLD_S:
            return "perception failed on the last frame"
        return None

    def _start_threads(self, sight: Sight) -> None:
        """Start threads until there are as many as a sight can use. No thread ends before `stop`."""
        with self._starting:
            while len(self._threads) < sight.engine.most_at_once:
                name = f"perception {len(self._threads) + 1}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def _run(self) -> None:
        while (work := self._queue.take()) is not None:
            with self._faults.contained("perception"):  # there may be no memory for a thread
                self._start_threads(work.sight)  # a remote engine can use more once a local engine takes over
            results = self._perceive(work)
            outcomes = [perceived.outcome for _, perceived in results]
            if None in outcomes:
                self._failed_at_s = time.monotonic()
            elif any(isinstance(outcome, View) for outcome in outcomes):  # a bad image says nothing of perception
                self._failed_at_s = None
            for slot, perceived in results:
                with self._faults.contained("delivery"):
                    slot.deliver(perceived)
            self._queue.finish(work)

    def _begin_depth(self, sight: Sight, content: SensorFrame) -> "Future[Depth]":
        try:
            return self._pool.submit(_decode_depth, sight, content)
        except RuntimeError as error:  # no memory for its thread: the frame fails where its depth is needed
            failed = Future[Depth]()
            failed.set_exception(error)
            return failed

    def _perceive(self, work: Work) -> list[tuple[Slot, Perceived]]:
        """The outcome of each frame of a batch, in any order. A failure affects only its own frame where possible."""
        results: list[tuple[Slot, Perceived]] = []
        decoded: list[_Decoded] = []
        for slot, waiting in work.batch:
            begun_s = time.monotonic()
            found = self._decode(work, slot, waiting, begun_s)
            if isinstance(found, _Decoded):
                decoded.append(found)
            else:
                slot.cost_s = time.monotonic() - begun_s
                self._queue.charge(slot, slot.cost_s)
                results.append((slot, Perceived(waiting.frame, found)))
        if decoded:
            results += self._infer(work.sight, decoded)
        return results

    def _decode(self, work: Work, slot: Slot, waiting: Waiting, begun_s: float) -> _Decoded | BadFrameError | None:
        """The frame with its decoded camera image, the error that its sender made, or None for an error of our own."""
        with self._faults.contained("perception"):
            try:
                image, size = work.sight.decode(waiting.content)
                region = work.sight.region(waiting.frame, size, is_busy=work.others_wait)
                spent = Spent(work.since_s - waiting.frame.arrival_s, time.monotonic() - begun_s, inference_s=0.0)
                return _Decoded(slot, waiting, image, size, region, spent)
            except BadFrameError as error:
                return error.as_value()
        return None

    def _infer(self, sight: Sight, decoded: Sequence[_Decoded]) -> list[tuple[Slot, Perceived]]:
        begun_s = time.monotonic()
        probabilities = None
        with self._faults.contained("perception"), contextlib.suppress(UnavailableError):  # the engine reports this one
            probabilities = sight.infer([each.image for each in decoded], [each.region for each in decoded])
        inference_s = time.monotonic() - begun_s
        results = []
        for number, each in enumerate(decoded):
            outcome = None if probabilities is None else self._find(sight, each, probabilities, number)
            self._queue.charge(each.slot, each.spent.decode_s + inference_s / len(decoded))
            spent = each.spent._replace(inference_s=inference_s)
            results.append((each.slot, Perceived(each.waiting.frame, outcome, spent)))
        return results

    def _find(
        self, sight: Sight, decoded: _Decoded, probabilities: Sequence[np.ndarray], number: int
    ) -> View | BadFrameError | None:
        """The view of the frame with this number in its batch, its sender's error, or None for an error of our own."""
        slot, waiting, image, size, region, spent = decoded
        with self._faults.contained("perception"):
            assert waiting.depth is not None
            depth = waiting.depth.result()
            slot.cost_s = spent.decode_s + depth.cost_s
            self._queue.charge(slot, depth.cost_s)
            if isinstance(depth.outcome, BadFrameError):
                return depth.outcome
            return sight.find(waiting.frame, image, size, probabilities[number], depth.outcome, region)
        return None


def _decode_depth(sight: Sight, content: SensorFrame) -> Depth:
    begun_s = time.monotonic()
    try:
        outcome: np.ndarray | BadFrameError | None = sight.decode_depth(content)
    except BadFrameError as error:
        outcome = error.as_value()
    return Depth(outcome, time.monotonic() - begun_s)

"""The parts of a discrete-event simulation: events in the order of their times, and queues of busy parts."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from tools.sizing.fleet import Replica

Image = TypeVar("Image")


class Timeline:
    """Runs events in the order of their times; events of the same time run in the order in which they were planned.

    Attributes:
        now_s: time of the event that runs.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, time_s: float, event: Callable[[], None]) -> None:
        """Plan an event for a time that has not passed."""
        heapq.heappush(self._planned, (time_s, next(self._numbers), event))

    def run(self, until_s: float) -> None:
        """Run all events before a time, and those that they plan."""
        while self._planned and self._planned[0][0] < until_s:
            self.now_s, _, event = heapq.heappop(self._planned)
            event()


class Line:
    """A part that serves one request after the other, in the order of arrival."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline, self._free_s = timeline, 0.0

    def serve(self, service_s: float, then: Callable[[], None]) -> None:
        """Serve a request that arrives now, and call `then` after that."""
        self._free_s = max(self._free_s, self._timeline.now_s) + service_s
        self._timeline.at(self._free_s, then)


class ReplicaQueue(Generic[Image]):
    """A replica and the images that it has: while one batch is inferred, the next one collects.

    Args:
        timeline: of the simulation.
        replica: its times.
        done: called with each image of a batch that is inferred.

    Attributes:
        ongoing: number of its images, waiting and in work.
    """

    def __init__(self, timeline: Timeline, replica: Replica, done: Callable[[Image], None]) -> None:
        self._timeline, self._replica, self._done = timeline, replica, done
        self._waiting: deque[Image] = deque()
        self._is_busy = False
        self._patient_until_s = 0.0  # when an idle replica stops waiting for more images
        self.ongoing = 0

    def add(self, image: Image) -> None:
        """Take an image that arrives now."""
        self.ongoing += 1
        self._waiting.append(image)
        if not self._is_busy and len(self._waiting) == 1:
            self._collect()
        self._begin()

    def _collect(self) -> None:
        self._patient_until_s = self._timeline.now_s + self._replica.wait_s
        if self._replica.wait_s:
            self._timeline.at(self._patient_until_s, self._begin)

    def _begin(self) -> None:
        """Begin a batch if the replica is idle, and the batch is full or need not wait any longer."""
        if self._is_busy or not self._waiting:
            return
        images = min(len(self._waiting), self._replica.most_per_batch)
        if images < self._replica.most_per_batch and self._timeline.now_s < self._patient_until_s:
            return
        self._is_busy = True
        batch = [self._waiting.popleft() for _ in range(images)]

        def end() -> None:
            self._is_busy = False
            self.ongoing -= images
            if self._waiting:
                self._collect()
            self._begin()
            for image in batch:
                self._done(image)

        self._timeline.at(self._timeline.now_s + self._replica.service_s(images), end)

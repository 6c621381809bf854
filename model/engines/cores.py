"""Assign the CPU's cores to images: a single image gets all cores, several images share them.

All cores together finish a single image soonest. Sharing takes the least CPU time, because no core waits for another
core at the end of each layer.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

# For this time after images shared the cores, the next images share them, too, because more may follow. Chosen with 24
# QuadSims on two cores: 11.5 ms of CPU time per frame instead of 13.2 ms, because fewer threads wait for each other.
SHARED_S = 0.5


class Requests(NamedTuple):
    """OpenVINO's requests, for whole images, (px, px), and for parts, `Engine.part_px`; for one thread at a time."""

    whole: Any
    part: Any


class Cores:
    """Gives requests to threads.

    Args:
        on_all: requests that infer on all cores.
        on_some: requests that infer at the same time, each on some of the cores; empty if cores are not shared.

    Attributes:
        most_at_once: how many threads may infer at the same time; further threads wait.
    """

    def __init__(self, on_all: Requests, on_some: Sequence[Requests]) -> None:
        self.most_at_once = max(1, len(on_some))
        self._on_all, self._on_some = on_all, list(on_some)
        self._at_work = 0
        self._shared_s = -math.inf
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self) -> Iterator[Requests]:
        """Requests for this thread alone until the block ends.

        They use all cores, unless another thread has requests now, or threads shared the cores within `SHARED_S`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._at_work < self.most_at_once)
            now_s = time.monotonic()
            if self._at_work:
                self._shared_s = now_s
            is_alone = now_s - self._shared_s > SHARED_S
            requests = self._on_all if is_alone else self._on_some.pop()
            self._at_work += 1
        try:
            yield requests
        finally:
            with self._changed:
                self._at_work -= 1
                if requests is not self._on_all:
                    self._on_some.append(requests)
                self._changed.notify()

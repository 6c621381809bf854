"""Who infers on which cores: an image that is alone has all of them, which is soonest; several images share them.

Sharing is cheapest: no core waits for another at the end of each layer.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

# For this long after images have shared the cores, the next ones share them too: more may follow. Chosen with 24
# QuadSims on two cores: 11.5 ms of CPU time a frame rather than 13.2 without it, as fewer threads wait for each other.
SHARED_S = 0.5


class Requests(NamedTuple):
    """OpenVINO's, which infer a whole image and a part of one, (px, px) and `Engine.part_px`; one at a time."""

    whole: Any
    part: Any


class Cores:
    """Gives requests to threads.

    Args:
        on_all: infer on all cores.
        on_some: infer at the same time on some of the cores each; empty if there is nothing to share.

    Attributes:
        most_at_once: how many threads may infer at the same time; more wait.
    """

    def __init__(self, on_all: Requests, on_some: Sequence[Requests]) -> None:
        self.most_at_once = max(1, len(on_some))
        self._on_all, self._on_some = on_all, list(on_some)
        self._at_work = 0
        self._shared_s = -math.inf
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self) -> Iterator[Requests]:
        """Requests for this thread alone until the block ends: on all cores if no other thread has or had any."""
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

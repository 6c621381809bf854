"""Our own errors: contained where they happen, logged with their traceback, counted. Everything else goes on.

Clients' mistakes are reported in `server.wire.complaints` instead.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

logger = logging.getLogger(__name__)

# Least time between two logged tracebacks of a place. A fault may occur with each of 100 frames a second.
REPEAT_AFTER_S = 10.0


class Faults:
    """Counts errors of our own code by the place where they happened. Any thread may report.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._logged_s: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """Faults so far, by place."""
        with self._lock:
            return dict(self._counts)

    def report(self, place: str, error: Exception) -> None:
        """Log and count an error.

        Args:
            place: one of few names, such as "tick"; a label in /metrics.
            error: as caught.
        """
        with self._lock:
            self._counts[place] += 1
            now_s = self._clock()
            if now_s - self._logged_s.get(place, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
                self._left_out[place] += 1
                return
            self._logged_s[place] = now_s
            left_out = self._left_out.pop(place, 0)
        more = f" ({left_out} more since the last report)" if left_out else ""
        logger.error("internal error in %s%s: %r", place, more, error, exc_info=error)

    def contained(self, place: str, then: Callable[[], None] | None = None) -> "_Contained":
        """A context that reports an exception of its block, and suppresses it.

        Args:
            place: as for `report`.
            then: called after a fault, to bring the drone concerned into a safe state; its errors are contained, too.
        """
        return _Contained(self, place, then)


class _Contained:
    """See `Faults.contained`. A class takes a fifth of a generator's time, and each frame passes many of them."""

    __slots__ = ("_faults", "_place", "_then")

    def __init__(self, faults: Faults, place: str, then: Callable[[], None] | None) -> None:
        self._faults, self._place, self._then = faults, place, then

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._faults.report(self._place, error)
        if self._then is not None:
            with self._faults.contained(self._place):
                self._then()
        return True

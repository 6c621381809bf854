"""Warnings about malformed data from clients: one line each, limited in number."""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

# A QuadSim sends five frames a second, and a QuadSim that is not served reconnects 200 times a second.
REPEAT_AFTER_S = 10.0
MOST_PER_INTERVAL = 50
# The session name of the server's own complaints. These have few fields, and clients cannot displace them.
SERVER = "server"


class RateLimitedWarnings:
    """Logs the first complaint of each (session, field) at once and its repetitions as a count.

    Args:
        clock: monotonic seconds.

    Attributes:
        listeners: called like `warn` with every complaint, repetitions included.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.listeners: list[Callable[[str, str, str, str], None]] = []
        self._since_s = clock()
        self._logged: dict[tuple[str, str], int] = {}
        self._clients = self._left_out = 0

    def warn(self, session: str, field: str, expected: str, received: str) -> None:
        """Report that `session` sent a `field` that is not as expected."""
        for listener in self.listeners:
            listener(session, field, expected, received)
        now_s = self._clock()
        if now_s - self._since_s >= REPEAT_AFTER_S:
            self._flush(now_s)
        key = (session, field)
        if key in self._logged:
            self._logged[key] += 1
        elif session == SERVER or self._clients < MOST_PER_INTERVAL:
            self._clients += session != SERVER
            self._logged[key] = 0
            logger.warning("[%s] %s: expected %s, got %s", session, field, expected, received)
        else:
            self._left_out += 1

    def _flush(self, now_s: float) -> None:
        for (session, field), count in self._logged.items():
            if count:
                logger.warning("[%s] %s: %d more of the same", session, field, count)
        if self._left_out:
            logger.warning("%d more warnings from further sessions and fields", self._left_out)
        self._logged.clear()
        self._clients = self._left_out = 0
        self._since_s = now_s

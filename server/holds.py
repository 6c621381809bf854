"""Holds that outlast the connection: QuadSim reconnects by itself, and must not fly off its hold that way."""

import time
from collections.abc import Callable

# Long enough for a restart of the simulator.
HOLD_KEPT_S = 60.0


class KeptHolds:
    """Client addresses from which a new simulator starts on hold, for one on hold has left.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s: dict[str, float] = {}

    def __contains__(self, host: str) -> bool:
        return self._clock() < self._until_s.get(host, 0.0)

    def __len__(self) -> int:
        return len(self._until_s)

    @property
    def hosts(self) -> list[str]:
        """The addresses."""
        return [host for host in self._until_s if host in self]

    def keep(self, host: str) -> None:
        """Note that a simulator on hold has left, and forget those of which that is long ago."""
        now_s = self._clock()
        self._until_s = {each: until_s for each, until_s in self._until_s.items() if now_s < until_s}
        self._until_s[host] = now_s + HOLD_KEPT_S

    def drop(self, host: str) -> None:
        """Forget a hold: the user has released a simulator of this address."""
        self._until_s.pop(host, None)

"""Holds that outlast a connection. QuadSim reconnects by itself, and the new connection must stay on hold."""

import time
from collections.abc import Callable

# How long a hold is kept; long enough for a restart of the simulator.
HOLD_KEPT_S = 60.0


class KeptHolds:
    """Holds to restore: client addresses from which a new simulator starts on hold.

    Each simulator that left this process on hold puts one new simulator on hold. A hold in another process has no
    count: it applies to every new simulator from its address until it ends or expires.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_until_s: list[tuple[str, float]] = []
        self._elsewhere_until_s: dict[str, float] = {}

    def __contains__(self, host: str) -> bool:
        return host in self.hosts

    def __len__(self) -> int:
        return len(self._left_until_s) + len(self._elsewhere_until_s)

    @property
    def hosts(self) -> list[str]:
        """The addresses from which a new simulator starts on hold."""
        kept = [*self._left_until_s, *self._elsewhere_until_s.items()]
        return list(dict.fromkeys(host for host, until_s in kept if self._clock() < until_s))

    def keep(self, host: str) -> None:
        """Note that a simulator on hold has left."""
        self._left_until_s.append((host, self._clock() + HOLD_KEPT_S))

    def take_over(self, host: str) -> bool:
        """Note that a new simulator of this address has connected. It takes over the hold of a simulator that has left.

        Returns:
            Whether it starts on hold.
        """
        self._forget()
        is_kept = host in self
        first = next((kept for kept in self._left_until_s if kept[0] == host), None)
        if first is not None:
            self._left_until_s.remove(first)
        return is_kept

    def drop(self, host: str) -> None:
        """Forget a hold in another process, because the user has released a simulator of this address."""
        self._elsewhere_until_s.pop(host, None)

    def note_elsewhere(self, host: str, is_held: bool) -> None:
        """Note a hold or a release in another process.

        The simulator released there may be one that left this process on hold, so a release also ends one hold here.
        """
        if is_held:
            self._forget()
            self._elsewhere_until_s[host] = self._clock() + HOLD_KEPT_S
        else:
            self.drop(host)
            self.take_over(host)

    def _forget(self) -> None:
        """Forget holds that have expired."""
        now_s = self._clock()
        self._left_until_s = [kept for kept in self._left_until_s if now_s < kept[1]]
        self._elsewhere_until_s = {
            host: until_s for host, until_s in self._elsewhere_until_s.items() if now_s < until_s
        }

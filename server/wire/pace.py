"""Turns on the event loop: clients that keep the loop busy wait for each other, so that other clients hardly wait.

Every client that has sent data gets a turn in each round of the loop. With ten clients that send without end, a round
would take 20 ms, and a frame needs some seven rounds. Therefore a client that sends faster than it is read counts as
busy until all its data is read. Only one of the busy clients has a turn in each round, which then takes 2 ms. The data
of the other busy clients waits in the network, where it costs nothing.

Even on a slow machine, a client that sends as a QuadSim does is not busy: its frame is read long before the next comes.
"""

import time
from collections import deque
from collections.abc import Callable

from server.wire.green import eventlet

# A client is busy if its data is not all read after this many turns. A QuadSim's frame takes 3 to 6 turns of 32 kB.
MOST_TURNS = 12
# A turn is over after this processor time of the loop's thread, even if more data of the client has arrived.
TURN_S = 0.002
# The loop stood still if two of its beats are further apart than this, as on a laptop that was busy or suspended.
STOOD_STILL_S = 0.3
# Time after a standstill in which all data that was sent meanwhile is read.
READ_UP_S = 2.0
# After a busy client's turn the loop rests for as long as that took, up to this time: perception needs the interpreter.
LONGEST_REST_S = 0.02


class Pace:
    """The turns of one event loop.

    Args:
        clock: monotonic seconds.
        used: processor time that the loop's thread has used, seconds.
        sleep: lets other threads run for a time; with 0, until each has had a turn.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], None] = eventlet.sleep,
    ) -> None:
        self.clock, self.used, self.sleep = clock, used, sleep
        self._busy: deque[eventlet.event.Event] = deque()
        self._is_giving_turns = False
        self._alive_s = clock()
        # The latest standstill of the loop: from, to. If the loop stands still again before all data that was sent
        # meanwhile is read, both standstills count as one.
        self._stood_still_s = (self._alive_s, self._alive_s)

    def beat(self) -> None:
        """Note that the loop runs; called several times per `STOOD_STILL_S`."""
        now_s = self.clock()
        if now_s - self._alive_s > STOOD_STILL_S:
            from_s, to_s = self._stood_still_s
            self._stood_still_s = (from_s if self._alive_s - to_s < READ_UP_S else self._alive_s, now_s)
        self._alive_s = now_s

    def earliest_arrival_s(self, awaited_s: float) -> float:
        """The earliest arrival of data that the loop waited for: now, unless the loop stood still meanwhile.

        Args:
            awaited_s: when the waiting began, monotonic seconds.
        """
        self.beat()
        from_s, to_s = self._stood_still_s
        return max(awaited_s, from_s) if to_s > awaited_s else self._alive_s

    def wait_busy(self) -> None:
        """Wait for the next turn of a busy client."""
        turn = eventlet.event.Event()
        self._busy.append(turn)
        if not self._is_giving_turns:
            self._is_giving_turns = True
            eventlet.spawn(self._give_turns)
        turn.wait()

    def _give_turns(self) -> None:
        while self._busy:
            begun_s = self.clock()
            self._busy.popleft().send()
            self.sleep(0)
            self.sleep(min(self.clock() - begun_s, LONGEST_REST_S))
        self._is_giving_turns = False


class Turns:
    """One client's turns.

    Args:
        pace: of the loop.
        earliest_arrival_s: earliest arrival of data that may have arrived before the turns began, monotonic seconds;
            None for now.

    Attributes:
        earliest_arrival_s: no data that is being read now arrived before this time, monotonic seconds. A busy client's
            data may have waited in the network since then.
    """

    def __init__(self, pace: Pace, earliest_arrival_s: float | None = None) -> None:
        self._pace = pace
        self._turns = 0
        self._awaited_s = pace.clock()
        self.earliest_arrival_s = self._awaited_s if earliest_arrival_s is None else earliest_arrival_s
        self._begun_s = pace.used()

    def begin(self) -> None:
        """A turn begins, because data has arrived."""
        self._begun_s = self._pace.used()

    @property
    def is_over(self) -> bool:
        """Whether the turn has lasted long enough."""
        return self._pace.used() - self._begun_s > TURN_S

    def end(self) -> None:
        """End the turn and let others run. The next turn begins on return."""
        self._turns += 1
        if self._turns > MOST_TURNS:
            self._pace.wait_busy()
        else:
            self._pace.sleep(0)
        self.begin()

    def catch_up(self) -> None:
        """Note that all data of the client is read and more is awaited: the client is not busy."""
        self._turns = 0
        self._awaited_s = self._pace.clock()

    def wake(self) -> None:
        """Note that awaited data has arrived."""
        self.earliest_arrival_s = self._pace.earliest_arrival_s(self._awaited_s)

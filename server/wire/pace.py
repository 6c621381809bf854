"""Turns on the event loop: clients that keep it busy wait for each other, so that the others hardly wait for them.

Every client that has sent something gets a turn in each round of the loop. Beside ten clients that send without end, a
round takes 20 ms, and a frame needs some seven rounds. Therefore a client that uses more of the processor than a
QuadSim does counts as busy, and of the busy ones only one has a turn in each round: then a round takes 2 ms. What the
others have sent waits in the network, where it costs nothing.

Measured by the processor's time, not the clock's: that a machine is slow is nobody's fault.
"""

import time
from collections import deque
from collections.abc import Callable

from server.wire.green import eventlet

# Of the loop's thread: beyond it a client is busy. A QuadSim uses 1 to 2 %.
BUSY_SHARE = 0.03
# What a client may use at once before it counts as busy, some 15 frames after a network that stalled; and how much
# beyond that is counted.
SAVED_S = 0.03
# A turn is over after this time even if more of what has arrived could be worked off.
TURN_S = 0.002
# After a busy client's turn the loop rests as long as that took, up to this time: perception needs the interpreter.
LONGEST_REST_S = 0.02


class Pace:
    """The turns of one event loop.

    Args:
        clock: monotonic seconds.
        used: seconds of the processor that the loop's thread has used.
        sleep: lets others run for a time; with 0, until each has had a turn.
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


class Share:
    """One client's use of the loop.

    Args:
        pace: of the loop.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._saved_s, self._reckoned_s, self._begun_s = SAVED_S, pace.clock(), pace.used()

    def begin(self) -> None:
        """Its turn begins: something has arrived."""
        self._begun_s = self._pace.used()

    @property
    def is_over(self) -> bool:
        """Whether its turn has lasted long enough."""
        return self._pace.used() - self._begun_s > TURN_S

    def end(self) -> None:
        """Its turn ends, and the next begins on return."""
        self.spend(self._pace.used() - self._begun_s)
        self.begin()

    def spend(self, cost_s: float) -> None:
        """Charge time of the processor, and let others run."""
        now_s = self._pace.clock()
        saved_s = min(SAVED_S, self._saved_s + (now_s - self._reckoned_s) * BUSY_SHARE) - cost_s
        self._saved_s, self._reckoned_s = max(saved_s, -SAVED_S), now_s
        if self._saved_s >= 0:
            self._pace.sleep(0)
        else:
            self._pace.wait_busy()

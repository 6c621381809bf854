"""The time of a session: from frames' own timestamps where they are believable, else from their arrival.

A simulator's clock may be absent, stuck, set back by NTP or by a restart, or wrong by years. A tracker needs time steps
that are right and never negative. So this module checks steps, not absolute times. It prefers timestamps to arrival
times because the network's jitter does not affect them, and because a simulator in lock-step runs faster or slower than
the wall clock.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

MAX_TRUSTED_STEP_S = 2.0  # ten of QuadSim's frame periods; the arrival times must confirm a longer step
AGREEMENT_RATIO = 2.0  # a longer step is believed if it differs from the arrival step by at most this factor
MIN_STEP_S = 0.001  # least step between two new frames, so that a filter's time step is never zero


class FrameTime(NamedTuple):
    """When a frame was taken.

    `time_s` is seconds since the session's first frame. A stale frame (a copy of the frame before it, or an older
    frame) is no new evidence; its time is that of the newest frame. `is_rebased`: the frame's timestamp contradicted
    the clock and was not believed.
    """

    time_s: float
    is_stale: bool = False
    is_rebased: bool = False


class Anchor(NamedTuple):
    """The latest believed timestamp, and the session time and arrival that go with it."""

    timestamp_s: float
    time_s: float
    arrival_s: float


@dataclass(frozen=True)
class FrameClock:
    """Turns frames' timestamps and arrivals into one session time that only moves forward.

    The clock is an immutable value: `tick` returns the next clock.

    A step between timestamps is believed if it lies in (0, 2] s, or agrees with the step between the arrivals within
    a factor of 2. A frame that repeats the newest timestamp, or is up to 2 s before it, counts as stale: sent twice or
    late. If the next frame does so too, the sender's clock is stuck or was set back. Then, and for steps that are not
    believed, the clock takes the arrival step, and counts later timestamps from there.

    Args:
        time_s: session time of the newest frame; None before the first.
        arrival_s: arrival of the newest frame, monotonic seconds.
        anchor: the latest believed timestamp; None while there is none.
        is_behind: whether the newest timestamp was not after the timestamp before it.
    """

    time_s: float | None = None
    arrival_s: float = 0.0
    anchor: Anchor | None = None
    is_behind: bool = False

    def tick(self, timestamp_s: float | None, arrival_s: float) -> tuple["FrameClock", FrameTime]:
        """Place the next frame in time.

        Args:
            timestamp_s: the frame's own time, any epoch; None, NaN or infinite if it has none.
            arrival_s: when it came, on this machine's monotonic clock. A step back counts as 0.

        Returns:
            The clock after this frame, and the frame's time. `time_s` grows by at least 1 ms from frame to frame, and
            stays the same for a stale frame.

        Raises:
            ValueError: if `arrival_s` is not finite.
        """
        if not math.isfinite(arrival_s):
            raise ValueError(f"expected arrival_s finite, got {arrival_s}")
        if timestamp_s is not None and not math.isfinite(timestamp_s):
            timestamp_s = None
        if self.time_s is None:
            return self._advance(0.0, timestamp_s, arrival_s)
        by_arrival_s = self.time_s + max(0.0, arrival_s - self.arrival_s)
        if timestamp_s is None or self.anchor is None:
            return self._advance(by_arrival_s, timestamp_s, arrival_s)
        step_s = timestamp_s - self.anchor.timestamp_s
        if _is_believable(step_s, arrival_s - self.anchor.arrival_s):
            return self._advance(self.anchor.time_s + step_s, timestamp_s, arrival_s, is_behind=False)
        if -MAX_TRUSTED_STEP_S <= step_s <= 0 and not self.is_behind:
            return replace(self, is_behind=True), FrameTime(self.time_s, is_stale=True)
        return self._advance(by_arrival_s, timestamp_s, arrival_s, is_rebased=True)

    def time_at(self, now_s: float) -> float:
        """Session time of a moment after the latest frame, such as the sending of a command.

        Args:
            now_s: this machine's monotonic clock.

        Returns:
            Seconds since the session's first frame, never less than the latest frame's time; 0 before the first frame.
        """
        if self.time_s is None:
            return 0.0
        return self.time_s + max(0.0, now_s - self.arrival_s)

    def _advance(
        self,
        time_s: float,
        timestamp_s: float | None,
        arrival_s: float,
        is_rebased: bool = False,
        is_behind: bool | None = None,
    ) -> tuple["FrameClock", FrameTime]:
        if self.time_s is not None:
            time_s = max(time_s, self.time_s + MIN_STEP_S)
            arrival_s = max(arrival_s, self.arrival_s)
        anchor = self.anchor if timestamp_s is None else Anchor(timestamp_s, time_s, arrival_s)
        clock = FrameClock(time_s, arrival_s, anchor, self.is_behind if is_behind is None else is_behind)
        return clock, FrameTime(time_s, is_rebased=is_rebased)


def _is_believable(step_s: float, arrival_step_s: float) -> bool:
    if 0 < step_s <= MAX_TRUSTED_STEP_S:
        return True
    return 0 < arrival_step_s / AGREEMENT_RATIO <= step_s <= arrival_step_s * AGREEMENT_RATIO

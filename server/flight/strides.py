"""How fast the world moves, by how far people nearby walk: QuadSim's number keys speed it up.

Not by the filter's velocity, whose noise grows with the pace that it believes in.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

# A speed is measured over this time, of those who are placed this well, m: those nearby.
STRIDE_S, STRIDE_STD_M = 0.6, 0.25
PACE_S = 2.0  # in which most of a change of the pace is learned
FASTEST_PACE = 6.0


class Stride(NamedTuple):
    """How fast somebody walks. A value: `after` gives the next.

    Args:
        begun: (time, x, y) of an earlier sighting, from which the next speed is measured; None before, and far away.
        speed_mps: over ground, by the latest measurement; likewise.
    """

    begun: tuple[float, float, float] | None = None
    speed_mps: float | None = None

    def after(self, time_s: float, x_m: float, y_m: float, std_m: float) -> "Stride":
        """After a sighting; the speed is new if enough time has passed since the last."""
        if std_m > STRIDE_STD_M:
            return Stride()
        if self.begun is None or time_s - self.begun[0] > 2 * STRIDE_S:
            return self._replace(begun=(time_s, x_m, y_m))
        begun_s, from_x_m, from_y_m = self.begun
        if time_s - begun_s < STRIDE_S - 1e-6:
            return self
        return Stride((time_s, x_m, y_m), math.hypot(x_m - from_x_m, y_m - from_y_m) / (time_s - begun_s))


def paced(pace: float, speeds_mps: Sequence[float], step_s: float, brisk_mps: float) -> float:
    """The pace of the world after a frame: how many times as fast as a brisk walk most of those nearby move.

    Args:
        pace: before the frame, which is `step_s` after the one before.
        speeds_mps: of those whom the frame shows.
        step_s: see `pace`.
        brisk_mps: a brisk walk.
    """
    if not speeds_mps:
        return pace
    wanted = min(max(1.0, statistics.median(speeds_mps) / brisk_mps), FASTEST_PACE)
    return pace + (wanted - pace) * (1 - math.exp(-step_s / PACE_S))

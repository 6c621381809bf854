"""The pace of the world, from the speed of people nearby. QuadSim's number keys speed the world up.

The filter's velocity is not used for it, because that velocity's noise grows with the estimated pace.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

# A speed is measured over STRIDE_S, and only of people nearby: their place has a standard deviation of at most
# STRIDE_STD_M.
STRIDE_S, STRIDE_STD_M = 0.6, 0.25
PACE_S = 2.0  # time constant with which the pace is learned
FASTEST_PACE = 6.0


class Stride(NamedTuple):
    """The measurement of a person's speed. An immutable value: `after` returns the next.

    Args:
        begun: (time, x, y) of an earlier sighting, from which the next speed is measured. None before the first
            sighting, and for a person far away.
        speed_mps: speed over ground by the latest measurement. None before the first, and for a person far away.
    """

    begun: tuple[float, float, float] | None = None
    speed_mps: float | None = None

    def after(self, time_s: float, x_m: float, y_m: float, std_m: float) -> "Stride":
        """The measurement after a sighting. The speed is updated once `STRIDE_S` has passed since `begun`."""
        if std_m > STRIDE_STD_M:
            return Stride()
        if self.begun is None or time_s - self.begun[0] > 2 * STRIDE_S:
            return self._replace(begun=(time_s, x_m, y_m))
        begun_s, from_x_m, from_y_m = self.begun
        if time_s - begun_s < STRIDE_S - 1e-6:
            return self
        return Stride((time_s, x_m, y_m), math.hypot(x_m - from_x_m, y_m - from_y_m) / (time_s - begun_s))


def updated_pace(pace: float, speeds_mps: Sequence[float], step_s: float, brisk_mps: float) -> float:
    """The pace of the world after a frame: the median speed of people nearby, in multiples of a brisk walk, at least 1.

    Args:
        pace: before the frame.
        speeds_mps: speeds of the people whom the frame shows.
        step_s: time since the frame before.
        brisk_mps: speed of a brisk walk.
    """
    if not speeds_mps:
        return pace
    wanted = min(max(1.0, statistics.median(speeds_mps) / brisk_mps), FASTEST_PACE)
    return pace + (wanted - pace) * (1 - math.exp(-step_s / PACE_S))

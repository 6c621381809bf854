"""How a walking hero moves: where one is and will be, from one sighting to the next.

All times are session times in seconds (`server.flight.clock`), all positions metres in the ROS world frame.
"""

import math
from typing import NamedTuple

import numpy as np

from server.settings import TrackerConfig

VERTICAL_SHARE = 0.25  # people walk on the ground: their vertical speed relative to their horizontal one


class Fix(NamedTuple):
    """A sighting with a position, (3,), and its standard deviation along each axis; may it start a track?"""

    time_s: float
    position_m: np.ndarray
    std_m: float
    is_convincing: bool


class Track:
    """Constant-velocity Kalman filter of a walking hero, from one sighting to the next.

    The axes are independent and share the measurement's variance, so each needs only the 2×2 covariance of its position
    and velocity, here three arrays (3,) in closed form. Velocity drifts as a random walk, which makes one long step and
    many short ones agree.

    Source: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, 6.2.2 (discretised
    continuous white-noise acceleration).
    """

    def __init__(self, fix: Fix, config: TrackerConfig) -> None:
        horizontal_and_vertical = np.array([1.0, 1.0, VERTICAL_SHARE])
        self._config = config
        self._time_s = fix.time_s
        self._position_m = fix.position_m
        self._drift_variance = (config.drift_mps * horizontal_and_vertical) ** 2  # (m/s)² per s
        self._position_variance = np.full(3, fix.std_m**2)
        self._covariance = np.zeros(3)
        self._velocity_variance = (config.walking_std_mps * horizontal_and_vertical) ** 2
        self.velocity_mps = np.zeros(3)

    def predict(self, time_s: float) -> np.ndarray:
        """(3,) position at a time; after `walk_on_s` without a sighting the hero waits."""
        step_s = min(max(time_s - self._time_s, 0.0), self._config.walk_on_s)
        return self._position_m + step_s * self.velocity_mps

    def misfit(self, fix: Fix) -> float:
        """Squared distance of a sighting from the prediction, in standard deviations (Mahalanobis)."""
        innovation_m = fix.position_m - self.predict(fix.time_s)
        variance = self._predicted_position_variance(fix.time_s) + fix.std_m**2
        return float(np.sum(innovation_m**2 / variance))

    def fits(self, fix: Fix) -> bool:
        """Whether a sighting lies within `gate_sigma` standard deviations of the prediction."""
        return self.misfit(fix) <= self._config.gate_sigma**2

    def correct(self, fix: Fix) -> None:
        """Take in a sighting that is not earlier than the one before it."""
        step_s = fix.time_s - self._time_s
        drift = self._drift_variance
        position_variance = self._predicted_position_variance(fix.time_s)
        covariance = self._covariance + step_s * self._velocity_variance + drift * step_s**2 / 2
        velocity_variance = self._velocity_variance + drift * step_s
        position_gain = position_variance / (position_variance + fix.std_m**2)
        velocity_gain = covariance / (position_variance + fix.std_m**2)
        predicted_m = self.predict(fix.time_s)
        innovation_m = fix.position_m - predicted_m
        self._time_s = fix.time_s
        self._position_m = predicted_m + position_gain * innovation_m
        self.velocity_mps = self._limited(self.velocity_mps + velocity_gain * innovation_m)
        self._position_variance = (1 - position_gain) * position_variance
        self._covariance = (1 - position_gain) * covariance
        self._velocity_variance = velocity_variance - velocity_gain * covariance

    def _predicted_position_variance(self, time_s: float) -> np.ndarray:
        step_s = max(time_s - self._time_s, 0.0)
        return (
            self._position_variance
            + 2 * step_s * self._covariance
            + step_s**2 * self._velocity_variance
            + self._drift_variance * step_s**3 / 3
        )

    def _limited(self, velocity_mps: np.ndarray) -> np.ndarray:
        speed_mps = math.hypot(*velocity_mps)
        return velocity_mps * min(1.0, self._config.max_speed_mps / speed_mps) if speed_mps > 0 else velocity_mps

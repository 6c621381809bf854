"""How a walking hero moves: where the hero is and will be, from one sighting to the next.

All times are session times in seconds (`server.flight.clock`), all positions metres in the ROS world frame.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from server.settings import TrackerConfig

VERTICAL_SHARE = 0.25  # people walk on the ground: their vertical speed relative to their horizontal one
SHARES = (1.0, 1.0, VERTICAL_SHARE)

Vector = tuple[float, float, float]


class Fix(NamedTuple):
    """A sighting with a place: where, its standard deviation along each axis, and whether it may start a track."""

    time_s: float
    position_m: Vector
    std_m: float
    is_convincing: bool


class Axis(NamedTuple):
    """Estimate along one axis of the world: position and velocity, and their 2×2 covariance."""

    position_m: float
    velocity_mps: float
    position_variance: float
    covariance: float
    velocity_variance: float


class Track(NamedTuple):
    """A hero's estimated motion as of the latest sighting. A value: `Motion.correct` gives the next."""

    time_s: float
    axes: tuple[Axis, Axis, Axis]

    @property
    def velocity_mps(self) -> Vector:
        """(x, y, z) in the ROS world frame."""
        x, y, z = self.axes
        return x.velocity_mps, y.velocity_mps, z.velocity_mps


class Motion:
    """Constant-velocity Kalman filter of a walking hero, from one sighting to the next.

    The axes are independent and share the measurement's variance, so each needs only the 2×2 covariance of its position
    and velocity. Velocity drifts as a random walk, which makes one long step and many short ones agree.

    Source: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, 6.2.2 (discretised
    continuous white-noise acceleration).

    Args:
        config: the tracker's settings.
    """

    def __init__(self, config: TrackerConfig) -> None:
        self._config = config
        # (m/s)² per s along each axis
        self._drift_variances = [(config.drift_mps * share) * (config.drift_mps * share) for share in SHARES]

    def start(self, fix: Fix) -> Track:
        """A new track of a hero who stands or walks anywhere, first seen in `fix`."""
        walking_std_mps = [self._config.walking_std_mps * share for share in SHARES]
        x, y, z = (
            Axis(at_m, 0.0, fix.std_m**2, 0.0, std_mps * std_mps)
            for at_m, std_mps in zip(fix.position_m, walking_std_mps, strict=True)
        )
        return Track(fix.time_s, (x, y, z))

    def predict(self, track: Track, time_s: float) -> Vector:
        """(x, y, z) position at a time; after `walk_on_s` without a sighting the hero is taken to wait."""
        step_s = min(max(time_s - track.time_s, 0.0), self._config.walk_on_s)
        x, y, z = (axis.position_m + step_s * axis.velocity_mps for axis in track.axes)
        return x, y, z

    def misfit(self, track: Track, fix: Fix) -> float:
        """Squared distance of a sighting from the prediction, in standard deviations (Mahalanobis)."""
        predicted_m = self.predict(track, fix.time_s)
        variances = self._position_variances(track, fix.time_s)
        x, y, z = (
            (seen_m - expected_m) * (seen_m - expected_m) / (variance + fix.std_m**2)
            for seen_m, expected_m, variance in zip(fix.position_m, predicted_m, variances, strict=True)
        )
        return x + y + z

    def fits(self, track: Track, fix: Fix) -> bool:
        """Whether a sighting lies within `gate_sigma` standard deviations of the prediction."""
        return self.misfit(track, fix) <= self._config.gate_sigma**2

    def correct(self, track: Track, fix: Fix) -> Track:
        """Take in a sighting that is not earlier than the latest one of the track."""
        step_s = fix.time_s - track.time_s
        corrected = []
        for axis, drift, variance, expected_m, seen_m in zip(
            track.axes,
            self._drift_variances,
            self._position_variances(track, fix.time_s),
            self.predict(track, fix.time_s),
            fix.position_m,
            strict=True,
        ):
            covariance = axis.covariance + step_s * axis.velocity_variance + drift * step_s**2 / 2
            velocity_variance = axis.velocity_variance + drift * step_s
            position_gain = variance / (variance + fix.std_m**2)
            velocity_gain = covariance / (variance + fix.std_m**2)
            innovation_m = seen_m - expected_m
            corrected.append(
                Axis(
                    position_m=expected_m + position_gain * innovation_m,
                    velocity_mps=axis.velocity_mps + velocity_gain * innovation_m,
                    position_variance=(1 - position_gain) * variance,
                    covariance=(1 - position_gain) * covariance,
                    velocity_variance=velocity_variance - velocity_gain * covariance,
                )
            )
        return Track(fix.time_s, self._limited(corrected))

    def _position_variances(self, track: Track, time_s: float) -> list[float]:
        """Of the predicted position, along each axis."""
        step_s = max(time_s - track.time_s, 0.0)
        return [
            axis.position_variance
            + 2 * step_s * axis.covariance
            + step_s**2 * axis.velocity_variance
            + drift * step_s**3 / 3
            for axis, drift in zip(track.axes, self._drift_variances, strict=True)
        ]

    def _limited(self, axes: Sequence[Axis]) -> tuple[Axis, Axis, Axis]:
        """The same with a speed of at most `max_speed_mps`."""
        speed_mps = math.hypot(*(axis.velocity_mps for axis in axes))
        share = min(1.0, self._config.max_speed_mps / speed_mps) if speed_mps > 0 else 1.0
        x, y, z = (axis._replace(velocity_mps=axis.velocity_mps * share) for axis in axes)
        return x, y, z

"""How people walk: the estimate and prediction of each person's position and velocity.

All times are session times in seconds (`server.flight.clock`). All positions are in metres in the ROS world frame.
"""

import math
from typing import NamedTuple

from server.settings import TrackerConfig

Vector = tuple[float, float, float]


class Fix(NamedTuple):
    """A sighting with a place: position, standard deviation along each axis, and the evidence of the sighting."""

    time_s: float
    position_m: Vector
    std_m: float
    evidence: float
    second_evidence: float | None


class Spread(NamedTuple):
    """The uncertainty of position and velocity along one axis: their 2×2 covariance matrix."""

    position_variance: float
    covariance: float
    velocity_variance: float


class Track(NamedTuple):
    """A person's estimated motion as of the latest sighting. An immutable value: `Motion.correct` returns the next.

    `level` is the spread along each of the two horizontal axes; `upright` is that along the vertical axis. `hidden_s`
    is how long something has hidden the person since the latest sighting.
    """

    time_s: float
    position_m: Vector
    velocity_mps: Vector
    level: Spread
    upright: Spread
    hidden_s: float = 0.0


class Motion:
    """Constant-velocity Kalman filter of a walking person, from one sighting to the next.

    The axes are independent, and a measurement has the same variance along each of them. Velocity drifts as a random
    walk, so one long step gives the same result as many short steps.

    Source: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, 6.2.2 (discretised
    continuous white-noise acceleration).

    Args:
        config: the tracker's settings.
        pace: how many times as fast as usual people move, in a simulator that is speeded up.
    """

    def __init__(self, config: TrackerConfig, pace: float = 1.0) -> None:
        profile = config.profile
        self._walk_on_s = profile.walk_on_s
        self._start_variance = (profile.walking_std_mps * pace) ** 2
        # The difference of two independent velocities has twice the variance of one velocity.
        self._turn_variance = 2 * self._start_variance
        self._drift = (profile.drift_mps * pace) ** 2 * pace  # (m/s)² per s along a horizontal axis
        self._max_speed_mps = profile.max_speed_mps
        self._spread_mps = profile.spread_mps * pace
        self._vertical = profile.vertical_share**2

    def start(self, fix: Fix) -> Track:
        """A new track that begins with `fix`, of a person who may stand or walk in any direction."""
        variance, vertical = fix.std_m**2, self._vertical
        level, upright = (Spread(variance, 0.0, self._start_variance * share) for share in (1.0, vertical))
        return Track(fix.time_s, fix.position_m, (0.0, 0.0, 0.0), level, upright)

    def turned(self, track: Track) -> Track:
        """The track of a person who has turned or stopped since the latest sighting: any velocity is possible.

        `turn_variances` is the increase of `variances` by this.
        """
        level, upright = (
            spread._replace(velocity_variance=spread.velocity_variance + self._turn_variance * share)
            for spread, share in ((track.level, 1.0), (track.upright, self._vertical))
        )
        return track._replace(level=level, upright=upright)

    def predict(self, track: Track, time_s: float) -> Vector:
        """The (x, y, z) position at a time. The person is predicted to stop `walk_on_s` after the latest sighting.

        For a hidden person, `hidden_s` is added to that time.
        """
        step_s = min(max(time_s - track.time_s, 0.0), self._walk_on_s + track.hidden_s)
        (x, y, z), (vx, vy, vz) = track.position_m, track.velocity_mps
        return x + step_s * vx, y + step_s * vy, z + step_s * vz

    def variances(self, track: Track, time_s: float) -> tuple[float, float]:
        """The variances of the predicted position along a horizontal axis and along the vertical axis, m²."""
        step_s = max(time_s - track.time_s, 0.0)
        return (
            self._position_variance(track.level, self._drift, step_s),
            self._position_variance(track.upright, self._drift * self._vertical, step_s),
        )

    def turn_variances(self, track: Track, time_s: float) -> tuple[float, float]:
        """The increase of `variances` if the person has turned since the latest sighting, m²."""
        walked_s = min(max(time_s - track.time_s, 0.0), self._walk_on_s)
        level = self._turn_variance * walked_s * walked_s
        return level, level * self._vertical

    def correct(self, track: Track, fix: Fix) -> Track:
        """Take in a sighting that is not earlier than the latest one of the track."""
        step_s = fix.time_s - track.time_s
        noise = fix.std_m**2
        level, gain, speed_gain = self._corrected(track.level, self._drift, step_s, noise)
        upright, gain_up, speed_gain_up = self._corrected(track.upright, self._drift * self._vertical, step_s, noise)
        (x, y, z), (vx, vy, vz) = self.predict(track, fix.time_s), track.velocity_mps
        seen_x, seen_y, seen_z = fix.position_m
        dx, dy, dz = seen_x - x, seen_y - y, seen_z - z
        vx, vy, vz = vx + speed_gain * dx, vy + speed_gain * dy, vz + speed_gain_up * dz
        speed_mps = math.sqrt(vx * vx + vy * vy + vz * vz)
        share = min(1.0, self._max_speed_mps / speed_mps) if speed_mps > 0 else 1.0
        return Track(
            fix.time_s,
            (x + gain * dx, y + gain * dy, z + gain_up * dz),
            (vx * share, vy * share, vz * share),
            level,
            upright,
        )

    def _position_variance(self, spread: Spread, drift: float, step_s: float) -> float:
        """The variance of the predicted position: the filter's for `walk_on_s`, then growing by `spread_mps`."""
        walked_s = min(step_s, self._walk_on_s)
        position, covariance, velocity = spread
        grown = 2 * walked_s * covariance + walked_s * walked_s * velocity + drift * walked_s**3 / 3
        return position + grown + (self._spread_mps * (step_s - walked_s)) ** 2

    def _corrected(self, spread: Spread, drift: float, step_s: float, noise: float) -> tuple[Spread, float, float]:
        """The spread after a sighting, and the Kalman gains of position and velocity."""
        walked_s = min(step_s, self._walk_on_s)
        variance = self._position_variance(spread, drift, step_s)
        covariance = spread.covariance + walked_s * spread.velocity_variance + drift * walked_s * walked_s / 2
        velocity = spread.velocity_variance + drift * walked_s
        gain, speed_gain = variance / (variance + noise), covariance / (variance + noise)
        after = Spread((1 - gain) * variance, (1 - gain) * covariance, velocity - speed_gain * covariance)
        return after, gain, speed_gain

"""QuadSim's quad and its gimbal: they patrol, or follow the server's coordinates. Kinematic, as in QuadSim.

World frame (ROS), metres, degrees; positive pitch looks down, positive yaw turns left. The numbers are QuadSim's.

QuadSim itself follows the true hero; this drone only knows the coordinates. They are in the middle of the body, so the
feet are `BODY_MIDDLE_M` below them. "Behind" the target is opposite to the direction in which the coordinates move.
While they hardly move, "behind" is the drone's side of the target, so that the drone neither flies over the target nor
circles around a standing one.
"""

import math
from enum import Enum, auto
from typing import Any

import numpy as np

from server.wire.messages import FOLLOW, PATROL, Pose

TOP_SPEED_MPS = 15.0
RAMP_S = 3.0  # from hovering to top speed
SWEEP_DEG_S = 35.0
WAIT_S = 5.0  # at each point of the patrol
ARRIVAL_M = 0.05
PATROL_SLOWS_WITHIN_M = 5.0
PATROL_PITCH_DEG = 30.0

BEHIND_M = 2.0
ABOVE_FEET_M = 3.0
FOLLOW_SLOWS_WITHIN_M = 10.0
TURN_DEG_S = 90.0
LOOK_ABOVE_FEET_M = 1.0
LINK_TIMEOUT_S = 3.0

BODY_MIDDLE_M = 0.9
"""Height of the coordinates above the feet: the centroid of an upright person of 1.75 m."""

_WALKING_MPS = 0.6  # from this speed of the coordinates on, their direction decides where "behind" is
_VELOCITY_MEMORY_S = 1.0
_CIRCLING_DEG_S = 60.0  # greatest speed of the place behind the target around the target


class _Phase(Enum):
    """Phase of the flight."""

    LOOK_AROUND = auto()  # hover and turn the gimbal once
    FLY = auto()  # to the next point of the patrol
    WAIT = auto()  # at a point of the patrol
    FOLLOW = auto()


class Drone:
    """The quad: `step` moves it, the server's events direct it.

    Args:
        patrol_points_m: (P, 3) points of the patrol, which is a loop.
        start: pose of the quad at the start.
        fastest_mps: limit of the coordinates' speed; faster coordinates have jumped to another place.

    Raises:
        ValueError: if there are no points.
    """

    def __init__(self, patrol_points_m: np.ndarray, start: Pose, fastest_mps: float = 3.0) -> None:
        self._points_m = np.asarray(patrol_points_m, float)
        if self._points_m.ndim != 2 or self._points_m.shape[1] != 3 or not len(self._points_m):
            raise ValueError(f"expected patrol_points_m (P, 3) of at least one point, got {self._points_m.shape}")
        self._position_m = np.array([start.x_m, start.y_m, start.z_m])
        self._yaw_deg = start.yaw_deg
        self._fastest_mps = fastest_mps
        self._velocity_mps = np.zeros(3)
        self._gimbal_pitch_deg = PATROL_PITCH_DEG
        self._gimbal_yaw_deg = 0.0  # relative to the quad
        self._sweep_deg_s = SWEEP_DEG_S
        self._target_m = np.zeros(3)
        self._target_velocity_mps = np.zeros(2)
        self._behind_rad = 0.0
        self._time_s = self._linked_at_s = self._target_at_s = 0.0
        self._begin_patrol()

    @property
    def pose(self) -> Pose:
        """Pose of the quad, which stays level."""
        x_m, y_m, z_m = self._position_m.tolist()
        return Pose(x_m, y_m, z_m, 0.0, 0.0, _wrapped_deg(self._yaw_deg))

    @property
    def gimbal_pose(self) -> Pose:
        """Pose of the camera, which is in the middle of the quad."""
        yaw_deg = _wrapped_deg(self._yaw_deg + self._gimbal_yaw_deg)
        return self.pose._replace(pitch_deg=self._gimbal_pitch_deg, yaw_deg=yaw_deg)

    @property
    def is_following(self) -> bool:
        """Whether the drone follows coordinates; otherwise it is on patrol."""
        return self._phase is _Phase.FOLLOW

    @property
    def velocity_mps(self) -> np.ndarray:
        """Velocity of the quad, (3,) m/s."""
        return self._velocity_mps.copy()

    @property
    def target_m(self) -> np.ndarray | None:
        """Latest coordinates, (3,) metres, while the drone follows; otherwise None."""
        return self._target_m.copy() if self.is_following else None

    def on_command(self, event: str, payload: dict[str, Any]) -> None:
        """Obey an event of the server; markers and unknown events are ignored.

        Raises:
            ValueError: if the coordinates of `object_detected` are not three finite numbers.
        """
        if event == FOLLOW:
            self._follow(_coordinates(payload))
        elif event == PATROL and self.is_following:
            self._begin_patrol()

    def on_link(self) -> None:
        """Note a ping or a pong."""
        self._linked_at_s = self._time_s

    def step(self, step_s: float) -> None:
        """Fly for `step_s` seconds; steps of at most 0.05 s give a smooth flight."""
        self._time_s += step_s
        self._in_phase_s += step_s
        if self.is_following and self._time_s - self._linked_at_s > LINK_TIMEOUT_S:
            self._begin_patrol()
        if self._phase is _Phase.FOLLOW:
            self._fly_behind_target(step_s)
        else:
            self._patrol(step_s)

    # --- patrol

    def _begin_patrol(self) -> None:
        """Hover and look around, then continue with the nearest point."""
        self._enter(_Phase.LOOK_AROUND)
        distances_m = np.linalg.norm(self._points_m - self._position_m, axis=1)
        self._point = int(np.argmin(distances_m))

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._in_phase_s = 0.0
        self._yaw_at_start_deg = self._gimbal_yaw_deg

    def _patrol(self, step_s: float) -> None:
        self._gimbal_pitch_deg = _towards(self._gimbal_pitch_deg, PATROL_PITCH_DEG, TURN_DEG_S * step_s)
        if self._phase is _Phase.LOOK_AROUND:
            self._hover()
            self._gimbal_yaw_deg = self._yaw_at_start_deg + min(SWEEP_DEG_S * self._in_phase_s, 360.0)
            if SWEEP_DEG_S * self._in_phase_s >= 360.0:
                self._gimbal_yaw_deg = _wrapped_deg(self._gimbal_yaw_deg)
                self._sweep_deg_s = SWEEP_DEG_S
                self._enter(_Phase.FLY)
            return
        self._sweep(step_s)
        if self._phase is _Phase.WAIT:
            self._hover()
            if self._in_phase_s >= WAIT_S:
                self._point = (self._point + 1) % len(self._points_m)
                self._enter(_Phase.FLY)
            return
        way_m = self._points_m[self._point] - self._position_m
        if np.linalg.norm(way_m) <= ARRIVAL_M:
            self._hover()
            self._enter(_Phase.WAIT)
            return
        self._fly(way_m, PATROL_SLOWS_WITHIN_M, step_s)
        if math.hypot(way_m[0], way_m[1]) > ARRIVAL_M:
            self._turn_quad(math.degrees(math.atan2(way_m[1], way_m[0])), step_s)

    def _sweep(self, step_s: float) -> None:
        """Turn the gimbal back and forth between −180° and 180° relative to the quad."""
        self._gimbal_yaw_deg += self._sweep_deg_s * step_s
        if abs(self._gimbal_yaw_deg) >= 180.0:
            self._gimbal_yaw_deg = math.copysign(180.0, self._gimbal_yaw_deg)
            self._sweep_deg_s = math.copysign(SWEEP_DEG_S, -self._gimbal_yaw_deg)

    # --- follow

    def _follow(self, target_m: np.ndarray) -> None:
        if self.is_following:
            elapsed_s = self._time_s - self._target_at_s
            if elapsed_s > 0:
                moved_mps = (target_m - self._target_m)[:2] / elapsed_s
                moved_mps *= self._fastest_mps / max(float(np.linalg.norm(moved_mps)), self._fastest_mps)
                keep = math.exp(-elapsed_s / _VELOCITY_MEMORY_S)
                self._target_velocity_mps = keep * self._target_velocity_mps + (1.0 - keep) * moved_mps
        else:
            self._enter(_Phase.FOLLOW)
            self.on_link()  # the command proves the link
            self._target_velocity_mps = np.zeros(2)
            self._behind_rad = self._bearing_from_rad(target_m)
        self._target_m = target_m
        self._target_at_s = self._time_s

    def _fly_behind_target(self, step_s: float) -> None:
        feet_m = self._target_m - [0.0, 0.0, BODY_MIDDLE_M]
        east_mps, north_mps = self._target_velocity_mps.tolist()
        if math.hypot(east_mps, north_mps) > _WALKING_MPS:
            wanted_deg = math.degrees(math.atan2(-north_mps, -east_mps))
        else:
            wanted_deg = math.degrees(self._bearing_from_rad(self._target_m))
        behind_deg = math.degrees(self._behind_rad)
        self._behind_rad = math.radians(
            _towards(behind_deg, behind_deg + _wrapped_deg(wanted_deg - behind_deg), _CIRCLING_DEG_S * step_s)
        )
        side = np.array([math.cos(self._behind_rad), math.sin(self._behind_rad)])
        place_m = feet_m + np.append(BEHIND_M * side, ABOVE_FEET_M)
        self._fly(place_m - self._position_m, FOLLOW_SLOWS_WITHIN_M, step_s)
        self._look_at(feet_m + np.array([0.0, 0.0, LOOK_ABOVE_FEET_M]), step_s)

    def _bearing_from_rad(self, target_m: np.ndarray) -> float:
        """Horizontal direction from the target to the quad."""
        way_m = self._position_m - target_m
        return math.atan2(way_m[1], way_m[0])

    def _look_at(self, point_m: np.ndarray, step_s: float) -> None:
        """Turn quad and camera towards a point, at the same limited speed, so that errors do not shake the camera."""
        way_m = point_m - self._position_m
        level_m = math.hypot(way_m[0], way_m[1])
        yaw_deg = math.degrees(math.atan2(way_m[1], way_m[0]))
        camera_deg = self._yaw_deg + self._gimbal_yaw_deg
        most_deg = TURN_DEG_S * step_s
        camera_deg = _towards(camera_deg, camera_deg + _wrapped_deg(yaw_deg - camera_deg), most_deg)
        self._turn_quad(yaw_deg, step_s)
        self._gimbal_yaw_deg = _wrapped_deg(camera_deg - self._yaw_deg)
        pitch_deg = math.degrees(math.atan2(-way_m[2], level_m))
        self._gimbal_pitch_deg = _towards(self._gimbal_pitch_deg, pitch_deg, most_deg)

    # --- motion

    def _hover(self) -> None:
        self._velocity_mps = np.zeros(3)

    def _fly(self, way_m: np.ndarray, slows_within_m: float, step_s: float) -> None:
        """Fly along `way_m`, (3,): at top speed, slower after the start and near the end, and never beyond the end."""
        distance_m = float(np.linalg.norm(way_m))
        if distance_m == 0.0:
            self._hover()
            return
        wanted_mps = TOP_SPEED_MPS * min(1.0, math.sqrt(distance_m**2 / slows_within_m**2))
        fastest_mps = float(np.linalg.norm(self._velocity_mps)) + TOP_SPEED_MPS / RAMP_S * step_s
        speed_mps = min(wanted_mps, fastest_mps, distance_m / step_s)
        self._velocity_mps = way_m * (speed_mps / distance_m)
        self._position_m = self._position_m + self._velocity_mps * step_s

    def _turn_quad(self, yaw_deg: float, step_s: float) -> None:
        off_deg = _wrapped_deg(yaw_deg - self._yaw_deg)
        self._yaw_deg = _towards(self._yaw_deg, self._yaw_deg + off_deg, TURN_DEG_S * step_s)


def _coordinates(payload: dict[str, Any]) -> np.ndarray:
    coordinates = payload.get("coords")
    if (
        not isinstance(coordinates, list)
        or len(coordinates) != 3
        or not all(isinstance(value, int | float) and math.isfinite(value) for value in coordinates)
    ):
        raise ValueError(f"expected coords of three finite numbers, got {coordinates!r}")
    return np.array(coordinates, float)


def _towards(value: float, wanted: float, most: float) -> float:
    """Move `value` towards `wanted` by at most `most`."""
    return value + min(max(wanted - value, -most), most)


def _wrapped_deg(angle_deg: float) -> float:
    """Wrap an angle to [−180°, 180°)."""
    return (angle_deg + 180.0) % 360.0 - 180.0

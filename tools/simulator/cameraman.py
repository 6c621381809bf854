"""Direct a drone by the ground truth instead of a server, for recordings with the hero near, far and out of sight.

QuadSim's recordings are flown by hand. Its training set shows the hero in 37 % of the frames, in half of these far
away. With lookalikes, the subject of each task is the hero or a lookalike, and most tasks are near, because there a
network can learn how lookalikes differ from the hero.
"""

from enum import Enum, auto

import numpy as np

from server.wire.messages import FOLLOW, PATROL, Pose
from tools.simulator.drone import BODY_MIDDLE_M, Drone

DIRECT_EVERY_S = 0.2


class _Task(Enum):
    FOLLOW = auto()  # with coordinates that are wrong by some decimetres, as from a server
    KEEP_OFF = auto()  # at a distance and a height from the hero, with the camera on the hero
    WATCH = auto()  # on patrol, with the camera on the hero, who may be hidden
    PATROL = auto()


_SHARES = {_Task.FOLLOW: 0.08, _Task.KEEP_OFF: 0.1, _Task.WATCH: 0.38, _Task.PATROL: 0.44}
_SHARES_BESIDE_LOOKALIKES = {_Task.FOLLOW: 0.25, _Task.KEEP_OFF: 0.4, _Task.WATCH: 0.25, _Task.PATROL: 0.1}
_HERO_SHARE = 0.4  # share of tasks with the hero as subject, if there are lookalikes
_TASK_S = (8.0, 24.0)
_ERROR_M = 0.4
_DISTANCES_M = (3.0, 16.0)
_HEIGHTS_M = (0.0, 4.0)  # added to the height of following
_MIDDLE_M = np.array([0.0, 0.0, BODY_MIDDLE_M])
_AIM_DEG = 20.0  # error of the camera's direction, so that the hero is not always in the middle


class Cameraman:
    """Gives a drone alternating tasks: follow the hero, keep the hero in view at a distance, watch on patrol, patrol.

    Args:
        drone: drone to direct.
        rng: decides the tasks, their durations and the errors.
        lookalikes: number of lookalikes, who are subjects of tasks, too.
    """

    def __init__(self, drone: Drone, rng: np.random.Generator, lookalikes: int = 0) -> None:
        self._drone, self._rng, self._lookalikes = drone, rng, lookalikes
        self._next_task_s = 0.0
        self._subject = 0

    def direct(self, time_s: float, positions_m: np.ndarray) -> None:
        """Send the drone a command; call this every `DIRECT_EVERY_S`.

        Args:
            time_s: time since the start of the episode.
            positions_m: (n, 3) feet of everybody, world frame: the hero, the lookalikes, the others.
        """
        if time_s >= self._next_task_s:
            self._begin_task(positions_m)
            self._next_task_s = time_s + self._rng.uniform(*_TASK_S)
        if self._task in (_Task.FOLLOW, _Task.KEEP_OFF):
            error_m = self._rng.normal(0.0, _ERROR_M, 2)
            coordinates_m = positions_m[self._subject] + _MIDDLE_M + self._place_m + np.append(error_m, 0.0)
            self._drone.on_command(FOLLOW, {"coords": coordinates_m.tolist()})
            self._drone.on_link()
        else:
            self._drone.on_command(PATROL, {"data": ""})

    def camera_pose(self, positions_m: np.ndarray) -> Pose:
        """Pose of the camera to record with: the drone's, or the same place with a direction towards its subject."""
        pose = self._drone.gimbal_pose
        if self._task in (_Task.FOLLOW, _Task.PATROL):
            return pose
        way_m = positions_m[self._subject] + _MIDDLE_M - np.array(pose[:3])
        off_deg = self._rng.uniform(-_AIM_DEG, _AIM_DEG, 2)
        pitch_deg = np.degrees(np.arctan2(-way_m[2], np.hypot(way_m[0], way_m[1]))) + off_deg[0]
        yaw_deg = np.degrees(np.arctan2(way_m[1], way_m[0])) + off_deg[1]
        return pose._replace(pitch_deg=float(pitch_deg), yaw_deg=float(yaw_deg))

    def _begin_task(self, positions_m: np.ndarray) -> None:
        shares = _SHARES_BESIDE_LOOKALIKES if self._lookalikes else _SHARES
        if self._lookalikes:
            is_hero = self._rng.random() < _HERO_SHARE
            self._subject = 0 if is_hero else int(self._rng.integers(1, self._lookalikes + 1))
        tasks = list(shares)
        self._task = tasks[self._rng.choice(len(tasks), p=list(shares.values()))]
        self._place_m = np.zeros(3)
        if self._task is _Task.KEEP_OFF:
            way_m = np.array(self._drone.pose[:2]) - positions_m[self._subject, :2]
            side = way_m / max(float(np.linalg.norm(way_m)), 1e-6)
            self._place_m = np.append(side * self._rng.uniform(*_DISTANCES_M), self._rng.uniform(*_HEIGHTS_M))

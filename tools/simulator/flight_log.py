"""The log of a simulated flight: a row per frame, and figures over all rows. World frame, metres."""

import itertools
import math
import statistics
from typing import Any

import numpy as np

from tools.simulator.drone import Drone
from tools.simulator.flight import ON_TARGET_M
from tools.simulator.targets import HERO
from tools.simulator.world import Observation

_DECIMALS = 4


class FlightLog:
    """Rows of a drone's flight; each row is a dictionary ready for JSON.

    A row holds `time_s` since the start; `hero_m` (feet), `hero_velocity_mps`, `hero_px` (visible pixels) and
    `occlusion` (0 to 1); `pose` and `gimbal_pose`; `distance_m` from the quad to the hero's feet; and `is_following`.
    While the drone follows, it also holds `coordinates_m`, the latest coordinates, and their horizontal distances on
    arrival: `position_error_m` to the hero, `wrong_person_m` to the nearest other person. Missing values are None.

    Args:
        on_target_m: horizontal distance to the hero within which coordinates are on target.
        target: name of whom or what the stand-in shows in the hero's place.
    """

    def __init__(self, on_target_m: float = ON_TARGET_M, target: str = HERO) -> None:
        self._on_target_m, self.target = on_target_m, target
        self.rows: list[dict[str, Any]] = []
        self._errors_m: tuple[float | None, float | None] = (None, None)

    def on_coordinates(self, coordinates_m: np.ndarray, hero_m: np.ndarray, others_m: np.ndarray) -> None:
        """Measure the errors of coordinates that have just arrived.

        Args:
            coordinates_m: (3,) coordinates from the server.
            hero_m: (3,) feet of the hero now.
            others_m: (count, 3) feet of the other people now.
        """
        others = np.linalg.norm(others_m[:, :2] - coordinates_m[:2], axis=1)
        self._errors_m = math.dist(coordinates_m[:2], hero_m[:2]), float(others.min()) if len(others) else None

    def on_frame(self, observation: Observation, drone: Drone) -> None:
        """Add the row of a frame, before the frame is answered."""
        truth = observation.truth
        error_m, wrong_m = self._errors_m if drone.is_following else (None, None)
        self.rows.append(
            {
                "time_s": _rounded(truth.time_s),
                "hero_m": _rounded(truth.hero_position_m),
                "hero_velocity_mps": _rounded(truth.hero_velocity_mps),
                "hero_px": truth.hero_px,
                "occlusion": _rounded(truth.occlusion),
                "pose": _rounded(observation.pose),
                "gimbal_pose": _rounded(observation.gimbal_pose),
                "distance_m": _rounded(math.dist(observation.pose[:3], truth.hero_position_m)),
                "is_following": drone.is_following,
                "coordinates_m": None if drone.target_m is None else _rounded(drone.target_m),
                "position_error_m": None if error_m is None else _rounded(error_m),
                "wrong_person_m": None if wrong_m is None else _rounded(wrong_m),
            }
        )

    def summary(self) -> dict[str, Any]:
        """Figures over all rows; shares are of frames, None if there are no frames to count."""
        following = [row for row in self.rows if row["is_following"]]
        errors_m = [row["position_error_m"] for row in following if row["position_error_m"] is not None]
        states = [row["is_following"] for row in self.rows]
        return {
            "frames": len(self.rows),
            "hero_in_view": _share(row["hero_px"] > 0 for row in self.rows),
            "following": _share(states),
            "first_followed_s": following[0]["time_s"] if following else None,
            "losses": sum(before and not after for before, after in itertools.pairwise(states)),
            "on_target_of_following": _share(error_m <= self._on_target_m for error_m in errors_m),
            "position_error_median_m": _rounded(statistics.median(errors_m)) if errors_m else None,
            "distance_following_median_m": (
                _rounded(statistics.median(row["distance_m"] for row in following)) if following else None
            ),
        }

    def describe_latest(self) -> str:
        """Describe the latest row in a line of text."""
        row = self.rows[-1]
        view = f"in view ({row['hero_px']} px)" if row["hero_px"] else "out of view"
        error = "" if row["position_error_m"] is None else f", coordinates {row['position_error_m']:.2f} m off"
        state = "FOLLOW" if row["is_following"] else "PATROL"
        return f"{row['time_s']:7.1f} s  {state}  {self.target} {row['distance_m']:5.1f} m away, {view}{error}"


def _share(flags: Any) -> float | None:
    flags = list(flags)
    return round(sum(flags) / len(flags), _DECIMALS) if flags else None


def _rounded(values: Any) -> Any:
    if isinstance(values, float):
        return round(values, _DECIMALS)
    return [round(float(value), _DECIMALS) for value in values]

"""Distances to the objects of a city block, for walkers and for the drone."""

import itertools

import numpy as np

from tools.simulator.block import Building, Planter, Tree, Wall


class Obstacles:
    """Distances to the objects on the ground."""

    def __init__(
        self,
        buildings: tuple[Building, ...] = (),
        walls: tuple[Wall, ...] = (),
        trees: tuple[Tree, ...] = (),
        planters: tuple[Planter, ...] = (),
    ) -> None:
        boxes = [box[:5] for box in (*buildings, *walls)]
        rounds = [(tree.x_m, tree.y_m, 1.5 * tree.trunk_radius_m) for tree in trees]
        rounds += list(planters)
        self.boxes = np.array(boxes).reshape(-1, 5)
        self.rounds = np.array(rounds).reshape(-1, 3)
        yaw = np.radians(self.boxes[:, 4])
        self._turned = np.column_stack([self.boxes, np.cos(yaw), np.sin(yaw)])

    def distance_m(self, points_m: np.ndarray) -> np.ndarray:
        """(...) distance of (..., 2) points to the nearest obstacle; infinite if there is none, 0 inside one."""
        return _distance_m(points_m, self._turned, self.rounds)

    def is_clear(self, start_m: np.ndarray, end_m: np.ndarray, clearance_m: float) -> bool:
        """Whether the line from one point to another keeps a distance from all obstacles, to some centimetres."""
        middle_m = start_m + (end_m - start_m) / 2
        reach_m = float(np.linalg.norm(end_m - start_m)) / 2 + clearance_m + 0.01
        # Only obstacles that may come so close are measured, because the line has many points.
        boxes, rounds = (
            each[np.hypot(*(each[:, :2] - middle_m).T) - radius_m <= reach_m]
            for each, radius_m in (
                (self._turned, np.hypot(self.boxes[:, 2], self.boxes[:, 3]) / 2),
                (self.rounds, self.rounds[:, 2]),
            )
        )
        return bool((_distance_m(samples(np.array([start_m, end_m]), 0.1), boxes, rounds) >= clearance_m).all())


def _distance_m(points_m: np.ndarray, boxes: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """(...) distance of (..., 2) points to the nearest obstacle.

    Args:
        points_m: (..., 2).
        boxes: (N, 7) x, y, length, width, m; yaw, degrees; its cosine and sine.
        rounds: (M, 3) x, y, radius, m.
    """
    points_m = np.asarray(points_m, float)[..., np.newaxis, :]
    away, cos, sin = points_m - boxes[:, :2], boxes[:, 5], boxes[:, 6]
    along = away[..., 0] * cos + away[..., 1] * sin
    aside = away[..., 1] * cos - away[..., 0] * sin
    outside = np.hypot(np.maximum(np.abs(along) - boxes[:, 2] / 2, 0), np.maximum(np.abs(aside) - boxes[:, 3] / 2, 0))
    from_rounds = np.linalg.norm(points_m - rounds[:, :2], axis=-1) - rounds[:, 2]
    every = np.concatenate([outside, np.maximum(from_rounds, 0)], axis=-1)
    return every.min(axis=-1, initial=np.inf)


def samples(line_m: np.ndarray, step_m: float) -> np.ndarray:
    """Sample a polyline: (N, 2) corners to (M, 2) points, at most `step_m` apart."""
    pieces = []
    for start, end in itertools.pairwise(line_m):
        count = max(int(np.ceil(np.linalg.norm(end - start) / step_m)), 1)
        pieces.append(start + (end - start) * np.linspace(0.0, 1.0, count + 1)[:, np.newaxis])
    return np.concatenate(pieces)

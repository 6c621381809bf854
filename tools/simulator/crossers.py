"""People who cross close to the hero now and then. World frame, metres, seconds.

They walk like other people until it is time to cross. Then they hurry to the hero by the shortest way, walk along just
before or behind the hero, cross to the other side of the path, and wait for the next time. Those behind the hero cross
between the hero and a drone that follows.
"""

import math

import numpy as np

CROSSING_GAP_M = 0.9
"""Distance along the path between the hero and somebody who crosses before or behind the hero."""

_WAIT_S = (10.0, 25.0)  # between two crossings
_HURRY_MPS = 2.0
_JOIN_WITHIN_M = 8.0  # on the hero's edge
_GAP_TOLERANCE_M = 0.3
_BESIDE_TOLERANCE_M = 0.15
_CATCH_UP_PER_S = 1.0  # change of speed per metre that is missing to the gap


class Crosser:
    """A person who crosses close to the hero now and then.

    Args:
        speed_mps: speed between crossings.
        rng: decides when the next crossing begins.

    Attributes:
        speed_mps: present speed.
        is_due: whether it is time to cross.
        is_crossing: whether the crosser is on the way to the other side.
        crossings: number of complete crossings so far.
    """

    def __init__(self, speed_mps: float, rng: np.random.Generator) -> None:
        self.speed_mps = self._usual_mps = speed_mps
        self._rng = rng
        self._wait_s = 0.0
        self.is_crossing = False
        self.crossings = 0

    @property
    def is_due(self) -> bool:
        """Whether it is time to cross."""
        return self._wait_s <= 0.0

    def step(self, step_s: float, ahead_m: float | None, off_side_m: float, hero_mps: float) -> bool:
        """Decide on a speed; returns whether to change to the other side of the path now.

        Args:
            step_s: time since the last decision.
            ahead_m: distance by which the crosser is ahead of the hero, negative behind; None if not on the same edge.
            off_side_m: distance to the crosser's side of the path.
            hero_mps: speed of the hero.
        """
        self._wait_s -= step_s
        if not self.is_due:
            self.speed_mps = self._usual_mps
            return False
        if ahead_m is None or abs(ahead_m) > _JOIN_WITHIN_M:
            self.speed_mps, self.is_crossing = _HURRY_MPS, False
            return False
        missing_m = math.copysign(CROSSING_GAP_M, ahead_m) - ahead_m
        self.speed_mps = min(max(hero_mps + _CATCH_UP_PER_S * missing_m, 0.0), _HURRY_MPS)
        if not self.is_crossing:
            self.is_crossing = abs(missing_m) < _GAP_TOLERANCE_M
            return self.is_crossing
        if off_side_m < _BESIDE_TOLERANCE_M:
            self.is_crossing = False
            self.crossings += 1
            self._wait_s = self._rng.uniform(*_WAIT_S)
        return False


class Ways:
    """Shortest ways over a walk graph.

    Args:
        nodes_m: (N, 2) nodes.
        neighbours: neighbours of each node.
    """

    def __init__(self, nodes_m: np.ndarray, neighbours: list[list[int]]) -> None:
        self._neighbours = neighbours
        self.distances_m = np.full((len(nodes_m), len(nodes_m)), math.inf)
        """(N, N) along edges."""
        np.fill_diagonal(self.distances_m, 0.0)
        for node, others in enumerate(neighbours):
            self.distances_m[node, others] = np.linalg.norm(nodes_m[others] - nodes_m[node], axis=1)
        self._lengths_m = self.distances_m.copy()
        for middle in range(len(nodes_m)):  # Floyd and Warshall
            through_m = self.distances_m[:, middle, np.newaxis] + self.distances_m[middle]
            np.minimum(self.distances_m, through_m, out=self.distances_m)

    def next_node(self, here: int, goal: int) -> int:
        """The neighbour of `here` through which the way to `goal`, another node, is shortest."""
        others = self._neighbours[here]
        return others[int(np.argmin(self._lengths_m[here, others] + self.distances_m[others, goal]))]

"""The hero and other people, walking through a city block. World frame (ROS), metres, degrees, feet on z = 0.

All people walk from node to node along the edges of the walk graph. They keep to the right, turn in arcs, step aside
for people in the way, and stop sometimes. The hero does not step aside, so the hero's speed is always QuadSim's. A
hero who hides also walks through the walls of houses. Some of the others may be crossers, who keep close to the hero.
"""

import math
from collections.abc import Sequence

import numpy as np

from tools.simulator.city import City
from tools.simulator.crossers import Crosser, Ways
from tools.simulator.people import Person

HERO_SPEED_MPS = 1.485
"""QuadSim's speed of the hero."""

SPEEDS_MPS = (0.8, 1.6)  # of other people
OFFSETS_M = (0.1, 0.45)  # to the right of an edge; 0.6 m on both sides of it are free
MOST_ASIDE_M = 0.55  # greatest distance from an edge when stepping aside
WALK_S = (40.0, 30.0)  # mean time between stops, of the hero and of other people
STOP_S = ((2.0, 6.0), (2.0, 12.0))  # duration of a stop, of the hero and of other people

_LOOK_AHEAD_M = 0.8
_CORNER_M = 0.3  # distance to a node at which the turn begins
_TURN_AROUND_SHARE = 0.3  # of the speed, while facing away from the path
_APART_M = 0.9  # distance between the middles of two people
_ASIDE_MPS = 0.8
_TO_THE_RIGHT = 0.3  # bias to the right, so that two people who meet head-on pass each other
_STRIDE_CHANGE_PER_S = 3.0
_CROSSERS_SIDE_M = 0.5  # their distance from the edge while they cross
_CROSSERS_START_M = (4.0, 20.0)  # their way to the hero at the start


class Walkers:
    """The hero and other people on their way.

    Args:
        city: the city whose walk graph they use.
        count: number of people besides the hero.
        rng: decides starts, turns and stops.
        hides: whether the hero takes a passage at each node that has one, but never two in a row.
        crossers: numbers of the people who are crossers; they begin near the hero.

    Raises:
        ValueError: if `count` is negative.
    """

    turn_deg_s = 150.0
    acceleration_mps2 = 2.0
    gait_cycle_s = 1.0  # two steps at the speed below; slower people take slower and shorter steps
    gait_speed_mps = 1.4

    def __init__(
        self,
        city: City,
        count: int,
        rng: np.random.Generator,
        *,
        hides: bool = False,
        crossers: Sequence[int] = (),
    ) -> None:
        if count < 0:
            raise ValueError(f"expected a count of at least 0, got {count}")
        self._rng = rng
        self._nodes_m = np.asarray(city.walk_nodes_m, float)
        self._neighbours = _neighbours(city, city.walk_edges)
        self._passages = _neighbours(city, city.passages() if hides else ())
        everybody = count + 1
        start, end = _ends(city)
        lengths_m = np.linalg.norm(self._nodes_m[end] - self._nodes_m[start], axis=1)
        edge = rng.choice(len(start), everybody, p=lengths_m / lengths_m.sum())
        is_reversed = rng.random(everybody) < 0.5
        self._from = np.where(is_reversed, end[edge], start[edge])
        self._to = np.where(is_reversed, start[edge], end[edge])
        self._offset_m = rng.uniform(*OFFSETS_M, everybody)
        self._own_speed_mps = rng.uniform(*SPEEDS_MPS, everybody)
        self._own_speed_mps[0] = HERO_SPEED_MPS
        along, length_m = self._edges()
        self._feet_m = self._lane_m(along, rng.random(everybody) * length_m)
        self._heading_rad = np.arctan2(along[:, 1], along[:, 0])
        self._speed_mps = self._own_speed_mps.copy()
        self._phase_rad = rng.uniform(0.0, 2 * math.pi, everybody)
        self._stride = np.ones(everybody)
        self._stopped_for_s = np.zeros(everybody)
        self._velocity_mps = np.zeros((everybody, 2))
        crossers_rng = rng.spawn(1)[0]  # so that other people's random numbers do not change
        self._ways = Ways(self._nodes_m, self._neighbours)
        self._crossers = {person: Crosser(float(self._own_speed_mps[person]), crossers_rng) for person in crossers}
        self._start_near_hero(list(crossers), crossers_rng)

    @property
    def people(self) -> list[Person]:
        """Positions and postures of all people, the hero first."""
        return [
            Person(*values)
            for values in zip(
                *self._feet_m.T.tolist(),
                np.degrees(self._heading_rad).tolist(),
                self._phase_rad.tolist(),
                self._stride.tolist(),
                strict=True,
            )
        ]

    @property
    def positions_m(self) -> np.ndarray:
        """Feet of all people, (count + 1, 3) metres, the hero first."""
        return np.column_stack([self._feet_m, np.zeros(len(self._feet_m))])

    @property
    def hero_position_m(self) -> np.ndarray:
        """Feet of the hero, (3,) metres."""
        return self.positions_m[0]

    @property
    def hero_velocity_mps(self) -> np.ndarray:
        """Velocity of the hero over the latest step, (3,) m/s; zero before the first step."""
        return np.append(self._velocity_mps[0], 0.0)

    def step(self, step_s: float) -> None:
        """Walk for `step_s` seconds; steps of at most 0.05 s give round turns."""
        before_m = self._feet_m.copy()
        self._turn_at_crossings()
        self._stop_and_go(step_s)
        self._direct_crossers(step_s)
        along, _ = self._edges()
        ahead_m = self._lane_m(along, self._progress_m(along) + _LOOK_AHEAD_M)
        off_course_rad = self._turn_towards(ahead_m - self._feet_m, step_s)
        self._walk(off_course_rad, step_s)
        self._step_aside(_right_of(along), step_s)
        self._velocity_mps = (self._feet_m - before_m) / step_s

    def _edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Direction, (n, 2), and length, (n,) metres, of each person's edge."""
        way_m = self._nodes_m[self._to] - self._nodes_m[self._from]
        length_m = np.linalg.norm(way_m, axis=1)
        return way_m / length_m[:, np.newaxis], length_m

    def _progress_m(self, along: np.ndarray) -> np.ndarray:
        """Distance of each person from the start of their edge, (n,) metres."""
        return np.sum((self._feet_m - self._nodes_m[self._from]) * along, axis=1)

    def _lane_m(self, along: np.ndarray, progress_m: np.ndarray) -> np.ndarray:
        """Points of each person's lane at a distance from the start of their edge, (n, 2) metres."""
        beside_m = _right_of(along) * self._offset_m[:, np.newaxis]
        return self._nodes_m[self._from] + along * progress_m[:, np.newaxis] + beside_m

    def _turn_at_crossings(self) -> None:
        """Choose a new edge for people who have reached a node; they turn back only at dead ends."""
        along, length_m = self._edges()
        for person in np.flatnonzero(self._progress_m(along) >= length_m - _CORNER_M).tolist():
            came_from, here = int(self._from[person]), int(self._to[person])
            if person in self._crossers:
                self._offset_m[person] = abs(self._offset_m[person])
                if self._crossers[person].is_due and here != self._to[0]:
                    self._from[person], self._to[person] = here, self._ways.next_node(here, int(self._to[0]))
                    continue
            onwards = [node for node in self._neighbours[here] if node != came_from] or [came_from]
            if person == 0 and came_from not in self._passages[here]:
                onwards = self._passages[here] or onwards
            self._from[person], self._to[person] = here, onwards[self._rng.integers(len(onwards))]

    def _stop_and_go(self, step_s: float) -> None:
        self._stopped_for_s = np.maximum(self._stopped_for_s - step_s, 0.0)
        chance = np.full(len(self._feet_m), step_s / WALK_S[1])
        chance[0] = step_s / WALK_S[0]
        stops = self._rng.random(len(chance)) < chance
        for person in np.flatnonzero(stops & (self._stopped_for_s == 0.0)).tolist():
            self._stopped_for_s[person] = self._rng.uniform(*STOP_S[min(person, 1)])

    def _turn_towards(self, way_m: np.ndarray, step_s: float) -> np.ndarray:
        """Turn walking people towards `way_m`, (n, 2); returns the angles to it before the turn, (n,) radians."""
        off_course_rad = np.arctan2(way_m[:, 1], way_m[:, 0]) - self._heading_rad
        off_course_rad = (off_course_rad + math.pi) % (2 * math.pi) - math.pi
        most_rad = math.radians(self.turn_deg_s) * step_s
        turn_rad = np.clip(off_course_rad, -most_rad, most_rad)
        self._heading_rad += np.where(self._stopped_for_s > 0, 0.0, turn_rad)
        return off_course_rad

    def _walk(self, off_course_rad: np.ndarray, step_s: float) -> None:
        share = np.clip(np.cos(off_course_rad), _TURN_AROUND_SHARE, 1.0)
        wanted_mps = np.where(self._stopped_for_s > 0, 0.0, self._own_speed_mps * share)
        most_mps = self.acceleration_mps2 * step_s
        self._speed_mps += np.clip(wanted_mps - self._speed_mps, -most_mps, most_mps)
        heading = np.column_stack([np.cos(self._heading_rad), np.sin(self._heading_rad)])
        self._feet_m += heading * (self._speed_mps * step_s)[:, np.newaxis]
        pace = np.sqrt(self._speed_mps / self.gait_speed_mps)
        self._phase_rad = (self._phase_rad + 2 * math.pi / self.gait_cycle_s * pace * step_s) % (2 * math.pi)
        most = _STRIDE_CHANGE_PER_S * step_s
        self._stride += np.clip(self._wanted_stride(pace) - self._stride, -most, most)

    def _wanted_stride(self, pace: np.ndarray) -> np.ndarray:
        return np.minimum(pace, 1.0)

    def _step_aside(self, right: np.ndarray, step_s: float) -> None:
        """Move people except the hero sideways from near people, preferably to the right, and never off their paths."""
        apart_m = self._feet_m[:, np.newaxis] - self._feet_m[np.newaxis, :]
        distance_m = np.linalg.norm(apart_m, axis=-1)
        np.fill_diagonal(distance_m, math.inf)
        nearness = np.clip(1.0 - distance_m / _APART_M, 0.0, 1.0)
        sideways = np.einsum("ijk,ik->ij", apart_m, right) / np.maximum(distance_m, 1e-6)
        push = np.sum(nearness * (sideways + _TO_THE_RIGHT), axis=1)
        aside_m = np.clip(4.0 * push, -1.0, 1.0) * (_ASIDE_MPS * step_s)
        aside_m[[0, *(person for person, crosser in self._crossers.items() if crosser.is_crossing)]] = 0.0
        beside_m = np.sum((self._feet_m - self._nodes_m[self._from]) * right, axis=1)
        leaves = (np.abs(beside_m + aside_m) > MOST_ASIDE_M) & (beside_m * aside_m > 0)
        self._feet_m += right * np.where(leaves, 0.0, aside_m)[:, np.newaxis]

    # --- crossers

    def _start_near_hero(self, crossers: list[int], rng: np.random.Generator) -> None:
        """Let crossers begin on their way to the hero, some edges away."""
        hero_from, hero_to = int(self._from[0]), int(self._to[0])
        way_m = self._ways.distances_m[hero_from]
        near = np.flatnonzero((way_m > _CROSSERS_START_M[0]) & (way_m < _CROSSERS_START_M[1]))
        near = near[near != hero_to]
        for person in crossers if len(near) else ():
            self._from[person] = rng.choice(near)
            self._to[person] = self._ways.next_node(int(self._from[person]), hero_to)
        along, length_m = self._edges()
        self._feet_m[crossers] = self._lane_m(along, 0.1 * length_m)[crossers]
        self._heading_rad[crossers] = np.arctan2(along[crossers, 1], along[crossers, 0])

    def _direct_crossers(self, step_s: float) -> None:
        """Set the speed and the side of each crosser."""
        along, _ = self._edges()
        hero_from, hero_to = self._from[0], self._to[0]
        for person, crosser in self._crossers.items():
            if crosser.is_due:
                self._stopped_for_s[person] = 0.0
                if (self._from[person], self._to[person]) == (hero_to, hero_from):  # turns round
                    self._from[person], self._to[person] = hero_from, hero_to
                    self._offset_m[person] *= -1
            is_with_hero = (self._from[person], self._to[person]) == (hero_from, hero_to)
            right = _right_of(along[[0 if is_with_hero else person]])[0]
            beside_m = float((self._feet_m[person] - self._nodes_m[self._from[person]]) @ right)
            off_side_m = abs(self._offset_m[person] - beside_m)
            ahead_m = float((self._feet_m[person] - self._feet_m[0]) @ along[0]) if is_with_hero else None
            if crosser.step(step_s, ahead_m, off_side_m, float(self._speed_mps[0])):
                self._offset_m[person] = -math.copysign(_CROSSERS_SIDE_M, beside_m)
            self._own_speed_mps[person] = crosser.speed_mps


def _right_of(along: np.ndarray) -> np.ndarray:
    """Rotate (n, 2) directions to the right by 90°."""
    return np.column_stack([along[:, 1], -along[:, 0]])


def _ends(city: City) -> tuple[np.ndarray, np.ndarray]:
    """Nodes at the start and at the end of each edge, (E,) each."""
    edges = np.asarray(city.walk_edges, int)
    return edges[:, 0], edges[:, 1]


def _neighbours(city: City, edges: tuple[tuple[int, int], ...]) -> list[list[int]]:
    """Neighbours of each node over some edges, in order."""
    neighbours: list[list[int]] = [[] for _ in city.walk_nodes_m]
    for start, end in edges:
        neighbours[start].append(end)
        neighbours[end].append(start)
    return neighbours

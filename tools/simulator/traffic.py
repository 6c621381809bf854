"""Cars and cyclists on the road around the block. World frame (ROS), metres, degrees.

Traffic keeps to the right in one lane for each direction, slows down in corners, brakes for vehicles and people in
front, and does not overtake. A car stops now and then before a zebra crossing, and turns wide. Cyclists ride at the
edge of the road and do not stop for long.
"""

import math
from typing import NamedTuple

import numpy as np

from tools.simulator.block import ROAD_MIDDLE_M, ZEBRA_M
from tools.simulator.people import Person

_AHEAD_M = 7.0  # vehicles brake for people within this distance in front
_BRAKE_MPS2 = 4.0


class Manner(NamedTuple):
    """How a kind of vehicle drives.

    Args:
        lane_m: distance from the middle of the road.
        speeds_mps: range of the speed on a straight.
        corner_mps: highest speed in a corner.
        corner_m: radius of the corner of the inner lane; the outer lane's is larger by the distance of the lanes.
        acceleration_mps2: when it speeds up.
        length_m: from end to end.
        stops: chance of a stop at a zebra crossing.
        stop_s: range of the duration of a stop.
        phase_per_m: turn of the wheels or the pedals per distance, rad/m.
    """

    lane_m: float
    speeds_mps: tuple[float, float]
    corner_mps: float
    corner_m: float
    acceleration_mps2: float
    length_m: float
    stops: float
    stop_s: tuple[float, float]
    phase_per_m: float


CARS = Manner(1.9, (5.0, 8.0), 3.2, 4.0, 1.8, 4.3, 0.3, (2.0, 6.0), 1 / 0.32)
CYCLISTS = Manner(2.9, (3.0, 5.0), 3.0, 3.5, 0.8, 1.8, 0.08, (1.0, 3.0), 2 * math.pi / 4.5)


class Traffic:
    """Vehicles of one kind on their way; the first is the target.

    Args:
        count: number of vehicles besides the target.
        rng: decides lanes, places, speeds and stops.
        manner: how they drive.

    Raises:
        ValueError: if `count` is negative.
    """

    def __init__(self, count: int, rng: np.random.Generator, manner: Manner) -> None:
        if count < 0:
            raise ValueError(f"expected a count of at least 0, got {count}")
        self._rng, self._manner = rng, manner
        lanes = (
            _Lane(ROAD_MIDDLE_M - manner.lane_m, manner.corner_m, -1),
            _Lane(ROAD_MIDDLE_M + manner.lane_m, manner.corner_m + 2 * manner.lane_m, 1),
        )
        vehicles = count + 1
        # At equal distances, in random order, so that no two are at the same place.
        places = rng.permutation(vehicles)
        self._lanes = [lanes[place % 2] for place in places]
        slots = -(-vehicles // 2)
        shift = rng.random(2)
        self._along_m = np.array(
            [(place // 2 + shift[place % 2]) / slots * lanes[place % 2].length_m for place in places]
        )
        self._own_mps = rng.uniform(*manner.speeds_mps, vehicles)
        self._speed_mps = np.minimum(self._own_mps, manner.corner_mps)
        self._stop_for_s = np.zeros(vehicles)
        self._phase_rad = rng.uniform(0.0, 2 * math.pi, vehicles)
        self._velocity_mps = np.zeros(3)

    @property
    def people(self) -> list[Person]:
        """Positions and postures of all vehicles, the target first."""
        return [
            Person(*lane.at(along_m), phase_rad, 1.0)
            for lane, along_m, phase_rad in zip(
                self._lanes, self._along_m.tolist(), self._phase_rad.tolist(), strict=True
            )
        ]

    @property
    def positions_m(self) -> np.ndarray:
        """Middles of all vehicles on the ground, (count + 1, 3) metres, the target first."""
        return np.array([[vehicle.x_m, vehicle.y_m, 0.0] for vehicle in self.people])

    @property
    def hero_velocity_mps(self) -> np.ndarray:
        """Velocity of the target over the latest step, (3,) m/s; zero before the first step."""
        return self._velocity_mps

    def step(self, step_s: float, others_m: np.ndarray) -> None:
        """Drive for `step_s` seconds; `others_m` are the feet of people on foot, (N, 3)."""
        before_m = self.positions_m[0]
        manner = self._manner
        self._stop_for_s = np.maximum(self._stop_for_s - step_s, 0.0)
        moved_m = np.zeros(len(self._along_m))
        for number, lane in enumerate(self._lanes):
            wanted_mps = min(self._own_mps[number], lane.limit_mps(self._along_m[number], manner.corner_mps))
            wanted_mps = min(wanted_mps, math.sqrt(2 * 0.7 * _BRAKE_MPS2 * max(self._gap_m(number, others_m), 0.0)))
            if self._stop_for_s[number] > 0:
                wanted_mps = 0.0
            change_mps = wanted_mps - self._speed_mps[number]
            most_mps, least_mps = manner.acceleration_mps2 * step_s, -_BRAKE_MPS2 * step_s
            self._speed_mps[number] = max(self._speed_mps[number] + min(max(change_mps, least_mps), most_mps), 0.0)
            moved_m[number] = self._speed_mps[number] * step_s
            # A vehicle brakes from its stop line on; the time of braking is added to that of the stop.
            if lane.passes_zebra(self._along_m[number], moved_m[number]) and self._rng.random() < manner.stops:
                self._stop_for_s[number] = self._rng.uniform(*manner.stop_s) + self._speed_mps[number] / _BRAKE_MPS2
        lengths_m = np.array([lane.length_m for lane in self._lanes])
        self._along_m = (self._along_m + moved_m) % lengths_m
        self._phase_rad = (self._phase_rad + manner.phase_per_m * moved_m) % (2 * math.pi)
        self._velocity_mps = (self.positions_m[0] - before_m) / step_s

    def _gap_m(self, number: int, others_m: np.ndarray) -> float:
        """Free distance in front of a vehicle: to the next one in its lane, or to somebody on foot."""
        lane = self._lanes[number]
        ahead_m = [
            (self._along_m[other] - self._along_m[number]) % lane.length_m
            for other, its_lane in enumerate(self._lanes)
            if its_lane is lane and other != number
        ]
        gap_m = min(ahead_m, default=math.inf) - self._manner.length_m - 1.5
        x_m, y_m, heading_deg = lane.at(float(self._along_m[number]))
        heading = np.array([math.cos(math.radians(heading_deg)), math.sin(math.radians(heading_deg))])
        way_m = others_m[:, :2] - [x_m, y_m]
        forward_m = way_m @ heading - self._manner.length_m / 2
        aside_m = np.abs(way_m @ [-heading[1], heading[0]])
        is_in_the_way = (forward_m > 0.0) & (forward_m < _AHEAD_M) & (aside_m < 1.3)
        return min(gap_m, float(forward_m[is_in_the_way].min(initial=math.inf)) - 1.0)


class _Lane(NamedTuple):
    """A loop of four straights and four quarters of a circle around the middle of the block.

    Args:
        half_m: half the side of the square.
        radius_m: of the corners.
        way: 1 counterclockwise, −1 clockwise.
    """

    half_m: float
    radius_m: float
    way: int

    @property
    def straight_m(self) -> float:
        return 2 * (self.half_m - self.radius_m)

    @property
    def side_m(self) -> float:
        """Length of a straight and the corner after it."""
        return self.straight_m + math.pi / 2 * self.radius_m

    @property
    def length_m(self) -> float:
        return 4 * self.side_m

    def at(self, along_m: float) -> tuple[float, float, float]:
        """Position, m, and heading, degrees, at a distance from the start."""
        quarter, on_side_m = divmod(along_m % self.length_m, self.side_m)
        if on_side_m < self.straight_m:
            x, y, turned = self.half_m, on_side_m - self.straight_m / 2, 0.0
        else:
            turned = (on_side_m - self.straight_m) / self.radius_m
            middle = self.half_m - self.radius_m
            x, y = middle + self.radius_m * math.cos(turned), middle + self.radius_m * math.sin(turned)
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[int(quarter) % 4]
        heading_deg = 90.0 * (quarter + 1) + math.degrees(turned)
        place = (x * cos - y * sin, x * sin + y * cos)
        if self.way < 0:  # mirrored at the x axis
            return place[0], -place[1], -heading_deg
        return (*place, heading_deg)

    def limit_mps(self, along_m: float, corner_mps: float) -> float:
        """Highest speed at which the next corner can still be taken at `corner_mps`."""
        to_corner_m = max(self.straight_m - along_m % self.side_m, 0.0)
        return math.sqrt(corner_mps**2 + 2 * 0.7 * _BRAKE_MPS2 * to_corner_m)

    def passes_zebra(self, along_m: float, moved_m: float) -> bool:
        """Whether a zebra crossing's stop line is between here and `moved_m` further."""
        # The crossings are `ZEBRA_M` counterclockwise from the middle of each side.
        line_m = self.straight_m / 2 + self.way * ZEBRA_M - 4.0
        on_side_m = along_m % self.side_m
        return on_side_m <= line_m < on_side_m + moved_m

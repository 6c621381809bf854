"""The targets of the stand-in: the hero, and further targets by name, each with others of its kind."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tools.simulator.bodies import PERSON, Body
from tools.simulator.cars import CAR, LENGTH_M, other_car, target_car
from tools.simulator.city import City
from tools.simulator.cyclists import CYCLIST, other_cyclist, target_cyclist
from tools.simulator.flight import ON_TARGET_M
from tools.simulator.lookalikes import MOST_LOOKALIKES
from tools.simulator.people import Person, person_in_blue, somewhat_blue
from tools.simulator.quadrupeds import CAT, DOG, other_cat, other_dog, target_cat, target_dog
from tools.simulator.roamers import CATS_MOODS, DOGS_MOODS, Mood, Roamers
from tools.simulator.traffic import CARS, CYCLISTS, Manner, Traffic
from tools.simulator.walkers import Walkers

HERO = "hero"


class Target(NamedTuple):
    """A kind of target.

    Args:
        body: kind of its body.
        look: makes the look of the target.
        other_look: draws the look of another of its kind; these take the place of the hero's lookalikes.
        others: usual number of others of its kind.
        motion: how animals or vehicles move; None for people, who walk.
        on_target_m: horizontal distance from the target's middle within which coordinates are on target; larger for a
            long target, because coordinates are on the side that faces the camera.
        fastest_mps: speed of coordinates above which a drone takes them for a jump to another place.
    """

    body: Body
    look: Callable[[], Any]
    other_look: Callable[[np.random.Generator], Any]
    others: int
    motion: tuple[Mood, ...] | Manner | None = None
    on_target_m: float = ON_TARGET_M
    fastest_mps: float = 3.0

    def population(self, city: City, others: int, people: int, rng: np.random.Generator) -> "Population":
        """Put the target, `others` of its kind and `people` on foot into a city; for targets other than the hero."""
        kin: Walkers | Roamers | Traffic
        if isinstance(self.motion, Manner):
            kin = Traffic(others, rng, self.motion)
        elif self.motion is not None:
            kin = Roamers(city, others, rng, self.motion)
        else:
            return Population(Walkers(city, others + people, rng), None)
        return Population(kin, Walkers(city, people - 1, rng.spawn(1)[0]) if people else None)


class Population:
    """Targets of one kind and people on foot, in this order: the target, others of its kind, people.

    Args:
        kin: the target and others of its kind.
        on_foot: people; None if there are none, or if `kin` has them.
    """

    def __init__(self, kin: "Walkers | Roamers | Traffic", on_foot: Walkers | None) -> None:
        self._kin, self._on_foot = kin, on_foot

    @property
    def people(self) -> list[Person]:
        """Positions and postures of all, the target first."""
        return self._kin.people + (self._on_foot.people if self._on_foot else [])

    @property
    def positions_m(self) -> np.ndarray:
        """Positions of all on the ground, (count, 3) metres, the target first."""
        return np.vstack([self._kin.positions_m, self._feet_m])

    @property
    def hero_position_m(self) -> np.ndarray:
        """Position of the target, (3,) metres."""
        return self._kin.positions_m[0]

    @property
    def hero_velocity_mps(self) -> np.ndarray:
        """Velocity of the target over the latest step, (3,) m/s."""
        return self._kin.hero_velocity_mps

    def step(self, step_s: float) -> None:
        """Move for `step_s` seconds, at most 0.05 s."""
        if isinstance(self._kin, Traffic):
            self._kin.step(step_s, self._feet_m)
        else:
            self._kin.step(step_s)
        if self._on_foot:
            self._on_foot.step(step_s)

    @property
    def _feet_m(self) -> np.ndarray:
        return self._on_foot.positions_m if self._on_foot else np.empty((0, 3))


TARGETS = {
    "dog": Target(DOG, target_dog, other_dog, 6, DOGS_MOODS, fastest_mps=6.0),
    "cat": Target(CAT, target_cat, other_cat, 6, CATS_MOODS, fastest_mps=6.0),
    "car": Target(CAR, target_car, other_car, 6, CARS, on_target_m=ON_TARGET_M + LENGTH_M / 2, fastest_mps=10.0),
    "cyclist": Target(CYCLIST, target_cyclist, other_cyclist, 6, CYCLISTS, fastest_mps=7.0),
    "person-in-blue": Target(PERSON, person_in_blue, somewhat_blue, 6),
}
"""Targets besides the hero, by name."""

NAMES = (HERO, *TARGETS)
LOOKALIKES_HELP = (
    f"number of these people who look similar to the hero, 0 to {MOST_LOOKALIKES}; with another --target, others of "
    "its kind in place of people (default: 0 for the hero, else 6)"
)
"""Help of the option `--lookalikes`. If the option is not given, its value None goes to `lookalikes_of`."""


def lookalikes_of(target: str, lookalikes: int | None, people: int) -> int:
    """The number of lookalikes, or of others of the target's kind: as given, or the usual number, at most `people`."""
    if lookalikes is not None:
        return lookalikes
    return 0 if target == HERO else min(TARGETS[target].others, people)

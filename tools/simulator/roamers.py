"""Dogs and cats on the walk graph. A dog runs ahead and back; a cat trots, sits and dashes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tools.simulator.city import City
from tools.simulator.walkers import Walkers


class Mood(NamedTuple):
    """A behaviour of an animal, for a while.

    Args:
        weight: relative frequency.
        speeds_mps: range of its speed; 0 to stay where it is.
        lasts_s: range of its duration.
        turns_back: whether it begins by turning round.
        sits: whether the animal sits.
    """

    weight: float
    speeds_mps: tuple[float, float]
    lasts_s: tuple[float, float]
    turns_back: bool = False
    sits: bool = False


DOGS_MOODS = (
    Mood(4, (1.2, 2.0), (3.0, 8.0)),  # trots
    Mood(2, (3.0, 4.5), (1.5, 3.5)),  # runs ahead
    Mood(2, (2.0, 3.5), (1.5, 3.0), turns_back=True),
    Mood(2, (0.0, 0.0), (1.0, 4.0)),  # sniffs
    Mood(0.5, (0.0, 0.0), (3.0, 6.0), sits=True),
)
CATS_MOODS = (
    Mood(5, (0.7, 1.3), (3.0, 9.0)),  # trots
    Mood(1, (3.0, 5.0), (0.8, 2.0)),  # dashes
    Mood(1, (0.8, 1.2), (2.0, 5.0), turns_back=True),
    Mood(2, (0.0, 0.0), (3.0, 9.0), sits=True),
)


class Roamers(Walkers):
    """Animals on their way; the first is the target.

    Args:
        city: the city whose walk graph they use.
        count: number of animals besides the target.
        rng: decides starts, turns and moods.
        moods: what they do.

    Raises:
        ValueError: if `count` is negative.
    """

    turn_deg_s = 400.0
    acceleration_mps2 = 8.0
    gait_cycle_s = 0.55
    gait_speed_mps = 1.5

    def __init__(self, city: City, count: int, rng: np.random.Generator, moods: Sequence[Mood]) -> None:
        super().__init__(city, count, rng)
        self._moods = moods
        weights = np.array([mood.weight for mood in moods])
        self._chances = weights / weights.sum()
        self._mood_for_s = np.zeros(count + 1)
        self._sits = np.zeros(count + 1, bool)

    def _stop_and_go(self, step_s: float) -> None:
        """Choose a new mood for each animal whose mood is over."""
        self._mood_for_s -= step_s
        self._stopped_for_s -= step_s
        for animal in np.flatnonzero(self._mood_for_s <= 0.0).tolist():
            mood = self._moods[self._rng.choice(len(self._moods), p=self._chances)]
            self._mood_for_s[animal] = self._rng.uniform(*mood.lasts_s)
            self._own_speed_mps[animal] = self._rng.uniform(*mood.speeds_mps)
            self._stopped_for_s[animal] = 0.0 if self._own_speed_mps[animal] else self._mood_for_s[animal]
            self._sits[animal] = mood.sits
            if mood.turns_back:
                self._from[animal], self._to[animal] = self._to[animal], self._from[animal]

    def _wanted_stride(self, pace: np.ndarray) -> np.ndarray:
        return np.where(self._sits & (self._speed_mps < 0.1), -1.0, np.minimum(pace, 1.0))

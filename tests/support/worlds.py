"""Worlds of the stand-in."""

import copy
import functools
import math

import numpy as np

from server.wire.messages import Pose
from tools.simulator.drone import Drone
from tools.simulator.targets import HERO
from tools.simulator.world import EPOCH_S, World


class SharedWorld(World):
    """A world at its start, with the renderer of all shared worlds of the same arguments: building one takes seconds.

    Do not render two shared worlds of the same arguments in turns.
    """

    def __init__(
        self,
        seed: int,
        people: int = 30,
        *,
        opengl: bool = False,
        start_s: float = EPOCH_S,
        hides: bool = False,
        lookalikes: int | None = 0,
        target: str = HERO,
    ) -> None:
        original = _original(seed, people, opengl, hides, lookalikes, target)
        vars(self).update(vars(original))
        self.walkers, self.drone = copy.deepcopy(original.walkers), copy.deepcopy(original.drone)
        self._start_s = start_s

    def close(self) -> None:
        """The renderer stays."""


@functools.cache
def _original(seed: int, people: int, opengl: bool, hides: bool, lookalikes: int | None, target: str) -> World:
    return World(seed, people, opengl=opengl, hides=hides, lookalikes=lookalikes, target=target)


def world_near_hero(kind: type[World] = World):
    """A world whose drone begins its patrol behind the hero, looking there."""
    world = kind(seed=4, people=5)  # the hero of this seed walks in the sun
    hero = world.walkers.people[0]
    heading_rad = math.radians(hero.heading_deg)
    x_m, y_m = hero.x_m - 4.0 * math.cos(heading_rad), hero.y_m - 4.0 * math.sin(heading_rad)
    world.drone = Drone(np.array([[x_m, y_m, 3.0]]), Pose(x_m, y_m, 3.0, 0.0, 0.0, hero.heading_deg - 20.0))
    return world

"""Worlds of the stand-in."""

import math

import numpy as np

from server.sight.geometry import Pose
from tools.simulator.drone import Drone
from tools.simulator.world import World


def world_near_hero(seed=4, people=5):
    """A world whose drone begins its patrol behind the hero, looking there; the hero of this seed walks in the sun."""
    world = World(seed, people)
    hero = world.walkers.people[0]
    heading_rad = math.radians(hero.heading_deg)
    x_m, y_m = hero.x_m - 4.0 * math.cos(heading_rad), hero.y_m - 4.0 * math.sin(heading_rad)
    world.drone = Drone(np.array([[x_m, y_m, 3.0]]), Pose(x_m, y_m, 3.0, 0.0, 0.0, hero.heading_deg - 20.0))
    return world

"""Flights written by hand, five frames a second."""

import math
from collections.abc import Sequence

import numpy as np

from tools.simulator.flight import Flight, Tracked

PERIOD_S = 0.2
NOWHERE = (math.nan, math.nan)
"""What the drone is told on patrol."""


def flight(told_m, hero_m=(0.0, 0.0), others_m=(), hero_px=100, in_view=False, tracked: Sequence = ()) -> Flight:
    """A flight of len(told_m) frames; a value that is given once holds for all frames.

    `others_m` is one position for each of the others; `in_view` has a column for each person, the hero first; `tracked`
    has (id, x, y) for each track in each frame.
    """
    frames = len(told_m)
    return Flight(
        PERIOD_S,
        np.broadcast_to(np.array(hero_m, float), (frames, 2)),
        np.broadcast_to(np.array(others_m, float).reshape(-1, 2), (frames, len(others_m), 2)),
        np.broadcast_to(np.array(hero_px), (frames,)),
        np.array(told_m, float),
        np.broadcast_to(np.array(in_view), (frames, 1 + len(others_m))),
        tuple(tuple(Tracked(*track) for track in moment) for moment in tracked or [()] * frames),
    )

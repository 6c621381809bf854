"""Whom the drone followed instead of the hero: chases of strangers, and switches from one person to another.

chase       frames on a wrong person in which the same stranger is the nearest to the coordinates; runs that are
            interrupted for less than a second are one chase; a chase lasts a second or more from first to last frame
followed    the person within 2 m (of a car, 4.15 m) of the coordinates: the person followed in the frame before if
            that person is within this distance, else the hero, else the nearest stranger; nobody on patrol
switch      a change from one followed person to another without a patrol between
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from tools.simulator.flight import NOBODY, Flight, runs_of

CHASE_S = 1.0
JOINED_WITHIN_S = 1.0


class Chase(NamedTuple):
    """A chase; `stranger` is the number of the person among the other people."""

    stranger: int
    start_s: float
    end_s: float


def chases_of(flight: Flight) -> list[Chase]:
    """Find the chases of a flight, in order of their starts."""
    is_wrong = flight.is_on_wrong_person
    if not is_wrong.any():
        return []
    nearest = np.full(len(is_wrong), NOBODY)
    nearest[is_wrong] = np.argmin(flight.to_others_m[is_wrong], axis=1)
    chases = []
    for stranger in np.unique(nearest[is_wrong]).tolist():
        for first, end in _joined(runs_of(nearest == stranger), JOINED_WITHIN_S / flight.period_s):
            if (end - first) * flight.period_s >= CHASE_S:
                chases.append(Chase(stranger, flight.period_s * first, flight.period_s * end))
    return sorted(chases, key=lambda chase: chase.start_s)


def second_chases(flight: Flight) -> int:
    """Count the chases of strangers who were chased before in the same flight."""
    by_stranger = Counter(chase.stranger for chase in chases_of(flight))
    return sum(count - 1 for count in by_stranger.values())


def followed_people(flight: Flight) -> np.ndarray:
    """The person followed in each frame, (F,) int: 0 the hero, from 1 on the others, or `NOBODY`."""
    distances_m = np.concatenate([flight.errors_m[:, None], flight.to_others_m], axis=1)
    is_on = distances_m <= flight.on_person_m  # nobody on patrol, when the distances are NaN
    followed = np.full(len(distances_m), NOBODY)
    latest = NOBODY
    for frame, away_m in enumerate(distances_m):
        if not is_on[frame].any():
            latest = NOBODY
        elif latest == NOBODY or not is_on[frame, latest]:
            latest = 0 if is_on[frame, 0] else int(np.argmin(np.where(is_on[frame], away_m, np.inf)))
        followed[frame] = latest
    return followed


def switches_of(flight: Flight) -> int:
    """Count the changes from one followed person to another without a patrol between."""
    switches, latest = 0, NOBODY
    for person, told_m in zip(followed_people(flight).tolist(), flight.told_m, strict=True):
        if np.isnan(told_m[0]):
            latest = NOBODY
        elif person != NOBODY:
            switches += latest not in (NOBODY, person)
            latest = person
    return switches


def _joined(runs: list[tuple[int, int]], within_frames: float) -> list[tuple[int, int]]:
    """Join runs with fewer than `within_frames` frames between them."""
    joined = runs[:1]
    for first, end in runs[1:]:
        if first - joined[-1][1] < within_frames:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((first, end))
    return joined

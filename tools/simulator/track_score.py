"""How well a pilot tracks all people in view, as IDF1 by motmetrics.

Each track of a flight is matched with one person at most, so that as many frames as possible agree: a frame agrees if
the person is in view and the track within `MATCH_WITHIN_M` of them. IDF1 is 2 · agreeing / (frames of people in view +
frames of tracks): 1 if each person has one track for as long as they are in view, 0 if nobody is tracked.

Source: Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016.
"""

from collections.abc import Sequence
from typing import NamedTuple

import motmetrics
import numpy as np

from tools.simulator.flight import ON_TARGET_M, Flight

MATCH_WITHIN_M = 1.0
"""A track's position is on the surface that faces the camera, not in the middle of the body.

For a target longer than a person, such as a car, the distance grows by `on_target_m - ON_TARGET_M`.
"""


class Agreement(NamedTuple):
    """Person-frames of one or several flights: of people in view, of tracks, and those in which both agree."""

    in_view: int
    tracked: int
    agreeing: int

    @property
    def idf1(self) -> float:
        """IDF1; NaN if nobody was in view and nobody tracked."""
        frames = self.in_view + self.tracked
        return 2 * self.agreeing / frames if frames else float("nan")


def agreement(flights: Sequence[Flight]) -> Agreement:
    """Match tracks and people in each flight; sums over the flights."""
    matched = [_matched(flight) for flight in flights]
    in_view = sum(int(np.count_nonzero(flight.in_view)) for flight in flights)
    return Agreement(in_view, sum(len(tracked) for flight in flights for tracked in flight.tracked), sum(matched))


def _matched(flight: Flight) -> int:
    """Frames in which tracks and their people agree."""
    if not flight.in_view.any() or not any(flight.tracked):
        return 0  # motmetrics fails if there is nothing to match
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    within_m = MATCH_WITHIN_M + (flight.on_person_m - ON_TARGET_M)
    for people_m, is_in_view, tracked in zip(flight.people_m, flight.in_view, flight.tracked, strict=True):
        people = np.flatnonzero(is_in_view)
        tracked_m = np.array([(person.x_m, person.y_m) for person in tracked]).reshape(-1, 2)
        away_m = np.linalg.norm(people_m[people, None] - tracked_m, axis=2)
        away_m[away_m > within_m[people, None]] = np.nan
        accumulator.update(people.tolist(), [person.id for person in tracked], away_m)
    return int(motmetrics.metrics.create().compute(accumulator, metrics=["idtp"])["idtp"].item())

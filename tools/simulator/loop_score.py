"""Score flown episodes: how well the commands led the drone to the hero.

All distances are horizontal, because the height of the coordinates within a body does not matter to a drone.

    visible     more than 10 pixels of the frame show the hero, the original's threshold
    shown       visible in every frame of a second; the camera of a patrol passes over a place in 1.7 s
    on target   the drone is told to follow coordinates within 2 m of the hero (4.15 m of the middle of a car)
    acquired    since the first frame that is on target
    loss        a second or more off target, after acquisition

`stranger_score` defines chases and switches, `track_score` IDF1.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tools.simulator.flight import Flight, runs_of
from tools.simulator.stranger_score import chases_of, second_chases, switches_of
from tools.simulator.track_score import agreement

LOSS_S = 1.0
VELOCITY_OVER_S = 1.0
_HOUR_S = 3600.0


class Loss(NamedTuple):
    """A loss; `visible_s` is the time from its first frame with the hero to its end, None without such a frame."""

    start_s: float
    end_s: float
    visible_s: float | None


class Score(NamedTuple):
    """Figures of one or several flights; NaN where there is nothing to measure.

    Args:
        episodes: number of flights.
        acquired: number of flights in which the hero was acquired.
        acquire_s: median time from the first visible frame of the hero to acquisition.
        acquire_p90_s: 90th percentile of this time.
        shown: number of flights in which the hero was shown.
        acquired_of_shown: number of flights in which the hero was shown and acquired.
        acquire_shown_s: median time from the beginning of the first second that shows the hero to acquisition.
        acquire_shown_p90_s: 90th percentile of this time.
        acquire_from_start_s: median time from the start to acquisition.
        acquire_from_start_p90_s: 90th percentile of this time.
        on_target: share of the time on target after acquisition.
        losses: total number of losses.
        reacquire_s: median time from the first frame of a loss that shows the hero to the end of the loss.
        wrong_person: share of all time in which the drone was told to follow another person.
        chases_per_h: chases of strangers per hour of flight.
        second_chases: total number of chases of strangers who were chased before in the same flight.
        switches: total number of switches from one followed person to another without a patrol between.
        idf1: IDF1 of the people whom the pilot tracked.
        error_m: median distance of the coordinates to the hero while following.
        error_p95_m: 95th percentile of this distance.
        velocity_error_mps: median difference of the velocities of coordinates and hero, each over one second.
        roughness_m: root mean square of the coordinates' second difference between frames.
    """

    episodes: int
    acquired: int
    acquire_s: float
    acquire_p90_s: float
    shown: int
    acquired_of_shown: int
    acquire_shown_s: float
    acquire_shown_p90_s: float
    acquire_from_start_s: float
    acquire_from_start_p90_s: float
    on_target: float
    losses: int
    reacquire_s: float
    wrong_person: float
    chases_per_h: float
    second_chases: int
    switches: int
    idf1: float
    error_m: float
    error_p95_m: float
    velocity_error_mps: float
    roughness_m: float

    def as_json(self) -> dict[str, float | None]:
        """The figures by name, ready for JSON: None where there is nothing to measure."""
        return {name: None if math.isnan(value) else value for name, value in self._asdict().items()}


def score(flights: Sequence[Flight]) -> Score:
    """Score flights together: all frames, losses and acquisitions have the same weight.

    A missing acquisition and a loss that lasts to the end of the flight count with the time until the end.

    Raises:
        ValueError: if there are no flights.
    """
    if not flights:
        raise ValueError("expected at least one flight to score, got none")
    starts = [_acquired_at(flight) for flight in flights]
    from_start_s = _acquisitions_s(flights, [0] * len(flights))
    since_visible_s = _acquisitions_s(flights, [_first(flight.is_visible) for flight in flights])
    first_shown = [_first(flight.is_shown_from) for flight in flights]
    since_shown_s = _acquisitions_s(flights, first_shown)
    after = [flight.is_on_target[start:] for flight, start in zip(flights, starts, strict=True) if start is not None]
    losses = [loss for flight in flights for loss in losses_of(flight)]
    errors_m = np.concatenate([flight.errors_m for flight in flights])
    hours = sum(flight.period_s * len(flight.told_m) for flight in flights) / _HOUR_S
    roughness_m = np.concatenate([_second_differences_m(flight) for flight in flights])
    return Score(
        episodes=len(flights),
        acquired=sum(start is not None for start in starts),
        acquire_s=_percentile(since_visible_s, 50),
        acquire_p90_s=_percentile(since_visible_s, 90),
        shown=len(since_shown_s),
        acquired_of_shown=sum(
            start is not None and shown is not None for start, shown in zip(starts, first_shown, strict=True)
        ),
        acquire_shown_s=_percentile(since_shown_s, 50),
        acquire_shown_p90_s=_percentile(since_shown_s, 90),
        acquire_from_start_s=_percentile(from_start_s, 50),
        acquire_from_start_p90_s=_percentile(from_start_s, 90),
        on_target=float(np.mean(np.concatenate(after))) if after else float("nan"),
        losses=len(losses),
        reacquire_s=_percentile([loss.visible_s for loss in losses if loss.visible_s is not None], 50),
        wrong_person=float(np.mean(np.concatenate([flight.is_on_wrong_person for flight in flights]))),
        chases_per_h=sum(len(chases_of(flight)) for flight in flights) / hours,
        second_chases=sum(second_chases(flight) for flight in flights),
        switches=sum(switches_of(flight) for flight in flights),
        idf1=agreement(flights).idf1,
        error_m=_percentile(errors_m, 50),
        error_p95_m=_percentile(errors_m, 95),
        velocity_error_mps=_percentile(np.concatenate([_velocity_errors_mps(flight) for flight in flights]), 50),
        roughness_m=float(np.sqrt(np.mean(roughness_m**2))) if len(roughness_m) else float("nan"),
    )


def losses_of(flight: Flight) -> list[Loss]:
    """Find the losses of a flight, in order."""
    start = _acquired_at(flight)
    if start is None:
        return []
    is_off = ~flight.is_on_target
    is_off[:start] = False
    losses = []
    for first, end in runs_of(is_off):
        if (end - first) * flight.period_s < LOSS_S:
            continue
        seen = _first(flight.is_visible[first:end])
        visible_s = None if seen is None else flight.period_s * (end - first - seen)
        losses.append(Loss(flight.period_s * first, flight.period_s * end, visible_s))
    return losses


def _acquisitions_s(flights: Sequence[Flight], since: Sequence[int | None]) -> list[float]:
    """Time from a frame of each flight to acquisition or the end of the flight, s; flights without the frame excluded.

    It is 0 if the acquisition is earlier: the hero may be found in fewer pixels than count as visible.
    """
    times_s = []
    for flight, first in zip(flights, since, strict=True):
        if first is not None:
            acquired = _acquired_at(flight)
            end = len(flight.told_m) if acquired is None else acquired
            times_s.append(flight.period_s * max(0, end - first))
    return times_s


def _acquired_at(flight: Flight) -> int | None:
    return _first(flight.is_on_target)


def _first(is_so: np.ndarray) -> int | None:
    return int(np.argmax(is_so)) if is_so.any() else None


def _velocity_errors_mps(flight: Flight) -> np.ndarray:
    frames = round(VELOCITY_OVER_S / flight.period_s)
    moved_m = flight.told_m[frames:] - flight.told_m[:-frames]
    hero_moved_m = flight.hero_m[frames:] - flight.hero_m[:-frames]
    return np.linalg.norm(moved_m - hero_moved_m, axis=1) / (frames * flight.period_s)


def _second_differences_m(flight: Flight) -> np.ndarray:
    differences_m = np.linalg.norm(np.diff(flight.told_m, n=2, axis=0), axis=1)
    return differences_m[np.isfinite(differences_m)]


def _percentile(values: Sequence[float] | np.ndarray, share: float) -> float:
    """Percentile of the finite values; NaN if there are none."""
    numbers = np.asarray(values, float)
    numbers = numbers[np.isfinite(numbers)]
    return float(np.percentile(numbers, share)) if len(numbers) else float("nan")

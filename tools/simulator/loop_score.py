"""How well a drone was led: the figures of flown episodes, from what it was told and where everybody was.

Distances are over ground, for the height of a position within a body doesn't matter to a drone that follows.

    visible     more than 10 pixels of the frame show the hero, as many as the original asked for
    shown       visible in every frame of a second; the camera of a patrol sweeps past a place in 1.7 s
    on target   told to follow coordinates within 2 m of the hero
    acquired    from the first frame on target on
    a loss      a second or more off target, after that
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

VISIBLE_MORE_THAN_PX = 10
ON_TARGET_M = 2.0
SHOWN_S = 1.0
LOSS_S = 1.0
VELOCITY_OVER_S = 1.0


class Flight(NamedTuple):
    """One episode as it was flown, in F moments `period_s` apart, one of them for each of the camera's frames.

    `hero_m` is (F, 2) and `others_m` (F, N, 2), metres over ground in the world frame; `hero_px` (F,) counts the
    pixels that show the hero. `told_m` is (F, 2): the coordinates that the drone was told to follow last, NaN while it
    patrols.
    """

    period_s: float
    hero_m: np.ndarray
    others_m: np.ndarray
    hero_px: np.ndarray
    told_m: np.ndarray

    @property
    def errors_m(self) -> np.ndarray:
        """(F,) metres from the coordinates to the hero, NaN while the drone patrols."""
        return np.linalg.norm(self.told_m - self.hero_m, axis=1)

    @property
    def is_on_target(self) -> np.ndarray:
        """(F,) bool."""
        return self.errors_m <= ON_TARGET_M

    @property
    def is_on_wrong_person(self) -> np.ndarray:
        """(F,) bool: told to follow coordinates that are off the hero, and nearer to somebody else."""
        to_others_m = np.linalg.norm(self.told_m[:, None] - self.others_m, axis=2).min(axis=1, initial=np.inf)
        return (self.errors_m > ON_TARGET_M) & (to_others_m < self.errors_m)

    @property
    def is_visible(self) -> np.ndarray:
        """(F,) bool."""
        return self.hero_px > VISIBLE_MORE_THAN_PX

    @property
    def is_shown_from(self) -> np.ndarray:
        """(F,) bool: a second begins in which every frame shows the hero."""
        frames = round(SHOWN_S / self.period_s)
        visible = np.concatenate([self.is_visible, np.zeros(frames - 1, bool)])
        return np.all(np.lib.stride_tricks.sliding_window_view(visible, frames), axis=1)


class Loss(NamedTuple):
    """A loss: `visible_s` from the first frame in it that shows the hero to its end, None if none does."""

    start_s: float
    end_s: float
    visible_s: float | None


class Score(NamedTuple):
    """The figures of one or several flights; NaN where there is nothing to measure.

    Args:
        episodes: flights.
        acquired: flights in which the hero was acquired.
        acquire_s: median time to that from the first frame in which the hero is visible.
        acquire_p90_s: 90th percentile of these.
        shown: flights in which the hero was shown.
        acquired_of_shown: those of them in which the hero was acquired.
        acquire_shown_s: median time to that from the beginning of the first second in which the hero was shown.
        acquire_shown_p90_s: 90th percentile of these.
        acquire_from_start_s: median time to that from the start.
        acquire_from_start_p90_s: 90th percentile of these.
        on_target: share of the time on target after acquisition.
        losses: how many, in all.
        reacquire_s: median time from the first frame of a loss that shows the hero to its end.
        wrong_person: share of all time in which the drone was told to follow somebody else.
        error_m: median distance of the coordinates from the hero, while told to follow.
        error_p95_m: 95th percentile of these.
        velocity_error_mps: median difference of the coordinates' velocity from the hero's, each over one second.
        roughness_m: root mean square of the second difference of the coordinates, from frame to frame.
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
    error_m: float
    error_p95_m: float
    velocity_error_mps: float
    roughness_m: float


def score(flights: Sequence[Flight]) -> Score:
    """Score flights together: every frame, loss and acquisition counts alike.

    What has not come to its end with the flight (no acquisition, a loss) counts with the time until then.

    Raises:
        ValueError: if there is no flight.
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
        error_m=_percentile(errors_m, 50),
        error_p95_m=_percentile(errors_m, 95),
        velocity_error_mps=_percentile(np.concatenate([_velocity_errors_mps(flight) for flight in flights]), 50),
        roughness_m=float(np.sqrt(np.mean(roughness_m**2))) if len(roughness_m) else float("nan"),
    )


def losses_of(flight: Flight) -> list[Loss]:
    """The losses of a flight, in order."""
    start = _acquired_at(flight)
    if start is None:
        return []
    is_off = ~flight.is_on_target
    is_off[:start] = False
    edges = np.flatnonzero(np.diff(is_off.astype(int), prepend=0, append=0))
    losses = []
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if (end - first) * flight.period_s < LOSS_S:
            continue
        seen = _first(flight.is_visible[first:end])
        visible_s = None if seen is None else flight.period_s * (end - first - seen)
        losses.append(Loss(flight.period_s * first, flight.period_s * end, visible_s))
    return losses


def _acquisitions_s(flights: Sequence[Flight], since: Sequence[int | None]) -> list[float]:
    """Seconds from a frame of each flight to acquisition, or to the flight's end; nothing where there is no frame.

    Zero for who is on target before that frame: found in fewer pixels than count as visible.
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
    """Of those that are numbers; NaN if none is."""
    numbers = np.asarray(values, float)
    numbers = numbers[np.isfinite(numbers)]
    return float(np.percentile(numbers, share)) if len(numbers) else float("nan")

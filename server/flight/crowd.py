"""Tracks of all people whose place is known: assigns the sightings of each frame to the people of earlier frames.

Sightings are assigned to people so that the total cost of all pairs is least. A sighting without a pair is a newcomer.
The cost of a pair is −2·log of a likelihood ratio: how much likelier the sighting is if it shows this person than if it
shows a newcomer. The ratio depends on the person's predicted place, and on their probability of being the hero. People
out of view are remembered, and their places are predicted.

Source: Blackman, Popoli, Design and Analysis of Modern Tracking Systems, 6.4 (global nearest neighbour).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import lap
import numpy as np

from server.flight import identity
from server.flight.identity import Belief, Means
from server.flight.motion import Fix, Motion, Track
from server.flight.strides import Stride, updated_pace
from server.settings import TrackerConfig

# Density of people, including false sightings of people, per m² of the places where people walk, in the scenes of
# QuadSim and of the stand-in.
NEWCOMERS_PER_M2 = 0.01
# Largest cost of a pair, −2·log of a likelihood ratio; beyond it, the sighting is a newcomer. Fresh: the track was seen
# within `JUST_S`; people turn and stop, so a higher cost is allowed. Stale: any other track; it must fit better than a
# newcomer. With a `JUST_S` of 0.5 s, frames of `validation` and `train` in which the hero jumps were followed half as
# often; heroes behind houses, seeds 530 to 549, were followed equally well.
LARGEST_COST_FRESH, LARGEST_COST_STALE = 6.0, 0.0
FRESH_S, JUST_S = 1.0, 0.7
# Probability that a person seen within `FRESH_S` has turned or stopped since the frame before: about once in ten
# seconds. Set beforehand, and kept after flights in a world three times as fast, seeds 601 to 605.
TURN_PROBABILITY = 0.02
# People closer to each other than CROSSING_M hide parts of each other, so their places get an additional standard
# deviation of CROSSING_STD_M. Their looks then count more than their places. Tried on flights of the stand-in with
# lookalikes, seeds 510 to 525: four times without this rule, and never with it, the hero's track went over to somebody
# who crossed the hero's way.
CROSSING_M, CROSSING_STD_M = 1.5, 0.5
FLICKER_S = 1.0  # a person with a single sighting is forgotten after this time
# Unreliable poses or depths break all tracks, and the hero then seems to jump. The newcomer with the most evidence
# takes over the belief in the likeliest hero whose track has broken: its settled part and this share of its present
# part, up to a bound in nats.
JUMP_WORTH, MOST_TAKEN_OVER = 0.2, 4.0
MOST_PEOPLE = 200


class Person(NamedTuple):
    """A tracked person. An immutable value: `Crowd.update` returns the next.

    Args:
        number: identifies the person within the session; counts up from 1.
        track: position and velocity.
        belief: evidence that this is the hero.
        sightings: number of sightings so far.
        is_unconfirmed: whether no sighting after the first has been assigned to the person yet.
        stride_from: (time, x, y) of an earlier sighting, from which the next speed is measured (`strides.Stride`).
        speed_mps: speed over ground by the latest measurement; None before the first, and for a person far away.
        is_refused: whether the operator has said that this is not the one to follow.
        is_lookalike: whether the person has been found to be a lookalike of the hero.
    """

    number: int
    track: Track
    belief: Belief
    sightings: int = 1
    is_unconfirmed: bool = True
    stride_from: tuple[float, float, float] | None = None
    speed_mps: float | None = None
    is_refused: bool = False
    is_lookalike: bool = False

    @property
    def seen_s(self) -> float:
        """Session time of the latest sighting."""
        return self.track.time_s

    @property
    def is_seen_once(self) -> bool:
        """Whether there was a single sighting. It may be a short error of the network, or be due to the light."""
        return self.sightings == 1


class Crowd(NamedTuple):
    """All tracked people, sorted by number. An immutable value: `update` returns the next.

    Args:
        people: the remembered people.
        next_number: number of the next newcomer.
        pace: how many times as fast as usual the world moves.
        lookalikes: number of lookalikes of the hero that have been met.
    """

    people: tuple[Person, ...] = ()
    next_number: int = 1
    pace: float = 1.0
    lookalikes: int = 0

    def person(self, number: int | None) -> Person | None:
        """The person with a number; None if there is none."""
        return next((person for person in self.people if person.number == number), None)

    def probability(self, person: Person) -> float:
        """The probability that one of `people` is the hero."""
        return self.probabilities()[self.people.index(person)]

    def probabilities(self) -> list[float]:
        """The probability of each of `people` that they are the hero."""
        beliefs = (None if person.is_refused else person.belief for person in self.people)
        seen_once = {at for at, person in enumerate(self.people) if person.is_seen_once}
        return identity.probabilities(beliefs, self.lookalikes, seen_once)

    def with_refused(self, number: int, is_refused: bool) -> "Crowd":
        """The crowd in which a person can never be the hero (`is_refused`), or can be again."""
        person = self.person(number)
        return self if person is None else self.with_person(person._replace(is_refused=is_refused))

    def with_person(self, changed: Person) -> "Crowd":
        """The crowd with a changed person in place of the former one of the same number."""
        return self._replace(
            people=tuple(changed if person.number == changed.number else person for person in self.people)
        )

    def update(
        self, time_s: float, step_s: float, fixes: Sequence[Fix], config: TrackerConfig, is_part: bool = False
    ) -> "Crowd":
        """Take in the sightings of one frame.

        Args:
            time_s: session time of the frame, later than all before it.
            step_s: time since the frame before.
            fixes: its sightings with a place.
            config: the tracker's settings.
            is_part: whether only a part of the frame was looked at; then an unseen person has not vanished.
        """
        motion = Motion(config, self.pace)
        known = tuple(person for person in self.people if _is_remembered(person, time_s, config))
        chances = self._replace(people=known).probabilities()
        pairs = _assign(known, chances, fixes, motion, time_s, config.gate_sigma)
        people = [
            _seen_again(person, fixes[pairs[at].fix], pairs[at], motion)
            if at in pairs
            else person._replace(belief=person.belief.faded(step_s))
            for at, person in enumerate(known)
        ]
        vanished = None if is_part else _vanished(people, pairs, time_s)
        assigned = {pair.fix for pair in pairs.values()}
        new = [fix for at, fix in enumerate(fixes) if at not in assigned]
        newcomers = [
            Person(number, motion.start(fix), Belief.first(fix.evidence, fix.second_evidence))
            for number, fix in enumerate(new, self.next_number)
        ]
        heir = max(range(len(new)), key=lambda at: new[at].evidence, default=None)
        if vanished is not None and heir is not None and new[heir].evidence > 0:
            newcomers[heir] = _with_inherited_belief(newcomers[heir], people[vanished], new[heir])
            people[vanished] = people[vanished]._replace(belief=Belief.first(0.0, 0.0))
        people += newcomers
        met = [at for at, person in enumerate(people) if person.belief.is_of_lookalike and not person.is_lookalike]
        for at in met:
            people[at] = people[at]._replace(is_lookalike=True)
        speeds_mps = [each.speed_mps for each in people if each.seen_s == time_s and each.speed_mps is not None]
        pace = updated_pace(self.pace, speeds_mps, step_s, config.profile.brisk_mps)
        return Crowd(_most_important(people), self.next_number + len(new), pace, self.lookalikes + len(met))


class _Pair(NamedTuple):
    """A sighting assigned to a person, its cost, and whether it fits a turn better than walking straight on."""

    fix: int
    cost: float
    has_turned: bool


def _assign(
    known: Sequence[Person],
    chances: Sequence[float],
    fixes: Sequence[Fix],
    motion: Motion,
    time_s: float,
    gate_sigma: float,
) -> dict[int, _Pair]:
    """The pairs of people (by index in `known`) and sightings with the least total cost."""
    if not known or not fixes:
        return {}
    predicted_m = np.array([motion.predict(person.track, time_s) for person in known])
    own = np.array([motion.variances(person.track, time_s) for person in known])
    turning = np.array([motion.turn_variances(person.track, time_s) for person in known])
    seen_m = np.array([fix.position_m for fix in fixes])
    noise = np.array([fix.std_m for fix in fixes]) ** 2
    looks = np.array([fix.evidence for fix in fixes])
    unseen_s = np.array([time_s - person.seen_s for person in known])
    is_fresh = unseen_s <= FRESH_S
    between_m = np.hypot(*(np.subtract.outer(axis, axis) for axis in predicted_m[:, :2].T))
    is_crossing = ((between_m < CROSSING_M) & is_fresh & ~np.eye(len(known), dtype=bool)).any(axis=1)
    crossing = np.outer(is_crossing, (CROSSING_STD_M**2, 0.0))
    apart = (predicted_m[:, np.newaxis] - seen_m) ** 2
    misfit, cost = _fit_by_place(apart, own + crossing, noise)
    misfit_turned, cost_turned = _fit_by_place(apart, own + turning + crossing, noise)
    cost_turned += np.where(is_fresh, -2 * math.log(TURN_PROBABILITY), math.inf)[:, np.newaxis]
    has_turned = cost_turned < cost
    misfit, cost = np.where(has_turned, misfit_turned, misfit), np.where(has_turned, cost_turned, cost)
    # The sighting's evidence for the hero, weighted by the person's probability of being the hero.
    cost -= 2 * np.log1p(np.array(chances)[:, np.newaxis] * np.expm1(looks))
    largest_cost = np.where(unseen_s <= JUST_S, LARGEST_COST_FRESH, LARGEST_COST_STALE)[:, np.newaxis]
    is_possible = (misfit <= gate_sigma**2) & (cost <= largest_cost)
    return {
        person: _Pair(number, float(cost[person, number]), bool(has_turned[person, number]))
        for person, number in _cheapest_pairs(cost, is_possible)
    }


def _cheapest_pairs(cost: np.ndarray, is_possible: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (person, sighting) of least total cost. A person or sighting without a pair costs `LARGEST_COST_FRESH` / 2.

    Args:
        cost: (people, sightings) float, costs of the pairs.
        is_possible: (people, sightings) bool, the pairs to choose from.
    """
    if is_possible.sum(axis=0).max() <= 1 and is_possible.sum(axis=1).max() <= 1:  # there is no choice
        rows, columns = np.nonzero(is_possible)
    else:
        # Costs and limit are shifted, so that no cost is negative. The cost of an impossible pair is above the limit.
        shifted = np.where(is_possible, cost - cost.min(), 1e6)
        _, of_row, _ = lap.lapjv(shifted, extend_cost=True, cost_limit=LARGEST_COST_FRESH - cost.min() + 1e-6)
        rows = np.flatnonzero(of_row >= 0)
        columns = of_row[rows]
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _fit_by_place(apart: np.ndarray, own: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How badly each sighting fits each prediction, and −2·log of the likelihood ratio of its place to a newcomer's.

    Args:
        apart: (people, sightings, 3) squared distances along the axes, m².
        own: (people, 2) variances of the predictions along a horizontal and the vertical axis, m².
        noise: (sightings,) variances of the sightings along each axis, m².

    Returns:
        Two arrays (people, sightings); the first is the squared Mahalanobis distance.
    """
    level, upright = own[:, 0, np.newaxis] + noise, own[:, 1, np.newaxis] + noise
    misfit = (apart[..., 0] + apart[..., 1]) / level + apart[..., 2] / upright
    return misfit, misfit + 2 * np.log(2 * math.pi * level * NEWCOMERS_PER_M2)


def _seen_again(person: Person, fix: Fix, pair: _Pair, motion: Motion) -> Person:
    unseen_s = fix.time_s - person.seen_s
    belief = person.belief
    if unseen_s > FRESH_S:  # reduce the belief by the probability that it is the same person
        belief = belief.times(1.0 / (1.0 + math.exp(min(pair.cost, 40.0) / 2)))
    track = motion.correct(motion.turned(person.track) if pair.has_turned else person.track, fix)
    stride = Stride(person.stride_from, person.speed_mps).after(track.time_s, *track.position_m[:2], fix.std_m)
    return person._replace(
        track=track,
        belief=belief.after(fix.evidence, fix.second_evidence, unseen_s),
        sightings=person.sightings + 1,
        is_unconfirmed=False,
        stride_from=stride.begun,
        speed_mps=stride.speed_mps,
    )


def _vanished(people: Sequence[Person], pairs: dict[int, _Pair], time_s: float) -> int | None:
    """Index of the likeliest hero among people whose track broke after the first sighting; None without such people."""
    broken = [
        number
        for number, person in enumerate(people)
        if person.is_unconfirmed
        and number not in pairs
        and time_s - person.seen_s <= FRESH_S
        and _evidence_left(person) > 0.0
    ]
    return max(broken, key=lambda number: people[number].belief.anybody.nats, default=None)


def _evidence_left(person: Person) -> float:
    """The evidence, in nats, that a newcomer takes over from a person whose track has broken (see `JUMP_WORTH`)."""
    looks = person.belief.anybody
    return 0.0 if person.is_refused else looks.settled + JUMP_WORTH * looks.present


def _with_inherited_belief(newcomer: Person, vanished: Person, fix: Fix) -> Person:
    settled = min(_evidence_left(vanished), MOST_TAKEN_OVER)
    belief = newcomer.belief._replace(anybody=Means(fix.evidence, settled))
    return newcomer._replace(belief=belief, sightings=vanished.sightings + 1)


def _is_remembered(person: Person, time_s: float, config: TrackerConfig) -> bool:
    return time_s - person.seen_s <= (FLICKER_S if person.is_seen_once else config.remember_s)


def _most_important(people: Sequence[Person]) -> tuple[Person, ...]:
    """The `MOST_PEOPLE` people seen most recently, sorted by number."""
    if len(people) <= MOST_PEOPLE:
        return tuple(people)
    kept = sorted(people, key=lambda person: person.seen_s)[-MOST_PEOPLE:]
    return tuple(sorted(kept, key=lambda person: person.number))

"""Everybody near enough to be placed, tracked in the world: who in this frame is whom of the frames before.

Sightings are assigned to people so that all pairs together cost least; a sighting without a pair is a newcomer. The
cost of a pair is −2·log of how much likelier the sighting is for this person than for a newcomer: by where the person
is predicted to be, and by whether the person is the hero. Somebody who is out of view is predicted and remembered, with
what is known of them.

Source: Blackman, Popoli, Design and Analysis of Modern Tracking Systems, 6.4 (global nearest neighbour).
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import lap
import numpy as np

from server.flight import identity
from server.flight.identity import Belief, Means
from server.flight.motion import Fix, Motion, Track
from server.flight.strides import Stride, paced
from server.settings import TrackerConfig

# People and what is taken for people, per m² of the places where people walk: QuadSim's scenes and the stand-in's.
NEWCOMERS_PER_M2 = 0.01
# Largest cost of a pair, −2·log of a likelihood ratio; beyond it, the sighting is a newcomer. Fresh: a track that was
# seen within `JUST_S`; people turn and stop, so it may cost more. Stale: any other; it must fit better than a newcomer.
# With 0.5 s in place of 0.7, frames of `validation` and `train` in which the hero jumps were followed half as often;
# heroes behind houses, seeds 530 to 549, alike.
DEAREST_FRESH, DEAREST_STALE = 6.0, 0.0
FRESH_S, JUST_S = 1.0, 0.7
# Somebody seen within `FRESH_S` has turned or stopped since the frame before with this probability: about once in ten
# seconds. Set beforehand, and kept after flights in a world three times as fast, seeds 601 to 605.
TURNS = 0.02
# People who are so near to each other hide parts of each other, and the place of either may be off by as much as this.
# So they are told apart by their looks rather than by their places. Tried on flights of the stand-in with lookalikes,
# seeds 510 to 525: four times, the hero's track had gone on with somebody who crossed their way; with this rule never.
CROSSING_M, CROSSING_STD_M = 1.5, 0.5
FLICKER_S = 1.0  # after which somebody of whom there was a single sighting is forgotten
# Poses or depths that cannot be relied on break all tracks: the hero then seems to jump. The newcomer who looks most
# like the hero takes over a share of the belief in the likeliest hero whose track has broken, up to a bound.
JUMP_WORTH, MOST_TAKEN_OVER = 0.2, 4.0
MOST_PEOPLE = 200


class Person(NamedTuple):
    """Somebody tracked. A value: `Crowd.update` gives the next.

    Args:
        number: identifies them within the session; counts up from 1.
        track: where they are and walk to.
        belief: in this being the hero.
        sightings: how many.
        is_loose: whether no sighting has fitted the first one yet.
        stride_from: (time, x, y) of an earlier sighting, from which the next speed is measured (`strides.Stride`).
        speed_mps: over ground, by the latest such measurement; None before, and for somebody far away.
        is_refused: whether the operator has said that this is not the one to follow.
        is_lookalike: whether they have been found to be one of the hero's.
    """

    number: int
    track: Track
    belief: Belief
    sightings: int = 1
    is_loose: bool = True
    stride_from: tuple[float, float, float] | None = None
    speed_mps: float | None = None
    is_refused: bool = False
    is_lookalike: bool = False

    @property
    def seen_s(self) -> float:
        """Session time of the latest sighting."""
        return self.track.time_s

    @property
    def is_glimpsed(self) -> bool:
        """Whether there was a single sighting, which may have been a flicker of the network, or a moment's light."""
        return self.sightings == 1


class Crowd(NamedTuple):
    """Everybody tracked, in order of their numbers. A value: `update` gives the next.

    Args:
        people: those remembered.
        next_number: of the next newcomer.
        pace: how many times as fast as usual the world moves.
        lookalikes: of the hero: how many have been met.
    """

    people: tuple[Person, ...] = ()
    next_number: int = 1
    pace: float = 1.0
    lookalikes: int = 0

    def person(self, number: int | None) -> Person | None:
        """Who has a number; None if nobody has."""
        return next((person for person in self.people if person.number == number), None)

    def probability(self, person: Person) -> float:
        """Of one of `people` to be the hero."""
        return self.probabilities()[self.people.index(person)]

    def probabilities(self) -> list[float]:
        """Of each of `people` to be the hero."""
        beliefs = (None if person.is_refused else person.belief for person in self.people)
        glimpsed = {at for at, person in enumerate(self.people) if person.is_glimpsed}
        return identity.probabilities(beliefs, self.lookalikes, glimpsed)

    def with_refused(self, number: int, is_refused: bool) -> "Crowd":
        """With somebody who is never to be taken for the hero, or who may be again."""
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
            step_s: since the frame before.
            fixes: its sightings with a place.
            config: the tracker's settings.
            is_part: whether only a part of the frame was looked at: then nobody has vanished who was not seen.
        """
        motion = Motion(config, self.pace)
        known = tuple(person for person in self.people if _is_remembered(person, time_s, config))
        chances = self._replace(people=known).probabilities()
        pairs = _assign(known, chances, fixes, motion, time_s, config.gate_sigma)
        people = [
            person._replace(belief=person.belief.faded(step_s))
            if pair is None
            else _seen_again(person, fixes[pair.fix], pair, motion)
            for person, pair in zip(known, map(pairs.get, range(len(known))), strict=True)
        ]
        vanished = None if is_part else _vanished(people, pairs, time_s)
        numbers = itertools.count(self.next_number)
        assigned = {pair.fix for pair in pairs.values()}
        new = [at for at in range(len(fixes)) if at not in assigned]
        heir = max(new, key=lambda at: fixes[at].evidence, default=None)
        for at in new:
            fix = fixes[at]
            newcomer = Person(next(numbers), motion.start(fix), Belief.first(fix.evidence, fix.second_evidence))
            if at == heir and vanished is not None and fix.evidence > 0:
                newcomer = _taking_over(newcomer, people[vanished], fix)
                people[vanished] = people[vanished]._replace(belief=Belief.first(0.0, 0.0))
            people.append(newcomer)
        met = [at for at, person in enumerate(people) if person.belief.is_of_lookalike and not person.is_lookalike]
        for at in met:
            people[at] = people[at]._replace(is_lookalike=True)
        speeds_mps = [each.speed_mps for each in people if each.seen_s == time_s and each.speed_mps is not None]
        pace = paced(self.pace, speeds_mps, step_s, config.profile.brisk_mps)
        return Crowd(_most_important(people), next(numbers), pace, self.lookalikes + len(met))


class _Pair(NamedTuple):
    """A sighting assigned to a person, its cost, and whether the person has rather turned than walked on."""

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
    """The pairs of persons (by their place in `known`) and sightings that cost least together."""
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
    misfit, cost = _by_place(apart, own + crossing, noise)
    misfit_turned, cost_turned = _by_place(apart, own + turning + crossing, noise)
    cost_turned += np.where(is_fresh, -2 * math.log(TURNS), math.inf)[:, np.newaxis]
    has_turned = cost_turned < cost
    misfit, cost = (
        np.where(has_turned, turned, straight) for turned, straight in ((misfit_turned, misfit), (cost_turned, cost))
    )
    # The look, by what is known of the person.
    cost -= 2 * np.log1p(np.array(chances)[:, np.newaxis] * np.expm1(looks))
    dearest = np.where(unseen_s <= JUST_S, DEAREST_FRESH, DEAREST_STALE)[:, np.newaxis]
    is_possible = (misfit <= gate_sigma**2) & (cost <= dearest)
    if is_possible.sum(axis=0).max() <= 1 and is_possible.sum(axis=1).max() <= 1:
        persons, numbers = np.nonzero(is_possible)
    else:
        shifted = np.where(is_possible, cost - cost.min(), 1e6)
        _, of_person, _ = lap.lapjv(shifted, extend_cost=True, cost_limit=DEAREST_FRESH - cost.min() + 1e-6)
        persons = np.flatnonzero(of_person >= 0)
        numbers = of_person[persons]
    return {
        person: _Pair(number, float(cost[person, number]), bool(has_turned[person, number]))
        for person, number in zip(persons.tolist(), numbers.tolist(), strict=True)
    }


def _by_place(apart: np.ndarray, own: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How badly each sighting fits each prediction, and −2·log of the likelihood of its place over a newcomer's.

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
    if unseen_s > FRESH_S:  # it is the same person with this probability only
        belief = belief.times(1.0 / (1.0 + math.exp(min(pair.cost, 40.0) / 2)))
    track = motion.correct(motion.turned(person.track) if pair.has_turned else person.track, fix)
    stride = Stride(person.stride_from, person.speed_mps).after(track.time_s, *track.position_m[:2], fix.std_m)
    return person._replace(
        track=track,
        belief=belief.after(fix.evidence, fix.second_evidence, unseen_s),
        sightings=person.sightings + 1,
        is_loose=False,
        stride_from=stride.begun,
        speed_mps=stride.speed_mps,
    )


def _vanished(people: Sequence[Person], pairs: dict[int, _Pair], time_s: float) -> int | None:
    """Index of the likeliest hero among people just seen once whose track has broken and who leave something."""
    broken = [
        number
        for number, person in enumerate(people)
        if person.is_loose and number not in pairs and time_s - person.seen_s <= FRESH_S and _left_by(person) > 0.0
    ]
    return max(broken, key=lambda number: people[number].belief.anybody.nats, default=None)


def _left_by(person: Person) -> float:
    """What a person's looks leave to a newcomer who is them, in nats."""
    looks = person.belief.anybody
    return 0.0 if person.is_refused else looks.settled + JUMP_WORTH * looks.present


def _taking_over(newcomer: Person, vanished: Person, fix: Fix) -> Person:
    settled = min(_left_by(vanished), MOST_TAKEN_OVER)
    belief = newcomer.belief._replace(anybody=Means(fix.evidence, settled))
    return newcomer._replace(belief=belief, sightings=vanished.sightings + 1)


def _is_remembered(person: Person, time_s: float, config: TrackerConfig) -> bool:
    return time_s - person.seen_s <= (FLICKER_S if person.is_glimpsed else config.remember_s)


def _most_important(people: Sequence[Person]) -> tuple[Person, ...]:
    """At most `MOST_PEOPLE`; beyond that those go who have been out of view for longest."""
    if len(people) <= MOST_PEOPLE:
        return tuple(people)
    kept = sorted(people, key=lambda person: person.seen_s)[-MOST_PEOPLE:]
    return tuple(sorted(kept, key=lambda person: person.number))

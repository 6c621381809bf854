"""The tracker of one simulator: decides whom to follow, from the tracks and probabilities of all people.

state       drone    meaning
PATROL      patrols  nobody in view is likely to be the hero
CONFIRMING  patrols  one or several people in view may be the hero, but nobody is likely enough yet
FOLLOWING   follows  the latest frame shows the person who is followed
COASTING    follows  the latest frame doesn't show that person; their place is predicted, for longer if they are hidden
LOST        patrols  out of sight for too long, or suspended; followed again when seen, if still likely enough

The drone follows a person in view whose probability of being the hero is at least `follow_above`. It gives the person
up when the probability falls below `give_up_below`, when somebody else reaches `follow_above`, or when the person was
not seen for `lost_after_s`. A person chosen by the operator is followed, whoever it is, until released, lost, or
replaced by another choice. A person refused by the operator is not followed.

All times are session times in seconds (`server.flight.clock`). All positions are in metres in the ROS world frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from server.flight.crowd import Crowd, Person
from server.flight.motion import Fix, Motion, Vector
from server.settings import TrackerConfig
from server.sight.people import Sighting
from server.sight.surfaces import Surfaces

ROUNDING_S = 1e-6  # timestamps near 1.5e9 s are exact to 2.4e-7 s
# Least probability of a candidate of being the hero.
CANDIDATE = 0.2


class TrackState(StrEnum):
    """What the tracker believes; the drone follows in FOLLOWING and COASTING."""

    PATROL = "patrol"
    CONFIRMING = "confirming"
    FOLLOWING = "following"
    COASTING = "coasting"
    LOST = "lost"

    @property
    def is_following(self) -> bool:
        """Whether the drone should follow: the person is in sight, or was a moment ago."""
        return self in (TrackState.FOLLOWING, TrackState.COASTING)


@dataclass(frozen=True)
class Tracker:
    """Decides for one simulator whether to follow, and whom. An immutable value: each change returns the next.

    Args:
        config: the user's settings.
        state: as of the latest frame, or of `suspend`.
        crowd: all tracked people.
        followed: number of the person followed, or followed last, even if forgotten since; None without such a person.
        chosen: number of the person whom the operator has chosen; None without a choice, or if they are forgotten.
        seen_s: when the person followed was seen last, with or without a place; None without such a person.
        time_s: session time of the latest frame; None before the first.
        whole_s: session time of the latest frame that was looked at as a whole; None before the first.
        is_hidden: whether the latest frame shows something in front of the person followed.
    """

    config: TrackerConfig = field(default_factory=TrackerConfig)
    state: TrackState = TrackState.PATROL
    crowd: Crowd = field(default_factory=Crowd)
    followed: int | None = None
    chosen: int | None = None
    seen_s: float | None = None
    time_s: float | None = None
    whole_s: float | None = None
    is_hidden: bool = False

    @property
    def is_following(self) -> bool:
        """Whether the drone should follow, as of the latest frame, or of `suspend`."""
        return self.state.is_following

    @property
    def hero(self) -> Person | None:
        """The person who is followed, or was followed last; None without such a person."""
        return self.crowd.person(self.followed)

    @property
    def velocity_mps(self) -> Vector | None:
        """Velocity (x, y, z) of `hero`, m/s in the ROS world frame, as of the latest sighting with a place."""
        hero = self.hero
        return None if hero is None else hero.track.velocity_mps

    def age_s(self, time_s: float) -> float | None:
        """Seconds from the latest sighting of `hero` to `time_s`; None without one."""
        return None if self.hero is None or self.seen_s is None else time_s - self.seen_s

    @property
    def longest_unseen_s(self) -> float:
        """For how long the person followed may be out of sight, s: longer if the person has been hidden."""
        has_hidden = self.hero is not None and self.hero.track.hidden_s > 0
        return self.config.lost_after_s + (self.config.hidden_for_s if has_hidden else 0.0)

    def is_in_view(self, person: Person) -> bool:
        """Whether a person was seen in the latest whole frame or later."""
        return self.whole_s is not None and person.seen_s >= self.whole_s

    @property
    def candidates(self) -> list[tuple[Person, float]]:
        """The people in the latest frame who may be the hero, with their probabilities, the likeliest first."""
        found = [
            (person, probability)
            for person, probability in zip(self.crowd.people, self.crowd.probabilities(), strict=True)
            if person.seen_s == self.time_s and probability >= CANDIDATE
        ]
        return sorted(found, key=lambda pair: -pair[1])

    @property
    def _likely_hero(self) -> Person | None:
        """The person in the latest frame who is likely enough to be followed; None if the operator has chosen."""
        if self.chosen is None:
            for person, probability in self.candidates[:1]:
                if not person.is_seen_once and probability >= self.config.follow_above:
                    return person
        return None

    @property
    def is_undecided(self) -> bool:
        """Whether the drone patrols because several people may be the hero, and none is likely enough."""
        return self.state is TrackState.CONFIRMING and len(self.candidates) > 1

    def predict(self, time_s: float) -> Vector:
        """The predicted position of `hero` at a time, such as that of sending a command.

        Args:
            time_s: session time; a time before the latest sighting with a place counts as that sighting's.

        Returns:
            (x, y, z), metres, ROS world frame. An unseen person is predicted to walk on for `walk_on_s` and then stop.

        Raises:
            RuntimeError: if there is no `hero`.
        """
        hero = self.hero
        if hero is None:
            raise RuntimeError(f"expected a person to predict from, got none in state {self.state}")
        return self.motion.predict(hero.track, time_s)

    @property
    def motion(self) -> Motion:
        """The motion model at the pace of this world."""
        return Motion(self.config, self.crowd.pace)

    def update(
        self,
        time_s: float,
        sightings: Sequence[Sighting] = (),
        surfaces: Surfaces | None = None,
        is_part: bool = False,
    ) -> "Tracker":
        """Take in one frame that was understood.

        A sighting without a place whose evidence is for the hero keeps the track that is followed, but can't move or
        start a track. A frame that is not later than the frame before it is no new evidence and changes nothing.

        Args:
            time_s: session time of the frame.
            sightings: in that frame.
            surfaces: the surfaces in that frame, which tell whether a person is hidden; None if not known.
            is_part: whether only a part of the frame was looked at.

        Raises:
            ValueError: if the time, a position or an evidence is not finite, or a standard deviation not positive and
                finite.
        """
        fixes = _fixes(time_s, sightings)
        if self.time_s is not None and time_s <= self.time_s:
            return self
        step_s = 0.0 if self.time_s is None else time_s - self.time_s
        crowd = self.crowd.update(time_s, step_s, fixes, self.config, is_part)
        chosen = None if crowd.person(self.chosen) is None else self.chosen  # the person may have been forgotten
        seen = replace(self, time_s=time_s, whole_s=self.whole_s if is_part else time_s, crowd=crowd, chosen=chosen)
        seen = seen._with_hidden_time(step_s, surfaces)
        has_glimpse = any(sighting.place is None and sighting.is_candidate for sighting in sightings)
        return seen._without_unlikely_person()._after_decision(has_glimpse)

    def suspend(self) -> "Tracker":
        """Stop following at once, because frames can't be understood or don't come.

        All people are remembered. The person followed is followed again when seen, if still likely enough.
        """
        return replace(self, state=self._state_without_candidates())

    def choose(self, number: int) -> "Tracker":
        """Follow a person, whoever it is, from the next frame that shows them. An unknown number changes nothing."""
        if self.crowd.person(number) is None:
            return self
        return replace(self, chosen=number, crowd=self.crowd.with_refused(number, False))

    def release(self) -> "Tracker":
        """Follow the hero again instead of the person chosen by the operator.

        The chosen person is followed on only if they are likely enough to be the hero.
        """
        released, hero = replace(self, chosen=None), self.hero
        if hero is None or hero.number != self.chosen or self.crowd.probability(hero) >= self.config.follow_above:
            return released
        return replace(released, followed=None, seen_s=None, state=TrackState.PATROL)

    def refuse(self, number: int) -> "Tracker":
        """Do not follow a person until they are chosen or forgotten, and stop following them now."""
        chosen = None if self.chosen == number else self.chosen
        after = replace(self, crowd=self.crowd.with_refused(number, True), chosen=chosen)
        return replace(after, followed=None, seen_s=None).suspend() if self.followed == number else after

    def _after_decision(self, has_glimpse: bool) -> "Tracker":
        """The tracker after its decision on the latest frame, whose people are already in `crowd`."""
        assert self.time_s is not None
        chosen, hero = self.crowd.person(self.chosen), self.hero
        if chosen is not None and chosen.seen_s == self.time_s:
            return self._following(chosen)
        if hero is not None and self.is_following:
            if hero.seen_s == self.time_s:
                return self._following(hero)
            # A glimpse of the hero counts for a person chosen by the operator only if they look like the hero.
            if has_glimpse and (hero is not chosen or hero.belief.nats(self.crowd.lookalikes) > 0):
                crowd = self.crowd.with_person(hero._replace(track=hero.track._replace(hidden_s=0.0)))
                return replace(self, state=TrackState.FOLLOWING, seen_s=self.time_s, crowd=crowd)
            assert self.seen_s is not None
            if self.time_s - self.seen_s - hero.track.hidden_s < self.config.lost_after_s - ROUNDING_S:
                return replace(self, state=TrackState.COASTING)
        if (likely := self._likely_hero) is not None:
            return self._following(likely)
        state = TrackState.CONFIRMING if self.candidates else self._state_without_candidates()
        is_lost = self.is_following and self.followed == self.chosen
        return replace(self, chosen=None if is_lost else self.chosen, state=state)

    def _with_hidden_time(self, step_s: float, surfaces: Surfaces | None) -> "Tracker":
        """The tracker with `is_hidden` and the time for which the person followed has been hidden."""
        assert self.time_s is not None
        hero = self.hero
        if (
            surfaces is None
            or hero is None
            or not self.is_following
            or hero.seen_s == self.time_s
            or hero.track.hidden_s >= self.config.hidden_for_s
            or not surfaces.hide(self.predict(self.time_s), self.config.profile.in_front_m)
        ):
            return replace(self, is_hidden=False)
        track = hero.track._replace(hidden_s=hero.track.hidden_s + step_s)
        return replace(self, is_hidden=True, crowd=self.crowd.with_person(hero._replace(track=track)))

    def _without_unlikely_person(self) -> "Tracker":
        """Stop following if the person is no longer likely enough, or if somebody else is likely enough."""
        hero = self.hero
        if hero is None or hero.number == self.chosen or not self.is_following:
            return self
        is_outdone = (likely := self._likely_hero) is not None and likely is not hero
        if self.crowd.probability(hero) >= self.config.give_up_below and not is_outdone:
            return self
        return replace(self, followed=None, seen_s=None, state=TrackState.PATROL)

    def _following(self, person: Person) -> "Tracker":
        return replace(self, followed=person.number, seen_s=person.seen_s, state=TrackState.FOLLOWING)

    def _state_without_candidates(self) -> TrackState:
        hero = self.hero
        is_remembered = hero is not None and hero.belief.nats(self.crowd.lookalikes) > 0
        return TrackState.LOST if is_remembered else TrackState.PATROL


def _fixes(time_s: float, sightings: Sequence[Sighting]) -> list[Fix]:
    if not math.isfinite(time_s):
        raise ValueError(f"expected time_s finite, got {time_s}")
    fixes = []
    for sighting in sightings:
        if not math.isfinite(sighting.evidence):
            raise ValueError(f"expected evidence finite, got {sighting.evidence}")
        if sighting.second_evidence is not None and not math.isfinite(sighting.second_evidence):
            raise ValueError(f"expected second evidence finite, got {sighting.second_evidence}")
        if (place := sighting.place) is None:
            continue
        if len(place.position_m) != 3 or not all(map(math.isfinite, place.position_m)):
            raise ValueError(f"expected position_m of three finite coordinates, got {place.position_m}")
        if not 0 < place.std_m < math.inf:
            raise ValueError(f"expected std_m positive and finite, got {place.std_m}")
        fixes.append(Fix(time_s, place.position_m, place.std_m, sighting.evidence, sighting.second_evidence))
    return fixes

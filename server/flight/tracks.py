"""Follow or patrol: confirm, follow, coast, lose, re-acquire; and where the hero is and will be.

    state       drone    meaning
    PATROL      patrols  nothing seen lately
    CONFIRMING  patrols  sightings, but not yet enough that agree on a place
    FOLLOWING   follows  the latest frame shows the hero where the track expects it
    COASTING    follows  the latest frame doesn't; the hero is predicted to walk on
    LOST        patrols  out of sight for too long, or suspended; one convincing sighting nearby resumes the track

A frame brings sightings, one for each thing in it that may be the hero, or none. A track takes the one that fits it
best. While following, a frame with none that fits is a miss, and its sightings are evidence for other places; only when
several of the latest frames agree with each other on such a place does the track go there. Without a track it starts
where most of them agree. Sightings in as many frames in a row as it takes to start or move a track are a hero even if
they don't agree: then it is the poses or the depth that can't be relied on.

Sightings that are not convincing move a track that they fit, for the hero may be half hidden, but start, resume and
keep none: a track that is only seen like that for too long was somebody else's, and is forgotten.

All times are session times in seconds (`server.flight.clock`), all positions metres in the ROS world frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from server.flight.motion import Fix, Motion, Track, Vector
from server.settings import TrackerConfig
from server.sight.people import Sighting

ROUNDING_S = 1e-6  # timestamps near 1.5e9 s are exact to 2.4e-7 s


class TrackState(StrEnum):
    """What the tracker believes; the drone follows in FOLLOWING and COASTING."""

    PATROL = "patrol"
    CONFIRMING = "confirming"
    FOLLOWING = "following"
    COASTING = "coasting"
    LOST = "lost"

    @property
    def is_following(self) -> bool:
        """Whether the drone should follow: the hero is in sight, or was a moment ago."""
        return self in (TrackState.FOLLOWING, TrackState.COASTING)


class Evidence(NamedTuple):
    """What a frame shows: its sightings with a place, the most convincing first.

    `has_glimpse`: whether there are convincing sightings without a place beside them.
    """

    time_s: float
    fixes: tuple[Fix, ...]
    has_glimpse: bool

    def for_new_track(self) -> "Evidence | None":
        """The part of it that speaks for another track than the present one; None if nothing does."""
        convincing = tuple(fix for fix in self.fixes if fix.is_convincing)
        return self._replace(fixes=convincing) if convincing or self.has_glimpse else None


class Hero(NamedTuple):
    """The hero as tracked: the estimated motion, and when they were last seen, and last seen convincingly."""

    track: Track
    last_seen_s: float
    last_convincing_s: float


@dataclass(frozen=True)
class Tracker:
    """One simulator's hero: whether to follow, and where to. A value: `update` and `suspend` give the next.

    Args:
        config: the user's settings.
        state: as of the latest frame, or of `suspend`.
        hero: the track; None without one.
        time_s: session time of the latest frame; None before the first.
        evidence: of the latest frames, oldest first; None for a frame without evidence of another track than the
            present one.
    """

    config: TrackerConfig = field(default_factory=TrackerConfig)
    state: TrackState = TrackState.PATROL
    hero: Hero | None = None
    time_s: float | None = None
    evidence: tuple[Evidence | None, ...] = ()

    @property
    def is_following(self) -> bool:
        """Whether the drone should follow, as of the latest frame, or of `suspend`."""
        return self.state.is_following

    @property
    def velocity_mps(self) -> Vector | None:
        """(x, y, z) m/s in the ROS world frame, as of the latest sighting with a place; None without a track."""
        return None if self.hero is None else self.hero.track.velocity_mps

    def age_s(self, time_s: float) -> float | None:
        """Seconds from the latest sighting that belongs to the track to `time_s`; None without a track."""
        return None if self.hero is None else time_s - self.hero.last_seen_s

    def predict(self, time_s: float) -> Vector:
        """Where the hero is at a time, such as that of sending a command.

        Args:
            time_s: session time; a time before the latest sighting with a place counts as that sighting's.

        Returns:
            (x, y, z), metres, ROS world frame. An unseen hero walks on for `walk_on_s` and then waits.

        Raises:
            RuntimeError: if there is no track.
        """
        if self.hero is None:
            raise RuntimeError(f"expected a track to predict from, got none in state {self.state}")
        return self._motion.predict(self.hero.track, time_s)

    def update(self, time_s: float, sightings: Sequence[Sighting] = ()) -> "Tracker":
        """Take in one frame that was understood.

        A convincing sighting without a place confirms or keeps a track like any other, but can't move or start a track
        alone. A frame that is not later than the one before it brings no new evidence and changes nothing.

        Args:
            time_s: session time of the frame.
            sightings: in that frame, the most convincing first.

        Raises:
            ValueError: if the time or a position is not finite, or a standard deviation not positive and finite.
        """
        seen = _evidence(time_s, sightings)
        if self.time_s is not None and time_s <= self.time_s:
            return self
        return self._expired(time_s)._after(seen)

    def suspend(self, time_s: float) -> "Tracker":
        """Stop following at once, because frames can't be understood or don't come.

        The track is kept: a sighting nearby resumes it while `reacquire_within_s` has not passed.

        Args:
            time_s: session time.
        """
        return replace(self, evidence=(), state=self._state_without_evidence())._expired(time_s)

    def _after(self, seen: Evidence) -> "Tracker":
        """After a frame that is later than all before it."""
        resumed = self._taken_in(seen)
        evidence = None if resumed is not None else seen.for_new_track()
        window = max(self.config.confirm_window, self.config.switch_window)
        latest = (*self.evidence, evidence)[-window:]
        if resumed is not None:
            return replace(self, time_s=seen.time_s, evidence=latest, hero=resumed, state=TrackState.FOLLOWING)
        noted = replace(self, time_s=seen.time_s, evidence=latest)
        if evidence is not None and (started := noted._started_anew()) is not None:
            hero = Hero(started, seen.time_s, seen.time_s)
            return replace(noted, hero=hero, evidence=(), state=TrackState.FOLLOWING)
        if noted.is_following:
            return replace(noted, state=TrackState.COASTING)
        if noted._recent_evidence(self.config.confirm_window):
            return replace(noted, state=TrackState.CONFIRMING)
        return replace(noted, state=noted._state_without_evidence())

    @property
    def _motion(self) -> Motion:
        return Motion(self.config)

    def _state_without_evidence(self) -> TrackState:
        return TrackState.PATROL if self.hero is None else TrackState.LOST

    def _expired(self, time_s: float) -> "Tracker":
        """With a track that has been silent too long lost, and forgotten once it can't be resumed any more."""
        if self.hero is None:
            return self
        unseen_s = time_s - self.hero.last_seen_s
        # Only the time of being seen counts: a hero who has not been seen at all is not in doubt.
        doubtful_s = self.hero.last_seen_s - self.hero.last_convincing_s
        is_doubtful = doubtful_s >= self.config.doubt_after_s - ROUNDING_S
        is_lost = self.is_following and (unseen_s >= self.config.lost_after_s - ROUNDING_S or is_doubtful)
        is_forgotten = unseen_s > self.config.reacquire_within_s + ROUNDING_S
        if (is_lost and is_doubtful) or ((is_lost or not self.is_following) and is_forgotten):
            return replace(self, hero=None, state=TrackState.PATROL)
        return replace(self, state=TrackState.LOST) if is_lost else self

    def _taken_in(self, seen: Evidence) -> Hero | None:
        """The hero with the sighting that fits best; None without a track or a sighting that belongs to it."""
        if self.hero is None:
            return None
        motion, track = self._motion, self.hero.track
        fixes = seen.fixes if self.is_following else [fix for fix in seen.fixes if self._may_resume(fix)]
        if fixes:
            best = min(fixes, key=lambda fix: motion.misfit(track, fix))
            if motion.fits(track, best):
                track = motion.correct(track, best)
            elif self.is_following:
                return None
            else:
                track = motion.start(best)
            is_convincing = best.is_convincing
        elif self.is_following and seen.has_glimpse:
            is_convincing = True
        else:
            return None
        return Hero(track, seen.time_s, seen.time_s if is_convincing else self.hero.last_convincing_s)

    def _may_resume(self, fix: Fix) -> bool:
        distance_m = math.dist(fix.position_m, self.predict(fix.time_s))
        return fix.is_convincing and distance_m <= self.config.reacquire_within_m

    def _started_anew(self) -> Track | None:
        """A track where enough of the latest frames agree; None if they don't."""
        config = self.config
        hits, window = (
            (config.switch_hits, config.switch_window)
            if self.is_following
            else (config.confirm_hits, config.confirm_window)
        )
        frames = self._recent_evidence(window)
        latest: tuple[Fix, ...] = next((frame.fixes for frame in reversed(frames) if frame.fixes), ())
        # Of equally supported places the most convincing one: `max` returns the first.
        agreeing = max((_agreeing(fix, frames, config) for fix in latest), key=len, default=[])
        glimpses = sum(frame.has_glimpse and not frame.fixes for frame in frames)
        in_a_row = max(hits, config.switch_window)
        is_seen_throughout = len(self._recent_evidence(in_a_row)) == in_a_row
        if not agreeing or (len(agreeing) + glimpses < hits and not is_seen_throughout):
            return None
        motion = self._motion
        track = motion.start(agreeing[0])
        for fix in agreeing[1:]:
            track = motion.correct(track, fix)
        return track

    def _recent_evidence(self, window: int) -> list[Evidence]:
        """Evidence of the latest `window` frames, remembered no longer than a lost track."""
        if self.time_s is None:
            return []
        oldest_s = self.time_s - self.config.reacquire_within_s - ROUNDING_S
        return [seen for seen in self.evidence[-window:] if seen is not None and seen.time_s >= oldest_s]


def _agreeing(latest: Fix, frames: Sequence[Evidence], config: TrackerConfig) -> list[Fix]:
    """Of each frame, in order, the sighting nearest to `latest` that can be of the same hero, where there is one."""
    nearest = [
        min(frame.fixes, key=lambda fix: math.dist(fix.position_m, latest.position_m))
        for frame in frames
        if frame.fixes
    ]
    return [fix for fix in nearest if _are_within_a_walk(fix, latest, config)]


def _are_within_a_walk(earlier: Fix, later: Fix, config: TrackerConfig) -> bool:
    """Whether two sightings can be of one hero, given their errors and the greatest speed."""
    reach_m = config.max_speed_mps * (later.time_s - earlier.time_s)
    error_m = config.gate_sigma * math.hypot(earlier.std_m, later.std_m)
    return math.dist(earlier.position_m, later.position_m) <= reach_m + error_m


def _evidence(time_s: float, sightings: Sequence[Sighting]) -> Evidence:
    if not math.isfinite(time_s):
        raise ValueError(f"expected time_s finite, got {time_s}")
    return Evidence(
        time_s,
        fixes=tuple(_fix(time_s, sighting) for sighting in sightings if sighting.place is not None),
        has_glimpse=any(sighting.place is None and sighting.is_convincing for sighting in sightings),
    )


def _fix(time_s: float, sighting: Sighting) -> Fix:
    place = sighting.place
    assert place is not None
    if len(place.position_m) != 3 or not all(map(math.isfinite, place.position_m)):
        raise ValueError(f"expected position_m of three finite coordinates, got {place.position_m}")
    if not 0 < place.std_m < math.inf:
        raise ValueError(f"expected std_m positive and finite, got {place.std_m}")
    return Fix(time_s, place.position_m, place.std_m, sighting.is_convincing)

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
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from server.flight.motion import Fix, Track
from server.settings import TrackerConfig

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


class Sighting(NamedTuple):
    """What may be the hero in one frame.

    `position_m` is (3,), metres in the ROS world frame, and `position_std_m` its standard deviation along each axis;
    both are None if it can't be located. One that is not convincing may be part of anybody.
    """

    position_m: np.ndarray | None = None
    position_std_m: float | None = None
    is_convincing: bool = True


class _Evidence(NamedTuple):
    """What a frame shows: its located sightings, the most convincing first; and has it convincing ones beside them?"""

    time_s: float
    fixes: list[Fix]
    has_glimpse: bool

    def for_new_track(self) -> "_Evidence | None":
        """What of it speaks for another track than the one there is; None if nothing does."""
        convincing = [fix for fix in self.fixes if fix.is_convincing]
        return self._replace(fixes=convincing) if convincing or self.has_glimpse else None


class Tracker:
    """One simulator's hero: whether to follow, and where to.

    Args:
        config: its settings.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._state = TrackState.PATROL
        self._track: Track | None = None
        self._time_s = -math.inf
        self._last_seen_s = self._last_convincing_s = -math.inf
        # Of the latest frames; None for one that says nothing, and for one with a sighting of the track there is.
        self._evidence: deque[_Evidence | None] = deque(
            maxlen=max(self._config.confirm_window, self._config.switch_window)
        )

    @property
    def state(self) -> TrackState:
        """As of the latest frame, or of `suspend`."""
        return self._state

    @property
    def is_following(self) -> bool:
        """Whether the drone should follow, as of the latest frame, or of `suspend`."""
        return self._state.is_following

    @property
    def velocity_mps(self) -> np.ndarray | None:
        """(3,) m/s in the ROS world frame, as of the latest located sighting; None without a track."""
        return None if self._track is None else self._track.velocity_mps.copy()

    def age_s(self, time_s: float) -> float | None:
        """Seconds from the latest sighting that belongs to the track to `time_s`; None without a track."""
        return None if self._track is None else time_s - self._last_seen_s

    def is_lost_at(self, time_s: float) -> bool:
        """Whether a followed hero has been out of sight, or not convincing, too long."""
        return self.is_following and (self._is_unseen_at(time_s) or self._is_doubtful)

    def _is_unseen_at(self, time_s: float) -> bool:
        return time_s - self._last_seen_s >= self._config.lost_after_s - ROUNDING_S

    @property
    def _is_doubtful(self) -> bool:
        """Whether what has been seen for too long was not convincing; who has not been seen at all is not in doubt."""
        return self._last_seen_s - self._last_convincing_s >= self._config.doubt_after_s - ROUNDING_S

    def predict(self, time_s: float) -> np.ndarray:
        """Where the hero is at a time, e.g. that of sending a command.

        Args:
            time_s: session time; one before the latest located sighting counts as that sighting's.

        Returns:
            (3,) float, metres, ROS world frame. An unseen hero walks on for `walk_on_s` and then waits.

        Raises:
            RuntimeError: if there is no track.
        """
        if self._track is None:
            raise RuntimeError(f"expected a track to predict from, got none in state {self._state}")
        return self._track.predict(time_s)

    def update(self, time_s: float, sightings: Sequence[Sighting] = ()) -> TrackState:
        """Take in one frame that was understood.

        A convincing one without a position confirms or keeps a track like any other, but can't move or start one alone.
        A frame that is not later than the one before it brings no new evidence and changes nothing.

        Args:
            time_s: session time of the frame.
            sightings: in that frame, the most convincing first.

        Returns:
            The new state.

        Raises:
            ValueError: if the time or a position is not finite, a position not (3,), or its standard deviation not
                positive and finite.
        """
        seen = _checked(time_s, sightings)
        if time_s <= self._time_s:
            return self._state
        self._time_s = time_s
        self._expire(time_s)
        is_of_track = self._take_in(seen)
        evidence = None if is_of_track else seen.for_new_track()
        self._evidence.append(evidence)
        if is_of_track or (evidence is not None and self._start_anew()):
            self._last_seen_s = time_s
            self._state = TrackState.FOLLOWING
        elif self.is_following:
            self._state = TrackState.COASTING
        elif self._recent_evidence(self._config.confirm_window):
            self._state = TrackState.CONFIRMING
        else:
            self._state = self._state_without_evidence()
        return self._state

    def suspend(self, time_s: float) -> None:
        """Stop following at once, because frames can't be understood or don't come.

        The track is kept: one sighting nearby resumes it while `reacquire_within_s` has not passed.

        Args:
            time_s: session time.
        """
        self._evidence.clear()
        self._state = self._state_without_evidence()
        self._expire(time_s)

    def _state_without_evidence(self) -> TrackState:
        return TrackState.PATROL if self._track is None else TrackState.LOST

    def _expire(self, time_s: float) -> None:
        """Lose a track that has been silent too long; forget it once it can't be resumed any more."""
        if self.is_lost_at(time_s):
            self._state = TrackState.LOST
            if self._is_doubtful:
                self._forget()
        if not self.is_following and time_s - self._last_seen_s > self._config.reacquire_within_s + ROUNDING_S:
            self._forget()

    def _forget(self) -> None:
        self._track = None
        self._state = TrackState.PATROL

    def _take_in(self, seen: _Evidence) -> bool:
        """Add the sighting that fits best to the track, if there is a track and one belongs there."""
        if self._track is None:
            return False
        fixes = seen.fixes if self.is_following else [fix for fix in seen.fixes if self._may_resume(fix)]
        if fixes:
            best = min(fixes, key=self._track.misfit)
            if self._track.fits(best):
                self._track.correct(best)
            elif self.is_following:
                return False
            else:
                self._track = Track(best, self._config)
            is_convincing = best.is_convincing
        elif self.is_following and seen.has_glimpse:
            is_convincing = True
        else:
            return False
        if is_convincing:
            self._last_convincing_s = seen.time_s
        return True

    def _may_resume(self, fix: Fix) -> bool:
        distance_m = math.dist(fix.position_m, self.predict(fix.time_s))
        return fix.is_convincing and distance_m <= self._config.reacquire_within_m

    def _start_anew(self) -> bool:
        """Start a track where enough of the latest frames agree, if they do."""
        config = self._config
        hits, window = (
            (config.switch_hits, config.switch_window)
            if self.is_following
            else (config.confirm_hits, config.confirm_window)
        )
        frames = self._recent_evidence(window)
        latest: list[Fix] = next((frame.fixes for frame in reversed(frames) if frame.fixes), [])
        # Of equally supported places the most convincing one: `max` returns the first.
        agreeing = max((_agreeing(fix, frames, config) for fix in latest), key=len, default=[])
        glimpses = sum(frame.has_glimpse and not frame.fixes for frame in frames)
        in_a_row = max(hits, config.switch_window)
        is_seen_throughout = len(self._recent_evidence(in_a_row)) == in_a_row
        if not agreeing or (len(agreeing) + glimpses < hits and not is_seen_throughout):
            return False
        self._track = Track(agreeing[0], config)
        for fix in agreeing[1:]:
            self._track.correct(fix)
        self._evidence.clear()
        self._last_convincing_s = self._time_s
        return True

    def _recent_evidence(self, window: int) -> list[_Evidence]:
        """What the latest `window` frames say, remembered no longer than a lost track."""
        oldest_s = self._time_s - self._config.reacquire_within_s - ROUNDING_S
        frames = list(self._evidence)[-window:]
        return [seen for seen in frames if seen is not None and seen.time_s >= oldest_s]


def _agreeing(latest: Fix, frames: Sequence[_Evidence], config: TrackerConfig) -> list[Fix]:
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


def _checked(time_s: float, sightings: Sequence[Sighting]) -> _Evidence:
    if not math.isfinite(time_s):
        raise ValueError(f"expected time_s finite, got {time_s}")
    return _Evidence(
        time_s,
        fixes=[_checked_fix(time_s, sighting) for sighting in sightings if sighting.position_m is not None],
        has_glimpse=any(sighting.position_m is None and sighting.is_convincing for sighting in sightings),
    )


def _checked_fix(time_s: float, sighting: Sighting) -> Fix:
    position_m, std_m = np.array(sighting.position_m, dtype=float), sighting.position_std_m
    if position_m.shape != (3,) or not np.isfinite(position_m).all():
        raise ValueError(f"expected position_m (3,) finite, got {position_m}")
    if std_m is None or not 0 < std_m < math.inf:
        raise ValueError(f"expected position_std_m positive and finite, got {std_m}")
    return Fix(time_s, position_m, std_m, sighting.is_convincing)

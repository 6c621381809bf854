"""Choose the frames of a recording that are worth training on, by the rules in `tools/export_dataset.py`."""

import math
from typing import NamedTuple

from server.flight.events import Retarget, Seen
from server.flight.tracks import TrackState
from server.watch.recording.format import Happened, Start

LOST, MISSED, SEVERAL, UNSURE = REASONS = ("lost", "missed", "several", "unsure")
LOST_BEFORE_S, LOST_AFTER_S = 2.5, 1.0
APART_S = 1.0
CLEAR_NATS = 2.0  # odds of 7 to 1


class _Frame(NamedTuple):
    """A frame that was inferred as a whole, and the reason to take it; None for no reason but perhaps a lost track."""

    number: int
    at_s: float
    arrival_s: float
    reason: str | None


class Choice(NamedTuple):
    """Frames of a recording.

    Args:
        reasons: number of a chosen frame → reason to take it, one of `REASONS`.
        seen: number of frames seen in which the target was looked for.
        left_out: number of frames seen in which another target was looked for.
    """

    reasons: dict[int, str]
    seen: int
    left_out: int


class Chooser:
    """Takes the events in order, and then chooses frames. It needs little memory, even for a long recording.

    Args:
        start: of the recording.
        target: name of the target. Frames of other targets are left out because their masks show these as the hero.

    Attributes:
        targets: names of all targets that were looked for.
    """

    def __init__(self, start: Start, target: str) -> None:
        self._target, self._now = target, start.tracker.profile.name
        self.targets = {self._now}
        # Frames that arrived until then may have been inferred for another target (`SessionState.bad_at_s`).
        self._since_s = -math.inf if start.state is None or start.state.bad_at_s is None else start.state.bad_at_s
        self._seen = self._left_out = 0
        self._frames: list[_Frame] = []
        # The moments at which a track was lost, monotonic seconds.
        self._lost_s: list[float] = []
        self._is_following = start.state is not None and start.state.tracker.is_following

    def take(self, happened: Happened) -> None:
        """Take in an event."""
        event, was_following = happened.event, self._is_following
        self._is_following = happened.state.is_following
        if isinstance(event, Retarget) and event.tracker.profile.name != self._now:
            self._now, self._since_s = event.tracker.profile.name, event.at_s
            self.targets.add(self._now)
        if not isinstance(event, Seen):
            return
        if self._now != self._target or event.arrival_s <= self._since_s:
            self._left_out += 1
            return
        self._seen += 1
        if was_following and not self._is_following:
            self._lost_s.append(event.at_s)
        if not event.is_part:  # the mask of a part is black around the part
            reason = _reason(event, happened.state)
            self._frames.append(_Frame(event.frame, event.at_s, event.arrival_s, reason))

    def choice(self) -> Choice:
        """Choose from the frames taken so far."""
        chosen: dict[int, str] = {}
        latest_s = dict.fromkeys(REASONS, -math.inf)
        for frame in self._frames:
            is_lost = any(at_s - LOST_BEFORE_S <= frame.at_s <= at_s + LOST_AFTER_S for at_s in self._lost_s)
            reason = LOST if is_lost else frame.reason
            if reason is not None and frame.arrival_s - latest_s[reason] >= APART_S:
                chosen[frame.number] = reason
                latest_s[reason] = frame.arrival_s
        return Choice(chosen, self._seen, self._left_out)


def _reason(event: Seen, state: TrackState) -> str | None:
    """The reason to take a frame around which no track was lost; None for no reason."""
    if state is TrackState.COASTING:
        return MISSED
    if sum(sighting.is_candidate for sighting in event.sightings) > 1:
        return SEVERAL
    likeliest = max((sighting.evidence for sighting in event.sightings), default=math.inf)
    return UNSURE if abs(likeliest) < CLEAR_NATS else None

"""The session of one simulator: its state, and the next commands to it. Pure: events in, commands out."""

import logging
import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from server.flight.clock import FrameClock
from server.flight.crowd import Crowd
from server.flight.events import (
    Choose,
    Event,
    Failed,
    Hold,
    NotUnderstood,
    Received,
    Refuse,
    Release,
    Retarget,
    Seen,
    Shutdown,
    Tick,
)
from server.flight.motion import Vector
from server.flight.tracks import Tracker, TrackState
from server.settings import TrackerConfig
from server.wire.messages import Command, Pose, create_box_marker, object_detected, object_lost

logger = logging.getLogger(__name__)


class Counts(NamedTuple):
    """Frames of a session so far, for /healthz and /metrics."""

    received: int = 0
    understood: int = 0
    superseded: int = 0
    stale: int = 0
    bad: int = 0
    failed: int = 0

    def plus(self, **more: int) -> "Counts":
        """The counts with some of them increased."""
        return self._replace(**{name: getattr(self, name) + count for name, count in more.items()})


class Somebody(NamedTuple):
    """A tracked person, for display.

    `number` identifies the person within the session, `probability` is that of being the hero, `position_m` (x, y, z)
    in the ROS world frame. `is_in_view`: seen in the latest whole frame or later.
    """

    number: int
    probability: float
    position_m: Vector
    is_in_view: bool
    is_refused: bool


class Situation(NamedTuple):
    """What a session believes and does at one moment, for display.

    `position_m` and `velocity_mps` are (x, y, z) in the ROS world frame, of the person followed, or followed last.
    `age_s` is the time since that person was last seen. All three are None without such a person. `is_held`: the
    operator keeps the drone on patrol. `followed` and `chosen` are numbers of people, and `followed` may be forgotten.
    `is_undecided`: several may be the hero, and none is likely enough. `marker_m` is the (x, y, z) size of the marker.
    """

    state: TrackState
    is_held: bool
    is_told_to_follow: bool
    position_m: Vector | None
    velocity_mps: Vector | None
    age_s: float | None
    people: tuple[Somebody, ...]
    followed: int | None
    chosen: int | None
    is_undecided: bool
    marker_m: Vector

    @property
    def followed_now(self) -> int | None:
        """Number of the person followed; None on patrol, where `followed` may be the person followed last."""
        return self.followed if self.state.is_following else None

    def distance_m(self, camera_pose: Pose) -> float | None:
        """The distance from a camera to the person followed, or followed last; None without such a person."""
        return None if self.position_m is None else math.dist(camera_pose[:3], self.position_m)


@dataclass(frozen=True)
class SessionState:
    """Everything that a session's next commands depend on.

    Args:
        tracker: all tracked people, and the person followed.
        clock: the time of its frames.
        counts: the numbers of its frames.
        is_told_to_follow: whether the last command was to follow; None before the first command.
        is_held: whether the operator keeps the drone on patrol.
        fresh_at_s: arrival of the newest frame understood, or before that when the first frame was read; None before
            the first frame. Monotonic seconds.
        bad_at_s: frames that arrived until then are not answered, because a newer frame was not understood, or because
            the network looked for another target in them; None if neither has happened.
        seen_at_s: arrival of the newest frame that showed the person followed; None if no frame did.
        markers: number of markers sent so far.
    """

    tracker: Tracker = field(default_factory=Tracker)
    clock: FrameClock = field(default_factory=FrameClock)
    counts: Counts = field(default_factory=Counts)
    is_told_to_follow: bool | None = None
    is_held: bool = False
    fresh_at_s: float | None = None
    bad_at_s: float | None = None
    seen_at_s: float | None = None
    markers: int = 0


class Session:
    """Decides the commands to one simulator; never to follow on stale or failed perception.

    `object_detected` answers each fresh frame while a person is followed. `object_lost` is sent once: when following
    ends, or as a session's first answer. It starts a patrol, which must not start again with each frame.
    The position sent is that at the frame's own time. So commands are a function of the events alone: in lock-step, a
    simulator flies the same path on any machine. In the 13 ms until the command is sent, a hero walks 2 cm.

    Args:
        name: for logs.
        watchdog_s: longest time without a fresh, understood frame during which a simulator is left following.
        state: to start from.

    Attributes:
        state: as of the latest event; assign another state to restore it.
    """

    def __init__(self, name: str, watchdog_s: float, state: SessionState) -> None:
        self.name, self.watchdog_s, self.state = name, watchdog_s, state

    @classmethod
    def begin(cls, name: str, tracker: TrackerConfig, watchdog_s: float) -> "Session":
        """A new session."""
        return cls(name, watchdog_s, SessionState(Tracker(tracker)))

    def take(self, event: Event) -> list[Command]:
        """Take in an event; returns the commands to the simulator, in order.

        Raises:
            Exception: any error of this program; the state is then as before.
        """
        before = self.state
        try:
            return self._take(event)
        except BaseException:
            self.state = before
            raise

    def situation(self, now_s: float) -> Situation:
        """What the session believes and does at `now_s` (monotonic seconds)."""
        state, tracker = self.state, self.state.tracker
        time_s, motion = state.clock.time_at(now_s), tracker.motion
        return Situation(
            state=tracker.state,
            is_held=state.is_held,
            is_told_to_follow=bool(state.is_told_to_follow),
            position_m=None if tracker.hero is None else tracker.predict(time_s),
            velocity_mps=tracker.velocity_mps,
            age_s=tracker.age_s(time_s),
            people=tuple(
                Somebody(
                    person.number,
                    probability,
                    motion.predict(person.track, time_s),
                    tracker.is_in_view(person),
                    person.is_refused,
                )
                for person, probability in zip(tracker.crowd.people, tracker.crowd.probabilities(), strict=True)
            ),
            followed=tracker.followed,
            chosen=tracker.chosen,
            is_undecided=tracker.is_undecided,
            marker_m=tracker.config.profile.marker_m,
        )

    def _take(self, event: Event) -> list[Command]:
        match event:
            case Received():
                self._receive(event)
                return []
            case Seen():
                return self._answer(event)
            case NotUnderstood():
                self._ignore_until(event.arrival_s)
                self._count(bad=1)
                return self._give_up("a frame was not understood")
            case Failed():
                self._count(failed=event.frame is not None)
                return self._give_up("internal error" if event.frame is None else "perception failed")
            case Tick():
                return self._check_watchdog(event.at_s)
            case Hold():
                self._change(is_held=True)
                return self._patrol("held by hand")
            case Release():
                self._change(is_held=False)
                return []  # the next frame is answered as if there had been no hold
            case Choose():
                tracker = self.state.tracker
                self._change(tracker=tracker.release() if event.person is None else tracker.choose(event.person))
                return []  # the next frame is answered accordingly
            case Refuse():
                self._change(tracker=self.state.tracker.refuse(event.person))
                return [] if self.state.tracker.is_following else self._patrol("refused by hand")
            case Retarget():
                commands = self._give_up("the target was changed")
                # Numbers go on: an order about an earlier person must not apply to a new person.
                crowd = Crowd(next_number=self.state.tracker.crowd.next_number)
                self._change(tracker=Tracker(event.tracker, crowd=crowd))
                self._ignore_until(event.at_s)
                return commands
            case Shutdown():
                return self._give_up("the server is shutting down")

    def _change(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]

    def _ignore_until(self, arrival_s: float) -> None:
        """Answer no frame that arrived until then; see `SessionState.bad_at_s`."""
        before_s = self.state.bad_at_s
        self._change(bad_at_s=arrival_s if before_s is None else max(before_s, arrival_s))

    def _count(self, **more: int) -> None:
        self._change(counts=self.state.counts.plus(**more))

    def _receive(self, event: Received) -> None:
        counts = self.state.counts.plus(received=1, superseded=event.superseded is not None)
        fresh_at_s = event.at_s if self.state.fresh_at_s is None else self.state.fresh_at_s
        self._change(counts=counts, fresh_at_s=fresh_at_s)

    def _answer(self, event: Seen) -> list[Command]:
        if event.at_s - event.arrival_s > self.watchdog_s:
            self._count(stale=1)
            return self._give_up(f"the frame may be older than {self.watchdog_s:g} s")
        if self.state.bad_at_s is not None and event.arrival_s <= self.state.bad_at_s:
            self._count(stale=1)
            return []  # see `SessionState.bad_at_s`; the drone has been stopped
        clock, time = self.state.clock.tick(event.timestamp_s, event.arrival_s)
        if time.is_stale:
            self._change(clock=clock, counts=self.state.counts.plus(stale=1))
            return []
        # Following ends without a command only when the operator releases the person.
        why_nobody = "no longer likely to be the target" if self.state.tracker.is_following else "released by hand"
        tracker = self.state.tracker.update(time.time_s, event.sightings, event.surfaces, event.is_part)
        self._change(
            clock=clock,
            counts=self.state.counts.plus(understood=1),
            tracker=tracker,
            fresh_at_s=event.arrival_s,
            seen_at_s=event.arrival_s if tracker.state is TrackState.FOLLOWING else self.state.seen_at_s,
        )
        if not tracker.is_following:
            return self._patrol(why_nobody if tracker.hero is None else "out of sight")
        # By arrival times, because a simulator whose clock hardly moves would otherwise follow for ever without a hero.
        unseen_s = math.inf if self.state.seen_at_s is None else event.arrival_s - self.state.seen_at_s
        if unseen_s >= 2 * tracker.longest_unseen_s:
            return self._give_up("out of sight for too long on the server's clock")
        if self.state.is_held:
            return self._patrol("held by hand")
        return self._follow(time.time_s)

    def _check_watchdog(self, now_s: float) -> list[Command]:
        """Stop the drone if its last fresh frame is too old."""
        fresh_at_s = self.state.fresh_at_s
        if fresh_at_s is not None and now_s - fresh_at_s > self.watchdog_s:
            return self._give_up(f"no fresh frame for {self.watchdog_s:g} s")
        return []

    def _follow(self, time_s: float) -> list[Command]:
        tracker, profile = self.state.tracker, self.state.tracker.config.profile
        position_m = tracker.predict(time_s)
        if not self.state.is_told_to_follow:
            whom = profile.name if tracker.chosen is None else f"person {tracker.followed}"
            logger.info("[%s] Target found: %s at (%.1f, %.1f, %.1f) m", self.name, whom, *position_m)
        self._change(is_told_to_follow=True, markers=self.state.markers + 1)
        return [object_detected(position_m), create_box_marker(self.state.markers, position_m, profile.marker_m)]

    def _give_up(self, reason: str) -> list[Command]:
        if self.state.tracker.is_following:
            # The track stays, so that the next good frame can continue it.
            self._change(tracker=self.state.tracker.suspend())
        return self._patrol(reason)

    def _patrol(self, reason: str) -> list[Command]:
        if self.state.is_told_to_follow is False:
            return []
        if self.state.is_told_to_follow:
            logger.info("[%s] Target lost: %s", self.name, reason)
        self._change(is_told_to_follow=False)
        return [object_lost()]

"""One simulator: what it has been told, and what to tell it next.

Only the event loop touches a session. Its methods return the commands to send to that simulator, in order.
"""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from server.flight.clock import FrameClock
from server.flight.tracks import Sighting, Tracker, TrackState
from server.settings import TrackerConfig
from server.sight.geometry import Pose
from server.sight.people import Target
from server.sight.perception import Job
from server.wire.messages import Command, create_box_marker, object_detected, object_lost

logger = logging.getLogger(__name__)


class Counts(NamedTuple):
    """Frames of a session so far, for /healthz."""

    received: int
    understood: int
    superseded: int
    stale: int
    bad: int
    failed: int


class Situation(NamedTuple):
    """What a session believes and does at one moment, for people to look at.

    `position_m` is (3,) of the hero in the ROS world frame, `velocity_mps` likewise, `age_s` the time since the hero
    was last seen; all three are None without a track. `is_held`: the drone is kept on patrol by hand.
    """

    state: TrackState
    is_held: bool
    position_m: np.ndarray | None
    velocity_mps: np.ndarray | None
    age_s: float | None

    def distance_m(self, camera_pose: Pose) -> float | None:
        """From a camera to the hero."""
        return None if self.position_m is None else math.dist(camera_pose[:3], self.position_m)


class Session:
    """The tracker of one simulator, and the promise that it never follows on stale or failed perception.

    `object_detected` answers each fresh frame while the hero is followed. `object_lost` is sent when that ends and
    as a session's first answer, and not again: it starts a patrol, which must not start over at each frame.
    The position is the one at the frame's own time, which makes commands a function of the frames alone: in lock-step,
    a simulator flies the same path on any machine. In the 13 ms until it is sent a hero walks 2 cm.

    Args:
        name: for logs.
        tracker: the tracker's settings.
        watchdog_s: longest time without a fresh, understood frame during which a simulator is left following.
    """

    def __init__(self, name: str, tracker: TrackerConfig, watchdog_s: float) -> None:
        self.name = name
        self.tracker = Tracker(tracker)
        self._watchdog_s = watchdog_s
        # By arrival: a simulator whose clock hardly moves would else be left following a hero who has gone.
        self._longest_unseen_s = 2 * tracker.lost_after_s
        self._clock = FrameClock()
        self._is_told_to_follow: bool | None = None
        # Arrivals, monotonic seconds: of the newest frame understood (at first, of the first one received), of the
        # newest one that was not, and of the newest one that showed the hero.
        self._fresh_at_s: float | None = None
        self._bad_at_s = self._seen_at_s = -math.inf
        self._marker_id = 0
        self._is_held = False
        self._counts: Counter[str] = Counter()

    @property
    def is_told_to_follow(self) -> bool:
        """Whether the last command was to follow."""
        return bool(self._is_told_to_follow)

    @property
    def is_held(self) -> bool:
        """Whether the drone is kept on patrol by hand."""
        return self._is_held

    @property
    def counts(self) -> Counts:
        """Frames so far."""
        return Counts(*(self._counts[name] for name in Counts._fields))

    def hero_age_s(self, now_s: float) -> float | None:
        """Seconds since the hero was last seen, as far as the track remembers."""
        return self.tracker.age_s(self._clock.time_at(now_s))

    def situation(self, now_s: float) -> Situation:
        """What it believes and does at `now_s` (monotonic seconds)."""
        time_s, velocity_mps = self._clock.time_at(now_s), self.tracker.velocity_mps
        return Situation(
            state=self.tracker.state,
            is_held=self._is_held,
            position_m=None if velocity_mps is None else self.tracker.predict(time_s),
            velocity_mps=velocity_mps,
            age_s=self.tracker.age_s(time_s),
        )

    def hold(self) -> list[Command]:
        """Stop the drone and keep it on patrol, whatever is seen, until `release`; the tracker goes on."""
        self._is_held = True
        return self._patrol("held by hand")

    def release(self) -> list[Command]:
        """End a hold: the next frame is answered as if there had been none."""
        self._is_held = False
        return []

    def on_received(self, arrival_s: float, superseded: bool) -> None:
        """Count a frame that has come, and the older one that it replaced before perception got to it."""
        if self._fresh_at_s is None:
            self._fresh_at_s = arrival_s
        self._counts["received"] += 1
        self._counts["superseded"] += superseded

    def on_seen(self, job: Job, targets: Sequence[Target], now_s: float) -> list[Command]:
        """Answer a frame that perception understood.

        Args:
            job: the frame, with its arrival (monotonic seconds).
            targets: what may be the hero in it, the most convincing first.
            now_s: monotonic seconds.
        """
        if now_s - job.arrival_s > self._watchdog_s:
            self._counts["stale"] += 1
            return self._give_up(now_s, "perception is too slow")
        if job.arrival_s <= self._bad_at_s:
            self._counts["stale"] += 1
            return []  # a newer one was not understood, and has stopped the drone
        time = self._clock.tick(job.frame.timestamp_s, job.arrival_s)
        if time.is_stale:
            self._counts["stale"] += 1
            return []
        self._counts["understood"] += 1
        self._fresh_at_s = job.arrival_s
        self.tracker.update(
            time.time_s,
            [Sighting(target.position_m, target.position_std_m, target.is_convincing) for target in targets],
        )
        if self.tracker.state is TrackState.FOLLOWING:
            self._seen_at_s = job.arrival_s
        if not self.tracker.is_following:
            return self._patrol("out of sight")
        if job.arrival_s - self._seen_at_s >= self._longest_unseen_s:
            return self._give_up(now_s, "out of sight, though by the frames' timestamps not for long")
        if self._is_held:
            return self._patrol("held by hand")
        return self._follow(time.time_s)

    def on_bad_frame(self, arrival_s: float, now_s: float) -> list[Command]:
        """Answer a frame that was not understood: a drone that followed stops at once."""
        self._counts["bad"] += 1
        self._bad_at_s = arrival_s
        return self._give_up(now_s, "a frame was not understood")

    def on_failure(self, now_s: float) -> list[Command]:
        """Answer a frame on which perception failed."""
        self._counts["failed"] += 1
        return self._give_up(now_s, "perception failed")

    def on_tick(self, now_s: float) -> list[Command]:
        """Stop a drone whose last fresh frame is too long ago; called several times a second."""
        if self._fresh_at_s is None or (self._is_told_to_follow is False and not self.tracker.is_following):
            return []
        if now_s - self._fresh_at_s > self._watchdog_s:
            return self._give_up(now_s, f"no fresh frame for {self._watchdog_s:g} s")
        return []

    def on_shutdown(self, now_s: float) -> list[Command]:
        """Stop the drone because the server ends."""
        return self._give_up(now_s, "the server is shutting down")

    def _follow(self, time_s: float) -> list[Command]:
        position_m = self.tracker.predict(time_s).tolist()
        if not self._is_told_to_follow:
            logger.info("[%s] Target found at (%.1f, %.1f, %.1f) m", self.name, *position_m)
        self._is_told_to_follow = True
        self._marker_id += 1
        return [object_detected(position_m), create_box_marker(self._marker_id, position_m)]

    def _give_up(self, now_s: float, reason: str) -> list[Command]:
        if self.tracker.is_following:
            # The track stays, so that the next good frame can take it up again.
            self.tracker.suspend(self._clock.time_at(now_s))
        return self._patrol(reason)

    def _patrol(self, reason: str) -> list[Command]:
        if self._is_told_to_follow is False:
            return []
        if self._is_told_to_follow:
            logger.info("[%s] Target lost: %s", self.name, reason)
        self._is_told_to_follow = False
        return [object_lost()]

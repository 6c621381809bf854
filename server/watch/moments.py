"""The data of the page's maps and charts: a moment for each answered frame."""

from collections import deque
from itertools import islice
from typing import Any, NamedTuple

from server.flight.session import Situation
from server.wire.messages import Pose


class Moment(NamedTuple):
    """The data of one answered frame that the page draws.

    Args:
        number: counts up one by one.
        arrival_s: arrival of the frame, monotonic seconds.
        latency_s: from arrival until the last of its commands was sent.
        state: state of the tracker after the frame.
        camera: x, y, z in metres and yaw in degrees, ROS world frame; None for a frame that was not understood.
        hero: x, y in metres, ROS world frame; None without a track.
    """

    number: int
    arrival_s: float
    latency_s: float
    state: str
    camera: tuple[float, float, float, float] | None
    hero: tuple[float, float] | None

    @classmethod
    def of(
        cls, number: int, arrival_s: float, latency_s: float, situation: Situation, camera_pose: Pose | None
    ) -> "Moment":
        """The moment of a frame, with the situation after it; `camera_pose` is None for a frame not understood."""
        camera = None if camera_pose is None else (*camera_pose[:3], camera_pose.yaw_deg)
        hero = None if situation.position_m is None else situation.position_m[:2]
        return cls(number, arrival_s, latency_s, situation.state.value, camera, hero)

    @property
    def answered_s(self) -> float:
        """When the last of its commands was sent, monotonic seconds."""
        return self.arrival_s + self.latency_s

    def as_json(self) -> list[Any]:
        """The page's form: [seconds, milliseconds, state, [x, y, z, yaw] or null, [x, y] or null]."""
        return [
            round(self.arrival_s, 3),
            round(1e3 * self.latency_s, 1),
            self.state,
            self.camera and [round(value, 2) for value in self.camera],
            self.hero and [round(value, 2) for value in self.hero],
        ]


def since(moments: deque[Moment], number: int) -> list[Moment]:
    """The moments with larger numbers than `number`, oldest first."""
    new = []
    for moment in reversed(moments):
        if moment.number <= number:
            break
        new.append(moment)
    return new[::-1]


def before(moments: deque[Moment], number: int, most: int) -> list[Moment]:
    """The newest `most` of the moments with smaller numbers than `number`, oldest first."""
    count = max(number - moments[0].number, 0) if moments else 0
    return list(islice(moments, max(count - most, 0), count))

"""Frames that perception has understood, made up."""

import numpy as np

from server.flight.session import Session
from server.settings import TrackerConfig
from server.sight.geometry import Pose
from server.sight.people import Box, Target
from server.sight.perception import Job
from server.wire.messages import SensorFrame

POSE = Pose(0.0, 0.0, 5.0, 0.0, 0.0, 0.0)


HERE = np.array([10.0, 2.0, 1.0])


def session(**tracker) -> Session:
    return Session("a simulator", TrackerConfig(**{"confirm_hits": 2, "confirm_window": 3, **tracker}), WATCHDOG_S)


def target(position_m=HERE) -> Target:
    return Target((128.0, 128.0), (128.0, 150.0), Box(120, 100, 136, 150), 200, 0.97, 10.0, position_m, 0.2, 0.4)


def job(time_s: float) -> Job:
    """A frame taken and received at `time_s`."""
    return Job("sid", SensorFrame(1e9 + time_s, b"", b"", POSE, POSE), time_s)


WATCHDOG_S = 1.0

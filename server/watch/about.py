"""The page's data of one simulator at one moment, for live and for recorded simulators."""

import math
from collections.abc import Iterable
from typing import Any

from server.flight.session import Situation
from server.sight.geometry import Camera
from server.simulator import Simulator
from server.watch.labels import Spot, as_json

# A picture is shown only if it is at most this much older than the newest frame. It is old if nobody has looked since.
MOST_LAG_S = 3.0
# Warnings about a simulator's input: how long each warning is shown, and the most warnings.
WARNING_SHOWN_S, WARNINGS_SHOWN = 60.0, 5


def describe(
    name: str,
    target: str,
    situation: Situation,
    distance_m: float | None,
    frame_age_s: float | None,
    found: Iterable[Spot],
    camera: Camera,
) -> dict[str, Any]:
    """A situation in the page's form; the caller adds the new `moments` and the `picture`.

    Args:
        name: name of the simulator.
        target: name of the target that its session follows.
        situation: situation of its session.
        distance_m: from the camera to the hero at the latest frame that was understood.
        frame_age_s: time since that frame's arrival; None if there is no such frame.
        found: positions of people in the latest picture.
        camera: camera of the simulator.
    """
    # If another person is chosen, position, velocity and age are still those of the person followed before.
    if situation.chosen not in (None, situation.followed):
        situation = situation._replace(position_m=None, velocity_mps=None, age_s=None)
    velocity = situation.velocity_mps
    return {
        "name": name,
        "target": target,
        "state": situation.state.value,
        "is_held": situation.is_held,
        "is_undecided": situation.is_undecided,
        "followed": situation.followed_now,
        "chosen": situation.chosen,
        "people": as_json(situation.people, found),
        "is_told_to_follow": situation.is_told_to_follow,
        "distance_m": None if situation.position_m is None else rounded(distance_m),
        "speed_mps": None if velocity is None else rounded(math.hypot(velocity[0], velocity[1])),
        "age_s": rounded(situation.age_s),
        "frame_age_s": rounded(frame_age_s),
        "fov_deg": round(_horizontal_fov_deg(camera), 1),
    }


def describe_briefly(
    name: str, situation: Situation, distance_m: float | None, frame_age_s: float | None
) -> dict[str, Any]:
    """The content of a tile in the page's form; the arguments are as for `describe`.

    A tile does not show when the hero was last seen, so it shows the distance only while somebody is followed.
    """
    return {
        "name": name,
        "state": situation.state.value,
        "is_held": situation.is_held,
        "distance_m": None if situation.followed_now is None else rounded(distance_m),
        "frame_age_s": rounded(frame_age_s),
    }


def health_of(simulator: Simulator, now_s: float) -> dict[str, Any]:
    """The state of a simulator for /healthz."""
    situation = simulator.session.situation(now_s)
    return {
        "name": simulator.name,
        "target": simulator.target,
        "state": situation.state.value,
        "is_held": situation.is_held,
        "is_told_to_follow": situation.is_told_to_follow,
        "hero_age_s": situation.age_s,
        **simulator.session.state.counts._asdict(),
    }


def rounded(value: float | None) -> float | None:
    """A value rounded to the page's precision."""
    return None if value is None else round(value, 2)


def _horizontal_fov_deg(camera: Camera) -> float:
    return 2 * math.degrees(math.atan(camera.image_width_px / 2 / camera.focal_px))

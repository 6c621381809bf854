"""What the page shows of one simulator at one moment: the same for a live one and for a recorded one."""

import math
from collections.abc import Iterable
from typing import Any

from server.flight.session import Situation
from server.sight.geometry import Camera
from server.watch.labels import Spot, as_json

# How much older than the newest frame a picture may be and still be shown: it outlives whoever had it drawn.
MOST_LAG_S = 3.0
# Warnings about a simulator's input: how long each is shown, and how many.
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
    """The page's form of a situation; whoever tells it adds the new `moments` and the `picture`.

    Args:
        name: the simulator's.
        target: name of whom its session looks for.
        situation: its session's.
        distance_m: from the camera to the hero at the latest frame that was understood.
        frame_age_s: since that frame's arrival; None if there is none.
        found: where people are in the latest picture.
        camera: of the simulator.
    """
    if situation.chosen not in (None, situation.followed):  # nothing is known of who is chosen; that is of another
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
    """The page's form of what a tile says; the arguments are as in `describe`.

    A tile does not say when the hero was last seen, so it tells the distance only while somebody is followed.
    """
    return {
        "name": name,
        "state": situation.state.value,
        "is_held": situation.is_held,
        "distance_m": None if situation.followed_now is None else rounded(distance_m),
        "frame_age_s": rounded(frame_age_s),
    }


def rounded(value: float | None) -> float | None:
    """To what the page shows."""
    return None if value is None else round(value, 2)


def _horizontal_fov_deg(camera: Camera) -> float:
    return 2 * math.degrees(math.atan(camera.image_width_px / 2 / camera.focal_px))

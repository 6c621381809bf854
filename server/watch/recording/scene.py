"""The scene of a recording's topic /target, for players to draw: a box for the hero, small grey cubes for others."""

import math
from collections.abc import Sequence

from foxglove.messages import (
    ArrowPrimitive,
    Color,
    CubePrimitive,
    Quaternion,
    SceneEntity,
    SceneEntityDeletion,
    SceneUpdate,
    TextPrimitive,
    Timestamp,
    Vector3,
)
from foxglove.messages import Pose as FoxglovePose

from server.flight.motion import Vector
from server.flight.session import Situation
from server.wire.messages import Pose

WORLD = "world"
HERO_ID, OTHERS_ID = "hero", "others"
HERO_COLOUR = Color(r=0.2, g=0.88, b=0.44, a=0.5)
ARROW_M = 0.15  # thickness of the hero's arrow; its length is one second's walk
IN_VIEW_COLOUR, OUT_OF_VIEW_COLOUR = Color(r=0.6, g=0.6, b=0.6, a=0.8), Color(r=0.6, g=0.6, b=0.6, a=0.3)
OTHERS_M, NUMBER_ABOVE_M, NUMBER_M = 0.3, 0.6, 0.5  # edge of a cube; height of the number above it; size of the number
NO_TURN = Quaternion(x=0.0, y=0.0, z=0.0, w=1.0)


def scene(situation: Situation, stamp: Timestamp) -> SceneUpdate:
    """The hero, and all other people with their numbers. An entity without people is deleted from the scene."""
    entities, deletions = [], []
    for entity_id, entity in ((HERO_ID, _hero(situation, stamp)), (OTHERS_ID, _others(situation, stamp))):
        if entity is None:
            deletions.append(SceneEntityDeletion(timestamp=stamp, id=entity_id))
        else:
            entities.append(entity)
    return SceneUpdate(entities=entities, deletions=deletions)


def rotation(pose: Pose) -> Quaternion:
    """The quaternion of a pose's attitude: Rz(yaw) · Ry(pitch) · Rx(roll), as in `server.sight.geometry`."""
    (sin_roll, cos_roll), (sin_pitch, cos_pitch), (sin_yaw, cos_yaw) = (
        (math.sin(math.radians(angle_deg) / 2), math.cos(math.radians(angle_deg) / 2)) for angle_deg in pose[3:]
    )
    return Quaternion(
        x=sin_roll * cos_pitch * cos_yaw - cos_roll * sin_pitch * sin_yaw,
        y=cos_roll * sin_pitch * cos_yaw + sin_roll * cos_pitch * sin_yaw,
        z=cos_roll * cos_pitch * sin_yaw - sin_roll * sin_pitch * cos_yaw,
        w=cos_roll * cos_pitch * cos_yaw + sin_roll * sin_pitch * sin_yaw,
    )


def vector(xyz: Sequence[float]) -> Vector3:
    """(x, y, z) as Foxglove's type."""
    return Vector3(x=xyz[0], y=xyz[1], z=xyz[2])


def _hero(situation: Situation, stamp: Timestamp) -> SceneEntity | None:
    """A box with an arrow along the velocity."""
    if situation.position_m is None or situation.velocity_mps is None:
        return None
    velocity_mps = situation.velocity_mps
    speed_mps = math.hypot(*velocity_mps)
    heading = Pose(
        0, 0, 0, 0, -math.degrees(math.asin(velocity_mps[2] / speed_mps)) if speed_mps else 0.0,
        math.degrees(math.atan2(velocity_mps[1], velocity_mps[0])),
    )  # fmt: skip
    at = vector(situation.position_m)
    box = CubePrimitive(
        pose=FoxglovePose(position=at, orientation=NO_TURN), size=vector(situation.marker_m), color=HERO_COLOUR
    )
    arrow = ArrowPrimitive(
        pose=FoxglovePose(position=at, orientation=rotation(heading)),
        shaft_length=speed_mps,
        shaft_diameter=ARROW_M,
        head_length=2 * ARROW_M,
        head_diameter=2 * ARROW_M,
        color=HERO_COLOUR,
    )
    return SceneEntity(timestamp=stamp, frame_id=WORLD, id=HERO_ID, cubes=[box], arrows=[arrow])


def _others(situation: Situation, stamp: Timestamp) -> SceneEntity | None:
    """A small cube for each person who is not followed, with the number above it; fainter for people out of view."""
    others = [person for person in situation.people if person.number != situation.followed]
    if not others:
        return None
    size = vector((OTHERS_M,) * 3)
    colours = [IN_VIEW_COLOUR if person.is_in_view else OUT_OF_VIEW_COLOUR for person in others]
    return SceneEntity(
        timestamp=stamp,
        frame_id=WORLD,
        id=OTHERS_ID,
        cubes=[
            CubePrimitive(pose=_upright(person.position_m), size=size, color=colour)
            for person, colour in zip(others, colours, strict=True)
        ],
        texts=[
            TextPrimitive(
                pose=_upright(person.position_m, NUMBER_ABOVE_M),
                billboard=True,
                font_size=NUMBER_M,
                color=colour,
                text=str(person.number),
            )
            for person, colour in zip(others, colours, strict=True)
        ],
    )


def _upright(position_m: Vector, above_m: float = 0.0) -> FoxglovePose:
    x_m, y_m, z_m = position_m
    return FoxglovePose(position=vector((x_m, y_m, z_m + above_m)), orientation=NO_TURN)

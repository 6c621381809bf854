"""The messages of a recording's topic /state: converts the situation after each answer to JSON and back."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from model.profile import hero_profile
from server.flight.motion import Vector
from server.flight.session import Situation, Somebody
from server.flight.tracks import TrackState
from server.watch.recording.format import parse
from server.watch.recording.items import Answered
from server.watch.recording.restore import check_numbers

# Foxglove accepts only one simple type for each property; null is valid for any type.
NUMBER, TEXT, FLAG, OBJECT = {"type": "number"}, {"type": "string"}, {"type": "boolean"}, {"type": "object"}
NUMBERS = {"type": "array", "items": NUMBER}
PERSON = {"number": NUMBER, "probability": NUMBER, "position_m": NUMBERS, "is_in_view": FLAG, "is_refused": FLAG}
PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "state": TEXT,
    "is_held": FLAG,
    "is_told_to_follow": FLAG,
    "position_m": NUMBERS,
    "velocity_mps": NUMBERS,
    "age_s": NUMBER,
    "distance_m": NUMBER,
    "latency_s": NUMBER,
    "followed": NUMBER,
    "chosen": NUMBER,
    "is_undecided": FLAG,
    "marker_m": NUMBERS,
    "people": {"type": "array", "items": {**OBJECT, "properties": PERSON}},
}


class _Person(msgspec.Struct):
    """See `Somebody`."""

    number: int
    probability: float
    position_m: Vector
    is_in_view: bool
    is_refused: bool


class _State(msgspec.Struct):
    """See `Situation` and `Answered`. Recordings of older formats lack the fields that have a default."""

    state: TrackState
    is_held: bool
    is_told_to_follow: bool
    position_m: Vector | None
    velocity_mps: Vector | None
    age_s: float | None
    distance_m: float | None
    latency_s: float
    followed: int | None = None
    chosen: int | None = None
    is_undecided: bool = False
    marker_m: Vector | None = None
    people: tuple[_Person, ...] = ()


def to_json(item: Answered) -> str:
    """The message about an answered frame."""
    people = [_person(somebody) for somebody in item.situation.people]
    others = {"distance_m": item.distance_m, "latency_s": item.latency_s}
    return json.dumps({**item.situation._asdict(), **others, "people": people})


def from_json(data: bytes, now_s: float) -> Answered:
    """Read the message about an answered frame.

    Args:
        data: the message, from a recording of any format.
        now_s: time of the message, monotonic seconds.

    Raises:
        ValueError: names the field that is missing or not as expected.
        RecursionError: if the message is nested too deeply.
    """
    told = msgspec.structs.asdict(msgspec.convert(parse(data), _State))
    latency_s, distance_m = told.pop("latency_s"), told.pop("distance_m")
    told["people"] = tuple(Somebody(**msgspec.structs.asdict(person)) for person in told["people"])
    told["marker_m"] = told["marker_m"] or hero_profile().marker_m
    answered = Answered(now_s, latency_s, Situation(**told), distance_m)
    check_numbers(answered)
    return answered


def _person(somebody: Somebody) -> dict[str, Any]:
    """A person with rounded numbers, because there may be dozens of people in each frame."""
    return {
        **somebody._asdict(),
        "probability": round(somebody.probability, 4),
        "position_m": [round(value, 2) for value in somebody.position_m],
    }

"""The messages of a recording's topic /events, format 8: values to JSON and back.

Each message is a JSON object of one `kind`:

    start       the first message: the name and all settings of the session
    in_work     a frame that perception was working on when the recording began
    received, seen, not_understood, failed, tick, hold, release, choose, refuse, retarget, shutdown
                an event of `server.flight.events` with its fields, the tracker's `state` after it, and the `commands`
                of the session; `received` also has the frame's `argument`, as JSON text
    end         the last message: why the recording ended

Values are converted by their type hints (msgspec): a dataclass becomes an object, a NamedTuple a list. Numbers are
finite and are restored exactly. A change of these messages, or of a value in them, needs a new format number and a step
in `upgrade.py`.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar, get_args

import msgspec

from server.flight.events import Event
from server.flight.session import SessionState
from server.flight.tracks import TrackState
from server.settings import TrackerConfig, tracker_for
from server.sight.geometry import Camera
from server.wire.messages import FOLLOW, Command, shorten

FORMAT = 8
EVENTS_TOPIC, MASK_TOPIC, STATE_TOPIC = "/events", "/mask", "/state"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Start:
    """The first message: the name and all settings of the session.

    Args:
        session: the session's name.
        camera: the camera that took its frames.
        tracker: the settings of its tracker.
        chosen: the tracker settings that the user had changed, by name; empty in recordings of older formats.
        watchdog_s: the time of its watchdog.
        min_blob_px: smallest person that perception believes, in pixels of the network.
        weights: the network as the user named it to the server; None for a network without a file.
        weights_sha256: hash of that file.
        parts_sha256: hashes of all other files on which the network's output depends (`model.engines.parts`); None in
            recordings of older formats.
        engine: describes the engine that ran the network.
        started_s: when the recording began, seconds since 1970.
        monotonic_s: the same moment on the clock of all other times in the recording.
        state: state of the session at that moment; None if the recording begins with its session.
    """

    session: str
    camera: Camera
    tracker: TrackerConfig
    chosen: dict[str, float]
    watchdog_s: float
    min_blob_px: int
    weights: str | None
    weights_sha256: str | None
    parts_sha256: dict[str, str] | None
    engine: str
    started_s: float
    monotonic_s: float
    state: SessionState | None


@dataclass(frozen=True)
class InWork:
    """A frame that perception was working on when the recording began.

    Args:
        frame: number of the frame.
        arrival_s: arrival of the frame, monotonic seconds.
        argument: argument of its event, JSON text.
        expected_m: see `server.wire.messages.Frame`.
    """

    frame: int
    arrival_s: float
    argument: str
    expected_m: tuple[float, float, float] | None = None


class Happened(NamedTuple):
    """An event that the session took in.

    Args:
        event: as it was taken in.
        state: state of the tracker afterwards.
        commands: the session's commands.
        argument: argument of the frame's event, JSON text, for a `Received`; else None. For a frame that cannot be
            parsed, it may be only the beginning, as a JSON string, which cannot be parsed as a frame either.
    """

    event: Event
    state: TrackState
    commands: list[Command]
    argument: str | None = None


@dataclass(frozen=True)
class End:
    """The last message: why the recording ended."""

    reason: str


Message = Start | InWork | Happened | End


@dataclass(frozen=True)
class _Outcome:
    """The fields of an event's message besides the fields of the event."""

    state: TrackState
    commands: list[Command]
    argument: str | None = None


def kind_of(value: type) -> str:
    """The kind of messages about a class: its name in snake case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", value.__name__).lower()


_EVENTS: dict[str, type[Event]] = {kind_of(event): event for event in get_args(Event)}
_OTHERS: dict[str, type[InWork] | type[End]] = {kind_of(value): value for value in (InWork, End)}


def to_json(message: Message) -> str:
    """A message as JSON.

    Raises:
        TypeError: if a value in it is not of a type that JSON can hold.
        ValueError: if a number in it is not finite.
    """
    if isinstance(message, Happened):
        fields = {
            "kind": kind_of(type(message.event)),
            **msgspec.to_builtins(message.event),
            "state": message.state.value,
            "commands": message.commands,
        }
        if message.argument is not None:
            fields["argument"] = message.argument
    else:
        is_start = {"format": FORMAT} if isinstance(message, Start) else {}
        fields = {"kind": kind_of(type(message)), **is_start, **msgspec.to_builtins(message)}
    return json.dumps(fields, allow_nan=False)


def parse(data: bytes) -> dict[str, Any]:
    """The fields of a message of any format.

    Raises:
        ValueError: if it is not a JSON object, or a number in it is not finite.
        RecursionError: if it is nested too deeply.
    """
    fields = json.loads(data, parse_constant=_refuse_number, parse_float=_finite)
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, got {shorten(fields)}")
    return fields


def start_of(fields: Mapping[str, Any]) -> Start:
    """The first message, from its fields.

    Raises:
        ValueError: names the field that is missing or differs from this version's.
    """
    start = msgspec.convert(fields, Start)
    values = json.loads(json.dumps(asdict(start)))
    for name in ("camera", "tracker", "state"):
        # msgspec would ignore a field of another version, and use the default of a missing field.
        if values[name] != fields[name]:
            raise ValueError(f"expected a {name} of this version of the program, got other fields in it")
    tracker_for(start.tracker.profile, start.chosen)  # raises ValueError if a value is out of its range
    return start


def message_of(fields: Mapping[str, Any]) -> InWork | Happened | End:
    """Any later message, from its fields.

    Raises:
        ValueError: names the field that is missing or not as expected.
    """
    kind = msgspec.convert(fields.get("kind"), str)
    if kind in _OTHERS:
        return msgspec.convert(fields, _OTHERS[kind])
    if kind not in _EVENTS:
        raise ValueError(f"expected an event of a known kind, got {shorten(kind)}")
    outcome = msgspec.convert(fields, _Outcome)
    event = msgspec.convert(fields, _EVENTS[kind])
    if (kind == "received") != (outcome.argument is not None):
        raise ValueError(f"expected an argument with a frame received, and with nothing else, got {kind}")
    for command in outcome.commands:
        if command.event == FOLLOW:
            msgspec.convert(command.payload.get("coords"), tuple[float, float, float])
    return Happened(event, outcome.state, outcome.commands, outcome.argument)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


def _refuse_number(text: str) -> float:
    raise ValueError(f"expected a finite number, got {text}")

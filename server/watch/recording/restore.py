"""A recording's session and frames again; refuses a damaged recording that no session can have made."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TypeVar

from server.flight.session import Session
from server.watch.recording.format import Start
from server.wire.messages import Frame, shorten

# Far beyond every time, position and variance of a session, whose tracker computes with squares and cubes of them.
LARGEST_NUMBER = 1e40
# Logarithms of likelihoods, of which the exponential is taken.
LOGARITHMS, LARGEST_LOGARITHM = ("evidence", "second_evidence", "present", "settled"), 100.0
# Of a session, one frame is perceived and one waits for it; results that wait for the event loop may be some more.
MOST_WAITING = 50

Key = TypeVar("Key")
Value = TypeVar("Value")


class InconsistentError(ValueError):
    """A recording whose messages do not fit each other, or that no session can have made."""


class Waiting(dict[Key, Value]):
    """What is kept of frames until their answers come; the oldest goes if there are more than a session can have."""

    def __setitem__(self, key: Key, value: Value) -> None:
        super().__setitem__(key, value)
        if len(self) > MOST_WAITING:
            del self[next(iter(self))]


def restored(start: Start) -> Session:
    """A session as it was when the recording began.

    Raises:
        InconsistentError: if no session can have had that state.
    """
    session = Session.begin(start.session, start.tracker, start.watchdog_s)
    if start.state is not None:
        check_numbers(start.state)
        if start.state.tracker.is_following and start.state.tracker.velocity_mps is None:
            raise InconsistentError("expected a state that follows to have a track, got none")
        session.state = start.state
    return session


def restored_frame(
    number: int, arrival_s: float, argument: str, expected_m: tuple[float, float, float] | None = None
) -> Frame:
    """A frame again, from its event, without the event's argument, which may be large and is read.

    Args:
        number: of the frame.
        arrival_s: monotonic seconds.
        argument: of its event, JSON text.
        expected_m: of the frame.

    Raises:
        InconsistentError: if the argument is not JSON, or the arrival or the place is none of a session.
    """
    check_numbers({"arrival_s": arrival_s, "expected_m": expected_m})
    try:
        frame = Frame.read(number, arrival_s, json.loads(argument))
    except (ValueError, RecursionError) as error:
        raise InconsistentError(f"expected JSON of frame {number}, got {shorten(argument)}: {error}") from error
    return frame._replace(argument=None, expected_m=expected_m)


def check_numbers(value: object) -> None:
    """Check the numbers in a recorded state or event. If computing with valid ones fails, that is our own error.

    Raises:
        InconsistentError: if there is one that no session can have had.
    """
    for name, number in named_numbers(value):
        if name == "timestamp_s":  # a client's; any number
            continue
        if not abs(number) <= LARGEST_NUMBER:
            raise InconsistentError(f"expected {name} of at most {LARGEST_NUMBER:g}, got {number:g}")
        if name in LOGARITHMS and not abs(number) <= LARGEST_LOGARITHM:
            raise InconsistentError(f"expected {name} of at most {LARGEST_LOGARITHM:g}, got {number:g}")
        if (name in ("std_m", "weight") and number <= 0) or (name == "position_variance" and number < 0):
            raise InconsistentError(f"expected {name} to be positive, got {number:g}")


def named_numbers(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """All floats within a value of dataclasses, named and other tuples and dicts, with the names of their fields."""
    if isinstance(value, float):
        yield name, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from named_numbers(getattr(value, field.name), field.name)
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        yield from named_numbers(value._asdict())
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from named_numbers(part, key)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from named_numbers(part, name)

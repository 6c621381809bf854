"""Restores the session and the frames of a recording; refuses a damaged recording that cannot be of any session."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TypeVar

from server.flight.session import Session
from server.watch.recording.format import Start
from server.wire.messages import Frame, shorten

# Far larger than any time, position or variance of a session. The tracker computes squares and cubes of these, which
# must stay finite.
LARGEST_NUMBER = 1e40
# Fields that are logarithms of likelihoods. Their limit is smaller, because the tracker computes their exponential.
LOGARITHMS, LARGEST_LOGARITHM = ("evidence", "second_evidence", "present", "settled"), 100.0
# Most frames of a session without an answer: one in perception, one that waits for it, and some results that wait for
# the event loop.
MOST_WAITING = 50

Key = TypeVar("Key")
Value = TypeVar("Value")


class InconsistentError(ValueError):
    """A recording whose messages contradict each other, or that cannot be of any session."""


class Waiting(dict[Key, Value]):
    """Data of frames that wait for their answers. Beyond `MOST_WAITING`, the oldest is dropped."""

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
    """Restore a frame from its recorded event. The frame's own `argument` is None, because it may be large.

    Args:
        number: number of the frame.
        arrival_s: arrival of the frame, monotonic seconds.
        argument: argument of its event, JSON text.
        expected_m: expected place of the person followed, see `Frame`.

    Raises:
        InconsistentError: if the argument is not JSON, or the arrival or the expected place is out of range.
    """
    check_numbers({"arrival_s": arrival_s, "expected_m": expected_m})
    try:
        frame = Frame.read(number, arrival_s, json.loads(argument))
    except (ValueError, RecursionError) as error:
        raise InconsistentError(f"expected JSON of frame {number}, got {shorten(argument)}: {error}") from error
    return frame._replace(argument=None, expected_m=expected_m)


def check_numbers(value: object) -> None:
    """Check the numbers in a recorded state or event. If computing with valid numbers fails, that is our own error.

    Raises:
        InconsistentError: if a number is out of the range of any session.
    """
    for name, number in named_numbers(value):
        if name == "timestamp_s":  # from the client, may be any number
            continue
        if not abs(number) <= LARGEST_NUMBER:
            raise InconsistentError(f"expected {name} of at most {LARGEST_NUMBER:g}, got {number:g}")
        if name in LOGARITHMS and not abs(number) <= LARGEST_LOGARITHM:
            raise InconsistentError(f"expected {name} of at most {LARGEST_LOGARITHM:g}, got {number:g}")
        if (name in ("std_m", "weight") and number <= 0) or (name == "position_variance" and number < 0):
            raise InconsistentError(f"expected {name} to be positive, got {number:g}")


def named_numbers(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """All floats in nested dataclasses, named tuples, tuples, lists and dicts, with the names of their fields."""
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

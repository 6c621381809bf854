"""QuadSim's events as values: parses and validates `sensor_frame`, builds commands and markers.

Dicts exist here and at the socket. All other modules handle `SensorFrame` and `Command`.
"""

import binascii
import contextlib
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pybase64

# The two commands, by the names of their events.
FOLLOW, PATROL = "object_detected", "object_lost"
# Bounds of a pose. QuadSim's city is some hundred metres wide, so a larger number is a broken one.
FARTHEST_M = 1e6
LARGEST_ANGLE_DEG = 1e5
# Characters; a pose of six N4 numbers takes some 60.
LONGEST_NUMBERS = 200

# C#'s "N4": groups of three digits, always four decimals. Both separators depend on the machine's locale: a comma, a
# point, an apostrophe or some kind of space between groups; a point, a comma or U+066B before the decimals. Marks of
# writing direction may precede the sign.
_N4 = re.compile(r"[\s\u200e\u200f\u061c]*([-−]?)(\d{1,3}(?:[.,'’\s\u00a0\u202f٬]\d{3})*|\d+)([.,٫])(\d{4})(?:,|$)")


class Pose(NamedTuple):
    """Position and attitude in the ROS world frame, as QuadSim sends them: metres and degrees in (−360, 360).

    world_from_camera = Rz(yaw) · Ry(pitch) · Rx(roll), so a positive pitch looks down and a positive yaw turns left.
    """

    x_m: float
    y_m: float
    z_m: float
    roll_deg: float
    pitch_deg: float
    yaw_deg: float


class BadFrameError(ValueError):
    """A malformed frame: the field, what was expected, what was received, in a few words each."""

    def __init__(self, field: str, expected: str, received: str) -> None:
        self.field = field
        self.expected = expected
        self.received = received
        super().__init__(f"{field}: expected {expected}, got {self.received}")

    def as_value(self) -> "BadFrameError":
        """The same error without the traceback with which it was raised.

        The traceback refers to the frame, and the frame is kept together with its error. This cycle would keep images
        and messages of a megabyte each in memory until the garbage collector runs.
        """
        return BadFrameError(self.field, self.expected, self.received)


class SensorFrame(NamedTuple):
    """One `sensor_frame`, its images still encoded.

    Args:
        timestamp_s: seconds since 1970 by the simulator's clock; None if it sent no valid timestamp.
        rgb_image: JPEG file.
        depth_image: PNG file, R = round(255 · depth / far), 255 where nothing is within far; None if there is none.
        pose: pose of the quadcopter in the world.
        gimbal_pose: pose of the camera in the world.
    """

    timestamp_s: float | None
    rgb_image: bytes
    depth_image: bytes | None
    pose: Pose
    gimbal_pose: Pose


class Frame(NamedTuple):
    """One `sensor_frame` event of a simulator.

    Args:
        number: identifies the frame among its simulator's frames; counts up from 1.
        arrival_s: monotonic seconds; the earliest time at which the frame can have arrived.
        argument: the event's argument, as received.
        content: the parsed frame, or the error if it could not be parsed.
        expected_m: (x, y, z) in the world of the person followed, if it is enough to search the image around them;
            None if the whole image must be searched (`server.flight.glance`).
        is_whole_due: whether the whole image should be searched nevertheless, unless other frames wait.
        target: name of its session's target; None for the target that `Sight` was made with.
    """

    number: int
    arrival_s: float
    argument: object
    content: "SensorFrame | BadFrameError"
    expected_m: tuple[float, float, float] | None = None
    target: str | None = None
    is_whole_due: bool = False

    @classmethod
    def read(cls, number: int, arrival_s: float, argument: object) -> "Frame":
        """Parse an event's argument."""
        try:
            return cls(number, arrival_s, argument, parse_sensor_frame(argument))
        except BadFrameError as error:
            return cls(number, arrival_s, argument, error.as_value())


class Command(NamedTuple):
    """One event for a simulator: its name and its only argument, a JSON object."""

    event: str
    payload: dict[str, Any]


def parse_sensor_frame(data: object) -> SensorFrame:
    """Check and decode the argument of a `sensor_frame` event.

    Args:
        data: the event's argument, decoded from JSON.

    Raises:
        BadFrameError: names the first field that is missing or not as QuadSim sends it. A bad timestamp is no error,
            because the arrival gives a time as well; `SensorFrame.timestamp_s` is then None.
    """
    if not isinstance(data, Mapping):
        raise BadFrameError("sensor_frame", "a JSON object", shorten(data))
    return SensorFrame(
        timestamp_s=parse_timestamp(data.get("timestamp")),
        rgb_image=_image(data, "rgb_image", "a JPEG"),
        depth_image=_image(data, "depth_image", "a PNG") if "depth_image" in data else None,
        pose=_pose(data, "pose"),
        gimbal_pose=_pose(data, "gimbal_pose"),
    )


def parse_timestamp(text: object) -> float | None:
    """Read seconds since 1970, "1504814505.23149" or as another locale prints it; None if the text is no number."""
    if not isinstance(text, str) or len(text) > LONGEST_NUMBERS:
        return None
    numbers = parse_numbers(text.replace(",", "."))  # a comma is a decimal point, or groups digits as a point may
    return numbers[0] if numbers and len(numbers) == 1 and math.isfinite(numbers[0]) else None


def parse_numbers(text: str) -> list[float] | None:
    """Read a comma-separated list of numbers as any machine's locale prints it.

    "1.0000,-2.5000", "1,234.5000,0.0000" and "1.234,5000,0,0000" are two numbers each; so is plain "1,-2.5".

    Returns:
        The numbers, or None if the text is not a list of numbers.
    """
    numbers, at = [], 0
    while match := _N4.match(text, at):
        sign, whole, _, decimals = match.groups()
        value = float(re.sub(r"\D", "", whole) + "." + decimals)
        numbers.append(-value if sign else value)
        at = match.end()
    if numbers and at == len(text) and not text.endswith(","):
        return numbers
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def decimal_separator(text: str) -> str:
    """The decimal separator of a list of numbers that `parse_numbers` reads: usually a point or a comma."""
    match = _N4.match(text)
    return "." if match is None else match[3]


def object_detected(position_m: Sequence[float]) -> Command:
    """The command to follow; `position_m` is (x, y, z) of the hero in the ROS world, metres."""
    return Command(FOLLOW, {"coords": _finite(position_m)})


def object_lost() -> Command:
    """The command to patrol."""
    return Command(PATROL, {"data": ""})


def create_box_marker(marker_id: int, position_m: Sequence[float], size_m: Sequence[float]) -> Command:
    """The command to draw a translucent box at (x, y, z) in the ROS world, metres, of (x, y, z) size `size_m`."""
    return Command(
        "create_box_marker",
        {
            "id": marker_id,
            "pose": [*_finite(position_m), 0.0, 0.0, 0.0],
            "dimensions": list(size_m),
            "color": [0.0, 0.0, 1.0, 0.1],
            "duration": 0.4,
        },
    )


def shorten(value: object, most: int = 60) -> str:
    """Show a received value in a log line: its type, and no more than `most` characters of it."""
    if isinstance(value, str | bytes):
        shown = repr(value[:most])
        return f"{shown}… ({len(value)} characters)" if len(value) > most else shown
    if isinstance(value, Mapping | list):
        return f"{type(value).__name__} of {len(value)}"
    return reprlib.repr(value)[:most]  # `reprlib` stops early; `repr` of a long tuple takes 10 ms


def _finite(position_m: Sequence[float]) -> list[float]:
    coordinates = [round(float(value), 4) for value in position_m]
    if len(coordinates) != 3 or not all(map(math.isfinite, coordinates)):
        raise ValueError(f"expected three finite coordinates, got {coordinates}")
    return coordinates


def _text(data: Mapping[str, object], field: str, expected: str) -> str:
    if field not in data:
        raise BadFrameError(field, expected, f"no such key among {shorten(', '.join(map(str, data)))}")
    value = data[field]
    if not isinstance(value, str):
        raise BadFrameError(field, expected, shorten(value))
    return value


def _image(data: Mapping[str, object], field: str, kind: str) -> bytes:
    expected = f"{kind} in base64"
    text = _text(data, field, expected)
    try:
        image = _bytes(text)
    except ValueError as error:  # binascii.Error, or characters outside ASCII
        raise BadFrameError(field, expected, f"{shorten(text, 24)}: {error}") from error
    if not image:
        raise BadFrameError(field, expected, "nothing")
    return image


def _bytes(text: str) -> bytes:
    with contextlib.suppress(ValueError):
        return pybase64.b64decode(text, validate=True)
    return binascii.a2b_base64(text, strict_mode=True)  # takes forty times as long, but its error says what is wrong


def _pose(data: Mapping[str, object], field: str) -> Pose:
    expected = '"x,y,z,roll,pitch,yaw" in metres and degrees'
    text = _text(data, field, expected)
    numbers = parse_numbers(text) if len(text) <= LONGEST_NUMBERS else None
    if numbers is None or len(numbers) != 6:
        count = "" if numbers is None else f" ({len(numbers)} numbers)"
        raise BadFrameError(field, expected, f"{shorten(text)}{count}")
    limits = (FARTHEST_M,) * 3 + (LARGEST_ANGLE_DEG,) * 3
    if not all(abs(number) <= limit for number, limit in zip(numbers, limits, strict=True)):  # NaN fails too
        raise BadFrameError(field, f"{expected}, all finite and within QuadSim's world", shorten(text))
    return Pose(*numbers)

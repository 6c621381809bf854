"""Socket.IO packets as QuadSim sends them and as its parser reads them: text in, values out, without sockets."""

import json
from typing import Any

EVENT_PREFIX = "42"
"""Beginning of a packet with an event: message (4) of Engine.IO 3, event (2) of Socket.IO 2."""


def sensor_frame_message(payload: str | dict[str, Any], number: int | None = None) -> str:
    """Make the Socket.IO packet of a `sensor_frame`.

    Args:
        payload: argument of the event, as an object or as JSON text.
        number: number for the acknowledgement; None for a frame as QuadSim sends it.
    """
    argument = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return f'{EVENT_PREFIX}{"" if number is None else number}["sensor_frame",{argument}]'


def parse_event(packet: str) -> tuple[str, dict[str, Any]]:
    """Parse an event packet as strictly as QuadSim's parser does.

    Args:
        packet: text of the whole Engine.IO message, with its leading `42`.

    Returns:
        Name and argument of the event.

    Raises:
        ValueError: for any other form than `42["name",{...}]`, on which QuadSim's parser throws.
    """

    def refuse_constant(constant: str) -> None:
        raise ValueError(f"expected JSON numbers, got {constant}")

    body = packet.removeprefix(EVENT_PREFIX)
    if not body.startswith("["):
        raise ValueError(
            f"expected '[' after {EVENT_PREFIX} (no namespace, no acknowledgement id), got {packet[:60]!r}"
        )
    items = json.loads(body, parse_constant=refuse_constant)
    if not items or not isinstance(items[0], str):
        raise ValueError(f"expected an event name, got {packet[:60]!r}")
    name, *arguments = items
    if len(arguments) != 1 or not isinstance(arguments[0], dict):
        kinds = [type(argument).__name__ for argument in arguments]
        raise ValueError(f"expected exactly one argument, a JSON object, for {name!r}, got {kinds}")
    return name, arguments[0]

"""JSON whose numbers do not depend on the reader's locale: `1234e-2` rather than `12.34`.

QuadSim converts numbers with its machine's locale (C#'s `Convert.ToSingle`): `0.4` is read as 4 in German and as 0 in
French. An integer with an exponent is valid JSON without a decimal separator that could be misread.

python-socketio uses this module instead of `json`.
"""

import json
from decimal import Decimal
from typing import Any

loads = json.loads


def dumps(value: Any, **_: object) -> str:
    """Compact JSON.

    Args:
        value: made of dicts with text keys, lists, text, numbers, booleans and None.

    Raises:
        TypeError: for a value of another type.
        ValueError: for NaN and infinity, which JSON does not have.
    """
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(_text(key))}:{dumps(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value)


def _number(value: float) -> str:
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"expected a finite number, got {value}")
    whole = "-" * sign + "".join(map(str, digits))
    return f"{whole}e{exponent}" if exponent else whole


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"expected text as a key, got {key!r}")
    return key

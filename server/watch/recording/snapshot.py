"""A session's whole state as plain JSON and back, for recordings that begin in its middle.

Only the classes named here can come back, and only with data in them: a recording may come from anywhere.
"""

import math
from collections import Counter, deque
from typing import Any

import numpy as np

from server.flight.clock import FrameClock, _Anchor
from server.flight.motion import Fix, Track
from server.flight.session import Session
from server.flight.tracks import Tracker, TrackState, _Evidence
from server.settings import TrackerConfig

_CONFIG = TrackerConfig()
# Whose state is their attributes; one of each tells which they have.
EXAMPLES = (Session("", _CONFIG, 1.0), FrameClock(), Tracker(), Track(Fix(0.0, np.zeros(3), 1.0, True), _CONFIG))
OBJECTS = {type(example).__name__: type(example) for example in EXAMPLES}
ATTRIBUTES = {type(example).__name__: vars(example).keys() for example in EXAMPLES}
VALUES = {kind.__name__: kind for kind in (TrackerConfig, _Anchor, _Evidence, Fix)}


def freeze(session: Session) -> dict[str, Any]:
    """Everything that a session's next answers depend on.

    Returns:
        JSON without NaN and Infinity; numbers come back to the last bit.

    Raises:
        TypeError: if a session holds something that this module does not know.
    """
    return _freeze(session)


def thaw(frozen: Any) -> Session:
    """The session as it was when it was frozen.

    Raises:
        ValueError: for anything that `freeze` does not make.
    """
    try:
        session = _thaw(frozen)
    except (TypeError, KeyError, AttributeError, StopIteration) as error:
        raise ValueError(f"expected a frozen session, got one with {error!r}") from error
    if not isinstance(session, Session):
        raise ValueError(f"expected a frozen Session, got {type(session).__name__}")
    return session


def _freeze(value: Any) -> Any:
    kind = type(value).__name__
    if kind in OBJECTS and type(value) is OBJECTS[kind]:
        return {kind: {name: _freeze(part) for name, part in vars(value).items()}}
    if kind in VALUES and type(value) is VALUES[kind]:
        names = value._fields if isinstance(value, tuple) else value.__dataclass_fields__
        return {kind: {name: _freeze(getattr(value, name)) for name in names}}
    if isinstance(value, TrackState):
        return {"TrackState": value.value}
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return {"ndarray": [_freeze(part) for part in value.tolist()]}
    if isinstance(value, Counter):
        return {"Counter": dict(value)}
    if isinstance(value, deque):
        return {"deque": [_freeze(part) for part in value], "maxlen": value.maxlen}
    if isinstance(value, list):
        return [_freeze(part) for part in value]
    raise TypeError(f"expected a part of a session, got {value!r}")


def _thaw(value: Any) -> Any:
    if isinstance(value, list):
        return [_thaw(part) for part in value]
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind in OBJECTS:
        if content.keys() != ATTRIBUTES[kind]:
            raise ValueError(f"expected a {kind} of this version, got one with {', '.join(content)}")
        made = object.__new__(OBJECTS[kind])
        vars(made).update({name: _thaw(part) for name, part in content.items()})
        return made
    if kind in VALUES:
        return VALUES[kind](**{name: _thaw(part) for name, part in content.items()})
    if kind == "TrackState":
        return TrackState(content)
    if kind == "float":
        return float(content)
    if kind == "ndarray":
        return np.array(_thaw(content), dtype=np.float64)
    if kind == "Counter":
        return Counter(content)
    if kind == "deque":
        return deque(_thaw(content), maxlen=value["maxlen"])
    raise ValueError(f"expected a part of a session, got {kind!r}")

"""Waiting for a condition, with a limit that no slow machine reaches."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 60
# Pauses between two looks at a condition. They grow, because a look at a server or a browser costs both processor time.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.05


def wait_until(condition: Callable[[], Any], what: str = "it", patience_s: float = PATIENCE_S) -> Any:
    """Wait until a condition is true; returns its value.

    Raises:
        AssertionError: if it takes more than `patience_s`.
    """
    deadline_s = time.monotonic() + patience_s
    pause_s = _FIRST_PAUSE_S
    while time.monotonic() < deadline_s:
        if result := condition():
            return result
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)
    raise AssertionError(f"expected {what} within {patience_s} s")

"""Waiting for a condition, with a limit that no slow machine reaches."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 60


def wait_until(condition: Callable[[], Any], what: str = "it", patience_s: float = PATIENCE_S) -> Any:
    """Wait until a condition is true; returns its value.

    Raises:
        AssertionError: if it takes more than `patience_s`.
    """
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        if result := condition():
            return result
        time.sleep(0.01)
    raise AssertionError(f"expected {what} within {patience_s} s")

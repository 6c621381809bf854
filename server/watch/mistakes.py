"""The latest mistakes of clients, as the page shows them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.watch.about import WARNING_SHOWN_S, WARNINGS_SHOWN, rounded

MOST_KEPT = 100


@dataclass
class Mistake:
    """A client's mistake: a description, how often it was made, and when last (monotonic seconds)."""

    words: str
    count: int
    at_s: float


class Mistakes:
    """The latest mistake of each client and field."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Mistake] = {}

    def add(self, client: str, field: str, expected: str, received: str) -> None:
        """Keep a mistake: what was received in a field instead of what was expected."""
        words = f"{field.replace('_', ' ')}: got {received}, expected {expected}"
        before = self._kept.pop((client, field), None)
        self._kept[client, field] = Mistake(words, before.count + 1 if before else 1, time.monotonic())
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def latest(self, is_meant: Callable[[str], bool], now_s: float) -> list[dict[str, Any]]:
        """The latest mistakes of some clients, in the page's form, the newest first.

        Args:
            is_meant: whether a client with a name is one of these clients.
            now_s: monotonic seconds.
        """
        return [
            {"client": client, "words": made.words, "count": made.count, "age_s": rounded(now_s - made.at_s)}
            for (client, _), made in reversed(self._kept.items())
            if is_meant(client) and now_s - made.at_s < WARNING_SHOWN_S
        ][:WARNINGS_SHOWN]

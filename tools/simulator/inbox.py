"""What a client has received from the server, and how to wait for it."""

import itertools
import re
import threading
import time
from collections import deque
from typing import Any, NamedTuple

_ACKNOWLEDGEMENT = re.compile(r"43(\d+)\[\]")


class ReceivedEvent(NamedTuple):
    """An event that QuadSim's parser accepts; `arrived_s` is `time.monotonic()` at its arrival."""

    name: str
    argument: dict[str, Any]
    arrived_s: float


class Inbox:
    """What a client has received. It stays readable after the end; all methods may be called from any thread.

    Args:
        kept: most events, most round trips and most violations to keep, the newest of each; None for all.
    """

    def __init__(self, kept: int | None) -> None:
        self._changed = threading.Condition()  # its holder may take it again
        self._events = deque[ReceivedEvent](maxlen=kept)
        self._round_trips_s = deque[float](maxlen=kept)
        self._violations = deque[str](maxlen=kept)
        self._unanswered: set[int] = set()
        self._close_reason: str | None = "not connected yet"

    @property
    def events(self) -> tuple[ReceivedEvent, ...]:
        """The events received so far, oldest first."""
        with self._changed:
            return tuple(self._events)

    def events_since(self, since_s: float) -> list[ReceivedEvent]:
        """Events that arrived from `since_s` on, oldest first; searched from the end because there may be many."""
        with self._changed:
            recent = itertools.takewhile(lambda event: event.arrived_s >= since_s, reversed(self._events))
            return [*recent][::-1]

    @property
    def round_trips_s(self) -> tuple[float, ...]:
        """Time from each answered ping to its pong, s."""
        with self._changed:
            return tuple(self._round_trips_s)

    @property
    def violations(self) -> tuple[str, ...]:
        """Descriptions of messages from the server that QuadSim cannot parse; empty for a correct server."""
        with self._changed:
            return tuple(self._violations)

    @property
    def close_reason(self) -> str | None:
        """Why there is no connection; None while there is one."""
        return self._close_reason

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._close_reason is None

    def wait_for(self, *event_names: str, timeout_s: float = 5.0, since_s: float = 0.0) -> ReceivedEvent:
        """Wait for an event and return it.

        Args:
            event_names: names to wait for; without names, any event.
            timeout_s: time limit from now; 0 considers only events that have arrived.
            since_s: `time.monotonic()` from which events count, as `send_frame` returns it.

        Raises:
            TimeoutError: if no such event arrives in time; the message names the events that did.
            ConnectionError: if the connection is closed before.
        """
        deadline_s = time.monotonic() + timeout_s
        expected = " or ".join(event_names) or "any event"
        with self._changed:
            while True:
                recent = self.events_since(since_s)
                for event in recent:
                    if not event_names or event.name in event_names:
                        return event
                if self._close_reason is not None:
                    raise ConnectionError(f"expected {expected}, got a disconnect: {self._close_reason}")
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0:
                    names = ", ".join(sorted({event.name for event in recent})) or "nothing"
                    raise TimeoutError(f"expected {expected} within {timeout_s:g} s, got {names}")
                self._changed.wait(remaining_s)

    def wait_answered(self, number: int, timeout_s: float = 60.0) -> None:
        """Wait until the server has acknowledged a frame; by then, all its earlier messages have arrived.

        Raises:
            TimeoutError: if there is no acknowledgement in time.
            ConnectionError: if the connection is closed before.
        """
        with self._changed:
            is_over = self._changed.wait_for(lambda: number not in self._unanswered or not self.is_connected, timeout_s)
            if number not in self._unanswered:
                return
            if is_over:
                raise ConnectionError(f"expected frame {number} acknowledged, got a disconnect: {self._close_reason}")
        raise TimeoutError(f"expected frame {number} acknowledged within {timeout_s:g} s, got nothing")

    def wait_closed(self, timeout_s: float = 5.0) -> bool:
        """Wait until the connection is closed; returns False if it is still open after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.is_connected, timeout_s)

    def _take_acknowledgement(self, packet: str) -> None:
        """Note an acknowledged frame; ValueError if the packet does not acknowledge an unanswered frame."""
        match = _ACKNOWLEDGEMENT.fullmatch(packet)
        with self._changed:
            if match is None or int(match[1]) not in self._unanswered:
                raise ValueError(f"expected 43, the number of an unanswered frame, and [], got {packet[:60]!r}")
            self._unanswered.remove(int(match[1]))
            self._changed.notify_all()

    def _append(self, record: deque[Any], item: object) -> None:
        with self._changed:
            record.append(item)
            self._changed.notify_all()

    def _end(self, reason: str) -> None:
        """Mark the connection as closed; the first reason is kept."""
        with self._changed:
            if self._close_reason is None:
                self._close_reason = reason
            self._changed.notify_all()

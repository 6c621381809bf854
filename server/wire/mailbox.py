"""How native threads reach the event loop: they post calls, and the loop runs them."""

import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from server.supervision import Faults
from server.wire.green import eventlet


class Mailbox:
    """Calls posted by native threads, run one after the other on the event loop.

    Args:
        faults: where errors in the calls are reported.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        receiver, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._receiver = eventlet.greenio.GreenSocket(receiver)

    @property
    def is_empty(self) -> bool:
        """Whether no call waits."""
        return not self._calls

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have `call(*arguments)` run on the event loop; returns at once."""
        self._calls.append((call, arguments))
        # If the buffer is full, it holds enough unread wake-ups.
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")

    def run(self) -> None:
        """Run posted calls for ever."""
        while True:
            self._receiver.recv(4096)
            while self._calls:
                call, arguments = self._calls.popleft()
                with self._faults.contained("mailbox"):
                    call(*arguments)

"""How native threads and signal handlers reach the event loop: they post calls, which it runs."""

import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from eventlet.greenio import GreenSocket

logger = logging.getLogger(__name__)


class Mailbox:
    """Calls posted by native threads and signal handlers, run one after the other on the event loop."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        receiver, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._receiver = GreenSocket(receiver)

    def post(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have `call(*arguments)` run on the event loop; returns at once."""
        self._calls.append((call, arguments))
        # A full buffer holds wake-ups enough that have not been read yet.
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")

    def run(self) -> None:
        """Run what is posted, for ever."""
        while True:
            self._receiver.recv(4096)
            while self._calls:
                call, arguments = self._calls.popleft()
                try:
                    call(*arguments)
                except Exception:
                    logger.exception("%s failed", call)

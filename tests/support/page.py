"""What a browser asks of the server: its page's stream and commands."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator

import numpy as np

from support.fake_engine import RED
from support.live import answers, fields, picture
from support.waiting import PATIENCE_S, wait_until
from tools.simulator.server_process import ServerProcess
from tools.simulator.wire import QuadSimClient


@contextlib.contextmanager
def flying(server: ServerProcess, colour=RED, image: np.ndarray | None = None, **changes) -> Iterator["Flight"]:
    """A simulator that flies on its own. It shows a hero while its colour is red; or another image, or other fields."""
    with QuadSimClient(port=server.port) as client:
        name = client.name
        flight = Flight(client, colour, image, **changes)
        flight.start()
        try:
            yield flight
        finally:
            flight.stop()  # also after a failure: else its thread would keep pytest from ending
    assert not client.violations
    wait_until(lambda: not is_known(server, name), f"{name} gone, or it would be in the next test's way")


def is_known(server: ServerProcess, name: str) -> bool:
    """Whether the server has a simulator of this name; not if it has been stopped."""
    try:
        return any(session["name"] == name for session in server.health()[1]["sessions"])
    except ConnectionError:
        return False


def request(server: ServerProcess, method: str, path: str, body: str | None = None, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request(method, path, body=body, headers={key.replace("_", "-"): text for key, text in headers.items()})
    response = connection.getresponse()
    return response.status, response.read(), response.headers


def name_of(server: ServerProcess) -> str:
    """Name of the latest simulator."""
    return wait_until(lambda: [session["name"] for session in server.health()[1]["sessions"]])[-1]


class Viewer:
    """Reads the stream of events, as a browser does."""

    def __init__(self, server: ServerProcess) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        self._connection.request("GET", "/events")
        self._stream = self._connection.getresponse()
        assert self._stream.headers["Content-Type"].startswith("text/event-stream")

    def next(self) -> dict:
        while not (line := self._stream.readline()).startswith(b"data: "):
            assert line, "the stream ended"
        return json.loads(line[6:])

    def next_that(self, condition) -> dict:
        return wait_until(lambda: (message := self.next()) and condition(message) and message)

    def close(self) -> None:
        self._stream.close()
        self._connection.close()


class Flight:
    """A simulator that sends a frame a tenth of a second after the one before was answered; silent, it sends none."""

    def __init__(
        self, client: QuadSimClient, colour: tuple[int, int, int], image: np.ndarray | None, **changes: str
    ) -> None:
        self.client, self.colour, self.image, self.changes = client, colour, image, changes
        self.answered, self.is_silent = 0, False
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._fly)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def wait_frames(self, count: int) -> None:
        """Wait until that many more frames have been sent and answered."""
        until = self.answered + count + 1  # the first may have been sent before
        wait_until(lambda: self.answered >= until, f"{count} frames answered")

    def led_to(self) -> list[float]:
        """Where the next command leads the drone: x, y, z."""
        now_s = time.monotonic()
        return self.client.wait_for("object_detected", since_s=now_s, timeout_s=PATIENCE_S).argument["coords"]

    def _fly(self) -> None:
        while not self._is_over.wait(0.1):
            if self.is_silent:
                continue
            with contextlib.suppress(ConnectionError, TimeoutError):
                answers(self.client, fields(picture(self.colour) if self.image is None else self.image, **self.changes))
                self.answered += 1

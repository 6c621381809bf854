"""The topics of recordings, live: Foxglove connects to a websocket and shows the content of a recording.

    events, commands ─▶ a watch ─items─▶ a thread ─▶ topics ─▶ foxglove-sdk's server ─▶ 127.0.0.1:PORT

The event loop hands items over while a client is connected, and never waits. Items are left out if the thread is too
slow, and messages are left out if a client does not read them. The first simulator has the same topics as a recording,
so that one layout shows both. The topics of the others are below /drone_2, /drone_3 and so on.
"""

import errno
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable

import foxglove

from server.simulator import Simulator, Taken, Watch
from server.supervision import Faults
from server.watch.recording.items import Answered, Clock, Told, answered, is_empty_tick, told
from server.watch.recording.topics import Topics

HOST = "127.0.0.1"
# Most items of all simulators that wait for the thread: two seconds of one simulator, up to 30 MB with the network's
# output.
MOST_WAITING = 32
# Most messages of all topics that wait for a client.
MOST_BACKLOG = 128


class Live:
    """Serves all simulators; a listener. Only the event loop calls it.

    Args:
        port: port to listen on, on loopback; 0 for any free port.
        faults: where errors of our own are reported.
        on_fault: called from the thread with a simulator whose messages could not be made.
    """

    def __init__(self, port: int, faults: Faults, on_fault: Callable[[Simulator], None]) -> None:
        self._port, self._faults, self._on_fault = port, faults, on_fault
        self._context = foxglove.Context()
        self._clock = Clock(time.time_ns(), time.monotonic())
        self._places: set[int] = set()
        # Calls for the thread, each with the simulator concerned, in order.
        self._waiting: deque[tuple[_Streamed, Callable[[], None]]] = deque()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="foxglove", daemon=True)

    def start(self) -> str:
        """Listen; returns the URL for Foxglove.

        Raises:
            OSError: if the server cannot listen on the port.
        """
        try:
            # The server has no capabilities, so clients can only look.
            server = foxglove.start_server(
                name="Follow me", host=HOST, port=self._port, context=self._context, message_backlog_size=MOST_BACKLOG
            )
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, str(error), f"{HOST}:{self._port}") from error
        self._server = server  # kept, because the server ends with its last reference
        self._thread.start()
        return f"ws://{HOST}:{server.port}"

    def connected(self, simulator: Simulator) -> "_Streamed":
        """See `Listener.connected`; the simulator gets its topics with its first frame that is understood."""
        return _Streamed(self, simulator)

    def open_topics(self, streamed: "_Streamed") -> int:
        """Have the topics of a simulator made; returns its number among the topics."""
        place = next(place for place in itertools.count(1) if place not in self._places)
        self._places.add(place)
        prefix = "" if place == 1 else f"drone_{place}"

        def make() -> None:
            streamed.topics = Topics(self._context, self._clock, streamed.simulator.name, prefix)

        self._add_work(streamed, make)
        return place

    def close_topics(self, streamed: "_Streamed", place: int) -> None:
        """Have the topics of a simulator closed; another simulator may get its number."""
        self._places.discard(place)

        def close() -> None:
            if streamed.topics is not None:
                streamed.topics.close()

        self._add_work(streamed, close)

    def log(self, streamed: "_Streamed", item: Told | Answered) -> None:
        """Have an item sent, unless too many items wait."""
        topics = streamed.topics
        if topics is not None and len(self._waiting) < MOST_WAITING and topics.is_wanted:
            self._add_work(streamed, lambda: None if streamed.has_failed else topics.log(item))

    def _add_work(self, streamed: "_Streamed", work: Callable[[], None]) -> None:
        self._waiting.append((streamed, work))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                self._run_work(*self._waiting.popleft())

    def _run_work(self, streamed: "_Streamed", work: Callable[[], None]) -> None:
        with self._faults.contained("foxglove", lambda: self._give_up(streamed)):
            work()

    def _give_up(self, streamed: "_Streamed") -> None:
        """Stop sending a simulator's items. A fault causes another event, which would fail again without end."""
        streamed.has_failed = True
        self._on_fault(streamed.simulator)


class _Streamed(Watch):
    """Serves one simulator, as its watch.

    Attributes:
        simulator: as given.
        topics: its topics; None until the thread has made them.
        has_failed: whether its messages could not be made; then no more are sent.
    """

    def __init__(self, live: Live, simulator: Simulator) -> None:
        self._live, self.simulator = live, simulator
        self.topics: Topics | None = None
        self.has_failed = False
        self._place: int | None = None
        self._latest = simulator.session.state

    def taken(self, taken: Taken) -> None:
        """See `Watch.taken`."""
        if self._place is None and taken.view is not None:
            self._place = self._live.open_topics(self)
        state = self.simulator.session.state
        if self.topics is not None and not is_empty_tick(taken, self._latest, state):
            self._live.log(self, told(taken, state.tracker.state))
        self._latest = state

    def answered(self, taken: Taken, now_s: float) -> None:
        """See `Watch.answered`."""
        if self.topics is not None and taken.frame is not None:
            situation = self.simulator.session.situation(now_s)
            self._live.log(self, answered(taken.frame, taken.view, situation, now_s))

    def disconnected(self) -> None:
        """See `Watch.disconnected`."""
        if self._place is not None:
            self._live.close_topics(self, self._place)

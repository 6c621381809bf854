"""The event loop: work and posted calls that raise stop nothing."""

import errno
import socket
import threading

import pytest

from server.supervision import Faults
from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import Connections
from server.wire.green import eventlet
from server.wire.loop import EventLoop, TimedReader
from server.wire.mailbox import Mailbox
from server.wire.pace import Pace, Turns


def let_run_until(condition) -> None:
    with eventlet.Timeout(60):
        while not condition():
            eventlet.sleep(0.001)


def test_repeated_work_goes_on_whatever_it_raises():
    faults, calls = Faults(), []

    def work() -> None:
        calls.append(len(calls))
        raise ZeroDivisionError

    EventLoop(faults, RateLimitedWarnings()).every(0.001, work, "tick")
    let_run_until(lambda: len(calls) >= 3)
    assert faults.counts["tick"] >= 2


@pytest.fixture
def mailbox():
    faults = Faults()
    subject = Mailbox(faults)
    runner = eventlet.spawn(subject.run)
    yield subject, faults
    runner.kill()


def test_a_posted_call_that_raises_is_reported_and_the_next_one_runs(mailbox):
    subject, faults = mailbox
    done: list[str] = []
    subject.post(lambda: 1 / 0)
    subject.post(done.append, "done")
    let_run_until(lambda: done)
    assert faults.counts == {"mailbox": 1}


def test_calls_run_in_the_order_in_which_they_were_posted_also_from_other_threads(mailbox):
    subject, _ = mailbox
    done: list[int] = []
    thread = threading.Thread(target=lambda: [subject.post(done.append, number) for number in range(100)])
    thread.start()
    thread.join()
    let_run_until(lambda: len(done) == 100)
    assert done == list(range(100))


def test_an_http_server_that_ends_stops_everything_and_is_an_error(monkeypatch):
    def broken(_: Connections) -> None:
        raise OSError(errno.EBADF, "bad descriptor")

    monkeypatch.setattr(Connections, "accept", broken)
    monkeypatch.setattr("server.wire.loop.on_signals", lambda *_: None)  # pytest has its own
    faults, stopped = Faults(), []
    loop = EventLoop(faults, RateLimitedWarnings())

    def stop() -> None:
        stopped.append(True)
        loop.end(0.0)

    loop.serve(lambda *_: [], "127.0.0.1", 0, stop, lambda: None)
    with eventlet.Timeout(60), pytest.raises(RuntimeError, match="the HTTP server has ended"):
        loop.wait()
    assert stopped == [True]
    assert faults.counts == {"http": 1}


class Times:
    """A reader of a socket, and the clock of its pace."""

    def __init__(self) -> None:
        self.now_s = 0.0
        pace = Pace(clock=lambda: self.now_s)
        self.turns, ends = Turns(pace), socket.socketpair()
        self.far = ends[0]
        self.green = eventlet.greenio.GreenSocket(ends[1])
        self.reader = TimedReader(self.green.makefile("rb"), self.green, self.turns)

    def wake_at(self, now_s: float, data: bytes) -> None:
        """While the reader waits, the loop stands still until a time, and something arrives meanwhile."""

        def arrive() -> None:
            self.now_s = now_s
            self.far.send(data)

        eventlet.spawn(arrive)


def test_a_request_may_have_arrived_while_the_loop_stood_still_or_since_all_before_it_was_read():
    times = Times()
    with eventlet.Timeout(60), times.far, times.green, times.reader:
        times.now_s = 1.0
        times.turns.wake()
        times.wake_at(1.2, b"one")
        assert times.reader.read(10) == b"one"
        assert times.turns.earliest_arrival_s == 1.2, "it was awaited, and noticed at once"
        times.far.send(b"two")
        times.now_s = 5.0
        assert times.reader.read(10) == b"two"
        assert times.turns.earliest_arrival_s == 1.2, "it was not awaited"
        times.turns.wake()
        times.wake_at(9.0, b"three")
        assert times.reader.read(10) == b"three"
        assert times.turns.earliest_arrival_s == 5.0, "the loop stood still while it was awaited"

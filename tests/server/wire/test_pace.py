"""Turns on the event loop."""

import pytest

from server.wire.green import eventlet
from server.wire.pace import BUSY_SHARE, SAVED_S, TURN_S, Pace, Share


class Times:
    """Both clocks of a `Pace`, moved by hand; sleeping lets others run and takes no time."""

    def __init__(self) -> None:
        self.now_s = self.used_s = 0.0
        self.pace = Pace(lambda: self.now_s, lambda: self.used_s, lambda _: eventlet.sleep(0))

    def work(self, cost_s: float) -> None:
        self.now_s += cost_s
        self.used_s += cost_s


@pytest.fixture
def times() -> Times:
    return Times()


def test_of_busy_clients_one_has_a_turn_between_two_turns_of_another(times):
    turns: list[str] = []

    def send_without_end(name: str) -> None:
        share = Share(times.pace)
        share.spend(2 * SAVED_S)
        while len(turns) < 200:
            turns.append(name)
            times.work(TURN_S)
            share.end()

    def send_little() -> None:
        while len(turns) < 200:
            turns.append("little")
            Share(times.pace).spend(0.0)

    with eventlet.Timeout(60):
        for thread in [
            *(eventlet.spawn(send_without_end, f"busy {n}") for n in range(10)),
            eventlet.spawn(send_little),
        ]:
            thread.wait()
    of_others = "".join("." if name == "little" else "x" for name in turns).split(".")
    assert max(map(len, of_others)) == 1
    assert {turns.count(f"busy {number}") for number in range(10)} <= {
        turns.count("busy 0") + more for more in (-1, 0, 1)
    }


def test_a_client_is_busy_beyond_its_share_and_no_longer_after_a_rest(times):
    waits: list[str] = []
    times.pace.wait_busy = lambda: waits.append("busy")
    share = Share(times.pace)
    for _ in range(1000):  # 2.5 % of the time
        times.now_s += 39 * 0.005
        share.begin()
        times.work(0.005)
        share.end()
    assert BUSY_SHARE > 0.025
    assert waits == []
    times.now_s += SAVED_S / BUSY_SHARE
    share.spend(SAVED_S + 0.01)
    assert waits == ["busy"]
    times.now_s += 0.01 / BUSY_SHARE + 1e-6
    share.spend(0.0)
    assert waits == ["busy"]


def test_a_turn_is_over_after_a_time_of_the_processor_not_of_the_clock(times):
    share = Share(times.pace)
    share.begin()
    times.now_s += 10.0
    assert not share.is_over
    times.work(2 * TURN_S)
    assert share.is_over

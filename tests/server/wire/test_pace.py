"""Turns on the event loop."""

import pytest

from server.wire.green import eventlet
from server.wire.pace import LONGEST_REST_S, MOST_TURNS, READ_UP_S, TURN_S, Pace, Turns


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
    had: list[str] = []

    def send_without_end(name: str) -> None:
        turns = Turns(times.pace)
        for _ in range(MOST_TURNS):
            turns.end()
        while len(had) < 200:
            turns.end()
            had.append(name)
            times.work(TURN_S)

    def send_little() -> None:
        turns = Turns(times.pace)
        while len(had) < 200:
            had.append("little")
            turns.catch_up()
            turns.end()

    with eventlet.Timeout(60):
        busy = [eventlet.spawn(send_without_end, f"busy {number}") for number in range(10)]
        for thread in [*busy, eventlet.spawn(send_little)]:
            thread.wait()
    of_others = "".join("." if name == "little" else "x" for name in had[:200]).split(".")
    assert max(map(len, of_others)) == 1
    counts = [had.count(f"busy {number}") for number in range(10)]
    assert min(counts) >= 2
    assert max(counts) - min(counts) <= 1


def test_a_client_is_busy_until_it_is_read_up(times):
    waits: list[str] = []
    times.pace.wait_busy = lambda: waits.append("busy")
    turns = Turns(times.pace)
    for _ in range(MOST_TURNS):
        turns.end()
    assert waits == []
    turns.end()
    assert waits == ["busy"]
    turns.catch_up()
    turns.end()
    assert waits == ["busy"]


@pytest.mark.parametrize(("turn_s", "rest_s"), [(TURN_S, TURN_S), (1.0, LONGEST_REST_S)])
def test_after_a_busy_clients_turn_the_loop_rests_as_long_as_it_took_up_to_a_limit(times, turn_s, rest_s):
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        eventlet.sleep(0)

    times.pace.sleep = sleep
    with eventlet.Timeout(60):
        for _ in range(2):  # the second finds that nobody else is busy any more
            times.pace.wait_busy()
            times.work(turn_s)
            while len(slept) % 2:
                eventlet.sleep(0)
            eventlet.sleep(0)  # the rest ends
    assert slept == pytest.approx([0, rest_s, 0, rest_s])


def test_a_turn_is_over_after_a_time_of_the_processor_not_of_the_clock(times):
    turns = Turns(times.pace)
    turns.begin()
    times.now_s += 10.0
    assert not turns.is_over
    times.work(2 * TURN_S)
    assert turns.is_over


def test_what_a_busy_client_has_sent_may_have_arrived_since_it_was_last_read_up(times):
    turns = Turns(times.pace)
    times.now_s = 5.0
    times.pace.beat()
    turns.catch_up()
    times.now_s = 5.2
    turns.wake()
    assert turns.earliest_arrival_s == 5.2, "it was awaited, and read as soon as it arrived"
    times.now_s = 9.0
    assert turns.earliest_arrival_s == 5.2, "it was never read up since"


def test_what_arrives_while_the_loop_stands_still_may_have_arrived_at_its_beginning(times):
    waiting, awaited_later = Turns(times.pace), Turns(times.pace)
    times.now_s = 0.2
    times.pace.beat()
    waiting.catch_up()
    times.now_s = 8.2
    times.pace.beat()  # the loop's timer may come before the clients that it notices next
    waiting.wake()
    assert waiting.earliest_arrival_s == 0.2
    awaited_later.catch_up()
    times.now_s = 8.4
    awaited_later.wake()
    assert awaited_later.earliest_arrival_s == 8.4


def test_of_two_standstills_close_together_neither_is_forgotten(times):
    waiting, awaited_between = Turns(times.pace), Turns(times.pace)
    times.now_s = 10.0
    times.pace.beat()
    begun_s = times.now_s = 10.2
    times.pace.beat()
    waiting.catch_up()
    times.now_s = 18.2
    times.pace.beat()
    awaited_between.catch_up()
    times.now_s = 18.9
    times.pace.beat()
    waiting.wake()
    awaited_between.wake()
    assert (waiting.earliest_arrival_s, awaited_between.earliest_arrival_s) == (begun_s, 18.2)


def test_a_standstill_is_forgotten_when_everybody_has_been_read(times):
    waiting = Turns(times.pace)
    times.now_s = 8.0
    times.pace.beat()
    while times.now_s < 8.0 + READ_UP_S:
        times.now_s += 0.1
        times.pace.beat()
    last_s = times.now_s
    times.now_s += 1.0
    waiting.wake()
    assert waiting.earliest_arrival_s == last_s

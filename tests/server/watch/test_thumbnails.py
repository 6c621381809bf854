"""Thumbnails: drawn for who asks, some at a time, and not too often."""

from support.road import a_simulator

from server.watch.overlay import Picture
from server.watch.thumbnails import MOST_THUMBNAILS, PERIOD_S, Thumbnails


def many(count: int):
    """Thumbnails of simulators in their order, with their watches."""
    subject, simulators = Thumbnails(), [a_simulator(f"drone {number}") for number in range(count)]
    return subject, simulators, [subject.connected(simulator) for simulator in simulators]


def test_nothing_is_drawn_until_somebody_asks_and_then_once():
    subject, (simulator,), _ = many(1)
    assert not subject.is_wanted(simulator)
    assert subject.ask(0, now_s=10.0) == {}
    assert subject.is_wanted(simulator)
    subject.show(Picture(simulator, 1e9, "one"))
    assert not subject.is_wanted(simulator)
    assert subject.ask(0, now_s=10.0 + PERIOD_S) == {"drone 0": "one"}


def test_many_who_ask_cost_no_more_than_one():
    subject, (simulator,), _ = many(1)
    subject.ask(0, now_s=10.0)
    subject.show(Picture(simulator, 1e9, "one"))
    for hundredth in range(int(100 * PERIOD_S)):
        assert subject.ask(0, now_s=10.0 + hundredth / 100) == {"drone 0": "one"}
        assert not subject.is_wanted(simulator)


def test_an_answer_holds_a_bounded_number_from_where_it_is_asked_for():
    subject, simulators, _ = many(MOST_THUMBNAILS + 3)
    for simulator in simulators:
        subject.show(Picture(simulator, 1e9, "one"))
    assert list(subject.ask(0, now_s=10.0)) == [f"drone {number}" for number in range(MOST_THUMBNAILS)]
    assert [subject.is_wanted(simulator) for simulator in simulators].count(True) == MOST_THUMBNAILS
    assert list(subject.ask(MOST_THUMBNAILS, now_s=10.0)) == [
        f"drone {MOST_THUMBNAILS + number}" for number in range(3)
    ]
    assert subject.ask(9999, now_s=10.0) == {}


def test_who_has_gone_is_forgotten():
    subject, (one, other), (watch, _) = many(2)
    subject.ask(0, now_s=10.0)
    watch.disconnected()
    subject.show(Picture(one, 1e9, "too late"))
    assert not subject.is_wanted(one)
    subject.show(Picture(other, 1e9, "other"))
    assert subject.ask(0, now_s=10.0) == {"drone 1": "other"}

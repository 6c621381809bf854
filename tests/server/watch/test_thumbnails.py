"""Thumbnails: drawn on request, some at a time, and not too often."""

import pytest
from support.road import a_simulator, argument, view
from support.seen import seen

from server.sight.frame_queue import Perceived
from server.simulator import Taken
from server.watch.about import MOST_LAG_S
from server.watch.overlay import Picture
from server.watch.thumbnails import MOST_THUMBNAILS, PERIOD_S, Thumbnails
from server.wire.messages import Frame


def many(count: int):
    """Thumbnails of simulators in their order, with their watches."""
    subject, simulators = Thumbnails(), [a_simulator(f"drone {number}") for number in range(count)]
    return subject, simulators, [subject.connected(simulator) for simulator in simulators]


def test_nothing_is_drawn_until_somebody_asks_and_then_once():
    subject, (simulator,), _ = many(1)
    assert not subject.is_wanted(simulator)
    assert subject.ask(0, now_s=10.0) == {}
    assert subject.is_wanted(simulator)
    subject.show(Picture(simulator, 1e9, 0.0, "one"))
    assert not subject.is_wanted(simulator)
    assert subject.ask(0, now_s=10.0 + PERIOD_S) == {"drone 0": "one"}


def test_many_who_ask_cost_no_more_than_one():
    subject, (simulator,), _ = many(1)
    subject.ask(0, now_s=10.0)
    subject.show(Picture(simulator, 1e9, 0.0, "one"))
    for hundredth in range(int(100 * PERIOD_S)):
        assert subject.ask(0, now_s=10.0 + hundredth / 100) == {"drone 0": "one"}
        assert not subject.is_wanted(simulator)


def test_an_answer_holds_a_bounded_number_from_where_it_is_asked_for():
    subject, simulators, _ = many(MOST_THUMBNAILS + 3)
    for simulator in simulators:
        subject.show(Picture(simulator, 1e9, 0.0, "one"))
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
    subject.show(Picture(one, 1e9, 0.0, "too late"))
    assert not subject.is_wanted(one)
    subject.show(Picture(other, 1e9, 0.0, "other"))
    assert subject.ask(0, now_s=10.0) == {"drone 1": "other"}


@pytest.mark.parametrize(("count", "most_lag_s"), [(1, MOST_LAG_S), (MOST_THUMBNAILS + 1, 2 * MOST_LAG_S)])
def test_a_thumbnail_of_long_before_the_newest_frame_is_kept_back(count, most_lag_s):
    subject, (simulator, *_), (watch, *_) = many(count)
    subject.show(Picture(simulator, 1e9, 10.0, "one"))
    for arrival_s, told in (
        (10.0, {"drone 0": "one"}),
        (10.0 + most_lag_s, {"drone 0": "one"}),
        (10.1 + most_lag_s, {}),
    ):
        frame = Frame.read(1, arrival_s, argument(1))
        watch.answered(Taken(seen(arrival_s), [], frame, Perceived(frame, view())), arrival_s + 0.01)
        assert subject.ask(0, now_s=100.0) == told

"""Holds that outlast the connection."""

import pytest
from support.clock import Clock

from server.holds import HOLD_KEPT_S, KeptHolds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_hold_is_kept_for_a_time_unless_it_is_released(clock):
    holds = KeptHolds(clock)
    assert "a" not in holds
    holds.note_elsewhere("a", True)
    holds.note_elsewhere("b", True)
    holds.drop("b")
    holds.drop("never held")
    assert ("a" in holds, "b" in holds) == (True, False)
    clock.now_s += HOLD_KEPT_S
    assert "a" not in holds


def test_for_each_that_has_left_one_comes_on_hold(clock):
    holds = KeptHolds(clock)
    holds.keep("a")
    holds.keep("a")
    assert [holds.take_over("a") for _ in range(3)] == [True, True, False]
    holds.keep("a")
    clock.now_s += HOLD_KEPT_S
    assert not holds.take_over("a")
    assert len(holds) == 0


def test_a_newcomer_from_another_address_takes_no_hold_over(clock):
    holds = KeptHolds(clock)
    holds.keep("a")
    holds.keep("b")
    assert [holds.take_over(host) for host in ("c", "b", "b", "a", "a")] == [False, True, False, True, False]


def test_a_hold_that_has_ended_is_not_taken_over_in_place_of_a_later_one(clock):
    holds = KeptHolds(clock)
    holds.keep("a")
    clock.now_s += HOLD_KEPT_S / 2
    holds.keep("a")
    clock.now_s += HOLD_KEPT_S / 2
    assert [holds.take_over("a") for _ in range(2)] == [True, False]
    assert len(holds) == 0


def test_one_that_has_left_may_be_released_elsewhere(clock):
    holds = KeptHolds(clock)
    holds.keep("a")
    holds.note_elsewhere("a", True)
    assert holds.hosts == ["a"]
    holds.note_elsewhere("a", False)
    assert holds.hosts == []


def test_addresses_are_forgotten(clock):
    holds = KeptHolds(clock)
    for number in range(1000):
        clock.now_s += 1.0
        holds.note_elsewhere(f"address {number}", True)
    assert len(holds) == HOLD_KEPT_S

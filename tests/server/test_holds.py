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
    holds.keep("a")
    holds.keep("b")
    holds.drop("b")
    holds.drop("never held")
    assert ("a" in holds, "b" in holds) == (True, False)
    clock.now_s += HOLD_KEPT_S
    assert "a" not in holds


def test_addresses_are_forgotten(clock):
    holds = KeptHolds(clock)
    for number in range(1000):
        clock.now_s += 1.0
        holds.keep(f"address {number}")
    assert len(holds) == HOLD_KEPT_S

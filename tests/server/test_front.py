"""A front's link to its parent, and what it says of holds."""

import contextlib
import json
import queue
import socket

import pytest
from support.road import Road
from support.waiting import PATIENCE_S

from server.front import Front, HoldReporter, Link, encode, hold_message


def test_a_front_has_a_port_of_its_own_behind_the_shared_one():
    front = Front(number=2, total=3, shared_port=4567)
    assert (front.port, front.ports, str(front)) == (4569, [4568, 4569, 4570], "front 2 of 3")


@pytest.fixture
def link():
    """A started link, the parent's end of it, and what it tells: holds, and the end."""
    ours, theirs = socket.socketpair()
    told: queue.Queue = queue.Queue()
    subject = Link(lambda *hold: told.put(hold), lambda: told.put("end"), theirs)
    subject.start()
    with ours:
        yield subject, ours, told


def test_the_link_says_that_the_front_listens_and_passes_holds_both_ways(link):
    subject, parent, told = link
    subject.tell_hold("192.0.2.1", True)
    with parent.makefile("rb") as lines:
        assert json.loads(lines.readline()) == {"is_ready": True}
        assert json.loads(lines.readline()) == {"host": "192.0.2.1", "is_held": True}
    parent.sendall(encode(hold_message("192.0.2.2", True)) + encode(hold_message("192.0.2.2", False)))
    assert [told.get(timeout=PATIENCE_S) for _ in range(2)] == [("192.0.2.2", True), ("192.0.2.2", False)]


def test_the_end_of_the_parent_is_told(link):
    _, parent, told = link
    parent.shutdown(socket.SHUT_RDWR)
    assert told.get(timeout=PATIENCE_S) == "end"


def test_a_parent_that_does_not_read_keeps_nobody_waiting(link):
    subject, parent, _ = link
    message = encode(hold_message("192.0.2.1", True))
    told = 100_000  # megabytes, more than a socket holds
    for _ in range(told):
        subject.tell_hold("192.0.2.1", True)
    parent.setblocking(False)
    arrived = 0
    with contextlib.suppress(BlockingIOError):
        while received := len(parent.recv(1 << 20)):
            arrived += received
    assert 0 < arrived < told * len(message)


def test_an_address_is_on_hold_for_other_fronts_while_one_of_its_simulators_is():
    road, told = Road(), []
    road.control.listeners.append(HoldReporter(lambda *hold: told.append(hold)))
    for sid in ("a", "b"):
        road.frame(sid, 1)
        road.control.hold(road.simulator(sid), True)
    road.control.hold(road.simulator("b"), False)
    assert {is_held for _, is_held in told} == {True}
    road.control.hold(road.simulator("a"), False)
    assert not told[-1][1]


def test_other_fronts_are_told_of_holds_their_ends_and_of_those_that_leave_on_hold():
    road, told = Road(), []
    holds = HoldReporter(lambda *hold: told.append(hold))
    road.control.listeners.append(holds)
    for sid in ("a", "b"):
        road.frame(sid, 1, host=f"192.0.2.{sid}")
    assert told == []
    road.control.hold(road.simulator("a"), True)
    assert told == [("192.0.2.a", True)]
    holds.tell_again()
    assert told == [("192.0.2.a", True)] * 2
    road.control.on_disconnect("a")
    assert told == [("192.0.2.a", True)] * 3  # kept for a time, from now on
    holds.tell_again()
    assert len(told) == 3
    road.control.hold(road.simulator("b"), True)
    road.control.hold(road.simulator("b"), False)
    road.control.on_disconnect("b")
    assert told[3:] == [("192.0.2.b", True), ("192.0.2.b", False)]

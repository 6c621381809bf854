"""Connections: bounded in number, in time and in the bytes that they hold; strangers are dropped first."""

import errno
import gc
import weakref
from collections.abc import Iterator
from socket import socketpair

import pytest

from server.wire.complaints import RateLimitedWarnings
from server.wire.connections import (
    MOST_HELD_BYTES,
    REQUEST_S,
    SILENT_S,
    Connection,
    Connections,
    Standing,
    most_connections,
    resource,
)
from server.wire.green import eventlet
from server.wire.pace import Pace


class Socket:
    """One end of a connection; `listener` hands it out."""

    def __init__(self) -> None:
        self.is_shut = False

    def shutdown(self, _: int) -> None:
        self.is_shut = True

    def close(self) -> None:
        self.is_shut = True


class Listener:
    """Hands out the sockets that were put in, or errors in their place.

    Attributes:
        has_room: if False, accepting fails at once, even if no client waits, as on Linux.
        asked: how often a connection has been asked for.
    """

    def __init__(self) -> None:
        self._ready: list[Socket | OSError] = []
        self._door, self._bell = socketpair()  # a byte for each that waits
        self.has_room = True
        self.asked = 0

    def put(self, *items: Socket | OSError) -> None:
        self._ready += items
        self._bell.send(bytes(len(items)))

    def fileno(self) -> int:
        return self._door.fileno()

    def accept(self) -> tuple[Socket, str]:
        self.asked += 1
        if not self.has_room:
            raise OSError(errno.EMFILE, "Too many open files")
        self._door.recv(1)
        item = self._ready.pop(0)
        if isinstance(item, OSError):
            raise item
        return item, "address"

    def close(self) -> None:
        self._door.close()
        self._bell.close()


class Door:
    """`Connections` with room for three."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.listener, complaints = Listener(), RateLimitedWarnings()
        self.complaints: list[str] = []
        complaints.listeners.append(lambda *words: self.complaints.append(words[-1]))
        pace = Pace(clock=lambda: self.now_s, sleep=lambda _: eventlet.sleep(0))
        self.subject = Connections(self.listener, complaints, pace, most=3)

    def enter(self) -> tuple[Socket, Connection]:
        """A client connects, and is served until its thread is ended."""
        self.now_s += 1.0
        self.listener.put(Socket())
        socket, _ = self.subject.accept()
        self.subject.spawn(lambda _: eventlet.event.Event().wait(), [("client", 4567), socket, None])
        return socket, self.subject.of(socket)


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.listener.close()


def test_the_longest_waiting_stranger_makes_room_for_a_newcomer(door):
    first, second, third = (door.enter() for _ in range(3))
    first[1].raise_standing(Standing.KNOWN)
    door.enter()
    assert [socket.is_shut for socket, _ in (first, second, third)] == [False, True, False]
    assert len(door.subject) == 3
    assert door.complaints == ["one more; the stranger who waited longest was dropped"]


def test_who_has_joined_makes_room_after_the_strangers(door):
    first, second, third = (door.enter() for _ in range(3))
    for _, connection in (first, second):
        connection.raise_standing(Standing.JOINED)
    door.enter()[1].raise_standing(Standing.KNOWN)
    door.enter()
    assert [socket.is_shut for socket, _ in (first, second, third)] == [True, False, True]


def test_a_newcomer_is_refused_when_all_are_known(door):
    known = [door.enter()[1] for _ in range(3)]
    for connection in known:
        connection.raise_standing(Standing.KNOWN)
    refused, room = Socket(), Socket()
    door.listener.put(refused, OSError(errno.EMFILE, "Too many open files"), room)
    accepting = eventlet.spawn(door.subject.accept)
    while not refused.is_shut:
        eventlet.sleep(0)
    known[0].close()
    assert accepting.wait()[0] is room
    assert door.complaints[0] == "one more, which was refused"


def test_the_client_that_has_been_silent_for_longest_makes_room_when_all_are_known(door):
    viewer, silent, other = (door.enter() for _ in range(3))
    viewer[1].raise_standing(Standing.VIEWER)
    for _, connection in (silent, other):
        connection.raise_standing(Standing.KNOWN)
    door.now_s += SILENT_S
    other[1].raise_standing(Standing.KNOWN)
    door.enter()
    assert [socket.is_shut for socket, _ in (viewer, silent, other)] == [False, True, False]
    assert door.complaints == ["one more; the client that was silent longest was dropped"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
def test_a_lack_of_descriptors_is_told_and_survived_at_the_cost_of_a_stranger(door, number):
    stranger, _ = door.enter()
    door.listener.put(OSError(number, "no room"))
    door.enter()
    assert stranger.is_shut
    assert door.complaints[0] == "no room"


def test_a_lack_of_descriptors_costs_nobody_their_connection_while_nobody_waits(door):
    stranger, _ = door.enter()
    asked, door.listener.has_room = door.listener.asked, False
    accepting = eventlet.spawn(door.subject.accept)
    for _ in range(20):
        eventlet.sleep(0)
    assert (stranger.is_shut, door.complaints) == (False, [])
    assert door.listener.asked == asked, "it waits, and does not ask again and again"
    newcomer = Socket()
    door.listener.put(newcomer)
    while not stranger.is_shut:
        eventlet.sleep(0)
    door.listener.has_room = True
    assert accepting.wait()[0] is newcomer


def test_a_connection_that_breaks_before_it_is_accepted_is_passed_over(door):
    door.listener.put(OSError(errno.ECONNABORTED, "aborted"))
    door.enter()
    assert door.complaints == []


def test_a_request_must_arrive_in_time(door):
    slow, _ = door.enter()
    door.now_s += REQUEST_S
    door.subject.expire()
    assert not slow.is_shut
    quick = door.enter()
    quick[1].receive()
    door.now_s += 2 * REQUEST_S
    door.subject.expire()
    assert (slow.is_shut, quick[0].is_shut) == (True, False)
    assert door.complaints == [], "connections that are kept for a further request are idle"


def test_the_deadline_of_a_message_begins_with_its_first_bytes(door):
    slow, connection = door.enter()
    connection.receive()
    door.now_s += 100
    connection.note_unfinished(bytearray(1))
    door.now_s += REQUEST_S
    connection.note_unfinished(bytearray(2))
    door.subject.expire()
    assert not slow.is_shut
    door.now_s += 1.0
    connection.note_unfinished(bytearray(3))
    door.subject.expire()
    assert slow.is_shut
    assert door.complaints == ["3 bytes of one"]


def hold(entered: tuple[Socket, Connection], share: float) -> bytearray:
    """Hold an unfinished message of this share of the limit."""
    message = bytearray(int(share * MOST_HELD_BYTES))
    entered[1].receive()
    entered[1].note_unfinished(message)
    return message


def test_the_largest_unfinished_message_is_dropped_as_soon_as_they_are_too_much_together(door):
    first, second, third = (door.enter() for _ in range(3))
    small, large = hold(first, 0.3), hold(second, 0.5)
    assert door.complaints == []
    hold(third, 0.3)
    assert [socket.is_shut for socket, _ in (first, second, third)] == [False, True, False]
    assert (len(small) > 0, len(large)) == (True, 0)
    more = bytearray(1)
    second[1].note_unfinished(more)  # has arrived before its thread ends
    assert len(more) == 0
    assert len(door.complaints) == 1


def test_who_has_held_a_part_for_long_is_dropped_before_a_frame_that_just_arrives(door):
    slow, quick, other = (door.enter() for _ in range(3))
    hold(slow, 0.3)
    door.now_s += 1.0
    hold(quick, 0.5)
    hold(other, 0.3)
    assert [socket.is_shut for socket, _ in (slow, quick, other)] == [True, False, False]


def test_what_has_arrived_whole_or_whose_sender_has_gone_is_no_longer_counted(door):
    for _ in range(5):
        entered = door.enter()
        hold(entered, 0.9)
        entered[1].receive()
    for _ in range(5):
        entered = door.enter()
        hold(entered, 0.9)
        entered[1].thread.kill()
    assert not [words for words in door.complaints if words.endswith(" bytes")]


def test_nothing_stays_in_memory_of_a_connection_that_has_ended(door):
    local = eventlet.corolocal.local()  # as Engine.IO keeps the connection that a thread serves
    connections: list[weakref.ref[Connection]] = []

    def serve(state: list) -> None:
        local.connection = door.subject.of(state[1])
        connections.append(weakref.ref(local.connection))

    door.subject.spawn(serve, [None, Socket(), None]).wait()
    eventlet.sleep(0)
    local.connection = None  # of this thread: what was stored last stays until another thread stores something
    gc.collect()
    assert [connection() for connection in connections] == [None]


def test_a_connection_that_is_being_closed_makes_room_once(door):
    first, second, third = (door.enter() for _ in range(3))
    first[1].is_websocket = True  # its thread tidies up first
    door.enter()
    door.enter()
    assert [socket.is_shut for socket, _ in (first, second, third)] == [True, True, False]


def test_who_is_accepted_may_have_waited_since_nobody_did(door):
    accepted_s = []
    for arrived_s in (0.2, 0.4):
        accepting = eventlet.spawn(door.subject.accept)
        for _ in range(20):
            eventlet.sleep(0)
        door.now_s = arrived_s
        door.listener.put(Socket())
        accepting.wait()
        accepted_s.append(door.subject._turns.earliest_arrival_s)
    assert accepted_s == [0.2, 0.4], "they were awaited, and accepted at once"
    door.listener.put(Socket(), Socket())
    for now_s in (20.0, 30.0):
        door.now_s = now_s
        socket, _ = door.subject.accept()
        door.subject.spawn(lambda _: eventlet.event.Event().wait(), [None, socket, None])
        assert door.subject.of(socket).turns.earliest_arrival_s == 0.4


def test_a_listener_that_no_longer_listens_is_an_error(door):
    door.listener.put(OSError(errno.EBADF, "bad descriptor"))
    with pytest.raises(OSError, match="bad descriptor"):
        door.subject.accept()


@pytest.mark.skipif(resource is None, reason="no such limit on this system")
def test_half_of_the_descriptors_are_for_connections(monkeypatch):
    for soft, most in ((256, 128), (1024, 500), (resource.RLIM_INFINITY, 500)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert most_connections() == most

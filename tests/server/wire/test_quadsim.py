"""Packets: clients' mistakes are complained of, our own errors are not."""

import pytest

from server.supervision import Faults
from server.wire.complaints import RateLimitedWarnings
from server.wire.quadsim import QuadSimServer


class Wire:
    """A server with one client that is connected by QuadSim's dialect, without sockets."""

    def __init__(self) -> None:
        self.faults, complaints = Faults(), RateLimitedWarnings()
        self.mistakes: list[tuple] = []
        self.taken: list[tuple] = []
        complaints.listeners.append(lambda *words: self.mistakes.append(words))
        self.server = QuadSimServer(complaints, self.faults)
        self.server.on("sensor_frame", lambda sid, acknowledge, *what: self.taken.append(what))
        self.server.eio.send = lambda *_: None
        self.server.eio.send_packet = lambda *_: None
        self.receive = self.server.eio.handlers["message"]
        self.server.eio.handlers["connect"]("client", {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "5"})


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_an_event_without_a_connect_packet_is_taken(wire):
    wire.receive("client", '2["sensor_frame",{"a":1}]')
    assert wire.taken == [({"a": 1},)]
    assert wire.mistakes == []


@pytest.mark.parametrize(
    "data",
    [
        "", "9", "2", "2{}", "2[]", "2[1]", '2["nobody"]', '2["connect",{}]', "3", "31[]", "51-[]", "4",
        b"2[]", {"a": 1}, "2" + "[" * 5000, '2["sensor_frame",[' + "[]," * 5000 + "1]]", "0/" + "x" * 200 + ",",
        '51-["sensor_frame",{"_placeholder":true,"num":0}]', '2/elsewhere,["sensor_frame",{}]',
    ],
)  # fmt: skip
def test_a_packet_that_no_client_should_send_is_the_clients_mistake(wire, data):
    wire.receive("client", data)
    ((name, _, _, _),) = wire.mistakes
    assert name == "127.0.0.1:5"
    assert wire.faults.counts == {}
    assert wire.taken == []


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, RecursionError])
def test_an_error_in_a_handler_is_ours(wire, error):
    def broken(sid, acknowledge, *what):
        raise error("ours")

    wire.server.on("sensor_frame", broken)
    wire.receive("client", '2["sensor_frame",{}]')
    assert wire.faults.counts == {"sensor_frame": 1}
    assert wire.mistakes == []


def test_what_comes_behind_the_end_of_a_session_is_dropped(wire):
    wire.server.eio.handlers["disconnect"]("client", "transport close")
    wire.receive("client", '2["sensor_frame",{}]')
    wire.receive("client", "0")
    assert (wire.taken, wire.mistakes, wire.faults.counts) == ([], [], {})

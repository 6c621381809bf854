"""Our websocket on top of eventlet's, over bytes that arrive in any pieces."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from server.wire.connections import Connection
from server.wire.green import eventlet
from server.wire.pace import Pace
from server.wire.websocket import MOST_MESSAGE_BYTES, BufferedSocket, WebSocket, is_packet
from tools.simulator.websocket import encode_frame, encode_message


class Wire:
    """A socket on which the given bytes arrive in pieces of random size."""

    def __init__(self, data: bytes, largest_piece: int) -> None:
        self._data = data
        self._largest_piece = largest_piece
        self._rng = np.random.default_rng(0)
        self.sent = b""
        self.fd = self  # the socket that a green socket is made of

    def recv(self, most: int) -> bytes:
        size = min(most, int(self._rng.integers(1, self._largest_piece + 1)))
        piece, self._data = self._data[:size], self._data[size:]
        return piece

    def sendall(self, data: bytes) -> None:
        self.sent += data


def websocket(wire: Wire) -> tuple[WebSocket, list[str]]:
    complaints: list[str] = []
    subject = WebSocket(BufferedSocket(wire, Connection([None, wire, None], Pace())), {}, 13, max_frame_length=2**63)
    subject.complain = lambda expected, received: complaints.append(f"expected {expected}, got {received}")
    return subject, complaints


@pytest.mark.parametrize(
    "behind", [b"", encode_message("40"), encode_frame(10, b"")], ids=["nothing", "a message", "a pong"]
)
def test_of_pings_that_arrive_together_the_last_is_answered_whatever_follows(behind):
    wire = Wire(encode_frame(9, b"a") + encode_frame(9, b"b") + behind, 10**6)
    wire._rng = SimpleNamespace(integers=lambda _, most: most - 1)  # all at once
    subject, _ = websocket(wire)
    while subject.wait() is not None:
        pass
    assert wire.sent == b"\x8a\x01b"


@pytest.mark.parametrize("largest_piece", [1, 7, 1024, 3000, 10**6])
def test_messages_arrive_whole_however_the_network_cuts_them(largest_piece):
    messages = ['42["sensor_frame",{}]', "42" + "x" * 5000, "40", "42ä" * 1000, "42" + "y" * 1014]
    subject, complaints = websocket(Wire(b"".join(map(encode_message, messages)), largest_piece))
    assert [subject.wait() for _ in messages] == messages
    assert subject.wait() is None
    assert complaints == []


def fragments_of(content: bytes, lengths: list[int]) -> bytes:
    """A text message in masked fragments of these lengths, each in 16 bits; each has a key of its own."""
    rng, sent = np.random.default_rng(len(lengths)), bytearray()
    for number, length in enumerate(lengths):
        piece, content = content[:length], content[length:]
        header = (number == 0) | 0x80 * (number == len(lengths) - 1)
        key = rng.bytes(4)
        sent += bytes([header, 0xFE]) + length.to_bytes(2, "big") + key
        sent += bytes(byte ^ key[at % 4] for at, byte in enumerate(piece))
    return bytes(sent)


@pytest.mark.parametrize("largest_piece", [3, 1100, 10**6])
@pytest.mark.parametrize(
    "lengths",
    [
        [1016] * 9,  # QuadSim's
        [1016] * 5 + [300],
        [400, 500, 500, 500, 400, 400, 200],
        [501] * 7,  # no multiple of a word
        [0, 0, 0, 0, 8, 0],
        [5000] * 3,  # too long to wait for the rest of one
    ],
)
def test_fragments_of_any_lengths_make_the_message(lengths, largest_piece):
    content = "42" + "".join(map(chr, np.random.default_rng(1).integers(32, 127, sum(lengths) - 2)))
    wire = Wire(fragments_of(content.encode(), lengths) + encode_message("40"), largest_piece)
    subject, complaints = websocket(wire)
    assert [subject.wait(), subject.wait()] == [content, "40"]
    assert complaints == []


def test_very_many_fragments_are_complained_of_however_they_arrive():
    many = fragments_of(b"42" + bytes(8), [2, *[0] * 20_000, 8])
    for largest_piece in (1000, 10**6):
        subject, complaints = websocket(Wire(many + encode_message("40"), largest_piece))
        assert subject.wait() == "40"
        assert complaints == ["expected at most 10000 fragments, got 20002"]


def test_a_ping_is_answered_between_messages_and_not_passed_on():
    wire = Wire(b"".join(map(encode_message, ["2", "40", "2"])), 100)
    subject, _ = websocket(wire)
    assert subject.wait() == "40"
    assert subject.wait() is None
    pong = b"\x81\x013"  # final text frame, unmasked, one byte
    assert wire.sent == pong * 2


def test_rubbish_is_complained_of_and_what_follows_it_is_read():
    rubbish = ["", "hello", "9", "45binary", "4", "42" + "z" * MOST_MESSAGE_BYTES]
    subject, complaints = websocket(Wire(b"".join(map(encode_message, [*rubbish, "40"])), 5000))
    assert subject.wait() == "40"
    assert len(complaints) == len(rubbish)
    assert complaints[-1] == f"expected at most {MOST_MESSAGE_BYTES} bytes, got {MOST_MESSAGE_BYTES + 2} bytes"


def test_text_that_is_not_utf8_is_complained_of():
    broken = bytes([0x81, 0x82]) + bytes(4) + b"4\xff"  # final text frame, masked with zeros
    subject, complaints = websocket(Wire(broken + encode_message("40"), 100))
    assert subject.wait() == "40"
    assert "UTF-8" in complaints[0]


def test_a_message_that_was_passed_on_is_held_by_nobody_here():
    subject, _ = websocket(Wire(encode_message("42" + "x" * 100_000) + encode_message("40")[:-1], 5000))
    message = subject.wait()
    assert sys.getrefcount(message) <= 2, "by this variable, and by the argument"


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 1016, 65537])
@pytest.mark.parametrize("offset", [0, 1, 2, 3, 1016])
def test_the_fast_mask_is_eventlets(length, offset):
    data = np.random.default_rng(length).bytes(length)
    mask = (1, 200, 77, 0)
    assert WebSocket._apply_mask(data, mask, length, offset) == eventlet.websocket.RFC6455WebSocket._apply_mask(
        data, mask, length, offset
    )


@pytest.mark.parametrize("message", ['42["a",{}]', "40", "41", "43[]", "1", "3", "5", "6", "2probe"])
def test_what_clients_send_is_a_packet(message):
    assert is_packet(message)


@pytest.mark.parametrize(
    "message", ["", "4", "44{}", "451-[]", "46", "0{}", "2x", "1[[", "bAAAA", "٤2[]", b"42[]", None]
)
def test_what_no_client_of_ours_sends_is_none(message):
    assert not is_packet(message)


def test_nothing_is_complained_of_that_was_thrown_away_with_its_connection():
    data = encode_message("42" + "x" * 5000)
    wire = Wire(data, largest_piece=1000)
    subject, complaints = websocket(wire)
    receive, wire.shutdown = wire.recv, lambda _: None

    def recv(most: int) -> bytes:
        if len(wire._data) < len(data) / 2:
            subject.connection.close()
        return receive(most)

    wire.recv = recv
    assert subject.wait() is None
    assert complaints == []

"""The client against a recorded session of QuadSim's own (Socket.IO over websocket-sharp), byte for byte."""

import itertools
import math
import socket
import time

import pytest
from support.waiting import PATIENCE_S, wait_until

from tools.simulator.packets import parse_event, sensor_frame_message
from tools.simulator.websocket import ServerMessages, WebsocketError, accept_key, apply_mask, encode_message
from tools.simulator.wire import PING_PERIOD_S, QuadSimClient

OBJECT_DETECTED = '42["object_detected",{"coords":[1.0,2.0,3.0]}]'


def fragments(encoded):
    """(is final, opcode, mask, payload) of each frame of an encoded message, read byte by byte."""
    found = []
    while encoded:
        assert encoded[1] & 0x80, "expected every frame masked"
        length, start = encoded[1] & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(encoded[2:4], "big"), 4
        mask, body = encoded[start : start + 4], encoded[start + 4 : start + 4 + length]
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(body))
        found.append((bool(encoded[0] & 0x80), encoded[0] & 0x7F, mask, payload))
        encoded = encoded[start + 4 + length :]
    return found


# The handshake


def test_the_handshake_is_the_recorded_one_header_for_header(peer):
    with QuadSimClient(port=peer.port):
        lines = peer.handshake.decode().split("\r\n")
    assert lines[0] == "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1"
    assert lines[1] == "User-Agent: websocket-sharp/1.0"
    assert lines[2] == "Upgrade: websocket"
    assert lines[3] == "Connection: Upgrade"
    assert lines[4] == f"Host: 127.0.0.1:{peer.port}"
    assert lines[5].startswith("Sec-WebSocket-Key: ")
    assert len(lines[5]) == len("Sec-WebSocket-Key: IObwP/cDbe+/SG+WExt8jQ==")
    assert lines[6] == "Sec-WebSocket-Version: 13"
    assert lines[7:] == [""]  # no Origin, no extensions, nothing else


def test_the_accept_key_is_that_of_the_recorded_session():
    assert accept_key("IObwP/cDbe+/SG+WExt8jQ==") == "Ol1VrVGa6GP53+DxfdXzmGCCc1U="


def test_the_open_packet_gives_the_session_id(peer):
    with QuadSimClient(port=peer.port) as client:
        wait_until(lambda: client.session_id == "abc")


def test_a_refused_handshake_says_what_the_server_answered(peer):
    peer.refuse_with = b"HTTP/1.1 400 BAD REQUEST\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(WebsocketError, match=r"expected 'HTTP/1\.1 101 .*', got 'HTTP/1\.1 400 BAD REQUEST'"):
        QuadSimClient(port=peer.port).connect()


def test_a_handshake_for_another_key_is_refused(peer):
    peer.refuse_with = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: Ol1VrVGa6GP53+DxfdXzmGCCc1U=\r\n\r\n"
    )
    with pytest.raises(WebsocketError, match="Sec-WebSocket-Accept"):
        QuadSimClient(port=peer.port).connect()


def test_no_server_is_an_error_at_connect():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        QuadSimClient(port=port).connect()


# What the client sends


def test_a_frame_leaves_as_1016_byte_fragments_with_a_fresh_mask_each(peer):
    with QuadSimClient(port=peer.port, ping_period_s=math.inf) as client:
        client.send_frame({"timestamp": "1", "rgb_image": "A" * 3000})
        # 42["sensor_frame",{"timestamp":"1","rgb_image":"AAA…"}]: 48 + 3000 + 3 = 3051 bytes = 3 · 1016 + 3
        received = peer.frames(4)
    assert [(f.is_final, f.opcode, len(f.payload)) for f in received[:4]] == [
        (False, 1, 1016),
        (False, 0, 1016),
        (False, 0, 1016),
        (True, 0, 3),
    ]
    assert len({f.mask for f in received[:4]}) == 4
    assert peer.texts()[0] == '42["sensor_frame",{"timestamp":"1","rgb_image":"' + "A" * 3000 + '"}]'


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (1, [(True, 1, 1)]),
        (125, [(True, 1, 125)]),
        (126, [(True, 1, 126)]),
        (1016, [(True, 1, 1016)]),
        (1017, [(False, 1, 1016), (True, 0, 1)]),
        (2032, [(False, 1, 1016), (True, 0, 1016)]),
        (2033, [(False, 1, 1016), (False, 0, 1016), (True, 0, 1)]),
    ],
)
def test_messages_are_cut_only_where_they_must_be(length, expected):
    text = "".join(chr(ord("a") + i % 26) for i in range(length))
    found = fragments(encode_message(text))
    assert [(is_final, opcode, len(payload)) for is_final, opcode, _, payload in found] == expected
    assert b"".join(payload for *_, payload in found).decode() == text


def test_text_is_utf8_and_may_be_cut_inside_a_character():
    text = "\u202f" * 1000  # a narrow no-break space is 3 bytes; 1016 is no multiple of 3
    assert b"".join(payload for *_, payload in fragments(encode_message(text))).decode() == text


def test_masking_twice_gives_the_payload_back():
    payload = bytes(range(7))
    assert apply_mask(payload, b"\x01\x02\x03\x04") == bytes([1, 3, 1, 7, 5, 7, 5])
    assert apply_mask(apply_mask(payload, b"wxyz"), b"wxyz") == payload


def test_a_prepared_message_can_be_sent_again_and_again(peer):
    prepared = encode_message(sensor_frame_message({"timestamp": "1"}))
    with QuadSimClient(port=peer.port, ping_period_s=math.inf) as client:
        client.send_raw_bytes(prepared)
        client.send_raw_bytes(prepared)
        assert peer.texts(2) == ['42["sensor_frame",{"timestamp":"1"}]'] * 2


def test_a_frame_may_be_given_as_json_text():
    assert sensor_frame_message('{"timestamp":"1"}') == sensor_frame_message({"timestamp": "1"})


def test_the_first_event_comes_without_a_connect_packet(peer):
    with QuadSimClient(port=peer.port) as client:
        client.send_frame({})
        peer.events(1)
    assert set(peer.texts()) <= {"2", '42["sensor_frame",{}]'}  # a ping may have come before the end, or not


def test_pings_never_land_between_the_fragments_of_a_frame(peer):
    with QuadSimClient(port=peer.port, ping_period_s=0.0) as client:
        for _ in range(20):
            client.send_frame({"rgb_image": "A" * 10_000})
        peer.events(20)
    assert {text if text == "2" else text[:17] for text in peer.texts()} == {"2", '42["sensor_frame"'}


# Pings


def test_it_pings_at_once_and_then_a_third_of_a_second_after_each_pong(peer):
    with QuadSimClient(port=peer.port) as client:
        wait_until(lambda: len(client.round_trips_s) >= 3)
        pings = peer.frames(3)
        # A busy machine delays a ping, nothing hurries it: sooner or later one is in time.
        wait_until(lambda: min(periods_s(peer.frames())) < 1.4 * PING_PERIOD_S)
        assert min(periods_s(peer.frames())) > 0.9 * PING_PERIOD_S
        assert min(client.round_trips_s) > 0
    assert pytest.approx(1 / 3, abs=0.01) == PING_PERIOD_S
    assert {ping.payload for ping in pings} == {b"2"}


def periods_s(pings):
    return [later.arrived_s - earlier.arrived_s for earlier, later in itertools.pairwise(pings)]


def test_it_does_not_ping_again_before_the_pong(peer):
    peer.answer = lambda text: []
    with QuadSimClient(port=peer.port, ping_period_s=0.0) as client:
        peer.frames(1)
        for _ in range(20):
            client.send_frame({})
        peer.events(20)
        assert peer.texts().count("2") == 1
        peer.send("3")
        wait_until(lambda: peer.texts().count("2") == 2)
        assert client.violations == ()


def test_it_answers_the_servers_ping(peer):
    with QuadSimClient(port=peer.port, ping_period_s=math.inf) as client:
        wait_until(lambda: client.session_id)
        peer.send("2")
        assert peer.texts(1) == ["3"]


def test_it_answers_a_websocket_ping_with_its_payload(peer):
    with QuadSimClient(port=peer.port, ping_period_s=math.inf) as client:
        wait_until(lambda: client.session_id)
        peer.send(b"\x89\x02hi")
        (pong,) = peer.frames(1, opcodes=(10,))
        assert pong.payload == b"hi"


# What the client receives


def test_events_are_recorded_with_their_arrival_and_handed_to_the_callback(peer):
    seen = []
    with QuadSimClient(port=peer.port, on_event=seen.append) as client:
        peer.answer = lambda text: [OBJECT_DETECTED, '42["object_lost",{"data":""}]'] if text[:2] == "42" else []
        sent_s = client.send_frame({})
        event = client.wait_for("object_lost", timeout_s=PATIENCE_S, since_s=sent_s)
        assert event.argument == {"data": ""}
        assert sent_s <= event.arrived_s <= time.monotonic()
        assert [event.name for event in client.events] == ["object_detected", "object_lost"]
        wait_until(lambda: len(seen) == 2)
        assert tuple(seen) == client.events
        assert client.violations == ()


def test_a_client_may_keep_only_the_latest_events(peer):
    with QuadSimClient(port=peer.port, kept=2) as client:
        wait_until(lambda: client.session_id)
        for number in range(4):
            peer.send(f'42["object_lost",{{"data":"{number}"}}]')
        wait_until(lambda: client.events and client.events[-1].argument == {"data": "3"})
        assert [event.argument["data"] for event in client.events] == ["2", "3"]
        last = client.events[-1]
        assert client.events_since(last.arrived_s)[-1] == last
        assert client.events_since(last.arrived_s + 1e-6) == []


def test_waiting_counts_only_events_since_the_given_moment(peer):
    peer.greeting.append(OBJECT_DETECTED)
    with QuadSimClient(port=peer.port) as client:
        first = client.wait_for("object_detected", timeout_s=PATIENCE_S)
        with pytest.raises(TimeoutError, match=r"expected object_detected within 0\.05 s, got nothing"):
            client.wait_for("object_detected", timeout_s=0.05, since_s=first.arrived_s + 1e-6)


def test_waiting_says_what_came_instead(peer):
    peer.greeting.append(OBJECT_DETECTED)
    with QuadSimClient(port=peer.port) as client:
        client.wait_for("object_detected", timeout_s=PATIENCE_S)
        with pytest.raises(TimeoutError, match=r"expected object_lost within 0\.05 s, got object_detected"):
            client.wait_for("object_lost", timeout_s=0.05)


def test_an_event_may_come_in_fragments_and_byte_by_byte():
    event = OBJECT_DETECTED.encode()
    wire = b"\x01\x05" + event[:5] + b"\x89\x00" + b"\x80" + bytes([len(event) - 5]) + event[5:]
    incoming = ServerMessages()
    messages = [message for i in range(len(wire)) for message in incoming.feed(wire[i : i + 1])]
    assert [(message.opcode, message.payload) for message in messages] == [(9, b""), (1, event)]


def test_a_long_message_from_the_server_is_read():
    payload = b"x" * 70_000
    (message,) = ServerMessages().feed(b"\x81\x7f" + len(payload).to_bytes(8, "big") + payload)
    assert message.payload == payload


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        (b"\x81\x81\x00\x00\x00\x00a", "unmasked"),
        (b"\xc1\x01a", "reserved"),
        (b"\x80\x01a", "opcode 0"),
        (b"\x01\x01a\x81\x01b", "opcode 1"),
        (b"\x81\x7f" + (2**40).to_bytes(8, "big"), "at most"),
    ],
)
def test_a_server_that_breaks_the_websocket_protocol_is_refused(wire, complaint):
    with pytest.raises(WebsocketError, match=complaint):
        ServerMessages().feed(wire)


# What QuadSim's parser would choke on


def test_the_recorded_commands_parse():
    assert parse_event(OBJECT_DETECTED) == ("object_detected", {"coords": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize(
    "packet",
    [
        '42["object_lost"]',
        '42["object_lost",null]',
        '42["object_lost",""]',
        '42["object_lost",[1,2,3]]',
        '42["object_detected",{"coords":[1,2,3]},{}]',
        '42["object_detected",{"coords":[NaN,2,3]}]',
        "42[]",
        '42[1,{"data":""}]',
        '42/simulator,["object_lost",{"data":""}]',
        '427["object_lost",{"data":""}]',
        '42["object_lost",{"data":""}',
    ],
)
def test_any_other_event_is_a_violation(packet):
    with pytest.raises(ValueError):
        parse_event(packet)


def test_violations_are_recorded_and_the_session_goes_on(peer):
    with QuadSimClient(port=peer.port) as client:
        wait_until(lambda: client.session_id)
        peer.send('42["object_lost"]')
        peer.send(b"\x82\x01x")
        peer.send('451-["image",{"_placeholder":true,"num":0}]')
        peer.send('44{"message":"not welcome"}')
        peer.send(OBJECT_DETECTED)
        client.wait_for("object_detected", timeout_s=PATIENCE_S)
        assert len(client.events) == 1
        no_argument, binary, attachment, refusal = client.violations
    assert "exactly one argument" in no_argument
    assert "binary message of 1 bytes" in binary
    assert "451-" in attachment
    assert "not welcome" in refusal


def test_the_namespace_packets_of_newer_servers_are_no_violation(peer):
    peer.greeting += ["40", '40{"sid":"5kyI2Th9R_uCRnENAAAB"}', "6", OBJECT_DETECTED]
    with QuadSimClient(port=peer.port) as client:
        client.wait_for("object_detected", timeout_s=PATIENCE_S)
        assert client.violations == ()


# Acknowledgements, the one extension


def acknowledge(text):
    """Answer a numbered frame with a command, then its acknowledgement."""
    number = text[2:].partition("[")[0] if text[:2] == "42" else ""
    return [OBJECT_DETECTED, f"43{number}[]"] if number else []


def test_a_frame_without_a_number_is_sent_as_quadsim_sends_it():
    assert sensor_frame_message({"a": "1"}) == '42["sensor_frame",{"a":"1"}]'
    assert sensor_frame_message({"a": "1"}, 7) == '427["sensor_frame",{"a":"1"}]'


def test_once_a_numbered_frame_is_answered_its_commands_are_there(peer):
    peer.answer = acknowledge
    with QuadSimClient(port=peer.port) as client:
        for number in range(3):
            client.send_frame({}, number)
            client.wait_answered(number, PATIENCE_S)
            assert len(client.events) == number + 1
        assert client.violations == ()


def test_waiting_for_an_answer_that_does_not_come_is_an_error(peer):
    with QuadSimClient(port=peer.port) as client:
        client.send_frame({}, 5)
        with pytest.raises(TimeoutError, match=r"expected frame 5 acknowledged within 0\.05 s"):
            client.wait_answered(5, timeout_s=0.05)
        peer.hang_up()
        with pytest.raises(ConnectionError, match="expected frame 5 acknowledged, got a disconnect"):
            client.wait_answered(5, PATIENCE_S)


@pytest.mark.parametrize("packet", ["43[]", "437[]", "435[1]", "435", '435["x"'])
def test_an_acknowledgement_of_anything_else_is_a_violation(peer, packet):
    with QuadSimClient(port=peer.port) as client:
        client.send_frame({}, 5)
        peer.send(packet)
        peer.send(OBJECT_DETECTED)
        client.wait_for("object_detected", timeout_s=PATIENCE_S)
        (violation,) = client.violations
    assert packet in violation


def test_it_tells_when_it_last_saw_a_ping_or_pong(peer):
    peer.answer = lambda text: []
    with QuadSimClient(port=peer.port, ping_period_s=math.inf) as client:
        wait_until(lambda: client.session_id)
        assert client.linked_s == -math.inf
        before_s = time.monotonic()
        peer.send("2")
        wait_until(lambda: client.linked_s > -math.inf)
        assert before_s <= client.linked_s <= time.monotonic()
    with QuadSimClient(port=peer.port) as client:
        peer.frames(1)
        peer.send("3")
        wait_until(lambda: client.linked_s > before_s)


# The end


def test_closing_sends_a_close_frame_and_is_not_the_servers_doing(peer):
    client = QuadSimClient(port=peer.port, ping_period_s=math.inf)
    client.connect()
    wait_until(lambda: client.session_id)
    client.close()
    assert [(frame.opcode, frame.payload) for frame in peer.frames(1, opcodes=(8,))] == [(8, b"")]
    assert not client.is_connected
    assert client.close_reason == "closed by this side"
    client.close()


def test_a_close_frame_of_the_server_is_answered_and_noted_with_its_status(peer):
    with QuadSimClient(port=peer.port) as client:
        wait_until(lambda: client.session_id)
        peer.send(b"\x88\x02\x03\xf1")  # 1009, message too big
        assert client.wait_closed(PATIENCE_S)
        assert client.close_reason == "closed by the server (status 1009)"
        assert peer.frames(1, opcodes=(8,))[0].payload == b"\x03\xf1"
        with pytest.raises(ConnectionError, match="1009"):
            client.send_frame({})
        with pytest.raises(ConnectionError, match="1009"):
            client.wait_for("object_lost")


def test_a_server_that_vanishes_is_noticed_and_can_be_connected_to_again(peer):
    with QuadSimClient(port=peer.port) as client:
        wait_until(lambda: client.session_id)
        peer.hang_up()
        assert client.wait_closed(PATIENCE_S)
        assert "closed by the server without a close frame" in str(client.close_reason)
        client.connect()
        assert client.is_connected
        client.send_frame({})
        peer.events(1)


def test_connecting_twice_is_an_error(peer):
    with QuadSimClient(port=peer.port) as client, pytest.raises(RuntimeError, match="expected no connection"):
        client.connect()


def test_what_was_received_stays_readable_after_the_end(peer):
    peer.greeting.append(OBJECT_DETECTED)
    with QuadSimClient(port=peer.port) as client:
        client.wait_for("object_detected", timeout_s=PATIENCE_S)
    assert client.wait_for("object_detected", timeout_s=0.0).argument == {"coords": [1.0, 2.0, 3.0]}

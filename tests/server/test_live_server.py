"""The whole server over real sockets; only the network is a fake that sees colours (`support/fake_engine.py`)."""

import base64
import contextlib
import http.client
import io
import json
import math
import signal
import socket
import struct
import threading
import time
import zlib

import numpy as np
import psutil
import pytest
import requests
import socketio
import websocket
from PIL import Image
from support.fake_engine import FAKE_SERVER, GREY, MAGENTA, RED, YELLOW
from support.live import BOX, DEPTH_M, POSE, WATCHDOG, answers, fields, follow, picture
from support.waiting import PATIENCE_S, wait_until

from server.sight.geometry import Camera, pixel_to_world
from tools.simulator.frames import encode_depth_png, sensor_frame_fields
from tools.simulator.server_process import ServerProcess, running_server
from tools.simulator.websocket import encode_message
from tools.simulator.wire import QuadSimClient

HANDSHAKE = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture(scope="module")
def server():
    # Warnings only: the log takes 50 lines a second, and these tests make more of the others.
    with running_server(
        "unused", "--log-level", "warning", "--allow-host", "follow-me", *WATCHDOG, script=FAKE_SERVER
    ) as process:
        yield process


@pytest.fixture
def quadsim(server: ServerProcess):
    with QuadSimClient(port=server.port) as client:
        yield client
    assert not client.violations, "the server sent what a QuadSim cannot parse"


@pytest.fixture
def neighbour(server: ServerProcess):
    """A healthy simulator that follows meanwhile, and must not notice."""
    with QuadSimClient(port=server.port) as client:
        follow(client)
        yield client
        follow(client)


def test_an_unmodified_quadsim_is_led_to_the_hero(quadsim: QuadSimClient):
    coords = follow(quadsim)
    left, top, right, bottom = BOX
    hero_m = pixel_to_world(((left + right) / 2, (top + bottom) / 2), DEPTH_M, Camera(), POSE)
    # One step of the depth image is 100 m / 255 = 0.39 m.
    np.testing.assert_allclose(coords, hero_m, atol=0.3)
    marker = quadsim.wait_for("create_box_marker").argument
    assert marker["dimensions"] == [0.7, 0.7, 2.0]


def test_without_depth_images_the_hero_is_led_to_by_the_ground_and_their_height(quadsim: QuadSimClient):
    """The feet are at (160 − 128) / 221.7 below the axis, which looks down by 20°: by 28.2° from 8 m, 14.9 m away."""
    x_m, y_m, _ = follow(quadsim, depth_image=None)
    by_ground_m, by_height_m = 14.9, 5.7  # of a box too high for somebody there
    assert by_height_m < math.hypot(x_m - POSE.x_m, y_m - POSE.y_m) < by_ground_m


def test_the_first_answer_says_patrol_and_an_empty_scene_keeps_it_so(quadsim: QuadSimClient):
    for _ in range(6):
        answers(quadsim, fields(picture(GREY)))
    assert [event.name for event in quadsim.events] == ["object_lost"]
    assert quadsim.events[0].argument == {"data": ""}


def test_a_hero_out_of_sight_is_coasted_and_then_lost(quadsim: QuadSimClient):
    begin_s = time.time()
    for number in range(5):  # 5 frames a second by their timestamps
        answers(quadsim, fields(timestamp_s=begin_s + 0.2 * number))
    told = [answers(quadsim, fields(picture(GREY), timestamp_s=begin_s + 0.8 + 0.2 * number)) for number in range(1, 9)]
    # Lost 1.4 s after the hero was last seen, that is with the 7th frame.
    assert [events[0].name for events in told if events] == ["object_detected"] * 6 + ["object_lost"]


def test_a_ping_is_answered_and_the_open_packet_comes_first(quadsim: QuadSimClient):
    follow(quadsim)
    assert quadsim.session_id
    wait_until(lambda: len(quadsim.round_trips_s) >= 2)


def test_two_simulators_have_their_own_heroes(server: ServerProcess):
    with QuadSimClient(port=server.port) as here, QuadSimClient(port=server.port) as there:
        coords = follow(here)
        for _ in range(4):
            answers(there, fields(picture(GREY)))
        elsewhere = "500.0000,20.0000,8.0000,0.0000,20.0000,30.0000"
        assert [event.name for event in there.events] == ["object_lost"]
        other = follow(there, gimbal_pose=elsewhere)
        assert other[0] - coords[0] == pytest.approx(490, abs=0.5)
        assert follow(here)[0] == pytest.approx(coords[0], abs=0.3)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
def test_a_client_of_the_current_protocol_is_served_beside_quadsim(server, quadsim, transports):
    heard = []
    client = socketio.Client()
    client.on("object_detected", heard.append)
    client.connect(f"http://127.0.0.1:{server.port}", transports=transports)
    try:
        for _ in range(100):
            client.call("sensor_frame", fields(), timeout=PATIENCE_S)  # returns once it is acknowledged
            if heard:
                break
        follow(quadsim)
        assert set(heard[0]) == {"coords"}
    finally:
        client.disconnect()


def test_a_frame_in_decimal_commas_leads_to_the_same_place(quadsim: QuadSimClient):
    depth_m = np.full((256, 256), DEPTH_M)
    english = follow(quadsim)
    for locale in ("de", "fr", "ch"):
        told = answers(quadsim, sensor_frame_fields(picture(), depth_m, POSE, locale=locale))
        np.testing.assert_allclose(told[0].argument["coords"], english, atol=0.3)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header gives this size, with any data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def jpeg(size: tuple[int, int] = (256, 256), **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture()).resize(size).save(file, "JPEG", **options)
    return file.getvalue()


def base64_of(file: bytes) -> str:
    return base64.b64encode(file).decode()


BAD_FRAMES = {  # one of each place where a frame may be refused; the tables of cases are beside the parsers
    "a missing key": ({"rgb_image": None}, "rgb_image: expected a JPEG in base64, got no such key"),
    "a camera image cut off": ({"rgb_image": base64_of(jpeg()[:1000])}, "rgb_image: expected a whole JPEG"),
    "a depth image without its pixels": ({"depth_image": base64_of(png(256, 256))}, "depth_image: expected a JPEG or"),
    "a bomb": ({"depth_image": base64_of(png(60000, 60000))}, "depth_image: expected an image of at least"),
    "a pose": ({"gimbal_pose": "1,2,3,nan,5,6"}, "gimbal_pose: expected"),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_a_bad_frame_costs_a_warning_and_stops_only_its_own_drone(server, quadsim, neighbour, kind):
    changes, warning = BAD_FRAMES[kind]
    follow(quadsim)
    logged = len(server.log)
    assert [event.name for event in answers(quadsim, fields(**changes))] == ["object_lost"]
    assert server.wait_for_log(warning, PATIENCE_S, after=logged)
    follow(quadsim)


def test_a_depth_image_of_another_size_is_used_and_costs_a_warning(server, quadsim):
    logged = len(server.log)
    follow(quadsim, depth_image=base64_of(encode_depth_png(np.full((160, 160), DEPTH_M), 100.0)))
    assert server.wait_for_log(
        "depth_image: expected 256×256, the size of the camera image", PATIENCE_S, after=logged
    ).endswith("160×160")


RUBBISH = {  # one of each layer; the tables of cases are beside the parsers
    "an unknown event": ('42["fly_to_the_moon",{}]', "sensor_frame, watch_overlay, got 'fly_to_the_moon'"),
    "two arguments": ('42["sensor_frame",{},{}]', "sensor_frame: expected a JSON object, got"),
    "a thousandfold nested JSON": ("42" + "[" * 100_000, "packet: expected a Socket.IO packet"),
    "a binary event": ('451-["sensor_frame",{"_placeholder":true,"num":0}]', "expected an Engine.IO packet"),
    "two megabytes": ("42" + "x" * 2_000_000, "message: expected at most 1000000 bytes, got 2000002 bytes"),
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_costs_a_warning_and_no_connection(server, quadsim, neighbour, kind):
    text, warning = RUBBISH[kind]
    logged = len(server.log)
    quadsim.send_raw_text(text)
    assert server.wait_for_log(warning, PATIENCE_S, after=logged)
    follow(quadsim)


def test_a_frame_of_another_sane_size_is_understood(quadsim: QuadSimClient):
    coords = follow(quadsim)
    for size in ((128, 128), (512, 512), (640, 480)):
        assert answers(quadsim, fields(jpeg(size)))[0].name == "object_detected"
    np.testing.assert_allclose(follow(quadsim), coords, atol=0.3)


def test_perception_that_fails_stops_the_drones_and_recovers(server: ServerProcess, quadsim: QuadSimClient):
    follow(quadsim)
    logged = len(server.log)
    assert [event.name for event in answers(quadsim, fields(picture(MAGENTA, MAGENTA)))] == ["object_lost"]
    assert healthz(server) == (503, "perception failed on the last frame")
    assert server.wait_for_log("internal error in perception", PATIENCE_S, after=logged)
    assert server.wait_for_log("the network has seen magenta", PATIENCE_S, after=logged)
    assert b'followme_internal_errors_total{place="perception"}' in get(server, "/metrics")[1]
    follow(quadsim)
    assert healthz(server) == (200, None)


def test_perception_that_stalls_stops_the_drones_within_the_watchdog(server: ServerProcess, quadsim: QuadSimClient):
    follow(quadsim)
    number = 10**6
    stalled_s = quadsim.send_frame(fields(picture(YELLOW, YELLOW)), number=number)
    lost = quadsim.wait_for("object_lost", timeout_s=PATIENCE_S, since_s=stalled_s)
    with pytest.raises(TimeoutError):  # the network still hangs; its late answer commands nothing
        quadsim.wait_answered(number, timeout_s=0)
    quadsim.wait_answered(number)
    assert [event.name for event in quadsim.events if event.arrived_s > lost.arrived_s] == []
    follow(quadsim)


def test_a_simulator_that_falls_silent_while_following_is_told_to_patrol(quadsim: QuadSimClient):
    follow(quadsim)
    silent_s = time.monotonic()
    assert quadsim.wait_for("object_lost", timeout_s=PATIENCE_S, since_s=silent_s)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_stops_the_drones_first(number):
    with running_server("unused", script=FAKE_SERVER) as server, QuadSimClient(port=server.port) as client:
        follow(client)
        stopped_s = time.monotonic()
        server.process.send_signal(number)
        assert client.wait_for("object_lost", timeout_s=PATIENCE_S, since_s=stopped_s)
        assert server.process.wait(PATIENCE_S) == 0


def test_with_a_token_only_this_machine_is_served_without_it(tmp_path):
    (tmp_path / "token").write_text("of-0123456789-abcdef\n")
    forwarded, shown = {"X-Forwarded-For": "192.0.2.7"}, {"Authorization": "Bearer of-0123456789-abcdef"}
    options = ("--host", "0.0.0.0", "--token-file", str(tmp_path / "token"), "--log-level", "debug")
    with running_server("unused", *options, script=FAKE_SERVER) as server, QuadSimClient(port=server.port) as client:
        follow(client)
        for path in ("/", "/events", "/healthz", "/metrics", "/page/page.js", HANDSHAKE):
            assert requests.get(f"{server.url}{path}", headers=forwarded, timeout=PATIENCE_S).status_code == 401
        name = server.health()[1]["sessions"][0]["name"]
        order, json = f"{server.url}/hold", {"simulator": name, "is_held": True}
        assert requests.post(order, json=json, headers=forwarded, timeout=PATIENCE_S).status_code == 401
        follow(client)
        socket_url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
        with pytest.raises(websocket.WebSocketBadStatusException, match="401"):
            websocket.create_connection(socket_url, header=forwarded)
        websocket.create_connection(socket_url, header={**forwarded, **shown}).close()
        assert server.wait_for_log("token: expected the token of --token-file, got none", PATIENCE_S)
        with requests.Session() as browser:
            browser.headers.update(forwarded)
            page = browser.get(f"{server.url}/?token=of-0123456789-abcdef", timeout=PATIENCE_S)
            assert (page.status_code, page.url) == (200, f"{server.url}/")
            assert browser.post(order, json=json, timeout=PATIENCE_S).status_code == 204
            assert client.wait_for("object_lost", timeout_s=PATIENCE_S)
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
            connection.sendall(b"GET /?token=of-0123456789-abcdef HTTP/3.0\r\n\r\n")
            assert b" 505 " in connection.recv(1000)
        assert server.wait_for_log("a request that is not understood as HTTP: answered 505", PATIENCE_S)
        assert not any("of-0123456789-abcdef" in line for line in server.log)


def test_a_storm_of_reconnects_leaves_the_others_alone(server: ServerProcess, neighbour: QuadSimClient):
    for _ in range(100):
        with QuadSimClient(port=server.port) as client:
            client.send_raw_text("rubbish")
    follow(neighbour)


@pytest.mark.parametrize("message", ['42["sensor_frame",{}]', "5", "2", "rubbish"])
def test_a_client_that_sends_without_end_leaves_the_others_their_turn(server: ServerProcess, neighbour, message):
    flood = encode_message(message) * 5000
    with QuadSimClient(port=server.port, ping_period_s=float("inf")) as flooder:
        stop = threading.Event()

        def send() -> None:
            with contextlib.suppress(OSError):  # the connection is closed below, while this waits for the server
                while not stop.is_set():
                    flooder.send_raw_bytes(flood)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            for _ in range(20):  # the first ones may come before the flood
                follow(neighbour)
        finally:
            stop.set()
            flooder.drop()
            sender.join(PATIENCE_S)
        assert not sender.is_alive()


def test_polling_clients_that_never_read_leave_nothing_behind(server: ServerProcess, neighbour):
    open_files = psutil.Process(server.process.pid).num_fds()
    for _ in range(50):
        _, answer = get(server, HANDSHAKE)
        sid = json.loads(answer[1:])["sid"]
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        connection.request("POST", f"{HANDSHAKE}&sid={sid}", body="9")
        assert connection.getresponse().status == 400
        connection.close()
    assert psutil.Process(server.process.pid).num_fds() <= open_files + 5


def get(server: ServerProcess, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    return response.status, response.read()


def healthz(server: ServerProcess) -> tuple[int, str | None]:
    status, report = server.health()
    return status, report["trouble"]


@pytest.mark.parametrize("kind", ["hero", "nobody", "bad"])
def test_a_frame_that_asks_for_it_is_acknowledged_once_it_is_answered(server: ServerProcess, kind):
    """With commands for it or without: a simulator that waits for the server goes on then."""
    frame = fields(rgb_image="none") if kind == "bad" else fields(picture(RED if kind == "hero" else GREY))
    packets = []
    connection = websocket.create_connection(f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket")
    with contextlib.closing(connection):
        for number in range(6):
            connection.send(f'42{number}["sensor_frame",{json.dumps(frame)}]')
            while not packets or not packets[-1].startswith("43"):
                packets.append(connection.recv())
            assert packets.pop() == f"43{number}[]"
    commands = [packet for packet in packets if packet.startswith("42")]
    assert commands[0].startswith('42["object_lost"')
    assert any("object_detected" in command for command in commands) == (kind == "hero")


def test_frames_sent_without_waiting_are_all_acknowledged(server: ServerProcess):
    with contextlib.closing(
        websocket.create_connection(
            f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket", timeout=PATIENCE_S
        )
    ) as connection:
        for number in range(20):
            connection.send(f'42{number}["sensor_frame",{json.dumps(fields())}]')
        acknowledged = []
        while len(acknowledged) < 20:
            packet = connection.recv()
            if packet.startswith("43"):
                acknowledged.append(int(packet[2:].removesuffix("[]")))
        assert acknowledged == list(range(20))


def test_health_tells_sessions_frames_and_engine(server: ServerProcess, quadsim: QuadSimClient):
    follow(quadsim)
    status, report = server.health()
    session = report["sessions"][-1]
    assert status == 200
    assert report["ready"]
    assert report["engine"] == "colours"
    assert session["received"] == session["understood"] >= 2
    assert session["state"] == "following"
    assert session["hero_age_s"] >= 0
    assert (session["target"], report["target"], report["records_all"]) == ("hero", "hero", False)
    assert (session["is_held"], session["is_told_to_follow"]) == (False, True)
    for is_held in (True, False):  # in the end released, because a hold would last for other tests
        order = {"simulator": session["name"], "is_held": is_held}
        assert requests.post(f"{server.url}/hold", json=order, timeout=PATIENCE_S).status_code == 204
        assert server.health()[1]["sessions"][-1]["is_held"] is is_held


def test_health_counts_frames_that_could_not_be_parsed(server: ServerProcess, quadsim: QuadSimClient):
    answers(quadsim, {})
    session = server.health()[1]["sessions"][-1]
    assert (session["received"], session["bad"], session["understood"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        # A site whose name has been pointed at 127.0.0.1: origin and host agree.
        ({"Origin": "http://evil.example", "Host": "evil.example"}, 403),
        ({"Host": "follow-me:4567"}, 200),  # allowed by the server's command line
    ],
)
def test_a_page_of_another_origin_cannot_connect(server: ServerProcess, headers, status):
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    assert get(server, HANDSHAKE, headers)[0] == status

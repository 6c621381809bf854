"""The topics of recordings, live: over a real server's websocket, in Foxglove's protocol."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import websocket
from support.command import follower
from support.fake_engine import FAKE_SERVER, GREY
from support.live import WATCHDOG
from support.page import flying
from support.recorded_session import SCHEMAS
from support.road import Road, view
from support.seen import sighting
from support.waiting import PATIENCE_S, wait_until

from server.supervision import Faults
from server.watch.recording.live import MOST_WAITING, Live
from tools.simulator.server_process import REPOSITORY, ServerProcess, running_server

MESSAGE_DATA = 1


class Foxglove:
    """A client; `topics` are those offered now, each with its channel's id and schema."""

    def __init__(self, server: ServerProcess) -> None:
        url = server.wait_for_log("Foxglove: open a connection to ").rpartition(" ")[2]
        self._socket = websocket.create_connection(url, subprotocols=["foxglove.sdk.v1"], timeout=PATIENCE_S)
        self.topics: dict[str, tuple[int, str]] = {}
        self._subscriptions: dict[int, str] = {}

    def close(self) -> None:
        self._socket.close()

    def wait_topics(self, condition) -> None:
        while not condition(set(self.topics)):
            self.next()

    def subscribe(self, *topics: str) -> None:
        numbers = itertools.count(len(self._subscriptions) + 1)
        wanted = [{"id": next(numbers), "channelId": self.topics[topic][0]} for topic in topics]
        self._subscriptions |= {each["id"]: topic for each, topic in zip(wanted, topics, strict=True)}
        self._socket.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))

    def next(self) -> tuple[str, bytes] | None:
        """The next message: topic and data; None for one about topics."""
        received = self._socket.recv()
        if isinstance(received, bytes):
            assert received[0] == MESSAGE_DATA
            return self._subscriptions[int.from_bytes(received[1:5], "little")], received[13:]
        message = json.loads(received)
        if message["op"] == "advertise":
            self.topics |= {each["topic"]: (each["id"], each["schemaName"]) for each in message["channels"]}
        elif message["op"] == "unadvertise":
            gone = message["channelIds"]
            self.topics = {topic: about for topic, about in self.topics.items() if about[0] not in gone}
        return None

    def next_of(self, topic: str) -> bytes:
        while (message := self.next()) is None or message[0] != topic:
            pass
        return message[1]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running_server("unused", "--foxglove", "0", *WATCHDOG, script=FAKE_SERVER) as process:
        yield process


@pytest.fixture
def foxglove(server: ServerProcess) -> Iterator[Foxglove]:
    with contextlib.closing(Foxglove(server)) as client:
        yield client


def test_a_simulator_has_the_topics_of_a_recording_while_it_is_there(server: ServerProcess, foxglove: Foxglove):
    with flying(server) as flight:
        foxglove.wait_topics(lambda topics: len(topics) == len(SCHEMAS))
        assert {topic: schema for topic, (_, schema) in foxglove.topics.items()} == SCHEMAS
        flight.led_to()
        foxglove.subscribe(*SCHEMAS)
        wait_until(lambda: json.loads(foxglove.next_of("/state"))["is_told_to_follow"], "a state that follows")
        assert json.loads(foxglove.next_of("/commands"))["event"] in {"object_detected", "create_box_marker"}
        assert json.loads(foxglove.next_of("/events"))["kind"] in {"received", "seen"}
        assert b"\xff\xd8\xff" in foxglove.next_of("/camera"), "a JPEG"
        assert b"PNG" in foxglove.next_of("/mask")
        assert b"camera_optical" in foxglove.next_of("/tf")
        flight.changes = {"pose": "1,2"}
        assert b"pose: expected" in foxglove.next_of("/log")
    foxglove.wait_topics(lambda topics: not topics)


def test_the_next_simulators_have_topics_and_frames_of_their_own_and_a_place_is_taken_again(server, foxglove):
    with flying(server):
        foxglove.wait_topics(lambda topics: "/state" in topics)
        with flying(server, GREY):
            foxglove.wait_topics(lambda topics: len(topics) == 2 * len(SCHEMAS))
            assert set(foxglove.topics) == set(SCHEMAS) | {f"/drone_2{topic}" for topic in SCHEMAS}
            foxglove.subscribe("/state", "/drone_2/state", "/drone_2/tf")
            wait_until(lambda: json.loads(foxglove.next_of("/state"))["state"] == "following")
            assert json.loads(foxglove.next_of("/drone_2/state"))["state"] == "patrol"
            assert b"drone_2/camera_optical" in foxglove.next_of("/drone_2/tf")
        foxglove.wait_topics(lambda topics: topics == set(SCHEMAS))
        with flying(server):
            foxglove.wait_topics(lambda topics: "/drone_2/state" in topics)


def test_whoever_does_not_read_leaves_every_frame_answered(server: ServerProcess, foxglove: Foxglove):
    with flying(server) as flight:
        foxglove.wait_topics(lambda topics: len(topics) == len(SCHEMAS))
        foxglove.subscribe(*SCHEMAS)
        flight.wait_frames(20)
        flight.led_to()
    assert "Traceback" not in "".join(server.log)


def test_items_that_the_thread_cannot_keep_up_with_are_left_out():
    road, live = Road(), Live(0, Faults(), lambda _: None)  # whose thread is not started
    road.control.listeners.append(live)
    road.frame("a", 1)
    road.see("a", view(sighting()))
    (streamed,) = road.simulator("a").watches
    logged = []
    streamed.topics = SimpleNamespace(is_wanted=False, log=logged.append, close=lambda: logged.append("closed"))
    waiting = len(live._waiting)
    road.frame("a", 2)
    assert len(live._waiting) == waiting, "nobody takes them"
    streamed.topics.is_wanted = True
    for number in range(3, 3 + MOST_WAITING):
        road.frame("a", number)
        road.see("a", view(sighting()))
    assert len(live._waiting) == MOST_WAITING
    road.control.on_disconnect("a")
    assert len(live._waiting) == MOST_WAITING + 1, "but never that a simulator has gone"


def test_a_message_that_cannot_be_made_is_one_fault_and_the_last_message_of_that_simulator():
    road, faults = Road(), Faults()
    live = Live(0, faults, lambda simulator: road.control.fail(simulator))  # whose thread is not started
    road.control.listeners.append(live)
    road.frame("a", 1)
    road.see("a", view(sighting()))
    (streamed,) = road.simulator("a").watches
    live._waiting.clear()
    tried = []

    def fail(item) -> None:
        tried.append(item)
        raise ZeroDivisionError

    streamed.topics = SimpleNamespace(is_wanted=True, log=fail, close=lambda: tried.append("closed"))
    for number in range(2, 5):
        road.frame("a", number)
        road.see("a", view(sighting()))
    while live._waiting:
        live._run_work(*live._waiting.popleft())
    assert (len(tried), faults.counts) == (1, {"foxglove": 1}), "the fault is an event, too"
    road.control.on_disconnect("a")
    live._run_work(*live._waiting.popleft())
    assert tried[1:] == ["closed"]


def test_a_taken_port_is_told_in_one_line(server: ServerProcess):
    port = server.wait_for_log("Foxglove: ").rpartition(":")[2]
    run = follower("unused", "--port", "0", "--foxglove", port)
    assert run.returncode == 1
    assert f"follower: cannot listen on 127.0.0.1:{port}: " in run.stderr


def test_the_layout_shows_topics_that_there_are():
    layout = json.loads((REPOSITORY / "docs" / "foxglove_layout.json").read_text())
    shown = {value for value in strings(layout) if value.startswith("/")}
    assert {value.partition(".")[0] for value in shown} <= set(SCHEMAS)
    assert len(shown) > 6


def strings(value: object) -> Iterator[str]:
    """All texts within JSON, keys of objects included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from itertools.chain.from_iterable(map(strings, value.values()))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(strings, value))

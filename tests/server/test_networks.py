"""Another network for a running server: asked for, loaded beside, exchanged between frames; on a real server."""

import math
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support.fake_engine import BLUE, FAKE_SERVER, GREY, RED, ColourEngine
from support.live import picture
from support.page import flying
from support.recorded_session import read
from support.waiting import PATIENCE_S, wait_until

from server.watch.recording.reader import Recording
from tools.replay import replay
from tools.simulator.server_process import ServerProcess, running_server

WATCHDOG = ("--watchdog-s", "3")  # a busy machine may take seconds for a frame


def two_people():
    """The one in red to the left, the one in blue some metres to the right."""
    image = picture(GREY)
    image[100:160, 60:80], image[100:160, 170:190] = RED, BLUE
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Networks of `support.fake_engine.colour_network`."""
    made = tmp_path / "networks"
    (made / "run1").mkdir(parents=True)
    for name, words in (("red", "red"), ("run1/blue", "blue"), ("damaged", "damaged"), ("raises", "raises")):
        (made / f"{name}.keras").write_text(words)
    (made / "slow.keras").write_text("")
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    recorded = ("--record", str(folder.parent / "recordings"))
    with running_server(
        folder / "red.keras", *WATCHDOG, "--networks", str(folder), *recorded, script=FAKE_SERVER
    ) as run:
        yield run


def load(server: ServerProcess, network: str) -> tuple[int, str]:
    response = requests.post(f"{server.url}/network", json={"network": network}, timeout=PATIENCE_S)
    return response.status_code, response.text


def metric(server: ServerProcess, name: str) -> float:
    lines = requests.get(f"{server.url}/metrics", timeout=PATIENCE_S).text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def assert_replays(path: Path, hero: str) -> None:
    """That a recording is whole and gives the same commands again, on the network that it names."""
    with Recording(path) as recording:
        engine = ColourEngine(hero=hero)
        assert recording.start.engine == engine.description
        comparison = replay(recording, engine, recording.start.min_blob_px)
    assert comparison.is_identical, comparison.summary()
    assert comparison.pairs


def test_another_network_takes_over_while_a_drone_flies_and_each_has_its_recording(server: ServerProcess, folder: Path):
    with flying(server, image=two_people()) as flight:
        red_m = flight.led_to()
        assert load(server, "run1/blue.keras") == (204, "")
        wait_until(lambda: math.dist(red_m, flight.led_to()) > 3, "the one in blue followed")
        flight.wait_frames(3)
        health = server.health()[1]
        assert health["engine"] == "colours, the hero in blue"
        assert len(health["sessions"]) == 1, "the session has gone on"
        assert metric(server, 'followme_network_loads_total{outcome="exchanged"}') == 1
    assert server.wait_for_log("network from now on: ", PATIENCE_S).count("run1/blue.keras") == 1
    wait_until(lambda: sum(" MB into " in line for line in server.log) == 2, "both recordings finished")
    paths = sorted((folder.parent / "recordings").glob("*.mcap"), key=lambda path: read(path)[0].start.monotonic_s)
    assert [read(path)[0].end_reason for path in paths] == [
        "another network sees from here on",
        "the simulator disconnected",
    ]
    for path, hero in zip(paths, ("red", "blue"), strict=True):
        assert_replays(path, hero)
    assert read(paths[1])[0].start.state is not None, "it goes on in the middle of the session"


def test_a_network_that_fails_leaves_the_one_in_use_and_the_drones_as_they_are(server: ServerProcess):
    with flying(server) as flight:
        flight.client.wait_for("object_detected", timeout_s=PATIENCE_S)
        told = len(flight.client.events)
        for network, words in (
            ("damaged.keras", "got a damaged file"),
            ("missing.keras", "No such file"),
            ("raises.keras", "internal error"),
            ("../recordings", "expected a network below"),
            ("/etc/hostname", "expected a network below"),
        ):
            status, text = load(server, network)
            assert (status, words in text) == (422, True), text
        flight.wait_frames(3)
        assert {event.name for event in flight.client.events[told:]} == {"object_detected", "create_box_marker"}
        assert metric(server, 'followme_network_loads_total{outcome="failed"}') == 5
        assert metric(server, 'followme_internal_errors_total{place="networks"}') == 1
        assert server.health()[1]["engine"] == "colours"
        assert server.wait_for_log("the network in use goes on; damaged.keras was not loaded", PATIENCE_S)


def test_the_drones_fly_on_while_a_network_is_loaded_and_another_has_to_wait(server: ServerProcess, folder: Path):
    answers: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: answers.append(load(server, "slow.keras")))
    with flying(server) as flight:
        asking.start()
        wait_until(lambda: metric(server, "followme_network_loading") == 1)
        assert load(server, "red.keras")[0] == 409
        flight.wait_frames(5)
        assert answers == []
        (folder / "slow.keras").write_text("red")
        asking.join(PATIENCE_S)
        assert answers == [(204, "")]
        assert metric(server, "followme_network_loading") == 0
        flight.led_to()


def test_a_hangup_loads_the_same_file_again(server: ServerProcess, folder: Path):
    with flying(server, image=two_people()) as flight:
        red_m = flight.led_to()
        (folder / "red.keras").write_text("blue")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: math.dist(red_m, flight.led_to()) > 3, "the one in blue followed")


def test_without_a_folder_no_network_can_be_asked_for():
    with running_server("unused", script=FAKE_SERVER) as server:
        status, text = load(server, "red.keras")
    assert (status, "started with --networks" in text) == (400, True)

"""Another network for a running server: asked for, loaded beside, exchanged between frames; on a real server."""

import errno
import itertools
import math
import queue
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests
from support.fake_engine import BLUE, FAKE_SERVER, GREEN, GREY, HERO_AND_DOG, RED, ColourEngine
from support.live import WATCHDOG, picture
from support.page import flying, name_of
from support.recorded_session import read
from support.waiting import PATIENCE_S, wait_until

from server.networks import Networks
from server.sight.geometry import QUADSIM_CAMERA
from server.sight.sight import Sight
from server.supervision import Faults
from server.watch.recording.film import Film
from server.watch.recording.reader import Recording
from tools.replay import differing_circumstances, replay
from tools.simulator.server_process import ServerProcess, running_server


def two_people(right=BLUE):
    """A person in red on the left, and one in blue or another colour some metres to the right."""
    image = picture(GREY)
    image[100:160, 60:80], image[100:160, 170:190] = RED, right
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Networks of `support.fake_engine.colour_network`."""
    made = tmp_path / "networks"
    (made / "run1").mkdir(parents=True)
    for name, words in (
        ("red", "red"),
        ("run1/blue", "blue"),
        ("both", HERO_AND_DOG),
        ("damaged", "damaged"),
        ("raises", "raises"),
    ):
        (made / f"{name}.keras").write_text(words)
    (made / "slow.keras").write_text("")
    outside = tmp_path / "networks.keras"
    outside.write_text("blue")
    (made / "elsewhere.keras").symlink_to(outside)
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


def assert_replays(path: Path, hero: str = "red", has_dog: bool = False) -> None:
    """Check that a recording is whole and gives the same commands again, on the network that it names."""
    with Recording(path) as recording:
        engine = ColourEngine(hero=hero, has_dog=has_dog)
        assert recording.start.engine == engine.description
        comparison = replay(recording, engine, is_same_network=True)
    assert comparison.is_identical, comparison.summary()
    assert comparison.events


def test_another_network_takes_over_while_a_drone_flies_and_each_has_its_recording(server: ServerProcess, folder: Path):
    with flying(server, image=two_people()) as flight:
        red_m = flight.led_to()
        assert load(server, "run1/blue.keras") == (204, "")
        wait_until(lambda: math.dist(red_m, flight.led_to()) > 3, "the one in blue followed")
        flight.wait_frames(3)
        health = server.health()[1]
        assert health["engine"] == "colours, the hero in blue"
        assert len(health["sessions"]) == 1, "the session has gone on"
        assert server.metrics()['followme_network_loads_total{outcome="exchanged"}'] == 1
    assert server.wait_for_log("network from now on: ", PATIENCE_S).count("run1/blue.keras") == 1
    wait_until(lambda: sum(" MB into " in line for line in server.log) == 2, "both recordings finished")
    paths = sorted((folder.parent / "recordings").glob("*.mcap"), key=lambda path: read(path)[0].start.monotonic_s)
    assert [read(path)[0].end_reason for path in paths] == [
        "the network was changed",
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
            ("missing.keras", "expected a network at"),
            ("raises.keras", "internal error"),
            ("../recordings", "expected a network below"),
            ("/etc/hostname", "expected a network below"),
            (".", "expected a network below"),  # networks.keras beside the folder networks
            ("elsewhere", "expected a network below"),  # elsewhere.keras is a link
        ):
            status, text = load(server, network)
            assert (status, words in text) == (422, True), text
        flight.wait_frames(3)
        assert {event.name for event in flight.client.events[told:]} == {"object_detected", "create_box_marker"}
        assert server.metrics()['followme_network_loads_total{outcome="failed"}'] == 7
        assert server.metrics()['followme_internal_errors_total{place="networks"}'] == 1
        assert server.health()[1]["engine"] == "colours"
        assert server.wait_for_log("the network in use goes on; damaged.keras was not loaded", PATIENCE_S)


def test_the_drones_fly_on_while_a_network_is_loaded_and_another_has_to_wait(server: ServerProcess, folder: Path):
    answers: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: answers.append(load(server, "slow.keras")))
    with flying(server) as flight:
        asking.start()
        wait_until(lambda: server.metrics()["followme_network_loading"] == 1)
        assert load(server, "red.keras")[0] == 409
        flight.wait_frames(5)
        assert answers == []
        (folder / "slow.keras").write_text("red")
        asking.join(PATIENCE_S)
        assert answers == [(204, "")]
        assert server.metrics()["followme_network_loading"] == 0
        flight.led_to()


def test_a_hangup_loads_the_same_file_again(server: ServerProcess, folder: Path):
    with flying(server, image=two_people()) as flight:
        red_m = flight.led_to()
        (folder / "red.keras").write_text("blue")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: math.dist(red_m, flight.led_to()) > 3, "the one in blue followed")


class ElsewhereEngine(ColourEngine):
    """A network for another machine, which may not have it."""

    def __init__(self, is_remote: bool) -> None:
        super().__init__()
        self.is_remote, self.is_closed = is_remote, False
        if not is_remote:
            self.description = "colours, because the other machine does not know them"

    def close(self) -> None:
        self.is_closed = True


def networks_without_server(former, load, perception=None, faults=None) -> tuple[Networks, queue.Queue]:
    """Networks whose posts to the event loop go to the queue that is also returned."""
    posted, see = queue.Queue(), partial(Sight, camera=QUADSIM_CAMERA)
    networks = Networks(
        "former",
        see(former),
        folder=None,
        load=load,
        make_sight=see,
        perception=perception,
        post=lambda call, *arguments: posted.put((call, arguments)),
        faults=faults or Faults(),
    )
    return networks, posted


@pytest.mark.parametrize(("is_remote", "is_taken"), [(True, False), (False, True)])
def test_a_network_that_another_machine_infers_is_only_exchanged_for_one_that_it_infers(is_remote, is_taken):
    other = ElsewhereEngine(is_remote=False)
    networks, posted = networks_without_server(ElsewhereEngine(is_remote), lambda _: other)
    networks.start()
    networks.reload()
    call, (loading, *rest) = posted.get(timeout=PATIENCE_S)
    if is_taken:
        assert call == networks._exchange
    else:
        call(loading, *rest)
        assert loading.trouble == f"expected a network that another machine infers, got {other.description}"
        assert networks.outcomes["failed"] == 1
    assert other.is_closed is not is_taken


def test_a_network_whose_file_cannot_be_read_is_told_in_words():
    def refuse(_) -> ColourEngine:
        raise PermissionError(errno.EACCES, "Permission denied", "run1/blue.keras")

    networks, posted = networks_without_server(ColourEngine(), refuse)
    networks.start()
    networks.reload()
    call, (loading, trouble) = posted.get(timeout=PATIENCE_S)
    call(loading, trouble)
    assert loading.trouble == "expected to be able to use run1/blue.keras, got: Permission denied"


@pytest.mark.parametrize("point", ["exchange", "close"])
def test_an_error_of_ours_while_networks_are_exchanged_leaves_none_half_exchanged(point):
    class Careless(ColourEngine):
        def close(self) -> None:
            if point == "close":
                raise ZeroDivisionError

    class AnyPerception:
        def exchange(self, sight: Sight, done) -> None:
            if point == "exchange":
                raise RuntimeError("can't start new thread")
            done()

    faults, told = Faults(), []
    networks, posted = networks_without_server(Careless(), lambda _: Careless(hero="blue"), AnyPerception(), faults)
    networks.listeners.append(told.append)
    networks.start()
    networks.reload()
    while networks.is_loading:
        call, arguments = posted.get(timeout=PATIENCE_S)
        with faults.contained("mailbox"):
            call(*arguments)
    assert faults.counts == {"networks": 1}
    if point == "exchange":
        assert networks.about()["trouble"] == "internal error; the server's log says more"
        assert (networks.engine.description, told) == ("colours", [])
    else:
        assert networks.about()["trouble"] is None
        assert (networks.engine.description, len(told)) == ("colours, the hero in blue", 1)
    assert networks.outcomes == {"exchanged": point == "close", "failed": point == "exchange"}


def test_without_a_folder_no_network_can_be_asked_for():
    with running_server("unused", script=FAKE_SERVER) as server:
        status, text = load(server, "red.keras")
    assert (status, "started with --networks" in text) == (400, True)


def aim(server: ServerProcess, target: str) -> tuple[int, str]:
    """Have the latest simulator follow a target."""
    wish = {"simulator": name_of(server), "target": target}
    response = requests.post(f"{server.url}/target", json=wish, timeout=PATIENCE_S)
    return response.status_code, response.text


def test_a_drone_follows_another_target_of_the_network_when_told_to_and_its_recording_replays(folder: Path):
    records = folder.parent / "recordings"
    with (
        running_server(
            HERO_AND_DOG, *WATCHDOG, "--follow", "dog", "--record", str(records), script=FAKE_SERVER
        ) as server,
        flying(server, image=two_people(right=GREEN)) as flight,
    ):
        green_m = flight.led_to()
        status, text = aim(server, "people")
        assert (status, "expected a target of the network (hero, dog)" in text) == (404, True)
        assert aim(server, "hero") == (204, "")
        wait_until(lambda: math.dist(green_m, flight.led_to()) > 3, "the hero followed")
        flight.wait_frames(3)
        assert aim(server, "dog") == (204, "")
        wait_until(lambda: math.dist(green_m, flight.led_to()) < 0.5, "the dog followed again")
    (path,) = records.glob("*.mcap")
    assert_replays(path, has_dog=True)
    with Recording(path, with_states=True) as recording:
        other_target = "recorded for the dog, replayed for the hero: the network knows no other"
        assert other_target in differing_circumstances(recording, path, False, ColourEngine())
        assert other_target not in differing_circumstances(recording, path, False, ColourEngine(has_dog=True))
        film = Film(recording)
        words = [said for _, _, said in film.timeline()["decisions"] if "the target is" in said]
        shown = [film.message(step)["simulators"][0]["target"] for step in range(len(film))]
    assert [said.split(",")[0] for said in words] == [
        "the target is the hero",
        "the target is the dog",
    ]
    assert [name for name, _ in itertools.groupby(shown)] == ["dog", "hero", "dog"]


def test_a_network_without_the_target_that_the_user_asked_for_is_not_loaded(folder: Path):
    with running_server(HERO_AND_DOG, "--follow", "dog", "--networks", str(folder), script=FAKE_SERVER) as server:
        status, text = load(server, "red.keras")
        assert (status, "expected a target of the network (hero), got dog" in text) == (422, True)
        assert load(server, "both.keras") == (204, "")

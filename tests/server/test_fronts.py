"""Several fronts behind one port: real processes, real websockets; only the network is the fake one."""

import contextlib
import errno
import json
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
import requests
from support.command import follower
from support.fake_engine import RED
from support.fronts import FRONTS, OPTIONS, Front, free_ports, fronts_of, running_fronts
from support.live import follow
from support.page import Flight, Viewer, request
from support.waiting import PATIENCE_S, wait_until

from server.front import READY
from server.fronts import RELOAD, STOP, Fronts
from tools.simulator.server_process import ServerProcess, is_port_free
from tools.simulator.wire import QuadSimClient

MOST_CONNECTIONS = 100  # until each front has some: the kernel decides where each goes


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server for tests that end none of its processes."""
    with running_fronts() as process:
        yield process


@contextlib.contextmanager
def flying_to(server: ServerProcess) -> Iterator[Callable[[], tuple[int, str, Flight]]]:
    """Makes simulators that are led and fly on; returns the front of each, its name there, and the simulator."""
    fronts = fronts_of(server)

    def fly() -> tuple[int, str, Flight]:
        before = {number: set(front.sessions()) for number, front in fronts.items()}
        client = QuadSimClient(port=server.port, connect_timeout_s=PATIENCE_S)
        stack.callback(client.close)
        client.connect()
        follow(client)
        flight = Flight(client, RED, None)
        flight.start()
        stack.callback(flight.stop)
        [(number, name)] = [
            (number, name) for number, front in fronts.items() for name in set(front.sessions()) - before[number]
        ]
        return number, name, flight

    with contextlib.ExitStack() as stack:
        yield fly


@contextlib.contextmanager
def spread(server: ServerProcess) -> Iterator[dict[int, list[Flight]]]:
    """Simulators by the fronts' numbers, at least two at each."""
    found: dict[int, list[Flight]] = {number: [] for number in range(1, FRONTS + 1)}
    with flying_to(server) as fly:
        for _ in range(MOST_CONNECTIONS):
            number, _, flight = fly()
            found[number].append(flight)
            if min(map(len, found.values())) >= 2:
                break
        assert all(found.values())
        yield found


def processes(server: ServerProcess) -> dict[int, psutil.Process]:
    """Processes by the fronts' numbers."""
    return {int(process.cmdline()[-1]): process for process in psutil.Process(server.process.pid).children()}


def test_drones_spread_over_fronts_which_tell_of_their_own_and_all_end_with_the_signal(tmp_path):
    with running_fronts("--record", str(tmp_path)) as server, spread(server) as flights:
        for number, front in fronts_of(server).items():
            count = len(flights[number])
            health = requests.get(f"{front.url}/healthz", timeout=PATIENCE_S).json()
            assert (health["front"], len(health["sessions"])) == (number, count)
            metrics = requests.get(f"{front.url}/metrics", timeout=PATIENCE_S).text
            assert f"followme_sessions_started_total {count}.0" in metrics.splitlines()
            viewer = Viewer(front)
            told = viewer.next_that(lambda message, count=count: len(message["simulators"]) == count)
            viewer.close()
            assert told["front"] == {"name": f"front {number} of {FRONTS}", "shared_port": server.port}
        running = processes(server).values()
        assert server.stop() == 0
        assert not any(process.is_running() for process in running)
        assert_all_were_stopped(flights)
        assert len(list(tmp_path.glob("*.mcap"))) == sum(map(len, flights.values()))  # each in a file of its own


def test_a_killed_front_is_started_again_ever_later_and_drones_of_the_other_notice_nothing():
    with running_fronts() as server, spread(server) as flights:
        before, counts = processes(server), [len(flight.client.events) for flight in flights[2]]
        before[1].send_signal(signal.SIGKILL)
        for flight in flights[1]:
            assert flight.client.wait_closed(PATIENCE_S)
            wait_until(lambda client=flight.client: gets_through(client), "a connection", PATIENCE_S)
            flight.led_to()
        server.wait_for_log("front 1 has ended by signal 9; it is started again in 0.5 s", PATIENCE_S)
        wait_until(lambda: sum("front 1: listening on" in line for line in server.log) == 2, "its return")
        assert processes(server)[1] != before[1]
        processes(server)[1].send_signal(signal.SIGKILL)
        server.wait_for_log("front 1 has ended by signal 9; it is started again in 1 s", PATIENCE_S)
        assert processes(server)[2] == before[2]
        for flight, count in zip(flights[2], counts, strict=True):
            flight.wait_frames(2)
            assert flight.client.is_connected
            assert {event.name for event in flight.client.events[count:]} == {"object_detected", "create_box_marker"}


def test_a_front_that_is_started_again_knows_who_is_on_hold_at_once():
    with running_fronts() as server, spread(server):
        hold(server, 2, next(iter(fronts_of(server)[2].sessions())))
        logged = len(server.log)
        processes(server)[1].send_signal(signal.SIGKILL)
        server.wait_for_log("front 1: listening on", PATIENCE_S, after=logged)

        def first_there() -> str | None:
            """The name of the first simulator of the new front 1."""
            with QuadSimClient(port=server.port, connect_timeout_s=PATIENCE_S) as client:
                client.send_frame("{}")
                client.wait_for("object_lost", timeout_s=PATIENCE_S)
            found = (re.search(r"front 1: \[(.+)\] simulator connected", line) for line in server.log[logged:])
            return next((match[1] for match in found if match), None)

        name = wait_until(first_there)
        server.wait_for_log(f"front 1: [{name}] on hold: another simulator from this address is on hold", PATIENCE_S)


def test_a_front_that_is_started_again_has_the_network_that_it_was_given(tmp_path):
    (tmp_path / "blue.keras").write_text("blue")
    with running_fronts("--networks", str(tmp_path)) as server:
        assert order(server, 1, "/network", {"network": "blue.keras"}) == 204
        logged = len(server.log)
        processes(server)[1].send_signal(signal.SIGKILL)
        server.wait_for_log("front 1: listening on", PATIENCE_S, after=logged)
        engines = [
            requests.get(f"{front.url}/healthz", timeout=PATIENCE_S).json()["engine"]
            for front in fronts_of(server).values()
        ]
        assert engines == ["colours, the hero in blue", "colours"]


def gets_through(client: QuadSimClient) -> bool:
    """Connect; False if the system hands the connection to a listener that has just been killed.

    QuadSim tries again by itself.
    """
    with contextlib.suppress(ConnectionError):
        client.connect()
    return client.is_connected


def hold(server: ServerProcess, front: int, name: str) -> None:
    """Put a simulator of a front on hold."""
    assert order(server, front, "/hold", {"simulator": name, "is_held": True}) == 204


def order(server: ServerProcess, front: int, path: str, content: dict) -> int:
    """Send an order to a front; returns the status."""
    return request(fronts_of(server)[front], "POST", path, json.dumps(content), Content_Type="application/json")[0]


def test_a_front_that_stands_still_is_killed_at_the_end_which_is_then_told():
    with running_fronts() as server:
        front = processes(server)[2]
        front.send_signal(signal.SIGSTOP)
        assert server.stop() == 1
        wait_until(lambda: not front.is_running())


def test_fronts_end_with_the_process_that_started_them():
    with running_fronts() as server, spread(server) as flights:
        running = list(processes(server).values())
        server.process.kill()
        assert_all_were_stopped(flights)
        wait_until(lambda: not any(process.is_running() for process in running), "the end of the fronts")


def assert_all_were_stopped(flights: dict[int, list[Flight]]) -> None:
    for flight in [flight for of_one in flights.values() for flight in of_one]:
        assert flight.client.wait_closed(PATIENCE_S)
        assert flight.client.events[-1].name == "object_lost"


def test_a_hangup_that_somebody_sends_has_all_fronts_read_their_network_again(server):
    server.process.send_signal(signal.SIGHUP)
    for number in range(1, FRONTS + 1):
        server.wait_for_log(f"front {number}: loading the network unused", PATIENCE_S)


def test_a_hold_outlasts_the_way_to_another_front(server):
    with flying_to(server) as fly:
        number, name, _ = fly()
        hold(server, number, name)
        other = FRONTS + 1 - number

        def is_held_at_the_other() -> bool:
            """Whether a new simulator was led there and began on hold."""
            with QuadSimClient(port=server.port, connect_timeout_s=PATIENCE_S) as client:
                client.send_frame("{}")
                client.wait_for("object_lost", timeout_s=PATIENCE_S)
            words = "on hold: another simulator from this address is on hold"
            return any(f"front {other}: " in line and words in line for line in server.log)

        wait_until(is_held_at_the_other)


def test_requests_that_take_more_than_one_connection_are_led_to_the_fronts_own_ports(server):
    shared, fronts = Front(server.port), fronts_of(server)
    assert request(shared, "GET", "/healthz")[0] == 200
    for path in ("/metrics", "/events", "/page/page.js"):
        assert request(shared, "GET", path)[0] == 421
    status, words, _ = request(shared, "GET", "/socket.io/?EIO=4&transport=polling")
    assert (status, words.decode()) == (
        400,
        f"expected transport=websocket alone, or each front's own port, {server.port + 1} to {server.port + 2}\n",
    )
    assert request(fronts[1], "GET", "/socket.io/?EIO=4&transport=polling")[0] == 200
    links = request(shared, "GET", "/", Host=f"localhost:{server.port}")[1].decode()
    assert all(f'href="//localhost:{front.port}/"' in links for front in fronts.values())


def test_a_front_that_cannot_be_started_again_is_tried_later_and_leaves_the_others_running(monkeypatch, caplog):
    def no_memory(*_, **__):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    several = Fronts(["unused"], 2)
    monkeypatch.setattr("subprocess.Popen", no_memory)
    with pytest.raises(BlockingIOError):
        several._start_due()
    several._have_all_listened, several._due_s = True, {1: 0.0}
    several._start_due()
    assert several._due_s[1] > time.monotonic()
    assert "front 1 cannot be started ([Errno 11] Resource temporarily unavailable)" in caplog.text


def test_a_front_that_listens_just_when_all_are_told_to_end_is_followed_by_no_other(monkeypatch):
    class Slow:
        """A process that gets the signal after it has told that it listens."""

        def __init__(self, *_, **__) -> None:
            started.append(self)

        def send_signal(self, number: int) -> None:
            assert number == signal.SIGTERM

    started: list[Slow] = []
    several = Fronts(["unused"], 2)
    monkeypatch.setattr("subprocess.Popen", Slow)
    several._start_due()
    several._take_signals(STOP)
    several._take_message(several._running[1], READY)
    several._start_due()
    assert len(started) == 1


def test_a_front_that_is_starting_reads_its_network_again_once_it_listens(monkeypatch):
    class Process:
        def __init__(self, *_, **__) -> None:
            self.signals: list[int] = []

        def send_signal(self, number: int) -> None:
            self.signals.append(number)

    several = Fronts(["unused"], 1)
    monkeypatch.setattr("subprocess.Popen", Process)
    several._start_due()
    front = several._running[1]
    several._take_signals(RELOAD)
    assert front.process.signals == []  # it does not handle the signal yet, which would end it
    several._take_message(front, READY)
    several._take_signals(RELOAD)
    assert front.process.signals == [signal.SIGHUP] * 2


def test_a_front_does_not_notice_the_end_of_the_terminal():
    tell_session = "import os, socket; socket.socket(fileno=0).send(b'%d' % os.getsid(0))"
    several = Fronts([sys.executable, "-c", tell_session], 1)
    several._start_due()
    front = several._running[1]
    front.link.settimeout(PATIENCE_S)
    assert int(front.link.recv(100)) == front.process.pid
    front.process.wait()


def test_a_front_that_does_not_start_ends_all_in_one_line():
    port = free_ports()
    with socket.create_server(("127.0.0.1", port + FRONTS)):
        run = follower("unused", *OPTIONS, "--port", str(port))
    assert run.returncode == 1
    [trouble] = [line for line in run.stderr.splitlines() if line.startswith("follower: ")]
    assert trouble.startswith(f"follower: cannot listen on 127.0.0.1:{port + FRONTS}: Address already in use; ")
    assert is_port_free(port)


def test_what_no_front_can_start_with_is_told_once():
    run = follower("unused", *OPTIONS, "--port", str(free_ports()), "--follow", "cat")
    assert run.returncode == 2
    assert run.stderr == "follower: expected a target of the network (hero), got cat\n"

"""The recorder as a listener of the road, without a server; `test_live_recording.py` shows it on a real one."""

import gc
import itertools
import json
import os
import shutil
import subprocess
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mcap.reader import make_reader
from support.fake_engine import ColourEngine
from support.full_disk import files_of_at_most
from support.recorded_session import happened, read, retaken
from support.road import Road, argument, view
from support.seen import HERE, sighting
from support.waiting import wait_until

from server.flight.events import Failed, NotUnderstood, Received, Seen
from server.sight.frame_queue import Perceived, Spent
from server.sight.geometry import QUADSIM_CAMERA
from server.sight.sight import Sight, View
from server.watch.recording import recorder, scribe, topics
from server.watch.recording.format import Happened, InWork, Start, to_json
from server.watch.recording.items import argument_bytes
from server.watch.recording.reader import Mask
from server.watch.recording.recorder import Recorder, prepare_folder
from server.wire.messages import BadFrameError, Frame, parse_sensor_frame

WATCHDOG_S = 3.0
PX = 160
SEEN_BYTES = PX * PX * 3 * 4  # the network's output in memory
BLUE_SIGHT = Sight(ColourEngine(PX, hero="blue"), QUADSIM_CAMERA)
HERO = sighting()
ELSEWHERE = sighting((HERE[0], HERE[1] + 9.0, HERE[2]))


def seen(*sightings) -> View:
    """A frame understood, with an output of the network that shows nothing."""
    return view(*sightings)._replace(probabilities=np.zeros((PX, PX, 3), np.float32))


class Recorded(Road):
    """The road, and a recorder that listens.

    Args:
        folder: the recorder's.
        is_running: whether the writing thread runs; if not, it is as if the disk hangs.

    Attributes:
        failed: names of simulators that the recorder has reported because it failed.
    """

    def __init__(self, folder: Path | None, is_running: bool = True) -> None:
        super().__init__(watchdog_s=WATCHDOG_S)
        self.failed: list[str] = []
        self.recorder = Recorder(
            folder,
            Sight(ColourEngine(PX), QUADSIM_CAMERA),
            QUADSIM_CAMERA,
            WATCHDOG_S,
            {},
            self.faults,
            lambda simulator: self.failed.append(simulator.name),
        )
        self.control.listeners.append(self.recorder)
        self._numbers = itertools.count(1)
        if is_running:
            self.recorder.start()

    def send(self, sid: str = "a", sent: object = None) -> None:
        """A frame comes; `sent` replaces the good argument."""
        self.frame(sid, next(self._numbers), sent)

    def show(self, sid: str = "a", *sightings, sent: object = None) -> None:
        """A frame comes and is understood."""
        self.send(sid, sent)
        self.see(sid, seen(*(sightings or [HERO])))

    def refuse(self, sid: str = "a", sent: object = "rubbish") -> None:
        """A frame comes that cannot be parsed."""
        self.send(sid, sent)

    def take(self, sid: str = "a") -> Frame:
        """Perception begins with the frame that waits."""
        return self.simulator(sid).slot.take()

    def deliver(self, frame: Frame, outcome, sid: str = "a") -> None:
        """Perception answers a frame that it has taken."""
        self.simulator(sid).slot.deliver(Perceived(frame, outcome, Spent(0.0, 0.0, 0.0)))
        self.run()

    def about(self, sid: str = "a") -> dict:
        """The page's information about a recording."""
        return self.recorder.about(self.simulator(sid), 0.0)

    def trouble(self, sid: str = "a") -> str:
        return wait_until(lambda: self.about(sid)["trouble"], "trouble")

    def file(self, sid: str = "a") -> Path:
        """A simulator's file, once there is something in it."""

        def begun() -> Path | None:
            path = Path(self.about(sid)["file"] or "")
            return path if path.is_file() and path.stat().st_size else None

        return wait_until(begun, "a file")

    def begin(self, sid: str = "a") -> None:
        self.recorder.begin(self.simulator(sid))

    def end(self, sid: str = "a") -> None:
        self.recorder.end(self.simulator(sid), "stopped by hand")


@pytest.fixture
def roads():
    """Makes roads with recorders, and ends them."""
    made = []

    def make(*arguments, **options) -> Recorded:
        made.append(Recorded(*arguments, **options))
        return made[-1]

    yield make
    for road in made:
        road.recorder.stop()


@pytest.fixture
def road(roads, tmp_path: Path) -> Recorded:
    return roads(tmp_path)


def files(folder: Path, count: int = 1) -> list[Path]:
    """The recordings in a folder, the oldest first."""
    found = sorted(folder.glob("*.mcap"))
    assert len(found) == count
    return found


def kinds(path: Path) -> Counter:
    return Counter(type(each.event).__name__ for each in happened(path))


def assert_replays(path: Path) -> list:
    """Check that a session which takes the recorded events gives the recorded commands; returns the outcomes."""
    recorded, given = retaken(path)
    assert given == recorded
    return recorded


def flight(road: Recorded) -> list[Callable[[], object]]:
    """Everything that can happen to a simulator, step by step."""
    taken: list[Frame] = []
    return [
        *[road.show] * 3,
        road.refuse,
        road.show,
        road.send,
        lambda: road.see("a", BadFrameError("rgb_image", "a JPEG", "none")),
        *[road.show] * 2,
        road.send,
        lambda: road.see("a", None),
        road.show,
        lambda: road.control.fail(road.simulator("a")),
        road.show,
        lambda: road.control.hold(road.simulator("a"), True),
        road.show,
        lambda: road.control.hold(road.simulator("a"), False),
        road.show,
        # One is in work, the next waits and is superseded, and one that cannot be parsed is answered before them.
        road.send,
        lambda: taken.append(road.take()),
        road.send,
        road.send,
        road.refuse,
        lambda: road.deliver(taken[0], seen(HERO)),
        lambda: road.see("a", seen(ELSEWHERE, HERO)),
        *[lambda: road.show("a", ELSEWHERE)] * 3,
        road.control.stop,
    ]


def test_a_session_is_recorded_from_its_first_frame_to_its_end_with_all_that_a_replay_needs(road, tmp_path: Path):
    for step in flight(road):
        step()
    road.recorder.stop()
    (path,) = files(tmp_path)
    recording, entries = read(path)
    assert recording.start.state is None
    assert recording.end_reason == "the server was shut down"
    outcomes = assert_replays(path)
    events = [each.event for each in happened(path)]
    assert {type(event).__name__ for event in events} == {
        *("Received", "Seen", "NotUnderstood", "Failed", "Hold", "Release", "Shutdown")
    }
    assert [("a", command.event) for _, _, commands in outcomes for command in commands] == road.sent
    received = [event for event in events if isinstance(event, Received)]
    assert [event.frame for event in received] == list(range(1, 21))
    assert [(event.frame, event.superseded) for event in received if event.superseded] == [(16, 15)]
    answered = [event.frame for event in events if isinstance(event, Seen | NotUnderstood)]
    assert answered.index(17) + 1 == answered.index(14) == answered.index(16) - 1, "17 could not be parsed"
    assert sum(isinstance(entry, Mask) for entry in entries) == kinds(path)["Seen"]
    arguments = [each.argument for each in happened(path) if isinstance(each.event, Received)]
    assert json.loads(arguments[0]) == argument(1)


def test_a_recording_that_begins_at_any_moment_goes_on_from_there(roads, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(recorder, "FOLDER_BY_HAND", tmp_path)
    steps = len(flight(roads(None)))
    in_work = []
    for begin in range(1, steps):
        road = roads(None)
        flown = flight(road)
        for step in flown[:begin]:
            step()
        state, told = road.simulator("a").session.state, len(road.sent)
        pending = list(road.simulator("a").in_work)
        road.begin()
        for step in flown[begin:]:
            step()
        path = road.file()
        road.recorder.stop()
        recording, entries = read(path)
        assert recording.start.state == state
        assert [entry.frame for entry in entries if isinstance(entry, InWork)] == pending
        in_work.append(pending)
        outcomes = assert_replays(path)
        assert [command.event for _, _, commands in outcomes for command in commands] == [
            event for _, event in road.sent[told:]
        ]
    assert [14, 16] in in_work


def test_another_network_has_a_recording_of_its_own_that_begins_with_the_frames_in_work(road, tmp_path: Path):
    for _ in range(3):
        road.show()
    road.send()
    road.recorder.use_network(BLUE_SIGHT)
    road.see("a", seen(ELSEWHERE))
    road.show()
    road.control.on_disconnect("a")
    road.recorder.stop()
    paths = sorted(files(tmp_path, 2), key=lambda path: read(path)[0].start.monotonic_s)
    assert [read(path)[0].start.engine for path in paths] == ["colours", "colours, the hero in blue"]
    assert read(paths[0])[0].end_reason == "the network was changed"
    assert [sum(isinstance(each.event, Seen) for each in happened(path)) for path in paths] == [3, 2]
    assert [entry.frame for entry in read(paths[1])[1] if isinstance(entry, InWork)] == [4]
    for path in paths:
        assert_replays(path)


def test_another_network_begins_no_recording_where_there_is_none_and_keeps_back_one_that_is_kept_back(
    roads, tmp_path: Path
):
    by_hand, always = roads(None), roads(tmp_path)
    for road in (by_hand, always):
        road.refuse()
        road.recorder.use_network(BLUE_SIGHT)
    assert by_hand.about() is None
    assert not list(tmp_path.iterdir()), "no frame has been understood"
    always.show()
    always.recorder.stop()
    (path,) = files(tmp_path)
    assert read(path)[0].start.engine == "colours, the hero in blue"
    assert_replays(path)


def test_nothing_is_recorded_until_it_is_asked_for_and_again_after_it_was_stopped(roads, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(recorder, "FOLDER_BY_HAND", tmp_path / "recordings")
    road = roads(None)
    road.show()
    assert road.about() is None
    road.end()
    assert road.about() is None
    assert road.recorder.recorded == 0
    road.begin()
    first = road.file()
    road.begin()
    assert road.file() == first, "it goes on"
    assert road.recorder.recorded == 1
    about = road.recorder.about(road.simulator("a"), 1e9)
    assert (about["is_on"], about["trouble"]) == (True, None)
    assert about["duration_s"] > 0
    road.end()
    assert not road.about()["is_on"]
    road.show()
    road.begin()
    second = road.file()
    road.recorder.stop()
    assert files(tmp_path / "recordings", 2) == sorted([first, second])
    assert read(first)[0].end_reason == "stopped by hand"
    assert kinds(first) == {}


def test_the_situation_is_recorded_after_each_answer(road, tmp_path: Path):
    road.refuse()
    road.show()
    road.show()
    road.control.on_disconnect("a")
    road.recorder.stop()
    (path,) = files(tmp_path)
    assert read(path)[0].end_reason == "the simulator disconnected"
    states = messages(path, "/state")
    assert [state["state"] for state in states] == ["patrol", "confirming", "following"]
    assert [state["is_told_to_follow"] for state in states] == [False, False, True]
    assert states[0]["distance_m"] is states[1]["distance_m"] is None
    assert states[2]["distance_m"] == pytest.approx(np.hypot(9.0, 4.0), abs=0.1), "(10, 2, 1) seen from (1, 2, 5) m"


def messages(path: Path, topic: str) -> list[dict]:
    with path.open("rb") as file:
        return [json.loads(each.data) for _, _, each in make_reader(file).iter_messages([topic], log_time_order=False)]


def test_a_tick_is_recorded_only_when_it_changes_something(road, tmp_path: Path, monkeypatch):
    clock = SimpleNamespace(now_s=1000.0)
    for module in ("server.control", "support.road"):  # frames arrive by the same clock
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: clock.now_s))
    for _ in range(4):
        road.show()
    for clock.now_s in (1001.0, 1002.9, 1003.1, 1003.2):
        road.control.tick()
    road.recorder.stop()
    (path,) = files(tmp_path)
    assert [each.event.at_s for each in happened(path) if type(each.event).__name__ == "Tick"] == [1003.1]
    assert_replays(path)


# --- many at once, and those that are no simulators


def test_no_more_than_so_many_are_recorded_at_once(road, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_FILES", 2)
    for sid in "abc":
        road.show(sid)
    assert road.trouble("c") == "2 recordings are going on, which is the most at once"
    assert road.recorder.recorded == 2
    road.control.on_disconnect("a")
    wait_until(lambda: road.recorder.scribe.has_room)
    road.begin("c")
    road.file("c")
    road.recorder.stop()
    names = [path.name.split("_", 1)[1] for path in files(tmp_path, 3)]
    assert names == ["127.0.0.1_a.mcap", "127.0.0.1_b.mcap", "127.0.0.1_c.mcap"]


def test_a_recording_for_which_there_was_no_place_begins_once_there_is_one(road, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_FILES", 1)
    for sid in "ab":
        road.show(sid)
    road.trouble("b")
    road.show("b")
    assert not road.about("b")["is_on"]
    road.control.on_disconnect("a")
    wait_until(lambda: road.recorder.scribe.has_room)
    road.refuse("b")
    assert not road.about("b")["is_on"], "not for rubbish"
    road.show("b")
    assert road.about("b")["is_on"]
    road.show("b")
    path = road.file("b")
    road.recorder.stop()
    assert [kind for kind, _, _ in assert_replays(path)] == ["Received", "Seen"]


def test_two_recordings_of_one_second_and_name_are_two_files(road, tmp_path: Path):
    for _ in range(3):
        road.show()
        road.control.on_disconnect("a")
    road.recorder.stop()
    for path in files(tmp_path, 3):
        assert kinds(path) == {"Received": 1, "Seen": 1}


def test_clients_that_send_rubbish_only_take_no_place_from_a_simulator_nor_memory(road, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_FILES", 1)
    for client in "abcde":
        for _ in range(200):
            road.refuse(client)
        assert road.about(client)["is_on"]
    assert road.recorder.kept_bytes < 5 * (recorder.MOST_KEPT + 3) * 1100
    road.show("simulator")
    road.file("simulator")
    for client in "abcde":
        road.control.on_disconnect(client)
    assert road.recorder.kept_bytes == 0
    road.recorder.stop()
    (path,) = files(tmp_path)
    assert kinds(path) == {"Received": 1, "Seen": 1}


@pytest.mark.parametrize(("most", "most_bytes"), [(58, 50_000_000), (59, 50_000_000), (60, 50_000_000), (60, 100_000)])
def test_a_session_that_begins_with_much_rubbish_is_recorded_from_some_of_it_on_and_replays(
    road, tmp_path: Path, monkeypatch, most: int, most_bytes: int
):
    monkeypatch.setattr(recorder, "MOST_KEPT", most)
    monkeypatch.setattr(recorder, "MOST_KEPT_BYTES", most_bytes)
    road.send()  # in perception all the time
    for _ in range(110):
        road.refuse(sent="x" * 10_000)
    road.see("a", None)
    for _ in range(3):
        road.show()
    road.recorder.stop()
    (path,) = files(tmp_path)
    recording, entries = read(path)
    assert recording.start.state is not None
    assert [entry.frame for entry in entries if isinstance(entry, InWork)] == [1]
    events = [each.event for each in happened(path)]
    known = {1, *(event.frame for event in events if isinstance(event, Received))}
    assert {event.frame for event in events if not isinstance(event, Received)} == known
    assert {1, 112, 113, 114} <= known
    assert len(known) < 70
    assert assert_replays(path)[-1][2][0].event == "object_detected"


def test_while_no_frame_is_answered_few_are_kept_back_and_once_one_is_the_recording_replays(road, tmp_path: Path):
    road.send()
    first = road.take()  # and perception stands still
    for _ in range(3 * recorder.MOST_KEPT):
        road.send()
        road.control.tick()
    assert road.recorder.kept_bytes < (recorder.MOST_KEPT + 3) * 2000
    road.deliver(first, seen(HERO))
    road.see("a", seen(HERO))
    road.show()
    road.recorder.stop()
    (path,) = files(tmp_path)
    _, entries = read(path)
    assert next(entry.frame for entry in entries if isinstance(entry, InWork)) == 1
    assert kinds(path)["Seen"] == 3
    assert assert_replays(path)[-1][2][0].event == "object_detected"


def test_a_recording_stopped_by_hand_before_a_frame_was_understood_leaves_nothing(road, tmp_path: Path):
    road.refuse()
    road.end()
    road.show()
    road.recorder.stop()
    files(tmp_path, 0)
    assert road.recorder.kept_bytes == 0


def test_a_client_without_a_frame_that_is_understood_is_recorded_if_somebody_asks_for_it(road, tmp_path: Path):
    road.refuse()
    road.begin()
    road.refuse()
    road.file()
    road.recorder.stop()
    (path,) = files(tmp_path)
    assert read(path)[0].start.state is None, "the recording that was kept back, from its beginning"
    assert kinds(path) == {"Received": 2, "NotUnderstood": 2}


# --- what clients send


@pytest.mark.parametrize(
    "sent", ["[" * 900 + "]" * 900, '{"pose":NaN}', "1e999", '{"a":"\\ud800"}', '["x",{"y":2}]', "false"]
)
def test_anything_that_a_client_sends_is_recorded_as_json(road, tmp_path: Path, sent: str):
    road.show()
    road.refuse(sent=json.loads(sent))
    road.show()
    road.recorder.stop()
    (path,) = files(tmp_path)
    assert_replays(path)
    assert kinds(path)["NotUnderstood"] == 1
    recorded = [each.argument for each in happened(path) if isinstance(each.event, Received)][1]
    assert repr(json.loads(recorded)) == repr(json.loads(sent))


@pytest.mark.parametrize("sent", ["x" * 900_000, {"pose": "1,2", "more": ["x" * 1000] * 900}, [10**4000, "x" * 9000]])
def test_of_a_frame_that_cannot_be_parsed_only_the_beginning_is_recorded(road, tmp_path: Path, sent: object):
    road.refuse(sent=sent)
    road.refuse(sent={"pose": "1,2"})
    road.begin()
    road.recorder.stop()
    (path,) = files(tmp_path)
    long, short = (json.loads(each.argument) for each in happened(path) if isinstance(each.event, Received))
    assert json.dumps(sent).startswith(long)
    assert len(long) == 2000
    with pytest.raises(BadFrameError):
        parse_sensor_frame(long)
    assert short == {"pose": "1,2"}
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize(
    ("sent", "least", "most"),
    [
        ({"x": 1}, 50, 1000),
        ({"rgb_image": "x" * 50_000, "extra": {"a": [1.0, None, True]}}, 50_000, 52_000),
        ({"extra": [[]] * 300_000}, 20e6, 50e6),
        ({"extra": [[[[]] * 100] * 100] * 100}, 20e6, 50e6),
    ],
)
def test_an_arguments_size_in_memory_is_measured(sent: object, least: float, most: float):
    assert least <= argument_bytes(sent) <= most


# --- when it cannot go on


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 150 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NO SMALL DISK: looked for the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def fast_writes(monkeypatch):
    """Each item goes to the disk at once."""
    monkeypatch.setattr(scribe, "FLUSH_S", 0.0)
    monkeypatch.setattr(scribe, "LEAST_FREE_BYTES", 0)


def noisy(road: Recorded) -> None:
    """A frame of 20 kB that do not compress."""
    road.show(sent={**argument(1), "note": np.random.default_rng(0).bytes(10_000).hex()})


def fly_on(road: Recorded) -> None:
    """Frames come until the recording has stopped, and then some more."""
    wait_until(lambda: noisy(road) or road.about()["trouble"], "trouble")
    for _ in range(5):
        noisy(road)


def test_on_a_full_disk_it_ends_and_says_why_and_what_is_there_replays(roads, small_disk: Path, fast_writes, caplog):
    road = roads(small_disk)
    fly_on(road)
    (path,) = files(small_disk)
    assert road.about()["trouble"] == f"{path}: No space left on device"
    assert caplog.text.count("recording stopped, following goes on") == 1
    road.recorder.stop()
    assert len(assert_replays(path)) >= 4


def test_a_file_that_may_not_grow_ends_it_and_what_is_there_replays(road, fast_writes):
    noisy(road)
    path = road.file()
    with files_of_at_most(100_000):
        fly_on(road)
    assert road.about()["trouble"] == f"{path}: File too large"
    assert len(assert_replays(path)) >= 4
    road.begin()
    assert road.file() != path, "a new recording goes"
    assert road.faults.counts == {}, "this is no error of ours"


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_file_that_has_been_removed_ends_it(roads, tmp_path: Path, fast_writes, what: str):
    road = roads(tmp_path / "folder")
    noisy(road)
    path = road.file()
    shutil.rmtree(path.parent) if what == "folder" else path.unlink()
    fly_on(road)
    assert road.about()["trouble"] == f"{path}: it has been removed or moved away"
    road.begin()
    assert road.file().exists()


def test_it_ends_before_the_disk_is_full(road, tmp_path: Path, monkeypatch):
    free_bytes = 600_000_000
    monkeypatch.setattr(scribe.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free_bytes))
    monkeypatch.setattr(scribe, "FLUSH_S", 0.0)
    road.show()
    path = road.file()
    wait_until(lambda: kinds(path)["Seen"])
    free_bytes = 499_000_000
    road.show()
    trouble = f"less than 500 MB are free on the disk of {tmp_path}"
    assert road.trouble() == trouble
    road.begin()
    assert road.trouble() == trouble
    assert kinds(path)["Seen"] >= 1


def test_a_recording_that_grows_too_fast_ends_and_one_that_bursts_does_not(road, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_BYTES_PER_S", 20_000)
    monkeypatch.setattr(scribe, "AVERAGED_S", 5.0)  # a surplus of 100 kB
    monkeypatch.setattr(scribe, "FLUSH_S", 0.0)
    for _ in range(3):
        noisy(road)  # some 30 kB
    path = road.file()
    wait_until(lambda: kinds(path)["Seen"] == 3, "three frames on the disk")
    assert road.about()["is_on"]
    monkeypatch.setattr(scribe, "MOST_BYTES_PER_S", 1)
    monkeypatch.setattr(scribe, "AVERAGED_S", 100_000.0)  # the same, however long the test takes
    wait_until(lambda: noisy(road) or road.about()["trouble"], "trouble")
    assert road.about()["trouble"] == f"{path} grows by more than 1e-06 MB a second"
    assert path.stat().st_size > 100_000


def test_a_disk_too_slow_to_keep_up_ends_the_recording_rather_than_the_memory(roads, tmp_path: Path, caplog):
    road = roads(tmp_path, is_running=False)
    shown = 0
    while not (shown and road.about()["trouble"]):
        road.show()
        shown += 1
    assert shown == pytest.approx(100e6 / SEEN_BYTES, rel=0.02)
    assert road.about()["trouble"] == "100 MB wait to be written: the disk is too slow, or the simulator too fast"
    road.show()
    assert not road.simulator("a").watches[0].recording.waiting, "what waited has been freed"
    assert caplog.text.count("recording stopped") == 1
    road.show("b")
    assert road.about("b")["is_on"], "one who sends too much stops nobody else's"


def test_where_all_together_are_too_many_the_one_that_waits_most_ends(roads, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(scribe, "MOST_WAITING_IN_ALL_BYTES", 3_000_000)
    road = roads(tmp_path, is_running=False)
    for _ in range(8):  # 0.31 MB each
        road.show("much")
    road.show("little")
    road.show("little")
    assert road.about("much")["trouble"] == (
        "3 MB of all recordings wait to be written, 2 MB of this one: the disk is too slow, or the simulators too many"
    )
    assert road.about("little")["is_on"]
    for _ in range(5):
        road.show("little")
    assert road.about("little")["is_on"], "what has failed waits no more"


@pytest.mark.parametrize("ends", ["in order", "failing", "kept back"])
def test_nothing_of_a_recording_that_is_over_stays_in_memory(road, monkeypatch, ends: str):
    if ends == "failing":
        monkeypatch.setattr(scribe, "MOST_FILES", 0)
    (road.refuse if ends == "kept back" else road.show)("a")
    known = weakref.ref(road.simulator("a").watches[0].recording)
    road.control.on_disconnect("a")
    road.perception.slots.clear()  # where only this test keeps simulators that have gone

    def is_gone() -> bool:
        gc.collect()
        return known() is None

    wait_until(is_gone)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=f"cannot record into {tmp_path}/file/folder: Not a directory"):
        prepare_folder(tmp_path / "file" / "folder")
    prepare_folder(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").is_dir()


# --- errors of our own


def test_an_error_of_ours_in_the_thread_ends_that_recording_and_is_loud_and_nothing_else_stops(
    road, tmp_path: Path, monkeypatch, caplog
):
    def broken(message) -> str:
        if isinstance(message, Happened) and isinstance(message.event, Failed):
            raise ZeroDivisionError("a bug of the topics")
        return to_json(message)

    monkeypatch.setattr(topics, "to_json", broken)
    for sid in "ab":
        road.show(sid)
    road.send("a")
    road.see("a", None)
    assert road.trouble("a") == "internal error; the server's log says more"
    wait_until(lambda: road.failed == ["127.0.0.1:a"], "the drone concerned told")
    assert road.faults.counts == {"recorder": 1}
    assert "Traceback" in caplog.text
    assert "a bug of the topics" in caplog.text
    for sid in "ab":
        road.show(sid)
    assert road.about("b")["is_on"]
    road.begin("a")
    assert road.file("a")
    path = road.file("b")
    road.recorder.stop()
    assert kinds(path) == {"Received": 2, "Seen": 2}
    files(tmp_path, 3)


def test_an_error_of_ours_at_the_beginning_leaves_no_file_and_none_open(road, tmp_path: Path, monkeypatch):
    def broken(message) -> str:
        if isinstance(message, Start):
            raise ZeroDivisionError("a bug of the topics")
        return to_json(message)

    monkeypatch.setattr(topics, "to_json", broken)
    road.show()
    assert road.trouble() == "internal error; the server's log says more"
    wait_until(lambda: road.failed == ["127.0.0.1:a"], "the drone concerned told")
    road.recorder.stop()
    assert road.faults.counts == {"recorder": 1}
    assert files(tmp_path, 0) == []
    assert not [link for link in Path("/proc/self/fd").iterdir() if str(tmp_path) in os.path.realpath(link)]


def test_an_error_of_ours_on_the_event_loop_ends_the_recording_and_is_loud_and_the_drone_is_led_on(road, monkeypatch):
    road.show()
    monkeypatch.setattr(recorder, "item_bytes", lambda item: 1 // 0)
    road.show()
    assert road.told("a")[-2:] == ["object_detected", "create_box_marker"]
    assert road.about()["trouble"] == "internal error; the server's log says more"
    assert set(road.failed) == {"127.0.0.1:a"}
    assert road.faults.counts["recorder"] >= 1
    assert road.recorder.recorded == 0
    monkeypatch.undo()
    road.show()
    road.begin()
    assert road.file()

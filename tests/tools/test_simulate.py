"""The stand-in for QuadSim against the real server, over a real socket; only the network is a fake that sees red."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.command import exit_status
from support.fake_engine import FAKE_SERVER
from support.live import WATCHDOG
from support.waiting import PATIENCE_S
from support.worlds import SharedWorld, world_near_hero

from tools import simulate as simulate_tool
from tools.simulate import main
from tools.simulator import quadsim as quadsim_module
from tools.simulator.faults import FaultConfig, Faults
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.recording import Recorder
from tools.simulator.server_process import REPOSITORY, free_port, running_server
from tools.simulator.wire import QuadSimClient

TROUBLE = FaultConfig(drop=0.1, delay=0.13, duplicate=0.1, corrupt=0.1, clock_jump=4.0, disconnect=3.0)
FOLLOW = '42["object_detected",{"coords":[0.0,0.0,1.0]}]'
LAST_GREETING = '42["greeted",{}]'


@pytest.fixture(scope="module")
def server():
    # A long watchdog, so that a slow answer of a busy machine does not end the following.
    with running_server("unused", *WATCHDOG, script=FAKE_SERVER) as process:
        yield process


@pytest.fixture
def clients(monkeypatch):
    """The simulators' clients; each is connected when it has taken in all of a scripted peer's greeting."""
    made = []

    class GreetedClient(QuadSimClient):
        def connect(self):
            super().connect()
            made.append(self)
            self.wait_for("greeted", timeout_s=PATIENCE_S)

    monkeypatch.setattr(quadsim_module, "QuadSimClient", GreetedClient)
    return made


def quadsim(world, port, config=None, **options):
    faults = Faults(config or FaultConfig(), np.random.default_rng(0))
    return QuadSim(world, "127.0.0.1", port, faults=faults, **options)


def fly(port, duration_s, config=None, *, is_lock_step=True, on_frame=lambda _: None, **options):
    """One drone from near the hero: its simulator, disconnected, and what a user would have been told."""
    notices = []
    with (
        world_near_hero(kind=SharedWorld) as world,
        quadsim(world, port, config, is_lock_step=is_lock_step, on_notice=notices.append, **options) as simulator,
    ):
        run([simulator], duration_s, speed=None, on_frame=on_frame)
    return simulator, notices


@pytest.fixture(scope="module")
def flight(server):
    """Eight seconds in lock-step."""
    return fly(server.port, 8.0)


# --- against the real server


def test_the_drone_follows_the_hero_by_the_coordinates_it_is_sent(flight):
    simulator, notices = flight
    rows = simulator.log.rows
    assert [row["time_s"] for row in rows] == pytest.approx([frame / 5 for frame in range(40)], abs=1e-4)
    assert not rows[0]["is_following"]
    late = rows[20:]
    assert all(row["is_following"] for row in late)
    assert np.median([row["position_error_m"] for row in late]) < 1.0
    assert np.median([row["distance_m"] for row in late]) < 6.0
    assert simulator.violations == ()
    assert notices == []
    summary = simulator.log.summary()
    assert summary["on_target_of_following"] == 1.0
    assert 0.0 < summary["first_followed_s"] < 2.0


def test_in_lock_step_a_seed_gives_the_same_flight_again(server, flight):
    again, _ = fly(server.port, 6.0)
    assert again.log.rows == flight[0].log.rows[:30]


def test_so_it_does_with_every_fault_there_is(server):
    before = len(server.log)
    (one, notices), (same, _) = (fly(server.port, 8.9, TROUBLE) for _ in range(2))
    assert one.log.rows == same.log.rows
    assert [notice.partition(" (")[0] for notice in notices] == ["disconnected", "connected again"]
    assert one.violations == ()
    server.wait_for_log("expected", PATIENCE_S, after=before)  # it complained of the corrupt frames


def test_at_quadsims_pace_it_follows_as_well_and_time_is_no_faster_than_the_clock(server):
    class FollowedError(Exception):
        pass

    def stop_once_it_follows(simulator):
        if simulator.log.rows[-1]["is_following"]:
            raise FollowedError

    with world_near_hero(kind=SharedWorld) as world, quadsim(world, server.port) as simulator:
        began_s = time.monotonic()
        with pytest.raises(FollowedError):
            run([simulator], PATIENCE_S, speed=1.0, on_frame=stop_once_it_follows)
        assert time.monotonic() - began_s >= simulator.log.rows[-1]["time_s"] > 0
    assert simulator.violations == ()


def test_the_locale_is_that_of_the_numbers_sent(server):
    before = len(server.log)
    simulator, _ = fly(server.port, 1.0, locale="fr")
    assert len(simulator.log.rows) == 5
    assert not any("expected" in line for line in server.log[before:])


def test_it_records_while_it_flies(server, tmp_path):
    fly(server.port, 2.5, recorder=Recorder(tmp_path / "run1"), record_every_s=1.01)
    names = sorted(file.name for file in (tmp_path / "run1" / "IMG").iterdir())
    assert names == [f"cam{camera}_{number:05}.png" for camera in (1, 2, 3, 4) for number in range(3)]


# --- what a server may do wrong, or cease to do


def test_without_a_pong_it_patrols_after_3_s(peer, clients):
    peer.answer = lambda text: []
    peer.greeting += [FOLLOW, LAST_GREETING]
    simulator, _ = fly(peer.port, 4.0, is_lock_step=False)
    followed = [row["time_s"] for row in simulator.log.rows if row["is_following"]]
    assert followed
    assert 3.0 <= max(followed) < 3.5


def test_pongs_keep_it_following(peer, clients):
    peer.greeting += [FOLLOW, LAST_GREETING]

    def wait_for_a_pong(_):
        (client,) = clients
        pongs, deadline_s = len(client.round_trips_s), time.monotonic() + PATIENCE_S
        while len(client.round_trips_s) == pongs:
            assert time.monotonic() < deadline_s
            time.sleep(0.001)

    simulator, _ = fly(peer.port, 4.0, is_lock_step=False, on_frame=wait_for_a_pong, speed=100.0)
    assert simulator.log.rows[-1]["is_following"]


def test_coordinates_other_than_three_finite_numbers_are_a_violation(peer, clients):
    peer.greeting += ['42["object_detected",{"coords":[0.0,0.0]}]', LAST_GREETING]
    simulator, _ = fly(peer.port, 1.0, is_lock_step=False)
    (violation,) = simulator.violations
    assert "expected coords of three finite numbers" in violation


def test_it_connects_again_5_s_after_a_disconnect(peer, clients):
    peer.greeting.append(LAST_GREETING)
    notices = []
    with (
        world_near_hero(kind=SharedWorld) as world,
        quadsim(world, peer.port, on_notice=lambda text: notices.append((world.time_s, text.split()[0]))) as simulator,
    ):
        run([simulator], 1.0, speed=None)
        peer.hang_up()
        assert clients[0].wait_closed(PATIENCE_S)
        run([simulator], 8.0, speed=None)
    assert notices == [(pytest.approx(1.0), "disconnected"), (pytest.approx(6.0), "connected")]
    assert len(simulator.log.rows) == 40


# --- the command


def simulate(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def shared_worlds(monkeypatch):
    monkeypatch.setattr(simulate_tool, "World", SharedWorld)


def test_the_report_holds_settings_figures_and_every_frame(server, shared_worlds, tmp_path, capsys):
    files = [tmp_path / "one.json", tmp_path / "same.json"]
    for file in files:
        options = ("--seed", 4, "--people", 5, "--duration", 3, "--lock-step", "--drop", 0.1, "--report", file)
        assert simulate("--server", server.url, *options) == 0
    one, same = (json.loads(file.read_text()) for file in files)
    assert set(one) == {"settings", "drones", "wall_clock"}
    assert {name: value for name, value in one.items() if name != "wall_clock"} == {
        name: value for name, value in same.items() if name != "wall_clock"
    }
    assert one["settings"]["faults"]["drop"] == 0.1
    (drone,) = one["drones"]
    assert drone["summary"]["frames"] == len(drone["frames"]) == 15
    first = drone["frames"][0]
    assert first["time_s"] == 0.0
    assert len(first["hero_m"]) == 3
    assert len(first["pose"]) == len(first["gimbal_pose"]) == 6
    printed = capsys.readouterr().out
    assert "PATROL  hero" in printed
    assert "15 frames" in printed


def test_a_server_that_follows_another_target_is_told(server, capsys):
    options = ("--people", 2, "--duration", 0.4, "--lock-step")
    assert simulate("--server", server.url, "--target", "car", *options) == 0
    assert simulate("--server", server.url, *options) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1, "only the first target is another one"
    assert notes[0].startswith("note: the server's drones follow the hero, not the car. Choose the stand-in's target")


def test_several_drones_fly_each_in_a_world_of_its_own(server, shared_worlds, tmp_path, capsys):
    report = tmp_path / "report.json"
    options = ("--drones", 2, "--seed", 4, "--people", 5, "--duration", 2, "--lock-step", "--report", report)
    assert simulate("--server", server.url, *options) == 0
    settings = json.loads(report.read_text())["settings"]
    assert (settings["target"], settings["lookalikes"]) == ("hero", 0)
    first, second = json.loads(report.read_text())["drones"]
    assert (first["seed"], second["seed"]) == (4, 5)
    assert len(first["frames"]) == len(second["frames"]) == 10
    assert first["frames"][0]["hero_m"] != second["frames"][0]["hero_m"]
    assert "drone 2: " in capsys.readouterr().out


@pytest.mark.parametrize(("drones", "of_whom"), [(1, ""), (2, " of all drones together")])
def test_of_the_wall_clocks_time_only_the_flights_counts(server, tmp_path, capsys, monkeypatch, drones, of_whom):
    now_s = 0.0

    def let_pass(seconds):
        nonlocal now_s
        now_s += seconds

    class WorldSlowToMakeAndClose(SharedWorld):
        def __init__(self, *arguments, **options):
            let_pass(100.0)
            super().__init__(*arguments, **options)

        def close(self):
            let_pass(100.0)
            super().close()

    def run_for_4_s(simulators, duration_s, *, speed, on_frame):
        assert speed == 1.0
        run(simulators, duration_s, speed=None, on_frame=on_frame)
        let_pass(4.0)

    monkeypatch.setattr(simulate_tool, "time", SimpleNamespace(monotonic=lambda: now_s, time=time.time))
    monkeypatch.setattr(simulate_tool, "World", WorldSlowToMakeAndClose)
    monkeypatch.setattr(simulate_tool, "run", run_for_4_s)
    report = tmp_path / "report.json"
    options = ("--drones", drones, "--seed", 4, "--people", 5, "--duration", 2, "--report", report)
    assert simulate("--server", server.url, *options) == 0
    pace = json.loads(report.read_text())["wall_clock"]
    # Ten frames of each, the first at 0 s, the last at 1.8 s.
    assert pace == {
        "seconds": 4.0,
        "real_time_factor": pytest.approx(1.8 / 4.0),
        "frames_per_s_of_all_drones": 10 * drones / 4.0,
    }
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{10 * drones} frames in 4 s: {2.5 * drones:.1f} frames/s{of_whom}, 0.5 × real time"


def test_without_a_server_it_says_how_to_start_one(shared_worlds, tmp_path, capsys):
    port, report = free_port(), tmp_path / "report.json"
    outputs = ("--report", report, "--record", tmp_path / "run")
    assert simulate("--server", f"http://127.0.0.1:{port}", "--seed", 4, "--people", 5, *outputs) == 1
    assert not (tmp_path / "run").exists()
    assert json.loads(report.read_text())["wall_clock"]["seconds"] == 0.0
    message = capsys.readouterr().err
    assert f"expected a server at http://127.0.0.1:{port}" in message
    assert "start it with: .venv/bin/python server/follower.py weights/model_weights" in message


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_report_that_cannot_be_written_hides_nothing(shared_worlds, capsys):
    options = ("--server", f"http://127.0.0.1:{free_port()}", "--people", 5, "--report", "/dev/full")
    assert simulate(*options) == 2
    gone, full = capsys.readouterr().err.splitlines()
    assert gone.startswith("simulate: expected a server at ")
    assert full.endswith("No space left on device")


def test_recording_without_a_server_is_the_same_for_a_seed_in_any_process(tmp_path):
    options = ["--no-server", "--duration", "9", "--people", "4", "--seed", "2", "--record"]
    command = [sys.executable, "tools/simulate.py", *options, str(tmp_path / "run1")]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE)
    assert main([*options, str(tmp_path / "run2")]) == 0
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    one, same = (
        {file.name: file.read_bytes() for file in (tmp_path / run / "IMG").iterdir()} for run in ("run1", "run2")
    )
    assert one == same
    assert len(one) == 3 * 4  # at 0, 3.03 and 6.06 s


def test_another_target_is_recorded_as_the_hero_and_others_of_its_kind_as_people(tmp_path, capsys):
    options = ("--target", "car", "--lookalikes", 2, "--people", 2, "--duration", 18, "--record-every", 3, "--seed", 1)
    assert simulate("--no-server", "--record", tmp_path, *options) == 0
    assert "6 frames in" in capsys.readouterr().out
    people, cars = (
        [np.array(Image.open(file))[..., 0] for file in sorted((tmp_path / "IMG").glob(f"cam{camera}_*.png"))]
        for camera in (2, 3)
    )
    assert max(np.count_nonzero(layer < 255) for layer in cars) > 100
    assert max(np.count_nonzero(layer < 255) for layer in people) > 0  # the only others are two cars


def test_a_recording_is_not_written_over(tmp_path, capsys):
    (tmp_path / "IMG").mkdir()
    (tmp_path / "IMG" / "cam1_00000.png").touch()
    assert simulate("--no-server", "--record", tmp_path) == 2
    assert "expected no recording in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--people", "61"], "expected --people from 0 to 60, got 61"),
        (["--lookalikes", "13"], "expected --lookalikes from 0 to 12, got 13"),
        (["--lookalikes", "3", "--people", "2"], "expected --lookalikes of at most --people, 2, got 3"),
        (["--target", "horse"], "invalid choice: 'horse'"),
        (["--drones", "0"], "expected --drones of at least 1, got 0"),
        (["--duration", "0"], "expected --duration above 0 and finite, got 0.0"),
        (["--drop", "2"], "expected drop from 0 to 1"),
        (["--no-server"], "expected --record with --no-server"),
        (["--no-server", "--record", "x", "--report", "y"], "expected --report only with a server"),
        (["--no-server", "--record", "x", "--lock-step"], "expected --lock-step only with a server"),
        (["--no-server", "--record", "x", "--drop", "0.5"], "expected faults on the way to the server only with a"),
        (["--no-server", "--record", "x", "--speed", "3"], "expected --speed only with a server"),
        (["--no-server", "--record", "x", "--locale", "de"], "expected --locale only with a server"),
        (["--no-server", "--record", "x", "--server", "http://a:1"], "expected --server only with a server"),
        (["--record-every", "1"], "expected --record-every only with --record"),
        (["--record", "x", "--drones", "2"], "expected one drone with --record"),
        (["--server", "ftp://x"], "expected http://host:port"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, complaint, capsys):
    assert exit_status(main, options) == 2
    assert complaint in capsys.readouterr().err

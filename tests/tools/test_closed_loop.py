"""The tool on the real simulator, with a network that takes red for the hero; goals and tables on made-up scores."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.command import exit_status
from support.fake_engine import ColourEngine
from support.worlds import SharedWorld

from tools import closed_loop
from tools.simulator import episodes, loop_table
from tools.simulator.episodes import ORIGINAL, Episode, fly_episode
from tools.simulator.faults import FaultConfig
from tools.simulator.loop_score import Score
from tools.simulator.loop_table import OF_THE_HERO, SERVER, Goal, table

PERFECT = Score(20, 20, 1.0, 2.0, 20, 20, 1.0, 2.0, 10.0, 20.0, 1.0, 3, 1.0, 0.0, 0.0, 0, 0, 0.9, 0.1, 0.2, 0.1, 0.05)
# Seed 7 with two others: the red network leads the server's drone after somebody within the first seconds.
SEED, PEOPLE, DURATION_S = 7, 2, 4.0
BRIEFLY = ("--pilots", SERVER, "--duration", "1")  # enough if the flight itself does not matter


@pytest.fixture(autouse=True)
def shared_worlds(monkeypatch):
    """Of this process. `test_world.py` has the same world built twice, and worker processes build their own."""
    monkeypatch.setattr(episodes, "World", SharedWorld)


@pytest.fixture
def red_network(monkeypatch):
    monkeypatch.setattr(episodes, "load_engine", lambda *_: ColourEngine(256))


def command(*options: str) -> list[str]:
    return ["--seed", str(SEED), "--people", str(PEOPLE), "--duration", str(DURATION_S), "--jobs", "1", *options]


def run(folder: Path, name: str, *options: str) -> dict:
    file = folder / f"{name}.json"
    closed_loop.main(command("--episodes", "1", "--json", str(file), *options))
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def of_both_pilots(tmp_path_factory):
    """The report of a flight of each pilot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(episodes, "World", SharedWorld)
        patch.setattr(episodes, "load_engine", lambda *_: ColourEngine(256))
        return run(tmp_path_factory.mktemp("both"), "both")


@pytest.mark.parametrize("pilot", [SERVER, ORIGINAL])
def test_a_flight_has_a_moment_for_each_frame_and_the_truth_about_it(pilot):
    flight = fly_episode(Episode(pilot, SEED, PEOPLE, DURATION_S, FaultConfig()), ColourEngine(256))
    assert flight.hero_m.shape == flight.told_m.shape == (20, 2)
    assert flight.others_m.shape == (20, PEOPLE, 2)
    # The hero walks at 1.485 m/s at most, or stands.
    steps_m = np.linalg.norm(np.diff(flight.hero_m, axis=0), axis=1)
    assert steps_m.max() < 1.485 * 0.2 + 0.01
    assert (flight.hero_px >= 0).all()
    assert flight.in_view.shape == (20, 1 + PEOPLE)
    assert len(flight.tracked) == 20


def test_the_same_command_gives_the_same_json(tmp_path, red_network, of_both_pilots):
    assert run(tmp_path, "again") == of_both_pilots


def test_both_pilots_fly_the_same_episodes(tmp_path, red_network, of_both_pilots):
    report = of_both_pilots
    assert [(episode["pilot"], episode["seed"]) for episode in report["episodes"]] == [(SERVER, SEED), (ORIGINAL, SEED)]
    alone = run(tmp_path, "alone", "--pilots", ORIGINAL)
    assert alone["scores"] == {ORIGINAL: report["scores"][ORIGINAL]}
    assert alone["goals"] == []


def test_a_fifth_dropped_and_a_delay_are_told_and_reported_with_their_goals(tmp_path, red_network):
    report = run(tmp_path, "faults", "--drop", "0.2", "--delay", "0.2", "--pilots", SERVER)
    assert (report["settings"]["drop"], report["settings"]["delay"]) == (0.2, 0.2)
    assert [(goal["figure"], goal["bound"]) for goal in report["goals"]] == [("on_target", 0.99), ("error_m", 0.5)]


def test_a_hero_who_hides_is_told(tmp_path, red_network, capsys):
    report = run(tmp_path, "hiding", "--hide", *BRIEFLY)
    assert report["settings"]["hide"] is True
    assert "a hero who hides" in capsys.readouterr().out


def test_lookalikes_are_told_and_fly_along(tmp_path, red_network, monkeypatch, capsys):
    made = []

    class NotedWorld(SharedWorld):
        def __init__(self, *arguments, **options):
            made.append(options["lookalikes"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(episodes, "World", NotedWorld)
    report = run(tmp_path, "alike", "--lookalikes", "2", *BRIEFLY)
    assert made == [2]
    assert report["settings"]["lookalikes"] == 2
    assert "2 people besides the hero, including 2 lookalikes" in capsys.readouterr().out
    assert {"chases_per_h", "second_chases", "switches", "idf1"} <= set(report["scores"][SERVER])


def test_another_target_is_told_and_flies_with_others_of_its_kind(tmp_path, red_network, monkeypatch, capsys):
    made = []

    class NotedWorld(SharedWorld):
        def __init__(self, *arguments, **options):
            made.append((options["target"], options["lookalikes"]))
            super().__init__(*arguments, **options)

    monkeypatch.setattr(episodes, "World", NotedWorld)
    report = run(tmp_path, "car", "--target", "car", *BRIEFLY)
    assert made == [("car", 2)]  # as many as there are people
    assert (report["settings"]["target"], report["settings"]["lookalikes"]) == ("car", 2)
    assert "2 people besides the car, including 2 of its kind" in capsys.readouterr().out


def test_several_processes_give_the_same_figures_as_one(tmp_path):
    """With the real network: the workers load it themselves, and build the worlds."""
    options = ("--weights", "weights/fcn4", "--duration", "2")
    reports = [run(tmp_path, jobs, "--jobs", jobs, *options) for jobs in ("1", "2")]
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("goal", "score", "is_met"),
    [
        (Goal("on_target", 0.95, at_least=True), PERFECT._replace(on_target=0.95), True),
        (Goal("on_target", 0.95, at_least=True), PERFECT._replace(on_target=0.949), False),
        (Goal("on_target", 0.95, at_least=True), PERFECT._replace(on_target=math.nan), False),
        (Goal("error_m", 0.5), PERFECT._replace(error_m=0.5), True),
        (Goal("error_m", 0.5), PERFECT._replace(error_m=0.51), False),
        (Goal("error_m", 0.5), PERFECT._replace(error_m=math.nan), False),
        (Goal("reacquire_s", 3.0), PERFECT._replace(reacquire_s=math.nan, losses=0), True),
        (Goal("reacquire_s", 3.0), PERFECT._replace(reacquire_s=math.nan, losses=0, acquired=0), False),
    ],
)
def test_a_goal_is_met_at_its_bound_and_not_by_nothing(goal, score, is_met):
    assert goal.is_met_by(score) is is_met


def test_the_table_says_which_goals_are_met():
    server = PERFECT._replace(wrong_person=0.01)
    lines = table({SERVER: server, ORIGINAL: PERFECT._replace(on_target=0.5)}, OF_THE_HERO)
    (on_target,) = (line for line in lines.splitlines() if "on target" in line)
    assert on_target.split()[-5:] == ["100.0%", "50.0%", "≥", "99.5%:", "met"]
    (chases,) = (line for line in lines.splitlines() if "chases of strangers" in line)
    assert chases.split()[-4:] == ["0.0", "/h", "0.0", "/h"]
    (wrong,) = (line for line in lines.splitlines() if "wrong person" in line)
    assert wrong.split()[-5:] == ["1.00%", "0.00%", "≤", "0.05%:", "MISSED"]


@pytest.mark.parametrize(
    ("settings", "faults", "goals"),
    [
        ({}, {}, loop_table.OF_THE_HERO),
        ({"lookalikes": 6}, {}, loop_table.WITH_LOOKALIKES),
        ({"hide": True}, {}, loop_table.WITH_HIDING),
        ({"pace": 2}, {}, loop_table.AT_A_FASTER_PACE),
        ({"pace": 2}, {"drop": 0.2}, loop_table.WITH_FAULTS),
        ({"target": "dog"}, {}, loop_table.OF_ANOTHER_TARGET),
    ],
)
def test_each_kind_of_flight_has_its_goals(settings, faults, goals):
    assert closed_loop.goals_of(closed_loop.LoopSettings(**settings), FaultConfig(**faults)) is goals


def test_a_missed_goal_is_the_exit_status(red_network, monkeypatch, capsys):
    monkeypatch.setattr(loop_table, "OF_THE_HERO", ())
    assert closed_loop.main(command("--episodes", "1", *BRIEFLY)) == 0
    monkeypatch.setattr(loop_table, "OF_THE_HERO", (Goal("roughness_m", -1.0),))
    assert closed_loop.main(command("--episodes", "1", "--pilots", SERVER)) == 1
    assert "≤ -1.000 m: MISSED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--episodes", "0"], "expected --episodes of at least 1, got 0"),
        (["--jobs", "0"], "expected --jobs of at least 1, got 0"),
        (["--duration", "0"], "expected --duration above 0 and finite, got 0.0"),
        (["--people", "61"], "expected --people from 0 to 60, got 61"),
        (["--lookalikes", "-1"], "expected --lookalikes from 0 to 12, got -1"),
        (["--lookalikes", "3", "--people", "2"], "expected --lookalikes of at most --people, 2, got 3"),
        (["--target", "horse"], "invalid choice: 'horse'"),
        (["--target", "dog", "--hide"], "expected --hide left out with another --target than the hero, got True"),
        (["--drop", "1.5"], "expected drop from 0 to 1, got 1.5"),
        (["--delay", "-1"], "expected delay from 0 to 3600, got -1.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, complaint, capsys):
    assert exit_status(closed_loop.main, options) == 2
    assert complaint in capsys.readouterr().err


def test_in_a_world_at_three_times_its_speed_the_hero_walks_three_times_as_far():
    ways_m = []
    for pace in (1, 3):
        episode = Episode(SERVER, SEED, PEOPLE, 2.0, FaultConfig(), pace=pace)
        hero_m = fly_episode(episode, ColourEngine(256)).hero_m
        ways_m.append(np.linalg.norm(np.diff(hero_m, axis=0), axis=1).sum())
    assert ways_m[1] == pytest.approx(3 * ways_m[0], rel=0.25)


@pytest.mark.parametrize(("target", "followed"), [("dog", "dog"), ("car", "hero")])
def test_the_target_of_a_flight_is_followed_if_the_network_knows_it(monkeypatch, target, followed):
    pilots = []
    monkeypatch.setattr(episodes, "fly", lambda world, pilot, *_: pilots.append(pilot))
    episode = Episode(SERVER, SEED, PEOPLE, 2.0, FaultConfig(), lookalikes=PEOPLE, target=target)
    fly_episode(episode, ColourEngine(256, has_dog=True))
    (pilot,) = pilots
    assert pilot.session.state.tracker.config.profile.name == followed

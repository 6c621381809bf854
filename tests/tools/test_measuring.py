"""Figures by key, their comparison, and a version checked out of another commit."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from support.fake_engine import DOG
from support.networks import save_colour_network

from tools import benchmark
from tools.measuring.figures import Figure, comparison_table, read_values, values_of, write_figures
from tools.measuring.serving import FlightMeasurements, joined
from tools.measuring.versions import checked_out
from tools.simulator.server_process import REPOSITORY, SHIPPED_WEIGHTS

FIGURES = [
    Figure("latency", "frame → command, median", 12.0, "ms"),
    Figure("answered", "frames answered", 97.0, "%", 98, at_least=True),
    Figure("p95", "frame → command, p95", 90.0, "ms", 100),
]


def test_a_goal_is_a_greatest_or_a_least_value() -> None:
    assert [figure.is_met for figure in FIGURES] == [None, False, True]


def test_saved_figures_are_read_by_key(tmp_path: Path) -> None:
    write_figures(tmp_path / "figures.json", FIGURES)
    assert read_values(tmp_path / "figures.json") == values_of(FIGURES) == {"latency": 12, "answered": 97, "p95": 90}


@pytest.mark.parametrize("content", ["", "{}x", "[1]", '{"latency": 1}', '[{"name": "latency", "value": 1}]'])
def test_a_file_without_figures_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(ValueError, match=r"expected figures that benchmark.py wrote with --json, got .*other\.json"):
        read_values(tmp_path / "other.json")


def test_a_comparison_shows_what_both_have_as_a_ratio() -> None:
    lines = comparison_table(FIGURES, {"latency": 24.0, "p95": 60.0, "gone": 1.0}, "v1").splitlines()
    assert [line.split()[-5:] for line in lines[1:]] == [
        ["median", "12.00", "24.00", "0.50×", "ms"],
        ["p95", "90.00", "60.00", "1.50×", "ms"],
    ]


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="this copy is no git repository")
def test_another_commit_is_checked_out_for_the_time_of_the_measurement() -> None:
    with checked_out("HEAD", SHIPPED_WEIGHTS, ("--precision", "f32")) as version:
        assert version.options == ("--precision", "f32")
        assert version.folder != REPOSITORY
        assert (version.folder / "server" / "follower.py").is_file()
        assert version.weights == version.folder / "weights" / "model_weights"
    assert not version.folder.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert str(version.folder) not in listed.stdout


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="this copy is no git repository")
def test_weights_that_the_other_commit_lacks_are_taken_from_here() -> None:
    weights = REPOSITORY / "runs" / "new" / "model_weights.keras"
    with checked_out("HEAD", weights) as version:
        assert version.weights == weights


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="this copy is no git repository")
def test_an_unknown_commit_is_refused() -> None:
    with pytest.raises(ValueError, match="nosuchcommit"), checked_out("nosuchcommit", SHIPPED_WEIGHTS):
        pytest.fail("it was checked out")


# --- flights


def test_turns_are_joined():
    turn = FlightMeasurements([5.0, 7.0], [1.0], 3, 0.5, 0.25, 2.0)
    assert joined([turn, turn]) == FlightMeasurements([5.0, 7.0, 5.0, 7.0], [1.0, 1.0], 6, 1.0, 0.5, 4.0)


def test_a_flight_without_answers_is_refused_in_words():
    silent = FlightMeasurements([], [1.0], 3, 0.5, 0.25, 2.0)
    with pytest.raises(ValueError, match=r"expected answers to frames .* got 0 and 2 for 6 frames"):
        joined([silent, silent])


@pytest.mark.parametrize(("network", "is_of_a_dog"), [("weights/car", False), ("dog.keras", True)])
def test_the_benchmark_refuses_a_network_that_it_cannot_measure(network, is_of_a_dog, tmp_path, monkeypatch, capsys):
    """One without its Keras file, and one of another target than the hero, who is in the frames."""
    if is_of_a_dog:
        monkeypatch.chdir(tmp_path)
        save_colour_network(tmp_path, 32, 1.0).rename(network)
        card = {"classes": ["surroundings", "people", "dog"], "profile": asdict(DOG)}
        Path(network).with_suffix(".json").write_text(json.dumps(card))
    else:
        monkeypatch.chdir(REPOSITORY)
    assert benchmark.main(["--weights", network]) == 2
    assert ("got one of a dog" if is_of_a_dog else "expected a network with its .keras file") in capsys.readouterr().err


def test_ratios_follow_from_the_measured_medians():
    ratios = benchmark.ratios(
        {"original": 120.0, "latency": 10.0, "flight_latency": 15.0, "latency_p99": 25.0, "engine": 8.0}
    )
    assert values_of(ratios) == {"speed_up": 12.0, "flight_speed_up": 8.0, "p99_ratio": 2.5, "over_engine": 1.25}
    assert [figure.is_met for figure in ratios] == [True, False, True, None]

"""Flights on a real Ray on this machine, and what is said without Ray."""

import json
import sys

import pytest

from tools import closed_loop
from tools.simulator.episodes import Episode
from tools.simulator.faults import FaultConfig
from tools.simulator.loop_table import SERVER
from tools.simulator.server_process import REPOSITORY

WEIGHTS = "weights/fcn4"


@pytest.fixture
def cluster(monkeypatch):
    """The module that flies on Ray; it starts a cluster of its own."""
    pytest.importorskip("ray", reason="NO RAY: 'make fleet-test' installs it and runs these tests")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))  # of Ray's workers
    monkeypatch.setenv("RAY_ADDRESS", "local")  # not one that this machine belongs to
    from tools.simulator import cluster

    return cluster


def test_flights_on_a_cluster_give_the_same_figures_as_in_this_process(tmp_path, cluster):
    """Two short flights with a real network."""
    reports = []
    for options in (["--jobs", "1"], ["--ray"]):
        file = tmp_path / "report.json"
        flights = ["--episodes", "2", "--seed", "7", "--people", "2", "--duration", "4", "--pilots", SERVER]
        closed_loop.main([*flights, "--weights", WEIGHTS, "--json", str(file), *options])
        reports.append(json.loads(file.read_text()))
    assert len(reports[0]["episodes"]) == 2
    assert reports[0] == reports[1]


def test_what_goes_wrong_in_a_flight_is_told_in_its_own_words(cluster):
    flown = cluster.flights_on_cluster([Episode(SERVER, 7, 2, 1.0, FaultConfig(), target="yeti")], WEIGHTS, "auto")
    with pytest.raises(ValueError, match=r"^target must be one of .*, got 'yeti'$"):
        next(flown)


@pytest.mark.parametrize(("failing", "tried"), [(2, 3), (9, 3)])
def test_a_start_that_fails_is_tried_again_and_then_told_in_one_line(cluster, monkeypatch, failing, tried):
    starts = []

    def init(**_):
        starts.append(1)
        if len(starts) <= failing:
            raise Exception("The current node\n timed out")

    monkeypatch.setattr(cluster.ray, "init", init)
    if failing < tried:
        cluster.connect()
    else:
        with pytest.raises(OSError, match=r"^expected a Ray cluster, got: The current node timed out$"):
            cluster.connect()
    assert len(starts) == tried


def test_without_ray_one_line_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "tools.simulator.cluster", raising=False)
    assert closed_loop.main(["--ray"]) == 2
    assert capsys.readouterr().err == (
        "closed_loop: ray is not installed: '.venv/bin/pip install --require-hashes --requirement "
        "requirements-fleet.lock' installs it\n"
    )

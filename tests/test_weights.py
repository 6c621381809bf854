"""What is shipped converted belongs to the weights beside it. `make weights` renews it after a change of weights."""

from pathlib import Path

import pytest

from model.engines.shipped import shipped
from tools.simulator.server_process import REPOSITORY

WEIGHTS = sorted((REPOSITORY / "weights").glob("*.keras"))


@pytest.mark.parametrize("weights", WEIGHTS, ids=[weights.stem for weights in WEIGHTS])
def test_each_network_is_shipped_converted(weights: Path):
    network = shipped(weights, "f32")
    assert network is not None, "stale or missing: 'make weights' converts it"
    assert network.conversion.precision == "f32"


def test_the_default_network_is_shipped_in_int8_and_finds_the_same():
    network = shipped(REPOSITORY / "weights" / "model_weights.keras", "int8")
    assert network is not None, "stale or missing: 'make weights' quantises it"
    validation = network.conversion.how["validation"]
    assert network.conversion.precision == "int8"
    assert validation["agreement"] >= 0.99
    assert validation["int8"]["quality"] >= validation["f32"]["quality"] - 0.01

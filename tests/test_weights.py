"""Each shipped conversion belongs to the weights beside it. `make weights` renews it after a change of weights.

Networks of other targets are shipped in int8 alone.
"""

import re
from pathlib import Path

import pytest

from model.card import card_file
from model.engines import load_engine
from model.engines.shipped import shipped, shipped_folder
from model.loading import is_converted, networks_in
from tools.simulator.server_process import REPOSITORY

NETWORKS = networks_in(REPOSITORY / "weights")
WEIGHTS = [file for file in NETWORKS if not is_converted(file)]
ALONE = [file for file in NETWORKS if is_converted(file)]
MOST_BYTES = 2_000_000


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


@pytest.mark.parametrize("folder", ALONE, ids=[folder.stem for folder in ALONE])
def test_a_network_of_another_target_is_served_in_int8_alone(folder: Path):
    network = shipped(folder, "int8")
    assert network is not None
    assert sum(file.stat().st_size for file in shipped_folder(folder, "int8").iterdir()) < MOST_BYTES
    assert network.conversion.how["validation"]["agreement"] >= 0.99
    card = load_engine("openvino", folder.with_suffix("")).card
    assert card.profile.name == folder.stem
    assert card.classes == ("surroundings", card.profile.others, card.profile.name)


@pytest.mark.parametrize("weights", NETWORKS, ids=[weights.stem for weights in NETWORKS])
def test_a_card_names_no_folder_of_the_machine_it_was_made_on(weights: Path):
    """A path from the root: in a value of its own, or in a command."""
    assert re.findall(r'[" ](/\w[^" ]*)', card_file(weights).read_text()) == []

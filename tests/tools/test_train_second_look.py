"""A second look from dataset folders to a calibrated card, beside a network that knows colours only."""

import json

import numpy as np
import pytest
from support.dataset import save_pair
from support.networks import save_colour_network

from model.card import read_card
from model.crops import CROP_PX
from model.engines import load_engine
from model.engines.second_look import SecondLook, second_look_file
from model.second_look import Draws, Examples
from tools import calibrate
from tools.labelled.people import chosen_pairs, people_in
from tools.train_second_look import main

PX = 64

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return save_colour_network(tmp_path_factory.mktemp("saved"), PX, 6)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four recordings: a hero in a red top and dark trousers, and a stranger in dark clothes with red legs."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number in range(48):
        image, mask = np.full((PX, PX, 3), (30, 30, 220), np.uint8), np.full((PX, PX, 3), (255, 0, 0), np.uint8)
        for left, is_hero in ((8, True), (40, False)):
            red, dark = (int(rng.integers(180, 230)), 30, 20), (int(rng.integers(100, 120)), 60, 20)
            image[10:30, left : left + 12] = red if is_hero else dark
            image[30:50, left : left + 12] = dark if is_hero else red
            mask[10:50, left : left + 12] = (0, 0, 255) if is_hero else (0, 255, 0)
        save_pair(folder, f"r{number % 4:02}_{number:05}", image, mask)
    return folder


@pytest.fixture(scope="module")
def trained(network, data):
    held_out = ["--hold-out", "r02", "r03"]
    return main([str(network), "--data", str(data), *held_out, "--steps", "60"])


def test_it_tells_apart_who_is_the_same_to_the_network(trained, network, data):
    assert trained == 0
    about = json.loads(second_look_file(network).with_suffix(".json").read_text())
    assert (about["heroes"], about["others"], about["held_out"]) == (24, 24, ["r02", "r03"])
    ((folder, pairs),) = chosen_pairs([data], ["r02", "r03"])
    people = [*people_in(load_engine("openvino", network), folder, pairs)]
    likeness = SecondLook(second_look_file(network)).likeness(np.stack([person.crop for person in people]))
    truth = np.array([person.is_hero for person in people])
    assert likeness[truth].min() > likeness[~truth].max()


def test_nobody_uses_it_before_it_is_calibrated(trained, network, data):
    assert read_card(network).second_evidence is None
    assert calibrate.main([str(network), "--data", str(data), "--recordings", "r02", "r03"]) == 0
    second = read_card(network).second_evidence
    assert second is not None
    assert second.likeness > 0


@pytest.mark.parametrize("is_mirrored", [True, False])
def test_only_what_looks_the_same_in_a_mirror_is_mirrored(is_mirrored):
    height, width = CROP_PX
    crops = np.zeros((2, height, width, 4), np.uint8)
    crops[:, :, 4:8] = 255  # in the left half, however it is moved
    draws = Draws(Examples(crops, np.array([True, False]), np.zeros(2), np.zeros(2, int)), 0, is_mirrored)
    batch, _ = draws.batch()
    is_left = batch[..., 3][:, :, : width // 2].sum(axis=(1, 2)) > batch[..., 3][:, :, width // 2 :].sum(axis=(1, 2))
    assert set(is_left) == ({True, False} if is_mirrored else {True})


def test_a_folder_without_the_hero_is_refused_before_the_training(network, tmp_path, capsys):
    image, mask = np.full((PX, PX, 3), (30, 30, 220), np.uint8), np.full((PX, PX, 3), (255, 0, 0), np.uint8)
    image[10:50, 20:32], mask[10:50, 20:32] = (200, 30, 20), (0, 255, 0)
    save_pair(tmp_path, "r00_00000", image, mask)
    assert main([str(network), "--data", str(tmp_path)]) == 2
    complaint = (
        f"train_second_look: expected the network to see the hero and others in {tmp_path.name}, "
        "got 0 of the hero and 1 of others"
    )
    assert capsys.readouterr().err.splitlines()[-1] == complaint


def test_a_network_of_the_original_tools_is_refused_before_the_training(data, tmp_path, capsys):
    weights = tmp_path / "old"
    for file in (weights, tmp_path / "config_old"):
        file.write_text("{}")
    assert main([str(weights), "--data", str(data)]) == 2
    complaint = f"train_second_look: expected a network with a card, a .keras file, got {weights}"
    assert capsys.readouterr().err.splitlines()[-1] == complaint

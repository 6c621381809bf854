"""Averages of the weights of two small networks, with thresholds chosen on frames of a dataset folder."""

import json
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
from support.dataset import save_pair

from model.card import read_card
from model.hysteresis import Thresholds, thresholds_of, with_thresholds
from model.loading import load_network
from model.networks import build
from model.profile import hero_profile
from model.startup import INTERRUPTED
from tools import average as average_tool
from tools.average import main

PX = 32


@pytest.fixture
def data(tmp_path):
    """Two frames of recording r1, one of them with the hero, and one of r2."""
    for number, name in enumerate(("r1_00001", "r1_00002", "r2_00001")):
        image, mask = np.zeros((PX, PX, 3), np.uint8), np.full((PX, PX, 3), (255, 0, 0), np.uint8)
        if number != 1:
            mask[8:20, 8:20] = (0, 0, 255)
        save_pair(tmp_path / "data", name, image, mask)
    return tmp_path / "data"


@pytest.fixture
def save(tmp_path):
    """A function that saves a network of this name with weights of this seed, and a card."""

    def save(name, seed):
        keras.utils.set_random_seed(seed)
        folder = tmp_path / f"{name}-{seed}"
        folder.mkdir()
        build(name, PX).save(folder / "model_weights.keras")
        (folder / "model_weights.json").write_text(json.dumps({"network": name, "seed": seed}))
        return str(folder / "model_weights")

    return save


def test_each_weight_is_the_mean(save, data, tmp_path, capsys):
    one, other = save("fcn1", 1), save("fcn1", 2)
    out = tmp_path / "out"
    arguments = [one, other, "--out", str(out), "--data", str(data), "--recordings", "r1"]
    assert main(arguments) == 0
    averaged, *parts = (load_network(file) for file in (out / "model_weights.keras", one, other))
    for mean, first, second in zip(*(network.get_weights() for network in (averaged, *parts)), strict=True):
        np.testing.assert_allclose(mean, (first + second) / 2, rtol=1e-6)
    card = json.loads((out / "model_weights.json").read_bytes())
    assert card["thresholds"] == thresholds_of(averaged)._asdict()
    assert [each["seed"] for each in card["average_of"]] == [1, 2]
    assert card["command"].startswith(f"python tools/average.py {one} {other} --out")
    assert "missed" in capsys.readouterr().out
    score = card["validation_parts"]["held out"]
    assert (score["tp"] + score["fn"], score["without_hero"]) == (1, 1)  # the frames of r1 alone


def test_a_kill_while_scoring_leaves_no_weights_without_a_card(save, data, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(average_tool, "score_parts", killed)
    weights, out = [save("fcn1", seed) for seed in (1, 2)], tmp_path / "out"
    assert main([*weights, "--out", str(out), "--data", str(data)]) == INTERRUPTED
    assert list(out.iterdir()) == []
    monkeypatch.undo()
    assert main([*weights, "--out", str(out), "--data", str(data)]) == 0, "the same command begins again"


def test_the_average_follows_what_the_first_network_follows(save, data, tmp_path):
    weights = [save("fcn1", 1), save("fcn1", 2)]
    about = {"classes": ["surroundings", "people", "dog"], "profile": asdict(replace(hero_profile(), name="dog"))}
    (tmp_path / "fcn1-1" / "model_weights.json").write_text(json.dumps(about))
    assert main([*weights, "--out", str(tmp_path / "out"), "--data", str(data)]) == 0
    card = read_card(tmp_path / "out" / "model_weights.keras")
    assert (card.classes, card.profile.name) == (("surroundings", "people", "dog"), "dog")


def test_the_thresholds_of_the_first_network_are_kept(save, data, tmp_path):
    first = save("fcn1", 1)
    network = with_thresholds(load_network(f"{first}.keras"), Thresholds(1.5, 0.5))
    network.save(f"{first}.keras")
    arguments = [first, save("fcn1", 2), "--out", str(tmp_path / "out"), "--data", str(data), "--keep-thresholds"]
    assert main(arguments) == 0
    assert thresholds_of(load_network(tmp_path / "out" / "model_weights.keras")) == Thresholds(1.5, 0.5)


def test_thresholds_that_the_first_network_lacks_can_not_be_kept(save, data, tmp_path, capsys):
    weights = [save("fcn1", 1), save("fcn1", 2)]
    assert main([*weights, "--out", str(tmp_path / "out"), "--data", str(data), "--keep-thresholds"]) == 2
    assert "expected a network with two thresholds in" in capsys.readouterr().err


def test_a_folder_with_weights_is_not_overwritten(save, data, tmp_path, capsys):
    weights = [save("fcn1", 1), save("fcn1", 2)]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model_weights.keras").write_text("mine")
    assert main([*weights, "--out", str(tmp_path / "out"), "--data", str(data)]) == 2
    assert "expected a folder without model_weights.keras, got " in capsys.readouterr().err
    assert (tmp_path / "out" / "model_weights.keras").read_text() == "mine"


def test_networks_of_other_shapes_are_named(save, data, tmp_path, capsys):
    weights = [save("fcn1", 1), save("fcn2", 1)]
    assert main([*weights, "--out", str(tmp_path / "out"), "--data", str(data)]) == 2
    assert "expected the shapes of" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model_weights.keras").exists()

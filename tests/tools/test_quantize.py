"""Quantising a small network that takes red for the hero, and the bounds that int8 must keep."""

import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path

import keras
import nncf
import numpy as np
import openvino as ov
import pytest
from support.dataset import save_pair
from support.fake_engine import DOG
from support.networks import save_pixel_network

from model.card import card_file
from model.engines import load_engine, quantization
from model.engines.conversion import convert
from model.engines.second_look import second_look_files
from model.engines.shipped import shipped, shipped_folder
from model.scoring import HERO, HeroScore
from tools.quantize import main
from tools.shipping import quantizing
from tools.shipping.quantizing import Comparison, stage

PX = 32
RED, GREEN = (255, 0, 0), (0, 255, 0)

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    image = keras.Input((PX, PX, 3))
    positive = keras.layers.Conv2D(3, 1, activation="relu")  # colours from 0 to 2
    probabilities = keras.layers.Conv2D(3, 1, activation="softmax")
    model = keras.Model(image, probabilities(positive(image)))
    positive.set_weights([np.eye(3)[None, None], np.ones(3)])
    # Red counts 20 above the threshold for the hero: exp(20) : 1 where it is 2, 1 : exp(20) where it is 0.
    probabilities.set_weights([np.array([[[[0, 0, 20], [0, 0, 0], [0, 0, 0]]]]), np.array([0, -100, -20])])
    path = tmp_path_factory.mktemp("weights") / "network.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten frames a set, green with a red square, which is the hero, in every other one."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("train", "validation"):
        for number in range(10):
            image, mask = np.full((PX, PX, 3), GREEN, np.uint8), np.full((PX, PX, 3), (255, 0, 0), np.uint8)
            if number % 2:
                image[8:24, 8:24], mask[8:24, 8:24] = RED, (0, 0, 255)
            save_pair(folder, f"run_{number:05}", image, mask, name)
    return folder


def test_a_good_int8_network_is_shipped_with_its_scores_and_a_bad_one_is_not(network, data, capsys, monkeypatch):
    assert main([str(network), "--data", str(data)]) == 0
    assert "agreement on hero or none: 100.00% of 10 frames" in capsys.readouterr().out
    note = json.loads((shipped_folder(network, "int8") / "conversion.json").read_text())
    assert note["precision"] == "int8"
    assert "NNCF" in note["made_with"]
    assert note["how"]["calibration"] == f"10 evenly spread frames of {data.name}/train"
    assert note["how"]["validation"]["int8"]["tp"] == 5
    assert note["how"]["layers"] == "all but the last"
    assert "FakeQuantize" in (shipped_folder(network, "int8") / "network.xml").read_text()
    assert [file.name for file in (network.parent / "network.openvino").iterdir()] == ["int8"]

    engine = load_engine("openvino", network, "int8")
    assert engine.description.endswith("int8")
    frame = np.full((1, PX, PX, 3), RED, np.uint8)
    assert engine.infer(frame)[..., HERO].min() > 0.9

    monkeypatch.setattr(quantizing, "LEAST_AGREEMENT", 1.1)
    assert main([str(network), "--data", str(data)]) == 1
    assert "not kept" in capsys.readouterr().out
    assert shipped(network, "int8"), "the one before stays"


def test_a_handler_that_another_log_shares_keeps_its_level(network, data):
    logger, shared = logging.getLogger(nncf.__name__), logging.NullHandler()
    logger.addHandler(shared)
    try:
        assert main([str(network), "--data", str(data)]) == 0
    finally:
        logger.removeHandler(shared)
    assert shared.level == logging.NOTSET


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """A network that finds nobody, converted."""
    folder = tmp_path_factory.mktemp("blind")
    convert(save_pixel_network(folder, PX, np.zeros((1, 1, 3, 3)), np.array([20, 0, 0])), folder / "f32")
    return ov.Core().read_model(folder / "f32" / "network.xml")


def test_an_int8_network_that_answers_otherwise_misses_the_bounds_and_is_no_failure(
    network, data, blind, capsys, monkeypatch
):
    monkeypatch.setattr(quantization, "quantize", lambda *_: blind)
    assert main([str(network), "--data", str(data)]) == 1
    said = capsys.readouterr().out
    assert "agreement on hero or none: 50.00% of 10 frames" in said
    assert "the int8 network is not kept" in said


def test_one_that_misses_a_bound_is_quantised_again_with_its_outer_layers_in_float32(
    network, data, blind, tmp_path, capsys, monkeypatch
):
    copy = Path(shutil.copy(network, tmp_path))
    monkeypatch.setattr(quantization, "quantize", lambda exact, _, outer: blind if outer else exact)
    assert main([str(copy), "--data", str(data)]) == 0
    assert "agreement on hero or none: 100.00% of 10 frames" in capsys.readouterr().out
    how = json.loads((shipped_folder(copy, "int8") / "conversion.json").read_text())["how"]
    assert how["layers"] == "all but the first and the last two"


@pytest.mark.parametrize(("outer", "quantised"), [(True, [0, 1, 2, 3]), (False, [1, 2])])
def test_the_outer_layers_can_stay_in_float32(outer, quantised):
    layers = [keras.layers.Conv2D(3, 1, activation="relu") for _ in range(4)]
    model = keras.Sequential([keras.Input((PX, PX, 3)), *layers, keras.layers.Conv2D(3, 1, activation="softmax")])
    frame = np.random.default_rng(0).uniform(-1, 1, (1, PX, PX, 3)).astype(np.float32)
    result = quantization.quantize(ov.convert_model(model, input=frame.shape), [frame], outer)
    convolutions = [each for each in result.get_ordered_ops() if each.get_type_name() == "Convolution"]
    kernels = [each.input_value(1).get_node().get_type_name() for each in convolutions]
    assert [number for number, kind in enumerate(kernels) if kind != "Constant"] == quantised


@pytest.fixture
def of_two_targets(tmp_path):
    """A network to which red is the hero, blue a dog and green the surroundings."""
    kernel = np.zeros((1, 1, 3, 4))  # of red, green and blue, for surroundings, people, hero and dog
    kernel[0, 0, 0, 2], kernel[0, 0, 1, 0], kernel[0, 0, 2, 3] = 20, 20, 20
    network = save_pixel_network(tmp_path, PX, kernel, np.zeros(4))
    card = {"classes": ["surroundings", "people", "hero", "dog"], "more_targets": [{"profile": asdict(DOG)}]}
    card_file(network).write_text(json.dumps(card))
    return network


def test_of_several_targets_each_is_compared(of_two_targets, data, tmp_path, capsys):
    both = shutil.copytree(data, tmp_path / "both")
    image, mask = np.full((PX, PX, 3), GREEN, np.uint8), np.full((PX, PX, 3), (255, 0, 0), np.uint8)
    image[8:24, 8:24], mask[8:24, 8:24] = (0, 0, 255), (255, 255, 0)
    save_pair(both, "dog_00001", image, mask, "validation")
    assert main([str(of_two_targets), "--data", str(both)]) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line in ("hero", "dog")] == ["hero", "dog"]
    how = json.loads((shipped_folder(of_two_targets, "int8") / "conversion.json").read_text())["how"]
    assert how["validation"]["int8"]["tp"] == 5
    assert how["validation, dog"]["int8"]["tp"] == 1


def test_a_target_that_no_frame_shows_cannot_be_compared(of_two_targets, data, capsys):
    assert main([str(of_two_targets), "--data", str(data)]) == 2
    assert f"expected frames with the dog in {data / 'validation'}, to compare int8 with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("agreement", "quality_lost", "is_good"),
    [(0.99, 0.0, True), (0.989, 0.0, False), (1.0, 0.009, True), (1.0, 0.02, False), (1.0, -0.02, True)],
)
def test_the_bounds_are_on_agreement_and_on_quality(agreement, quality_lost, is_good):
    exact, quantised = (HeroScore(iou, 10, 0, 0) for iou in (0.7, 0.7 - quality_lost))  # all found: quality = IoU
    assert Comparison(exact, quantised, agreement, 100).is_good == is_good


def test_a_network_is_quantised_with_all_that_belongs_to_it(network, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "staged").mkdir()
    copy = Path(shutil.copy(network, tmp_path / "weights"))
    for file in (card_file(copy), *second_look_files(copy)):
        file.write_text("{}")
    staged = stage(copy, tmp_path / "staged")
    assert shipped(staged, "f32") is not None
    for file in (staged, card_file(staged), *second_look_files(staged)):
        assert file.read_bytes() == (copy.parent / file.name).read_bytes()

import json

import keras
import numpy as np
import pytest
from PIL import Image

from model.scoring import EVALUATION_SETS
from tools.evaluate import find_sets, main

RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture
def red_is_the_hero(tmp_path):
    """A network of 32 px that takes red for the hero and all else for surroundings."""
    image = keras.Input((32, 32, 3))
    probabilities = keras.layers.Conv2D(3, 1, activation="softmax", name="probabilities")
    network = keras.Model(image, probabilities(image))
    # Red counts 40 above the threshold for the hero: exp(40) : 1 where it is 1, 1 : exp(40) where it is −1.
    kernel = np.zeros((1, 1, 3, 3))
    kernel[0, 0, 0] = [0, 0, 40]
    probabilities.set_weights([kernel, np.array([0, -100, 0])])
    network.save(tmp_path / "network.keras")
    return tmp_path / "network"


@pytest.fixture
def data(tmp_path):
    """A dataset of one frame a set: a red square that is the hero near, nobody, a red square that is not far."""
    for name, colour, is_hero in zip(EVALUATION_SETS, (RED, GREEN, RED), (True, False, False), strict=True):
        folder = tmp_path / "data" / "sample_evaluation_data" / name
        image = np.full((32, 32, 3), GREEN, np.uint8)
        mask = np.full((32, 32, 3), (255, 0, 0), np.uint8)
        image[8:24, 8:24] = colour
        if is_hero:
            mask[8:24, 8:24] = (0, 0, 255)
        for kind, array, ending in (("images", image, "jpeg"), ("masks", mask, "png")):
            (folder / kind).mkdir(parents=True)
            Image.fromarray(array).save(folder / kind / f"0.{ending}", subsampling=0, quality=100)
    return tmp_path / "data"


def test_the_last_line_is_the_final_score_at_its_resolution(red_is_the_hero, data, capsys):
    assert main([str(red_is_the_hero), "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Hero IoU 1 near and 0 far; 1 right detection, 1 false alarm: (1 + 0)/2 · 1/2.
    assert lines[-1] == "final_score 0.2500 at 32 px"
    assert lines[1].split() == ["following_images", "1", "1.0000", "0.0000", "1.0000", "1", "0", "0"]
    assert [line.split()[0] for line in lines[1:4]] == list(EVALUATION_SETS)


def test_the_figures_come_as_json_too(red_is_the_hero, data, tmp_path):
    assert main([str(red_is_the_hero), "--data", str(data), "--json", str(tmp_path / "score.json")]) == 0
    figures = json.loads((tmp_path / "score.json").read_text())
    # Far, where the network sees a square of 16 × 16 px, all of it is surroundings.
    assert figures["patrol_with_targ"] == {"n": 1, "iou": [1 - 16**2 / 32**2, 0.0, 0.0], "tp": 0, "fp": 1, "fn": 0}
    assert (figures["weights"], figures["input_px"], figures["resolution_px"]) == ("network.keras", 32, 32)
    assert (figures["final_iou"], figures["weight"], figures["final_score"]) == (0.5, 0.5, 0.25)


@pytest.mark.parametrize("px", [160, 256])
def test_another_resolution_than_the_networks_may_be_scored_at(red_is_the_hero, data, capsys, px):
    assert main([str(red_is_the_hero), "--data", str(data), "--resolution", str(px)]) == 0
    name, score, *resolution = capsys.readouterr().out.splitlines()[-1].split()
    # The square's corners, between pixels, may fall to either side.
    assert (name, float(score), resolution) == ("final_score", pytest.approx(0.25, abs=0.001), ["at", str(px), "px"])


def test_the_folder_of_the_sets_may_be_given_itself(data):
    assert find_sets(data / "sample_evaluation_data") == find_sets(data)


@pytest.mark.parametrize("gone", ["data", "weights", "masks", "image"])
def test_what_is_missing_is_said_in_one_line(red_is_the_hero, data, capsys, gone):
    folder = data / "sample_evaluation_data" / "patrol_non_targ"
    if gone == "data":
        folder.rename(folder.with_name("elsewhere"))
    elif gone == "weights":
        red_is_the_hero.with_suffix(".keras").unlink()
    elif gone == "masks":
        (folder / "masks" / "0.png").unlink()
    else:
        (folder / "images" / "0.jpeg").write_bytes(b"not a JPEG")
    assert main([str(red_is_the_hero), "--data", str(data)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    reason = output.err.splitlines()[-1]
    assert reason.startswith("evaluate: ")
    assert str(red_is_the_hero if gone == "weights" else folder) in reason


def test_a_network_of_other_classes_is_refused(tmp_path, data, capsys):
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Conv2D(2, 1, activation="softmax")(image)).save(tmp_path / "two.keras")
    assert main([str(tmp_path / "two"), "--data", str(data)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "evaluate: expected a network with classes surroundings, people, hero, got 2"
    )


def test_the_legacy_network_scores_what_the_original_tools_gave_it(shared_dir, data_dir, tmp_path, capsys):
    weights, report = shared_dir / "legacy" / "model_weights", tmp_path / "score.json"
    assert main([str(weights), "--data", str(data_dir), "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    expected = json.loads((shared_dir / "legacy" / "expected.json").read_text())
    assert figures["resolution_px"] == expected["resolution_px"]
    assert figures["final_score"] == pytest.approx(expected["final_score"], abs=0.002)
    for name in EVALUATION_SETS:
        np.testing.assert_allclose(figures[name]["iou"], expected[name]["iou"], atol=0.002)
        # A JPEG decoder of another version may tip a frame or two.
        for count in ("tp", "fp", "fn"):
            assert figures[name][count] == pytest.approx(expected[name][count], abs=2)
    assert capsys.readouterr().out.splitlines()[-1].endswith(" at 160 px")

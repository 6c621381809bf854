import json
import shutil
import sys
from dataclasses import asdict

import keras
import numpy as np
import pytest
from PIL import Image
from support.networks import save_pixel_network

from model.analysis import THRESHOLDS_255
from model.evaluation import VALIDATION, evaluate
from model.profile import HERO_FILE, read_profile
from model.scoring import EVALUATION_SETS, PATROL_WITH, SetScore, final_score
from tools.evaluate import main

RED, GREEN = (255, 0, 0), (0, 255, 0)


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    # Red counts 40 above the threshold for the hero: exp(40) : 1 where it is 1, 1 : exp(40) where it is −1.
    kernel = np.zeros((1, 1, 3, 3))
    kernel[0, 0, 0] = [0, 0, 40]
    return save_pixel_network(tmp_path_factory.mktemp("saved"), 32, kernel, np.array([0, -100, 0]))


@pytest.fixture
def red_is_the_hero(saved, tmp_path):
    """A network of 32 px that takes red for the hero and all else for surroundings: one file, converted once."""
    shutil.copy(saved, tmp_path)
    return tmp_path / "network"


@pytest.fixture
def data(tmp_path):
    """A dataset of one frame a set: a red square that is the hero near, nobody, a red square that is not far."""
    for name, colour, is_hero in zip(EVALUATION_SETS, (RED, GREEN, RED), (True, False, False), strict=True):
        save_frame(tmp_path / "data" / "sample_evaluation_data" / name, 0, colour, is_hero)
    return tmp_path / "data"


def save_frame(folder, number, colour, is_hero):
    """Save a green frame of 32 px with a square of 16 px: its colour, and whether it is the hero."""
    image = np.full((32, 32, 3), GREEN, np.uint8)
    mask = np.full((32, 32, 3), (255, 0, 0), np.uint8)
    image[8:24, 8:24] = colour
    if is_hero:
        mask[8:24, 8:24] = (0, 0, 255)
    for kind, array, ending in (("images", image, "jpeg"), ("masks", mask, "png")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / kind / f"{number}.{ending}", subsampling=0, quality=100)


def test_the_last_line_is_the_final_score_at_its_resolution(red_is_the_hero, data, capsys):
    assert main([str(red_is_the_hero), "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Hero IoU 1 near and 0 far; 1 right detection, 1 false alarm: (1 + 0)/2 · 1/2.
    assert lines[-1] == "final_score 0.2500 at 32 px"
    assert lines[1].split() == ["following_images", "1", "1.0000", "0.0000", "1.0000", "1", "0", "0"]
    assert [line.split()[0] for line in lines[1:4]] == list(EVALUATION_SETS)
    assert lines[4].startswith("IoU: ")
    assert lines[4].endswith("see docs/glossary.md"), "the words of the table are explained under it"


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


@pytest.mark.parametrize("kind", ["image", "mask"])
@pytest.mark.parametrize("how", ["cut", "a bomb"])
def test_a_file_that_cannot_be_decoded_is_named(red_is_the_hero, data, capsys, kind, how):
    folder = data / "sample_evaluation_data" / "patrol_non_targ"
    file = folder / ("images/0.jpeg" if kind == "image" else "masks/0.png")
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-40])
        reason = ""
    else:
        Image.new("1", (5000, 5000)).save(file, "PNG")  # a few kilobytes
        reason = "5000×5000 pixels, more than 16,777,216"
    assert main([str(red_is_the_hero), "--data", str(data)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"evaluate: expected a whole JPEG or PNG in {file}, got: {reason}")


def test_a_mask_of_another_size_than_its_image_is_refused(red_is_the_hero, data, capsys):
    (mask,) = (data / "sample_evaluation_data" / PATROL_WITH / "masks").iterdir()
    with Image.open(mask) as whole:
        whole.resize((64, 32)).save(mask)
    assert main([str(red_is_the_hero), "--data", str(data)]) == 2
    reason = capsys.readouterr().err.splitlines()[-1]
    assert reason == f"evaluate: expected a mask of the image's size, 32×32, in {mask} for 0.jpeg, got 64×32"


def test_a_network_of_other_classes_is_refused(tmp_path, data, capsys):
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Conv2D(2, 1, activation="softmax")(image)).save(tmp_path / "two.keras")
    assert main([str(tmp_path / "two"), "--data", str(data)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"evaluate: expected a network with classes surroundings, people, hero, got 2 outputs in {tmp_path}/two.keras"
    )


def test_a_network_whose_card_names_other_classes_is_refused(red_is_the_hero, data, capsys):
    red_is_the_hero.with_suffix(".json").write_text(json.dumps({"classes": ["surroundings", "hero", "people"]}))
    assert main([str(red_is_the_hero), "--data", str(data)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "evaluate: expected a network with classes surroundings, people, hero, "
        f"got surroundings, hero, people in {red_is_the_hero}"
    )


def test_a_network_of_another_target_is_scored_by_its_own_classes(red_is_the_hero, data, capsys):
    profile = asdict(read_profile(HERO_FILE.with_name("dog.toml")))
    card = {"classes": ["surroundings", profile["others"], "dog"], "profile": profile}
    red_is_the_hero.with_suffix(".json").write_text(json.dumps(card))
    assert main([str(red_is_the_hero), "--data", str(data)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "final_score 0.2500 at 32 px"


def test_of_several_targets_one_is_scored_and_the_others_are_people_to_it(tmp_path, data, capsys):
    """Red is the hero and blue a dog, to the network and in the masks."""
    kernel = np.zeros((1, 1, 3, 4))
    kernel[0, 0, 0, 2] = kernel[0, 0, 2, 3] = 40
    network = save_pixel_network(tmp_path, 32, kernel, np.array([0, -100, 0, 0]))
    profile = asdict(read_profile(HERO_FILE.with_name("dog.toml")))
    classes = ["surroundings", "people", "hero", "dog"]
    network.with_suffix(".json").write_text(json.dumps({"classes": classes, "more_targets": [{"profile": profile}]}))
    blue, yellow = (0, 0, 255), (255, 255, 0)
    # The hero, a dog, and a dog that is missed.
    for number, (colour, is_hero) in enumerate([(RED, True), (blue, False), (GREEN, False)]):
        save_frame(data / VALIDATION, number, colour, is_hero)
        if not is_hero:
            mask = np.full((32, 32, 3), (255, 0, 0), np.uint8)
            mask[8:24, 8:24] = yellow
            Image.fromarray(mask).save(data / VALIDATION / "masks" / f"{number}.png")
    for target, row in (("hero", ["1", "0", "0"]), ("dog", ["1", "0", "1"])):
        report = tmp_path / target
        options = ["--set", "validation", "--target", target, "--report", str(report)]
        assert main([str(network), "--data", str(data), *options]) == 0
        assert capsys.readouterr().out.splitlines()[1].split()[-3:] == row
        assert (report / "confusion.png").exists()
    assert main([str(network), "--data", str(data), "--target", "cat"]) == 2
    assert "expected a target of the network (hero, dog), got cat" in capsys.readouterr().err


def test_what_lies_behind_the_score_comes_as_json(red_is_the_hero, data, tmp_path):
    # A second far frame: 256 px of a hero in green, which the network misses.
    save_frame(data / "sample_evaluation_data" / "patrol_with_targ", 1, GREEN, is_hero=True)
    assert main([str(red_is_the_hero), "--data", str(data), "--json", str(tmp_path / "score.json")]) == 0
    figures = json.loads((tmp_path / "score.json").read_text())
    # The near hero is no part of the recall by size.
    assert figures["recall_by_size"][-1] == {"from_px": 200, "below_px": None, "heroes": 1, "found": 0}
    assert sum(size["heroes"] for size in figures["recall_by_size"]) == 1
    # The network is sure, so that every threshold gives the same: of two heroes one found, and one false alarm.
    assert figures["thresholds_255"] == list(THRESHOLDS_255)
    assert figures["frames_above"] == {name: [1] * len(THRESHOLDS_255) for name in ("tp", "fp", "fn")}
    assert figures["pixels_above"] == {name: [16**2] * len(THRESHOLDS_255) for name in ("tp", "fp", "fn")}
    # Four frames of 1024 pixels, squares of 256: two heroes, of which one is found, and one square too many.
    assert figures["confusion"] == {
        "surroundings": {"surroundings": 4 * 1024 - 3 * 256, "people": 0, "hero": 256, "none": 0},
        "people": {"surroundings": 0, "people": 0, "hero": 0, "none": 0},
        "hero": {"surroundings": 256, "people": 0, "hero": 256, "none": 0},
    }
    image, sure = {"image": "0.jpeg", "found_px": 256}, {"probability": 1.0}
    assert figures["false_alarms"] == [image | sure | {"hero_px": 0, "hero_iou": 0.0}]
    assert figures["masks"] == [image | sure | {"hero_px": 256, "hero_iou": 1.0}]
    missed = {"image": "1.jpeg", "hero_px": 256, "found_px": 0, "probability": 0.0, "hero_iou": 0.0}
    assert figures["misses"] == [missed]
    assert figures["ms_per_frame"] > 0
    assert "blobs" not in figures  # thresholds are chosen on the validation set


def test_several_networks_come_in_one_table(red_is_the_hero, data, tmp_path, capsys):
    weights = [str(red_is_the_hero), str(red_is_the_hero.with_suffix(".keras"))]
    assert main([*weights, "--data", str(data), "--json", str(tmp_path / "scores.json")]) == 0
    header, *rows = capsys.readouterr().out.splitlines()[-3:]
    assert header.split() == (
        ["final_score", "IoU", "near", "IoU", "far", "false", "alarms", "missed", "ms/frame", "px", "network"]
    )
    for row in rows:
        score, near, far, false_alarms, missed, _, px, label = row.split()
        assert (score, near, far, false_alarms, missed) == ("0.2500", "1.0000", "0.0000", "1", "0")
        assert (px, label) == ("32", str(red_is_the_hero))
    assert [network["final_score"] for network in json.loads((tmp_path / "scores.json").read_text())] == [0.25, 0.25]


def test_the_validation_set_tells_which_thresholds_to_choose(red_is_the_hero, data, tmp_path, capsys):
    for number, (colour, is_hero) in enumerate([(RED, True), (RED, False), (GREEN, True), (GREEN, False)]):
        save_frame(data / VALIDATION, number, colour, is_hero)
    command = [str(red_is_the_hero), "--data", str(data), "--set", "validation", "--json", str(tmp_path / "score.json")]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["validation", "4"]
    # Hero IoU 1 and 0 where one is; of three detections or misses one is right.
    assert f"hero IoU 0.5000 (mean of frames with the hero) × share of correct detections {1 / 3:.4f}" in lines
    assert lines[-1] == f"quality {0.5 / 3:.4f} at 32 px"
    # tp, fp, fn and tp off the hero, for each of five sizes.
    assert lines[-2].split() == ["229", "(0.9)", *["1", "1", "1", "0"] * 5]
    figures = json.loads((tmp_path / "score.json").read_text())
    assert (figures["quality"], figures["hero_iou"]) == (pytest.approx(0.5 / 3), 0.5)
    assert len(figures["blobs"]) == 7 * 5
    assert figures["blobs"][0] == {"above_255": 76, "min_px": 3, "tp": 1, "fp": 1, "fn": 1, "off": 0}


def test_a_missing_validation_set_is_said_in_one_line(red_is_the_hero, data, capsys):
    assert main([str(red_is_the_hero), "--data", str(data), "--set", "validation"]) == 2
    assert capsys.readouterr().err == (
        f"evaluate: expected the set validation in {data}, found no {data / 'validation'}\n"
    )


def test_without_the_exam_the_option_for_the_validation_set_is_said(red_is_the_hero, tmp_path, capsys):
    save_frame(tmp_path / "validation", 0, RED, True)
    assert main([str(red_is_the_hero), "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"evaluate: expected the set following_images in {tmp_path}, found no {tmp_path / 'following_images'}; "
        f"to score {tmp_path / 'validation'}: --set validation\n"
    )


def test_a_report_draws_every_picture_of_all_networks(red_is_the_hero, data, tmp_path):
    (tmp_path / "same").mkdir()
    shutil.copy(red_is_the_hero.with_suffix(".keras"), tmp_path / "same")
    weights, folder = [str(red_is_the_hero), str(tmp_path / "same" / "network")], tmp_path / "new" / "report"
    assert main([*weights, "--data", str(data), "--report", str(folder)]) == 0
    sizes = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            picture.load()
            sizes[path.name] = picture.size
    # Sheets: a label of 34 px for each network, and a row of 240 px for its false alarm and its mask; none is missed.
    assert sizes == {
        "recall_by_size.png": (960, 600),
        "precision_recall.png": (1320, 660),
        "confusion.png": (1200, 456),
        "false_alarms.jpeg": (1242, 6 + 2 * 34 + 2 * 240),
        "misses.jpeg": (1242, 6 + 2 * 34),
        "masks.jpeg": (1242, 6 + 2 * 34 + 2 * 240),
    }


def test_without_a_report_matplotlib_is_not_needed(red_is_the_hero, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "model.report", raising=False)
    assert main([str(red_is_the_hero), "--data", str(data)]) == 0


def test_a_report_that_cannot_be_written_is_said_before_the_work(red_is_the_hero, data, tmp_path, capsys):
    (tmp_path / "report").write_text("a file")
    assert main([str(red_is_the_hero), "--data", str(data), "--report", str(tmp_path / "report")]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert str(tmp_path / "report") in output.err


@pytest.fixture
def published(shared_dir):
    """The scores that the original tools gave the legacy network."""
    return json.loads((shared_dir / "legacy" / "expected.json").read_text())


def test_the_legacy_network_scores_what_the_original_tools_gave_it(shared_dir, data_dir, published):
    # In this set the hero is far, at times hidden, at times absent: the smallest set with all kinds of right and wrong.
    folder = data_dir / "sample_evaluation_data" / PATROL_WITH
    evaluation = evaluate(shared_dir / "legacy" / "model_weights", {PATROL_WITH: folder}, "native")
    assert evaluation.px == published["resolution_px"]
    score, expected = evaluation.sets[PATROL_WITH], published[PATROL_WITH]
    np.testing.assert_allclose(score.iou, expected["iou"], atol=0.002)
    # A JPEG decoder of another version may change the result of a frame or two.
    for count in ("tp", "fp", "fn"):
        assert getattr(score, count) == pytest.approx(expected[count], abs=2)


def test_the_published_final_score_follows_from_the_published_scores_of_the_sets(published):
    final = final_score({name: SetScore(n=1, **published[name]) for name in EVALUATION_SETS})
    assert final == pytest.approx([published[name] for name in ("final_iou", "weight", "final_score")], abs=1e-4)

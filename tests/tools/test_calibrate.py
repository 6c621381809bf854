"""A calibration from a dataset folder to the card, of a small network whose output says how red somebody is."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image
from support.dataset import save_pair
from support.networks import save_colour_network, save_pixel_network

from model.card import read_card
from model.crops import CROP_PX
from model.evidence import Doubt, Evidence, Looks
from model.pair_files import list_pairs
from model.profile import hero_profile
from tools.calibrate import main
from tools.labelled import calibrating
from tools.labelled.people import people_in

PX = 64
FLOOR = (30, 30, 220)

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    # Margins of 2 · (red − green), and more for blue.
    return save_colour_network(tmp_path_factory.mktemp("saved"), PX, 2)


@pytest.fixture
def network(saved, tmp_path):
    shutil.copy(saved, tmp_path)
    return tmp_path / "network"


def save_frame(folder, name, *people):
    """A frame of `PX` px in the dataset's layout; people are (left column, colour, whether it is the hero)."""
    image, mask = np.full((PX, PX, 3), FLOOR, np.uint8), np.full((PX, PX, 3), (255, 0, 0), np.uint8)
    for left, colour, is_hero in people:
        image[10:40, left : left + 10] = colour
        mask[10:40, left : left + 10] = (0, 0, 255) if is_hero else (0, 255, 0)
    save_pair(folder, name, image, mask)


@pytest.fixture
def data(tmp_path):
    """Eight recordings of ten frames: two strangers in each and the hero in every other one.

    Heroes are red and strangers green, except one in ten of each, who has the other colour.
    """
    rng = np.random.default_rng(0)

    def colour(is_red: bool) -> tuple[int, int, int]:
        bright = int(rng.integers(150, 220))
        return (bright, 40, 20) if is_red else (40, bright, 20)

    for number in range(80):
        people = [(left, colour(rng.random() < 0.1), False) for left in (5, 25)]
        if number % 2:
            people.append((45, colour(rng.random() < 0.9), True))
        save_frame(tmp_path / "data", f"r{number % 8:02}_{number:05}", *people)
    return tmp_path / "data"


def calibrated(network, data, *options):
    return main([str(network), "--data", str(data), *map(str, options)])


def test_the_fit_is_kept_on_the_card_with_what_it_is_made_of(network, data, capsys):
    assert calibrated(network, data) == 0
    content = json.loads(network.with_suffix(".json").read_text())
    assert read_card(network.with_suffix(".keras")).evidence == Evidence(**content["evidence"]) != Evidence()
    assert read_card(network.with_suffix(".keras")).doubt == Doubt(**content["doubt"])
    # Colours of 185 and 40: 1 / (1 + e^-2.27) = 0.906 of the hero, less at the edges.
    assert 0.094 < content["doubt"]["near"] < 0.2
    assert content["doubt"]["per_m"] == Doubt().per_m, "nobody was far away"
    about = content["calibration"]
    assert about["recordings"] == [f"data/r{number:02}" for number in range(8)]
    assert (about["heroes"], about["others"]) == (40, 160)
    assert 0 < about["held_out_log_loss"] < 0.5, "0.5 is that of a quarter of heroes without any evidence"
    printed = capsys.readouterr()
    header, *lines, loss, last = printed.out.splitlines()
    assert header.split() == ["evidence", "observed", "hero", "others"]
    counts = np.array([line.split()[2:] for line in lines], int)
    assert counts.sum(axis=0).tolist() == [40, 160]
    assert loss.startswith(f"held-out log loss: {about['held_out_log_loss']:.4f}; without evidence: 0.5004")
    assert last.startswith(f"{network.with_suffix('.json')}: Fitted(first=Evidence(constant=")
    assert "note: few examples: 40 heroes, 160 others; a reliable fit needs 60 of each\n" in printed.err


def test_the_evidence_is_as_strong_as_the_looks_are_reliable(network, data):
    """Nine in ten who look like the hero are the hero, and one in ten of the others: e^2.2 either way."""
    calibrated(network, data)
    evidence = read_card(network.with_suffix(".keras")).evidence
    # Colours of 185 and 40: margins of 2 · 145 / 127.5, lumas of 81 and 123.
    red, green = (Looks(margin, margin, 30 * 10 * 16.0, luma) for margin, luma in ((2.27, 81.0), (-2.27, 123.0)))
    assert 1.4 < evidence.of(red) < 3.2
    assert -3.2 < evidence.of(green) < -1.4


def test_what_the_card_says_else_is_kept(network, data):
    card = network.with_suffix(".json")
    card.write_text(json.dumps({"network": "tiny", "min_blob_px": 5, "evidence": {"largest": 2.0}}))
    assert calibrated(network, data) == 0
    content = json.loads(card.read_text())
    assert (content["network"], content["min_blob_px"], content["evidence"]["largest"]) == ("tiny", 5, 5.0)
    files = {file.name for file in card.parent.iterdir() if file.is_file()}
    assert files == {"network.json", "network.keras"}, "nothing is left beside them"


def test_the_same_data_gives_the_same_card(network, data):
    card = network.with_suffix(".json")
    calibrated(network, data)
    first = card.read_text()
    calibrated(network, data)
    assert card.read_text() == first


def test_some_recordings_may_be_chosen(network, data):
    assert calibrated(network, data, "--recordings", "r01", "r03") == 0
    about = json.loads(network.with_suffix(".json").read_text())["calibration"]
    assert about["recordings"] == ["data/r01", "data/r03"]
    assert about["heroes"] + about["others"] == 60


def test_a_diagram_is_drawn_on_request(network, data, tmp_path):
    assert calibrated(network, data, "--plot", tmp_path / "reliability.png") == 0
    with Image.open(tmp_path / "reliability.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("who", ["nobody", "only the hero", "only others"])
def test_a_dataset_that_does_not_show_both_is_refused_and_the_card_stays(network, tmp_path, capsys, who):
    for number in range(4):
        people = {"nobody": [], "only the hero": [(5, (200, 40, 20), True)], "only others": [(5, (40, 200, 20), False)]}
        save_frame(tmp_path / "data", f"r01_{number:05}", *people[who])
    card = network.with_suffix(".json")
    card.write_text('{"min_blob_px": 5}')
    assert calibrated(network, tmp_path / "data") == 2
    heroes, all_of_them = {"nobody": (0, 0), "only the hero": (4, 4), "only others": (0, 4)}[who]
    complaint = f"calibrate: expected examples of the hero and of others, got {heroes} of {all_of_them} of the hero"
    assert capsys.readouterr().err.splitlines()[-1] == complaint
    assert card.read_text() == '{"min_blob_px": 5}'


def test_a_diagram_that_is_no_png_is_refused_before_the_card_is_written(network, data, tmp_path, capsys):
    assert main([str(network), "--data", str(data), "--plot", str(tmp_path / "diagram.xyz")]) == 2
    assert capsys.readouterr().err.startswith("calibrate: expected the name of a PNG, which ends in .png, got ")
    assert not network.with_suffix(".json").exists()


def test_a_network_of_the_original_tools_has_no_card_to_write(shared_dir, data, capsys):
    weights = shared_dir / "legacy" / "model_weights"
    assert calibrated(weights, data) == 2
    complaint = f"calibrate: expected a network with a card, a .keras file, got {weights}"
    assert capsys.readouterr().err.splitlines()[-1] == complaint


def test_a_card_that_makes_no_sense_is_refused_by_its_name(network, data, capsys):
    card = network.with_suffix(".json")
    card.write_text("[]")
    assert calibrated(network, data) == 2
    assert capsys.readouterr().err.startswith(f"calibrate: expected a network's card in {card}, got: a JSON value of")
    assert card.read_text() == "[]"


DOG = {**asdict(hero_profile()), "name": "dog", "others": "people"}
RED, GREEN, YELLOW = (200, 40, 20), (40, 200, 20), (200, 200, 20)


@pytest.fixture
def of_two_targets(tmp_path):
    """A network to which red is the hero, yellow a dog and green somebody else."""
    kernel = np.zeros((1, 1, 3, 4))  # of red, green and blue, for surroundings, people, hero and dog
    kernel[0, 0, 2, 0], kernel[0, 0, 1, 1], kernel[0, 0, 0, 2], kernel[0, 0, :2, 3] = 20, 2, 2, 4
    network = save_pixel_network(tmp_path, PX, kernel, np.array([0, 0, 0, -1.0]))
    classes = ["surroundings", "people", "hero", "dog"]
    card = {"classes": classes, "evidence": {"largest": 4.0}, "more_targets": [{"profile": DOG}]}
    network.with_suffix(".json").write_text(json.dumps(card))
    return network.with_suffix("")


def save_two_targets(folder):
    """Eight recordings of five frames: a stranger in each frame, the hero in each, and a dog in all but eight."""
    for number in range(40):
        name = f"r{number % 8:02}_{number:05}"
        people = [(5, GREEN, False), (25, RED, True)]
        save_frame(folder, name, *people)
        if number < 32:
            for kind, ending, colour in (("images", "jpeg", YELLOW), ("masks", "png", (255, 255, 0))):
                file = folder / "train" / kind / f"{name}.{ending}"
                with Image.open(file) as opened:
                    pixels = np.array(opened)
                pixels[10:40, 45:55] = colour
                Image.fromarray(pixels).save(file, quality=100, subsampling=0)


def test_each_target_has_its_own_evidence_to_which_the_other_is_somebody_else(of_two_targets, tmp_path):
    save_two_targets(tmp_path / "data")
    assert calibrated(of_two_targets, tmp_path / "data", "--target", "dog") == 0
    content = json.loads(of_two_targets.with_suffix(".json").read_text())
    (dog,) = content["more_targets"]
    assert (dog["calibration"]["heroes"], dog["calibration"]["others"]) == (32, 80)
    assert content["evidence"] == {"largest": 4.0}, "that of the hero stays"
    card = read_card(of_two_targets.with_suffix(".keras"))
    assert card.following("dog").evidence == Evidence(**dog["evidence"]) != Evidence()
    assert calibrated(of_two_targets, tmp_path / "data") == 0
    content = json.loads(of_two_targets.with_suffix(".json").read_text())
    assert (content["calibration"]["heroes"], content["calibration"]["others"]) == (40, 72)
    assert content["more_targets"] == [dog], "that of the dog stays"


def test_targets_may_be_calibrated_at_the_same_time(of_two_targets, tmp_path, monkeypatch):
    save_two_targets(tmp_path / "data")
    held_out = calibrating.held_out

    def after_the_dog(*arguments, **options):
        monkeypatch.setattr(calibrating, "held_out", held_out)
        assert calibrated(of_two_targets, tmp_path / "data", "--target", "dog") == 0
        return held_out(*arguments, **options)

    monkeypatch.setattr(calibrating, "held_out", after_the_dog)
    assert calibrated(of_two_targets, tmp_path / "data") == 0
    content = json.loads(of_two_targets.with_suffix(".json").read_text())
    heroes = [each["calibration"]["heroes"] for each in (content, *content["more_targets"])]
    assert heroes == [40, 32]


def test_a_target_that_the_network_does_not_know_and_lookalikes_of_a_further_one_are_refused(
    of_two_targets, tmp_path, capsys
):
    save_two_targets(tmp_path / "data")
    data = tmp_path / "data"
    assert calibrated(of_two_targets, data, "--target", "cat") == 2
    assert capsys.readouterr().err == "calibrate: expected a target of the network (hero, dog), got cat\n"
    assert calibrated(of_two_targets, data, "--target", "dog", "--similar", data) == 2
    assert "expected no lookalikes of the dog, which has no second look" in capsys.readouterr().err


def test_masks_of_more_targets_than_the_network_has_are_refused(network, tmp_path, capsys):
    save_two_targets(tmp_path / "data")
    assert calibrated(network, tmp_path / "data") == 2
    assert "expected exactly one class per pixel (one channel 255, the others 0) in" in capsys.readouterr().err


class RedEngine:
    """Takes everything that is not blue for a person, half the hero."""

    def __init__(self, card) -> None:
        self.input_px, self.card = PX, card

    def infer(self, images: np.ndarray) -> np.ndarray:
        person = images[..., 2] < 100
        return np.stack([~person, person / 2, person / 2], axis=-1).astype(np.float32)


def test_parts_with_a_small_hero_share_are_no_examples(network, tmp_path):
    """If the hero shares a part with others, the hero's share decides; with a small share, the part is no example."""
    data = tmp_path / "shared"
    red, green = (200, 40, 20), (40, 200, 20)
    save_frame(data, "r01_00001", (10, red, True), (40, green, False))
    save_frame(data, "r01_00002", (10, red, True), (20, green, False))  # 10 columns each, one part
    save_frame(data, "r01_00003", (10, red, True), (17, green, False))  # 7 of the hero's and 10 of another's
    pairs = list_pairs(data / "train")
    engine = RedEngine(read_card(network.with_suffix(".keras")))
    by_frame = [[person.is_hero for person in people_in(engine, "shared", [pair])] for pair in pairs]
    assert sorted(by_frame[0]) == [False, True]
    assert by_frame[1:] == [[True], []]
    (person, *_) = people_in(engine, "shared", pairs)
    assert person.recording == "shared/r01"
    assert person.looks.mean_margin == pytest.approx(0.0)
    assert person.looks.area_px == pytest.approx(300 * 16)  # of 64 px in 256
    height, width = CROP_PX
    assert person.crop[height // 2, width // 2].tolist() == pytest.approx([*red, 255], abs=3)


class KnowingEngine(RedEngine):
    """Takes red for the hero and green for others."""

    def infer(self, images: np.ndarray) -> np.ndarray:
        hero, other = images[..., 0] > 100, images[..., 1] > 100
        return np.stack([~(hero | other), other, hero], axis=-1).astype(np.float32)


@pytest.mark.parametrize(("is_upright", "heroes"), [(True, [False, True]), (False, [True])])
def test_those_who_stand_side_by_side_are_two_examples_as_they_are_two_people_to_the_server(
    network, tmp_path, is_upright, heroes
):
    data = tmp_path / "side"
    save_frame(data, "r01_00001", (10, (200, 40, 20), True), (20, (40, 200, 20), False))
    card = read_card(network.with_suffix(".keras"))
    engine = KnowingEngine(replace(card, profile=replace(card.profile, is_upright=is_upright)))
    people = [*people_in(engine, "side", list_pairs(data / "train"))]
    assert sorted(person.is_hero for person in people) == heroes

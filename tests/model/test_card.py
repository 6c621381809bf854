import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from model.card import Card, read_card
from model.evidence import Doubt, Evidence
from model.profile import hero_profile
from model.scoring import CLASSES

PROFILE = asdict(hero_profile())


@pytest.fixture
def weights(tmp_path):
    return tmp_path / "model_weights.keras"


def write(weights, content):
    weights.with_suffix(".json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_weights_without_a_card_run_as_the_originals_did(weights):
    assert read_card(weights) == Card(CLASSES, None, 127.5, 127.5, 127, 8, Evidence())


def test_a_card_says_how_to_run_a_network_and_may_tell_more(weights):
    said = {"input_px": 256, "mean": 0, "scale": 255, "hero_threshold_255": 150, "min_blob_px": 6}
    write(weights, {"classes": ["surroundings", "hero"], "network": "fpn", "evaluation": {}, **said})
    assert read_card(weights) == Card(("surroundings", "hero"), 256, 0, 255, 150, 6)


@pytest.mark.parametrize(
    ("classes", "hero", "others"),
    [(CLASSES, 2, [1]), (("surroundings", "hero"), 1, []), (("surroundings", "child", "hero", "adult"), 2, [1, 3])],
)
def test_a_card_says_in_which_channels_the_hero_and_others_are(classes, hero, others):
    card = Card(classes)
    assert (card.hero, card.others) == (hero, others)


def test_a_card_says_what_its_networks_output_is_worth(weights):
    said = {"constant": -0.5, "mean_margin": 0.2, "strongest_margin": 1, "log_area": 0.3, "log_brightness": -1.0}
    write(weights, {"evidence": {**said, "mean_margin_by_log_brightness": 0.1, "largest": 5}, "calibration": {}})
    assert read_card(weights).evidence == Evidence(-0.5, 0.2, 1.0, 0.3, -1.0, 0.1, largest=5.0)


def test_weights_of_the_evidence_that_a_card_leaves_out_are_the_defaults(weights):
    write(weights, {"evidence": {"largest": 4.0}})
    assert read_card(weights).evidence == Evidence(largest=4.0)


def test_a_card_says_what_its_target_is_like_and_which_class_that_is(weights):
    classes = ["surroundings", "dogs", "dog"]
    write(weights, {"classes": classes, "profile": {**PROFILE, "name": "dog", "others": "dogs", "height_m": 0.6}})
    card = read_card(weights)
    assert card.profile == replace(hero_profile(), name="dog", others="dogs", height_m=0.6)
    assert (card.hero, card.others) == (2, [1])


DOG = {**PROFILE, "name": "dog", "others": "people", "height_m": 0.6}
SEVERAL = {
    "classes": [*CLASSES, "dog"],
    "evidence": {"largest": 5.0},
    "second_evidence": {"largest": 4.0},
    "more_targets": [{"profile": DOG, "evidence": {"largest": 2.0}}],
}


def test_a_card_with_several_targets_follows_the_one_it_names_first_and_takes_the_others_for_others(weights):
    write(weights, SEVERAL)
    card = read_card(weights)
    assert (card.profile, card.evidence, card.second_evidence) == (
        hero_profile(),
        Evidence(largest=5.0),
        Evidence(largest=4.0),
    )
    assert (card.hero, card.others, card.targets) == (2, [1, 3], ("hero", "dog"))
    assert card.following(None) is card
    assert card.following("hero") is card


def test_a_card_that_follows_another_of_its_targets_has_its_profile_and_its_evidence(weights):
    write(weights, SEVERAL)
    first = read_card(weights)
    dog = first.following("dog")
    assert (dog.profile.height_m, dog.evidence, dog.second_evidence) == (0.6, Evidence(largest=2.0), None)
    assert (dog.hero, dog.others, dog.targets) == (3, [1, 2], ("hero", "dog"))
    assert dog.following("hero") == first


def test_a_target_without_evidence_has_that_of_networks_without_a_calibration(weights):
    write(weights, {**SEVERAL, "more_targets": [{"profile": DOG}]})
    assert read_card(weights).following("dog").evidence == Evidence()


def test_a_target_that_the_network_does_not_know_is_refused_with_those_that_it_knows(weights):
    write(weights, SEVERAL)
    with pytest.raises(ValueError, match=r"^expected a target of the network \(hero, dog\), got people$"):
        read_card(weights).following("people")


def test_the_doubt_of_a_former_card_is_taken_out_of_its_profile(weights):
    former = {**PROFILE, "near_doubt": 0.05, "doubt_per_m": 0.002}
    write(weights, {"profile": former})
    assert read_card(weights) == replace(Card(), doubt=Doubt(0.05, 0.002))
    write(weights, {"profile": former, "doubt": {"near": 0.3, "per_m": 0.0}})
    assert read_card(weights).doubt == Doubt(0.3, 0.0), "its own is the newer one"
    write(weights, {**SEVERAL, "more_targets": [{"profile": {**DOG, "near_doubt": 0.5, "doubt_per_m": 0.1}}]})
    card = read_card(weights)
    assert (card.doubt, card.following("dog").doubt) == (Doubt(), Doubt(0.5, 0.1))
    assert card.following("dog").following("hero").doubt == Doubt()


def test_the_target_of_a_card_without_a_profile_is_the_hero(weights):
    write(weights, {"input_px": 160})
    assert read_card(weights).profile == hero_profile()


def test_what_a_card_leaves_out_is_as_without_one(weights):
    write(weights, {"input_px": 160})
    assert read_card(weights) == Card(input_px=160)


def test_the_original_tools_wrote_no_cards(tmp_path):
    write(tmp_path / "model_weights.keras", {"input_px": 96})
    assert read_card(tmp_path / "model_weights") == Card()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"classes": ["people", "surroundings"]}, "classes must contain hero once, got people, surroundings"),
        ({"classes": ["hero", "hero"]}, "classes must contain hero once, got hero, hero"),
        (
            {"classes": ["hero", "people", "surroundings"]},
            "the first of classes must be surroundings, got hero, people, surroundings",
        ),
        ({"classes": []}, "classes must contain hero once, got "),
        (
            {"classes": ["surroundings", "hero", "a\x1b[2J\nb"]},
            "classes must have printable names of 1 to 40 characters,",
        ),
        ({"classes": ["surroundings", "hero", ""]}, "classes must have printable names of 1 to 40 characters, got ''"),
        ({"classes": ["surroundings", "hero", "x" * 41]}, "classes must have printable names of 1 to 40 characters,"),
        ({"classes": ["surroundings", "hero", *["x"] * 300]}, "classes must be at most 256, got 302"),
        ({"input_px": 0}, "input_px must be 1 to 2048, got 0"),
        ({"input_px": 2**70}, "input_px must be 1 to 2048, got 1180591620717411303424"),
        ({"scale": 0}, "scale must be 0.01 to 10000, got 0"),
        ({"scale": 1e308}, "scale must be 0.01 to 10000, got 1e+308"),
        ({"scale": 1e-308}, "scale must be 0.01 to 10000, got 1e-308"),
        ({"mean": -1}, "mean must be 0 to 255, got -1"),
        ({"hero_threshold_255": 255}, "hero_threshold_255 must be 0 to 254, got 255"),
        ({"min_blob_px": 0}, "min_blob_px must be 1 to 10000, got 0"),
        ({"min_blob_px": 10_001}, "min_blob_px must be 1 to 10000, got 10001"),
        ({"min_blob_px": "many"}, "Expected `int`, got `str` - at `$.min_blob_px`"),
        ({"min_blob_px": 6.5}, "Expected `int`, got `float` - at `$.min_blob_px`"),
        ({"evidence": None}, "Expected `object`, got `null` - at `$.evidence`"),
        ({"evidence": {"mean_margin": "much"}}, "Expected `float`, got `str` - at `$.evidence.mean_margin`"),
        ({"evidence": {"largest": 0}}, "the largest evidence must be in (0, 20], got 0"),
        ({"evidence": {"constant": math.nan}}, "evidence must have finite weights, got (nan, "),
        ({"classes": 3}, "Expected `array`, got `int` - at `$.classes`"),
        ({"classes": ["hero", 3]}, "Expected `str`, got `int` - at `$.classes[1]`"),
        ({"profile": None}, "expected a profile, a table of values, got NoneType"),
        ({"profile": {}}, "expected name in a profile, got none"),
        ({"doubt": {"near": 1.5}}, "doubt must have values of 0 to 1, got (1.5, 0.01)"),
        ({"profile": {**PROFILE, "near_doubt": "much"}}, "Expected `float`, got `str` - at `$.doubt.near`"),
        ({"profile": {**PROFILE, "name": "dog"}}, "classes must contain dog once, got surroundings, people, hero"),
        ({"more_targets": {}}, "Expected `array`, got `object` - at `$.more_targets`"),
        ({"more_targets": [DOG]}, "Object missing required field `profile` - at `$.more_targets[0]`"),
        ({"more_targets": [{"profile": {**DOG, "wings": 2}}]}, "expected values of a profile (name, others, height_m,"),
        ({"more_targets": [{"profile": DOG}]}, "classes must contain dog once, got surroundings, people, hero"),
        ({"more_targets": [{"profile": PROFILE}]}, "targets must have different names, got hero, hero"),
        ("[]", "a JSON value of type list, not an object"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        ("{", "Expecting property name"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused_in_one_line_that_names_it(weights, content, reason):
    write(weights, content)
    with pytest.raises(ValueError) as caught:
        read_card(weights)
    assert str(caught.value).startswith(f"expected a network's card in {weights.with_suffix('.json')}, got: {reason}")
    assert "\n" not in str(caught.value)


def test_a_scale_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"scale must be 0\.01 to 10000, got nan"):
        Card(scale=math.nan)


def test_the_shipped_weights_cards_make_sense():
    folder = Path(__file__).resolve().parents[2] / "weights"
    cards = [read_card(file) for file in folder.glob("*.keras")]
    assert cards
    assert all(card.input_px for card in cards)


def test_the_shipped_networks_card_is_calibrated():
    card = read_card(Path(__file__).resolve().parents[2] / "weights" / "model_weights.keras")
    assert card.evidence != Evidence()

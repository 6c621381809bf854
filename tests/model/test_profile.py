"""Profiles of targets as people write them."""

from dataclasses import asdict, fields

import pytest

from model.profile import HERO_FILE, MOTION, Profile, hero_profile, profile_of, read_profile

HERO = asdict(hero_profile())


def test_the_heros_profile_is_read_from_its_file_and_told_in_a_line():
    assert read_profile(HERO_FILE) == hero_profile()
    assert str(hero_profile()) == "hero, 1.75 m high, 0.5 m deep, upright, up to 8 m/s; others: people"


@pytest.mark.parametrize("file", sorted(HERO_FILE.parent.glob("*.toml")), ids=lambda file: file.stem)
def test_each_profile_here_can_be_read(file):
    assert read_profile(file).name == file.stem


def test_what_a_user_may_set_with_the_tracker_is_in_a_profile():
    assert set(MOTION) <= {field.name for field in fields(Profile)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "expected name of 1 to 40 printable characters, got ''"),
        ({"name": "a\x1b[2J"}, "expected name of 1 to 40 printable characters, got"),
        ({"others": "x" * 41}, "expected others of 1 to 40 printable characters, got"),
        ({"others": "hero"}, "expected a name, a name of others, and neither of them surroundings, got hero, hero"),
        ({"name": "surroundings"}, "expected a name, a name of others, and neither of them surroundings, got sur"),
        ({"height_m": 175}, "expected height_m of 0.02 to 50, got 175"),
        ({"height_m": float("nan")}, "expected height_m of 0.02 to 50, got nan"),
        ({"max_speed_mps": 0}, "expected max_speed_mps of 0.001 to 1000, got 0"),
        ({"pasted_stretch": 2.5}, "expected pasted_stretch of 0 to 2, got 2.5"),
        ({"marker_m": [0.7, 0.7, -2]}, "expected marker_m of 0.01 to 500, got -2"),
        ({"marker_m": [0.7, 0.7]}, "Expected `array` of length 3, got 2 - at `$.marker_m`"),
        ({"pasted_px": [150, 9]}, "expected pasted_px from the smallest to the largest, got [150.0, 9.0]"),
        ({"height_m": "tall"}, "Expected `float`, got `str` - at `$.height_m`"),
        ({"height_m": True}, "Expected `float`, got `bool` - at `$.height_m`"),
        ({"is_upright": 1}, "Expected `bool`, got `int` - at `$.is_upright`"),
        ({"colour": "red"}, "expected values of a profile (name, others, height_m, "),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_in_one_line(change, message):
    with pytest.raises(ValueError) as told:
        profile_of(HERO | change)
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("key", HERO)
def test_each_value_must_be_there(key):
    with pytest.raises(ValueError, match=f"expected {key} in a profile, got none"):
        profile_of({name: value for name, value in HERO.items() if name != key})


def test_a_misspelt_value_is_named():
    misspelt = {"heigth_m" if name == "height_m" else name: value for name, value in HERO.items()}
    with pytest.raises(ValueError, match="expected height_m in a profile, got none but the unknown heigth_m"):
        profile_of(misspelt)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("height_m 1", "Expected '=' after a key"),
        ('name = "dog"', "expected others in a profile, got none"),
        ("\udcff", "can't decode byte"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_profile_is_refused_by_its_name(tmp_path, text, message):
    file = tmp_path / "dog.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=rf"dog\.toml: .*{message}"):
        read_profile(file)

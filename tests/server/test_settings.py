import math
from dataclasses import replace
from pathlib import Path

import pytest

from model.profile import hero_profile
from server.settings import OWN, Settings, TrackerConfig, read_tracker, tracker_for


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"port": 99999}, "expected --port from 0 to 65535, got 99999"),
        ({"host": ""}, "expected --host with an address or a name, got ''"),
        ({"host": " \t"}, r"expected --host with an address or a name, got ' \\t'"),
        ({"host": "a\x1b[2J"}, r"expected --host with an address or a name, got 'a\\x1b\[2J'"),
        ({"host": "ä..ö"}, "expected --host with an address or a name, got 'ä..ö': .*label empty"),
        ({"host": "a" * 70}, "expected --host with an address or a name, got 'a+': .*label too long"),
        ({"host": "\udcff"}, r"expected --host with an address or a name, got '\\udcff'"),
        (
            {"allow_host": ("good", "follow-me:4567")},
            "expected --allow-host with a name without .* port, got 'follow-me:4567'",
        ),
        ({"allow_host": ("http://follow-me",)}, "expected --allow-host with a name without scheme"),
        ({"allow_host": ("*",)}, r"expected --allow-host with a name .*, got '\*'"),
        ({"allow_host": ("",)}, "expected --allow-host with a name .*, got ''"),
        ({"watchdog_s": 9}, "expected --watchdog-s above 0, at most 3, got 9"),
        ({"min_blob_px": -1}, "expected --min-blob-px from 0 to 10000, got -1"),
        ({"min_blob_px": 10_001}, "expected --min-blob-px from 0 to 10000, got 10001"),
        ({"vertical_fov_deg": 180.0}, "expected --vertical-fov-deg from 1 to 179, got 180.0"),
        ({"fronts": 0}, "expected --fronts from 1 to 64, got 0"),
        ({"fronts": 65}, "expected --fronts from 1 to 64, got 65"),
        ({"fronts": 2, "port": 0}, "expected --port from 1 to 65533 with 2 fronts, got 0"),
        ({"fronts": 2, "port": 65534}, "expected --port from 1 to 65533 with 2 fronts, got 65534"),
        ({"fronts": 2, "foxglove": 8765}, "expected --foxglove without --fronts, got both"),
        ({"depth_far_m": 0.0}, "expected --depth-far-m from 1 to 10000, got 0.0"),
        ({"ground_m": float("inf")}, r"expected --ground-m within ±1e\+06, got inf"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Settings(**setting)


def test_several_fronts_need_a_system_that_shares_a_port_out(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert Settings().fronts == 1
    with pytest.raises(ValueError, match=r"expected Linux with --fronts .*, got darwin"):
        Settings(fronts=2)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "fe80::1%eth0", "localhost", "bücher.example"])
def test_addresses_and_names_are_taken(host):
    assert Settings(host=host, without_token=True).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "drone.local"])
def test_beyond_loopback_a_token_is_needed_or_a_word_that_none_is(host):
    with pytest.raises(ValueError, match=f"expected --token-file with --host {host}, .* --without-token"):
        Settings(host=host)
    assert Settings(host=host, token_file=Path("token")).host == host


def test_a_token_is_needed_or_not():
    with pytest.raises(ValueError, match="expected --token-file or --without-token, got both"):
        Settings(token_file=Path("token"), without_token=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_no_token_is_needed(host):
    assert Settings(host=host).token_file is None


def test_the_server_may_be_called_by_the_names_that_it_is_given():
    assert Settings(allow_host=("follow_me", "quad.local")).names == ("127.0.0.1", "follow_me", "quad.local")


def test_a_file_sets_some_settings_of_the_tracker_and_the_others_keep_their_defaults(tmp_path):
    file = tmp_path / "tracker.toml"
    file.write_text("follow_above = 0.95  # to be surer\nlost_after_s = 2.5\nremember_s = 60\n")
    chosen = read_tracker(file)
    assert tracker_for(hero_profile(), chosen) == TrackerConfig(follow_above=0.95, lost_after_s=2.5, remember_s=60)


def test_a_file_may_set_how_the_target_moves_and_the_rest_is_as_its_profile_says(tmp_path):
    file = tmp_path / "tracker.toml"
    file.write_text("max_speed_mps = 3\nwalk_on_s = 0.5\n")
    dog = replace(hero_profile(), name="dog", drift_mps=2.0)
    tracker = tracker_for(dog, read_tracker(file))
    assert tracker == TrackerConfig(profile=replace(dog, max_speed_mps=3.0, walk_on_s=0.5))
    assert tracker_for(dog, {}) == TrackerConfig(profile=dog)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("follow_above = 1.0", r"expected follow_above in \(0, 1\), got 1.0"),
        ("follow_above = 0", r"expected follow_above in \(0, 1e\+06\], got 0"),
        ("give_up_below = 1", r"expected give_up_below in \(0, 1\), got 1"),
        ("give_up_below = 0.95\nfollow_above = 0.9", "expected give_up_below of at most follow_above = 0.9, got 0.95"),
        ("remember_s = 1" + "0" * 30, r"expected remember_s in \(0, 1e\+06\], got 10"),
        ("confirm_hits = 3", r"expected settings of the tracker \(drift_mps, .*\), got confirm_hits"),
        ("lost_after_s = nan", r"expected lost_after_s in \(0, 1e\+06\], got nan"),
        ("gate_sigma = 1e300", r"expected gate_sigma in \(0, 1e\+06\], got 1e\+300"),
        ('lost_after_s = "soon"', r"expected lost_after_s in \(0, 1e\+06\], got 'soon'"),
        ("lost_after_s = true", r"expected lost_after_s in \(0, 1e\+06\], got True"),
        ("drift_mps = 0", "expected drift_mps of 0.001 to 1000, got 0"),
        ("max_speed_mps = 'fast'", r"Expected `float`, got `str` - at `\$.max_speed_mps`"),
        ("height_m = 2.0", r"expected settings of the tracker \(drift_mps, .*\), got height_m"),
        ("lost_after = 2.0", r"expected settings of the tracker \(drift_mps, .*\), got lost_after"),
        ("lost_after_s 2.0", "Expected '=' after a key"),
        ("\udcff", "can't decode byte"),
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a." * 5000 + "a = 1", "expected settings of the tracker"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_its_name(tmp_path, text, message):
    file = tmp_path / "tracker.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=rf"tracker\.toml: .*{message}"):
        read_tracker(file)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, 2e6, "1", True, None])
def test_each_setting_of_the_tracker_is_a_positive_number_of_a_sane_size(name, value):
    with pytest.raises(ValueError, match=f"expected {name} in "):
        TrackerConfig(**{name: value})


def test_a_person_may_be_given_up_where_they_are_followed():
    assert TrackerConfig(follow_above=0.8, give_up_below=0.8).give_up_below == 0.8

import pytest

from server.settings import Settings, TrackerConfig, read_tracker


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"port": 99999}, "port must be 0 to 65535, got 99999"),
        ({"host": ""}, "host must be an address or a name, got ''"),
        ({"host": " \t"}, r"host must be an address or a name, got ' \\t'"),
        ({"host": "a\x1b[2J"}, r"host must be an address or a name, got 'a\\x1b\[2J'"),
        ({"host": "ä..ö"}, "host must be an address or a name, got 'ä..ö': .*label empty"),
        ({"host": "a" * 70}, "host must be an address or a name, got 'a+': .*label too long"),
        ({"host": "\udcff"}, r"host must be an address or a name, got '\\udcff'"),
        ({"watchdog_s": 9}, r"watchdog_s must be in \(0, 3\], got 9"),
        ({"min_blob_px": -1}, "min_blob_px must be 0 to 10000, got -1"),
        ({"min_blob_px": 10_001}, "min_blob_px must be 0 to 10000, got 10001"),
        ({"vertical_fov_deg": 180.0}, "expected vertical_fov_deg of 1 to 179, got 180.0"),
        ({"depth_far_m": 0.0}, "expected far_m of 1 to 10000, got 0.0"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Settings(**setting)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "fe80::1%eth0", "localhost", "bücher.example"])
def test_addresses_and_names_are_taken(host):
    assert Settings(host=host).host == host


def test_a_file_sets_some_settings_of_the_tracker_and_the_others_keep_their_defaults(tmp_path):
    file = tmp_path / "tracker.toml"
    file.write_text("confirm_hits = 4  # of 5\nlost_after_s = 2.5\n")
    assert read_tracker(file) == TrackerConfig(confirm_hits=4, lost_after_s=2.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("confirm_hits = 9", "expected confirm_hits of at most confirm_window = 5, got 9"),
        ("confirm_window = 1" + "0" * 30, "expected confirm_window an integer of 1 to 1000, got 10"),
        ("lost_after_s = nan", r"expected lost_after_s in \(0, 1e\+06\], got nan"),
        ("gate_sigma = 1e300", r"expected gate_sigma in \(0, 1e\+06\], got 1e\+300"),
        ('lost_after_s = "soon"', r"expected lost_after_s in \(0, 1e\+06\], got 'soon'"),
        ("lost_after_s = true", r"expected lost_after_s in \(0, 1e\+06\], got True"),
        ("lost_after = 2.0", r"expected settings of the tracker \(confirm_hits, .*\), got lost_after"),
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

"""The picture of a recording's people, from a recording of an older version with 8 frames of a hero."""

import numpy as np
import pytest
from PIL import Image
from support.recorded_session import FORMAT_2, FORMAT_5, rewritten

from server.watch.recording.reader import Recording
from tools import plot_people
from tools.plot_people import BeliefHistory, draw, read_history


def test_the_recorded_sightings_are_tracked_again():
    with Recording(FORMAT_2) as recording:
        history = read_history(recording)
    assert len(history.times_s) == len(history.followed) > 5
    assert np.all(np.diff(history.times_s) >= 0)
    assert history.probabilities
    assert set(history.followed[history.followed > 0]) <= set(history.probabilities)
    assert all(0 <= chance <= 1 for line in history.probabilities.values() for _, chance in line)


def test_nobody_is_followed_while_the_drone_is_on_hold():
    """Of the frames that were seen, 20 come before the hold and three within it."""
    with Recording(FORMAT_5) as recording:
        followed = read_history(recording).followed > 0
    assert followed[19:24].tolist() == [True, False, False, False, True]


def test_a_picture_is_drawn(tmp_path, capsys):
    assert plot_people.main([str(FORMAT_2), "--out", str(tmp_path / "people.png")]) == 0
    with Image.open(tmp_path / "people.png") as picture:
        assert picture.format == "PNG"
    assert "people in" in capsys.readouterr().out


def test_people_out_of_view_for_a_while_and_nobody_followed_are_drawn_too(tmp_path):
    times_s = np.arange(10) / 5
    line = [(0.0, 0.4), (0.2, 0.5), (1.8, 0.9)]
    draw(BeliefHistory(times_s, {3: line, 4: [(0.0, 0.01)]}, np.zeros(10, int)), 0.05, tmp_path / "people.png")
    assert (tmp_path / "people.png").stat().st_size > 1000


def test_a_recording_that_no_session_can_have_made_is_refused(tmp_path, capsys):
    def change(number, event):
        for *_, place in event.get("sightings", []):
            if place is not None:
                place[1] = 1e200  # its standard deviation, of which the tracker takes the square
        return event

    copy = rewritten(FORMAT_2, tmp_path, change)
    assert plot_people.main([str(copy), "--out", str(tmp_path / "people.png")]) == 2
    assert "plot_people: expected std_m of at most 1e+40, got 1e+200" in capsys.readouterr().err


def test_more_points_than_memory_is_meant_for_are_refused(monkeypatch):
    monkeypatch.setattr(plot_people, "MOST_POINTS", 5)
    with (
        Recording(FORMAT_2) as recording,
        pytest.raises(ValueError, match=r"expected at most 5 points to draw in .*format2\.mcap, got more"),
    ):
        read_history(recording)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ("nodir/people.png", "expected to be able to write nodir/people.png"),
        ("people.mcap", "expected the name of a PNG, which ends in .png, got people.mcap"),
        ("people", "expected the name of a PNG, which ends in .png, got people"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_first(wish, reason, capsys):
    assert plot_people.main([str(FORMAT_2), "--out", wish]) == 2
    assert capsys.readouterr().err.startswith(f"plot_people: {reason}")

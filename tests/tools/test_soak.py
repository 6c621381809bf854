"""A short soak of the real server, and how growth is measured."""

import pytest

from tools import soak
from tools.simulator.server_process import SHIPPED_WEIGHTS
from tools.soak import Resources, main, memory_growth_mb

FCN4 = str(SHIPPED_WEIGHTS.with_name("fcn4"))


def test_a_server_in_flight_does_not_grow(capsys, monkeypatch):
    monkeypatch.setattr(soak, "MINUTES_PER_CONNECTION", 0.05)  # every drone connects four times
    assert main(["--weights", FCN4, "--minutes", "0.2", "--drones", "3", "--idle", "5"]) == 0
    flown, memory, threads, descriptors = capsys.readouterr().out.splitlines()
    assert flown.startswith("0.2 minutes of 3 QuadSims beside 5 idle ones: 180 frames in ")
    assert memory.startswith("memory ")
    assert all(line.endswith(": does not grow") for line in (memory, threads, descriptors))


def test_what_grows_is_told(capsys, monkeypatch):
    held = iter([Resources(100.0, 10, 20), Resources(180.0, 11, 25)])
    monkeypatch.setattr(soak, "settled_resources", lambda *_: next(held))
    monkeypatch.setattr(soak, "memory_growth_mb", lambda *_: 40.0)
    assert main(["--weights", FCN4, "--minutes", "0.01", "--drones", "1", "--idle", "0"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "memory 100 → 180 MB, +40.0 MB in the second half: GROWS",
        "threads 10 → 11: GROWS",
        "descriptors 20 → 25: GROWS",
    ]


@pytest.mark.parametrize("minutes", ["0.001", "0", "nan", "inf"])
def test_less_than_a_frame_is_refused(minutes, capsys):
    assert main(["--minutes", minutes]) == 2
    assert capsys.readouterr().err.startswith("soak: expected --minutes of at least one frame, 0.0033, and finite")


@pytest.mark.parametrize(
    ("sent", "memory_mb", "grown_mb"),
    [
        ([10, 50, 75, 100], [100, 150, 155, 160], 10),  # the first half does not count
        ([0, 50, 100], [100, 120, 120], 0),
        ([100, 100], [100, 120], 0),  # a single moment has no slope
    ],
)
def test_growth_is_that_of_the_second_half_of_the_frames(sent, memory_mb, grown_mb):
    assert memory_growth_mb(sent, memory_mb) == pytest.approx(grown_mb, abs=1e-6)

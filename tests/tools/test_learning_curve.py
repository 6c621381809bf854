"""The tool that trains with more and more frames."""

import json

import numpy as np
import pytest
from PIL import Image
from support.dataset import save_frames
from support.eager import eager_steps

from model.fcn import Widths
from model.networks import NETWORKS, build
from model.run_folder import SETTINGS, WEIGHTS
from model.scoring import HeroScore
from tools import learning_curve
from tools.learning_curve import Point, main, table

PRESET = """network = "small"
input_px = 32
crop_px = 32
batch = 4
augmentation = "light"
start = "{start}"
"""


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(NETWORKS, "small", Widths((), 4, ()))
    monkeypatch.setattr(learning_curve, "train", eager_steps()(learning_curve.train))
    save_frames(tmp_path / "data" / "train", 12)
    save_frames(tmp_path / "data" / "validation", 4)
    build("small", 32).save(tmp_path / "start.keras")
    (tmp_path / "preset.toml").write_text(PRESET.format(start=tmp_path / "start.keras"))
    data, preset, out = (str(tmp_path / name) for name in ("data", "preset.toml", "out"))
    return ["--data", data, "--preset", preset, "--out", out, "--steps", "2", "--frames", "4", "8"]


def test_each_number_of_frames_is_trained_once_from_both_starts_scored_and_drawn(
    arguments, tmp_path, capsys, monkeypatch
):
    learned, train = [], learning_curve.train
    monkeypatch.setattr(
        learning_curve,
        "train",
        lambda config, *rest: (learned.append((config.start != "", rest[0])), train(config, *rest)),
    )
    out = tmp_path / "out"
    assert main(arguments) == 0
    assert {folder.name for folder in out.iterdir()} == {"preset-4", "preset-8", "curve.json", "curve.png"}
    before = (out / "preset-4" / WEIGHTS).read_bytes()
    assert main([*arguments, "--random-weights"]) == 0
    assert (out / "preset-4" / WEIGHTS).read_bytes() == before
    assert [(has_start, len(frames.images)) for has_start, frames in learned] == [
        (True, 4), (True, 8), (False, 4), (False, 8),
    ]  # fmt: skip
    few, many = learned[0][1], learned[1][1]
    np.testing.assert_array_equal(many.images[:4], few.images)
    settings = json.loads((out / "random-8" / SETTINGS).read_text())
    assert (settings["epochs"] * settings["steps"], settings["start"]) == (2, "")
    rows = json.loads((out / "curve.json").read_text())
    assert [(row["frames"], row["start"]) for row in rows] == [
        (4, "preset"), (8, "preset"), (4, "random"), (8, "random"),
    ]  # fmt: skip
    assert all(row["tp"] + row["fn"] == 2 for row in rows)
    assert Image.open(out / "curve.png").width > 400
    assert capsys.readouterr().out.splitlines()[-6].startswith("| frames | start |")


def test_a_training_is_only_taken_over_with_the_same_settings_and_frames(arguments, tmp_path, capsys):
    assert main(arguments) == 0
    assert main([*arguments, "--steps", "4"]) == 2
    assert "settings.json has it, to resume, got " in capsys.readouterr().err
    first, second = sorted((tmp_path / "data" / "train" / "images").iterdir())[:2]
    first.write_bytes(second.read_bytes())
    assert main(arguments) == 2
    assert "expected the frames to learn from that the run in " in capsys.readouterr().err


def test_settings_that_would_learn_from_what_is_scored_are_refused(arguments, tmp_path, capsys):
    preset = tmp_path / "preset.toml"
    preset.write_text(preset.read_text() + 'hold_out = ["r03"]\n')
    assert main(arguments) == 2
    assert "expected settings without sets both, hold_out and more_profiles" in capsys.readouterr().err


def test_the_table_has_a_line_for_each_training():
    assert table([Point(100, "preset", HeroScore(0.5, 8, 1, 1))]).splitlines()[2:] == [
        "| 100 | preset weights | 0.400 | 0.500 | 1 | 1 |"
    ]


def test_more_frames_than_there_are_are_refused_before_the_work(arguments, tmp_path, capsys):
    assert main([*arguments[:-2], "13"]) == 2
    assert capsys.readouterr().err == (
        f"learning_curve: expected --frames of at most 12, those of {tmp_path / 'data'}/train, got 13\n"
    )
    assert not (tmp_path / "out").exists()

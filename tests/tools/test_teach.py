"""From raw recordings to a report with one command and a tiny network; and the work of a second run."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from model.profile import HERO_FILE
from model.raw_recordings import find_runs, read_camera
from model.recipes import TrainingConfig
from model.run_folder import WEIGHTS
from tools.simulator.world import World
from tools.teach import main
from tools.teaching import course, flights, recordings

pytestmark = pytest.mark.usefixtures("own_cache")

TINY = TrainingConfig(
    network="fcn1", input_px=32, crop_px=32, epochs=1, steps=2, batch=2, validate_every=1, precision="float32",
    learning_rate=1e-3, profile=str(HERO_FILE),
)  # fmt: skip


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", compress_level=1)
    return file.getvalue()


def record(folder, frames):
    """Frames as QuadSim records them: somebody else on the left, and in every other one the hero, red, on the right."""
    folder.mkdir(parents=True)
    for number in range(frames):
        colour, people, hero = (
            np.full((256, 256, 3), (60, 140, 60), np.uint8),
            *np.full((2, 256, 256, 3), 255, np.uint8),
        )
        colour[100:180, 40:80], people[100:180, 40:80] = (40, 60, 200), 60
        if number % 2:
            colour[90:190, 150:200], hero[90:190, 150:200] = (220, 20, 20), 50
        for camera, array in enumerate((colour, people, hero, np.full((256, 256, 3), 120, np.uint8)), start=1):
            (folder / f"cam{camera}_{number:05}.png").write_bytes(png(array))


@pytest.fixture
def raw(tmp_path):
    for name in ("a", "b", "c"):
        record(tmp_path / "raw" / "train" / name / "IMG", 6)
    return tmp_path / "raw"


def teach(raw, out):
    return main([str(HERO_FILE), "--raw", str(raw), "--hours", "0.1", "--out", str(out)])


def test_recordings_become_a_network_that_has_flown_and_a_report(raw, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(course, "plan_training", lambda hours, data, profile: TINY)
    monkeypatch.setattr(flights, "SEEDS", (700,))
    monkeypatch.setattr(flights, "FLIGHT_S", 1.0)
    out = tmp_path / "out"
    assert teach(raw, out) == 0
    said = capsys.readouterr().out
    assert "[1/9] preprocess: " in said
    assert "held out: 1 recordings, 6 frames, 3 of them with the hero" in said
    assert f"report: {out / 'report.html'}" in said
    assert json.loads((out / "preprocess.json").read_text())["names"] == {"0": "a", "1": "b", "2": "c"}
    card = json.loads((out / "run" / WEIGHTS).with_suffix(".json").read_text())
    assert set(card["data"]["recordings"]) == {"data/0 (train)", "data/1 (train)", "data/2 (validation)"}
    assert (out / "run" / "model_weights.openvino" / "f32").is_dir()
    flown = json.loads((out / "flights.json").read_text())
    assert [flight["seed"] for flight in flown["flights"]] == [700]
    page = (out / "report.html").read_text()
    assert "<td>c</td><td>held out</td><td>6</td><td>3</td>" in page
    assert page.count('src="data:image/') >= 7

    weights = (out / "run" / WEIGHTS).read_bytes()
    (out / "report.html").unlink()
    assert teach(raw, out) == 0
    said = capsys.readouterr().out
    assert said.count("done before") == 8
    assert (out / "run" / WEIGHTS).read_bytes() == weights
    assert (out / "report.html").read_text() == page


def test_the_stand_in_records_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "SEEDS", {"train": (1000, 1001), "validation": (1100,)})
    monkeypatch.setattr(recordings, "RECORDING_S", 4.0)
    made = tmp_path / "raw" / "train" / "seed1000" / "IMG" / "cam1_00000.png"
    made.parent.mkdir(parents=True)
    made.write_text("recorded before")
    (tmp_path / "part" / "IMG").mkdir(parents=True)
    (tmp_path / "part" / "IMG" / "cam1_00000.png").write_text("of a recording that was killed")
    others = []

    class Counted(World):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            others.append(self.lookalikes)

    monkeypatch.setattr(recordings, "World", Counted)
    recordings.record_stand_in("dog", tmp_path / "raw", tmp_path / "part")
    assert others == [12, 6], "more to learn from than fly later"
    assert made.read_text() == "recorded before"
    runs = {f"{run.split}/{run.name}": run.frame_numbers() for run in find_runs(tmp_path / "raw")}
    new = ["00000", "00001"]
    assert runs == {"train/seed1000": ["00000"], "train/seed1001": new, "validation/seed1100": new}
    assert read_camera(made.parents[2] / "seed1001" / "IMG" / "cam1_00000.png").std() > 10
    assert not (tmp_path / "part").exists()


def test_two_recordings_are_too_few_and_the_command_says_what_to_record(raw, tmp_path, capsys):
    shutil.rmtree(raw / "train" / "b")
    assert teach(raw, tmp_path / "out") == 2
    assert "teach: expected at least 3 recordings with frames, got 2" in capsys.readouterr().err.splitlines()[-1]


def test_recordings_without_the_target_end_the_command_before_the_training(raw, tmp_path, capsys):
    for file in raw.rglob("cam3_*.png"):
        file.write_bytes(png(np.full((256, 256, 3), 255, np.uint8)))
    assert teach(raw, tmp_path / "out") == 2
    assert "None of the recordings to learn from (a, b) shows the hero." in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out" / "run").exists()

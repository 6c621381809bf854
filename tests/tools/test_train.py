import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.loading import input_px, load_network
from model.scoring import HERO
from model.training import CHECKPOINT, LOG, SETTINGS, WEIGHTS, TrainingConfig, read_log
from tools import train as tool
from tools.train import command, main

REPOSITORY = Path(__file__).resolve().parents[2]
# Enough steps in an epoch that a kill after the first comes before the last.
SETTINGS_OF_THE_RUN = ["--network", "fcn1", "--input-px", "32", "--epochs", "4", "--steps", "40", "--batch", "2"]


def make_dataset(folder):
    """Six pairs to train and four to validate on, 32 px of noise; in every other one the hero, 64 px, is red."""
    rng = np.random.default_rng(0)
    for name, pairs in (("train", 6), ("validation", 4)):
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)
        for number in range(pairs):
            image = rng.integers(0, 100, (32, 32, 3), dtype=np.uint8)
            classes = np.zeros((32, 32), int)
            if number % 2:
                classes[12:20, 12:20] = HERO
                image[classes == HERO] = (250, 20, 20)
            Image.fromarray(image).save(folder / name / "images" / f"run1cam1_{number:05}.jpeg")
            mask = (np.eye(3)[classes] * 255).astype(np.uint8)
            Image.fromarray(mask).save(folder / name / "masks" / f"run1_mask_{number:05}.png")
    return folder


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data")


class Killed:
    """What a run left when it was killed, and how the resumed one went on."""

    def __init__(self, folder):
        self.data, self.out = make_dataset(folder / "data"), folder / "runs" / "new"
        self.arguments = ["--data", str(self.data), "--out", str(self.out), *SETTINGS_OF_THE_RUN]
        with (folder / "first.txt").open("w") as output:
            process = subprocess.Popen(self._command(), stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY)
        deadline = time.monotonic() + 120
        while not (self.out / CHECKPOINT).exists():
            assert process.poll() is None, (folder / "first.txt").read_text()
            assert time.monotonic() < deadline, "no checkpoint in 120 s"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        self.log = read_log(self.out / LOG)
        self.resumed = subprocess.run(
            self._command("--resume"), capture_output=True, text=True, cwd=REPOSITORY, timeout=120
        )

    def _command(self, *more):
        return [sys.executable, "tools/train.py", *self.arguments, *more]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    return Killed(tmp_path_factory.mktemp("killed"))


# --- a run that is killed and resumed


def test_a_killed_run_goes_on_after_the_last_whole_epoch_and_finishes(killed):
    assert killed.resumed.returncode == 0, killed.resumed.stderr
    assert 1 <= len(killed.log) < 4
    log = read_log(killed.out / LOG)
    assert [line.epoch for line in log] == [1, 2, 3, 4]
    # The log may be an epoch ahead of the checkpoint, which is then repeated; the first was whole.
    assert log[0] == killed.log[0]
    epochs_trained = [line for line in killed.resumed.stdout.splitlines() if line.startswith("Epoch ")]
    assert epochs_trained[-1] == "Epoch 4/4"
    assert epochs_trained[0] in ("Epoch 2/4", "Epoch 3/4", "Epoch 4/4")
    assert log[3].loss < log[0].loss


def test_progress_and_validation_are_shown_and_library_notes_are_not(killed):
    assert "40/40" in killed.resumed.stdout
    assert "reading train: 100%" in killed.resumed.stderr
    assert "validation after epoch 4: quality 0." in killed.resumed.stderr
    for note in ("WARNING", "oneDNN", "cuda", "Traceback"):
        assert note not in killed.resumed.stdout + killed.resumed.stderr


def test_the_best_weights_open_as_a_network(killed):
    network = load_network(killed.out / "model_weights")
    assert input_px(network) == 32
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}


def test_the_card_tells_what_the_weights_are(killed):
    card = json.loads((killed.out / "model_weights.json").read_text())
    assert card["network"] == "fcn1"
    assert card["classes"] == ["surroundings", "people", "hero"]
    assert card["settings"] == json.loads((killed.out / SETTINGS).read_text())
    assert (card["settings"]["batch"], card["settings"]["seed"]) == (2, 0)
    assert card["best_epoch"] == 4
    validation = read_log(killed.out / LOG)[3].validation
    assert card["validation"] == {"quality": validation.quality, **validation._asdict()}
    assert (card["data"]["name"], card["data"]["train_pairs"], card["data"]["validation_pairs"]) == ("data", 6, 4)
    assert len(card["data"]["sha256_at_input_px"]) == 64
    assert "--resume" not in card["command"]
    assert card["command"].startswith(f"python tools/train.py --data {killed.data} --out {killed.out} --network fcn1")


def test_the_loss_curve_is_a_picture(killed):
    with Image.open(killed.out / "loss.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 400
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_resuming_a_finished_run_trains_no_more(killed, capsys):
    before = (killed.out / LOG).read_text(), (killed.out / WEIGHTS).read_bytes()
    assert main([*killed.arguments, "--resume"]) == 0
    assert ((killed.out / LOG).read_text(), (killed.out / WEIGHTS).read_bytes()) == before
    output = capsys.readouterr().out
    assert "Epoch" not in output
    assert output.splitlines()[0] == f"best weights: {killed.out / WEIGHTS}"


def refused(arguments, capsys):
    """The reason that a command is refused with, in one line, its last."""
    assert main(arguments) == 2
    reason = capsys.readouterr().err.splitlines()[-1]
    assert reason.startswith("train: ")
    return reason


def test_a_used_run_folder_is_not_overwritten(killed, capsys):
    reason = refused(killed.arguments, capsys)
    assert reason == f"train: expected a new run folder, but {killed.out} holds a run; --resume goes on with it"


def test_other_settings_are_not_resumed(killed, capsys):
    reason = refused([*killed.arguments, "--resume", "--learning-rate", "0.001"], capsys)
    assert reason == f"train: expected learning_rate 0.002, as {killed.out / SETTINGS} has it, to resume, got 0.001"


def test_a_damaged_checkpoint_is_refused_in_one_line(killed, capsys):
    whole = (killed.out / CHECKPOINT).read_bytes()
    (killed.out / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    try:
        reason = refused([*killed.arguments, "--resume"], capsys)
        assert reason.startswith(f"train: expected the state of a fcn1 in {killed.out / CHECKPOINT}, got: ")
    finally:
        (killed.out / CHECKPOINT).write_bytes(whole)


# --- what is refused before the first step


def spoil(data, what):
    images, masks = data / "train" / "images", data / "train" / "masks"
    if what == "no folder":
        data.rename(data.with_name("elsewhere"))
    elif what == "no images":
        for file in images.iterdir():
            file.unlink()
    elif what == "unpaired":
        (masks / "run1_mask_00003.png").unlink()
    elif what == "sizes":
        Image.new("RGB", (16, 16), (255, 0, 0)).save(masks / "run1_mask_00003.png")
    elif what == "two classes":
        Image.new("RGB", (32, 32), (255, 0, 255)).save(masks / "run1_mask_00003.png")
    elif what == "broken":
        (images / "run1cam1_00003.jpeg").write_bytes(b"no JPEG")
    elif what == "no hero":
        for number in range(6):
            Image.new("RGB", (32, 32), (255, 0, 0)).save(masks / f"run1_mask_{number:05}.png")
    elif what == "no validation":
        (data / "validation").rename(data / "elsewhere")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no folder", "expected {data}/train/images to hold *.jpeg files, found none"),
        ("no images", "expected {data}/train/images to hold *.jpeg files, found none"),
        ("no validation", "expected {data}/validation/images to hold *.jpeg files, found none"),
        ("unpaired", "expected one mask per image in {data}/train, got 6 images, 5 masks"),
        (
            "sizes",
            "expected a mask of the image's size, 32×32, in {data}/train/masks/run1_mask_00003.png "
            "for run1cam1_00003.jpeg, got 16×16",
        ),
        (
            "two classes",
            "expected exactly one class per pixel (one channel 255, the others 0) "
            "in {data}/train/masks/run1_mask_00003.png",
        ),
        (
            "broken",
            "expected an image in {data}/train/images/run1cam1_00003.jpeg, "
            "got: cannot identify image file '{data}/train/images/run1cam1_00003.jpeg'",
        ),
        ("no hero", "expected frames with and without the hero, got 0 with and 6 without"),
    ],
)
def test_bad_data_is_refused_in_one_line_and_leaves_no_run(data, capsys, what, reason):
    spoil(data, what)
    out = data.parent / "run"
    arguments = ["--data", str(data), "--out", str(out), "--input-px", "32", "--batch", "2"]
    assert refused(arguments, capsys) == f"train: {reason.format(data=data)}"
    assert not out.exists()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (["--batch", "7"], "batch must be 1 to 6 (the whole set), got 7"),
        (["--input-px", "30"], "input size of fcn4 must be a multiple of 4 px, got 30"),
        (["--network", "resnet"], "network must be one of fcn1, fcn2, fcn3, fcn4, fcn5, fpn, got 'resnet'"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--resume"], "expected an interrupted run in {out} to resume, found no settings.json"),
    ],
)
def test_bad_settings_are_refused_in_one_line_and_leave_no_run(data, capsys, setting, reason):
    out = data.parent / "run"
    arguments = ["--data", str(data), "--out", str(out), "--input-px", "32", *setting]
    assert refused(arguments, capsys) == f"train: {reason.format(out=out)}"
    assert not out.exists()


def test_settings_are_refused_before_data_is_read(tmp_path, capsys):
    arguments = ["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run"), "--input-px", "30"]
    assert "must be a multiple" in refused(arguments, capsys)


def test_a_run_folder_that_cannot_be_made_is_refused_in_one_line(data, capsys):
    (data.parent / "file").touch()
    out = data.parent / "file" / "run"
    assert str(out) in refused(["--data", str(data), "--out", str(out), "--input-px", "32", "--batch", "2"], capsys)


@pytest.mark.parametrize(("is_started", "hint"), [(True, "; the same command with --resume goes on"), (False, "")])
def test_an_interruption_says_how_to_go_on(data, capsys, monkeypatch, is_started, hint):
    def interrupted(config, training, validation, out):
        if is_started:
            out.mkdir()
            (out / SETTINGS).touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "train", interrupted)
    assert main(["--data", str(data), "--out", str(data.parent / "run"), "--input-px", "32"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"interrupted{hint}"


# --- command line


def test_help_names_every_setting_with_its_default(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())  # however wide the terminal
    for setting in fields(TrainingConfig):
        assert f"--{setting.name.replace('_', '-')}" in text
        assert f"(default: {setting.default})" in text


def test_the_cards_command_holds_what_differs_from_the_defaults():
    config = TrainingConfig(network="fcn5", empty_pull=0.25)
    assert command(config, Path("my data"), Path("runs/a")) == (
        "python tools/train.py --data 'my data' --out runs/a --network fcn5 --empty-pull 0.25"
    )

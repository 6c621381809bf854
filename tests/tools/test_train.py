import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, fields, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.eager import eager_steps

from model import training_run as tool
from model.card import read_card
from model.dataset import Recording, read_dataset, read_set
from model.images import normalise
from model.loading import input_px, load_network
from model.options import from_options
from model.profile import HERO_FILE, hero_profile
from model.provenance import commit
from model.recipes import PRESETS, TrainingConfig, find_preset, preset_text
from model.run_folder import CHECKPOINT, LOG, SETTINGS, WEIGHTS, check_run
from model.scoring import EVALUATION_SETS, HERO, PEOPLE, HeroScore
from model.training import Trained
from model.training_log import EpochLog, read_log
from model.training_run import OUTLINES, command, describe, draw_samples, score_command
from model.validation import validate, validate_by_distance
from tools.simulator.server_process import REPOSITORY
from tools.train import main, parse

SIZES = ["--input-px", "32", "--crop-px", "16"]
SETTINGS_OF_THE_RUN = ["--network", "fcn1", *SIZES, "--epochs", "4", "--steps", "6", "--batch", "2"]
KILLED_IN_EPOCH_3 = """
import os, signal, sys
from model.batches import AugmentedBatches
from tools.train import main

draw = AugmentedBatches.__getitem__

def draw_or_die(batches, step):
    if (batches.epoch, step) == (2, 3):
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(batches, step)

AugmentedBatches.__getitem__ = draw_or_die
main(sys.argv[1:])
"""


def make_dataset(folder, recording="run1cam1", parts=(("train", 6), ("validation", 4))):
    """Sets with these numbers of pairs, 32 px of noise; in turns a blue person and the hero, red, 64 px."""
    rng = np.random.default_rng(0)
    for name, pairs in parts:
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)
        for number in range(pairs):
            image = rng.integers(0, 100, (32, 32, 3), dtype=np.uint8)
            classes = np.zeros((32, 32), int)
            classes[12:20, 12:20] = HERO if number % 2 else PEOPLE
            image[classes == HERO] = (250, 20, 20)
            image[classes == PEOPLE] = (20, 20, 250)
            Image.fromarray(image).save(folder / name / "images" / f"{recording}_{number:05}.jpeg")
            mask = (np.eye(3)[classes] * 255).astype(np.uint8)
            Image.fromarray(mask).save(folder / name / "masks" / f"run1_mask_{number:05}.png")
    return folder


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data")


class Killed:
    """The files of a run that was killed, the resumed run, and a run that was not interrupted."""

    def __init__(self, folder):
        self.data, self.out, self.whole = make_dataset(folder / "data"), folder / "runs" / "new", folder / "whole"
        self.arguments = ["--data", str(self.data), "--out", str(self.out), *SETTINGS_OF_THE_RUN]
        first = subprocess.Popen([sys.executable, "-c", KILLED_IN_EPOCH_3, *self.arguments], cwd=REPOSITORY)
        assert main(["--data", str(self.data), "--out", str(self.whole), *SETTINGS_OF_THE_RUN]) == 0
        assert first.wait() == -signal.SIGKILL
        self.log = read_log(self.out / LOG)
        run = [sys.executable, "tools/train.py", *self.arguments, "--resume"]
        self.resumed = subprocess.run(run, capture_output=True, text=True, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    return Killed(tmp_path_factory.mktemp("killed"))


# --- a run that is killed and resumed


def test_a_killed_run_goes_on_after_the_last_whole_epoch_and_finishes(killed):
    assert killed.resumed.returncode == 0, killed.resumed.stderr
    log = read_log(killed.out / LOG)
    assert [line.epoch for line in log] == [1, 2, 3, 4]
    assert killed.log == log[:2]
    epochs_trained = re.findall(r"(?m)^epoch (\d) of 4: loss \d\.\d+$", killed.resumed.stderr)
    assert epochs_trained == ["3", "4"]
    assert log[3].loss < log[0].loss


def test_a_run_killed_with_signal_9_ends_exactly_as_an_uninterrupted_one(killed):
    assert (killed.out / LOG).read_text() == (killed.whole / LOG).read_text()
    mine, its = (load_network(out / WEIGHTS).get_weights() for out in (killed.out, killed.whole))
    for resumed, uninterrupted in zip(mine, its, strict=True):
        np.testing.assert_array_equal(resumed, uninterrupted)


def test_a_pipe_gets_the_loss_and_the_validation_of_an_epoch_and_neither_bars_nor_library_notes(killed):
    lines = killed.resumed.stderr.splitlines()
    assert any(line.startswith("epoch 4 of 4: loss") for line in lines)
    assert any(line.startswith("validation after epoch 4: quality 0.") for line in lines)
    for note in ("%|", "WARNING", "oneDNN", "cuda", "Traceback"):
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
    assert card["epoch"] == 4
    assert set(card["thresholds"]) == {"strong", "weak"}
    read = read_set(killed.data / "validation", 32)
    network = load_network(killed.out / WEIGHTS)
    validation = validate(network, read)
    assert card["validation"] == {"quality": pytest.approx(validation.quality), **validation._asdict()}
    by_distance = validate_by_distance(network, read)
    assert card["validation_parts"] == {"validation": pytest.approx(by_distance.as_json())}
    assert card["evaluation"] == []  # such data have no evaluation sets
    assert (card["data"]["names"], card["data"]["train_pairs"]) == (["data"], 6)
    assert card["data"]["validation_pairs"] == {"validation": 4}
    assert card["data"]["recordings"] == {"data/run1cam1 (train)": 6, "data/run1cam1 (validation)": 4}
    assert len(card["data"]["sha256_at_input_px"]) == 64
    assert card["commit"].removesuffix(", changed") == commit().removesuffix(", changed")


def test_the_card_of_another_target_has_its_profile_and_its_classes(tmp_path):
    file = tmp_path / "dog.toml"
    file.write_text(HERO_FILE.read_text().replace('"hero"', '"dog"').replace('"people"', '"dogs"'))
    score = HeroScore(0.5, 1, 0, 0)
    config = TrainingConfig(profile=str(file), keep="last")
    card = describe(config, Trained(tmp_path / WEIGHTS, None, score), [EpochLog(1, 0.5, score)])
    assert card["classes"] == ("surroundings", "dogs", "dog")
    (tmp_path / "network.json").write_text(json.dumps(card))
    read = read_card(tmp_path / "network.keras")
    assert (read.profile, read.hero) == (replace(hero_profile(), name="dog", others="dogs"), 2)


def write_dog(folder, name="dog"):
    """The profile of a further target."""
    file = folder / f"{name}.toml"
    file.write_text(HERO_FILE.read_text().replace('"hero"', f'"{name}"'))
    return file


def make_dogs(folder):
    """The same frames as of `make_dataset`, with a yellow dog where the hero is; the mask is yellow, too."""
    make_dataset(folder)
    for kind in ("images", "masks"):
        for file in folder.rglob(f"{kind}/*"):
            with Image.open(file) as opened:
                pixels = np.array(opened)
            is_dog = int(file.stem[-5:]) % 2
            if is_dog:
                pixels[12:20, 12:20] = (250, 250, 0) if kind == "images" else (255, 255, 0)
            Image.fromarray(pixels).save(file)
    return folder


@pytest.mark.usefixtures("own_cache")
def test_a_network_learns_two_targets_from_masks_that_have_a_colour_for_each(killed, tmp_path, capsys):
    dogs, out = make_dogs(tmp_path / "dogs"), tmp_path / "run"
    for name in EVALUATION_SETS:
        shutil.copytree(killed.data / "validation", dogs / "sample_evaluation_data" / name)
    run = ["--data", str(killed.data), str(dogs), "--out", str(out), "--network", "fcn1", *SIZES, "--batch", "4"]
    start = ["--start", str(killed.out / WEIGHTS), "--epochs", "1", "--steps", "2"]
    with eager_steps():
        assert main([*run, *start, "--more-profiles", str(write_dog(tmp_path))]) == 0
    content, card = json.loads((out / "model_weights.json").read_text()), read_card(out / WEIGHTS)
    assert load_network(out / WEIGHTS).output_shape == (None, 32, 32, 4)
    assert (card.classes, card.targets) == (("surroundings", "people", "hero", "dog"), ("hero", "dog"))
    assert card.following("dog").profile == replace(hero_profile(), name="dog")
    assert set(content["validation_parts"]) == {"validation, hero", "validation, dog"}
    assert [each["resolution_px"] for each in content["evaluation"]] == [160, 32]
    assert content["evaluation"][0]["following_images"]["n"] == 4
    assert f"--more-profiles {tmp_path / 'dog.toml'}" in content["command"]
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()[:2]] == ["target: hero", "target: dog"]


def test_a_mask_with_the_colour_of_a_target_that_is_not_to_be_learned_is_refused(tmp_path, capsys):
    dogs = make_dogs(tmp_path / "dogs")
    run = ["--data", str(dogs), "--out", str(tmp_path / "run"), "--network", "fcn1", *SIZES, "--batch", "4"]
    assert "expected exactly one class per pixel (one channel 255" in refused(run, capsys)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["dog", "dog"], "expected targets of different names, got surroundings, people, hero, dog, dog"),
        (["hero"], "expected targets of different names, got surroundings, people, hero, hero"),
        (["a", "b", "c", "d"], "expected at most 3 more_profiles, got 4"),
    ],
)
def test_targets_that_cannot_be_learned_together_are_refused(data, tmp_path, capsys, more, reason):
    files = [str(write_dog(tmp_path, name)) for name in more]
    run = ["--data", str(data), "--out", str(tmp_path / "run"), "--more-profiles", *files]
    assert refused(run, capsys) == f"train: {reason}"


def test_a_run_of_before_a_setting_existed_is_resumed(killed, tmp_path):
    out = shutil.copytree(killed.out, tmp_path / "run")
    settings = json.loads((out / SETTINGS).read_text())
    del settings["more_profiles"]
    (out / SETTINGS).write_text(json.dumps(settings))
    config = from_options(TrainingConfig, parse(killed.arguments), find_preset("fpn"))
    check_run(out, config, resume=True)
    with pytest.raises(ValueError, match=r"expected more_profiles \[\], as .* has it, to resume, got \['dog.toml'\]"):
        check_run(out, replace(config, more_profiles=("dog.toml",)), resume=True)


def test_the_cards_command_trains_such_weights_from_the_start(killed):
    given = json.loads((killed.out / "model_weights.json").read_text())["command"]
    assert given == (
        f"python tools/train.py --data {killed.data} --out {killed.out} --preset fpn --network fcn1 "
        "--input-px 32 --crop-px 16 --epochs 4 --steps 6 --batch 2"
    )


def test_the_cards_data_digest_is_that_of_the_data_whatever_the_folder(killed, tmp_path):
    def digest_of(folder):
        return tool.describe_data(read_dataset([folder], 32))["sha256_at_input_px"]

    copy = shutil.copytree(killed.data, tmp_path / "copy")
    card = json.loads((killed.out / "model_weights.json").read_text())
    assert card["data"]["sha256_at_input_px"] == digest_of(copy)
    Image.new("RGB", (32, 32), (255, 0, 0)).save(copy / "validation" / "masks" / "run1_mask_00001.png")
    assert card["data"]["sha256_at_input_px"] != digest_of(copy)


def test_datasets_are_mixed_and_a_run_may_start_from_another_ones_weights(killed, tmp_path):
    second, out = make_dataset(tmp_path / "second"), tmp_path / "run"
    run = ["--data", str(killed.data), str(second), "--out", str(out), "--network", "fcn1", *SIZES, "--batch", "2"]
    weights = str(killed.out / WEIGHTS)
    start = ["--start", weights, "--teacher", weights, "--epochs", "1", "--steps", "1", "--learning-rate", "1e-9"]
    with eager_steps():
        assert main([*run, *start]) == 0
    card = json.loads((out / "model_weights.json").read_text())
    assert card["data"]["names"] == ["data", "second"]
    assert card["started_from"] == card["taught_by"] == json.loads((killed.out / "model_weights.json").read_text())
    assert (card["data"]["train_pairs"], card["data"]["validation_pairs"]) == (12, {"validation": 8})
    kernels = [load_network(folder / WEIGHTS).trainable_weights[0] for folder in (killed.out, out)]
    np.testing.assert_allclose(*map(np.asarray, kernels), atol=1e-6)


def test_a_run_that_learns_from_validation_keeps_the_thresholds_it_starts_with_and_claims_no_score(killed, tmp_path):
    out = tmp_path / "run"
    run = ["--data", str(killed.data), "--out", str(out), "--network", "fcn1", *SIZES, "--batch", "10"]
    start = ["--start", str(killed.out / WEIGHTS), "--sets", "both", "--epochs", "1", "--steps", "1"]
    with eager_steps():
        assert main([*run, *start]) == 0  # a batch of all ten frames: train has six of them
    card, first = (json.loads((folder / "model_weights.json").read_text()) for folder in (out, killed.out))
    assert card["thresholds"] == first["thresholds"]
    assert card["validation"] is None
    assert card["validation_parts"] is None


def test_recordings_that_are_held_out_are_scored_apart_and_listed(killed, tmp_path, capsys):
    second, out = tmp_path / "second", tmp_path / "run"
    make_dataset(second, recording="r1cam1", parts=[("train", 2)])
    run = ["--data", str(killed.data), str(second), "--out", str(out), "--network", "fcn1", *SIZES, "--batch", "2"]
    assert main([*run, "--epochs", "1", "--steps", "1", "--hold-out", "r1cam1", "--average", "0.9"]) == 0
    card = json.loads((out / "model_weights.json").read_text())
    assert card["settings"]["hold_out"] == ["r1cam1"]
    assert (card["data"]["train_pairs"], card["data"]["validation_pairs"]) == (6, {"held out": 2, "validation": 4})
    assert card["data"]["recordings"]["second/r1cam1 (held out)"] == 2
    assert set(card["validation_parts"]) == {"held out", "validation"}
    assert "--hold-out r1cam1 --crop-px 16" in card["command"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split() == ["second", "r1cam1", "held", "out", "2", "0", "1", "1", "64", "64", "64"]
    assert any(line.startswith("held out: score 0.") for line in lines)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_keras_trains_on_another_backend_and_the_weights_open_as_usual(data, tmp_path, backend):
    if find_spec(backend) is None:
        pytest.skip(f"NO {backend}: training on it is not tested; install it to test that")
    out = tmp_path / "out"
    given = ["--data", data, "--out", out, *SETTINGS_OF_THE_RUN, "--workers", "2", "--average", "0.9"]
    subprocess.run(
        [sys.executable, "tools/train.py", *map(str, given), "--precision", "float32"],
        cwd=REPOSITORY,
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
        capture_output=True,
    )
    assert [line.epoch for line in read_log(out / LOG)] == [1, 2, 3, 4]
    probabilities = load_network(out / WEIGHTS)(np.zeros((1, 32, 32, 3), np.float32))
    np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1.0, atol=1e-3)


def test_samples_are_a_sheet_of_the_first_batch(killed):
    with Image.open(killed.out / "samples.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (2 * 16, 16)  # two crops of 16 px
        colours = {colour for _, colour in sheet.getcolors(2 * 16 * 16)}
    assert OUTLINES[HERO] in colours  # of a batch of 2, hero_share 0.4 draws 1 from the frames with the hero


def test_the_loss_curve_is_a_picture(killed):
    with Image.open(killed.out / "loss.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) >= 400
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_resuming_a_finished_run_trains_no_more(killed, capsys):

    def left():
        return (killed.out / LOG).read_text(), load_network(killed.out / WEIGHTS).get_weights()

    log, weights = left()
    assert main([*killed.arguments, "--resume"]) == 0
    log_after, weights_after = left()
    assert log_after == log
    for mine, its in zip(weights_after, weights, strict=True):
        np.testing.assert_array_equal(mine, its)
    output, progress = capsys.readouterr()
    assert "epoch" not in progress
    assert f"weights: {killed.out / WEIGHTS}" in output.splitlines()


def refused(arguments, capsys):
    """The reason that a command is refused with, in one line, its last."""
    assert main(arguments) == 2
    reason = capsys.readouterr().err.splitlines()[-1]
    assert reason.startswith("train: ")
    return reason


def test_a_used_run_folder_is_not_overwritten(killed, capsys):
    reason = refused(killed.arguments, capsys)
    holds = f"{killed.out} holds a run: continue it by the same command with --resume"
    assert reason == f"train: expected a new run folder, but {holds}"


def test_other_settings_are_not_resumed(killed, capsys):
    reason = refused([*killed.arguments, "--resume", "--learning-rate", "0.001"], capsys)
    assert reason == (
        f"train: expected learning_rate 0.002, as {killed.out / SETTINGS} has it, to resume, got 0.001; "
        "with other settings, start a new run (--out) from its weights (--start)"
    )


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
    elif what in ("no hero", "no people"):
        for number in range(1 if what == "no hero" else 0, 6, 2):
            Image.new("RGB", (32, 32), (255, 0, 0)).save(masks / f"run1_mask_{number:05}.png")
    elif what == "no validation":
        (data / "validation").rename(data / "elsewhere")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("no folder", "expected the folder {data}, which does not exist"),
        ("no images", "expected {data}/train/images to hold *.jpeg files, found none"),
        (
            "no validation",
            "expected frames to validate on: a folder with validation/ or recordings to hold out",
        ),
        ("unpaired", "expected a mask for each image, found none for {data}/train/images/run1cam1_00003.jpeg"),
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
            "expected a whole JPEG or PNG in {data}/train/images/run1cam1_00003.jpeg, "
            "got: cannot identify image file '{data}/train/images/run1cam1_00003.jpeg'",
        ),
        ("no hero", "expected frames with and without the hero, got 0 with and 6 without"),
        ("no people", "expected frames with a whole people figure to cut out, got none"),
    ],
)
def test_bad_data_is_refused_in_one_line_and_leaves_no_run(data, capsys, what, reason):
    spoil(data, what)
    out = data.parent / "run"
    arguments = ["--data", str(data), "--out", str(out), *SIZES, "--batch", "2"]
    assert refused(arguments, capsys) == f"train: {reason.format(data=data)}"
    assert not out.exists()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (["--batch", "7"], "batch must be 1 to 6 (the whole set), got 7"),
        (["--input-px", "30"], "input size of fpn must be a multiple of 16 px, got 30"),
        (
            ["--network", "resnet"],
            "network must be one of fcn1, fcn2, fcn3, fcn4, fcn5, inception, fpn, fpn_narrow, got 'resnet'",
        ),
        (["--crop-px", "48"], "crop_px must be at most input_px, 32, got 48"),
        (
            ["--preset", "writeup"],
            "crop_px must be input_px, 32, with shift augmentation, got 16",
        ),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--profile", "nope.toml"], "expected nope.toml, which does not exist"),
        (["--resume"], "expected an interrupted run in {out} to resume, found no settings.json"),
    ],
)
def test_bad_settings_are_refused_in_one_line_and_leave_no_run(data, capsys, setting, reason):
    out = data.parent / "run"
    arguments = ["--data", str(data), "--out", str(out), *SIZES, *setting]
    assert refused(arguments, capsys) == f"train: {reason.format(out=out)}"
    assert not out.exists()


def test_settings_are_refused_before_data_is_read(tmp_path, capsys):
    arguments = ["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run"), "--input-px", "30"]
    assert "must be a multiple" in refused(arguments, capsys)


def test_a_run_folder_that_cannot_be_made_is_refused_before_data_is_read(tmp_path, capsys):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "run"
    arguments = ["--data", str(tmp_path / "nowhere"), "--out", str(out), *SIZES, "--batch", "2"]
    said = f"train: expected to be able to write into the folder {out}, got: Not a directory"
    assert refused(arguments, capsys) == said


def test_an_interruption_says_how_to_go_on(data, capsys, monkeypatch):
    def interrupted(config, training, validation, out, on_start):
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "train", interrupted)
    assert main(["--data", str(data), "--out", str(data.parent / "run"), *SIZES]) == 130
    said = "interrupted; once training has begun, the same command with --resume goes on"
    assert capsys.readouterr().err.splitlines()[-1] == said


@pytest.mark.parametrize(
    ("sets", "command"),
    [
        (["other/train", "my data/validation", "my data/sample_evaluation_data"], "run/w.keras --data {data}"),
        (["other/train", "my data/validation"], "run/w.keras --data {data} --set validation"),
        (["other/train"], None),  # recordings that are held out are no set
    ],
)
def test_the_command_to_score_takes_a_set_that_is_there(tmp_path, sets, command):
    for name in sets:
        (tmp_path / name).mkdir(parents=True)
    found = score_command(Path("run/w.keras"), [tmp_path / "other", tmp_path / "my data"])
    expected = command and f".venv/bin/python tools/evaluate.py {command.format(data=repr(str(tmp_path / 'my data')))}"
    assert found == expected


# --- command line


def test_help_names_every_setting_with_its_value_in_each_preset(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())  # however wide the terminal
    assert "--preset {fpn,fcn4,writeup,FILE.toml}" in text
    for setting in fields(TrainingConfig):
        values = [str(getattr(PRESETS[name], setting.name)) for name in ("fpn", "fcn4", "writeup")]
        shown = "default: " if len(set(values)) == 1 else f"fpn / fcn4 / writeup: {', '.join(values)})"
        assert f"--{setting.name.replace('_', '-')}" in text
        assert f"{setting.metadata['help']} ({shown}" in text


def settings_given(arguments):
    """The settings that a command line stands for."""
    options = parse(["--data", "data", "--out", "run", *arguments])
    return from_options(TrainingConfig, options, find_preset(options.preset))


def test_the_shipped_network_is_trained_if_nothing_is_said():
    assert settings_given([]) == PRESETS["fpn"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_gives_its_settings(preset):
    assert settings_given(["--preset", preset]) == PRESETS[preset]


def test_a_setting_may_differ_from_the_presets():
    given = settings_given(["--preset", "writeup", "--seed", "7", "--learning-rate", "0.0003"])
    assert given == replace(PRESETS["writeup"], seed=7, learning_rate=3e-4)


def test_an_unknown_preset_is_refused(capsys):
    reason = refused(["--data", "data", "--out", "run", "--preset", "fcn9"], capsys)
    assert reason == "train: expected a preset, fpn, fcn4, writeup or a file NAME.toml, got 'fcn9'"


def test_a_preset_comes_from_a_file_and_the_cards_command_does_not_need_it(tmp_path):
    config = replace(PRESETS["writeup"], learning_rate=3e-3, hold_out=("r1", "r2"))
    (tmp_path / "best.toml").write_text(preset_text(config))
    preset = str(tmp_path / "best.toml")
    assert settings_given(["--preset", preset]) == config
    words = shlex.split(command(preset, config, [Path("data")], Path("run")))
    assert words[6:8] == ["--preset", "fpn"]
    assert settings_given(words[6:]) == config


def test_the_preset_reaches_the_training(data, monkeypatch):
    given = []

    def noted(config, *others):
        given.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "train", noted)
    sizes = ["--input-px", "32", "--crop-px", "32"]
    main(["--data", str(data), "--out", str(data.parent / "run"), "--preset", "writeup", *sizes])
    assert given == [replace(PRESETS["writeup"], input_px=32, crop_px=32)]


def test_the_cards_command_holds_what_differs_from_the_preset():
    config = TrainingConfig(network="fcn5", empty_pull=0.25)
    assert command("fpn", config, [Path("my data"), Path("more")], Path("runs/a")) == (
        "python tools/train.py --data 'my data' more --out runs/a --preset fpn --network fcn5 --empty-pull 0.25"
    )


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("fpn", {"hold_out": ("r1", "r2")}),
        ("fcn4", {"seed": 3, "hero_share": 0.0}),
        ("writeup", {"learning_rate": 3e-05, "network": "fcn5"}),
    ],
)
def test_the_cards_command_stands_for_the_same_settings(preset, changes):
    config = replace(PRESETS[preset], **changes)
    words = shlex.split(command(preset, config, [Path("data")], Path("run")))
    assert words[:6] == ["python", "tools/train.py", "--data", "data", "--out", "run"]
    assert settings_given(words[6:]) == config


def test_every_setting_can_be_given():
    names = {"network": "fcn5", "augmentation": "light", "schedule": "constant", "keep": "best", "decision": "half"}
    names |= {"start": "other.keras", "sets": "train", "hold_out": "r1", "precision": "float32"}
    changed = dict.fromkeys((setting.name for setting in fields(TrainingConfig)), "16")
    changed |= names | {"learning_rate": "0.5", "hero_share": "0.5", "average": "0.5"}
    words = [word for name, value in changed.items() for word in (f"--{name.replace('_', '-')}", value)]
    settings = asdict(settings_given(words)).items()
    given = {name: value[0] if isinstance(value, tuple) else str(value).removesuffix(".0") for name, value in settings}
    assert given == changed


# --- what each recording brings


def test_the_table_has_a_line_for_each_recording_with_the_sizes_of_the_hero():
    some = Recording("data", "r1", "train", 120, 7, 15, np.arange(101))
    none = Recording("data", "r2", "held out", 2, 0, 1, np.array([], int))
    lines = [line.split() for line in tool.table([some, none]).splitlines()]
    assert lines[1] == ["data", "r1", "train", "120", "7", "101", "15", "5", "50", "95"]
    assert lines[3][:2] == ["left", "out:"], "the words of the heading are explained under the table"
    assert lines[2] == ["data", "r2", "held", "out", "2", "0", "0", "1", "nan", "nan", "nan"]


# --- the exam


def test_the_card_holds_what_the_weights_score_at_160_px_and_at_their_own_size(monkeypatch):
    evaluated = []

    def evaluate(weights, folders, resolution):
        evaluated.append((weights, folders))
        return int(resolution.replace("native", "256"))

    def describe(px):
        scores = {"following_images": 1, "patrol_non_targ": 2, "patrol_with_targ": 3}
        return {"resolution_px": px, **scores, "final_iou": 0.5, "weight": 0.8, "final_score": 0.4, "misses": []}

    monkeypatch.setattr(tool.evaluation, "evaluate", evaluate)
    monkeypatch.setattr(tool.evaluation, "describe", describe)
    sets = {"following_images": Path("near")}
    at_160, at_256 = tool.examine(Path("weights"), sets)
    assert evaluated == [(Path("weights"), sets)] * 2
    assert (at_160["resolution_px"], at_256["resolution_px"]) == (160, 256)
    assert (at_160["patrol_with_targ"], at_160["final_score"]) == (3, 0.4)
    assert "misses" not in at_160


def test_without_tensorflow_the_weights_are_not_examined(monkeypatch, capsys):
    """It is not needed to train on JAX or PyTorch."""
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    assert tool.examine(Path("weights"), {"following_images": Path("near")}) == []
    assert capsys.readouterr().out == "not scored on the exam: TensorFlow is not installed\n"


def test_an_exam_that_lacks_a_set_is_refused_before_the_first_step(data, capsys):
    (data / "sample_evaluation_data" / "following_images").mkdir(parents=True)
    out = data.parent / "run"
    reason = refused(["--data", str(data), "--out", str(out), *SIZES, "--batch", "2"], capsys)
    missing = data / "sample_evaluation_data" / "patrol_non_targ"
    assert reason == f"train: expected the set patrol_non_targ in {data}, found no {missing}"
    assert not out.exists()


# --- samples


def sheet_of(pictures, masks, path, **options):
    draw_samples([(normalise(np.asarray(pictures, np.uint8)), np.asarray(masks, np.uint8))], path, **options)
    with Image.open(path) as sheet:
        return np.asarray(sheet)


def test_a_sample_outlines_the_hero_in_green_and_others_in_blue(tmp_path):
    masks = np.zeros((1, 7, 7), np.uint8)
    masks[0, 1, 1], masks[0, 4:6, 4:6] = PEOPLE, HERO
    drawn = sheet_of(np.full((1, 7, 7, 3), 77), masks, tmp_path / "samples.png")
    expected = np.full((7, 7, 3), 77)
    expected[0:3, 0:3] = (0, 90, 255)
    expected[1, 1] = 77
    expected[3:7, 3:7] = (0, 255, 0)
    expected[4:6, 4:6] = 77
    np.testing.assert_array_equal(drawn, expected)


def test_samples_are_laid_out_in_rows(tmp_path):
    levels = 10 * (1 + np.arange(5))
    pictures = np.broadcast_to(levels[:, None, None, None], (5, 2, 2, 3))
    drawn = sheet_of(pictures, np.zeros((5, 2, 2)), tmp_path / "samples.png", columns=3)
    np.testing.assert_array_equal(drawn[::2, ::2, 0], [[10, 20, 30], [40, 50, 0]])
    assert drawn.shape == (4, 6, 3)


def test_a_row_is_no_wider_than_its_samples(tmp_path):
    assert sheet_of(np.zeros((3, 2, 2, 3)), np.zeros((3, 2, 2)), tmp_path / "samples.png").shape == (2, 6, 3)

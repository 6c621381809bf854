"""The search: what a space may hold, its table, and a real search that is killed, goes on and loses a worker."""

import csv
import importlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from support.dataset import save_pair
from support.waiting import wait_until

from model.recipes import PRESETS, find_preset
from model.run_folder import LOG, WEIGHTS, begin_run
from model.scoring import HERO, PEOPLE, HeroScore
from model.training_log import EpochLog, read_log, write_log
from tools import search as tool
from tools.simulator.server_process import REPOSITORY
from tools.tuning.space import Range, read_space
from tools.tuning.table import best_trial, rows, score_of, write_csv
from tools.tuning.trials import TRIAL, Record, check_trials, end, new_number, read_trials, run_folder, write_record

SPACE = """
preset = "writeup"
trials = 3
frames_per_epoch = 600

[fixed]
epochs = 9

[search]
network = ["fcn1", "fcn4"]
learning_rate = { from = 1e-4, to = 1e-2, scale = "log" }
batch = { from = 32, to = 200, step = 8 }

[[first]]
network = "fcn4"
learning_rate = 1e-4
batch = 32

[stop]
grace_epochs = 2
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "space.toml"


# --- spaces


def test_a_space_is_read(file):
    file.write_text(SPACE)
    space = read_space(file)
    assert space.search == {
        "network": ("fcn1", "fcn4"),
        "learning_rate": Range(1e-4, 1e-2, "log"),
        "batch": Range(32, 200, "linear", 8),
    }
    assert (space.trials, space.most_epochs, space.stop.grace_epochs, space.stop.reduction) == (3, 9, 2, 3)
    # 600 frames are 19 batches of 32 and 3 of 200.
    assert space.config(space.first[0]) == replace(PRESETS["writeup"], epochs=9, steps=19)
    assert space.config({"network": "fcn1", "learning_rate": 1e-3, "batch": 200}).steps == 3


@pytest.mark.parametrize("sample", sorted((REPOSITORY / "tools" / "spaces").glob("*.toml")), ids=lambda file: file.stem)
def test_the_sample_spaces_are_valid_and_begin_with_what_was_tuned_by_hand(sample):
    space = read_space(sample)
    hand_tuned = PRESETS["fpn" if sample.stem.startswith("fpn") else "writeup"]
    assert space.first[0] == {name: getattr(hand_tuned, name) for name in space.search}


def test_sizes_that_are_valid_only_together_are_found(file):
    # The preset has 256 and 192 px; `light` needs equal ones.
    file.write_text(
        'trials = 2\n[fixed]\ninput_px = 160\n[search]\naugmentation = ["light", "far"]\ncrop_px = [160, 128]\n'
    )
    assert read_space(file).base.input_px == 160


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (SPACE, "trials = ", "Invalid value (at end of document)"),
        (SPACE, "a = " + "[" * 5000, "expected TOML, got values that are nested too deeply"),
        ("trials = 3", "", "Object missing required field `trials`"),
        ("trials = 3", "trials = 0", "expected trials of 1 to 10000, got 0"),
        ("trials = 3", "trials = 3\nkeep = 1", "Object contains unknown field `keep`"),
        ("frames_per_epoch = 600", "frames_per_epoch = -1", "expected frames_per_epoch of at least 0, got -1"),
        ("grace_epochs = 2", "grace_epochs = 0", "expected stop.grace_epochs of at least 1, got 0"),
        ("grace_epochs = 2", "reduction = 1", "expected stop.reduction of at least 2, got 1"),
        ("grace_epochs = 2", 'grace_epochs = "2"', "Expected `int`, got `str` - at `$.stop.grace_epochs`"),
        ('"writeup"', '"fcn9"', "expected a preset, fpn, fcn4, writeup or a file NAME.toml, got 'fcn9'"),
        ('"fcn1", "fcn4"', "", "expected different values of network to choose from, got []"),
        ('"fcn1", "fcn4"', '"fcn4", "fcn4"', "expected different values of network to choose from, got"),
        (
            '"fcn1"',
            '"fcn9"',
            "expected a value of network that is valid with some of the others, got 'fcn9': "
            "network must be one of fcn1, fcn2, fcn3, fcn4, fcn5, inception, fpn, fpn_narrow, got 'fcn9'",
        ),
        (
            "from = 32",
            "from = 0",
            "expected a value of batch that is valid with some of the others, got 0: "
            "batch must be at least 2, for frames with and without the hero, got 0",
        ),
        ("from = 32", "from = 200", "expected a range of batch from a number to a larger one, got 200 to 200"),
        ("from = 32", "from = 32.5", "batch: Expected `int`, got `float`, 32.5"),
        ("step = 8", "step = 0", "expected a step of batch above 0 and up to 168, got 0"),
        ("step = 8", 'scale = "log", step = 8', "expected a range of batch above 0 and without step for the scale log"),
        ('"log"', '"cubic"', "Invalid enum value 'cubic' - at `$.search"),
        (
            'network = ["fcn1"',
            'keep = ["best"]\nnetwork = ["fcn1"',
            "expected in [search] no setting that changes the score's",
        ),
        ('network = ["fcn1"', 'net = ["fcn1"', "expected a setting of tools/train.py (see its --help, with _ for -)"),
        ("epochs = 9", "batch = 8", "expected a setting in [fixed] or in [search], got batch in both"),
        ("epochs = 9", 'sets = "both"', "keep must be last with sets both"),
        ("epochs = 9", "validation_steps = 5", "expected validation_steps 0 where batch is searched"),
        ("epochs = 9\n\n[search]", "[search]\nsteps = [1, 2]", "expected steps to follow from frames_per_epoch"),
        ("batch = 32\n", "", "expected a value for each of network, learning_rate, batch in [[first]], got network"),
        ("batch = 32\n", "batch = 8\n", "expected batch in [[first]] to be in its range or choice, got 8"),
        ("batch = 32\n", "batch = 100\n", "expected batch in [[first]] to be in its range or choice, got 100"),
    ],
)
def test_a_bad_space_is_refused_in_one_line(file, before, after, reason):
    assert before in SPACE
    file.write_text(SPACE.replace(before, after))
    with pytest.raises(ValueError) as caught:
        read_space(file)
    assert str(caught.value).startswith(f"expected a search space in {file}, got: {reason}")
    assert "\n" not in str(caught.value)


# --- the folder of a search


@pytest.fixture
def space(file):
    file.write_text(SPACE)
    return read_space(file)


def save_trial(out, number, scores, weights=False, **parameters):
    """A trial with these numbers of true and false positives after each epoch, and an IoU of 0.5."""
    folder = run_folder(out, number)
    write_record(folder, Record({"network": "fcn1", "learning_rate": 0.001, "batch": 96} | parameters))
    log = [EpochLog(epoch, 1 / epoch, HeroScore(0.5, *score, 0)) for epoch, score in enumerate(scores, start=1)]
    write_log(folder / LOG, log)
    if weights:
        (folder / WEIGHTS).touch()
    return folder


def test_the_table_has_a_row_for_each_trial_best_first_in_the_original_reports_columns(tmp_path, space):
    end(save_trial(tmp_path, 0, [(1, 1), (3, 1), (1, 1)], weights=True))
    end(save_trial(tmp_path, 1, [(4, 0)], network="fcn4"))
    end(save_trial(tmp_path, 2, []), "ValueError: no luck")
    save_trial(tmp_path, 3, [(1, 3)])
    trials = read_trials(tmp_path)
    table = rows(trials, space)
    write_csv(table, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="") as stream:
        written = list(csv.DictReader(stream))
    assert [*written[0]][:8] == [
        *("trial", "network", "learning rate", "batch size", "epochs", "steps per epoch", "validation steps", "workers")
    ]
    shown = (
        "trial",
        "network",
        "epochs trained",
        "training loss",
        "validation score",
        "false alarms",
        "state",
        "error",
    )
    assert [tuple(row[name] for name in shown) for row in written] == [
        ("1", "fcn4", "1", "1.0", "0.5", "0", "stopped", ""),
        ("0", "fcn1", "3", "0.5", "0.375", "1", "finished", ""),  # 0.5 · 3 / 4, of the second epoch
        ("3", "fcn1", "1", "1.0", "0.125", "3", "running", ""),
        ("2", "fcn1", "0", "", "", "", "failed", "ValueError: no luck"),
    ]
    best = best_trial(trials, space)
    assert best is not None
    assert best.number == 0  # of the finished ones


def test_a_trial_of_settings_that_do_not_go_together_is_a_row(tmp_path, space):
    end(save_trial(tmp_path, 0, [], batch=1), "ValueError: batch must be at least 2")
    end(save_trial(tmp_path, 1, [(4, 0)], weights=True))
    trials = read_trials(tmp_path)
    assert [(row["trial"], row["batch size"], row["state"]) for row in rows(trials, space)] == [
        (1, 96, "finished"),
        (0, 1, "failed"),
    ]
    assert best_trial(trials, space).number == 1


def test_a_trial_of_settings_that_do_not_go_together_has_no_score_while_it_starts(tmp_path, space):
    save_trial(tmp_path, 0, [], batch=1)
    assert score_of(read_trials(tmp_path)[0], space) is None


def test_a_new_trial_does_not_go_on_in_the_folder_of_a_trial_that_is_forgotten(tmp_path):
    assert new_number(tmp_path) == 0
    end(save_trial(tmp_path, 0, [(1, 1)], weights=True))
    forgotten = save_trial(tmp_path, 1, [(1, 1)])
    (forgotten / TRIAL).unlink()  # as docs/search.md says
    assert [trial.number for trial in read_trials(tmp_path)] == [0]
    assert new_number(tmp_path) == 2


def test_a_trial_without_a_score_is_not_the_best(tmp_path, space):
    end(save_trial(tmp_path, 0, []), "killed")
    assert best_trial(read_trials(tmp_path), space) is None


def test_a_damaged_trial_is_named(tmp_path):
    folder = save_trial(tmp_path, 0, [])
    (folder / "trial.json").write_text("{")
    with pytest.raises(ValueError, match=re.escape(f"expected a trial of a search in {folder / 'trial.json'}, got: ")):
        read_trials(tmp_path)


@pytest.mark.parametrize("name", ["0000 (copy)", "backup", "7"])
def test_a_folder_that_is_no_trials_is_named(tmp_path, name):
    shutil.copytree(save_trial(tmp_path, 0, []), tmp_path / "trials" / name)
    with pytest.raises(ValueError, match=rf"expected only trials 0000, 0001, … in .*trials, got {re.escape(name)}$"):
        read_trials(tmp_path)


def test_a_search_does_not_go_on_with_trials_of_other_frames_or_settings(tmp_path, space):
    folder, digests = save_trial(tmp_path, 0, []), {"validation frames": "a"}
    (folder / "begun_with.json").write_text(json.dumps(digests | {"profiles": "b"}))
    check_trials(read_trials(tmp_path), space, digests)
    with pytest.raises(ValueError, match=r"expected the validation frames that the run in .*0000 was begun with"):
        check_trials(read_trials(tmp_path), space, {"validation frames": "c"})
    other = replace(space, search={"network": ("fcn1",)}, first=())
    with pytest.raises(ValueError, match=r"expected values of network in .*trial\.json, got network, learning_rate"):
        check_trials(read_trials(tmp_path), other, digests)


def test_a_search_does_not_go_on_after_its_presets_file_has_changed(tmp_path, space):
    folder = save_trial(tmp_path, 0, [])
    begin_run(folder, space.config(read_trials(tmp_path)[0].record.parameters), {})
    check_trials(read_trials(tmp_path), space, {})
    changed = replace(space, base=replace(space.base, hero_weight=7.0))
    with pytest.raises(ValueError, match=r"expected hero_weight 1\.0, as .*0000.settings\.json has it, .*\(--out\)$"):
        check_trials(read_trials(tmp_path), changed, {})


def test_a_search_goes_on_in_its_folder_with_the_same_space_or_more_trials_only(tmp_path, space):
    out = tmp_path / "out"
    tool.check_folder(out, space)
    out.mkdir()
    (out / "space.toml").write_text(SPACE)
    tool.check_folder(out, replace(space, trials=100))
    with pytest.raises(ValueError, match=r"expected the space of .*space\.toml to go on with that search"):
        tool.check_folder(out, replace(space, seed=1))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpeg").touch()
    with pytest.raises(ValueError, match=r"expected a new or empty folder or that of a search, but .* holds other"):
        tool.check_folder(tmp_path / "photos", space)


def test_what_a_search_needs_is_told_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(tool.importlib.util, "find_spec", lambda name: None if name == "ray" else object())
    with pytest.raises(
        ValueError, match=r"ray not installed: .*requirements-search\.lock' installs what a search needs"
    ):
        tool.check_packages()


# --- a real search

# Ray starts first, and each trial imports TensorFlow in a process of its own.
PATIENCE_S = 600
REAL_SPACE = """
preset = "writeup"
trials = 3

[fixed]
network = "fcn1"
input_px = 32
crop_px = 32
steps = 2
validate_every = 1
precision = "float32"

[search]
batch = [2, 3, 100]
epochs = [20, 100000]

[[first]]  # is killed with the whole search, and goes on
batch = 2
epochs = 20

[[first]]  # fails: there are six frames
batch = 100
epochs = 20

[[first]]  # its worker is killed
batch = 3
epochs = 100000

[stop]
grace_epochs = 100000
"""


def make_dataset(folder: Path) -> None:
    """Six frames to train on and four to validate on; in turns a blue person and the hero, red."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("validation", 4)):
        for number in range(count):
            image, classes = rng.integers(0, 100, (32, 32, 3), dtype=np.uint8), np.zeros((32, 32), int)
            classes[12:20, 12:20] = HERO if number % 2 else PEOPLE
            image[classes == HERO], image[classes == PEOPLE] = (250, 20, 20), (20, 20, 250)
            save_pair(folder, f"run1_{number:05}", image, (np.eye(3)[classes] * 255).astype(np.uint8), part)


class Searched:
    """A search that was killed with signal 9, went on, and lost the worker of its last trial."""

    def __init__(self, folder: Path) -> None:
        make_dataset(folder / "data")
        (folder / "space.toml").write_text(REAL_SPACE)
        self.folder, self.out = folder, folder / "out"
        first = self.start()
        wait_until(lambda: len(self.log(0)) >= 2, "two epochs of the first trial", PATIENCE_S)
        self.killed_after = self.log(0)
        first.kill()
        first.communicate()
        second = self.start()
        wait_until(lambda: len(self.log(2)) >= 2, "two epochs of the last trial", PATIENCE_S)
        (worker,) = (
            child for child in psutil.Process(second.pid).children(recursive=True) if "ImplicitFunc" in title(child)
        )
        worker.kill()
        self.output, self.errors = second.communicate(timeout=PATIENCE_S)
        self.status = second.returncode
        with (self.out / "trials.csv").open(newline="") as stream:
            self.table = {int(row["trial"]): row for row in csv.DictReader(stream)}

    def start(self) -> subprocess.Popen:
        arguments = ["--space", "space.toml", "--data", "data", "--out", "out", "--at-once", "1"]
        return subprocess.Popen(
            [sys.executable, REPOSITORY / "tools" / "search.py", *arguments],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def log(self, number: int) -> list[EpochLog]:
        return read_log(run_folder(self.out, number) / LOG)


def title(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    for package in ("optuna", "plotly", "ray"):
        pytest.importorskip(package, reason=f"NO {package}: 'make search-test' installs it and runs these tests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))  # of Ray's workers
        return Searched(tmp_path_factory.mktemp("searched"))


def test_the_search_ends_well_though_two_trials_fail(searched):
    assert searched.status == 0, searched.errors
    assert "2 of 3 trials failed" in searched.output


def test_the_search_tells_what_each_trial_tries_and_how_it_goes(searched):
    assert "trial 0: batch 2, epochs 20\n" in searched.output
    assert re.search(r"^trial 0, epoch 20: validation score 0\.\d{3}$", searched.output, re.MULTILINE)
    assert re.search(r"^1 of 3: trial 0 finished after epoch 20$", searched.output, re.MULTILINE)
    assert re.search(r"^2 of 3: trial 1 failed after epoch 0: ValueError: batch must be", searched.output, re.MULTILINE)


def test_a_trial_that_was_killed_with_the_search_goes_on_after_its_last_epoch(searched):
    log = searched.log(0)
    assert log[: len(searched.killed_after)] == searched.killed_after
    assert [line.epoch for line in log] == list(range(1, 21))
    assert (searched.table[0]["state"], searched.table[0]["epochs trained"]) == ("finished", "20")
    assert (run_folder(searched.out, 0) / WEIGHTS).exists()


def test_a_trial_that_fails_and_one_whose_worker_is_killed_are_rows_with_their_reasons(searched):
    assert sorted(searched.table) == [0, 1, 2]
    assert searched.table[1]["state"] == searched.table[2]["state"] == "failed"
    assert searched.table[1]["error"] == "ValueError: batch must be 1 to 6 (the whole set), got 100"
    assert searched.table[2]["error"].startswith("ActorDiedError: its worker process has died.")


def test_the_best_trial_is_a_preset(searched):
    settings = json.loads((run_folder(searched.out, 0) / "settings.json").read_text())
    best = find_preset(str(searched.out / "best.toml"))
    assert json.loads(json.dumps(asdict(best))) == settings


def test_the_page_opens_offline_and_has_everything(searched):
    page = (searched.out / "report.html").read_text()
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page) == []
    assert "Plotly.newPlot" in page
    assert "batch must be 1 to 6 (the whole set), got 100" in page
    for title in ("Loss and validation score", "Importance of each setting", "Parallel coordinates"):
        assert f"<h2>{title}</h2>" in page


def test_each_trial_has_logs_for_tensorboard(searched):
    assert list((run_folder(searched.out, 0) / "tensorboard").rglob("events.out.tfevents.*"))


def test_a_finished_search_is_not_run_again(searched):
    before = (run_folder(searched.out, 0) / LOG).stat()
    again = searched.start()
    output, errors = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, errors
    assert (run_folder(searched.out, 0) / LOG).stat() == before
    assert "best: trial 0, " in output


# --- what Ray Tune is told


@pytest.fixture
def runner():
    """The module that drives Ray; skips loudly without it."""
    pytest.importorskip("ray", reason="NO RAY: 'make search-test' installs it and runs these tests")
    return importlib.import_module("tools.tuning.runner")


def test_the_sampler_knows_earlier_trials_and_begins_with_those_that_are_not_over(tmp_path, space, runner):
    end(save_trial(tmp_path, 0, [(1, 1)], weights=True))
    end(save_trial(tmp_path, 1, []), "killed")
    save_trial(tmp_path, 2, [(1, 3)], batch=48)
    sampler = runner.Sampler(space, tmp_path, read_trials(tmp_path))
    suggestions = [sampler.suggest(name) for name in "abc"]
    assert [each["number"] for each in suggestions] == [2, 3, 4]
    assert suggestions[0]["parameters"] == {"network": "fcn1", "learning_rate": 0.001, "batch": 48}
    assert suggestions[1]["parameters"] == space.first[0]
    assert [trial.record.state for trial in read_trials(tmp_path)] == ["finished", "failed", *["running"] * 3]


def test_asha_goes_on_where_it_was(tmp_path, space, runner):
    """At epoch 2 the earlier trials have scores of 0.5 and 0.25; a third one goes on if it beats the upper third."""
    end(save_trial(tmp_path, 0, [(1, 1), (4, 0)], weights=True))
    end(save_trial(tmp_path, 1, [(1, 1), (1, 1)]))
    for score, decision in ((0.3, "STOP"), (0.6, "CONTINUE")):
        halving = runner.NumberedAsha(space, read_trials(tmp_path))
        new = SimpleNamespace(config={"number": 2})
        halving.on_trial_add(None, new)
        assert halving.on_trial_result(None, new, {"epoch": 1, "score": 0.0}) == "CONTINUE"
        assert halving.on_trial_result(None, new, {"epoch": 2, "score": score}) == decision

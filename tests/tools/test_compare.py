import json
from types import SimpleNamespace

import pytest
from support.dataset import save_frames
from support.eager import eager_steps

from model import budget
from model.dataset import read_set
from model.fcn import Widths
from model.networks import NETWORKS
from model.recipes import PRESETS
from model.run_folder import WEIGHTS
from model.scoring import EVALUATION_SETS
from tools import compare
from tools.compare import base_config, main, parse

TINY = {"small": Widths((), 4, ()), "larger": Widths((4,), 4, (4,))}


@pytest.fixture
def data(tmp_path, monkeypatch):
    for name in ("train", "validation", *(f"sample_evaluation_data/{name}" for name in EVALUATION_SETS)):
        save_frames(tmp_path / "data" / name, 16 if name == "train" else 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, widths in TINY.items():
        monkeypatch.setitem(NETWORKS, name, widths)
    monkeypatch.setattr(compare, "SCORED_AT_PX", 32)
    monkeypatch.setattr(budget, "TIMED_STEPS", 2)
    for name in ("in_budget", "train"):  # all but the conversion of what was trained
        monkeypatch.setattr(compare, name, eager_steps()(getattr(compare, name)))
    return tmp_path / "data"


def test_networks_are_trained_scored_and_compared_in_one_table_and_not_trained_again(
    data, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "runs"
    arguments = ["--data", str(data), "--out", str(out), "--minutes", "1e-9"]  # one batch
    monkeypatch.setattr(compare, "NETWORKS", TINY)
    assert main([*arguments, "--networks", "small"]) == 0
    assert "small: 1 batches of 16\n" in capsys.readouterr().out
    before = (out / "small" / WEIGHTS).read_bytes()
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "larger: " in output
    assert "small: " not in output
    assert (out / "small" / WEIGHTS).read_bytes() == before
    lines = [line for line in output.splitlines() if line.startswith("|")]
    assert lines[0].startswith("| network | parameters | multiply-adds | ms/frame | batches | score |")
    # Bottleneck (12 + 4) + 16, output 12 + 3: 47.
    # Encoder (9·3 + 3·4 + 4) + 16, bottleneck (16 + 4) + 16, decoder (9·7 + 7·4 + 4) + 16, output 12 + 3: 221.
    assert [line.split(" | ")[:2] for line in lines[2:]] == [["| small", "47"], ["| larger", "221"]]
    rows = json.loads((out / "comparison.json").read_text())
    assert [row["network"] for row in rows] == ["small", "larger"]
    for row in rows:
        assert row["batches"] == 1
        assert row["ms_per_frame"] > 0
        assert 0 <= row["final_score"] <= 1
        assert row["false_alarms"] <= 6
        assert row["missed"] <= 6


def test_a_budget_and_measured_steps_are_kept(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "NETWORKS", {"small": TINY["small"]})
    arguments = ["--data", str(data), "--out", str(tmp_path / "runs"), "--networks", "small"]
    assert main([*arguments, "--minutes", "1e-9"]) == 0
    assert main([*arguments, "--minutes", "2"]) == 2
    assert "expected --minutes 1e-09, the budget in " in capsys.readouterr().err
    (tmp_path / "runs" / compare.BUDGET).write_text("")  # as a kill of an older version left it
    assert main([*arguments, "--minutes", "1e-9"]) == 2
    assert f"the budget in {tmp_path / 'runs' / compare.BUDGET}, got 1e-09" in capsys.readouterr().err
    begun = compare.interrupted_config(tmp_path / "runs" / "small")
    assert (begun.network, begun.epochs, begun.steps) == ("small", 1, 1)
    assert compare.interrupted_config(tmp_path / "runs" / "other") is None


def test_networks_that_learned_from_other_frames_are_not_compared(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "NETWORKS", {"small": TINY["small"]})
    arguments = ["--data", str(data), "--out", str(tmp_path / "runs"), "--networks", "small", "--minutes", "1e-9"]
    assert main(arguments) == 0
    for kind in ("images", "masks"):
        min((data / "train" / kind).iterdir()).unlink()
    assert main(arguments) == 2
    assert "compare: expected the frames to learn from that the run in " in capsys.readouterr().err


def test_the_steps_are_those_that_take_the_budgets_cpu_time(data, monkeypatch):
    now_s = iter((100.0, 103.0))  # before and after the two steps
    monkeypatch.setattr(compare, "time", SimpleNamespace(process_time=lambda: next(now_s)))
    config = compare.in_budget(compare.base_config("small"), read_set(data / "train", 32), budget_s=60.0)
    assert (config.epochs, config.steps) == (1, 40)


def test_a_network_that_is_given_twice_counts_once():
    options = parse(["--data", "data", "--out", "out", "--networks", "fcn2", "fcn1", "fcn2"])
    assert options.networks == ("fcn2", "fcn1")


def test_all_but_the_network_and_its_resolution_is_the_same():
    one, other = base_config("fcn3"), base_config("fpn")
    assert (one.network, one.input_px, one.crop_px) == ("fcn3", 160, 160)
    assert (other.network, other.input_px, other.crop_px) == ("fpn", 256, 192)
    assert one.augmentation == other.augmentation == "far"
    assert other == PRESETS["fpn"]


def test_a_missing_evaluation_set_is_told_before_anything_is_trained(data, tmp_path, capsys):
    (data / "sample_evaluation_data" / EVALUATION_SETS[1]).rename(data / "elsewhere")
    assert main(["--data", str(data), "--out", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.startswith(f"compare: expected the set {EVALUATION_SETS[1]} in {data}")
    assert not (tmp_path / "runs").exists()

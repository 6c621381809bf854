"""What make.py runs, without running it: `make` and Windows set the project up by it."""

import os
import re
import sys
from pathlib import Path

import pytest

import make
from tools.simulator.server_process import REPOSITORY


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to set up in."""
    for kind in ("", "-demo", "-fleet", "-search"):
        (tmp_path / f"requirements{kind}.lock").touch()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(make, "ROOT", tmp_path)
    monkeypatch.setattr(make, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(make.signal, "signal", lambda *_: None)
    return tmp_path


@pytest.fixture
def ran(monkeypatch):
    """The commands that were run, one line each; and words: a command with one of these words fails with status 3."""
    lines: list[str] = []
    failing: list[str] = []

    def call(command, cwd):
        assert cwd == make.ROOT
        lines.append(" ".join(map(str, command)))
        return 3 if any(word in lines[-1] for word in failing) else 0

    monkeypatch.setattr(make.subprocess, "call", call)
    return lines, failing


def test_the_first_target_sets_up_and_the_next_one_does_not(place, ran):
    lines, _ = ran
    assert make.main(["demo"]) == 0
    venv, locked, editable, demo = lines
    assert venv == f"{sys.executable} -m venv --clear {place / '.venv'}"
    assert locked.endswith("--require-hashes --requirement requirements-demo.lock")
    assert editable.endswith("--no-deps --no-build-isolation --editable .")
    assert demo == f"{make.PYTHON} tools/demo.py"
    lines.clear()
    assert make.main(["demo"]) == 0
    assert lines == [demo]


def test_everything_is_installed_for_the_tests_and_then_serves_the_demo(place, ran):
    lines, _ = ran
    assert make.main(["demo"]) == 0
    lines.clear()
    assert make.main(["test"]) == 0
    assert lines[1].endswith("--require-hashes --requirement requirements.lock")
    assert [line.split()[2] for line in lines[3:]] == ["ruff", "ruff", "mypy", "pytest"]
    lines.clear()
    assert make.main(["demo"]) == 0
    assert lines == [f"{make.PYTHON} tools/demo.py"]


def test_a_fleet_is_added_to_what_is_installed_once(place, ran):
    lines, _ = ran
    assert make.main(["fleet"]) == 0
    assert lines[1].endswith("--require-hashes --requirement requirements-demo.lock")
    assert lines[3].endswith("--require-hashes --requirement requirements-fleet.lock")
    assert lines[4] == f"{make.PYTHON} tools/fleet.py"
    lines.clear()
    assert make.main(["fleet"]) == 0
    assert lines == [f"{make.PYTHON} tools/fleet.py"]


def test_the_packages_of_a_search_are_added_for_its_tests(place, ran):
    lines, _ = ran
    assert make.main(["search-test"]) == 0
    assert lines[1].endswith("--require-hashes --requirement requirements.lock")
    assert lines[3].endswith("--require-hashes --requirement requirements-search.lock")
    assert lines[4].endswith("-m pytest tests/tools/test_search.py")


def test_a_newer_lock_sets_up_anew(place, ran):
    lines, _ = ran
    assert make.main(["setup"]) == 0
    os.utime(place / "requirements.lock", (2**32, 2**32))
    assert make.main(["setup"]) == 0
    assert len(lines) == 6


def test_what_fails_ends_it_with_its_status_and_is_done_again(place, ran, capsys):
    lines, failing = ran
    failing.append("--require-hashes")
    assert make.main(["quick"]) == 3
    assert len(lines) == 2
    failing.clear()
    assert make.main(["quick"]) == 0
    assert len(lines) == 2 + 4
    assert capsys.readouterr().out.endswith("The quick tests passed. Next: 'make test' runs all of them.\n")


@pytest.mark.parametrize("wrong", [("LEAST_PYTHON", (9, 0)), ("VENV", Path(sys.prefix))])
def test_an_old_python_and_the_one_that_would_be_replaced_are_refused(place, ran, monkeypatch, capsys, wrong):
    monkeypatch.setattr(make, *wrong)
    assert make.main(["setup"]) == 1
    assert "Python 3.11 or newer is needed, outside of .venv" in capsys.readouterr().err
    assert ran[0] == []


def test_the_makefile_passes_its_targets_on():
    makefile = (REPOSITORY / "Makefile").read_text()
    passed_on = re.findall(r"^([\w-]+):\n\t@\$\(PYTHON\) make\.py ([\w-]+)$", makefile, re.MULTILINE)
    assert passed_on == [(target, target) for target in dict(passed_on)]
    assert set(dict(passed_on)) == {*make.TARGETS, "help"}

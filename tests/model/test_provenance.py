"""Which commit a network comes from, and the content of its card."""

import re
import shutil
import subprocess

import pytest

from model import provenance
from model.provenance import card_content, commit, write_card


def git(folder, *words):
    names = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *names, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder that holds the module, and lies in no repository."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "provenance.py").write_text("print()\n")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    return tmp_path


@pytest.mark.skipif(not shutil.which("git"), reason="no git here")
def test_the_commit_is_told_and_whether_files_differ_from_it(code):
    git(code, "init", "--quiet")
    git(code, "add", "provenance.py")
    git(code, "commit", "--quiet", "--message", "All there is")
    head = git(code, "rev-parse", "HEAD")
    assert re.fullmatch("[0-9a-f]{40}", head)
    assert commit() == head
    (code / "provenance.py").write_text("print(1)\n")
    assert commit() == f"{head}, changed"


def test_code_outside_of_a_repository_has_no_commit(code):
    assert commit() == "unknown: not in a git repository"


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit() == "unknown: not in a git repository"


def test_the_whole_content_of_a_card_is_read_where_there_is_one(tmp_path):
    weights = tmp_path / "network.keras"
    assert card_content(weights) is None
    (tmp_path / "network.json").write_text('{"seed": 1, "anything": [2]}')
    assert card_content(weights) == {"seed": 1, "anything": [2]}


def test_the_whole_content_of_a_card_is_written(tmp_path):
    weights = tmp_path / "network.keras"
    write_card(weights, {"seed": 1})
    write_card(weights, {"seed": 2, "anything": [3]})
    assert card_content(weights) == {"seed": 2, "anything": [3]}
    assert [file.name for file in tmp_path.iterdir()] == ["network.json"]

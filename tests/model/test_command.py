"""How commands begin, fail and end."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model.command import (
    check_output_file,
    check_output_folder,
    command,
    command_parser,
    error_text,
    make_output_folder,
    one_line,
    print_text,
    printable,
)


def main_that(act):
    @command("tool", interrupted="interrupted; the same command continues")
    def main() -> int:
        act()
        return 1

    return main


def raising(error):
    def act():
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "status", "said"),
    [
        (lambda: None, 1, ""),
        (raising(ValueError("expected this, got that")), 2, "tool: expected this, got that\n"),
        (raising(FileNotFoundError("found none")), 2, "tool: found none\n"),
        (raising(MemoryError()), 2, "tool: MemoryError\n"),
        (
            raising(ModuleNotFoundError("No module named 'nncf.x'", name="nncf.x")),
            2,
            "tool: nncf is not installed: 'make setup' installs everything\n",
        ),
        (
            raising(ModuleNotFoundError("No module named 'ray'", name="ray")),
            2,
            "tool: ray is not installed: '.venv/bin/pip install --require-hashes --requirement "
            "requirements-fleet.lock' installs it\n",
        ),
        (raising(ValueError("got \x1b[2J\x07")), 2, "tool: got \\x1b[2J\\x07\n"),
        (raising(KeyboardInterrupt), 130, "\ninterrupted; the same command continues\n"),
    ],
)
def test_an_expected_error_is_a_line_and_a_status(act, status, said, capsys):
    assert main_that(act)() == status
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nope.toml", "expected nope.toml, which does not exist"),
        ("no/such/file", "expected the folder no, which does not exist"),
        ("folder", "expected a file, got the folder folder"),
        ("file/inside", "expected a folder, got the file file"),
        ("loop", "expected to be able to use loop, got: Too many levels of symbolic links"),
    ],
)
def test_an_error_of_the_system_says_what_was_expected_and_what_came(path, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert main_that(lambda: Path(path).read_text())() == 2
    assert capsys.readouterr().err == f"tool: {said}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EIO, "Input/output error", 3), "Input/output error"),  # of an open file's number
        (ConnectionError("closed by the server"), "closed by the server"),
        (ValueError("expected this, got that"), "expected this, got that"),
    ],
)
def test_the_text_of_an_error_has_no_number(error, said):
    assert error_text(error) == said


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("1/0"), ModuleNotFoundError("No module named 'model.x'", name="model.x")]
)
def test_an_error_of_our_own_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        main_that(raising(error))()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ω 2 m, naïve", "Ω 2 m, naïve"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\rb", "a\\rb"),
        ("\x9b31m", "\\x9b31m"),
        ("left\u202eright", "left\\u202eright"),
        ("\udcff", "\\udcff"),
    ],
)
def test_text_from_files_has_no_power_over_a_terminal(text, shown):
    assert printable(text) == shown


def test_printed_text_keeps_its_lines(capsys):
    print_text("one\x1b\ntwo")
    assert capsys.readouterr().out == "one\\x1b\ntwo\n"


@pytest.mark.parametrize(
    ("line", "data", "frames"),
    [
        ("--data a b", ["a", "b"], [100, 300]),
        ("--data a --frames 5 --data b c", ["a", "b", "c"], [5]),
        ("--data a --frames 5 --frames 7", ["a"], [5, 7]),
    ],
)
def test_an_option_of_several_values_may_be_given_several_times(line, data, frames):
    parser = command_parser("A command.")
    parser.add_argument("--data", nargs="+")
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 300])
    assert vars(parser.parse_args(line.split())) == {"data": data, "frames": frames}


def test_of_an_option_of_one_value_the_last_counts():
    parser = command_parser("A command.")
    parser.add_argument("--out")
    assert parser.parse_args(["--out", "a", "--out", "b"]).out == "b"


def test_a_new_output_file_is_checked_and_not_left(tmp_path):
    check_output_file(tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_file_stays_as_it_is(tmp_path):
    (tmp_path / "x.json").write_text("old")
    check_output_file(tmp_path / "x.json")
    assert (tmp_path / "x.json").read_text() == "old"


@pytest.mark.parametrize(("name", "reason"), [("", "Is a directory"), ("nowhere/x.json", "No such file or directory")])
def test_an_output_file_that_cannot_be_written_is_refused(tmp_path, name, reason):
    with pytest.raises(OSError, match="expected to be able to write") as caught:
        check_output_file(tmp_path / name)
    assert str(caught.value) == f"expected to be able to write {tmp_path / name}, got: {reason}"


def test_an_output_folder_is_made_and_one_that_cannot_be_is_refused(tmp_path):
    make_output_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"expected to be able to write into the folder .*/file, got: File exists"):
        make_output_folder(tmp_path / "file")


def test_an_output_folder_for_later_is_checked_and_not_made(tmp_path):
    check_output_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(OSError, match=f"expected to be able to write into the folder {folder}, got: Not a"):
            check_output_folder(folder)


# It waits in short steps: a signal that comes just before a sleep begins is handled after it.
PROGRAM = """
import sys, time
from model.command import command, run_command
from model.startup import begin_command

@command("tool")
def main():
    wait("working")
    return 0

def wait(moment):
    if sys.argv[1] == moment:
        print(moment, flush=True)
        while True:
            time.sleep(0.1)

begin_command(__name__)
wait("importing")
import atexit
atexit.register(lambda: print("ending", flush=True) or sys.stdin.read())
run_command(main)
"""


@pytest.mark.parametrize(("moment", "status"), [("importing", 130), ("working", 130), ("ending", 0)])
def test_ctrl_c_shows_no_traceback_at_any_moment(moment, status):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, moment],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == f"{moment}\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors == ("\ninterrupted\n" if status else "")


@pytest.mark.parametrize(
    ("before", "said"), [("default_int_handler", "a process, interrupted"), ("SIG_IGN", "a process, on")]
)
def test_ctrl_c_while_something_is_begun_takes_effect_when_it_is_known(before, said):
    """In a process of its own, as a test's process may be about anything else."""
    program = (
        "import signal; from model.command import interrupt_put_off\n"
        f"signal.signal(signal.SIGINT, signal.{before})\n"
        "try:\n"
        "    with interrupt_put_off():\n"
        "        signal.raise_signal(signal.SIGINT); print('a process', end=', ')\n"
        "    print('on')\n"
        "except KeyboardInterrupt:\n"
        f"    assert signal.getsignal(signal.SIGINT) is signal.{before}\n"
        "    print('interrupted')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.stdout.strip(), ran.stderr) == (said, "")


def test_sigterm_while_something_is_begun_takes_effect_when_it_is_known():
    program = (
        "import signal, sys; from model.command import interrupt_put_off\n"
        "signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))\n"
        "with interrupt_put_off():\n"
        "    signal.raise_signal(signal.SIGTERM); print('a process', end=', ')\n"
        "print('on')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("a process, ", "", 128 + signal.SIGTERM)


def test_an_error_of_many_lines_is_told_in_one():
    pages = "\x1b[1mException encountered when calling Conv2D.call().\x1b[0m\n\nthe shapes\n differ"
    assert one_line(ValueError(f"{pages}\n\nArguments received by Conv2D")) == "the shapes differ"
    assert one_line("ab " * 100, 5) == "ab ab"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"

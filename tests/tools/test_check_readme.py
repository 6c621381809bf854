"""The commands of the documentation: found as they stand, run as they stand, and known to the programs they name."""

import functools
import importlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace

import pytest
from support.waiting import wait_until

import make
from tools import check_readme
from tools.documentation.clone import clone_of, without_comment
from tools.documentation.commands import Command, pages, read_commands
from tools.simulator.server_process import REPOSITORY, free_port

PAGES = pages(REPOSITORY)
COMMANDS = [command for page in PAGES for command in read_commands(REPOSITORY, page)]
# In the prose, too, a command must be one that exists.
MENTIONED = re.compile(
    r"`((?:\.venv/bin/python |python |py -3\.12 )?(?:make|make\.py|(?:tools|server)/\w+\.py)(?: [^`]*)?)`"
)


def mentioned():
    for page in PAGES:
        for number, line in enumerate((REPOSITORY / page).read_text().splitlines(), 1):
            yield from (Command(page, number, text=text) for text in MENTIONED.findall(line))


@functools.cache
def usage(program):
    """The help of a Python program of the repository."""
    if not program.startswith("tools/"):  # the server prepares its process when it is imported
        command = [sys.executable, REPOSITORY / program, "--help"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit, match=r"^0$"):
        importlib.import_module(program.removesuffix(".py").replace("/", ".")).main(["--help"])
    return printed.getvalue()


def mistakes(command):
    """Names in a command that do not exist."""
    if command.shell == "powershell":
        command = replace(command, text=command.text.replace("\\", "/"))
    for part in re.split(r" && | \| ", f"{without_comment(command.text)} {command.run_with}"):
        words = shlex.split(part)
        if words[0] in ("python", "py", ".venv/bin/python", ".venv/Scripts/python"):
            words = [word for word in words[1:] if word != "-3.12"]
        program, *arguments = words
        if program in ("make.py", "make"):
            targets = set(make.TARGETS)
            if program == "make":
                targets |= set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
            yield from (word for word in arguments if "=" not in word and word not in targets)
        elif program.endswith(".py") and not (REPOSITORY / program).is_file():
            yield program
        elif program.endswith(".py"):
            options = [word for word in arguments if word.startswith("-")]
            known = set(re.findall(r"--?[a-z][a-z0-9_-]*", usage(program))) if options else set()
            yield from (option for option in options if option not in known)


def test_the_documentation_shows_commands():
    assert len(COMMANDS) > 30
    assert sum(not command.not_run for command in COMMANDS) > 20


@pytest.mark.parametrize("page", PAGES)
def test_every_command_names_programs_targets_and_options_that_exist(page):
    wrong = {f"{command.place}: {wrong}" for command in COMMANDS if command.page == page for wrong in mistakes(command)}
    wrong |= {f"{each.place}: {wrong}" for each in mentioned() if each.page == page for wrong in mistakes(each)}
    assert wrong == set()


@pytest.mark.parametrize("page", PAGES)
def test_no_command_stands_outside_of_the_blocks(page):
    """The check would not run a command in an indented block."""
    text = (REPOSITORY / page).read_text()
    assert re.findall(r"^ {4}(?:\.venv|make |python |py |curl |docker ).*", text, re.MULTILINE) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (".venv/bin/python tools/doctor.py --listen", []),
        (".venv/bin/python tools/doctor.py --listne", ["--listne"]),
        (".venv/bin/python tools/doktor.py --listen", ["tools/doktor.py"]),
        ("make demo", []),
        ("make demos", ["demos"]),
        ("make hostile SEED=2   # other messages", []),
        ("python make.py hostile", ["hostile"]),  # only the Makefile has it
        ("echo 1 > token && make tset", ["tset"]),
    ],
)
def test_mistakes_in_commands_are_found(text, wrong):
    assert list(mistakes(Command("README.md", 1, text=text))) == wrong


# --- read from a page


PAGE = """# Page

```text
make nothing
```
## Run

<!-- run with: --duration 2 -->
<!-- exit status: 0 1 -->
```bash
python fly.py \\
    --seed 1
python land.py   # gently
```
<!-- background -->
```bash
python serve.py
```
## Not here
<!-- not run: Windows -->
```powershell
py fly.py
```
"""


@pytest.fixture
def repository(tmp_path):
    """A repository with a page at docs/page.md, committed."""

    def make_repository(page):
        (tmp_path / "docs").mkdir()
        (tmp_path / "README.md").write_text("# README\n")
        (tmp_path / "docs/page.md").write_text(page)
        for words in (["init", "--quiet"], ["add", "."], [*AUTHOR, "commit", "--quiet", "--message", "One"]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
        return tmp_path

    return make_repository


AUTHOR = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]


def test_commands_are_read_with_what_comments_say_of_them(repository):
    fly, land, serve, windows = read_commands(repository(PAGE), "docs/page.md")
    common = {"page": "docs/page.md", "section": "Run"}
    shortened = {"run_with": "--duration 2", "statuses": frozenset({0, 1})}
    assert fly == Command(**common, line=11, text="python fly.py     --seed 1", **shortened)
    assert land == Command(**common, line=13, text="python land.py   # gently", **shortened)
    assert serve == Command(**common, line=17, text="python serve.py", is_server=True)
    assert (windows.section, windows.not_run) == ("Not here", "Windows")


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("<!-- skip -->\n```bash\nx\n```\n", "docs/page.md:1: expected <!-- not run: REASON -->"),
        ("<!-- not run -->\n```bash\nx\n```\n", "got <!-- not run -->"),
        ("<!-- exit status: one -->\n```bash\nx\n```\n", "got <!-- exit status: one -->"),
        ("```bash\nx\n", "docs/page.md:1: expected the block to end"),
        ("```powershell\nx\n```\n", "docs/page.md:1: expected <!-- not run: REASON --> above a block for PowerShell"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_line(repository, page, complaint):
    with pytest.raises(ValueError, match="expected") as refused:
        read_commands(repository(page), "docs/page.md")
    assert complaint in str(refused.value)


# --- run in a clone


def checked(repository, capsys, page, data=None):
    """The number of commands of a page that fail, and the output."""
    folder = repository(page)
    with clone_of(folder, data) as clone:
        failed = check_readme.check(clone, read_commands(folder, "docs/page.md"))
    return failed, capsys.readouterr().out


def test_commands_run_in_a_clone_one_after_the_other(repository, capsys):
    page = '```bash\necho made > file\ntest -d .git -a "$(cat file)" = made\n```\n'
    failed, said = checked(repository, capsys, page)
    assert failed == 0
    assert len(re.findall(r"^ok ", said, re.MULTILINE)) == 2


def test_a_failure_is_counted_and_told_with_the_last_lines(repository, capsys):
    failed, said = checked(repository, capsys, "```bash\necho because; exit 3\ntrue\n```\n")
    assert failed == 1
    assert re.search(
        r"FAILED .*docs/page.md:2: echo because; exit 3\n {4}expected exit status 0, got 3\n {4}because\nok ", said
    )


def test_comments_add_options_allow_statuses_and_leave_commands_out(repository, capsys):
    page = (
        "<!-- run with: 1 -->\n<!-- exit status: 0 1 -->\n```bash\nexit   # leave\n```\n"
        "<!-- not run: needs QuadSim -->\n```bash\nexit 5\n```\n"
    )
    failed, said = checked(repository, capsys, page)
    assert failed == 0
    assert "exit   # leave  [with 1]" in said
    assert "not run   docs/page.md:8: exit 5  [not run: needs QuadSim]" in said


def test_the_newest_file_stands_for_a_name(repository, capsys):
    page = "```bash\ntouch -d 2020-01-01 a.mcap; touch b.mcap\ntest NAME.mcap = b.mcap\ncat NAME.txt\n```\n"
    failed, said = checked(repository, capsys, page)
    assert failed == 1
    assert "expected a file such as NAME.txt, found none" in said


def test_the_dataset_is_beside_the_clone(repository, capsys, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared")
    (shared / "mine").mkdir()
    (shared / "mine/frame").write_text("")
    (shared / "other").write_text("")
    page = "```bash\ntest -f ../shared/data/frame -a -f ../shared/other\n```\n"
    assert checked(repository, capsys, page, shared / "mine")[0] == 0


SERVE = """
import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Healthy).serve_forever()
"""


def test_a_server_runs_until_its_section_ends(repository, capsys, monkeypatch):
    port = free_port()
    monkeypatch.setattr("tools.documentation.clone.SERVER", f"http://127.0.0.1:{port}/healthz")
    ask = f"{sys.executable} -c \"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/')\""
    program = shlex.quote(f"exec({SERVE.replace('PORT', str(port))!r})")
    page = (
        f"## One\n```bash\necho {program} > serve.py\n```\n"
        f"<!-- background -->\n```bash\n{sys.executable} serve.py\n```\n"
        f"```bash\n{ask}\n```\n"
        f"## Two\n<!-- exit status: 1 -->\n```bash\n{ask}\n```\n"
    )
    failed, said = checked(repository, capsys, page)
    assert failed == 0, said


def test_a_server_that_ends_is_told(repository, capsys):
    failed, said = checked(repository, capsys, "<!-- background -->\n```bash\necho no weights; exit 2\n```\n")
    assert failed == 1
    assert "expected exit status 0, got 2\n    no weights" in said


# --- the command


def test_the_list_runs_nothing(capsys):
    assert check_readme.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(COMMANDS)
    assert any(re.fullmatch(r"README.md:\d+: make demo .*", line) for line in lines)
    assert any(line.endswith("[not run: Windows]") for line in lines)


def test_a_page_that_does_not_exist_is_refused(capsys):
    assert check_readme.main(["docs/nope.md"]) == 2
    assert "got docs/nope.md" in capsys.readouterr().err


def is_there(group: int) -> bool:
    """Whether a process group has a member, be it one that has ended and whose parent has not noticed it yet."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_ends_the_command_that_runs(repository, tmp_path):
    folder = repository("```bash\necho $$ > ../../started; sleep 600\n```\n")
    program = (
        "import sys; from pathlib import Path; from tools import check_readme; from model.command import run_command\n"
        "check_readme.REPOSITORY = Path(sys.argv[1]); check_readme.SETUP = check_readme.Command('p', 0, text='true')\n"
        "check_readme.is_port_free = lambda port: True; run_command(lambda: check_readme.main(['docs/page.md']))"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", program, folder], cwd=REPOSITORY, env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started = scratch / "started"
    pid = int(wait_until(lambda: started.exists() and started.read_text(), "the command"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, "interrupted")
    wait_until(lambda: not is_there(pid), "the command's end")
    assert [file.name for file in scratch.iterdir()] == ["started"]

"""Find the commands in the pages: the lines of blocks marked `bash` or `powershell`.

HTML comments above a block, which readers of the page don't see, say how the check treats its commands:

    <!-- not run: REASON -->          reported with the reason
    <!-- run with: OPTIONS -->        run with these additional options, which make it shorter
    <!-- exit status: 0 1 -->         the expected statuses; without this comment, 0
    <!-- background -->               a server: runs until the section ends, or the next server starts
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

SHELLS = ("bash", "powershell")
_COMMENT = re.compile(r"<!-- (not run|run with|exit status|background)(?:: (.+))? -->")


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Args:
        page: path of the page in the repository.
        line: number of its first line there.
        section: heading of its section, of level 2.
        text: the command line for the shell.
        shell: one of `SHELLS`.
        not_run: why the check can't run it; empty if it can.
        run_with: options that the check adds.
        statuses: expected exit statuses.
        is_server: whether it is a server, which runs in the background.
    """

    page: str
    line: int
    section: str = ""
    text: str = ""
    shell: str = "bash"
    not_run: str = ""
    run_with: str = ""
    statuses: frozenset[int] = field(default=frozenset({0}))
    is_server: bool = False

    @property
    def place(self) -> str:
        """The page and the line, for people."""
        return f"{self.page}:{self.line}"


def pages(repository: Path) -> list[str]:
    """The pages of the documentation, the README first."""
    found = sorted((repository / "docs").rglob("*.md"))
    return ["README.md", *(page.relative_to(repository).as_posix() for page in found)]


def read_commands(repository: Path, page: str) -> list[Command]:
    """The commands of a page, in order.

    Raises:
        OSError: if the page can't be read.
        ValueError: if a comment above a block, or a block, can't be understood; the message names the line.
    """
    lines = (repository / page).read_text("utf-8").splitlines()
    found: list[Command] = []
    section, at = "", 0
    while at < len(lines):
        if lines[at].startswith("## "):
            section = lines[at].removeprefix("## ")
        if not lines[at].startswith("```"):
            at += 1
            continue
        end = next((number for number in range(at + 1, len(lines)) if lines[number] == "```"), None)
        if end is None:
            raise ValueError(f"{page}:{at + 1}: expected the block to end with ```, got the end of the page")
        shell = lines[at].removeprefix("```")
        if shell in SHELLS:
            common = _with_comments(Command(page, at + 1, section, shell=shell), lines, at)
            found += _commands_of_block(common, lines[at + 1 : end])
        at = end + 1
    return found


def _with_comments(command: Command, lines: Sequence[str], start: int) -> Command:
    """Apply the comments right above a block to its commands."""
    while start > 0 and lines[start - 1].startswith("<!--"):
        start -= 1
        told = _COMMENT.fullmatch(lines[start])
        kind, value = told.groups() if told else ("", None)
        match kind, value:
            case "not run", str(reason):
                command = replace(command, not_run=reason)
            case "run with", str(options):
                command = replace(command, run_with=options)
            case "exit status", str(statuses) if re.fullmatch(r"\d+( \d+)*", statuses):
                command = replace(command, statuses=frozenset(map(int, statuses.split())))
            case "background", None:
                command = replace(command, is_server=True)
            case _:
                raise ValueError(
                    f"{command.page}:{start + 1}: expected <!-- not run: REASON -->, <!-- run with: OPTIONS -->, "
                    f"<!-- exit status: NUMBERS --> or <!-- background -->, got {lines[start]}"
                )
    if command.shell == "powershell" and not command.not_run:
        raise ValueError(f"{command.place}: expected <!-- not run: REASON --> above a block for PowerShell, got none")
    return command


def _commands_of_block(common: Command, lines: Sequence[str]) -> Iterator[Command]:
    """The commands of a block; a line that ends with a backslash goes on in the next line."""
    text, begun = "", 0
    for number, line in enumerate(lines):
        begun = begun if text else number
        text += line
        if common.shell == "bash" and text.endswith("\\"):
            text = text[:-1]
        elif text.strip():
            yield replace(common, line=common.line + 1 + begun, text=text)
            text = ""

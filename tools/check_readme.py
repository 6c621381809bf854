"""Run every command of the README and of docs/ in a fresh clone of the latest commit, as a new user would.

    python tools/check_readme.py
    python tools/check_readme.py README.md docs/recordings.md
    python tools/check_readme.py --list

For a release. Takes about an hour on two idle cores, 4 GB below TMPDIR, and an index of packages to install from. Port
4567 must be free. Commands that cannot be run here are reported with the reason that their page gives in a comment;
`tools/documentation/commands.py` lists these comments. The dataset is looked for in ../shared/data or FOLLOWME_DATA;
without it, the commands that name ../shared are not run. When the README is not checked, `make setup` comes first.

Exit status: 0; 1, a command failed; 2, refused for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace

from model.command import command, command_parser, print_text, run_command
from tools.documentation.clone import Clone, clone_of
from tools.documentation.commands import Command, pages, read_commands
from tools.simulator.address import QUADSIM_PORT
from tools.simulator.recorded import dataset_directory
from tools.simulator.server_process import REPOSITORY, is_port_free

SETUP = Command("README.md", 0, text="make setup")


@command("check_readme")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 1 if a command failed."""
    options = parse(arguments)
    known = pages(REPOSITORY)
    for page in options.pages:
        if page not in known:
            raise ValueError(f"expected pages of the documentation ({', '.join(known)}), got {page}")
    chosen = options.pages or known
    commands = [each for page in chosen for each in read_commands(REPOSITORY, page)]
    if options.list:
        for each in commands:
            print_text(f"{each.place}: {each.text}{described(each)}")
        return 0
    if not is_port_free(QUADSIM_PORT):
        raise ValueError(f"expected port {QUADSIM_PORT} of 127.0.0.1 to be free, which the commands use")
    data = dataset_directory()
    if data is None:
        commands = [without_data(each) for each in commands]
    if "README.md" not in chosen:
        commands.insert(0, SETUP)
    with clone_of(REPOSITORY, data) as clone:
        failed = check(clone, commands)
    not_run = sum(bool(each.not_run) for each in commands)
    print_text(f"{len(commands) - not_run} commands run, {failed} failed, {not_run} not run")
    return int(failed > 0)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as docs/train.md (default: all pages)")
    parser.add_argument("--list", action="store_true", help="list the commands, and run none")
    return parser.parse_args(arguments)


def check(clone: Clone, commands: Iterable[Command]) -> int:
    """Run commands, and report each; returns the number of those that failed."""
    failed, section = 0, ("", "")
    for each in commands:
        if (each.page, each.section) != section:
            failed += print_mistake(clone.stop_server())
            section = each.page, each.section
        if each.not_run:
            print_text(f"not run   {each.place}: {each.text}{described(each)}")
            continue
        outcome = clone.run(each)
        word = "FAILED" if outcome.mistake else "ok"
        print_text(f"{word:6} {outcome.seconds:5.0f} s  {each.place}: {each.text}{described(each)}")
        failed += print_mistake(outcome.mistake)
    return failed + print_mistake(clone.stop_server())


def print_mistake(mistake: str) -> int:
    """Print a mistake, if there is one; returns the number of mistakes, 0 or 1."""
    if mistake:
        print_text(f"    {mistake}")
    return int(bool(mistake))


def described(each: Command) -> str:
    """How a command is run, for the report; empty if it is run unchanged."""
    if each.not_run:
        return f"  [not run: {each.not_run}]"
    if each.run_with:
        return f"  [with {each.run_with}]"
    return "  [in the background]" if each.is_server else ""


def without_data(each: Command) -> Command:
    """Mark a command as not run if it needs the dataset."""
    return replace(each, not_run="there is no dataset") if "../shared" in each.text and not each.not_run else each


if __name__ == "__main__":
    run_command(main)

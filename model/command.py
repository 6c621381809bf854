"""How the commands of `tools/` begin, fail and end: one line and an exit status, not a traceback.

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

from model.command import command, run_command

@command("evaluate")
def main(arguments=None): ...

if __name__ == "__main__":
    run_command(main)

Imports the standard library only.
"""

import argparse
import contextlib
import functools
import os
import re
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TextIO

from model.folders import check_folder, make_writable
from model.startup import FAILED, INTERRUPTED, exit_interrupted, how_to_install, missing_package

Arguments = ParamSpec("Arguments")


def command(
    name: str, interrupted: str = "interrupted"
) -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """Decorate the main function of a command, which returns its exit status.

    An `OSError`, a `ValueError`, a lack of memory or a package that is not installed becomes a line on standard error
    and the status 2. Ctrl-C gives the status 130.

    Args:
        name: of the command, for the line.
        interrupted: what to say after Ctrl-C.
    """

    def decorate(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
        @functools.wraps(main)
        def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except (OSError, ValueError, MemoryError) as error:
                print_text(f"{name}: {error_text(error) or type(error).__name__}", file=sys.stderr)
                return FAILED
            except ModuleNotFoundError as error:
                package = missing_package(error)
                if package is None:
                    raise
                print(f"{name}: {how_to_install(package)}", file=sys.stderr)
                return FAILED
            except KeyboardInterrupt:
                print(f"\n{interrupted}", file=sys.stderr)
                return INTERRUPTED

        return guarded

    return decorate


def command_parser(doc: str | None, **settings: Any) -> argparse.ArgumentParser:
    """The parser of a command. An option must be written in full: an abbreviation could mean another option later.

    Args:
        doc: docstring of the command's module, whose first line describes the command in `--help`.
        settings: more arguments of `ArgumentParser`.
    """
    parser = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0], allow_abbrev=False, **settings)
    parser.register("action", None, _Store)
    return parser


class _Store(argparse.Action):
    """Stores the value of an option. An option of several values that is given again gets further values."""

    def __call__(self, _parser: object, namespace: argparse.Namespace, values: Any, _option: str | None = None) -> None:
        before = getattr(namespace, self.dest, self.default)
        is_again = isinstance(values, list) and before is not self.default
        setattr(namespace, self.dest, [*before, *values] if is_again else values)


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run the main function of a command, and end the process with its status."""
    warnings.filterwarnings("ignore", module="PIL")  # about images that are refused anyway, or about odd metadata
    if signal.getsignal(signal.SIGINT) is exit_interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # `kill` and `timeout` send SIGTERM. As SystemExit, it makes the blocks that started servers and workers end them.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        status = main()
        # The work is done: Ctrl-C while Python shuts down must not look like a failure.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # outside of what `command` guards
        status = INTERRUPTED
    sys.exit(status)


@contextlib.contextmanager
def interrupt_ignored() -> Iterator[None]:
    """Ignore Ctrl-C in this block; processes that are started in it ignore it for good."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def interrupt_put_off() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM to the end of this block. By then, the caller knows what it started, and can end it.

    Only the main thread may use it.
    """
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


def printable(text: str) -> str:
    """Escape unprintable characters in a line from a file or a network, so that a terminal does not act on them."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def one_line(said: Exception | str, most: int = 200) -> str:
    """The text of an error, which may be pages with colours, as one line of at most `most` characters.

    Keras's details of the called layer are removed. If the text is empty, the error's type is returned.
    """
    line = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(said)).split())
    line = re.sub(r"Exception encountered when calling \S+ | Arguments received by .*", "", line)
    return line[:most] or type(said).__name__


def error_text(error: Exception) -> str:
    """The text of an error; an error of the operating system says what was expected and what came, without its number.

    A missing folder on the way to a missing file is named instead of the file.
    """
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if not isinstance(error.filename, str | bytes):
        return error.strerror
    path = Path(os.fsdecode(error.filename))
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        try:
            check_folder(path.parent)
        except OSError as found:
            if found.strerror is None:
                return str(found)
    if isinstance(error, FileNotFoundError):
        return f"expected {path}, which does not exist"
    if isinstance(error, IsADirectoryError):
        return f"expected a file, got the folder {path}"
    return f"expected to be able to use {path}, got: {error.strerror}"


def print_text(text: str, file: TextIO | None = None) -> None:
    """Print lines that may hold text from a file or a network; see `printable`."""
    print("\n".join(map(printable, text.split("\n"))), file=file or sys.stdout, flush=True)


def check_output_file(file: Path | None) -> None:
    """Check, before the work, that a file can be written; None for no file. A file that exists stays as it is.

    Raises:
        OSError: if it cannot.
    """
    if file is None or (file.exists() and not file.is_file() and not file.is_dir()):  # such as /dev/stdout
        return
    is_new = not file.exists()
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        raise OSError(f"expected to be able to write {file}, got: {error.strerror}") from error
    if is_new:
        file.unlink()


def check_output_folder(folder: Path) -> None:
    """Check, before the work, that a folder can be made and written into; makes nothing.

    Raises:
        OSError: if it cannot.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OSError(f"expected to be able to write into the folder {folder}, got: {error.strerror}") from error


def check_picture_file(file: Path | None) -> None:
    """Check, before the work, that a PNG can be drawn into a file; None for no file.

    Raises:
        ValueError: if its name says that it is something else.
        OSError: if it cannot be written.
    """
    if file is not None and file.suffix.lower() != ".png":
        raise ValueError(f"expected the name of a PNG, which ends in .png, got {file}")
    check_output_file(file)


def make_output_folder(folder: Path) -> None:
    """Make a folder for results if it does not exist, and check that files can be written into it.

    Raises:
        OSError: if they cannot.
    """
    try:
        make_writable(folder)
    except OSError as error:
        raise OSError(f"expected to be able to write into the folder {folder}, got: {error.strerror}") from error

"""How a command starts: if Ctrl-C or a missing package ends it during its imports, it prints one line, no traceback.

Imports nearly nothing, because Ctrl-C shows a traceback until `begin_command` has run.
"""

import os
import signal
import sys
from types import TracebackType

FAILED = 2
"""Exit status for a wrong argument or file, as argparse has it, and for a missing package."""
INTERRUPTED = 130
"""Exit status of a command after Ctrl-C, as shells have it."""


def begin_command(module: str) -> None:
    """Prepare for the imports that follow, if `module` is the program's main module.

    From here until `run_command`, Ctrl-C ends the process at once: an exception in the middle of an import would be
    shown with a traceback, or lost in a library's native code.
    """
    if module not in ("__main__", "__mp_main__"):
        return
    sys.excepthook = _explain
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, exit_interrupted)


def exit_interrupted(*_: object) -> None:
    """Handle SIGINT: end the process without any cleaning up."""
    os.write(sys.stderr.fileno(), b"\ninterrupted\n")
    os._exit(INTERRUPTED)


def how_to_install(package: str) -> str:
    """A message for the user about a package that is not installed; `make demo` installs only some packages."""
    if package == "ray":  # `make setup` does not install it, because most tests do not need it
        pip = ".venv/bin/pip install --require-hashes --requirement requirements-fleet.lock"
        return f"ray is not installed: '{pip}' installs it"
    return f"{package} is not installed: 'make setup' installs everything"


def missing_package(error: BaseException) -> str | None:
    """The package that an error says is not installed; None for any other error."""
    package = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    is_ours = package in ("model", "server", "tools")
    return None if is_ours else package or None


def _explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Say which package is missing; any other uncaught exception is shown as usual."""
    package = missing_package(error)
    if package is None:
        sys.__excepthook__(kind, error, traceback)
        return
    from pathlib import Path

    os.write(sys.stderr.fileno(), f"{Path(sys.argv[0]).stem}: {how_to_install(package)}\n".encode())
    os._exit(FAILED)


def child_environment() -> dict[str, str]:
    """The environment of a Python process that imports this project, also where it is not installed."""
    from pathlib import Path  # not above, see the module

    repository = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([repository, os.environ.get("PYTHONPATH", "")])}


def end_with_parent() -> None:
    """End this process of `multiprocessing` as soon as its parent is gone, even if the parent was killed."""
    import multiprocessing
    from multiprocessing.connection import wait
    from threading import Thread

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            wait([parent.sentinel])
            os._exit(FAILED)

    Thread(target=watch, daemon=True).start()

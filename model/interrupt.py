"""End a command at once on Ctrl-C while it imports its libraries.

Imports nearly nothing, because Ctrl-C shows a traceback until `exit_on_interrupt` has run.
"""

import os
import signal
import sys

INTERRUPTED = 130
"""Exit status of a command after Ctrl-C, as shells have it."""


def exit_on_interrupt(module: str) -> None:
    """Let Ctrl-C end the process at once from here until `run_command`, if `module` is the program's main module.

    An exception in the middle of an import would be shown with a traceback, or lost in a library's native code.
    """
    if module in ("__main__", "__mp_main__") and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, exit_interrupted)


def exit_interrupted(*_: object) -> None:
    """Handle SIGINT: end the process without any cleaning up."""
    os.write(sys.stderr.fileno(), b"\ninterrupted\n")
    os._exit(INTERRUPTED)

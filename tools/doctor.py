"""Find out what is wrong: with this machine, with a client, or with a server.

    python tools/doctor.py                 this machine: Python, CPU, GPU, network, cache, disk, port, browser
    python tools/doctor.py --listen        any client: listens in the server's place, and checks the client
    python tools/doctor.py --server        a running server: plays a good client against it

Each finding is marked ok, note or WRONG, and says what was received, what was expected and how to fix it. The check of
the machine takes some seconds, that of a server two seconds. Listening goes on until Ctrl-C or for --seconds.

Exit status: 0, nothing is wrong; 1, something is; 2, refused or failed, with the reason.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.command import command, command_parser, print_text, run_command
from model.options import add_options, check, from_options, option
from server.settings import LAST_PORT
from tools.diagnosis.finding import Finding, Mark
from tools.diagnosis.machine import check_machine
from tools.simulator.address import ServerAddress

RECORDINGS = Path("recordings")  # where the server records on demand
NOBODY = Finding(
    Mark.WRONG,
    "frames",
    "none understood",
    fix="QuadSim connects to 127.0.0.1:4567 of its own machine, in the scene Follow Me only; docs/connect.md says how "
    "that reaches a container, WSL or another machine",
)


@dataclass(frozen=True)
class DoctorSettings:
    """The options for --listen.

    Raises:
        ValueError: if a setting is out of its range.
    """

    host: str = option("127.0.0.1", "address to listen on; QuadSim only connects to 127.0.0.1")
    port: int = option(4567, "port to listen on; QuadSim only connects to 4567")
    seconds: float | None = option(None, "end after this time, s; without it, at Ctrl-C")

    def __post_init__(self) -> None:
        check(
            self,
            ("port", 0 <= self.port <= LAST_PORT, f"of 0 to {LAST_PORT}"),
            ("seconds", self.seconds is None or 0 < self.seconds < math.inf, "above 0 and finite"),
        )


@command("doctor")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = command_parser(__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--listen", action="store_true", help="listen in the server's place, and examine any client")
    mode.add_argument(
        "--server",
        nargs="?",
        type=ServerAddress.parse,
        const=ServerAddress(),
        metavar="URL",
        help=f"play a good client against a running server, at {ServerAddress()} or this URL",
    )
    add_options(parser, DoctorSettings, title="to listen")
    options = parser.parse_args(arguments)
    settings = from_options(DoctorSettings, options)
    if options.server is not None and settings != DoctorSettings():
        raise ValueError("expected --server without --host, --port and --seconds, which are for --listen")
    if not options.listen and (settings.host, settings.seconds) != (DoctorSettings.host, DoctorSettings.seconds):
        raise ValueError("expected --host and --seconds with --listen only")
    if options.listen:
        return _listen(settings)
    if options.server is None:
        return _report(check_machine(settings.port, RECORDINGS))
    from tools.diagnosis.good_client import try_server

    try:
        return _report(try_server(options.server))
    except OSError as error:
        raise OSError(options.server.describe_failure(error)) from error


def _report(findings: Iterable[Finding]) -> int:
    """Print findings as they come; returns the exit status."""
    wrong = 0
    for finding in findings:
        print_text(str(finding))
        wrong += finding.mark is Mark.WRONG
    print("Nothing is wrong." if wrong == 0 else f"{wrong} wrong.")
    return 1 if wrong else 0


def _listen(settings: DoctorSettings) -> int:
    from tools.diagnosis.listener import Listener

    def print_finding(client: str, finding: Finding) -> None:
        print_text(f"[{client}]\n{finding}")

    def ready(host: str, port: int) -> None:
        print(
            f"listening on http://{host}:{port}: start QuadSim and choose Follow Me, or any client; Ctrl-C ends it",
            flush=True,
        )

    listener = Listener(print_finding)
    listener.run(settings.host, settings.port, settings.seconds, ready)
    if not listener.understood:
        print_text(str(NOBODY))
        return 1
    print(f"{listener.understood} frames understood, {listener.wrong} wrong.")
    return 1 if listener.wrong else 0


if __name__ == "__main__":
    run_command(main)

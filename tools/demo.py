"""Demonstrate the server: start it with the shipped weights, fly the stand-in for QuadSim, and print the results.

    make demo

Takes two minutes, at QuadSim's pace. The drone patrols a city block, finds the hero among thirty other people, and
follows. Meanwhile, the server's page shows the camera image.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from model.command import command, command_parser, error_text, print_text, run_command
from model.loading import resolve_weights
from model.options import check
from tools.simulator.address import QUADSIM_PORT
from tools.simulator.faults import Faults
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.server_process import (
    SHIPPED_WEIGHTS,
    ServerError,
    ServerProcess,
    free_port,
    is_port_free,
    running_server,
)
from tools.simulator.world import FRAMES_PER_S, World

SEED, PEOPLE, DURATION_S = 0, 30, 120.0

NEXT_STEPS = """
Next steps:
    make test       run all tests
    .venv/bin/python server/follower.py weights/model_weights
                    start the server, then QuadSim, and choose Follow Me: QuadSim connects by itself;
                    or fly the stand-in in another terminal: .venv/bin/python tools/simulate.py
    README.md       results, limits, and where to read on"""


@command("demo", interrupted="Interrupted; the server has been stopped.")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 0 if the drone followed the hero."""
    options = _parse(arguments)
    weights = resolve_weights(options.weights.resolve())
    try:
        with running_server(weights, port=choose_port()) as server:
            _print_start(server)
            simulator = _fly(server, options.duration)
        print(f"\nServer stopped, exit status {server.process.returncode}.")
    except (ServerError, OSError) as error:
        print_text(f"demo: {error_text(error)}", file=sys.stderr)
        return 1
    summary = simulator.log.summary()
    if summary["first_followed_s"] is None:
        print_text(f"demo: {server.failure('expected the hero to be followed')}", file=sys.stderr)
        return 1
    print(
        f"First followed after {summary['first_followed_s']:.0f} s, and for {summary['following']:.0%} of the flight; "
        f"within 2 m of the hero for {summary['on_target_of_following']:.0%} of that time, "
        f"median position error {summary['position_error_median_m']:.2f} m."
    )
    if simulator.violations or server.process.returncode != 0:
        return 1
    print(NEXT_STEPS)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--weights", type=Path, default=SHIPPED_WEIGHTS, help="the network (default: the shipped weights)"
    )
    parser.add_argument(
        "--duration", type=float, default=DURATION_S, help="length of the flight, s (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    check(options, ("duration", 0 < options.duration < math.inf, "above 0 and finite"))
    return options


def choose_port() -> int:
    """Choose QuadSim's port if it is free, else another one."""
    if is_port_free(QUADSIM_PORT):
        return QUADSIM_PORT
    port = free_port()
    print(f"Port {QUADSIM_PORT}, the only port that QuadSim itself connects to, is taken; using {port} instead.")
    return port


def _print_start(server: ServerProcess) -> None:
    print(f"Server ready after {server.ready_after_s:.1f} s:")
    for line in server.log:
        print(f"    {line}")
    print(f"\nOpen {server.url} in a browser to see the camera image and the commands to the drone.\n")


def _fly(server: ServerProcess, duration_s: float) -> QuadSim:
    """Fly for `duration_s`, and print a line every two seconds."""

    def print_latest(simulator: QuadSim) -> None:
        if len(simulator.log.rows) % (2 * FRAMES_PER_S) == 1:
            print(simulator.log.describe_latest(), flush=True)

    try:
        with (
            World(SEED, PEOPLE) as world,
            QuadSim(world, "127.0.0.1", server.port, faults=Faults.none()) as simulator,
        ):
            run([simulator], duration_s, speed=1.0, on_frame=print_latest)
    except ConnectionError as error:
        raise server.failure(str(error)) from error
    return simulator


if __name__ == "__main__":
    run_command(main)

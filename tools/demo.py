"""Show the main job at work: start the server on the shipped weights, fly the stand-in for QuadSim, print how it goes.

    make demo

Two minutes at QuadSim's pace. The drone patrols a city block, finds the hero among thirty others and follows; the page
of the server shows what it sees meanwhile.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.simulator.address import QUADSIM_PORT
from tools.simulator.faults import Faults
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.server_process import (
    REPOSITORY,
    ServerError,
    ServerProcess,
    free_port,
    is_port_free,
    running_server,
)
from tools.simulator.world import FRAMES_PER_S, World

SHIPPED_WEIGHTS = REPOSITORY / "weights" / "model_weights"
SEED, PEOPLE, DURATION_S = 0, 30, 120.0

NEXT_STEPS = """
What next:
    make test       proves it
    .venv/bin/python server/follower.py weights/model_weights
                    then start QuadSim and choose Follow Me: it connects by itself;
                    or, in another terminal, the stand-in: .venv/bin/python tools/simulate.py
    README.md       options, results, limits"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 0 if the drone followed the hero."""
    options = _parse(arguments)
    try:
        with running_server(options.weights.resolve(), port=_choose_port()) as server:
            _introduce(server)
            simulator = _fly(server, options.duration)
        print(f"\nServer stopped, exit status {server.process.returncode}.")
    except KeyboardInterrupt:
        print("\nInterrupted; the server is stopped.")
        return 130
    except (ServerError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    summary = simulator.log.summary()
    if summary["first_followed_s"] is None:
        print(f"demo: {server.failure('expected the hero to be followed')}", file=sys.stderr)
        return 1
    print(
        f"Followed first after {summary['first_followed_s']:.0f} s, then for {summary['following']:.0%} of the flight, "
        f"{summary['on_target_of_following']:.0%} of that to within 2 m of the hero, "
        f"typically {summary['position_error_median_m']:.2f} m."
    )
    if simulator.violations or server.process.returncode != 0:
        return 1
    print(NEXT_STEPS)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start the server, fly a simulated drone with it, print how it goes.")
    parser.add_argument("--weights", type=Path, default=SHIPPED_WEIGHTS, help="a network (default: the shipped one)")
    parser.add_argument(
        "--duration", type=float, default=DURATION_S, help="length of the flight, seconds (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def _choose_port() -> int:
    if is_port_free(QUADSIM_PORT):
        return QUADSIM_PORT
    port = free_port()
    print(f"Port {QUADSIM_PORT}, the only one that QuadSim itself tries, is taken; using {port} instead.")
    return port


def _introduce(server: ServerProcess) -> None:
    print(f"Server ready after {server.ready_after_s:.1f} s:")
    for line in server.log:
        print(f"    {line}")
    print(f"\nLook at {server.url} in a browser: what the drone sees, and what it is told.\n")


def _fly(server: ServerProcess, duration_s: float) -> QuadSim:
    """Fly for so many seconds; a line every other second."""

    def tell(simulator: QuadSim) -> None:
        if len(simulator.log.rows) % (2 * FRAMES_PER_S) == 1:
            print(simulator.log.describe_latest(), flush=True)

    try:
        with (
            World(SEED, PEOPLE) as world,
            QuadSim(world, "127.0.0.1", server.port, faults=Faults.none()) as simulator,
        ):
            run([simulator], duration_s, speed=1.0, on_frame=tell)
    except ConnectionError as error:
        raise server.failure(str(error)) from error
    return simulator


if __name__ == "__main__":
    sys.exit(main())

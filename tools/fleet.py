"""Demonstrate a fleet on this machine: two replicas of the network, two servers, twelve simulated drones.

    make fleet

Takes some three minutes. Each server sends its drones' frames to the replicas; in the middle of the flight one replica
is killed. The drones fly in lock-step, so that a small machine can keep up with twelve of them.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from model.command import command, command_parser, error_text, print_text, run_command
from model.options import check
from tools.simulator.fleet_process import FleetError, FleetProcess, running_fleet
from tools.simulator.server_process import REPOSITORY, SHIPPED_WEIGHTS, ServerError, ServerProcess, running_server
from tools.simulator.world import FRAMES_PER_S

SERVERS, REPLICAS, PEOPLE, TELL_EVERY_S = 2, 2, 10, 5
# Longer than usual, for slow machines. No harm in lock-step, where a drone does not fly on while it waits.
WATCHDOG = ("--watchdog-s", "3")


@command("fleet", interrupted="Interrupted; fleet and servers have been stopped.")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 0 if drones of both servers followed."""
    parser = command_parser(__doc__)
    parser.add_argument("--drones", type=int, default=6, help="drones of each server (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=40.0, help="simulated time, s (default: %(default)s)")
    options = parser.parse_args(arguments)
    check(
        options,
        ("drones", options.drones >= 1, "of at least 1"),
        ("duration", 0 < options.duration < math.inf, "above 0 and finite"),
    )
    print("Starting Ray Serve with two replicas of the network, which takes half a minute or more ...", flush=True)
    try:
        with running_fleet(replicas=REPLICAS, most_replicas=REPLICAS) as fleet, contextlib.ExitStack() as stack:
            engine = ("--engine", fleet.url, "--fallback", *WATCHDOG)
            servers = [stack.enter_context(running_server(SHIPPED_WEIGHTS, *engine)) for _ in range(SERVERS)]
            _print_addresses(fleet, servers)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            reports = [folder / f"server{number}.json" for number in range(SERVERS)]
            with _drones(servers, reports, options.drones, options.duration) as drones:
                _print_states_and_kill_replica(
                    fleet, servers, drones, SERVERS * options.drones * options.duration * FRAMES_PER_S / 2
                )
            followed = [_count_following(report) for report in reports]
    except (FleetError, ServerError, OSError) as error:
        print_text(f"fleet: {error_text(error)}", file=sys.stderr)
        return 1
    print(f"{sum(followed)} of {SERVERS * options.drones} drones followed their hero. Next: docs/fleet.md")
    return 0 if any(followed) else 1  # a hero may be out of sight for the whole flight


def _print_addresses(fleet: FleetProcess, servers: Sequence[ServerProcess]) -> None:
    print(f"The fleet is at {fleet.url}: replicas {', '.join(map(str, fleet.replicas()))}. Look at")
    for number, server in enumerate(servers):
        print(f"    {server.url}/    page of server {number + 1}: behind its title, where frames are inferred")
    print(f"    {fleet.url}/v2/models/model_weights    the network's metadata")
    print("    http://127.0.0.1:8265/    Ray's dashboard, if this port was free; its token: 'ray get-auth-token'")
    print("In the middle of the flight a replica is killed. Stop the other one yourself: kill -STOP\n", flush=True)


@contextlib.contextmanager
def _drones(
    servers: Sequence[ServerProcess], reports: Sequence[Path], drones: int, duration_s: float
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run the drones of each server, in a process for each server, until the block ends."""
    common = ("--lock-step", "--people", str(PEOPLE), "--drones", str(drones), "--duration", str(duration_s))
    running = []
    for number, (server, report) in enumerate(zip(servers, reports, strict=True)):
        own = ("--server", server.url, "--seed", str(number * drones), "--report", str(report))
        command = [sys.executable, str(REPOSITORY / "tools" / "simulate.py"), *common, *own]
        running.append(subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL))
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _print_states_and_kill_replica(
    fleet: FleetProcess, servers: Sequence[ServerProcess], drones: Sequence[subprocess.Popen[bytes]], middle: float
) -> None:
    """Print the servers' states regularly until all drones have landed; kill a replica after `middle` frames."""
    victims = fleet.replicas()[:1]
    while any(process.poll() is None for process in drones):
        healths = [server.health(timeout_s=30.0)[1] for server in servers]
        for number, health in enumerate(healths):
            following = sum(session["is_told_to_follow"] for session in health["sessions"])
            drones_here = f"{following} of {len(health['sessions'])} drones follow"
            print(
                f"server {number + 1}: {health['frames']} frames, {drones_here}; network: {health['engine']}",
                flush=True,
            )
        if victims and sum(health["frames"] for health in healths) > middle:
            os.kill(victims[0], signal.SIGKILL)
            print(f"Killed replica {victims.pop()}.", flush=True)
        time.sleep(TELL_EVERY_S)


def _count_following(report: Path) -> int:
    """How many drones of a report have followed."""
    drones = json.loads(report.read_bytes())["drones"]
    return sum(drone["summary"]["first_followed_s"] is not None for drone in drones)


if __name__ == "__main__":
    run_command(main)

"""Make a fleet fail in several ways while simulated drones use it to follow, and report the effects on the drones.

    python tools/fleet_faults.py [--drones 12] [--frames-per-s 5] [--watchdog-s 1]
    python tools/fleet_faults.py --faults killed-replica delay

Takes some seven minutes, and needs Ray (docs/fleet.md). A real fleet of two replicas runs on this machine, and a server
with `--fallback`; between them is a relay, which delays and changes answers. Each fault gets a new server, and begins
when all drones follow. The drones send frames of a hero whose place is known, so wrong and stale commands are detected.
Two cores are too slow for twelve drones at five frames a second each: give fewer frames.

Exit status: 0; 1, a command was wrong, or a drone was on patrol, or left without a command, for too long, or frames did
not go to the fleet again; 2, failed.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from model.command import command, command_parser, run_command
from model.loading import resolve_weights
from model.options import check
from server.settings import LONGEST_WATCHDOG_S, Settings
from tools.fault_injection.drones import Judgement, Scene, combined, draw_scenes, flying
from tools.fault_injection.faults import FAULTS, Fault, Fleet, running
from tools.fault_injection.watching import STEADY_S, STEADY_WITHIN_S, becomes_steady, failed_images, watching
from tools.simulator.server_process import SHIPPED_WEIGHTS, running_server
from tools.simulator.world import FRAMES_PER_S

# Tolerance, s: the watchdog checks only some times a second, and frames and commands take time on their way.
GRACE_S = 0.25
HEAD = (
    "| fault | frames lost | drones told to patrol | longest patrol | longest without a command | wrong commands "
    "| duration of the fault | fleet infers again after |\n|---|---|---|---|---|---|---|---|"
)


class Outcome(NamedTuple):
    """The effects of a fault.

    Args:
        fault: its name.
        judgement: of the commands that the drones got.
        failed: frames that were sent to the fleet but got no answer that could be used.
        over_s: time until the fault was over.
        back_s: time until the fleet inferred again without interruption; 0 if it was never interrupted, NaN if it was
            not back within `STEADY_WITHIN_S` after the fault.
    """

    fault: str
    judgement: Judgement
    failed: int
    over_s: float
    back_s: float

    def is_good(self, watchdog_s: float) -> bool:
        """Whether no command was wrong, no patrol or silence longer than the watchdog's time, and the fleet is back."""
        longest_s = max(self.judgement.longest_patrol_s, self.judgement.longest_silence_s)
        return self.judgement.wrong == 0 and longest_s <= watchdog_s + GRACE_S and not math.isnan(self.back_s)

    def row(self, drones: int) -> str:
        """The row of the table."""
        judgement, of_all = self.judgement, f"{self.judgement.lost} of {drones}"
        back = "not again" if math.isnan(self.back_s) else f"{self.back_s:.1f} s" if self.back_s else "all the time"
        return (
            f"| {self.fault} | {self.failed} | {of_all} | {judgement.longest_patrol_s:.2f} s "
            f"| {judgement.longest_silence_s:.2f} s | {judgement.wrong} of {judgement.follow_commands} "
            f"| {self.over_s:.1f} s | {back} |"
        )


@command("fleet_faults", interrupted="Interrupted; fleet and server have been stopped.")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 if a drone was misled or left alone, or the fleet did not come back."""
    options = parse(arguments)
    weights = resolve_weights(options.weights.resolve())
    scenes = draw_scenes()
    outcomes = []
    print("Starting Ray Serve with two replicas of the network, which takes half a minute or more ...", flush=True)
    with running(str(weights)) as fleet:
        print(HEAD, flush=True)
        for name in options.faults:
            outcome = outcome_of_fault(FAULTS[name], fleet, weights, scenes, options)
            print(outcome.row(options.drones), flush=True)
            outcomes.append(outcome)
    return int(not all(outcome.is_good(options.watchdog_s) for outcome in outcomes))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--weights", type=Path, default=SHIPPED_WEIGHTS, help="the network (default: the shipped weights)"
    )
    parser.add_argument("--drones", type=int, default=12, help="number of drones (default: %(default)s)")
    parser.add_argument(
        "--frames-per-s", type=float, default=FRAMES_PER_S, help="frames of each drone, 1/s (default: %(default)s)"
    )
    parser.add_argument(
        "--watchdog-s",
        type=float,
        default=Settings().watchdog_s,
        help="the server's --watchdog-s, s (default: %(default)s)",
    )
    parser.add_argument(
        "--faults", nargs="+", choices=FAULTS, default=list(FAULTS), help="faults to cause (default: all)"
    )
    options = parser.parse_args(arguments)
    watchdog_s, frames = options.watchdog_s, options.frames_per_s * options.watchdog_s
    check(
        options,
        ("drones", options.drones >= 1, "of at least 1"),
        ("watchdog_s", 0 < watchdog_s <= LONGEST_WATCHDOG_S, f"above 0 and up to {LONGEST_WATCHDOG_S:g}"),
        ("frames_per_s", 1 < frames < math.inf, "with more than one frame in --watchdog-s"),
    )
    return options


def outcome_of_fault(
    fault: Fault, fleet: Fleet, weights: Path, scenes: Sequence[Scene], options: argparse.Namespace
) -> Outcome:
    """Let a fault happen while drones follow, with a new server; `options` are those of `parse`.

    Raises:
        TimeoutError: if not all drones follow beforehand, or the fault does not end.
    """
    watchdog = ("--watchdog-s", str(options.watchdog_s))
    with (
        running_server(weights, "--engine", fleet.relay.url, "--fallback", *watchdog) as server,
        watching(server) as watch,
        flying(server.port, scenes, options.drones, options.frames_per_s) as flown,
    ):
        if not becomes_steady(watch, flown):
            raise TimeoutError(
                f"expected {options.drones} drones to follow for {STEADY_S:g} s while the fleet infers, they did not "
                f"within {STEADY_WITHIN_S:g} s: this machine may need fewer --drones or --frames-per-s"
            )
        failed, begin_s = failed_images(server), time.monotonic()
        fault.happen(fleet)
        over_s = time.monotonic() - begin_s
        becomes_steady(watch, flown)  # if not, the outcome's row says so
        judgement = combined([drone.judged(begin_s, time.monotonic(), options.watchdog_s + GRACE_S) for drone in flown])
        return Outcome(fault.name, judgement, failed_images(server) - failed, over_s, watch.back_after_s(begin_s))


if __name__ == "__main__":
    run_command(main)

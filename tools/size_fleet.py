"""Simulate a fleet of any size: how long commands take, what share of the frames is answered, and what limits it.

    python tools/size_fleet.py --drones 50 200 --replicas 8 32 --servers 4
    python tools/size_fleet.py --drones 200 1000 --replicas 2 --servers 16 --gpu

Takes seconds and starts no other program. The time that each part needs for a frame is measured (docs/fleet.md), except
on a GPU, where it is an assumption. The simulation takes these times as constant, so a real fleet's 95th percentile is
higher.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import math
from collections.abc import Sequence

from model.command import command, command_parser, run_command
from model.options import check
from tools.simulator.world import FRAMES_PER_S
from tools.sizing.fleet import Fleet, Replica
from tools.sizing.simulation import LEAST_S, Outcome, most_drones, simulate

# Processor time on one core of an x86-64 processor, ms; docs/fleet.md says how it was measured.
LOOP_MS, BEFORE_MS, AFTER_MS, PROXY_MS = 3.2, 3.0, 2.7, 7.6
CPU_MS = (0.0, 41.0)
# First: a call of TensorFlow, assumed to take 5 ms. Each image: 1.8 ms for the network, assumed, and 10 ms for the rest
# of a replica's work, such as packing, measured. The 1.8 ms: the network needs 3.6 GFLOP for an image of 256 × 256, and
# an NVIDIA T4 may reach a quarter of the 8.1 TFLOP/s (float32) of its data sheet. In the simulation, the two don't
# overlap.
GPU_MS, GPU_BATCH = (5.0, 11.8), 8
# A replica holds a second batch, which fills while the first is inferred (`max_ongoing_requests` of fleet.yaml).
BATCHES_HELD = 2
SHARE = 0.98
HEAD = f"{'drones':>8}{'p50':>10}{'p95':>10}{'answered':>10}{'late':>7}{'Gbit/s':>9}  fullest part"


@command("size_fleet")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parse(arguments)
    if options.is_assumed:
        print("The GPU's times are an assumption; give measured ones by --batch-ms.")
    for replicas in options.replicas:
        fleet = _fleet(options, replicas)
        carried = most_drones(fleet, SHARE, options.seconds, options.seed)
        limits = sorted(fleet.limits().items(), key=lambda limit: limit[1])
        print(f"\n{replicas} replicas carry {carried} drones ({SHARE:.0%} of the frames answered).")
        print(
            "Drones that each part could serve if it were the only limit:",
            ", ".join(f"{part} {most:.0f}" for part, most in limits),
        )
        print(HEAD, flush=True)
        for drones in options.drones:
            print(_row(fleet, drones, simulate(fleet, drones, options.seconds, options.seed)), flush=True)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--drones", type=int, nargs="+", default=[10, 20, 50, 100, 200], help="drones, 5 frames/s each")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 4, 16, 64], help="replicas of the network")
    parser.add_argument("--servers", type=int, default=1, help="servers that share the drones (default: %(default)s)")
    parser.add_argument("--proxies", type=int, default=1, help="Serve's proxies (default: %(default)s)")
    parser.add_argument(
        "--proxy-ms", type=float, default=PROXY_MS, help="a proxy's time for an image, ms (default: %(default)s)"
    )
    parser.add_argument("--gpu", action="store_true", help="replicas that use a GPU; its times are an assumption")
    parser.add_argument(
        "--batch-ms",
        type=float,
        nargs=2,
        metavar=("FIRST", "EACH"),
        help="a replica's time for a batch and for each of its images, ms "
        f"(default: {CPU_MS[0]:g} {CPU_MS[1]:g}, with --gpu {GPU_MS[0]:g} {GPU_MS[1]:g})",
    )
    parser.add_argument(
        "--most-per-batch", type=int, help=f"largest batch, images (default: 1, with --gpu {GPU_BATCH})"
    )
    parser.add_argument(
        "--batch-wait-ms", type=float, default=0.0, help="longest wait for a batch to fill, ms (default: %(default)s)"
    )
    parser.add_argument(
        "--link-gbit", type=float, default=1.0, help="link of each server, Gbit/s (default: %(default)s)"
    )
    parser.add_argument(
        "--deadline-ms", type=float, default=500.0, help="longest time for the answers, ms (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=12.0, help="simulated time, s (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choices (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.is_assumed = options.gpu and options.batch_ms is None
    if options.batch_ms is None:
        options.batch_ms = GPU_MS if options.gpu else CPU_MS
    if options.most_per_batch is None:
        options.most_per_batch = GPU_BATCH if options.gpu else 1
    first_ms, each_ms = options.batch_ms
    is_time = 0 <= first_ms < math.inf and 0 < each_ms < math.inf
    check(
        options,
        ("drones", min(options.drones) >= 1, "of at least 1"),
        ("replicas", min(options.replicas) >= 1, "of at least 1"),
        ("servers", options.servers >= 1, "of at least 1"),
        ("proxies", options.proxies >= 1, "of at least 1"),
        ("most_per_batch", options.most_per_batch >= 1, "of at least 1"),
        ("batch_ms", is_time, "with FIRST of at least 0 and EACH above 0, both finite"),
        ("link_gbit", 0 < options.link_gbit < math.inf, "above 0 and finite"),
        ("deadline_ms", 0 < options.deadline_ms < math.inf, "above 0 and finite"),
        ("batch_wait_ms", 0 <= options.batch_wait_ms < math.inf, "of at least 0 and finite"),
        ("proxy_ms", 0 <= options.proxy_ms < math.inf, "of at least 0 and finite"),
        ("seconds", LEAST_S < options.seconds < math.inf, f"above {LEAST_S:g} and finite"),
    )
    return options


def _fleet(options: argparse.Namespace, replicas: int) -> Fleet:
    first_ms, each_ms = options.batch_ms
    replica = Replica(
        first_ms / 1e3,
        each_ms / 1e3,
        options.most_per_batch,
        options.batch_wait_ms / 1e3,
        max(BATCHES_HELD * options.most_per_batch, Replica.most_ongoing),
    )
    return Fleet(
        replicas,
        replica,
        options.servers,
        options.proxies,
        options.link_gbit * 1e9,
        LOOP_MS / 1e3,
        BEFORE_MS / 1e3,
        AFTER_MS / 1e3,
        options.proxy_ms / 1e3,
        deadline_s=options.deadline_ms / 1e3,
    )


def _row(fleet: Fleet, drones: int, outcome: Outcome) -> str:
    part, most = min(fleet.limits().items(), key=lambda limit: limit[1])
    p50_ms, p95_ms = (1e3 * outcome.latency_s(percent) for percent in (50, 95))
    gbit_s = 8 * fleet.request_bytes * FRAMES_PER_S * drones * (outcome.answered + outcome.failed) / outcome.sent / 1e9
    return (
        f"{drones:>8}{p50_ms:>7.0f} ms{p95_ms:>7.0f} ms{outcome.answered_share:>10.1%}"
        f"{outcome.failed / outcome.sent:>7.1%}{gbit_s:>9.3f}  {part} {drones / most:.0%}"
    )


if __name__ == "__main__":
    run_command(main)

"""Measure how exactly people are placed without depth images: in the stand-in, compared with the true depth.

    python tools/measure_range.py weights/model_weights --seeds 700 701 702

A drone patrols and follows. Once a second, each person whom the network sees is placed by the ground and by their
height, and the depth is compared with the renderer's. Prints a table by distance: the share of people who could be
placed, the median error, and how often the error is within one and two standard deviations that the tracker gets.
Takes two minutes for each seed of 120 s.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model.bars import progress_bar
from model.command import command, command_parser, print_text, run_command
from model.engines import add_precision_option, load_engine
from model.options import check
from server.sight.geometry import Camera
from server.sight.people import Sighting
from server.sight.sight import Sight, View
from server.wire.messages import Frame
from tools.simulator.cameraman import DIRECT_EVERY_S, Cameraman
from tools.simulator.scene import NOBODY
from tools.simulator.targets import HERO, NAMES
from tools.simulator.world import MOST_PEOPLE, Observation, World, frame_fields

EDGES_M = (0, 10, 20, 30, 50, 100)
NEAR_M = (0, 30)  # a class of its own at the end of the table
LEAST_PX = 6  # a sighting is of the person with the most pixels in its box, if they are at least this many


class Measured(NamedTuple):
    """One sighting: true depth, depth found, and its standard deviation, metres; the latter two NaN without a place."""

    true_m: float
    found_m: float
    std_m: float


@command("measure_range")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    check(
        options,
        ("seeds", min(options.seeds) >= 0, "of at least 0"),
        ("duration", options.duration >= 1, "of at least 1"),
        ("people", 1 <= options.people <= MOST_PEOPLE, f"1 to {MOST_PEOPLE}"),
    )
    engine = load_engine("auto", str(options.weights), options.precision)
    sight = Sight(engine, Camera(has_depth=False), target=engine.card.known(options.target))
    found = []
    for seed in options.seeds:
        with World(seed, options.people, lookalikes=None, target=options.target) as world:
            flown = observations(world, seed, options.duration)
            for observation in progress_bar(flown, desc=f"seed {seed}", total=options.duration):
                view = sight.look(Frame.read(1, 0.0, frame_fields(observation)))
                assert isinstance(view, View)
                found += [each for one in view.sightings if (each := measured(one, observation)) is not None]
    print_text(table(np.array(found).reshape(-1, 3)))
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("weights", type=Path, help="the network, such as weights/model_weights")
    parser.add_argument("--seeds", type=int, nargs="+", default=[700], help="seeds of the worlds (default: 700)")
    parser.add_argument("--duration", type=int, default=120, help="duration of each flight, simulated s (default: 120)")
    parser.add_argument(
        "--people", type=int, default=30, help=f"number of people besides the hero, 1 to {MOST_PEOPLE} (default: 30)"
    )
    parser.add_argument(
        "--target",
        choices=NAMES,
        default=HERO,
        help="target to place instead of the hero; others of its kind are in the world, too",
    )
    add_precision_option(parser)
    return parser.parse_args(arguments)


def observations(world: World, seed: int, duration_s: int) -> Iterator[Observation]:
    """What the camera sees, once a second."""
    cameraman = Cameraman(world.drone, np.random.default_rng(seed))
    for _ in range(duration_s):
        for _ in range(round(1 / DIRECT_EVERY_S)):
            cameraman.direct(world.time_s, world.walkers.positions_m)
            world.step(DIRECT_EVERY_S)
        yield world.observe(cameraman.camera_pose(world.walkers.positions_m))


def measured(sighting: Sighting, observation: Observation) -> Measured | None:
    """Compare a sighting with the true depth of the person with the most pixels in its box; None if there is nobody."""
    left, top, right, bottom = (round(edge) for edge in sighting.box_px)
    box = np.s_[top : max(bottom, top + 1), left : max(right, left + 1)]
    who = observation.view.person[box]
    counts = np.bincount(who.ravel(), minlength=NOBODY + 1)
    counts[NOBODY:] = 0
    if counts.max() < LEAST_PX:
        return None
    true_m = float(np.median(observation.view.depth_m[box][who == counts.argmax()]))
    if sighting.place is None:
        return Measured(true_m, np.nan, np.nan)
    return Measured(true_m, sighting.place.depth_m, sighting.place.std_m)


def table(found: np.ndarray) -> str:
    """A line for each class of distance; `found` is (n, 3), as `Measured`."""
    true_m, error_m, std_m = found[:, 0], np.abs(found[:, 1] - found[:, 0]), found[:, 2]
    lines = [f"{'distance':>12}{'people':>8}{'placed':>8}{'median error':>14}{'90 %':>8}{'in 1 σ':>8}{'in 2 σ':>8}"]
    bounds = [*pairwise(EDGES_M), NEAR_M]
    for least_m, most_m in bounds:
        inside = (true_m >= least_m) & (true_m < most_m)
        placed = inside & np.isfinite(error_m)
        if not inside.any():
            continue
        figures = ""
        if placed.any():
            share, sigmas = error_m[placed] / true_m[placed], error_m[placed] / std_m[placed]
            figures = f"{np.median(share):>14.1%}{np.quantile(share, 0.9):>8.0%}"
            figures += f"{(sigmas <= 1).mean():>8.0%}{(sigmas <= 2).mean():>8.0%}"
        name = f"{least_m} to {most_m} m"
        lines.append(f"{name:>12}{inside.sum():>8}{placed.sum() / inside.sum():>8.0%}{figures}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)

"""The score of the whole loop: seeded episodes in the simulator, flown by the server and by the original's logic.

    python tools/closed_loop.py [--episodes 20] [--duration 120] [--drop 0.2] [--delay 0.2] [--hide] [--json FILE]

All runs in this process or its workers, in lock-step: the same command gives the same figures on any machine with the
same inference. By default 20 episodes of 120 s of simulated time for each of the two pilots, which takes some ten
minutes on two cores. Nobody who walks about is out of sight for long to a drone that follows; with --hide the hero
also goes through houses, so that there are losses, and a time to re-acquire.
"""

import argparse
import json
import math
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from model.engines import Engine, load_engine
from tools.simulator.faults import FaultConfig, Faults
from tools.simulator.loop import ServerPilot, fly
from tools.simulator.loop_score import Flight, Score, score
from tools.simulator.original import OriginalPilot
from tools.simulator.world import MOST_PEOPLE, World

SERVER, ORIGINAL = "server", "original"
PILOTS = (SERVER, ORIGINAL)


class Goal(NamedTuple):
    """What a figure of the server's score should be: at least or at most `bound`."""

    figure: str
    bound: float
    at_least: bool = False

    def is_met_by(self, got: Score) -> bool:
        """Whether a score meets it; where nothing was lost, nothing had to be re-acquired."""
        value = getattr(got, self.figure)
        if math.isnan(value):
            return self.figure == "reacquire_s" and got.acquired > 0
        return value >= self.bound if self.at_least else value <= self.bound


GOALS = (
    Goal("on_target", 0.95, at_least=True),
    Goal("wrong_person", 0.005),
    Goal("error_m", 0.5),
    Goal("reacquire_s", 3.0),
)
GOALS_WITH_FAULTS = (Goal("on_target", 0.90, at_least=True),)
GOALS_WITH_HIDING = (Goal("wrong_person", 0.005), Goal("reacquire_s", 3.0))

# Name, unit, and how to print it.
FIGURES = {
    "acquired": ("episodes with the hero acquired", "", "d"),
    "acquire_s": ("time to acquire once visible, median", "s", ".1f"),
    "acquire_p90_s": ("… 90th percentile", "s", ".1f"),
    "shown": ("episodes with the hero visible for a second", "", "d"),
    "acquired_of_shown": ("… and acquired", "", "d"),
    "acquire_shown_s": ("time to acquire from that second on, median", "s", ".1f"),
    "acquire_shown_p90_s": ("… 90th percentile", "s", ".1f"),
    "acquire_from_start_s": ("time to acquire from the start, median", "s", ".1f"),
    "acquire_from_start_p90_s": ("… 90th percentile", "s", ".1f"),
    "on_target": ("time on target after acquisition", "", ".1%"),
    "losses": ("losses", "", "d"),
    "reacquire_s": ("time to re-acquire once visible, median", "s", ".1f"),
    "wrong_person": ("time on a wrong person", "", ".2%"),
    "error_m": ("position error while following, median", "m", ".2f"),
    "error_p95_m": ("… 95th percentile", "m", ".2f"),
    "velocity_error_mps": ("velocity error while following, median", "m/s", ".2f"),
    "roughness_m": ("roughness of the commands", "m", ".3f"),
}
EPISODE_FIGURES = (
    "acquire_s",
    "acquire_shown_s",
    "acquire_from_start_s",
    "on_target",
    "losses",
    "reacquire_s",
    "wrong_person",
    "error_m",
)


class Episode(NamedTuple):
    """What decides a flight, beside the network; `faults` hit the same frames for every pilot, `hides` is the hero."""

    pilot: str
    seed: int
    people: int
    duration_s: float
    faults: FaultConfig
    hides: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 if a goal is missed."""
    options = _parse(arguments)
    episodes = [
        Episode(pilot, options.seed + number, options.people, options.duration, options.faults, options.hide)
        for number in range(options.episodes)
        for pilot in options.pilots
    ]
    flown = flights(episodes, options.weights, options.jobs)
    shown = tqdm(flown, total=len(episodes), unit="flight", disable=not sys.stderr.isatty())
    by_episode = dict(zip(episodes, shown, strict=True))
    by_pilot = {
        pilot: [flight for episode, flight in by_episode.items() if episode.pilot == pilot] for pilot in options.pilots
    }
    scores = {pilot: score(flown) for pilot, flown in by_pilot.items()}
    goals = GOALS_WITH_HIDING if options.hide else GOALS_WITH_FAULTS if options.drop or options.delay else GOALS
    hero = "a hero who hides, " if options.hide else ""
    print(
        f"{options.episodes} episodes of {options.duration:g} s from seed {options.seed} on, {options.people} others,"
        f" {options.drop:.0%} of the frames dropped, {options.delay:g} s of delay, {hero}network {options.weights}\n"
    )
    for episode, flight in by_episode.items():
        print(_episode_line(episode, score([flight])))
    print("\n" + table(scores, goals))
    if options.json:
        options.json.write_text(json.dumps(_report(options, by_episode, scores, goals), indent=1) + "\n")
    return int(SERVER in scores and not all(goal.is_met_by(scores[SERVER]) for goal in goals))


def flights(episodes: Sequence[Episode], weights: str, jobs: int) -> Iterator[Flight]:
    """Fly episodes in `jobs` processes; yields each one's flight, in order."""
    if jobs == 1:
        engine = load_engine("auto", weights)
        yield from (fly_episode(episode, engine) for episode in episodes)
        return
    context = multiprocessing.get_context("spawn")  # neither the network's threads nor the renderer survive a fork
    with ProcessPoolExecutor(jobs, context, _load_engine, (weights,)) as workers:
        yield from workers.map(_fly_in_worker, episodes)


def fly_episode(episode: Episode, engine: Engine) -> Flight:
    """Fly one episode with an engine that is loaded already."""
    faults = Faults(episode.faults, np.random.default_rng(episode.seed))
    with World(episode.seed, episode.people, hides=episode.hides) as world:
        if episode.pilot == ORIGINAL:
            return fly(world, OriginalPilot(engine), episode.duration_s, faults)
        return fly(world, ServerPilot(engine), episode.duration_s, faults)


_engine_of_worker: list[Engine] = []


def _load_engine(weights: str) -> None:
    _engine_of_worker.append(load_engine("auto", weights))


def _fly_in_worker(episode: Episode) -> Flight:
    return fly_episode(episode, _engine_of_worker[0])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--weights", default="weights/model_weights", help="the network (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--duration", type=float, default=120.0, help="of each, simulated s (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first; others follow (default: %(default)s)")
    parser.add_argument("--people", type=int, default=30, help="beside the hero, 0 to 60 (default: %(default)s)")
    parser.add_argument("--drop", type=float, default=0.0, help="share of the frames that get lost (default: 0)")
    parser.add_argument("--delay", type=float, default=0.0, help="of each frame, simulated s (default: 0)")
    parser.add_argument("--hide", action="store_true", help="let the hero go through houses, too")
    parser.add_argument("--pilots", nargs="+", choices=PILOTS, default=PILOTS, help="who flies (default: both)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: the cores, %(default)s)")
    options = parser.parse_args(arguments)
    for name, is_right, expected in (
        ("episodes", options.episodes >= 1, "at least 1"),
        ("jobs", options.jobs >= 1, "at least 1"),
        ("duration", options.duration > 0, "above 0"),
        ("people", 0 <= options.people <= MOST_PEOPLE, f"0 to {MOST_PEOPLE}"),
    ):
        if not is_right:
            parser.error(f"expected --{name} {expected}, got {getattr(options, name)}")
    try:
        options.faults = FaultConfig(drop=options.drop, delay=options.delay)
    except ValueError as error:
        parser.error(str(error))
    return options


def _episode_line(episode: Episode, got: Score) -> str:
    figures = "  ".join(f"{name} {_shown(name, getattr(got, name)):>7}" for name in EPISODE_FIGURES)
    return f"seed {episode.seed:>5} {episode.pilot:<9}{figures}"


def table(scores: dict[str, Score], goals: Sequence[Goal]) -> str:
    """One line for each figure, one column for each pilot, and whether the server's meets its goal."""
    lines = [" " * 44 + "".join(f"{pilot:>12}" for pilot in scores)]
    for name, (title, _, _) in FIGURES.items():
        values = "".join(f"{_shown(name, getattr(got, name)):>12}" for got in scores.values())
        lines.append(f"{title:<44}{values}{_verdict(name, scores, goals)}")
    return "\n".join(lines)


def _verdict(name: str, scores: dict[str, Score], goals: Sequence[Goal]) -> str:
    goal = next((goal for goal in goals if goal.figure == name), None)
    if goal is None or SERVER not in scores:
        return ""
    sign = "≥" if goal.at_least else "≤"
    return f"   {sign} {_shown(name, goal.bound)}: {'met' if goal.is_met_by(scores[SERVER]) else 'MISSED'}"


def _shown(name: str, value: float) -> str:
    _, unit, form = FIGURES[name]
    return "–" if math.isnan(value) else f"{value:{form}} {unit}".rstrip()


def _report(
    options: argparse.Namespace, by_episode: dict[Episode, Flight], scores: dict[str, Score], goals: Sequence[Goal]
) -> dict[str, Any]:
    return {
        "settings": {
            name: getattr(options, name)
            for name in ("weights", "episodes", "duration", "seed", "people", "drop", "delay", "hide")
        },
        "scores": {pilot: _as_json(got) for pilot, got in scores.items()},
        "goals": [{**goal._asdict(), "is_met": goal.is_met_by(scores[SERVER])} for goal in goals if SERVER in scores],
        "episodes": [
            {"pilot": episode.pilot, "seed": episode.seed, **_as_json(score([flight]))}
            for episode, flight in by_episode.items()
        ],
    }


def _as_json(got: Score) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in got._asdict().items()}


if __name__ == "__main__":
    sys.exit(main())

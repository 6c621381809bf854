"""Score the closed loop of simulator and server: fly seeded episodes with the server's and the original's logic.

    python tools/closed_loop.py [--episodes 20] [--duration 120] [--drop 0.2] [--delay 0.2] [--hide] [--lookalikes 6]
    python tools/closed_loop.py --ray

Episodes run in lock-step, in this process, in worker processes, or on the machines of a Ray cluster (docs/fleet.md):
the same command gives the same figures on every machine whose inference gives the same results. The default is 20
episodes of 120 s of simulated time for each of the two pilots, which takes about eighteen minutes on two idle cores. A
hero who walks in the open stays in the view of a drone that follows, so there are hardly any losses. With --hide, the
hero also walks through houses: then the drone loses the hero, and the time to re-acquire can be measured. With
--lookalikes, some of the people share a part of the hero's outfit, and one of six crosses the hero's way: they test
whether the drone follows the right person. `stranger_score` defines the figures about strangers. `track_score` defines
the figure about all people, which exists for the server only: the original's logic does not track people.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.bars import progress_bar
from model.command import check_output_file, command, command_parser, run_command
from model.engines import PRECISIONS
from model.options import add_options, check, from_options, option
from tools.simulator import loop_table
from tools.simulator.episodes import PILOTS, Episode, flights
from tools.simulator.faults import FaultConfig
from tools.simulator.flight import Flight
from tools.simulator.loop_score import Score, score
from tools.simulator.loop_table import SERVER, Goal, shown, table
from tools.simulator.targets import HERO, LOOKALIKES_HELP, NAMES, lookalikes_of
from tools.simulator.world import MOST_PEOPLE, population_rules

EPISODE_FIGURES = (
    "acquire_s",
    "acquire_shown_s",
    "acquire_from_start_s",
    "on_target",
    "losses",
    "reacquire_s",
    "wrong_person",
    "chases_per_h",
    "idf1",
    "error_m",
)
# Settings in the report: those that change the figures.
REPORTED_SETTINGS = (
    "weights",
    "precision",
    "episodes",
    "duration",
    "seed",
    "people",
    "drop",
    "delay",
    "hide",
    "lookalikes",
    "target",
    "pace",
)
FASTEST = 9  # QuadSim's keys


@dataclass(frozen=True)
class LoopSettings:
    """The options of this command, without the faults.

    Raises:
        ValueError: if a setting is out of its range.
    """

    weights: str = option("weights/model_weights", "the network")
    precision: str = option("auto", "precision of the network, as the server's", choices=PRECISIONS)
    episodes: int = option(20, "number of episodes")
    duration: float = option(120.0, "length of an episode, simulated s")
    seed: int = option(0, "seed of the first episode; each further episode adds 1")
    people: int = option(30, f"number of people besides the hero, 0 to {MOST_PEOPLE}")
    target: str = option(HERO, "target to follow instead of the hero", choices=NAMES)
    lookalikes: int | None = option(None, LOOKALIKES_HELP)
    hide: bool = option(False, "let the hero also walk through houses")
    pace: int = option(1, f"how many times as fast the world moves, as QuadSim's number keys make it, 1 to {FASTEST}")
    pilots: tuple[str, ...] = option(PILOTS, "logic that directs the drone", choices=PILOTS)
    json: Path | None = option(None, "JSON file for the figures", metavar="FILE")
    jobs: int = option(os.cpu_count() or 1, "number of processes, without --ray")
    ray: bool = option(False, "fly on a Ray cluster: the one that this machine belongs to, else one of this machine")

    def __post_init__(self) -> None:
        check(
            self,
            ("episodes", self.episodes >= 1, "of at least 1"),
            ("jobs", self.jobs >= 1, "of at least 1"),
            ("duration", 0 < self.duration < math.inf, "above 0 and finite"),
            ("seed", self.seed >= 0, "of at least 0"),
            *population_rules(self.people, self.lookalikes),
            ("hide", not self.hide or self.target == HERO, "left out with another --target than the hero"),
            ("pace", 1 <= self.pace <= FASTEST, f"from 1 to {FASTEST}"),
        )
        object.__setattr__(self, "lookalikes", lookalikes_of(self.target, self.lookalikes, self.people))


@command("closed_loop")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 if a goal is missed."""
    settings, faults = _parse(arguments)
    check_output_file(settings.json)
    episodes = [
        Episode(
            pilot,
            seed,
            settings.people,
            settings.duration,
            faults,
            hides=settings.hide,
            lookalikes=settings.lookalikes,
            pace=settings.pace,
            target=settings.target,
        )
        for seed in range(settings.seed, settings.seed + settings.episodes)
        for pilot in settings.pilots
    ]
    flown = progress_bar(_flights(episodes, settings), total=len(episodes), unit="flight")
    by_episode = dict(zip(episodes, flown, strict=True))
    scores = {
        pilot: score([flight for episode, flight in by_episode.items() if episode.pilot == pilot])
        for pilot in settings.pilots
    }
    goals = goals_of(settings, faults)
    of_kind = "lookalikes" if settings.target == HERO else "of its kind"
    alike = f", including {settings.lookalikes} {of_kind}" if settings.lookalikes else ""
    hero = "a hero who hides, " if settings.hide else ""
    print(
        f"{settings.episodes} episodes of {settings.duration:g} s from seed {settings.seed} on, "
        f"{settings.people} people besides the {settings.target}{alike}, {hero}{faults.drop:.0%} of the frames "
        f"dropped, {faults.delay:g} s delay, network {settings.weights}\n"
    )
    for episode, flight in by_episode.items():
        print(_episode_line(episode, score([flight])))
    print("\n" + table(scores, goals))
    if settings.json:
        settings.json.write_text(json.dumps(_report(settings, faults, by_episode, scores, goals), indent=1) + "\n")
    return int(SERVER in scores and not all(goal.is_met_by(scores[SERVER]) for goal in goals))


def goals_of(settings: LoopSettings, faults: FaultConfig) -> Sequence[Goal]:
    """Goals for the server with these settings; if several cases apply, those of the first case below."""
    if settings.target != HERO:
        return loop_table.OF_ANOTHER_TARGET
    if faults != FaultConfig():
        return loop_table.WITH_FAULTS
    if settings.pace > 1:
        return loop_table.AT_A_FASTER_PACE
    if settings.hide:
        return loop_table.WITH_HIDING
    return loop_table.WITH_LOOKALIKES if settings.lookalikes else loop_table.OF_THE_HERO


def _flights(episodes: Sequence[Episode], settings: LoopSettings) -> Iterator[Flight]:
    if not settings.ray:
        return flights(episodes, settings.weights, settings.precision, settings.jobs)
    from tools.simulator.cluster import flights_on_cluster  # only here: Ray is not installed with everything else

    return flights_on_cluster(episodes, settings.weights, settings.precision)


def _parse(arguments: Sequence[str] | None) -> tuple[LoopSettings, FaultConfig]:
    parser = command_parser(__doc__)
    add_options(parser, LoopSettings)
    add_options(parser, FaultConfig, only=("drop", "delay"))
    options = parser.parse_args(arguments)
    return from_options(LoopSettings, options), from_options(FaultConfig, options)


def _episode_line(episode: Episode, got: Score) -> str:
    figures = "  ".join(f"{name} {shown(name, getattr(got, name)):>7}" for name in EPISODE_FIGURES)
    return f"seed {episode.seed:>5} {episode.pilot:<9}{figures}"


def _report(
    settings: LoopSettings,
    faults: FaultConfig,
    by_episode: dict[Episode, Flight],
    scores: dict[str, Score],
    goals: Sequence[Goal],
) -> dict[str, Any]:
    all_settings = asdict(settings) | asdict(faults)
    return {
        "settings": {name: all_settings[name] for name in REPORTED_SETTINGS},
        "scores": {pilot: got.as_json() for pilot, got in scores.items()},
        "goals": [{**goal._asdict(), "is_met": goal.is_met_by(scores[SERVER])} for goal in goals if SERVER in scores],
        "episodes": [
            {"pilot": episode.pilot, "seed": episode.seed, **score([flight]).as_json()}
            for episode, flight in by_episode.items()
        ],
    }


if __name__ == "__main__":
    run_command(main)

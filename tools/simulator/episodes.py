"""Seeded flights of the loop, one after another or in several processes; `cluster.py` flies them on many machines."""

import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np

from model.command import interrupt_ignored
from model.engines import Engine, load_engine
from model.startup import end_with_parent
from tools.simulator.faults import FaultConfig, Faults
from tools.simulator.flight import Flight
from tools.simulator.loop import ServerPilot, fly
from tools.simulator.loop_table import SERVER
from tools.simulator.original import OriginalPilot
from tools.simulator.targets import HERO
from tools.simulator.world import World

ORIGINAL = "original"
PILOTS = (SERVER, ORIGINAL)


class Episode(NamedTuple):
    """Conditions of a flight besides the network.

    Args:
        pilot: a member of `PILOTS`.
        seed: of the world and of the faults; the faults hit the same frames for every pilot.
        people: number of people besides the hero.
        duration_s: simulated time.
        faults: on the way of the frames.
        hides: whether the hero walks through houses.
        lookalikes: number of the people who look similar to the hero.
        pace: how many times as fast the world moves.
        target: name of the target.
    """

    pilot: str
    seed: int
    people: int
    duration_s: float
    faults: FaultConfig
    hides: bool = False
    lookalikes: int | None = 0
    pace: int = 1
    target: str = HERO


def flights(episodes: Sequence[Episode], weights: str, precision: str, jobs: int) -> Iterator[Flight]:
    """Fly episodes in `jobs` processes; yields the flight of each, in order.

    Raises:
        ValueError, OSError: as `load_engine`, or if a process ends early.
    """
    # Needed for several processes, too, because a bad network must fail here, with a short error.
    engine = load_engine("auto", weights, precision)
    if jobs == 1:
        yield from (fly_episode(episode, engine) for episode in episodes)
        return
    context = multiprocessing.get_context("spawn")  # neither the network's threads nor the renderer survive a fork
    with ProcessPoolExecutor(jobs, context, end_with_parent) as workers:
        try:
            with interrupt_ignored():  # workers inherit this: Ctrl-C is for the parent, which ends them
                flown = [workers.submit(fly_in_worker, episode, weights, precision) for episode in episodes]
            yield from (flight.result() for flight in flown)
        except BrokenProcessPool as error:
            raise OSError("expected each worker process to fly its episodes, one ended early") from error
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def fly_episode(episode: Episode, engine: Engine) -> Flight:
    """Fly one episode with a loaded engine."""
    faults = Faults(episode.faults, np.random.default_rng(episode.seed))
    with World(
        episode.seed, episode.people, hides=episode.hides, lookalikes=episode.lookalikes, target=episode.target
    ) as world:
        # A network that does not know the target looks for its own first target: its reaction can be measured, too.
        target = engine.card.known(episode.target)
        pilot = OriginalPilot(engine, target) if episode.pilot == ORIGINAL else ServerPilot(engine, target)
        return fly(world, pilot, episode.duration_s, faults, episode.pace)


def fly_in_worker(episode: Episode, weights: str, precision: str) -> Flight:
    """Fly one episode in a worker process, which loads the network once, for its first episode."""
    return fly_episode(episode, _engine_of_worker(weights, precision))


@functools.cache
def _engine_of_worker(weights: str, precision: str) -> Engine:
    return load_engine("auto", weights, precision)

"""Seeded flights of the loop on a Ray cluster: many machines, or all cores of this one. Needs Ray."""

from collections.abc import Iterator, Sequence

import ray
from ray.exceptions import RayError, RayTaskError

from model.command import one_line
from model.engines import load_engine
from model.loading import resolve_weights
from tools.simulator.episodes import Episode, fly_in_worker
from tools.simulator.fleet_process import MOST_STARTS
from tools.simulator.flight import Flight


def flights_on_cluster(episodes: Sequence[Episode], weights: str, precision: str) -> Iterator[Flight]:
    """Fly episodes as tasks of Ray, one on each CPU; yields the flight of each, in order.

    The cluster is that of the environment's RAY_ADDRESS, or else the one that this machine belongs to (`ray start`), or
    else a temporary one of this machine alone. A task whose machine or process dies is flown again.

    Args:
        episodes: the episodes to fly.
        weights: of the network. They and this repository must have the same path on each machine.
        precision: as `load_engine` takes it.

    Raises:
        ValueError, OSError: as `load_engine`, here or on another machine, or if a task cannot be flown.
    """
    path = str(resolve_weights(weights).resolve())
    load_engine("auto", path, precision)  # a bad network fails here, with a short error
    connect()
    try:
        fly = ray.remote(fly_in_worker)
        flown = [fly.remote(episode, path, precision) for episode in episodes]
        for flight in flown:
            yield ray.get(flight)
    except RayTaskError as error:  # its text is a traceback of several lines
        raise error.cause from error
    except RayError as error:
        raise OSError(f"expected Ray to fly each episode, got: {one_line(error, 500)}") from error
    finally:
        ray.shutdown()


def connect() -> None:
    """Connect to the cluster, or start one of this machine; see `flights_on_cluster`.

    Raises:
        OSError: if there is none.
    """
    for start in range(1, MOST_STARTS + 1):
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            return
        except Exception as error:  # Ray raises no specific class
            ray.shutdown()
            if start == MOST_STARTS:
                raise OSError(f"expected a Ray cluster, got: {one_line(error, 500)}") from error

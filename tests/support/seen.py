"""Sightings and events of frames that perception has understood, made up."""

import itertools

from server.flight.events import Failed, NotUnderstood, Seen
from server.flight.session import Session
from server.settings import TrackerConfig
from server.sight.people import Box, Place, Sighting

HERE = (10.0, 2.0, 1.0)
WATCHDOG_S = 1.0
_numbers = itertools.count(1)


def quick_tracker(**settings) -> TrackerConfig:
    """A tracker that follows a hero from the second frame on, unless `settings` say otherwise."""
    return TrackerConfig(**{"follow_above": 0.7, **settings})


def session(**tracker) -> Session:
    """A session with `quick_tracker`."""
    return Session.begin("a simulator", quick_tracker(**tracker), WATCHDOG_S)


def sighting(position_m=HERE, std_m: float = 0.2, evidence: float = 5.0) -> Sighting:
    """A sighting at a position in the world, by default of the hero, without a second look.

    Without a position, it has no place.
    """
    place = None if position_m is None else Place(tuple(map(float, position_m)), std_m, depth_m=10.0, area_m2=0.4)
    return Sighting((128.0, 128.0), (128.0, 150.0), Box(120.0, 100.0, 136.0, 150.0), 200, evidence, evidence, place)


def stranger(position_m=HERE) -> Sighting:
    """Somebody who clearly is not the hero."""
    return sighting(position_m, evidence=-5.0)


def seen(time_s: float, *sightings: Sighting, delay_s: float = 0.01) -> Seen:
    """A frame taken and received at `time_s`, and answered after `delay_s`."""
    return Seen(time_s + delay_s, next(_numbers), time_s, 1e9 + time_s, sightings)


def bad(arrival_s: float, now_s: float | None = None) -> NotUnderstood:
    """A frame that is not understood."""
    now_s = arrival_s if now_s is None else now_s
    return NotUnderstood(now_s, next(_numbers), arrival_s, "pose", "six numbers", "none")


def failed(now_s: float) -> Failed:
    """A frame on which perception failed."""
    return Failed(now_s, next(_numbers))

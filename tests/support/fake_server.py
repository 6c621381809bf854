"""The real server on `ColourEngine`; run as a script with the server's options."""

import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]  # a process of its own: pytest's path is not there

from server import follower
from support.fake_engine import HERO_AND_DOG, ColourEngine, colour_network


def load(name: str, weights: str, *_: Any) -> ColourEngine:
    """The first network."""
    if Path(weights).is_file():
        return colour_network(weights)
    return ColourEngine(most_per_batch=4, has_dog=weights == HERO_AND_DOG)


if __name__ == "__main__":
    follower.load_engine = load  # type: ignore[assignment]
    follower.load_beside = lambda name, weights, *_: colour_network(weights)
    follower.run()

"""A network that sees colours, so that a test decides what perception sees and when it fails, without weights."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.card import Card, Target
from model.engines import Engine
from model.evidence import Evidence
from model.profile import hero_profile
from model.scoring import CLASSES

RED, BLUE, MAGENTA, YELLOW, GREY = (220, 20, 20), (20, 20, 220), (220, 20, 220), (220, 220, 20), (128, 128, 128)
GREEN = (20, 220, 20)
STALL_S = 5.0  # longer than any watchdog
# The name of a network with two targets.
HERO_AND_DOG = "hero and dog"
DOG = replace(hero_profile(), name="dog", others="people", marker_m=(0.5, 0.5, 0.9))
# The real server on this network: a script with the options of `server/follower.py`.
FAKE_SERVER = Path(__file__).with_name("fake_server.py")


def colour_network(weights: str) -> "ColourEngine":
    """Load a fake network by the words in its file; wait while the file is empty.

    "red" or "blue": the hero's colour. "hero and dog": one with two targets. "damaged": refused as a damaged file is.
    "raises": an error of ours.
    """
    while not (words := Path(weights).read_text()):
        time.sleep(0.01)
    if words == "damaged":
        raise ValueError(f"{weights}: expected a network, got a damaged file")
    if words == "raises":
        raise RuntimeError("the loading of networks has a bug")
    return ColourEngine(has_dog=True) if words == HERO_AND_DOG else ColourEngine(hero=words)


class ColourEngine(Engine):
    """Red is the hero, blue another person (or the other way round), all other colours are surroundings.

    With a dog, green is the dog, a second target which counts as another person while the hero is followed. Two frames
    of the hero are enough to follow. On a magenta image the engine raises, on a yellow image it hangs for `STALL_S`.
    """

    def __init__(
        self,
        input_px: int = 160,
        most_per_batch: int = 1,
        hero: str = "red",
        part_px: tuple[int, int] | None = None,
        has_dog: bool = False,
    ) -> None:
        self.input_px, self.most_per_batch, self._hero, self.part_px = input_px, most_per_batch, hero, part_px
        self.description = "colours" if hero == "red" else f"colours, the hero in {hero}"
        self._has_dog, evidence = has_dog, Evidence(largest=8.0)
        self.card = Card(evidence=evidence)
        if has_dog:
            self.card = replace(self.card, classes=(*CLASSES, "dog"), more_targets=(Target(DOG, evidence),))

    def infer(self, images: np.ndarray) -> np.ndarray:
        """See `Engine.infer`."""
        red, green, blue = (images[..., channel].astype(int) for channel in range(3))
        if ((red > 150) & (blue > 150) & (green < 100)).all(axis=(1, 2)).any():
            raise RuntimeError("the network has seen magenta")
        if ((red > 150) & (green > 150) & (blue < 100)).all(axis=(1, 2)).any():
            time.sleep(STALL_S)
        hero = (red > 90) & (red > 2 * green) & (red > 2 * blue)
        person = (blue > 90) & (blue > 2 * green) & (blue > 2 * red)
        if self._hero == "blue":
            hero, person = person, hero
        classes = [person, hero]
        if self._has_dog:
            classes.append((green > 90) & (green > 2 * red) & (green > 2 * blue))
        return np.stack([~np.logical_or.reduce(classes), *classes], axis=-1).astype(np.float32)

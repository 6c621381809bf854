"""Run a network of several targets as a network of a single target. The other targets become people."""

from dataclasses import replace

import numpy as np

from model.engines.engine import Engine
from model.scoring import HERO, as_of_one_target


class OneTarget(Engine):
    """Runs another engine, whose network has several targets in the order of its classes.

    Args:
        engine: that engine.
        target: name of the target to keep; None for the present target.

    Attributes:
        number: class number of the target in that network.

    Raises:
        ValueError: if the network has no such target, or other classes than its targets after the first two.
    """

    def __init__(self, engine: Engine, target: str | None) -> None:
        card = engine.card.following(target)
        if card.classes[HERO:] != card.targets:
            raise ValueError(
                f"expected a network with classes surroundings, others and its targets, got {', '.join(card.classes)}"
            )
        self._engine = engine
        self.number = card.hero
        self.card = replace(card, classes=(*card.classes[:HERO], card.profile.name), more_targets=())
        self.description, self.input_px, self.most_per_batch = (
            engine.description,
            engine.input_px,
            engine.most_per_batch,
        )
        self.weights, self.weights_sha256 = engine.weights, engine.weights_sha256

    def infer(self, images: np.ndarray) -> np.ndarray:
        """See `Engine.infer`."""
        return as_of_one_target(self._engine.infer(images), self.number)

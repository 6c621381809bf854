"""A network that takes red for the hero, so that a test decides what is seen without weights."""

import numpy as np

from model.card import Card
from server.engine import Engine

RED, GREY = (200, 30, 30), (128, 128, 128)


class RedEngine(Engine):
    description = "red"
    card = Card()
    most_per_batch = 1

    def __init__(self, input_px: int = 160) -> None:
        self.input_px = input_px

    def infer(self, images: np.ndarray) -> np.ndarray:
        red, green, blue = (images[..., channel].astype(int) for channel in range(3))
        hero = (red > 90) & (red > 2 * green) & (red > 2 * blue)
        return np.stack([~hero, np.zeros_like(hero), hero], axis=-1).astype(np.float32)

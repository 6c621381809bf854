"""The real server on a network that sees colours, so that a test decides what perception sees and when it fails.

Run as a script with the server's options. In a frame's image, red is the hero; a magenta image makes the network raise,
a yellow one makes it hang for 1.5 s.
"""

import sys
import time

import numpy as np

from model.card import Card
from server import follower
from server.engine import Engine

RED, MAGENTA, YELLOW, GREY = (220, 20, 20), (220, 20, 220), (220, 220, 20), (128, 128, 128)
STALL_S = 1.5


class ColourEngine(Engine):
    description = "colours"
    input_px = 160
    card = Card()
    most_per_batch = 4

    def infer(self, images: np.ndarray) -> np.ndarray:
        red, green, blue = (images[..., channel].astype(int) for channel in range(3))
        if ((red > 150) & (blue > 150) & (green < 100)).all(axis=(1, 2)).any():
            raise RuntimeError("the network has seen magenta")
        if ((red > 150) & (green > 150) & (blue < 100)).all(axis=(1, 2)).any():
            time.sleep(STALL_S)
        hero = (red > 150) & (green < 100) & (blue < 100)
        return np.stack([~hero, np.zeros_like(hero), hero], axis=-1).astype(np.float32)


if __name__ == "__main__":
    follower.load_engine = lambda name, weights: ColourEngine()
    sys.exit(follower.main())

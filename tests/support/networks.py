"""A network small enough to say what it answers."""

from pathlib import Path

import keras
import numpy as np


def save_pixel_network(folder: Path, px: int, kernel: np.ndarray, bias: np.ndarray) -> Path:
    """Save a network that classifies each pixel by its colour alone.

    Args:
        folder: where to save it.
        px: height and width of its input.
        kernel: (1, 1, 3, classes), weights of a colour from −1 to 1.
        bias: (classes,)
    """
    image = keras.Input((px, px, 3))
    probabilities = keras.layers.Conv2D(len(bias), 1, activation="softmax", name="probabilities")
    network = keras.Model(image, probabilities(image))
    probabilities.set_weights([kernel, bias])
    file = folder / "network.keras"
    network.save(file)
    return file

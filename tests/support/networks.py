"""Networks so small that their answers are known."""

from pathlib import Path

import keras
import numpy as np


def save_colour_network(folder: Path, px: int, weight: float) -> Path:
    """Save a network: blue is surroundings; otherwise, red speaks for the hero and green for other people.

    Inputs are −1 to 1: the margin of a pixel is `weight` · (red − green), with red and green in this range.
    """
    kernel = np.zeros((1, 1, 3, 3))
    kernel[0, 0, 2, 0], kernel[0, 0, 1, 1], kernel[0, 0, 0, 2] = 20, weight, weight
    return save_pixel_network(folder, px, kernel, np.zeros(3))


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

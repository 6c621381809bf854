"""The self-test: a network must give its known answer on a known frame before it is used.

The frame is one of the dataset's training images, with the hero and other people near (Copyright (c) 2017 Udacity,
Inc., MIT licence). The answer is coarse, so that engines of other precisions pass: the mean probability of each class
in each of 8 × 8 parts of the image.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from model.card import Card
from model.images import resize_rgb

KNOWN_FRAME = Path(__file__).with_name("known_frame.jpeg")
PARTS = 8
# OpenVINO in float32 differs from Keras by 2e-6. Rounding weights and frame to bfloat16 changes the answers of the two
# networks in weights/ by 0.001 and 0.009. A damaged network differs by far more.
TOLERANCE = 0.1


def known_frame(px: int) -> np.ndarray:
    """The known frame as a batch of one: (1, px, px, 3) uint8 RGB."""
    with Image.open(KNOWN_FRAME) as image:
        return resize_rgb(image, px)[None]


def known_input(px: int, card: Card) -> np.ndarray:
    """The known frame as a network with this card takes it: (1, px, px, 3) float32."""
    return (known_frame(px).astype(np.float32) - card.mean) / card.scale


def check_probabilities(values: np.ndarray, axis: int) -> None:
    """Check that values are probabilities of classes.

    Args:
        values: float32 of any shape.
        axis: of the classes.

    Raises:
        ValueError: if they are not; a clause to put behind the network's name.
    """
    sums, least = values.sum(axis=axis), values.min()
    if not (np.abs(sums - 1).max() < 0.02 and least > -0.01):  # also true for values that are not finite
        raise ValueError(f"expected probabilities on a camera image, got values from {least:g} on")


def coarse(probabilities: np.ndarray) -> np.ndarray:
    """The coarse answer of a network's output.

    Args:
        probabilities: (1, px, px, classes) float32, of the known frame.

    Returns:
        (parts, parts, classes) float: means over the parts; 8 × 8 of them, or as many as there are pixels.

    Raises:
        ValueError: if they are not probabilities; a clause to put behind the network's name.
    """
    check_probabilities(probabilities, axis=-1)
    parts = min(PARTS, probabilities.shape[1])
    rows = np.array_split(probabilities[0], parts, axis=0)
    return np.array([[part.mean(axis=(0, 1)) for part in np.array_split(row, parts, axis=1)] for row in rows])


def agrees(probabilities: np.ndarray, answer: np.ndarray) -> bool:
    """Whether an output is the known answer; never raises for invalid values."""
    try:
        given = coarse(probabilities)
    except ValueError:
        return False
    return given.shape == answer.shape and bool((np.abs(given - answer) <= TOLERANCE).all())

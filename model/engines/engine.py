"""What every engine offers, and the check of a network's card against the network."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from model.card import Card, read_card


class Engine(ABC):
    """A loaded network.

    Attributes:
        description: engine, device and precision, for people to read.
        input_px: height and width of its input.
        card: what its output channels mean, and from when on to believe them.
        most_per_batch: images that are worth inferring together.
        weights: where it was loaded from, as it was said.
        weights_sha256: of what it was loaded from, as `weights_sha256` tells; both None for one made otherwise.
    """

    description: str
    input_px: int
    card: Card
    most_per_batch: int
    weights: str | None = None
    weights_sha256: str | None = None

    @abstractmethod
    def infer(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities of camera images.

        Args:
            images: (N, input_px, input_px, 3) uint8 RGB, N at most `most_per_batch`.

        Returns:
            (N, input_px, input_px, classes) float32 in [0, 1].
        """


def checked_card(weights: Path, px: int, outputs: int) -> Card:
    """The card of a network, checked against the network itself.

    Args:
        weights: the network's file.
        px: height and width of its input.
        outputs: number of its output channels.

    Raises:
        ValueError: if the card names other classes or another input size.
    """
    card = read_card(weights)
    if len(card.classes) != outputs:
        raise ValueError(
            f"expected a network of the classes {', '.join(card.classes)}, got {outputs} outputs in {weights}"
        )
    if card.input_px not in (None, px):
        raise ValueError(f"expected an input of {card.input_px} px, as its card says, got {px} in {weights}")
    return card

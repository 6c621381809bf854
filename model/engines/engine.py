"""The interface of engines, and the check of a network's card against the network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from model.card import Card, read_card
from model.engines.second_look import SecondLook


class UnavailableError(ConnectionError):
    """A network on another machine gave no valid answer. This is no error of this program. A single line."""


class Engine(ABC):
    """A loaded network.

    Attributes:
        description: engine, device and precision as text.
        input_px: height and width of the input.
        part_px: height and width of parts of an image, which it infers at less cost; None if it infers no parts. Only
            an engine that infers one image at a time has it.
        card: card of the network.
        most_per_batch: greatest useful number of images per inference.
        most_at_once: how many threads may infer at the same time now.
        weights: path of the network as the user gave it; None if it was not loaded from files.
        second_look: second look at people whom the network takes for the hero; None without one.
        weights_sha256: result of `model.loading.weights_sha256`; None if it was not loaded from files.
        int8_files: the files of the int8 conversion; empty if it does not run one.
        parts_sha256: result of `model.engines.parts.parts_sha256`; empty if it was not loaded from files.
        is_remote: whether images are now inferred on another machine.
        remote_outcomes: how many images have been sent to another machine, by outcome.
    """

    description: str
    input_px: int
    part_px: tuple[int, int] | None = None
    card: Card
    most_per_batch: int
    most_at_once: int = 1
    second_look: SecondLook | None = None
    weights: str | None = None
    weights_sha256: str | None = None
    int8_files: tuple[Path, ...] = ()
    parts_sha256: Mapping[str, str] = MappingProxyType({})
    is_remote: bool = False
    remote_outcomes: Mapping[str, int] = MappingProxyType({})

    @abstractmethod
    def infer(self, images: np.ndarray) -> np.ndarray:
        """Compute the class probabilities of camera images.

        Args:
            images: (N, input_px, input_px, 3) uint8 RGB, N at most `most_per_batch`; or parts, (N, *part_px, 3).

        Returns:
            (N, height, width, classes) float32 in [0, 1].

        Raises:
            UnavailableError: if they are inferred on another machine, and its answer is late or invalid.
        """

    def close(self) -> None:  # noqa: B027 (most have nothing to end)
        """End its threads and connections without waiting. The engine is not used afterwards."""


def checked_card(weights: Path, px: int, outputs: int) -> Card:
    """Read the card of a network, and check it against the network.

    Args:
        weights: file of the network.
        px: height and width of the network's input.
        outputs: number of the network's output channels.

    Raises:
        ValueError: if the number of classes or the input size on the card is different.
    """
    card = read_card(weights)
    if len(card.classes) != outputs:
        raise ValueError(
            f"expected a network with classes {', '.join(card.classes)}, got {outputs} outputs in {weights}"
        )
    if card.input_px not in (None, px):
        raise ValueError(f"expected an input of {card.input_px} px, as its card says, got {px} in {weights}")
    return card

"""A network's card: what whoever runs it must know of it.

It is a JSON file beside the weights, which also tells their history and scores. Imports neither Keras nor TensorFlow.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from model.images import MEAN, SCALE
from model.loading import is_legacy
from model.scoring import CLASSES, THRESHOLD_255


@dataclass(frozen=True)
class Card:
    """How to run a network; the defaults are those of the original tools, and of weights without a card.

    Args:
        classes: what the output channels mean; one is "hero".
        input_px: height and width of its input; None where only the network itself tells.
        mean: what is taken from each channel of an image, 0 to 255.
        scale: what the rest is divided by.
        hero_threshold_255: a pixel is the hero's where its probability is above so many 255ths.
        min_blob_px: smallest hero to follow, in pixels of the network.

    Raises:
        ValueError: for anything else than that.
    """

    classes: tuple[str, ...] = CLASSES
    input_px: int | None = None
    mean: float = MEAN
    scale: float = SCALE
    hero_threshold_255: int = THRESHOLD_255
    # At 160 px 96 % of the heroes that the validation set shows are at least as large.
    min_blob_px: int = 8

    def __post_init__(self) -> None:
        if self.classes.count("hero") != 1:
            raise ValueError(f"classes must have one hero, got {', '.join(self.classes)}")
        if self.input_px is not None and self.input_px < 1:
            raise ValueError(f"input_px must be at least 1, got {self.input_px}")
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"scale must be positive and finite, got {self.scale}")
        if not 0 <= self.mean <= 255:
            raise ValueError(f"mean must be 0 to 255, got {self.mean}")
        if not 0 <= self.hero_threshold_255 < 255:
            raise ValueError(f"hero_threshold_255 must be 0 to 254, got {self.hero_threshold_255}")
        if self.min_blob_px < 1:
            raise ValueError(f"min_blob_px must be at least 1, got {self.min_blob_px}")


def card_file(weights: Path) -> Path:
    """Where the card of a resolved weights file is."""
    return weights.with_suffix(".json")


def read_card(weights: Path) -> Card:
    """Read the card of a resolved weights file; what it leaves out, and weights without one, get the defaults.

    Raises:
        ValueError: if there is a card that makes no sense; one line that names it.
    """
    file = card_file(weights)
    if is_legacy(weights) or not file.exists():
        return Card()
    try:
        content = json.loads(file.read_text())
        known = {name: content[name] for name in Card.__dataclass_fields__ if name in content}
        if "classes" in known:
            known["classes"] = tuple(known["classes"])
        return Card(**known)
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"expected a network's card in {file}, got: {error}") from error

"""How much the network's output on a person speaks for the hero: a calibrated log-likelihood ratio.

A network's probabilities are too sure of themselves, and how much they mean depends on what was seen: twenty dark
pixels say less than a thousand bright ones. A logistic regression on recordings whose truth is known
(`tools/calibrate.py`) corrects that; its weights are kept on the network's card.
"""

import math
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from typing import NamedTuple

import numpy as np

# Of a pixel, nats: beyond it, a network's logarithms are no evidence any more.
LARGEST_MARGIN = 12.0
MOST_NATS = 20.0  # that a frame may say: one error in 500 million, more than any examples can show
# On average over somebody's pixels, nats: less, and the network itself sees others in it, such as somebody who passes
# in front of the hero. A crop of two people is like neither. Chosen on flights of the stand-in, seed 504.
WHOLE_MARGIN = 3.0
# A second look that says less, nats, is no objection. At −1 it lost a hero for 26 s beside lookalikes, at −2 for 1.2 s
# at most. Nor does one between it and 0 take anything away: where it left the frame open, heroes were lost for 40 s.
# Chosen on flights of the stand-in, seeds 500 to 515.
LEAST_OBJECTION = -2.0
STRONGEST_PX = 4  # pixels: a far hero may have no more that the network is sure of
IMAGE_PX = 256 * 256
_TYPICAL_PX, _TYPICAL_BRIGHTNESS = 60.0, 60.0  # where the logarithms are 0


class Looks(NamedTuple):
    """What the evidence depends on.

    Args:
        mean_margin: mean over the person's pixels of log(probability of the hero / of other people), nats.
        strongest_margin: mean over the `STRONGEST_PX` largest.
        area_px: pixels of the person, in an image of 256 × 256.
        brightness: mean of the person's luma, 0 to 255.
        likeness: what the second look says, nats (`model.engines.second_look`); 0 if there is none.
    """

    mean_margin: float
    strongest_margin: float
    area_px: float
    brightness: float
    likeness: float = 0.0

    def is_worth_second_look(self, from_px: float) -> bool:
        """Whether all of the person looks like the hero to the network, and there is enough to see: `from_px`."""
        return self.mean_margin >= WHOLE_MARGIN and self.area_px >= from_px

    def terms(self) -> tuple[float, ...]:
        """The terms of the regression, in the order of the weights of `Evidence`."""
        dark = math.log(self.brightness / _TYPICAL_BRIGHTNESS + 0.1)
        size = math.log(self.area_px / _TYPICAL_PX)
        likeness = self.likeness, self.likeness * size
        return 1.0, self.mean_margin, self.strongest_margin, size, dark, self.mean_margin * dark, *likeness


@dataclass(frozen=True)
class Evidence:
    """Weights of the terms of `Looks`, and the largest log-likelihood ratio that a frame may give either way.

    The defaults are for networks whose card has none: as the shipped network's, rounded, and trusted half as far.

    Raises:
        ValueError: if a weight is not finite, or the bound is not in (0, `MOST_NATS`].
    """

    constant: float = 0.0
    mean_margin: float = 0.4
    strongest_margin: float = 0.3
    log_area: float = 0.0
    log_brightness: float = 0.0
    mean_margin_by_log_brightness: float = 0.0
    likeness: float = 0.0
    likeness_by_log_area: float = 0.0
    largest: float = 3.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, astuple(self))):
            raise ValueError(f"evidence must have finite weights, got {astuple(self)}")
        if not 0 < self.largest <= MOST_NATS:
            raise ValueError(f"the largest evidence must be in (0, {MOST_NATS:g}], got {self.largest}")

    def of(self, looks: Looks) -> float:
        """log(how likely such looks are for the hero / how likely for anything else), nats."""
        ratio = sum(weight * term for weight, term in zip(_weights(self), looks.terms(), strict=True))
        return min(max(ratio, -self.largest), self.largest)


_weights = attrgetter(*(field.name for field in fields(Evidence) if field.name != "largest"))  # astuple copies deeply


def margins(hero: np.ndarray, others: np.ndarray) -> np.ndarray:
    """log(hero / others) of pixels' probabilities, nats, within ± `LARGEST_MARGIN`; any shape."""
    least = math.exp(-LARGEST_MARGIN)
    ratios = np.log(np.maximum(hero, least)) - np.log(np.maximum(others, least))
    return np.clip(ratios, -LARGEST_MARGIN, LARGEST_MARGIN)


def objected(first: float, second: float) -> float:
    """Evidence, nats, after a second look: it may object, and adds nothing to what the network says."""
    return min(first, second) if second <= LEAST_OBJECTION else first

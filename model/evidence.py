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
# Least `strongest_margin` for a second look, nats. The mean margin would not do: the network takes only some parts of a
# near lookalike for the hero. Chosen on flights of the stand-in, seed 514.
HERO_IN_PART = 3.0
# A `strongest_margin` from the first with a `mean_margin` below the second: one part is surely the hero and the rest is
# not, so two people were taken for one. They get no second look. Chosen on flights of the stand-in, seeds 511 and 521.
SURELY_HERO, TWO_IN_ONE = 10.0, 6.0
# The share of lookalikes among those who are not the hero, before any has been met: one in 300 people. Chosen on
# flights of the stand-in, seeds 500 to 509, and with six lookalikes 510 to 525: with twice as many, far heroes are
# followed late or not at all; a wrong person is followed for a little less of the time.
LOOKALIKE_SHARE = 1 / 300
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
        sureness: mean probability of the hero over the pixels that are the hero's; 0 without any.
    """

    mean_margin: float
    strongest_margin: float
    area_px: float
    brightness: float
    likeness: float = 0.0
    sureness: float = 1.0

    def is_worth_second_look(self, from_px: float) -> bool:
        """Whether a part of the person looks like the hero to the network, and there is enough to see: `from_px`."""
        is_two = self.strongest_margin >= SURELY_HERO and self.mean_margin < TWO_IN_ONE
        return self.strongest_margin >= HERO_IN_PART and not is_two and self.area_px >= from_px

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


@dataclass(frozen=True)
class Doubt:
    """When a person is doubted whatever the evidence: the hero's pixels have too low a probability.

    The defaults are for networks whose card has none: few of their heroes are doubted.

    Args:
        near: a person is doubted whose 1 − `Looks.sureness` is above this.
        per_m: the same bound for each metre of distance, 1/m; the larger of the two bounds holds.

    Raises:
        ValueError: if one is not in [0, 1].
    """

    near: float = 0.2
    per_m: float = 0.01

    def __post_init__(self) -> None:
        if not all(0 <= value <= 1 for value in astuple(self)):
            raise ValueError(f"doubt must have values of 0 to 1, got {astuple(self)}")

    def of(self, sureness: float, distance_m: float) -> bool:
        """Whether the network is in doubt of somebody with this `Looks.sureness`."""
        return 1.0 - sureness > max(self.near, self.per_m * distance_m)


_weights = attrgetter(*(field.name for field in fields(Evidence) if field.name != "largest"))  # astuple copies deeply


def margins(hero: np.ndarray, others: np.ndarray) -> np.ndarray:
    """log(hero / others) of pixels' probabilities, nats, within ± `LARGEST_MARGIN`; any shape."""
    least = math.exp(-LARGEST_MARGIN)
    ratios = np.log(np.maximum(hero, least)) - np.log(np.maximum(others, least))
    return np.clip(ratios, -LARGEST_MARGIN, LARGEST_MARGIN)


def among_lookalikes(first: float, second: float, share: float) -> float:
    """Evidence of both looks, nats.

    Whoever is not the hero is anybody, of whom the first look tells, or a lookalike, of whom only the second one does:

        −log((1 − share)·P(looks | anybody) / P(looks | hero) + share·P(looks | lookalike) / P(looks | hero))

    So the second look adds nothing to what the first one says, and takes away where it says little.

    Args:
        first: evidence for the hero against anybody.
        second: evidence for the hero against a lookalike.
        share: of lookalikes among those who are not the hero.
    """
    return -math.log((1.0 - share) * math.exp(-first) + share * math.exp(-second))

"""How much the network's output on a person speaks for the hero: a calibrated log-likelihood ratio.

A network's probabilities are overconfident, and their meaning depends on size and brightness: twenty dark pixels say
less than a thousand bright ones. A logistic regression on recordings whose truth is known (`tools/calibrate.py`)
corrects this. Its weights are on the network's card.
"""

import math
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from typing import NamedTuple

import numpy as np

# Largest margin of a pixel, nats. Larger logarithms of a network's probabilities are no further evidence.
LARGEST_MARGIN = 12.0
MOST_NATS = 20.0  # largest evidence of a frame: one error in 500 million, more than any examples can show
# Least `strongest_margin` for a second look, nats. The mean margin is not suitable, because the network takes only some
# parts of a near lookalike for the hero. Chosen on flights of the stand-in, seed 514.
SECOND_LOOK_MARGIN = 3.0
# Two people are seen as one if the `strongest_margin` is at least TWO_PEOPLE_STRONGEST_MARGIN and the `mean_margin`
# below TWO_PEOPLE_MEAN_MARGIN, nats: one part is surely the hero, the rest is not. They get no second look. Chosen on
# flights of the stand-in, seeds 511 and 521.
TWO_PEOPLE_STRONGEST_MARGIN, TWO_PEOPLE_MEAN_MARGIN = 10.0, 6.0
# Prior share of lookalikes among people other than the hero: one in 300. Chosen on flights of the stand-in, seeds 500
# to 509, and, with six lookalikes, seeds 510 to 525. With twice the share, far heroes are followed late or not at all,
# and a wrong person is followed for slightly less of the time.
LOOKALIKE_SHARE = 1 / 300
STRONGEST_PX = 4  # pixels; the network may be sure of no more pixels of a far hero
IMAGE_PX = 256 * 256
_TYPICAL_PX, _TYPICAL_BRIGHTNESS = 60.0, 60.0  # where the logarithms are 0


class Looks(NamedTuple):
    """What the evidence depends on.

    Args:
        mean_margin: mean over the person's pixels of log(probability of the hero / of other people), nats.
        strongest_margin: the same over the `STRONGEST_PX` pixels with the largest margins.
        area_px: pixels of the person, in an image of 256 × 256.
        brightness: mean of the person's luma, 0 to 255.
        likeness: output of the second look, nats (`model.engines.second_look`); 0 without a second look.
        sureness: mean hero probability of the pixels that the network assigns to the hero; 0 if it assigns none.
    """

    mean_margin: float
    strongest_margin: float
    area_px: float
    brightness: float
    likeness: float = 0.0
    sureness: float = 1.0

    def is_worth_second_look(self, from_px: float) -> bool:
        """Whether the network takes a part of the person for the hero, and the person has at least `from_px` pixels.

        Two people who are seen as one are not worth it.
        """
        is_two = self.strongest_margin >= TWO_PEOPLE_STRONGEST_MARGIN and self.mean_margin < TWO_PEOPLE_MEAN_MARGIN
        return self.strongest_margin >= SECOND_LOOK_MARGIN and not is_two and self.area_px >= from_px

    def terms(self) -> tuple[float, ...]:
        """The terms of the regression, in the order of the weights of `Evidence`."""
        dark = math.log(self.brightness / _TYPICAL_BRIGHTNESS + 0.1)
        size = math.log(self.area_px / _TYPICAL_PX)
        likeness = self.likeness, self.likeness * size
        return 1.0, self.mean_margin, self.strongest_margin, size, dark, self.mean_margin * dark, *likeness


@dataclass(frozen=True)
class Evidence:
    """Weights of the terms of `Looks`, and the largest log-likelihood ratio that a frame may give either way.

    The defaults are for cards without evidence: weights near the shipped network's, and a smaller largest value.

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
        """log(P(looks | hero) / P(looks | not the hero)), nats."""
        ratio = sum(weight * term for weight, term in zip(_weights(self), looks.terms(), strict=True))
        return min(max(ratio, -self.largest), self.largest)


@dataclass(frozen=True)
class Doubt:
    """When the network is in doubt about a person, despite the evidence: the hero's pixels have a low probability.

    The defaults are for cards without doubt: with them, the network is in doubt about few heroes.

    Args:
        near: the network is in doubt about a person whose 1 − `Looks.sureness` is above this bound.
        per_m: the same bound per metre of distance, 1/m; the larger of the two bounds counts.

    Raises:
        ValueError: if a bound is not in [0, 1].
    """

    near: float = 0.2
    per_m: float = 0.01

    def __post_init__(self) -> None:
        if not all(0 <= value <= 1 for value in astuple(self)):
            raise ValueError(f"doubt must have values of 0 to 1, got {astuple(self)}")

    def of(self, sureness: float, distance_m: float) -> bool:
        """Whether the network is in doubt about a person with this `Looks.sureness`."""
        return 1.0 - sureness > max(self.near, self.per_m * distance_m)


_weights = attrgetter(*(field.name for field in fields(Evidence) if field.name != "largest"))  # astuple copies deeply


def margins(hero: np.ndarray, others: np.ndarray) -> np.ndarray:
    """log(hero / others) of pixels' probabilities, nats, within ± `LARGEST_MARGIN`; any shape."""
    least = math.exp(-LARGEST_MARGIN)
    ratios = np.log(np.maximum(hero, least)) - np.log(np.maximum(others, least))
    return np.clip(ratios, -LARGEST_MARGIN, LARGEST_MARGIN)


def among_lookalikes(first: float, second: float, share: float) -> float:
    """Combined evidence of both looks, nats.

    A person who is not the hero is either an ordinary stranger, whom the first look can tell from the hero, or a
    lookalike, whom only the second look can tell from the hero:

        −log((1 − share)·P(looks | stranger) / P(looks | hero) + share·P(looks | lookalike) / P(looks | hero))

    So the second look adds almost nothing to the first look's evidence. It reduces the evidence if its own is low.

    Args:
        first: evidence for the hero against a stranger.
        second: evidence for the hero against a lookalike.
        share: share of lookalikes among people other than the hero.
    """
    return -math.log((1.0 - share) * math.exp(-first) + share * math.exp(-second))

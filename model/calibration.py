"""Fit how much a network's output on a person speaks for the hero, and check whether the fit is right.

The regression gives the log odds of "hero" among the examples. Minus the log odds of the examples themselves, this is
the log-likelihood ratio. The fit is checked by cross-validation: each recording is judged by a fit without it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from model.evidence import LOOKALIKE_SHARE, Doubt, Evidence, Looks, among_lookalikes

# L2 penalty that pulls the weights towards 0. Chosen by the held-out log loss of the shipped network.
_REGULARISATION = 3.0
_SAME_BRIGHTNESS = 100.0  # the same brightness for all examples, so that its terms get weight 0
# Largest evidence of a frame, nats. The examples cannot show more: e⁵ is one error in 150.
LARGEST = 5.0
FOLDS = 4
# Shares of near and of far heroes about whom a network should not be in doubt. For the network shipped in November
# 2026, they give about the bounds of doubt that were chosen before on flights of the stand-in, seeds 500 to 519.
NEAR_SHARE_NOT_DOUBTED, FAR_SHARE_NOT_DOUBTED = 0.96, 0.8
FAR_PX = 100  # a smaller hero is far; pixels of an image of 256 × 256, the hero's size at 25 m
LEAST_HEROES = 20  # too few heroes do not determine these shares
# Heroes and others that a fit needs: ten for each of the six weights of the first look, a usual rule for this kind of
# regression.
ENOUGH_EXAMPLES = 60


class OneSidedError(ValueError):
    """Examples of the hero or of others are missing."""


class Example(NamedTuple):
    """One person seen in a frame whose truth is known.

    Args:
        recording: the frame's recording.
        looks: the network's output on the person.
        is_hero: the truth.
        distance_m: from the camera.
    """

    recording: str
    looks: Looks
    is_hero: bool
    distance_m: float = 0.0


@dataclass(frozen=True)
class Reliability:
    """Evidence of examples that it was not fitted on, in classes of evidence.

    Args:
        evidence: (C,) mean of each class, nats.
        observed: (C,) the log-likelihood ratio that the shares of hero and others in the class show; ± infinite where
            there are none.
        heroes, others: (C,) int, numbers of examples.
    """

    evidence: np.ndarray
    observed: np.ndarray
    heroes: np.ndarray
    others: np.ndarray

    @property
    def warning(self) -> str | None:
        """That there were too few examples for a reliable fit; None if there were enough."""
        heroes, others = int(self.heroes.sum()), int(self.others.sum())
        if min(heroes, others) >= ENOUGH_EXAMPLES:
            return None
        return f"few examples: {heroes} heroes, {others} others; a reliable fit needs {ENOUGH_EXAMPLES} of each"


class Fitted(NamedTuple):
    """The fitted evidence of both looks.

    Args:
        first: weights for the first look at any person.
        second: weights for the second look at people who are worth one; None if no example had a second look.
        from_px: least area that is worth a second look, pixels in an image of 256 × 256.
    """

    first: Evidence
    second: Evidence | None
    from_px: float

    def of(self, looks: Looks) -> float:
        """Log-likelihood ratio, nats."""
        first = self.first.of(looks._replace(likeness=0.0))
        if self.second is None or not looks.is_worth_second_look(self.from_px):
            return first
        return among_lookalikes(first, self.second.of(looks), LOOKALIKE_SHARE)


def fit(examples: Sequence[Example], similar: Sequence[Example] = (), *, from_px: float) -> Fitted:
    """Fit the weights to examples. Either all examples or none had a second look.

    Args:
        examples: people of usual looks.
        similar: further examples for the second look only, among them people who look similar to the hero.
        from_px: least area that is worth a second look, pixels in an image of 256 × 256.

    Raises:
        OneSidedError: if there are no examples of the hero, or none of others.
    """
    truth = np.array([example.is_hero for example in examples], bool)
    first = _regression([example.looks._replace(likeness=0.0) for example in examples], truth, "examples")
    looked_at = [example for example in (*examples, *similar) if example.looks.is_worth_second_look(from_px)]
    if not any(example.looks.likeness for example in looked_at):
        return Fitted(first, None, from_px)
    # By likeness and size alone: the network takes all of these people for the hero, and its margins say little.
    alone = [
        each.looks._replace(mean_margin=0.0, strongest_margin=0.0, brightness=_SAME_BRIGHTNESS) for each in looked_at
    ]
    is_hero = np.array([example.is_hero for example in looked_at], bool)
    second = _regression(alone, is_hero, "examples that are worth a second look")
    return Fitted(first, second, from_px)


def fit_doubt(examples: Sequence[Example], evidence: Evidence) -> Doubt:
    """Choose the bounds of `Doubt`, so that the network is in doubt about few heroes with positive evidence.

    The bounds are chosen for near and far heroes separately. With too few near (or far) heroes, that bound stays the
    default.

    Args:
        examples: as `fit` takes them.
        evidence: `Fitted.first`.
    """
    heroes = [each for each in examples if each.is_hero and evidence.of(each.looks) > 0]
    near = [1.0 - each.looks.sureness for each in heroes if each.looks.area_px >= FAR_PX]
    far = [(1.0 - each.looks.sureness) / each.distance_m for each in heroes if each.looks.area_px < FAR_PX]
    doubt = Doubt()
    if len(near) >= LEAST_HEROES:
        doubt = replace(doubt, near=round(float(np.quantile(near, NEAR_SHARE_NOT_DOUBTED)), 4))
    if len(far) >= LEAST_HEROES:
        doubt = replace(doubt, per_m=round(float(np.quantile(far, FAR_SHARE_NOT_DOUBTED)), 5))
    return doubt


def _regression(looks: Sequence[Looks], truth: np.ndarray, which: str) -> Evidence:
    """Fit a logistic regression on the terms of looks; its constant is reduced by the log odds of the examples.

    `which` names the examples in an error.
    """
    if not truth.any() or truth.all():
        raise OneSidedError(
            f"expected {which} of the hero and of others, got {truth.sum()} of {len(truth)} of the hero"
        )
    log_odds = math.log(truth.sum() / (~truth).sum())
    terms = np.array([each.terms() for each in looks])
    spread = terms.std(axis=0)
    scale = np.where(spread > 1e-6, spread, np.inf)  # a term that is the same for all examples gets weight 0
    scale[0] = 1.0
    scaled, weights = terms / scale, np.zeros(terms.shape[1])
    penalty = np.full(terms.shape[1], _REGULARISATION)
    penalty[0] = 0.0
    for _ in range(100):  # Newton's method; Source: Bishop, Pattern Recognition and Machine Learning, 4.3.3
        chance = 1 / (1 + np.exp(-np.clip(scaled @ weights, -30, 30)))
        curvature = (scaled.T * (chance * (1 - chance) + 1e-9)) @ scaled + np.diag(penalty)
        step = np.linalg.solve(curvature, scaled.T @ (truth - chance) - penalty * weights)
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    weights /= scale
    weights[0] -= log_odds
    names = [field.name for field in fields(Evidence)][: len(weights)]
    return Evidence(**dict(zip(names, np.round(weights, 4).tolist(), strict=True)), largest=LARGEST)


def held_out(examples: Sequence[Example], similar: Sequence[Example] = (), *, from_px: float) -> np.ndarray:
    """Cross-validate `fit`: the evidence of each example, by a fit without the quarter of recordings that has its own.

    If such a fit would have no heroes or no others (for example with a single recording), or none for the second look,
    it leaves out a quarter of the examples instead: a quarter of the heroes and a quarter of the others, in their
    order, and of each those who are worth a second look apart.

    Raises:
        OneSidedError: as `fit`, also if too few examples remain in such a fit.
    """
    recordings = sorted({example.recording for example in examples})
    by_recording = np.array([recordings.index(example.recording) % FOLDS for example in examples])
    try:
        return _left_out(examples, similar, from_px, by_recording)
    except OneSidedError:
        in_quarters = np.zeros(len(examples), int)
        kinds = [(example.is_hero, example.looks.is_worth_second_look(from_px)) for example in examples]
        for kind in set(kinds):
            of_kind = np.array([each == kind for each in kinds])
            in_quarters[of_kind] = np.arange(of_kind.sum()) * FOLDS // of_kind.sum()
        return _left_out(examples, similar, from_px, in_quarters)


def _left_out(examples: Sequence[Example], similar: Sequence[Example], from_px: float, folds: np.ndarray) -> np.ndarray:
    """The evidence of each example, by a fit without its fold; `folds` has the fold of each, (N,) int."""
    evidence = np.zeros(len(examples))
    for fold in np.unique(folds):
        kept = [example for example, own in zip(examples, folds, strict=True) if own != fold]
        fitted = fit(kept, similar, from_px=from_px)
        for number in np.flatnonzero(folds == fold).tolist():
            evidence[number] = fitted.of(examples[number].looks)
    return evidence


def reliability(evidence: np.ndarray, truth: np.ndarray, classes: int = 12) -> Reliability:
    """Sort examples into classes of evidence from −`LARGEST` to `LARGEST`, and compare each class with the truth.

    Args:
        evidence: (N,) float, nats, from fits without the example (`held_out`).
        truth: (N,) bool, whether the example is the hero.
        classes: number of classes, of equal width; those without examples are left out.
    """
    edges = np.linspace(-LARGEST, LARGEST, classes + 1)
    of = np.clip(np.digitize(evidence, edges) - 1, 0, classes - 1)
    heroes, others = (np.bincount(of[kind], minlength=classes) for kind in (truth, ~truth))
    there = heroes + others > 0
    heroes, others = heroes[there], others[there]
    sums = np.bincount(of, weights=evidence, minlength=classes)[there]
    with np.errstate(divide="ignore"):
        observed = np.log(heroes / truth.sum()) - np.log(others / (~truth).sum())
    return Reliability(sums / (heroes + others), observed, heroes, others)


def log_loss(evidence: np.ndarray, truth: np.ndarray) -> float:
    """Mean of −log(probability of the truth), nats; the prior of the hero is the share of heroes in the examples.

    Args:
        evidence: (N,) float, nats.
        truth: (N,) bool, whether the example is the hero; some are, and some are not.
    """
    odds = evidence + math.log(truth.sum() / (~truth).sum())
    return float(np.logaddexp(0.0, np.where(truth, -odds, odds)).mean())

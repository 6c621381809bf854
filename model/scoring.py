"""The original project's score, kept exactly: how well a network finds the hero in three evaluation sets.

Pure numpy; `images.resize_truth` gives the ground truth as the original saw it. A score belongs to a resolution:
state it (at 160 px the sets hold 539, 0 and 301 frames with the hero, at 256 px the third holds 312).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

CLASSES = ("surroundings", "people", "hero")
SURROUNDINGS, PEOPLE, HERO = range(len(CLASSES))
# The original stored a probability as its whole 255ths and kept what was above 127 of them.
THRESHOLD_255 = 127
# The hero counts as there, in prediction or truth, with more than these pixels.
DETECTION_MORE_THAN_PX = 3

FOLLOWING, PATROL_WITHOUT, PATROL_WITH = "following_images", "patrol_non_targ", "patrol_with_targ"
EVALUATION_SETS = (FOLLOWING, PATROL_WITHOUT, PATROL_WITH)


@dataclass(frozen=True)
class SetScore:
    """How a network did on one set of frames.

    Args:
        n: frames in the set.
        iou: mean over the frames of each class's intersection over union, in the order of `CLASSES`.
        tp: frames with the hero in which the network found one, wherever in the frame.
        fp: frames without the hero in which the network found one.
        fn: frames with the hero in which the network found none.
    """

    n: int
    iou: tuple[float, ...]
    tp: int
    fp: int
    fn: int

    def __str__(self) -> str:
        shares = " / ".join(f"{iou:.4f}" for iou in self.iou)
        return f"n {self.n}, IoU {shares}, tp {self.tp}, fp {self.fp}, fn {self.fn}"


class HeroScore(NamedTuple):
    """How well a network finds the hero in one set, to choose networks by.

    `hero_iou` is averaged over the frames that show the hero, where the original averages over all of them, with 0
    where there is none. `tp`, `fp` and `fn` as in `SetScore`.
    """

    hero_iou: float
    tp: int
    fp: int
    fn: int

    @classmethod
    def of(cls, score: SetScore) -> Self:
        """What a set's score says of the hero."""
        hero_iou = score.iou[HERO] * score.n / max(score.tp + score.fn, 1)
        return cls(hero_iou, score.tp, score.fp, score.fn)

    @property
    def quality(self) -> float:
        """One number in the form of the final score: hero IoU times the share of right detections."""
        return self.hero_iou * _right_share(self.tp, self.fp, self.fn)

    def __str__(self) -> str:
        return f"quality {self.quality:.4f}, hero IoU {self.hero_iou:.4f}, tp {self.tp}, fp {self.fp}, fn {self.fn}"


class FinalScore(NamedTuple):
    """The project's yardstick, `score` = `iou` · `weight`, and its factors."""

    iou: float
    weight: float
    score: float


def threshold(probabilities: np.ndarray, above_255: int = THRESHOLD_255) -> np.ndarray:
    """Where a network says that a class is: probabilities of any shape to booleans, whole 255ths above `above_255`."""
    return np.floor(probabilities * np.float32(255)) > above_255


def intersection_over_union(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compare one frame's masks class by class.

    Args:
        predicted: (H, W, classes) bool.
        truth: (H, W, classes) bool.

    Returns:
        (classes,) float in [0, 1]; a class that is in neither counts 0, as in the original.

    Raises:
        ValueError: if the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"expected masks of one shape, got predicted {predicted.shape}, truth {truth.shape}")
    # Plane by plane: a fifth of the time that counting along axes takes, which was most of scoring a frame.
    planes = [(predicted[..., number], truth[..., number]) for number in range(truth.shape[-1])]
    intersection = np.array([np.count_nonzero(found & there) for found, there in planes])
    union = np.array([np.count_nonzero(found | there) for found, there in planes])
    return intersection / np.maximum(union, 1)


def has_hero(mask: np.ndarray) -> bool:
    """Whether a mask (H, W, classes) of booleans shows enough of the hero to count."""
    return bool(np.count_nonzero(mask[..., HERO]) > DETECTION_MORE_THAN_PX)


def score_set(probabilities: Iterable[np.ndarray], truths: Iterable[np.ndarray]) -> SetScore:
    """Score one set, frame by frame, at the resolution of its arrays.

    Args:
        probabilities: per frame (H, W, classes) float.
        truths: per frame (H, W, classes) 0 or 1, or (H, W) class numbers.

    Raises:
        ValueError: if there is no frame, more of one than of the other, or their shapes differ.
    """
    ious, found, there = [], [], []
    for frame, truth in zip(probabilities, truths, strict=True):
        predicted = threshold(frame)
        actual = truth.astype(bool) if truth.ndim == frame.ndim else truth[..., None] == range(frame.shape[-1])
        ious.append(intersection_over_union(predicted, actual))
        found.append(has_hero(predicted))
        there.append(has_hero(actual))
    if not ious:
        raise ValueError("expected at least one frame to score, got none")
    is_found, is_there = np.array(found), np.array(there)
    return SetScore(
        n=len(ious),
        iou=tuple(float(iou) for iou in np.mean(ious, axis=0)),
        tp=int(np.count_nonzero(is_found & is_there)),
        fp=int(np.count_nonzero(is_found & ~is_there)),
        fn=int(np.count_nonzero(~is_found & is_there)),
    )


def final_score(sets: Mapping[str, SetScore]) -> FinalScore:
    """Combine the `EVALUATION_SETS`: hero IoU near and far, times the share of right detections in all three.

    With no hero there and none found, there is nothing right or wrong: weight and score are 0.
    """
    iou = (sets[FOLLOWING].iou[HERO] + sets[PATROL_WITH].iou[HERO]) / 2
    tp, fp, fn = (sum(getattr(sets[name], kind) for name in EVALUATION_SETS) for kind in ("tp", "fp", "fn"))
    weight = _right_share(tp, fp, fn)
    return FinalScore(iou, weight, iou * weight)


def _right_share(tp: int, fp: int, fn: int) -> float:
    return tp / max(tp + fp + fn, 1)

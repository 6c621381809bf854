"""The original project's score, reproduced exactly: how well a network finds the hero in three evaluation sets.

Pure numpy; `images.resize_truth` gives the ground truth as in the original. A score depends on the resolution, so state
it: at 160 px the sets hold 539, 0 and 301 frames with the hero, at 256 px the third set holds 312.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

CLASSES = ("surroundings", "people", "hero")
SURROUNDINGS, PEOPLE, HERO = range(len(CLASSES))
# The original rounded probabilities down to 255ths and selected pixels above 127.
THRESHOLD_255 = 127
# A prediction or a true mask shows the hero if it has more pixels of the hero than this.
DETECTION_MORE_THAN_PX = 3

FOLLOWING, PATROL_WITHOUT, PATROL_WITH = "following_images", "patrol_non_targ", "patrol_with_targ"
EVALUATION_SETS = (FOLLOWING, PATROL_WITHOUT, PATROL_WITH)
EXAM_FOLDER = "sample_evaluation_data"  # of a dataset; it holds them


@dataclass(frozen=True)
class SetScore:
    """Score of a network on a set of frames.

    Args:
        n: number of frames in the set.
        iou: mean intersection over union of each class over the frames, in the order of `CLASSES`.
        tp: number of frames with the hero in which the network detects a hero, anywhere in the frame.
        fp: number of frames without the hero in which the network detects a hero.
        fn: number of frames with the hero in which the network detects none.
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
    """Score of a network on the hero in a set, for choosing networks.

    `hero_iou` is the mean over the frames that show the hero; the original's mean is over all frames, with 0 for frames
    without the hero. Frames with up to `DETECTION_MORE_THAN_PX` hero pixels add their IoU, but do not count as frames
    with the hero. So it is slightly too high (`validation` has 2 of them beside 297 frames with the hero), and may
    exceed 1 in a set where many frames have so few. `tp`, `fp` and `fn` are as in `SetScore`.
    """

    hero_iou: float
    tp: int
    fp: int
    fn: int

    @classmethod
    def of(cls, score: SetScore) -> Self:
        """Compute it from the score of a set."""
        hero_iou = score.iou[HERO] * score.n / max(score.tp + score.fn, 1)
        return cls(hero_iou, score.tp, score.fp, score.fn)

    @property
    def quality(self) -> float:
        """A single figure in the form of the final score: hero IoU × share of correct detections."""
        return self.hero_iou * right_share(self.tp, self.fp, self.fn)

    def __str__(self) -> str:
        return f"quality {self.quality:.4f}, hero IoU {self.hero_iou:.4f}, tp {self.tp}, fp {self.fp}, fn {self.fn}"


class FinalScore(NamedTuple):
    """The final score, `score` = `iou` · `weight`, and its factors."""

    iou: float
    weight: float
    score: float


def threshold(probabilities: np.ndarray, above_255: int = THRESHOLD_255) -> np.ndarray:
    """Threshold probabilities of any shape: True where the value, rounded down to 255ths, is above `above_255`."""
    return np.floor(probabilities * np.float32(255)) > above_255


def intersection_over_union(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compare the masks of a frame class by class.

    Args:
        predicted: (H, W, classes) bool.
        truth: (H, W, classes) bool.

    Returns:
        (classes,) float in [0, 1]; 0 for a class that is in neither mask, as in the original.

    Raises:
        ValueError: if the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"expected masks of the same shape, got predicted {predicted.shape}, truth {truth.shape}")
    # Counting plane by plane takes a fifth of the time of counting along axes, which was most of the scoring time.
    planes = [(predicted[..., number], truth[..., number]) for number in range(truth.shape[-1])]
    intersection = np.array([np.count_nonzero(found & there) for found, there in planes])
    union = np.array([np.count_nonzero(found | there) for found, there in planes])
    return intersection / np.maximum(union, 1)


def as_of_one_target(probabilities: np.ndarray, target: int = HERO) -> np.ndarray:
    """Convert probabilities of several targets to those of a single target: the other targets count as people.

    Args:
        probabilities: (..., classes) float.
        target: class number of the target that is kept.

    Returns:
        (..., 3) float in the order of `CLASSES`.
    """
    if probabilities.shape[-1] == len(CLASSES):
        return probabilities
    people = [number for number in range(PEOPLE, probabilities.shape[-1]) if number != target]
    planes = [probabilities[..., SURROUNDINGS], probabilities[..., people].sum(axis=-1), probabilities[..., target]]
    return np.stack(planes, axis=-1)


def mask_of_one_target(numbers: np.ndarray, target: int = HERO) -> np.ndarray:
    """Convert masks in the same way: uint8 class numbers, any shape; the results are indices into `CLASSES`."""
    return np.where(numbers == target, np.uint8(HERO), np.minimum(numbers, np.uint8(PEOPLE)))


def has_hero(mask: np.ndarray) -> bool:
    """Whether a (H, W, classes) bool mask shows the hero with more than `DETECTION_MORE_THAN_PX` pixels."""
    return bool(np.count_nonzero(mask[..., HERO]) > DETECTION_MORE_THAN_PX)


def score_set(probabilities: Iterable[np.ndarray], truths: Iterable[np.ndarray]) -> SetScore:
    """Score a set, frame by frame, at the resolution of its arrays.

    Args:
        probabilities: (H, W, classes) float for each frame.
        truths: (H, W, classes) 0 or 1, or (H, W) class indices, for each frame.

    Raises:
        ValueError: if there are no frames, or the numbers or shapes of the arrays differ.
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


def pooled(scores: Sequence[SetScore]) -> SetScore:
    """Score of sets of the same size together.

    Raises:
        ValueError: if there are none.
    """
    if not scores:
        raise ValueError("expected at least one frame to score, got none")
    return SetScore(
        n=sum(score.n for score in scores),
        iou=tuple(float(iou) for iou in np.mean([score.iou for score in scores], axis=0)),
        tp=sum(score.tp for score in scores),
        fp=sum(score.fp for score in scores),
        fn=sum(score.fn for score in scores),
    )


def final_score(sets: Mapping[str, SetScore]) -> FinalScore:
    """Combine the `EVALUATION_SETS`: mean hero IoU near and far × share of correct detections in all three sets.

    Without heroes and detections, weight and score are 0.
    """
    iou = (sets[FOLLOWING].iou[HERO] + sets[PATROL_WITH].iou[HERO]) / 2
    tp, fp, fn = (sum(getattr(sets[name], kind) for name in EVALUATION_SETS) for kind in ("tp", "fp", "fn"))
    weight = right_share(tp, fp, fn)
    return FinalScore(iou, weight, iou * weight)


def right_share(tp: int, fp: int, fn: int) -> float:
    """Share of correct detections, tp / (tp + fp + fn), in [0, 1]; 0 without heroes and detections."""
    return tp / max(tp + fp + fn, 1)

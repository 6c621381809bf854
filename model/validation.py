"""Score a network on frames in memory."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np

from model.bars import progress_bar
from model.dataset import Frames
from model.images import normalise
from model.scoring import (
    DETECTION_MORE_THAN_PX,
    HERO,
    HeroScore,
    as_of_one_target,
    mask_of_one_target,
    pooled,
    right_share,
    score_set,
)

FRAMES_PER_PREDICTION = 32


def predict(network: keras.Model, frames: Frames) -> Iterator[np.ndarray]:
    """Probabilities (px, px, classes) of each frame, with a progress bar."""
    starts = range(0, len(frames.images), FRAMES_PER_PREDICTION)
    for start in progress_bar(starts, desc="validation", unit=" batches", leave=False):
        images = normalise(frames.images[start : start + FRAMES_PER_PREDICTION])
        yield from np.asarray(network.predict_on_batch(images))


def check_validation(frames: Frames) -> None:
    """Check that frames can score a network: some of them count as frames with the hero.

    Raises:
        ValueError: if no frame has more than `DETECTION_MORE_THAN_PX` pixels of the hero.
    """
    if not (frames.hero_px() > DETECTION_MORE_THAN_PX).any():
        raise ValueError(
            f"expected frames with more than {DETECTION_MORE_THAN_PX} pixels of the hero for validation, "
            f"got none of {len(frames.images)}"
        )


def validate(network: keras.Model, frames: Frames) -> HeroScore:
    """Score a network at its own resolution. With several targets: their mean IoU, and the sums of their detections.

    Targets that no frame shows have no IoU, and only their false alarms count.
    """
    by_frame = [
        [
            score_set([as_of_one_target(found, target)], [mask_of_one_target(truth, target)])
            for target in range(HERO, found.shape[-1])
        ]
        for found, truth in zip(predict(network, frames), frames.masks, strict=True)
    ]
    by_target = [HeroScore.of(pooled(scores)) for scores in zip(*by_frame, strict=True)]
    tp, fp, fn = (sum(getattr(score, kind) for score in by_target) for kind in ("tp", "fp", "fn"))
    ious = [score.hero_iou for score in by_target if score.tp + score.fn]
    return HeroScore(sum(ious) / max(len(ious), 1), tp, fp, fn)


class DistanceScore(NamedTuple):
    """A score in the form of the final score, with separate IoUs of near and far heroes.

    Args:
        near_iou: mean hero IoU of the frames with a near hero (`Frames.is_near`); NaN if there is none.
        far_iou: mean hero IoU of the other frames with the hero; NaN if there is none.
        tp: frames with the hero in which the network found one.
        fp: false alarms among the `without_hero` frames.
        fn: missed heroes.
        without_hero: frames that do not show the hero.
    """

    near_iou: float
    far_iou: float
    tp: int
    fp: int
    fn: int
    without_hero: int

    @property
    def score(self) -> float:
        """Mean of near and far IoU (of one of them if there are no frames of the other) × tp / (tp + fp + fn)."""
        iou = np.nanmean([self.near_iou, self.far_iou])
        return float(iou * right_share(self.tp, self.fp, self.fn))

    def as_json(self) -> dict[str, float | None]:
        """The figures for a card: None, which JSON has, for NaN, which it lacks."""
        return {name: None if math.isnan(value) else value for name, value in self._asdict().items()}

    def __str__(self) -> str:
        return (
            f"score {self.score:.3f}, hero IoU near {self.near_iou:.3f}, far {self.far_iou:.3f}, "
            f"false alarms {self.fp} of {self.without_hero}, missed {self.fn} of {self.tp + self.fn}"
        )


def validate_by_distance(network: keras.Model, frames: Frames, target: int = HERO) -> DistanceScore:
    """Score a network on the target with a class number, near and far separately, at the network's own resolution.

    Raises:
        ValueError: if no frame shows the hero.
    """
    frames = frames.of_one_target(target)
    if not frames.shows_hero().any():
        raise ValueError(f"expected frames with the hero to score, got none of {len(frames.images)}")
    predicted = (as_of_one_target(found, target) for found in predict(network, frames))
    scores = [score_set([found], [truth]) for found, truth in zip(predicted, frames.masks, strict=True)]
    iou, is_near = np.array([score.iou[HERO] for score in scores]), frames.is_near()
    together = pooled(scores)
    near_iou, far_iou = (
        float(iou[chosen].mean()) if chosen.any() else float("nan")
        for chosen in (is_near, frames.shows_hero() & ~is_near)
    )
    return DistanceScore(
        near_iou, far_iou, together.tp, together.fp, together.fn, together.n - together.tp - together.fn
    )

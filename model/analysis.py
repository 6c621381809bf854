"""Explain a score: where a network finds the hero, where it fails, and how other thresholds would change that.

Pure numpy and OpenCV. `analyse_frame` reduces a frame to figures, so that sets need not stay in memory. The other
functions sum these figures over frames. As in `scoring`, probabilities are rounded down to 255ths, a pixel belongs to a
class if its probability is above the threshold, and a mask shows the hero if more than `DETECTION_MORE_THAN_PX` of its
pixels belong to the hero.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from model.scoring import CLASSES, DETECTION_MORE_THAN_PX, HERO, THRESHOLD_255, SetScore, pooled, score_set, threshold

# Steps of 5 (1/51). They include the threshold of the score, 127.
THRESHOLDS_255 = tuple(range(2, 255, 5))
# Candidates for a card: thresholds of the probability (0.3, 0.4 … 0.9), and smallest sizes of the largest blob.
BLOB_THRESHOLDS_255 = (76, 102, 127, 153, 178, 204, 229)
BLOB_MIN_PX = (3, 6, 10, 15, 25)
# Lower bounds of the size classes of heroes; the last class has no upper bound.
SIZES_FROM_PX = (DETECTION_MORE_THAN_PX + 1, 16, 25, 50, 100, 200)
PREDICTIONS = (*CLASSES, "none")


class FrameFigures(NamedTuple):
    """Figures of a frame.

    Args:
        score: score of this frame alone.
        hero_histogram: (2, 256) int, number of pixels at each hero probability in 255ths; row 0: pixels of other
            classes, row 1: pixels of the hero.
        blob_px: (thresholds,) int, area of the largest hero blob at each of `BLOB_THRESHOLDS_255`, 0 without a blob.
        is_blob_on_hero: (thresholds,) bool, whether that blob covers a pixel of the hero.
        confusion: (classes, predictions) int, pixels by true class and by prediction, in the order of `PREDICTIONS`.
    """

    score: SetScore
    hero_histogram: np.ndarray
    blob_px: np.ndarray
    is_blob_on_hero: np.ndarray
    confusion: np.ndarray

    @property
    def hero_px(self) -> int:
        """Number of pixels of the true hero."""
        return int(self.hero_histogram[1].sum())

    @property
    def found_px(self) -> int:
        """Number of pixels predicted as the hero, at the threshold of the score."""
        return int(self.hero_histogram[:, THRESHOLD_255 + 1 :].sum())

    @property
    def probability(self) -> float:
        """Probability of a hero in the frame: the highest that more than `DETECTION_MORE_THAN_PX` pixels reach."""
        reaching = np.cumsum(self.hero_histogram.sum(axis=0)[::-1])[::-1]
        return max(int(np.count_nonzero(reaching > DETECTION_MORE_THAN_PX)) - 1, 0) / 255


class Counts(NamedTuple):
    """Numbers of true positives, false positives and false negatives, arrays of the same shape."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """Share of the detections that are correct; NaN without detections."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> np.ndarray:
        """Share of the heroes that are detected; NaN without heroes."""
        return _share(self.tp, self.tp + self.fn)


class SizeRecall(NamedTuple):
    """Detections of heroes whose true mask has at least `from_px` and less than `below_px` pixels (None: no limit)."""

    from_px: int
    below_px: int | None
    heroes: int
    found: int


def analyse_frame(probabilities: np.ndarray, truth: np.ndarray) -> FrameFigures:
    """Compute the figures of a frame.

    Args:
        probabilities: (H, W, classes) float in [0, 1].
        truth: (H, W, classes) 0 or 1.

    Raises:
        ValueError: if the shapes differ.
    """
    score = score_set([probabilities], [truth])
    hero_255 = np.floor(probabilities[..., HERO] * np.float32(255)).astype(np.uint8)
    hero = truth[..., HERO].astype(bool)
    blobs = [largest_blob(hero_255 > above) for above in BLOB_THRESHOLDS_255]
    kinds = len(PREDICTIONS)
    pairs = kinds * _class_numbers(truth.astype(bool)) + _class_numbers(threshold(probabilities))
    return FrameFigures(
        score=score,
        hero_histogram=np.bincount((hero_255 + 256 * hero).ravel(), minlength=512).reshape(2, 256),
        blob_px=np.array([np.count_nonzero(blob) for blob in blobs]),
        is_blob_on_hero=np.array([(blob & hero).any() for blob in blobs]),
        # The last row is left out: pixels without a true class. `images.resize_truth` makes some where 3 classes meet.
        confusion=np.bincount(pairs.ravel(), minlength=kinds**2).reshape(kinds, kinds)[: len(CLASSES)],
    )


def largest_blob(mask: np.ndarray) -> np.ndarray:
    """Find the largest 8-connected part of a (H, W) bool mask, as a mask. The original takes this part for the hero."""
    if not mask.any():
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])


def pooled_score(frames: Sequence[FrameFigures]) -> SetScore:
    """Score of all frames together, equal to the result of `score_set`.

    Raises:
        ValueError: if there are no frames.
    """
    return pooled([frame.score for frame in frames])


def recall_by_size(frames: Sequence[FrameFigures]) -> list[SizeRecall]:
    """Detected heroes, anywhere in the frame, by their size in pixels: a line per size class of `SIZES_FROM_PX`."""
    heroes = np.array([(frame.hero_px, frame.score.tp) for frame in frames]).reshape(-1, 2)
    lines = []
    for from_px, below_px in zip(SIZES_FROM_PX, (*SIZES_FROM_PX[1:], None), strict=True):
        found = heroes[(heroes[:, 0] >= from_px) & (below_px is None or heroes[:, 0] < below_px), 1]
        lines.append(SizeRecall(from_px, below_px, len(found), int(found.sum())))
    return lines


def frames_by_threshold(frames: Sequence[FrameFigures]) -> Counts:
    """Count frames with a detection, anywhere in the frame, at each of `THRESHOLDS_255`: (thresholds,) int."""
    found = _pixels_above(frames).sum(axis=1) > DETECTION_MORE_THAN_PX
    return _counts(found, _is_there(frames)[:, None])


def pixels_by_threshold(frames: Sequence[FrameFigures]) -> Counts:
    """Count pixels that are predicted as the hero at each of `THRESHOLDS_255`: (thresholds,) int."""
    fp, tp = _pixels_above(frames).sum(axis=0)
    return Counts(tp, fp, sum(frame.hero_px for frame in frames) - tp)


def blobs_by_threshold(frames: Sequence[FrameFigures]) -> tuple[Counts, np.ndarray]:
    """Count frames whose largest blob is accepted, by threshold and smallest area.

    Returns:
        Counts, (thresholds, areas) int, for `BLOB_THRESHOLDS_255` and `BLOB_MIN_PX`; and the number of true positives
        whose blob is not on the hero, (thresholds, areas) int.
    """
    found = np.stack([frame.blob_px for frame in frames])[..., None] >= BLOB_MIN_PX
    is_on_hero = np.stack([frame.is_blob_on_hero for frame in frames])[..., None]
    is_there = _is_there(frames)[:, None, None]
    return _counts(found, is_there), np.count_nonzero(found & is_there & ~is_on_hero, axis=0)


def confusion(frames: Sequence[FrameFigures]) -> np.ndarray:
    """Count pixels by true class and prediction: (classes, predictions) int, as `CLASSES` and `PREDICTIONS`."""
    return np.sum([frame.confusion for frame in frames], axis=0)


def worst_false_alarms(frames: Sequence[FrameFigures]) -> list[int]:
    """Numbers of the frames with a false alarm, highest probability first, then largest area."""
    wrong = [number for number, frame in enumerate(frames) if frame.score.fp]
    return sorted(wrong, key=lambda number: (frames[number].probability, frames[number].found_px), reverse=True)


def worst_misses(frames: Sequence[FrameFigures]) -> list[int]:
    """Numbers of the frames with a missed hero, largest hero first."""
    missed = [number for number, frame in enumerate(frames) if frame.score.fn]
    return sorted(missed, key=lambda number: frames[number].hero_px, reverse=True)


def worst_masks(frames: Sequence[FrameFigures]) -> list[int]:
    """Numbers of the frames with a detected hero of the largest size class, lowest IoU first."""
    found = [n for n, frame in enumerate(frames) if frame.score.tp and frame.hero_px >= SIZES_FROM_PX[-1]]
    return sorted(found, key=lambda number: frames[number].score.iou[HERO])


def _class_numbers(mask: np.ndarray) -> np.ndarray:
    """Convert (H, W, classes) bool to (H, W) indices into `PREDICTIONS`; a pixel of two classes gets the later one."""
    numbers = np.full(mask.shape[:2], len(CLASSES))
    for number in range(len(CLASSES)):
        numbers[mask[..., number]] = number
    return numbers


def _pixels_above(frames: Sequence[FrameFigures]) -> np.ndarray:
    """Count pixels above each of `THRESHOLDS_255`: (N frames, 2, thresholds) int; axis 1: other classes, hero."""
    histograms = np.stack([frame.hero_histogram for frame in frames])
    reaching = np.cumsum(histograms[..., ::-1], axis=-1)[..., ::-1]
    return reaching[..., np.array(THRESHOLDS_255) + 1]


def _is_there(frames: Sequence[FrameFigures]) -> np.ndarray:
    return np.array([frame.hero_px > DETECTION_MORE_THAN_PX for frame in frames])


def _counts(found: np.ndarray, is_there: np.ndarray) -> Counts:
    """Count over the frames, which are the first axis."""
    return Counts(
        *(np.count_nonzero(kind, axis=0) for kind in (found & is_there, found & ~is_there, ~found & is_there))
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)

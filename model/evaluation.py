"""Evaluate a network on sets of frames: the original project's score, and the figures that explain it.

Networks run in float32 by default, so that a score is the same on every machine. The time per frame is measured in the
precision that the server uses, which may be faster.
"""

import os
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.analysis import (
    BLOB_MIN_PX,
    BLOB_THRESHOLDS_255,
    PREDICTIONS,
    THRESHOLDS_255,
    Counts,
    FrameFigures,
    analyse_frame,
    blobs_by_threshold,
    confusion,
    frames_by_threshold,
    pixels_by_threshold,
    pooled_score,
    recall_by_size,
    worst_false_alarms,
    worst_masks,
    worst_misses,
)
from model.bars import progress_bar
from model.dataset import open_pair
from model.engines import Engine, load_engine
from model.engines.one_target import OneTarget
from model.folders import check_folder
from model.images import open_image, resize_probabilities, resize_rgb, resize_truth
from model.loading import resolve_weights
from model.mask_colours import with_one_target
from model.pair_files import PathPair, list_pairs
from model.scoring import (
    CLASSES,
    EVALUATION_SETS,
    EXAM_FOLDER,
    FOLLOWING,
    HERO,
    PATROL_WITH,
    FinalScore,
    HeroScore,
    SetScore,
    final_score,
)

EXAM, VALIDATION = "exam", "validation"
TIMED_FRAMES = 50
WORST = {"false_alarms": worst_false_alarms, "misses": worst_misses, "masks": worst_masks}
WORST_FRAMES = 24


@dataclass(frozen=True)
class Evaluation:
    """A network and its results on each frame.

    Args:
        weights: path of the network as the user gave it.
        engine: runs the network.
        px: resolution at which masks are compared.
        ms_per_frame: median time of the inference of one image, in the server's precision.
        pairs: image and mask of each frame, by set.
        frames: figures of each frame, by set.
        target: class number of the scored target; for the engine and the figures, it is the only target.
        targets: number of targets of the network and of the masks.
    """

    weights: Path
    engine: Engine
    px: int
    ms_per_frame: float
    pairs: dict[str, list[PathPair]]
    frames: dict[str, list[FrameFigures]]
    target: int = HERO
    targets: int = 1

    def truth(self, mask: Path) -> np.ndarray:
        """See `truth_of`."""
        return truth_of(open_image(mask).convert("RGB"), mask, self.px, self.target, self.targets)

    @property
    def label(self) -> str:
        """Name of the network in tables and pictures."""
        return str(self.weights).removesuffix(".keras")

    @property
    def sets(self) -> dict[str, SetScore]:
        """Score of each set."""
        return {name: pooled_score(frames) for name, frames in self.frames.items()}

    @property
    def final(self) -> FinalScore | None:
        """The original project's final score; None unless the sets are the exam's."""
        return final_score(self.sets) if FOLLOWING in self.frames else None

    @property
    def headline(self) -> dict[str, float]:
        """Figures for comparing networks: first the score of the sets, then the hero IoU from which it is computed."""
        sets = self.sets
        if self.final:
            near, far = (sets[name].iou[HERO] for name in (FOLLOWING, PATROL_WITH))
            return {"final_score": self.final.score, "IoU near": near, "IoU far": far}
        hero = HeroScore.of(sets[VALIDATION])
        return {"quality": hero.quality, "hero IoU": hero.hero_iou}

    @property
    def all_pairs(self) -> list[PathPair]:
        """Pairs of all sets."""
        return [pair for pairs in self.pairs.values() for pair in pairs]

    @property
    def all_frames(self) -> list[FrameFigures]:
        """Figures of all frames, in the order of `all_pairs`."""
        return [frame for frames in self.frames.values() for frame in frames]

    @property
    def far_frames(self) -> list[FrameFigures]:
        """Figures of the frames of all sets except the one with a near hero, for recall by size."""
        return [frame for name, frames in self.frames.items() if name != FOLLOWING for frame in frames]


def find_sets(data: Path, which: str = EXAM) -> dict[str, Path]:
    """Find the folders of the sets to evaluate.

    Args:
        data: the dataset, or for the exam also its `sample_evaluation_data`.
        which: `EXAM` or `VALIDATION`.

    Returns:
        The folder of each set by the set's name.

    Raises:
        FileNotFoundError: if a folder is missing.
        ValueError: if its images and masks do not pair up.
    """
    check_folder(data)
    root = data / EXAM_FOLDER
    exam = {name: (root if root.is_dir() else data) / name for name in EVALUATION_SETS}
    folders = exam if which == EXAM else {VALIDATION: data / VALIDATION}
    for folder in folders.values():
        if not folder.is_dir():
            raise FileNotFoundError(f"expected the set {folder.name} in {data}, found no {folder}")
    for folder in folders.values():
        list_pairs(folder)
    return folders


def evaluate(
    weights: Path, folders: dict[str, Path], resolution: str, precision: str = "f32", target: str | None = None
) -> Evaluation:
    """Run a network on sets of frames, with a progress bar for each set.

    Args:
        weights: as `model.loading.load_network` takes.
        folders: folder of each set by name, each with `images/` and `masks/`.
        resolution: px at which masks are compared; the network's probabilities are resized to it. "native": the
            network's own resolution.
        precision: as `load_engine` takes it; "f32": the score is the same on every machine.
        target: which of the network's targets to score; None for the first.

    Raises:
        ValueError: if images and masks do not pair up, the network's classes are not surroundings, others and its
            targets, or the network does not have the target.
    """
    pairs = {name: list_pairs(folder) for name, folder in folders.items()}
    engine = load_engine("auto", weights, precision)
    number, targets = HERO, len(engine.card.targets)
    if targets > 1:
        engine = OneTarget(engine, target)
        number = engine.number
    elif (classes := engine.card.following(target).classes) != (wanted := engine.card.profile.classes):
        raise ValueError(f"expected a network with classes {', '.join(wanted)}, got {', '.join(classes)} in {weights}")
    px = engine.input_px if resolution == "native" else int(resolution)
    served = load_engine("auto", weights)
    ms_per_frame = time_inference(served, [image for image, _ in next(iter(pairs.values()))[:TIMED_FRAMES]])
    frames = {name: analyse(engine, listed, px, name, number, targets) for name, listed in pairs.items()}
    return Evaluation(weights, engine, px, ms_per_frame, pairs, frames, number, targets)


def time_inference(engine: Engine, paths: Sequence[Path]) -> float:
    """Median time of the inference of one image, ms, without decoding."""
    taken_ms = []
    for path in paths:
        image = read_image(path, engine.input_px)[None]
        start = time.perf_counter()
        engine.infer(image)
        taken_ms.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken_ms)


def analyse(
    engine: Engine, pairs: Sequence[PathPair], px: int, name: str, target: int = HERO, targets: int = 1
) -> list[FrameFigures]:
    """Run a network on a set and compute the figures of each frame at `px`, with a progress bar.

    Each thread processes whole frames, so at most one frame per thread is in memory. Only one thread at a time runs the
    network, which uses all cores by itself.
    """
    inferring = threading.Lock()

    def figures(pair: PathPair) -> FrameFigures:
        image, mask = open_pair(*pair)
        truth = truth_of(mask, pair[1], px, target, targets)
        with inferring:
            probabilities = engine.infer(resize_rgb(image, engine.input_px)[None])[0]
        return analyse_frame(resize_probabilities(probabilities, px), truth)

    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        return list(progress_bar(pool.map(figures, pairs), total=len(pairs), desc=name, unit=" frames"))


def read_image(path: Path, px: int) -> np.ndarray:
    """Read a camera image as (px, px, 3) uint8 RGB; raises as `open_image`."""
    return resize_rgb(open_image(path), px)


def truth_of(mask: Image.Image, path: Path, px: int, target: int = HERO, targets: int = 1) -> np.ndarray:
    """An RGB mask as (px, px, 3) uint8, 0 or 1; the hero is class `target` of `targets`. `path` is for errors."""
    try:
        return resize_truth(Image.fromarray(with_one_target(np.asarray(mask), target, targets)), px)
    except ValueError as error:
        raise ValueError(f"{error} in {path}") from error


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """Figures of a network, ready for JSON."""
    frames, final = evaluation.all_frames, evaluation.final
    figures = {
        "weights": resolve_weights(evaluation.weights).name,
        "label": evaluation.label,
        "input_px": evaluation.engine.input_px,
        "resolution_px": evaluation.px,
        **{name: asdict(score) for name, score in evaluation.sets.items()},
    }
    if final:
        figures |= {"final_iou": final.iou, "weight": final.weight, "final_score": final.score}
    else:
        hero = HeroScore.of(evaluation.sets[VALIDATION])
        figures |= {"quality": hero.quality, "hero_iou": hero.hero_iou, "blobs": describe_blobs(frames)}
    return figures | {
        "ms_per_frame": evaluation.ms_per_frame,
        "recall_by_size": [size._asdict() for size in recall_by_size(evaluation.far_frames)],
        "thresholds_255": THRESHOLDS_255,
        "frames_above": describe_counts(frames_by_threshold(frames)),
        "pixels_above": describe_counts(pixels_by_threshold(frames)),
        "confusion": {
            name: dict(zip(PREDICTIONS, row, strict=True))
            for name, row in zip(CLASSES, confusion(frames).tolist(), strict=True)
        },
        **{name: describe_frames(evaluation, worst(frames)) for name, worst in WORST.items()},
    }


def describe_counts(counts: Counts) -> dict[str, list[int]]:
    """Counts at each threshold, ready for JSON."""
    return {name: kind.tolist() for name, kind in counts._asdict().items()}


def describe_blobs(frames: Sequence[FrameFigures]) -> list[dict[str, float]]:
    """Frames by the threshold and the smallest size of the hero's blob, ready for JSON; see `blobs_by_threshold`."""
    counts, astray = blobs_by_threshold(frames)
    return [
        {
            "above_255": above,
            "min_px": min_px,
            **{name: int(kind[row, column]) for name, kind in counts._asdict().items()},
            "off": int(astray[row, column]),
        }
        for row, above in enumerate(BLOB_THRESHOLDS_255)
        for column, min_px in enumerate(BLOB_MIN_PX)
    ]


def describe_frames(evaluation: Evaluation, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The first `WORST_FRAMES` of the numbered frames, ready for JSON."""
    pairs, frames = evaluation.all_pairs, evaluation.all_frames
    return [
        {
            "image": pairs[number][0].name,
            "hero_px": frames[number].hero_px,
            "found_px": frames[number].found_px,
            "probability": frames[number].probability,
            "hero_iou": frames[number].score.iou[HERO],
        }
        for number in numbers[:WORST_FRAMES]
    ]

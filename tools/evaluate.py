"""Score networks on the three evaluation sets with the original project's yardstick, and show where they fail.

    python tools/evaluate.py weights/model_weights --data ../shared/data
    python tools/evaluate.py ../shared/legacy/model_weights --data ../shared/data --json score.json
    python tools/evaluate.py weights/model_weights runs/new/model_weights --data ../shared/data --report report
    python tools/evaluate.py runs/new/model_weights --data ../shared/data --set validation

About 20 s on two idle CPU cores for a network of 160 px. The second command ends in "final_score 0.3511 at 160 px", the
score of that network under the original tools; what the shipped weights score is on their card. The last one is for
choosing networks, and what their cards say of `hero_threshold_255` and `min_blob_px`: the evaluation sets are the exam.

`--report` draws `recall_by_size.png`, `precision_recall.png`, `confusion.png` and the contact sheets
`false_alarms.jpeg` (the surest first), `misses.jpeg` (the largest first) and `masks.jpeg` (of near heroes that are
found, those that fit worst): the prediction is tinted green, the true hero outlined yellow. Scores are taken in
float32, so that they are the same on every machine; the time per frame is that of the server's own, faster precision.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm import tqdm

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
    largest_blob,
    pixels_by_threshold,
    pooled_score,
    recall_by_size,
    worst_false_alarms,
    worst_masks,
    worst_misses,
)
from model.engines import Engine, load_engine
from model.images import resize_probabilities, resize_rgb, resize_truth
from model.loading import import_keras, resolve_weights
from model.scoring import (
    CLASSES,
    EVALUATION_SETS,
    FOLLOWING,
    HERO,
    PATROL_WITH,
    FinalScore,
    HeroScore,
    SetScore,
    final_score,
    threshold,
)

if TYPE_CHECKING:
    from tools.report import Tile

EXAM, VALIDATION = "exam", "validation"
TIMED_FRAMES = 50
WORST = {"false_alarms": worst_false_alarms, "misses": worst_misses, "masks": worst_masks}
WORST_FRAMES = 24

Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Evaluation:
    """A network and what it did on each frame.

    Args:
        weights: the network, as it was named on the command line.
        engine: runs it, in float32.
        px: resolution at which masks were compared.
        ms_per_frame: inference alone of one image, in the server's precision; the median.
        pairs: image and mask of each frame, by set.
        frames: their figures.
    """

    weights: Path
    engine: Engine
    px: int
    ms_per_frame: float
    pairs: dict[str, list[Pair]]
    frames: dict[str, list[FrameFigures]]

    @property
    def label(self) -> str:
        """The network, for people to read."""
        return str(self.weights).removesuffix(".keras")

    @property
    def sets(self) -> dict[str, SetScore]:
        """The score of each set."""
        return {name: pooled_score(frames) for name, frames in self.frames.items()}

    @property
    def final(self) -> FinalScore | None:
        """The project's yardstick; None for other sets than the exam's."""
        return final_score(self.sets) if FOLLOWING in self.frames else None

    @property
    def headline(self) -> dict[str, float]:
        """What networks are compared by: one number, then the hero IoU behind it."""
        sets = self.sets
        if self.final:
            near, far = (sets[name].iou[HERO] for name in (FOLLOWING, PATROL_WITH))
            return {"final_score": self.final.score, "IoU near": near, "IoU far": far}
        hero = HeroScore.of(sets[VALIDATION])
        return {"quality": hero.quality, "hero IoU": hero.hero_iou}

    @property
    def all_pairs(self) -> list[Pair]:
        """The pairs of all sets."""
        return [pair for pairs in self.pairs.values() for pair in pairs]

    @property
    def all_frames(self) -> list[FrameFigures]:
        """The frames of all sets, as `all_pairs`."""
        return [frame for frames in self.frames.values() for frame in frames]

    @property
    def far_frames(self) -> list[FrameFigures]:
        """The frames of all sets but the one with the hero near, for recall by size."""
        return [frame for name, frames in self.frames.items() if name != FOLLOWING for frame in frames]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    try:
        folders = find_sets(options.data, options.set)
        for weights in options.weights:
            resolve_weights(weights)
        if options.report:
            options.report.mkdir(parents=True, exist_ok=True)
        evaluations = [evaluate(weights, folders, options.resolution) for weights in options.weights]
        print(summary(evaluations))
        if options.json:
            figures = [describe(evaluation) for evaluation in evaluations]
            options.json.write_text(json.dumps(figures if len(figures) > 1 else figures[0], indent=1) + "\n")
        if options.report:
            draw(evaluations, options.report)
    except (OSError, ValueError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "weights", type=Path, nargs="+", help=".keras files (with or without ending) or legacy HDF5 files"
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of the evaluation sets or of sample_evaluation_data/ and validation/",
    )
    parser.add_argument(
        "--set",
        choices=(EXAM, VALIDATION),
        default=EXAM,
        help="exam: the three evaluation sets; validation: to choose networks and thresholds (default: %(default)s)",
    )
    parser.add_argument(
        "--resolution",
        choices=("160", "256", "native"),
        default="native",
        help="px at which masks are compared; native: the network's own (default: %(default)s)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures here, too; of several networks a list"
    )
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="draw curves and the worst frames here")
    return parser.parse_args(arguments)


def find_sets(data: Path, which: str = EXAM) -> dict[str, Path]:
    """Find the folders of the sets to evaluate by their names.

    Args:
        data: the folder that holds them, or the dataset's, which holds the exam's as `sample_evaluation_data`.
        which: `EXAM` or `VALIDATION`.

    Raises:
        FileNotFoundError: if one is missing.
    """
    root = data / "sample_evaluation_data"
    if which == EXAM:
        folders = {name: (root if root.is_dir() else data) / name for name in EVALUATION_SETS}
    else:
        folders = {VALIDATION: data / VALIDATION}
    for folder in folders.values():
        if not folder.is_dir():
            raise FileNotFoundError(f"expected the set {folder.name} in {data}, found no {folder}")
    return folders


def evaluate(weights: Path, folders: dict[str, Path], resolution: str) -> Evaluation:
    """Run a network on sets of frames, with a progress bar for each.

    Args:
        weights: as `model.loading.load_network` takes.
        folders: the sets by name, each with `images/` and `masks/`.
        resolution: px to score at, to which the network's probabilities are brought; or "native", the network's own.

    Raises:
        ValueError: if images and masks do not pair up, or the network's classes are not `CLASSES`.
    """
    import_keras()
    from model.dataset import list_pairs  # it imports Keras, for which a mistyped path need not wait

    pairs = {name: list_pairs(folder) for name, folder in folders.items()}
    engine = load_engine("auto", weights, is_exact=True)
    if engine.card.classes != CLASSES:
        raise ValueError(
            f"expected a network with classes {', '.join(CLASSES)}, got {', '.join(engine.card.classes)} in {weights}"
        )
    px = engine.input_px if resolution == "native" else int(resolution)
    served = load_engine("auto", weights)
    ms_per_frame = time_inference(served, [image for image, _ in next(iter(pairs.values()))[:TIMED_FRAMES]])
    frames = {name: analyse(engine, listed, px, name) for name, listed in pairs.items()}
    return Evaluation(weights, engine, px, ms_per_frame, pairs, frames)


def time_inference(engine: Engine, paths: Sequence[Path]) -> float:
    """The median time of inference alone, ms, of images one at a time."""
    taken_ms = []
    for path in paths:
        image = read_image(path, engine.input_px)[None]
        start = time.perf_counter()
        engine.infer(image)
        taken_ms.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken_ms)


def analyse(engine: Engine, pairs: Sequence[Pair], px: int, name: str) -> list[FrameFigures]:
    """Run a network on a set and reduce each frame to its figures at `px`, with a progress bar.

    Each thread takes a frame from its files to its figures, one of them at a time infers, on all cores: so at most a
    frame per thread is in memory.
    """
    inferring = threading.Lock()

    def figures(pair: Pair) -> FrameFigures:
        image, truth = read_image(pair[0], engine.input_px), read_truth(pair[1], px)
        with inferring:
            probabilities = engine.infer(image[None])[0]
        return analyse_frame(resize_probabilities(probabilities, px), truth)

    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        return list(tqdm(pool.map(figures, pairs), total=len(pairs), desc=name, unit=" frames"))


def read_image(path: Path, px: int) -> np.ndarray:
    """Read a camera image as (px, px, 3) uint8 RGB."""
    with Image.open(path) as image:
        return resize_rgb(image, px)


def read_truth(path: Path, px: int) -> np.ndarray:
    """Read a mask as (px, px, 3) uint8, 0 or 1."""
    with Image.open(path) as mask:
        return resize_truth(mask, px)


def summary(evaluations: Sequence[Evaluation]) -> str:
    """Everything for people; of one network the last line is its score, of several a table puts them side by side."""
    if len(evaluations) > 1:
        each = [f"{evaluation.label}, {evaluation.px} px\n{details(evaluation)}\n" for evaluation in evaluations]
        return "\n".join([*each, comparison(evaluations)])
    name, score = next(iter(evaluations[0].headline.items()))
    return f"{details(evaluations[0])}\n{name} {score:.4f} at {evaluations[0].px} px"


def details(evaluation: Evaluation) -> str:
    """A network's figures for people: a line per set, then what its score is made of."""
    classes = "".join(f"{name:>14}" for name in CLASSES)
    lines = [f"{'IoU of':<18}{'frames':>7}{classes}{'tp':>6}{'fp':>5}{'fn':>5}"]
    for name, score in evaluation.sets.items():
        ious = "".join(f"{iou:>14.4f}" for iou in score.iou)
        lines.append(f"{name:<18}{score.n:>7}{ious}{score.tp:>6}{score.fp:>5}{score.fn:>5}")
    lines.append(f"inference {evaluation.ms_per_frame:.1f} ms a frame (median, one at a time, as the server runs it)")
    final = evaluation.final
    if final:
        lines.append(f"hero IoU {final.iou:.4f} (mean of near and far) × share of right detections {final.weight:.4f}")
    else:
        lines += blob_table(evaluation.all_frames)
    return "\n".join(lines)


def blob_table(frames: Sequence[FrameFigures]) -> list[str]:
    """What a card's `hero_threshold_255` and `min_blob_px` would do: a line and a column group for each."""
    counts, astray = blobs_by_threshold(frames)
    lines = [
        "frames in which the largest blob is at least so many px; off: of the tp, not on the hero",
        f"{'above /255':<12}" + "".join(f"{f'{min_px} px':>20}" for min_px in BLOB_MIN_PX),
        " " * 12 + f"{'tp':>5}{'fp':>5}{'fn':>5}{'off':>5}" * len(BLOB_MIN_PX),
    ]
    for row, above in enumerate(BLOB_THRESHOLDS_255):
        cells = np.stack([*(kind[row] for kind in counts), astray[row]], axis=-1)
        lines.append(f"{above} ({above / 255:.1f})".ljust(12) + "".join(f"{cell:>5}" for cell in cells.ravel()))
    return lines


def comparison(evaluations: Sequence[Evaluation]) -> str:
    """Networks side by side for people: a line for each."""
    names = (*evaluations[0].headline, "false alarms", "missed", "ms a frame", "px")
    lines = ["".join(f"{name:>14}" for name in names) + "  network"]
    for evaluation in evaluations:
        scores = "".join(f"{value:>14.4f}" for value in evaluation.headline.values())
        sets = evaluation.sets.values()
        wrong = f"{sum(score.fp for score in sets):>14}{sum(score.fn for score in sets):>14}"
        lines.append(f"{scores}{wrong}{evaluation.ms_per_frame:>14.1f}{evaluation.px:>14}  {evaluation.label}")
    return "\n".join(lines)


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """A network's figures for machines."""
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
    """Counts over thresholds for machines."""
    return {name: kind.tolist() for name, kind in counts._asdict().items()}


def describe_blobs(frames: Sequence[FrameFigures]) -> list[dict[str, float]]:
    """What `blob_table` says, for machines."""
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
    """The first of these frames for machines."""
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


def draw(evaluations: Sequence[Evaluation], folder: Path) -> None:
    """Draw the pictures that the module's docstring names."""
    from tools import report  # it imports matplotlib, which the server's machine need not have

    labelled = {f"{evaluation.label} at {evaluation.px} px": evaluation for evaluation in evaluations}
    report.draw_recall(
        {label: recall_by_size(evaluation.far_frames) for label, evaluation in labelled.items()},
        folder / "recall_by_size.png",
    )
    report.draw_precision_recall(
        {
            label: (frames_by_threshold(evaluation.all_frames), pixels_by_threshold(evaluation.all_frames))
            for label, evaluation in labelled.items()
        },
        folder / "precision_recall.png",
    )
    report.draw_confusion(
        {label: confusion(evaluation.all_frames) for label, evaluation in labelled.items()}, folder / "confusion.png"
    )
    for name, worst in WORST.items():
        report.draw_sheet(
            {label: tiles(evaluation, worst(evaluation.all_frames)) for label, evaluation in labelled.items()},
            folder / f"{name}.jpeg",
        )


def tiles(evaluation: Evaluation, numbers: Sequence[int]) -> list["Tile"]:
    """The first of these frames for a contact sheet: around the true hero, without one around what is taken for it."""
    from tools.report import Tile

    drawn = []
    for number in numbers[:WORST_FRAMES]:
        (image_path, mask_path), frame = evaluation.all_pairs[number], evaluation.all_frames[number]
        image = read_image(image_path, evaluation.engine.input_px)
        probabilities = resize_probabilities(evaluation.engine.infer(image[None])[0], evaluation.px)
        predicted = threshold(probabilities)[..., HERO]
        truth = read_truth(mask_path, evaluation.px)[..., HERO].astype(bool)
        with Image.open(image_path) as camera:
            drawn.append(
                Tile(
                    image=camera.convert("RGB"),
                    truth=truth,
                    predicted=predicted,
                    around=largest_blob(predicted) if frame.score.fp else truth,
                    caption=f"{image_path.name}\nhero {frame.hero_px} px, found {frame.found_px} px, "
                    + (f"IoU {frame.score.iou[HERO]:.2f}" if frame.score.tp else f"p {frame.probability:.2f}"),
                )
            )
    return drawn


if __name__ == "__main__":
    sys.exit(main())

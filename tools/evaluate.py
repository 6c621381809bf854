"""Score a network on the three evaluation sets with the original project's yardstick.

    python tools/evaluate.py weights/model_weights --data ../shared/data
    python tools/evaluate.py ../shared/legacy/model_weights --data ../shared/data --json score.json

About 20 s on two CPU cores for a network of 160 px. The second command ends in "final_score 0.3511 at 160 px", the
score of that network under the original tools; what the shipped weights score is on their card.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.images import normalise, resize_probabilities, resize_rgb, resize_truth
from model.loading import input_px, load_network, resolve_weights
from model.scoring import CLASSES, EVALUATION_SETS, FinalScore, SetScore, final_score, score_set

if TYPE_CHECKING:
    import keras

FRAMES_PER_BATCH = 32


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("weights", type=Path, help=".keras file (with or without ending) or legacy HDF5 file")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of the evaluation sets or of sample_evaluation_data/",
    )
    parser.add_argument(
        "--resolution",
        choices=("160", "256", "native"),
        default="native",
        help="px at which masks are compared; native: the network's own (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    options = parser.parse_args(arguments)
    try:
        folders = find_sets(options.data)
        network = load_network(options.weights)
        px = input_px(network) if options.resolution == "native" else int(options.resolution)
        sets = {name: evaluate_set(network, folder, px) for name, folder in folders.items()}
    except (OSError, ValueError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    final = final_score(sets)
    if options.json:
        figures = {
            "weights": resolve_weights(options.weights).name,
            "input_px": input_px(network),
            "resolution_px": px,
            **{name: asdict(score) for name, score in sets.items()},
            "final_iou": final.iou,
            "weight": final.weight,
            "final_score": final.score,
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(table(sets, final))
    print(f"final_score {final.score:.4f} at {px} px")
    return 0


def find_sets(data: Path) -> dict[str, Path]:
    """Find the folders of the evaluation sets by their names.

    Args:
        data: the folder that holds them, or the dataset's, which holds that as `sample_evaluation_data`.

    Raises:
        FileNotFoundError: if one is missing.
    """
    root = data / "sample_evaluation_data"
    folders = {name: (root if root.is_dir() else data) / name for name in EVALUATION_SETS}
    for folder in folders.values():
        if not folder.is_dir():
            raise FileNotFoundError(f"expected the evaluation set {folder.name} in {data}, found no {folder}")
    return folders


def evaluate_set(network: "keras.Model", folder: Path, px: int) -> SetScore:
    """Score a network on one folder of `images/` and `masks/`, with a progress bar.

    Args:
        network: takes RGB in [−1, 1] at its own resolution.
        folder: the set.
        px: the resolution to score at; the network's probabilities are brought to it.

    Raises:
        ValueError: if images and masks do not pair up, or the network's classes are not `CLASSES`.
    """
    from model.dataset import list_pairs  # it imports Keras, for which a mistyped path need not wait

    if network.output_shape[-1] != len(CLASSES):
        raise ValueError(f"expected a network with classes {', '.join(CLASSES)}, got {network.output_shape[-1]}")
    pairs = list_pairs(folder)

    def probabilities() -> Iterator[np.ndarray]:
        with tqdm(total=len(pairs), desc=folder.name, unit=" frames") as progress:
            for start in range(0, len(pairs), FRAMES_PER_BATCH):
                batch = [read(image) for image, _ in pairs[start : start + FRAMES_PER_BATCH]]
                for frame in np.asarray(network.predict_on_batch(normalise(np.stack(batch)))):
                    yield resize_probabilities(frame, px)
                progress.update(len(batch))

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return resize_rgb(image, input_px(network))

    def truths() -> Iterator[np.ndarray]:
        for _, path in pairs:
            with Image.open(path) as mask:
                yield resize_truth(mask, px)

    return score_set(probabilities(), truths())


def table(sets: dict[str, SetScore], final: FinalScore) -> str:
    """The figures for people: a line per set, then the factors of the final score."""
    classes = "".join(f"{name:>14}" for name in CLASSES)
    lines = [f"{'IoU of':<18}{'frames':>7}{classes}{'tp':>6}{'fp':>5}{'fn':>5}"]
    for name, score in sets.items():
        ious = "".join(f"{iou:>14.4f}" for iou in score.iou)
        lines.append(f"{name:<18}{score.n:>7}{ious}{score.tp:>6}{score.fp:>5}{score.fn:>5}")
    lines.append(f"hero IoU {final.iou:.4f} (mean of near and far) × share of right detections {final.weight:.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

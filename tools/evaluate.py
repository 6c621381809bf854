"""Score networks on the three evaluation sets as the original project does, and show where they fail.

    python tools/evaluate.py weights/model_weights --data ../shared/data
    python tools/evaluate.py ../shared/legacy/model_weights --data ../shared/data --json score.json
    python tools/evaluate.py weights/model_weights runs/new/model_weights --data ../shared/data --report report
    python tools/evaluate.py runs/new/model_weights --data ../shared/data --set validation

Takes about 20 s on two idle CPU cores for a network of 160 px. The second command ends with "final_score 0.3511 at
160 px", the score that the original tools give that network; the card of the shipped weights has their scores. The last
command is for choosing networks and the values of `hero_threshold_255` and `min_blob_px` on their cards; the evaluation
sets are the exam and must not be used for that.

`--report` draws `recall_by_size.png`, `precision_recall.png`, `confusion.png` and three contact sheets:
`false_alarms.jpeg` (highest probability first), `misses.jpeg` (largest hero first) and `masks.jpeg` (near heroes,
lowest IoU first). In these, the prediction is tinted green and the true hero outlined yellow. Scores are computed in
float32, so they are the same on every machine, unless --precision asks for another precision; the time per frame is
measured in the server's own precision, which may be faster.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.analysis import BLOB_MIN_PX, BLOB_THRESHOLDS_255, FrameFigures, blobs_by_threshold
from model.command import check_output_file, command, command_parser, make_output_folder, print_text, run_command
from model.engines import add_precision_option
from model.evaluation import EXAM, VALIDATION, Evaluation, describe, evaluate, find_sets
from model.loading import resolve_weights
from model.scoring import CLASSES, HeroScore, right_share


@command("evaluate")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    folders = find_folders(options.data, options.set)
    for weights in options.weights:
        resolve_weights(weights)
    check_output_file(options.json)
    if options.report:
        make_output_folder(options.report)
    evaluations = [
        evaluate(weights, folders, options.resolution, options.precision, options.target) for weights in options.weights
    ]
    print_text(summary(evaluations))
    if options.json:
        figures = [describe(evaluation) for evaluation in evaluations]
        options.json.write_text(json.dumps(figures if len(figures) > 1 else figures[0], indent=1) + "\n")
    if options.report:
        from model.report import draw  # imports matplotlib, which is needed for nothing else

        draw(evaluations, options.report)
    return 0


def find_folders(data: Path, which: str) -> dict[str, Path]:
    """The folders of the sets, as `find_sets`; if only the exam is missing, the error names the option without it."""
    try:
        return find_sets(data, which)
    except FileNotFoundError as error:
        if which == EXAM and (data / VALIDATION).is_dir():
            raise FileNotFoundError(f"{error}; to score {data / VALIDATION}: --set {VALIDATION}") from error
        raise


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "weights",
        type=Path,
        nargs="+",
        help="networks: .keras files (the ending may be left out) or the original tools' HDF5 files",
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="the dataset: folder with sample_evaluation_data/ and validation/; for the exam also that folder itself",
    )
    parser.add_argument(
        "--set",
        choices=(EXAM, VALIDATION),
        default=EXAM,
        help="frames to score: exam, the three evaluation sets; validation, for choosing networks and thresholds "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--resolution",
        choices=("160", "256", "native"),
        default="native",
        help="resolution at which masks are compared, px; native: the network's own (default: %(default)s)",
    )
    parser.add_argument("--target", metavar="NAME", help="which of the network's targets (default: the first)")
    add_precision_option(parser, default="f32")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to this file; a list for several networks"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FOLDER", help="draw curves and the worst frames into this folder"
    )
    return parser.parse_args(arguments)


def summary(evaluations: Sequence[Evaluation]) -> str:
    """All figures as text; it ends with the score of a single network, or with a table of several."""
    if len(evaluations) > 1:
        each = [f"{evaluation.label}, {evaluation.px} px\n{details(evaluation)}\n" for evaluation in evaluations]
        return "\n".join([*each, comparison(evaluations)])
    name, score = next(iter(evaluations[0].headline.items()))
    return f"{details(evaluations[0])}\n{name} {score:.4f} at {evaluations[0].px} px"


def details(evaluation: Evaluation) -> str:
    """Figures of a network as text: a line per set, then the parts of its score."""
    classes = "".join(f"{name:>14}" for name in CLASSES)
    lines = [f"{'IoU of':<18}{'frames':>7}{classes}{'tp':>6}{'fp':>5}{'fn':>5}"]
    for name, score in evaluation.sets.items():
        ious = "".join(f"{iou:>14.4f}" for iou in score.iou)
        lines.append(f"{name:<18}{score.n:>7}{ious}{score.tp:>6}{score.fp:>5}{score.fn:>5}")
    lines.append(
        "IoU: overlap of prediction and true mask; tp: frames with the hero found; fp: false alarms; "
        "fn: heroes missed; see docs/glossary.md"
    )
    lines.append(
        f"inference {evaluation.ms_per_frame:.1f} ms per frame (median, one at a time, in the server's precision)"
    )
    final = evaluation.final
    if final:
        lines.append(
            f"hero IoU {final.iou:.4f} (mean of near and far) × share of correct detections {final.weight:.4f}"
        )
    else:
        hero_iou, *detections = HeroScore.of(evaluation.sets[VALIDATION])
        lines.append(
            f"hero IoU {hero_iou:.4f} (mean of frames with the hero) × share of correct detections "
            f"{right_share(*detections):.4f}"
        )
        lines += blob_table(evaluation.all_frames)
    return "\n".join(lines)


def blob_table(frames: Sequence[FrameFigures]) -> list[str]:
    """Detections for each `hero_threshold_255` (a line) and `min_blob_px` (a group of columns) that a card may have."""
    counts, astray = blobs_by_threshold(frames)
    lines = [
        "detections by the threshold and the smallest size of the largest blob; off: part of tp, blob not on the hero",
        f"{'above /255':<12}" + "".join(f"{f'{min_px} px':>20}" for min_px in BLOB_MIN_PX),
        " " * 12 + f"{'tp':>5}{'fp':>5}{'fn':>5}{'off':>5}" * len(BLOB_MIN_PX),
    ]
    for row, above in enumerate(BLOB_THRESHOLDS_255):
        cells = np.stack([*(kind[row] for kind in counts), astray[row]], axis=-1)
        lines.append(f"{above} ({above / 255:.1f})".ljust(12) + "".join(f"{cell:>5}" for cell in cells.ravel()))
    return lines


def comparison(evaluations: Sequence[Evaluation]) -> str:
    """Table with a line per network."""
    names = (*evaluations[0].headline, "false alarms", "missed", "ms/frame", "px")
    lines = ["".join(f"{name:>14}" for name in names) + "  network"]
    for evaluation in evaluations:
        scores = "".join(f"{value:>14.4f}" for value in evaluation.headline.values())
        sets = evaluation.sets.values()
        wrong = f"{sum(score.fp for score in sets):>14}{sum(score.fn for score in sets):>14}"
        lines.append(f"{scores}{wrong}{evaluation.ms_per_frame:>14.1f}{evaluation.px:>14}  {evaluation.label}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)

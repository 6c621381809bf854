"""How many frames does it take? Train with more and more of a dataset, and compare the scores.

    python tools/learning_curve.py --data data/cars --preset runs/car/plan.toml --steps 200 --out runs/curve

Each training takes the first frames of `train` in the order of their names, recording by recording, so that the larger
numbers include the smaller ones. All of them have the same settings and the same number of steps, and start from the
weights of the preset, if it has any. With --random-weights, each training is then repeated from random weights, to show
the effect of the starting weights. The score is that of `validation`, which must hold other recordings.

The table is printed and saved as `curve.json` and `curve.png`. Trainings that are already in --out are not repeated.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from model.command import command, command_parser, make_output_folder, print_text, run_command
from model.loading import import_keras

import_keras()  # first, without its start-up notes; imports below need it

from model.dataset import Frames, read_pairs, read_set
from model.evaluation import VALIDATION, evaluate, find_sets
from model.options import check
from model.pair_files import list_pairs
from model.recipes import TrainingConfig, find_preset
from model.run_folder import SETTINGS, WEIGHTS, check_begun, check_run, input_digests
from model.scoring import HeroScore
from model.training import train
from tools.teaching.planning import with_steps

FRAMES = (100, 300, 1000, 3000)


class Point(NamedTuple):
    """A training of the curve.

    Args:
        frames: number of frames that it learned from.
        start: from which weights, "preset" or "random".
        score: on the validation set.
    """

    frames: int
    start: str
    score: HeroScore

    def as_json(self) -> dict[str, Any]:
        """The figures for `curve.json`."""
        return {"frames": self.frames, "start": self.start, "quality": self.score.quality, **self.score._asdict()}


@command("learning_curve", interrupted="interrupted; the same command goes on with the trainings that are missing")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    preset = find_preset(options.preset)
    config = preset if options.steps is None else with_steps(preset, options.steps)
    if (config.sets, config.hold_out, config.more_profiles) != ("train", (), ()):
        raise ValueError(
            f"expected settings without sets both, hold_out and more_profiles: the score is of {VALIDATION}/, "
            f"got them in {options.preset}"
        )
    pairs, counts = list_pairs(options.data / "train"), sorted(set(options.frames))
    sets = find_sets(options.data, VALIDATION)
    if counts[-1] > len(pairs):
        raise ValueError(f"expected --frames of at most {len(pairs)}, those of {options.data}/train, got {counts[-1]}")
    make_output_folder(options.out)
    training = read_pairs(pairs[: counts[-1]], config.input_px, "train")
    validation = read_set(options.data / VALIDATION, config.input_px)
    starts = {"preset" if config.start else "random": config}
    if options.random_weights and config.start:
        starts["random"] = replace(config, start="")
    points = []
    for start, settings in starts.items():
        for count in counts:
            run, frames = options.out / f"{start}-{count}", Frames(training.images[:count], training.masks[:count])
            weights = trained(settings, frames, validation, run)
            points.append(Point(count, start, HeroScore.of(evaluate(weights, sets, "native").sets[VALIDATION])))
    (options.out / "curve.json").write_text(json.dumps([point.as_json() for point in points], indent=1) + "\n")
    draw(points, options.out / "curve.png")
    print_text(table(points))
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder with train/ and validation/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings, the table and the picture")
    parser.add_argument("--preset", default="fpn", help="settings, as tools/train.py takes them (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="batches of each training (default: those of the preset)")
    parser.add_argument(
        "--frames",
        type=int,
        nargs="+",
        default=FRAMES,
        help=f"how many frames to learn from (default: {' '.join(map(str, FRAMES))})",
    )
    parser.add_argument("--random-weights", action="store_true", help="also train from random weights")
    options = parser.parse_args(arguments)
    check(
        options,
        ("frames", min(options.frames) >= 1, "of at least 1"),
        ("steps", options.steps is None or options.steps >= 2, "of at least 2"),
    )
    return options


def trained(config: TrainingConfig, frames: Frames, validation: Frames, run: Path) -> Path:
    """Train into a run folder, or go on with a training there; returns the weights."""
    check_run(run, config, resume=(run / SETTINGS).exists())
    weights = run / WEIGHTS
    if weights.exists():
        check_begun(run, input_digests(config, frames, validation))
    else:
        print_text(f"{run.name}: {len(frames.images)} frames, {config.epochs * config.steps} steps")
        train(config, frames, validation, run)
    return weights


def table(points: Sequence[Point]) -> str:
    """Format the points as a Markdown table."""
    lines = ["| frames | start | quality | hero IoU | missed | false alarms |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {frames} | {start} weights | {score.quality:.3f} | {score.hero_iou:.3f} | {score.fn} | {score.fp} |"
        for frames, start, score in points
    ]
    return "\n".join(lines)


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw the quality over the number of frames as PNG, a line for each start."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for start in dict.fromkeys(point.start for point in points):
        mine = [(point.frames, point.score.quality) for point in points if point.start == start]
        axes.plot(*zip(*mine, strict=True), "o-", label=f"from {start} weights")
    axes.set(xscale="log", xlabel="frames to learn from", ylabel="IoU × share of right detections", ylim=(0, 1))
    counts = sorted({point.frames for point in points})
    axes.set_xticks(counts, [str(count) for count in counts], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    run_command(main)

"""Train a network on dataset folders with `train/` and possibly `validation/`.

    python tools/train.py --data ../shared/data --out runs/fpn
    python tools/train.py --data ../shared/data --out runs/fpn --resume
    python tools/train.py --data ../shared/data --out runs/writeup --preset writeup
    python tools/train.py --data ../shared/data runs/recorded --hold-out r03 r07 --out runs/more \\
        --start weights/model_weights.keras --learning-rate 0.001 --near-weight 2 --people-weight 2 --average 0.995
    python tools/train.py --data runs/dogs --out runs/dog --profile dog.toml --start weights/model_weights.keras

Presets: `fpn` (default) is the first training of the shipped network, about two hours on two CPU cores with bfloat16
instructions; its card lists the trainings that followed. `fcn4` is this project's FCN4 (100 minutes), `writeup` the
FCN4 of the original report with its settings. `--preset FILE.toml` takes the settings of a file, such as `best.toml` of
`tools/search.py`. Every setting of a preset can be changed by its option. With `--profile`, the hero's class in the
masks is another target. With `--more-profiles`, the masks show further targets: see docs/targets.md.

Validation frames are those of `validation/` and those of the recordings of `train/` that `--hold-out` names. The score
of each part is printed at the end. `--sets both` also trains on the validation frames, and keeps the thresholds of
`--start`. Use it for a last run, when nothing is left to choose.

The run folder gets the weights (`model_weights.keras`), their card (`model_weights.json`: settings, data, scores),
`log.csv`, `loss.png`, `samples.png` (the first training batch) and TensorBoard logs. Ctrl-C or a kill costs at most one
epoch: the same command with `--resume` continues, to the same weights.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import logging
from pathlib import Path

from model.command import command, command_parser, print_text, run_command
from model.loading import import_keras

import_keras()  # first, without its start-up notes; imports below need it

from model.options import add_options, from_options
from model.recipes import PRESETS, TrainingConfig, find_preset
from model.training_run import run_training, score_command


@command("train", interrupted="interrupted; once training has begun, the same command with --resume goes on")
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    folders, out = options.data, options.out
    logging.basicConfig(format="%(message)s")
    logging.getLogger("model").setLevel(logging.INFO)
    config = from_options(TrainingConfig, options, find_preset(options.preset))
    trained = run_training(config, folders, out, preset=options.preset, resume=options.resume)
    print_text(f"weights: {trained.weights}")
    if score := score_command(trained.weights, folders):
        print_text(f"score them: {score}")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line; the fields of `TrainingConfig` are options."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="dataset folders with train/ and possibly validation/"
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder for weights, card and log")
    parser.add_argument("--resume", action="store_true", help="continue the interrupted run in --out")
    parser.add_argument(
        "--preset",
        default="fpn",
        metavar=f"{{{','.join(PRESETS)},FILE.toml}}",
        help="settings to start from (default: %(default)s)",
    )
    add_options(parser, TrainingConfig, presets=PRESETS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_command(main)

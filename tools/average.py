"""Average the weights of networks that were trained from the same network, and choose the thresholds of the result.

    python tools/average.py weights/model_weights runs/more/model_weights --out runs/average \\
        --data ../shared/data_extra --recordings r03 r07 r11 r16

A network that is trained further on other data gets better on these data and a little worse on the earlier data. The
average of the weights before and after keeps most of both (Wortsman et al., Robust fine-tuning of zero-shot models,
2022). Inference gets no slower: the result is one network of the same shape.

The frames of --data serve to choose the thresholds and to score the result. None of the networks may have been trained
on them. The output folder gets the weights (`model_weights.keras`) and their card. Takes two minutes for a thousand
frames.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.command import command, command_parser, make_output_folder, print_text, run_command
from model.loading import import_keras, load_network, resolve_weights

import_keras()  # first, without its start-up notes; imports below need it

import keras

from model.card import read_card
from model.dataset import read_pairs
from model.folders import write_whole
from model.hysteresis import best_thresholds, count, thresholds_of, with_thresholds, without_thresholds
from model.provenance import card_content, commit, targets_content, write_card
from model.run_folder import WEIGHTS
from model.scoring import HERO
from model.training_run import score_parts
from model.validation import predict
from tools.labelled.people import chosen_pairs


@command("average")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    if len(options.weights) < 2:
        raise ValueError(f"expected at least two networks to average, got {len(options.weights)}")
    weights = [resolve_weights(each) for each in options.weights]
    out: Path = options.out / WEIGHTS
    if out.exists():
        raise ValueError(f"expected a folder without {WEIGHTS}, got {options.out}: choose another --out")
    make_output_folder(options.out)
    averaged_cards = [card_content(each) for each in weights]
    network = averaged(weights)
    thresholds = thresholds_of(network) if options.keep_thresholds else None
    if options.keep_thresholds and thresholds is None:
        raise ValueError(f"expected a network with two thresholds in {weights[0]}, got one without")
    network = without_thresholds(network)
    px = network.input_shape[1]
    pairs = [pair for _, some in chosen_pairs(options.data, options.recordings) for pair in some]
    first = read_card(weights[0])
    frames = read_pairs(pairs, px, "reading", len(first.targets))
    thresholds = thresholds or best_thresholds(map(count, predict(network, frames), frames.masks >= HERO))
    network = with_thresholds(network, thresholds)
    scores = score_parts(network, {"held out": frames}, first.targets)
    for part, score in scores.items():
        print_text(f"{thresholds}, {part}: {score}")
    card = {
        "network": network.name,
        "classes": first.classes,
        **targets_content(first.profile, *(each.profile for each in first.more_targets)),
        "input_px": px,
        "mean": first.mean,
        "scale": first.scale,
        "hero_threshold_255": first.hero_threshold_255,
        "min_blob_px": first.min_blob_px,
        "thresholds": thresholds._asdict(),
        "validation_parts": {part: score.as_json() for part, score in scores.items()},
        "command": shlex.join(["python", "tools/average.py", *(sys.argv[1:] if arguments is None else arguments)]),
        "commit": commit(),
        "average_of": averaged_cards,
    }
    write_card(out, card)  # before the weights, so that a kill leaves no weights without their card
    write_whole(out, network.save)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("weights", type=Path, nargs="+", help="the networks, of the same shape")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and card")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="dataset folders with train/")
    parser.add_argument(
        "--recordings", nargs="+", default=(), help="recordings of train/ to choose the thresholds on (default: all)"
    )
    parser.add_argument(
        "--keep-thresholds",
        action="store_true",
        help="keep the first network's thresholds; the tracker's constants were chosen with them",
    )
    return parser.parse_args(arguments)


def averaged(weights: Sequence[Path]) -> keras.Model:
    """A network with the mean of the given networks' weights.

    Raises:
        ValueError: if the networks' weights differ in shape.
        FileNotFoundError: as `load_network`.
    """
    first, *others = [load_network(each) for each in weights]
    values = [network.get_weights() for network in (first, *others)]
    shapes = [[value.shape for value in of_one] for of_one in values]
    for file, shape in zip(weights, shapes, strict=True):
        if shape != shapes[0]:
            raise ValueError(f"expected the shapes of {weights[0]}, to average the weights, got others in {file}")
    first.set_weights([np.mean(same, axis=0) for same in zip(*values, strict=True)])
    return first


if __name__ == "__main__":
    run_command(main)

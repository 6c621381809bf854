"""Train the second look: a small network that checks again the people whom the main network takes for the hero.

    python tools/train_second_look.py weights/model_weights --data ../shared/data lookalikes --hold-out r03 r07

The main network infers the frames of the dataset folders. Each person whom it sees is an example, either of the hero or
of somebody else. Each folder has the same weight. The second look is written beside the network. `tools/calibrate.py`
then fits its evidence, on recordings on which neither network was trained. The server does not use the second look
before that: this command removes the evidence of an earlier second look from the card. Takes some minutes for a
thousand frames.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.bars import counting_bar
from model.command import check_output_file, command, command_parser, print_text, run_command
from model.loading import import_keras

import_keras()  # first, so that the imports below do not print start-up messages

import keras

from model.engines import add_precision_option, load_engine
from model.engines.conversion import openvino_model, write_network
from model.engines.second_look import second_look_file
from model.options import check
from model.provenance import card_content, write_card
from model.second_look import Examples, likeness, train
from tools.labelled.calibrating import check_calibratable
from tools.labelled.people import LabelledPerson, chosen_pairs, people_in


@command("train_second_look")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    weights = check_calibratable(options.weights)
    file = second_look_file(weights)
    check_output_file(file)
    chosen = chosen_pairs(options.data, but=options.hold_out, most=options.most)
    judging = chosen_pairs(options.data, options.hold_out, most=options.most, may_lack=True) if options.hold_out else []
    engine = load_engine("auto", options.weights, options.precision)
    people = [list(people_in(engine, *some)) for some in chosen]
    for (name, _), some in zip(chosen, people, strict=True):
        check_both(name, some)
    held_out = [person for some in judging for person in people_in(engine, *some)]
    examples = as_examples(people)
    print_text(f"{examples.is_hero.sum()} heroes and {(~examples.is_hero).sum()} others to learn from")
    network = trained(examples, options, engine.card.profile.is_mirrored)
    if held_out:
        print_text(table(network, held_out, engine.card.profile.second_look_from_px))
    card = card_content(weights)
    if card and card.get("second_evidence"):  # fitted to the second look that is replaced here
        write_card(weights, card | {"second_evidence": None})
    write_network(openvino_model(network), file, is_half=True)
    content = {
        "data": [name for name, _ in chosen],
        "held_out": options.hold_out,
        "most": options.most,
        "heroes": int(examples.is_hero.sum()),
        "others": int((~examples.is_hero).sum()),
        "steps": options.steps,
        "seed": options.seed,
        "of": engine.weights_sha256,
    }
    file.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    print_text(f"{file}; next: tools/calibrate.py")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("weights", type=Path, help="the network whose candidates are looked at")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="dataset folders with train/")
    parser.add_argument("--hold-out", nargs="+", default=[], help="recordings to judge on instead of learning from")
    parser.add_argument(
        "--most",
        type=int,
        default=3000,
        help="most frames of each folder, evenly spread; 0: all (default: %(default)s)",
    )
    parser.add_argument("--steps", type=int, default=3000, help="batches to train on (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights, batches and augmentation (default: %(default)s)"
    )
    add_precision_option(parser)
    options = parser.parse_args(arguments)
    check(
        options,
        ("most", options.most >= 0, "of at least 0"),
        ("steps", options.steps >= 1, "of at least 1"),
        ("seed", 0 <= options.seed < 2**32, "from 0 to 4294967295"),
    )
    return options


def check_both(folder: str, people: Sequence[LabelledPerson]) -> None:
    """Check that a folder has examples of the hero and of others.

    Raises:
        ValueError: if it lacks one of them.
    """
    heroes = sum(person.is_hero for person in people)
    if not 0 < heroes < len(people):
        raise ValueError(
            f"expected the network to see the hero and others in {folder}, got {heroes} of the hero and "
            f"{len(people) - heroes} of others"
        )


def as_examples(people: Sequence[Sequence[LabelledPerson]]) -> Examples:
    """Examples for the training, from the people of each folder."""
    everybody = [person for some in people for person in some]
    return Examples(
        np.stack([person.crop for person in everybody]),
        np.array([person.is_hero for person in everybody]),
        np.array([person.looks.strongest_margin for person in everybody]),
        np.concatenate([np.full(len(some), number) for number, some in enumerate(people)]),
    )


def trained(examples: Examples, options: argparse.Namespace, is_mirrored: bool) -> keras.Model:
    """Train the second look, with a progress bar that shows the loss."""
    with counting_bar(options.steps, desc="training") as progress:

        def show_loss(_: int, loss: float) -> None:
            progress.set_postfix(loss=f"{loss:.4f}", refresh=False)
            progress.update()

        return train(examples, options.steps, options.seed, show_loss, is_mirrored=is_mirrored)


def table(network: keras.Model, people: Sequence[LabelledPerson], from_px: float) -> str:
    """Table of how well heroes are told from others, among people whom the large network labels as the hero.

    A line for each folder: the share of pairs of a hero and somebody else in which the hero has the larger score.
    People smaller than `from_px` are left out.
    """
    lines = [f"{'held out':<20}{'heroes':>8}{'others':>8}{'first look':>12}{'second look':>13}"]
    for folder in sorted({person.recording.split("/")[0] for person in people}):
        of_folder = [each for each in people if each.recording.startswith(folder + "/")]
        some = [each for each in of_folder if each.looks.is_worth_second_look(from_px)]
        truth = np.array([each.is_hero for each in some], bool)
        if not some or truth.all() or not truth.any():
            continue
        first = roc_auc(np.array([each.looks.mean_margin for each in some]), truth)
        second = roc_auc(likeness(network, np.stack([each.crop for each in some])), truth)
        lines.append(f"{folder:<20}{truth.sum():>8}{(~truth).sum():>8}{first:>12.4f}{second:>13.4f}")
    return "\n".join(lines)


def roc_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Share of pairs of a hero and somebody else in which the hero has the larger score; equal scores count half."""
    heroes, others = scores[truth][:, None], scores[~truth][None]
    return float(((heroes > others) + 0.5 * (heroes == others)).mean())


if __name__ == "__main__":
    run_command(main)

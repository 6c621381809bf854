"""Fit the evidence that a network's output on a person gives for the hero, and write it to the network's card.

    python tools/calibrate.py weights/model_weights --data ../shared/data_extra --recordings r03 r07 r11 r16

Each person whom the network sees in a frame of known truth is an example, either of the hero or of somebody else. The
network must not have been trained on these frames because it is too sure of frames that it knows. To judge the fit,
each recording in turn is left out of it and serves as a test. The table and the diagram (--plot) show, for each class
of evidence, how often the person really was the hero. Then the fit to all recordings is written to the card. Takes a
minute for a thousand frames. A network with several targets needs one run for each target (--target).

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from model.calibration import Reliability
from model.card import card_file
from model.command import check_picture_file, command, command_parser, print_text, run_command
from model.engines import add_precision_option
from tools.labelled.calibrating import calibrate, check_calibratable, draw_reliability
from tools.labelled.people import chosen_pairs


@command("calibrate")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    check_picture_file(options.plot)
    card = card_file(check_calibratable(options.weights, options.target))
    chosen, of_similar = chosen_pairs(options.data, options.recordings), chosen_pairs(options.similar)
    found = calibrate(options.weights, chosen, of_similar, options.precision, options.target)
    print_text(table(found.reliability))
    if warning := found.reliability.warning:
        print_text(f"note: {warning}", file=sys.stderr)
    print_text(f"held-out log loss: {found.loss:.4f}; without evidence: {found.loss_without:.4f}")
    if options.plot:
        draw_reliability(found.reliability, options.plot)
    print_text(f"{card}: {found.fitted}, {found.doubt}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("weights", type=Path, help="the network, whose card is rewritten")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="dataset folders with train/")
    parser.add_argument("--recordings", nargs="+", default=[], help="recordings to use (default: all)")
    parser.add_argument(
        "--target", metavar="NAME", help="target whose evidence to fit (default: the first on the card)"
    )
    add_precision_option(parser)
    parser.add_argument(
        "--similar", type=Path, nargs="+", default=[], help="dataset folders with lookalikes, for the second look only"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the reliability diagram into this PNG")
    return parser.parse_args(arguments)


def table(found: Reliability) -> str:
    """Table of the fit, with a line for each class of evidence."""
    lines = [f"{'evidence':>9}{'observed':>10}{'hero':>7}{'others':>8}"]
    for evidence, observed, heroes, others in zip(
        found.evidence, found.observed, found.heroes, found.others, strict=True
    ):
        lines.append(f"{evidence:>9.2f}{observed:>10.2f}{heroes:>7}{others:>8}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)

"""Quantise a network to int8, which CPUs compute faster, and check that it still agrees with the float32 network.

    python tools/quantize.py weights/model_weights --data ../shared/data

Makes `NAME.openvino/int8` beside `NAME.keras`, which the server then takes by itself on an x86-64 CPU. It is calibrated
on frames of `train/` only, and compared with the network in float32 on `validation/`: it must agree on hero or none on
at least 99 % of the frames, and its quality may be at most 0.01 lower. If a bound is missed, it is quantised again with
its outer layers in float32. `conversion.json` has the settings and the scores. Needs NNCF. Takes five minutes on two
idle cores for the shipped network.

Exit status: 0; 1, the int8 network misses a bound and is not kept; 2, refused or failed for the reason given; 130,
interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
from collections.abc import Sequence
from pathlib import Path

from model.command import command, command_parser, print_text, run_command
from tools.shipping.quantizing import LARGEST_LOSS, LEAST_AGREEMENT, ship_quantised


@command("quantize")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    comparisons, folder = ship_quantised(options.weights, options.data)
    print_text("\n".join(f"{name}\n{comparison}" for name, comparison in comparisons.items()))
    if folder is None:
        print_text(
            f"expected an agreement of at least {LEAST_AGREEMENT:.0%} and a quality at most {LARGEST_LOSS} lower: "
            "the int8 network is not kept"
        )
        return 1
    print_text(f"shipped as {folder}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("weights", type=Path, help="the network, as the server takes it")
    parser.add_argument(
        "--data", type=Path, required=True, help="the dataset: folder with train/ to calibrate on, and validation/"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_command(main)

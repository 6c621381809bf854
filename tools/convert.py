"""Convert networks for OpenVINO, so that they are served without TensorFlow.

    python tools/convert.py weights/model_weights weights/fcn4

For each `NAME.keras`, this makes the folder `NAME.openvino/f32` beside it: OpenVINO's files in float32, and
`conversion.json` with the digest of the weights and the known answer that each start compares. Run it after every
change of shipped weights, and then `tools/quantize.py` for int8. Takes 20 s for a network.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

from collections.abc import Sequence
from pathlib import Path

from model.command import command, command_parser, print_text, run_command
from model.loading import resolve_weights
from tools.shipping.converting import ship_converted


@command("convert")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = command_parser(__doc__)
    parser.add_argument("weights", type=Path, nargs="+", help="networks, as the server takes them")
    for weights in [resolve_weights(weights) for weights in parser.parse_args(arguments).weights]:
        print_text("\n".join(ship_converted(weights)))
    return 0


if __name__ == "__main__":
    run_command(main)

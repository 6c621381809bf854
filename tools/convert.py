"""Convert networks for OpenVINO, so that they are served without TensorFlow.

    python tools/convert.py weights/model_weights weights/fcn4

For each `NAME.keras`, this makes the folder `NAME.openvino/f32` beside it: OpenVINO's files in float32, and
`conversion.json` with the digest of the weights and the known answer that each start compares. Run it after every
change of shipped weights, and then `tools/quantize.py` for int8. Takes 20 s for a network.

Exit status: 0; 2, refused or failed for the reason given; 130, interrupted.
"""

from model.startup import begin_command

begin_command(__name__)  # before the imports that take seconds

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.command import command, make_output_folder, print_text, run_command
from model.engines import load_engine
from model.engines.conversion import convert
from model.engines.self_test import coarse, known_frame
from model.engines.shipped import ship, shipped, shipped_folder
from model.loading import resolve_weights

# 2e-6 was measured.
LARGEST_DIFFERENCE = 1e-4


@command("convert")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("weights", type=Path, nargs="+", help="networks, as the server takes them")
    files = [resolve_weights(weights) for weights in parser.parse_args(arguments).weights]
    for weights in files:
        make_output_folder(weights.parent)
        with tempfile.TemporaryDirectory(dir=weights.parent) as made:
            convert(weights, Path(made) / "f32")
            folder = ship(Path(made) / "f32", weights, "f32")
        print_text(f"{folder}: {check(weights)}")
        if shipped_folder(weights, "int8").exists() and shipped(weights, "int8") is None:
            print_text(f"{shipped_folder(weights, 'int8')}: of other weights; renew it with tools/quantize.py")
    return 0


def check(weights: Path) -> str:
    """Compare the answer of the conversion with that of Keras; returns a line for people.

    Raises:
        ValueError: if they differ; the conversion is then removed.
    """
    network = shipped(weights, "f32")
    engine = load_engine("openvino", weights, "f32")
    if network is None:
        raise ValueError(f"{weights}: expected the conversion just made, found none")
    difference = np.abs(coarse(engine.infer(known_frame(engine.input_px))) - network.answer).max()
    if difference > LARGEST_DIFFERENCE:
        shutil.rmtree(network.folder)
        raise ValueError(f"{weights}: expected OpenVINO to answer as Keras does, got a difference of {difference:.3g}")
    return f"{engine.description}, answers as Keras does to within {difference:.1g}"


if __name__ == "__main__":
    run_command(main)

"""Convert networks for OpenVINO, to the folders beside them that the server looks for."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from model.command import make_output_folder
from model.engines import load_engine
from model.engines.conversion import convert
from model.engines.self_test import coarse, known_frame
from model.engines.shipped import ship, shipped, shipped_folder

# Largest difference between the answers of OpenVINO and Keras; 2e-6 was measured.
LARGEST_DIFFERENCE = 1e-4


def ship_converted(weights: Path) -> list[str]:
    """Convert a resolved file of weights to float32; returns lines for people.

    Raises:
        OSError, ValueError: as `convert` and `check`.
    """
    make_output_folder(weights.parent)
    with tempfile.TemporaryDirectory(prefix=".", dir=weights.parent) as made:
        convert(weights, Path(made) / "f32")
        folder = ship(Path(made) / "f32", weights, "f32")
    lines = [f"{folder}: {check(weights)}"]
    if shipped_folder(weights, "int8").exists() and shipped(weights, "int8") is None:
        lines.append(f"{shipped_folder(weights, 'int8')}: of other weights; renew it with tools/quantize.py")
    return lines


def check(weights: Path) -> str:
    """Compare the answer of the conversion with that of Keras; returns a line for people.

    Raises:
        ValueError: if the answers differ; the conversion is then removed.
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

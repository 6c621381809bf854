"""Converted networks that are shipped beside their weights, so that serving needs no TensorFlow.

`weights/NAME.openvino/f32` and `.../int8` belong to `weights/NAME.keras`; `tools/convert.py` and `tools/quantize.py`
make them. With the card, `weights/NAME.json`, they can also be served without `weights/NAME.keras`.
"""

import logging
import shutil
from pathlib import Path

from model.engines.conversion import ConvertedNetwork, read_conversion
from model.loading import CONVERTED, network_name

logger = logging.getLogger(__name__)

MADE_BY = {"f32": "tools/convert.py", "int8": "tools/quantize.py"}


def shipped_folder(weights: Path, precision: str) -> Path:
    """Folder of the conversion of a resolved file of weights to a precision, a key of `MADE_BY`."""
    return weights.with_name(f"{network_name(weights)}{CONVERTED}") / precision


def shipped(weights: Path, precision: str) -> ConvertedNetwork | None:
    """Find the conversion that is shipped beside weights; None if it is missing, damaged or from other weights.

    A damaged conversion, or one from other weights, logs a warning.

    Args:
        weights: a resolved file of weights.
        precision: a key of `MADE_BY`.
    """
    folder = shipped_folder(weights, precision)
    if not folder.exists():
        return None
    network = read_conversion(folder)
    if network is None:
        logger.warning("%s is damaged and not used: %s makes it anew", folder, MADE_BY[precision])
    elif not network.conversion.is_of(weights):
        logger.warning("%s was made from other weights and is not used: %s renews it", folder, MADE_BY[precision])
        network = None
    return network


def ship(made: Path, weights: Path, precision: str) -> Path:
    """Move a new conversion to its shipped folder, in place of an older one; returns the folder."""
    folder = shipped_folder(weights, precision)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    return made.replace(folder)

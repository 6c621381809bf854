"""A cache of networks that a start has converted, so that later starts need not import TensorFlow."""

import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

from model.card import read_card
from model.command import error_text
from model.engines.conversion import ConvertedNetwork, convert, read_conversion
from model.folders import make_writable
from model.loading import weights_sha256

logger = logging.getLogger(__name__)

# Part of the key of the cache: increase it when the conversion or the folder's content changes.
CONVERSION = 3


def cached(weights: Path) -> ConvertedNetwork:
    """Find a network in the cache, or convert it into the cache, in float32.

    Args:
        weights: a resolved file of weights.

    Raises:
        ValueError: if it can't be opened or converted, or its output is not probabilities; a single line.
    """
    import openvino as ov

    card = read_card(weights)  # the known answer depends on its normalisation
    key = f"{CONVERSION} {ov.__version__} {weights_sha256(weights)} {card.mean} {card.scale}"
    name = f"{weights.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    try:
        root = cache_folder()
        folder = root / name
        if network := read_conversion(folder):
            return network
        if folder.exists():
            logger.warning("the converted network in %s is damaged: it is made anew", folder)
        with tempfile.TemporaryDirectory(dir=root) as made:
            network = _converted(weights, Path(made) / name)
            if not read_conversion(folder):  # another server may have been faster
                shutil.rmtree(folder, ignore_errors=True)
                network.folder.replace(folder)
        return ConvertedNetwork(folder, network.conversion)
    except OSError as error:
        logger.warning("cannot cache converted networks (%s): they are converted at each start", error_text(error))
    temporary = tempfile.TemporaryDirectory(prefix="drone-follow-me-")
    try:
        network = _converted(weights, Path(temporary.name) / name)
    except OSError as error:
        raise ValueError(f"{weights}: expected room for a converted network, got: {error_text(error)}") from error
    return ConvertedNetwork(network.folder, network.conversion, temporary)


def _converted(weights: Path, folder: Path) -> ConvertedNetwork:
    logger.info("converting %s for OpenVINO, which takes some seconds, once", weights)
    convert(weights, folder)
    network = read_conversion(folder)
    if network is None:
        raise OSError(f"the files in {folder} differ from what was just written")
    return network


def cache_folder() -> Path:
    """The folder of all converted networks, which can be written to.

    Raises:
        OSError: if it cannot.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drone-follow-me"
    make_writable(folder)
    return folder

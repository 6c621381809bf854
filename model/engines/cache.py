"""Converted networks, kept in a cache so that a start need not import TensorFlow.

Each network has a folder: the OpenVINO files, OpenVINO's own compiled copies (*.blob), the known answer of the
self-test and, written last, the digests of all of these. A file that is not as its digest says is made anew.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from model.card import read_card
from model.engines.self_test import coarse, known_frame
from model.folders import make_writable
from model.loading import input_px, load_network, weights_sha256

logger = logging.getLogger(__name__)

# Part of the key of the cache: increase it when the conversion or the folder's content changes.
CONVERSION = 2
NETWORK, ANSWER, DIGESTS = "network.xml", "answer.json", "digests.json"


class ConvertedNetwork:
    """A network as OpenVINO reads it.

    Args:
        weights: the network that it was made from.
        folder: holds its files.
        temporary: keeps the folder while this object lives; None for a folder of the cache.
    """

    def __init__(
        self, weights: Path, folder: Path, temporary: "tempfile.TemporaryDirectory[str] | None" = None
    ) -> None:
        self.weights, self.folder, self._temporary = weights, folder, temporary

    @property
    def file(self) -> Path:
        """The file to read."""
        return self.folder / NETWORK

    @property
    def answer(self) -> np.ndarray:
        """The known answer, as `self_test.coarse` gives it."""
        return np.array(json.loads((self.folder / ANSWER).read_text()))

    def seal(self) -> None:
        """Note the digests of new files, now that the network has been compiled and has passed its self-test.

        `is_whole` has read the others just now.
        """
        digests = _read_digests(self.folder)
        files = _files(self.folder)
        if digests.keys() != {file.name for file in files}:
            _write_digests(self.folder, {file.name: digests.get(file.name) or _sha256(file) for file in files})

    def discard(self) -> None:
        """Remove it, because its files do not do what they should."""
        logger.warning("the converted network in %s is damaged: it is made anew", self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def converted(weights: Path) -> ConvertedNetwork:
    """Find a network in the cache, or convert it into the cache.

    Args:
        weights: a resolved file of weights.

    Raises:
        ValueError: if it can't be opened or converted, or its output is not probabilities; a single line.
    """
    import openvino as ov

    card = read_card(weights)  # the answer depends on its normalisation
    key = f"{CONVERSION} {ov.__version__} {weights_sha256(weights)} {card.mean} {card.scale}"
    digest = hashlib.sha256(key.encode())
    name = f"{weights.stem}-{digest.hexdigest()[:16]}"
    try:
        root = cache_folder()
        folder = root / name
        if not is_whole(folder):
            with tempfile.TemporaryDirectory(dir=root) as made:
                _convert(weights, Path(made) / name)
                if not is_whole(folder):  # another server may have been faster
                    shutil.rmtree(folder, ignore_errors=True)
                    (Path(made) / name).replace(folder)
        return ConvertedNetwork(weights, folder)
    except OSError as error:
        logger.warning("cannot cache converted networks (%s): they are converted at each start", error)
    temporary = tempfile.TemporaryDirectory(prefix="drone-follow-me-")
    try:
        _convert(weights, Path(temporary.name) / name)
    except OSError as error:
        raise ValueError(f"{weights}: expected room for a converted network, got: {error}") from error
    return ConvertedNetwork(weights, Path(temporary.name) / name, temporary)


def _convert(weights: Path, folder: Path) -> None:
    """Convert weights into a new folder.

    Raises:
        OSError: if there is no room.
        ValueError: if the network's output is not probabilities.
    """
    import openvino as ov

    logger.info("converting %s for OpenVINO, which takes some seconds, once", weights)
    network, card = load_network(weights), read_card(weights)
    frame = (known_frame(input_px(network)).astype(np.float32) - card.mean) / card.scale
    try:
        answer = coarse(np.asarray(network(frame, training=False)))
    except ValueError as error:
        raise ValueError(f"{weights}: {error}") from error
    folder.mkdir()
    (folder / ANSWER).write_text(json.dumps(answer.tolist()))
    with tempfile.TemporaryDirectory(dir=folder) as saved:
        try:
            network.export(saved, verbose=False)
            ov.save_model(ov.convert_model(saved), folder / NETWORK, compress_to_fp16=False)
        except RuntimeError as error:  # of OpenVINO and TensorFlow, also for a full disk
            raise OSError(" ".join(str(error).split())[:200]) from error
    ConvertedNetwork(weights, folder).seal()


def is_whole(folder: Path) -> bool:
    """Whether all that was sealed is as it was; other files, which may be half written, are removed."""
    digests = _read_digests(folder)
    if not {NETWORK, ANSWER} <= digests.keys():
        return False
    for file in _files(folder):
        if digests.get(file.name) != _sha256(file):
            if file.suffix != ".blob":
                return False
            logger.warning("%s is damaged or unfinished: it is made anew", file)
            file.unlink(missing_ok=True)
            if digests.pop(file.name, None) is not None:
                _write_digests(folder, digests)
    return all((folder / name).is_file() or name.endswith(".blob") for name in digests)


def _read_digests(folder: Path) -> dict[str, str]:
    try:
        digests = json.loads((folder / DIGESTS).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return digests if isinstance(digests, dict) else {}


def _write_digests(folder: Path, digests: dict[str, str]) -> None:
    with contextlib.suppress(OSError):  # the files are then made anew at the next start
        partial = folder / f"{DIGESTS}.{os.getpid()}"
        partial.write_text(json.dumps(digests))
        partial.replace(folder / DIGESTS)


def _files(folder: Path) -> list[Path]:
    """All files of a converted network but the digests."""
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith(DIGESTS))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def cache_folder() -> Path:
    """The folder of all converted networks, which can be written to.

    Raises:
        OSError: if it cannot.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drone-follow-me"
    make_writable(folder)
    return folder

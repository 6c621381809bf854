"""A network converted for OpenVINO: a folder with OpenVINO's two files and `conversion.json`.

`conversion.json` says from which weights and how the conversion was made, and what it scores. It holds the digests of
the two files, and the known answer of the self-test.
"""

import dataclasses
import hashlib
import importlib.util
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from model.card import read_card
from model.command import one_line
from model.engines.self_test import coarse, known_input
from model.loading import input_px, is_converted, load_network, weights_sha256
from model.startup import how_to_install

if TYPE_CHECKING:
    import keras

NETWORK, VALUES, NOTE = "network.xml", "network.bin", "conversion.json"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The content of `conversion.json`.

    Args:
        weights_sha256: result of `model.loading.weights_sha256` for the weights that it was made from.
        mean: normalisation on the card of these weights, on which the answer depends.
        scale: likewise.
        precision: "f32" or "int8".
        made_with: names and versions of the libraries.
        how: settings and scores of the conversion, for people.
        files: SHA-256 of each file.
        answer: (parts, parts, classes) known answer of the network in this precision, as `self_test.coarse` gives it.
    """

    weights_sha256: str
    mean: float
    scale: float
    precision: str
    made_with: str
    how: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    answer: list[list[list[float]]]

    def is_of(self, weights: Path) -> bool:
        """Whether it was made from these weights, a resolved file, with the normalisation on their card.

        Without the weights, only the normalisation can be compared.
        """
        card = read_card(weights)
        is_same = is_converted(weights) or self.weights_sha256 == weights_sha256(weights)
        return is_same and (self.mean, self.scale) == (card.mean, card.scale)


class ConvertedNetwork:
    """A conversion whose files are unchanged since it was made.

    Args:
        folder: holds its files.
        conversion: the content of `conversion.json`.
        temporary: keeps the folder while this object lives; None for a folder that stays.
    """

    def __init__(
        self, folder: Path, conversion: Conversion, temporary: "tempfile.TemporaryDirectory[str] | None" = None
    ) -> None:
        self.folder, self.conversion, self._temporary = folder, conversion, temporary

    @property
    def file(self) -> Path:
        """The file for OpenVINO to read."""
        return self.folder / NETWORK

    @property
    def files(self) -> tuple[Path, Path]:
        """Both files of OpenVINO."""
        return self.file, self.folder / VALUES

    @property
    def answer(self) -> np.ndarray:
        """The known answer, as `self_test.coarse` gives it."""
        return np.array(self.conversion.answer)


def read_conversion(folder: Path) -> ConvertedNetwork | None:
    """Read a conversion; None if it is missing, a file has changed, or its known answer is not a finite 3-D array."""
    try:
        network = ConvertedNetwork(folder, msgspec.convert(json.loads((folder / NOTE).read_bytes()), Conversion))
        is_answer = network.answer.ndim == 3 and np.isfinite(network.answer).all()
        if is_answer and network.conversion.files == {name: _sha256(folder / name) for name in (NETWORK, VALUES)}:
            return network
    except (OSError, ValueError, RecursionError):  # numpy raises ValueError for an answer with rows of unequal length
        pass
    return None


def convert(weights: Path, folder: Path) -> None:
    """Convert weights, a resolved file, into a new folder, in float32.

    Raises:
        OSError: if there is no room.
        ValueError: if TensorFlow is not installed, the weights can't be opened, or the network's output is not
            probabilities; a single line.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ValueError(
            f"{weights}: expected a conversion of it for OpenVINO, or TensorFlow, which makes one; "
            f"{how_to_install('tensorflow')}"
        )
    import openvino as ov

    network, card = load_network(weights), read_card(weights)
    frame = known_input(input_px(network), card)
    try:
        answer = coarse(np.asarray(network(frame, training=False)))
    except ValueError as error:
        raise ValueError(f"{weights}: {error}") from error
    conversion = Conversion(
        weights_sha256=weights_sha256(weights),
        mean=card.mean,
        scale=card.scale,
        precision="f32",
        made_with=f"OpenVINO {ov.__version__.split('-')[0]}",
        answer=answer.astype(float).round(6).tolist(),
    )
    save(openvino_model(network), folder, conversion)


def openvino_model(network: "keras.Model") -> Any:
    """A network of Keras as an `openvino.Model`.

    Raises:
        OSError: if there is no room for the intermediate files.
    """
    import openvino as ov

    with tempfile.TemporaryDirectory() as exported:
        try:
            network.export(exported, verbose=False)
            return ov.convert_model(exported)
        except RuntimeError as error:  # from OpenVINO or TensorFlow, also for a full disk
            raise OSError(one_line(error)) from error


def write_network(network: Any, file: Path, is_half: bool = False) -> None:
    """Write an `openvino.Model` as a file, with a .bin file beside it; with `is_half`, weights in float16.

    Raises:
        OSError: if there is no room.
    """
    import openvino as ov

    if "conversion_parameters" in network.rt_info:  # contains the name of a temporary folder
        del network.rt_info["conversion_parameters"]
    try:
        ov.save_model(network, file, compress_to_fp16=is_half)
    except RuntimeError as error:
        raise OSError(one_line(error)) from error


def save(network: Any, folder: Path, conversion: Conversion) -> None:
    """Save an OpenVINO network as a conversion into a new folder.

    Args:
        network: an `openvino.Model`.
        folder: to make.
        conversion: how it was made; the digests of the files are added.

    Raises:
        OSError: if there is no room.
    """
    folder.mkdir(parents=True)
    write_network(network, folder / NETWORK)
    digests = {name: _sha256(folder / name) for name in (NETWORK, VALUES)}
    _write(folder, dataclasses.replace(conversion, files=digests))


def annotate(folder: Path, how: dict[str, Any]) -> None:
    """Store in a conversion how it was made and what it scores.

    Raises:
        OSError: if it is missing or damaged, or can't be written.
    """
    network = read_conversion(folder)
    if network is None:
        raise OSError(f"expected a whole conversion in {folder}")
    _write(folder, dataclasses.replace(network.conversion, how=how))


def _write(folder: Path, conversion: Conversion) -> None:
    (folder / NOTE).write_text(json.dumps(dataclasses.asdict(conversion)) + "\n")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

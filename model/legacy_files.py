"""Read the files of a legacy network: HDF5 weights, and the JSON config beside them or inside.

The files may come from anybody: sizes are checked before memory is taken. Imports neither Keras nor TensorFlow.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from model.command import one_line

# FCN-8s, the largest usual network for segmentation, has 134 million weights.
MOST_VALUES = 200_000_000
MOST_CONFIG_BYTES = 10_000_000


class LegacyNetworkError(ValueError):
    """A legacy network that cannot be opened; the message is a single line with the file and the reason."""


class Weight(NamedTuple):
    """An array of the HDF5 file; `path` is its TensorFlow name, such as `conv2d_1/kernel:0`."""

    path: str
    array: np.ndarray

    @property
    def scope(self) -> str:
        """The path up to the last slash, which is different for each layer."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Name of the weight within its layer, without the output number and the suffix that made it unique."""
        return re.sub(r"(_\d+)?(:\d+)?$", "", self.path.rpartition("/")[2])


def holds_config(weights_path: Path) -> bool:
    """Whether an HDF5 file holds the config of its network, as `Model.save` writes it.

    Raises:
        LegacyNetworkError: if it is no HDF5 file, or one of today's Keras.
    """
    with _opened(weights_path) as file:
        return "model_config" in file.attrs


def read_config(path: Path) -> dict[str, Any]:
    """Read a network's config from a file of JSON, or from inside an HDF5 file.

    Whole floats become ints, because some tools wrote `128.0` filters.

    Raises:
        LegacyNetworkError: if the file is damaged, or of today's Keras.
    """
    if h5py.is_hdf5(path):
        with _opened(path) as file:
            text: str | bytes = _string(file.attrs["model_config"])
    elif path.stat().st_size > MOST_CONFIG_BYTES:
        raise LegacyNetworkError(
            f"{path}: expected a config of at most {MOST_CONFIG_BYTES} bytes, got {path.stat().st_size}"
        )
    else:
        text = path.read_bytes()
    try:
        config = json.loads(text, parse_float=_number)
        if isinstance(config, str):
            config = json.loads(config, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise LegacyNetworkError(f"{path}: expected JSON, got {one_line(error)}") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise LegacyNetworkError(f"{path}: expected a network's config, got {str(config)[:60]!r}")
    if "module" in config:
        raise LegacyNetworkError(_keras_3_message(path))
    return config


def read_weights(path: Path) -> dict[str, list[Weight]]:
    """Read all arrays by layer, in the order of the file.

    Raises:
        LegacyNetworkError: if the file is damaged, too large, or of today's Keras.
    """
    with _opened(path) as file:
        # `Model.save` puts the content of `Model.save_weights` one level deeper.
        root = file.get("model_weights", file)
        if "layer_names" not in root.attrs:
            raise LegacyNetworkError(f"{path}: expected weights as Keras saves them, got no layer_names")
        stored = {
            layer: [(name, root[layer][name]) for name in _strings(root[layer], "weight_names")]
            for layer in _strings(root, "layer_names")
        }
        values = sum(dataset.size for layer in stored.values() for _, dataset in layer)
        if values > MOST_VALUES:
            raise LegacyNetworkError(f"{path}: expected at most {MOST_VALUES:,} weights, got {values:,}")
        return {
            layer: [Weight(name, np.asarray(dataset, np.float32)) for name, dataset in datasets]
            for layer, datasets in stored.items()
        }


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file. Errors of its format in the block become a `LegacyNetworkError` of one line."""
    try:
        with h5py.File(path, "r") as file:
            version = _string(file.attrs.get("keras_version", ""))
            if version.startswith("3") or ("layer_names" not in file.attrs and "layers" in file):
                raise LegacyNetworkError(_keras_3_message(path))
            yield file
    except LegacyNetworkError:
        raise
    # h5py raises nearly anything on broken bytes.
    except Exception as error:
        raise LegacyNetworkError(f"{path}: expected a whole HDF5 file, got {one_line(error)}") from error


def _keras_3_message(path: Path) -> str:
    return (
        f"{path}: expected a network of the original tools, got a file of Keras 3: "
        "open the network with Keras and save it as .keras, network.save('model_weights.keras')"
    )


def _strings(group: h5py.Group, attribute: str) -> list[str]:
    return [_string(text) for text in group.attrs[attribute]]


def _string(text: bytes | str) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number

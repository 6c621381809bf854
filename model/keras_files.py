"""Check a `.keras` file before Keras opens it: a ZIP archive of a JSON config and HDF5 weights.

The file may come from anybody. Keras trusts the sizes in it, and allocates memory before it compares the config with
the weights. Imports neither Keras nor TensorFlow.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from model.legacy_files import MOST_CONFIG_BYTES, MOST_VALUES

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
# Numbers in a layer's config that are dimensions of its weights.
_DIMENSIONS = ("filters", "units", "depth_multiplier", "input_dim", "output_dim")


def check_keras_file(file: Path) -> None:
    """Check the sizes in a `.keras` file.

    Raises:
        ValueError: if they are larger than those of any usual network, or the config has a larger layer than the
            weights.
        Exception: nearly any, if the file is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        for part in archive.infolist():
            most = 4 * MOST_VALUES if part.filename == _WEIGHTS else MOST_CONFIG_BYTES
            if part.file_size > most:
                raise ValueError(f"{part.file_size:,} bytes of {part.filename!r}, more than {most:,}")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"a wrong checksum of {damaged}")
        with archive.open(_WEIGHTS) as opened, h5py.File(opened) as weights:
            shapes = _shapes(weights)
        config = json.loads(archive.read(_CONFIG))
    values = sum(size for size, _ in shapes)
    if values > MOST_VALUES:
        raise ValueError(f"{values:,} weights, more than {MOST_VALUES:,}")
    largest = max((dimension for _, shape in shapes for dimension in shape), default=1)
    for layer in _layers(config):
        for name in _DIMENSIONS:
            if isinstance(layer.get(name), int | float) and layer[name] > largest:
                raise ValueError(
                    f"a layer {str(layer.get('name'))[:40]!r} of {layer[name]} {name}, while the largest dimension of "
                    f"the weights is {largest}"
                )


def _shapes(weights: h5py.File) -> list[tuple[int, tuple[int, ...]]]:
    """Number of values and shape of each array."""
    shapes: list[tuple[int, tuple[int, ...]]] = []

    def add(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            shapes.append((int(item.size or 0), item.shape or ()))

    weights.visititems(add)
    return shapes


def _layers(config: Any) -> list[dict[str, Any]]:
    """All objects in a config, among them those of the layers."""
    found, waiting = [], [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            found.append(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return found

"""Find and open a network: a `.keras` file, or a pair of files as the original tools saved it.

Finding imports neither Keras nor TensorFlow: the server starts from a converted network without them.
"""

import hashlib
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def resolve_weights(path: Path | str) -> Path:
    """Find the file that holds a network's weights.

    Args:
        path: a `.keras` file, the HDF5 file of a legacy pair, or a `.keras` file without its ending.

    Returns:
        The existing file. For a legacy pair, `legacy_config` of it exists too.

    Raises:
        FileNotFoundError: if there is none.
    """
    path = Path(path)
    with_ending = path.with_name(f"{path.name}.keras")
    file = next((candidate for candidate in (path, with_ending) if candidate.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"expected a network at {path}: a .keras file (with or without its ending) or a legacy HDF5 file "
            f"with {legacy_config(path).name} beside it; found neither"
        )
    if is_legacy(file) and not legacy_config(file).is_file():
        raise FileNotFoundError(
            f"expected {legacy_config(file).name}, which says what the layers of {file.name} are, "
            f"found no {legacy_config(file)}"
        )
    return file


def is_legacy(file: Path) -> bool:
    """Whether a resolved file is of the original tools' making: they gave it any name but `*.keras`."""
    return file.suffix != ".keras"


def legacy_config(file: Path) -> Path:
    """Where the original tools put the config of the weights in `file`."""
    return file.with_name(f"config_{file.name}")


def network_files(path: Path | str) -> tuple[Path, ...]:
    """All files that a network consists of: what a cache of it depends on.

    Raises:
        FileNotFoundError: as `resolve_weights` does.
    """
    file = resolve_weights(path)
    return (file, legacy_config(file)) if is_legacy(file) else (file,)


def load_network(path: Path | str) -> "keras.Model":
    """Open a network for inference.

    Args:
        path: as `resolve_weights` takes it.

    Returns:
        The network: (N, px, px, 3) RGB in [−1, 1] to (N, px, px, classes) probabilities.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or no such network; one line that names it.
    """
    file = resolve_weights(path)
    import_keras()
    # These also register the layers of ours that a .keras file may hold.
    import model.hysteresis  # noqa: F401
    from model.legacy import load_legacy_network

    network = load_legacy_network(file, legacy_config(file)) if is_legacy(file) else _load_keras(file)
    shapes = network.input_shape, network.output_shape
    if not all(_is_square_map(shape) for shape in shapes) or shapes[0][1:] != (*shapes[1][1:3], 3):
        raise ValueError(
            f"{file}: expected a network from (N, px, px, 3) to (N, px, px, classes) with a fixed px, "
            f"got {shapes[0]} to {shapes[1]}"
        )
    return network


def input_px(network: "keras.Model") -> int:
    """Height and width of the images that a network of `load_network` takes."""
    return network.input_shape[1]


def import_keras() -> ModuleType:
    """Import Keras and its backend without their start-up notes on stderr.

    TensorFlow 2.21 writes some of these natively and before it heeds TF_CPP_MIN_LOG_LEVEL, so the descriptor
    itself leads nowhere meanwhile. A failing import raises as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import keras
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    return keras


def _load_keras(file: Path) -> "keras.Model":
    try:
        return import_keras().saving.load_model(file, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{file}: expected a network saved by Keras 3, got {reason}") from error


def _is_square_map(shape: object) -> bool:
    return isinstance(shape, tuple) and len(shape) == 4 and shape[1] is not None and shape[1] == shape[2]


def weights_sha256(weights: str | Path) -> str:
    """Tells networks apart: SHA-256 of the weights' file, and of its config's after it where that is a file, too.

    Raises:
        FileNotFoundError: where there are no weights.
    """
    digest = hashlib.sha256()
    for file in network_files(weights):
        digest.update(file.read_bytes())
    return digest.hexdigest()

"""Find and open networks: `.keras` files, pairs of files from the original tools, or conversions for OpenVINO alone.

Finding imports neither Keras nor TensorFlow: the server starts without them if the network is converted already.
"""

import contextlib
import hashlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from model.command import one_line
from model.hdf5_guard import check_reading_ends

if TYPE_CHECKING:
    import keras

# Larger than any camera image here. An engine allocates the memory for an image of the input's size when it is loaded.
MOST_INPUT_PX = 2048
GPU_MEMORY_MB = "FOLLOWME_GPU_MEMORY_MB"  # environment variable, so that child processes have it, too

KERAS, CONVERTED = ".keras", ".openvino"
_CONFIG = "config_"
_DEPTHS = ("", "*/", "*/*/")
_LFS_POINTER = b"version https://git-lfs.github.com/"


def resolve_weights(path: Path | str) -> Path:
    """Find the file that holds a network's weights.

    Args:
        path: a `.keras` file, with or without its ending, or either file of a legacy pair; or a folder `*.openvino`,
            with or without its ending, if there are no such files.

    Returns:
        The file or folder that exists. A legacy network has a config: its `legacy_config` exists, or is in the file.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is a Git LFS pointer, belongs to a network, or is neither `.keras` nor HDF5, or if the
            path ends with no name.
    """
    path = Path(path)
    if not path.name:
        raise ValueError(f"expected a network, got the folder {path}")
    _refuse_part(path)
    with_ending = path.with_name(f"{path.name}{KERAS}")
    of_config = path.with_name(path.name.removeprefix(_CONFIG)) if is_legacy(path) else path
    file = next((candidate for candidate in (of_config, path, with_ending) if candidate.is_file()), None)
    if file is None:
        return _resolve_converted(path)
    _refuse_pointer(file)
    if is_legacy(file):
        _check_config(file)
    return file


def _refuse_part(path: Path) -> None:
    """Refuse a card, a second look and a part of a conversion, and name the network to which they belong."""
    network = next((folder for folder in path.parents if folder.suffix == CONVERTED), None)
    if network is None and (path.suffix == ".json" or path.stem.endswith(".second_look")) and path.is_file():
        network = path.with_name(path.stem.removesuffix(".second_look"))
    if network is not None:
        raise ValueError(f"expected a network, got {path}, which belongs to one: give {network}")


def _resolve_converted(path: Path) -> Path:
    """Find a conversion without weights beside it."""
    folder = path if path.suffix == CONVERTED else path.with_name(f"{path.name}{CONVERTED}")
    if not _conversion_files(folder):
        raise FileNotFoundError(
            f"expected a network at {path}: a {KERAS} file (with or without its ending), a legacy HDF5 file "
            f"with {legacy_config(path).name} beside it, or a folder {folder.name}; found none of them"
        )
    return folder


def _conversion_files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(file for file in folder.glob("*/*") if file.is_file()))


def network_name(file: Path) -> str:
    """The name by which clients ask a server of several networks for the network of a weights file."""
    return file.name.removesuffix(KERAS).removesuffix(CONVERTED)


def _check_config(file: Path) -> None:
    """Check that a legacy network has a config, without reading it."""
    config = legacy_config(file)
    if config.is_file():
        _refuse_pointer(config)
        return
    from model.legacy_files import holds_config  # imports h5py, which the server rarely needs

    check_reading_ends(file)
    if not holds_config(file):
        raise FileNotFoundError(f"expected {config.name}, which describes the layers of {file.name}, found no {config}")


def _refuse_pointer(file: Path) -> None:
    with file.open("rb") as opened:
        if opened.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise ValueError(f"{file}: expected a file, got its Git LFS pointer: fetch the file with git lfs pull")


def is_legacy(file: Path) -> bool:
    """Whether a resolved file is from the original tools: any name except `*.keras` and `*.openvino`."""
    return file.suffix not in (KERAS, CONVERTED)


def is_converted(file: Path) -> bool:
    """Whether a resolved file is a folder of conversions, which can be served by OpenVINO but not trained on."""
    return file.suffix == CONVERTED


def legacy_config(file: Path) -> Path:
    """Path of the original tools' config for the weights in `file`."""
    return file.with_name(f"{_CONFIG}{file.name}")


def networks_in(folder: Path) -> list[Path]:
    """List the networks of a folder and two levels below it by the names of their files, without opening them.

    A conversion is listed if its weights are not beside it. Hidden files and folders are left out: they hold unfinished
    networks. No other files are looked at, because a folder of runs may hold many thousand.
    """
    found = [file for depth in _DEPTHS for file in folder.glob(f"{depth}*{KERAS}")]
    converted = [part for depth in _DEPTHS for part in folder.glob(f"{depth}*{CONVERTED}")]
    configs = [file for depth in _DEPTHS for file in folder.glob(f"{depth}{_CONFIG}*")]
    found += [file.with_name(file.name.removeprefix(_CONFIG)) for file in configs]
    files = [file for file in found if file.is_file()]
    alone = [part for part in converted if part.with_suffix(KERAS) not in files and _conversion_files(part)]
    return sorted(file for file in [*files, *alone] if not _is_hidden(file.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def network_files(path: Path | str) -> tuple[Path, ...]:
    """List all files of a network, on which a cache of it depends.

    Raises:
        FileNotFoundError, ValueError: as `resolve_weights` does.
    """
    file = resolve_weights(path)
    if is_converted(file):
        return _conversion_files(file)
    config = legacy_config(file)
    return (file, config) if is_legacy(file) and config.is_file() else (file,)


def load_network(path: Path | str) -> "keras.Model":
    """Open a network for inference.

    Args:
        path: as `resolve_weights` takes it.

    Returns:
        The network, from (N, px, px, 3) RGB in [−1, 1] to (N, px, px, classes) probabilities.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or holds another kind of network, or there is only a conversion; a single line
            that names it.
    """
    file = resolve_weights(path)
    if is_converted(file):
        raise ValueError(
            f"expected {file.with_suffix(KERAS).name}, the network itself, beside {file}, which only OpenVINO can run; "
            "found none"
        )
    if is_legacy(file):
        for part in network_files(file):
            check_reading_ends(part)
    else:
        _check_keras_file(file)  # before the import of Keras, which takes seconds
    import_keras()
    # These imports also register this project's layers, which a .keras file may contain.
    import model.hysteresis  # noqa: F401
    from model.legacy import load_legacy_network

    network = load_legacy_network(file, network_files(file)[-1]) if is_legacy(file) else _load_keras(file)
    shapes = network.input_shape, network.output_shape
    if _is_square_map(shapes[0]) and shapes[0][1] > MOST_INPUT_PX:
        raise ValueError(f"{file}: expected an input of at most {MOST_INPUT_PX} px, got {shapes[0][1]} px")
    if not all(_is_square_map(shape) for shape in shapes) or shapes[0][1:] != (*shapes[1][1:3], 3):
        raise ValueError(
            f"{file}: expected a network from (N, px, px, 3) to (N, px, px, classes) with a fixed px, "
            f"got {shapes[0]} to {shapes[1]}"
        )
    return network


def input_px(network: "keras.Model") -> int:
    """Height and width of the input of a network from `load_network`."""
    return network.input_shape[1]


def import_keras() -> ModuleType:
    """Import Keras and its backend without their start-up messages on stderr, and set how TensorFlow takes memory.

    TensorFlow 2.21 writes some messages from native code, before it reads TF_CPP_MIN_LOG_LEVEL. So the file descriptor
    is redirected during the import. Import errors are raised as usual.

    Raises:
        ValueError: if the environment's `GPU_MEMORY_MB` is no whole number above 0.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Otherwise TensorFlow takes all of a GPU's memory at once, and QuadSim may draw on the same GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # Otherwise TensorFlow returns the memory of every large tensor to the system, which has to clear the pages of the
    # next tensor. This takes half of the CPU time of training an FCN (docs/writeup.md).
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import keras
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3":
        # The level counts for native code only. Python code warns of "retracing" whenever several networks are used.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # TensorFlow writes modules into the temporary folder and imports them. Their compiled copies would stay there.
    sys.dont_write_bytecode = True
    if (most := os.environ.get(GPU_MEMORY_MB)) and keras.config.backend() == "tensorflow":
        from model.engines.gpu_memory import bound_gpu_memory  # not above: it imports TensorFlow

        bound_gpu_memory(most)
    return keras


def _check_keras_file(file: Path) -> None:
    from model.keras_files import check_keras_file

    with _raising_value_error(file):
        check_keras_file(file)


def _load_keras(file: Path) -> "keras.Model":
    with _raising_value_error(file):
        return import_keras().saving.load_model(file, compile=False)


@contextlib.contextmanager
def _raising_value_error(file: Path) -> Iterator[None]:
    """Raise ValueError for any error in the block: Keras and the libraries below raise nearly any on a broken file."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{file}: expected a network saved by Keras 3, got {one_line(error)}") from error


def _is_square_map(shape: object) -> bool:
    return isinstance(shape, tuple) and len(shape) == 4 and shape[1] is not None and shape[1] == shape[2]


def weights_sha256(weights: str | Path) -> str:
    """SHA-256 of the files of a network, which identifies it.

    Raises:
        FileNotFoundError: if the files are missing.
    """
    return files_sha256(network_files(weights))


def files_sha256(files: Iterable[Path]) -> str:
    """SHA-256 of the contents of files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()

"""Engines run a network on camera images: OpenVINO on a CPU, TensorFlow on a GPU."""

import argparse
import importlib.util
import logging
from pathlib import Path

from model.card import card_file
from model.engines.engine import Engine
from model.engines.parts import parts_sha256
from model.engines.second_look import SecondLook, second_look_file
from model.loading import import_keras, is_converted, is_legacy, resolve_weights, weights_sha256

__all__ = ["ENGINES", "PRECISIONS", "Engine", "add_precision_option", "load_engine"]

logger = logging.getLogger(__name__)

ENGINES = ("auto", "openvino", "tensorflow")
PRECISIONS = ("auto", "int8", "bf16", "f32")


def load_engine(
    name: str, weights: str | Path, precision: str = "auto", device: str = "CPU", threads: int | None = None
) -> Engine:
    """Load weights into an engine and run its self-test. So the engine has run once, and the first frame is not slow.

    Args:
        name: member of `ENGINES`; "auto": TensorFlow if it finds a GPU, else OpenVINO.
        weights: as `model.loading.load_network` takes.
        precision: member of `PRECISIONS`; "auto": the fastest that this CPU and the files beside the weights allow;
            "f32": the network itself, for scores. TensorFlow always computes in float32.
        device: OpenVINO's device: "CPU", "GPU" and "NPU" of Intel, with a number if there are several ("GPU.1"), or
            "AUTO". TensorFlow finds a GPU by itself.
        threads: number of OpenVINO's threads; None for one per core.

    Raises:
        ValueError: if the engine, the precision or the device is unknown or not available here, or the weights are not
            a network that matches its card.
        FileNotFoundError: if there are no weights, or no second look although the card has one.
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    path = resolve_weights(weights)
    if name == "auto":
        is_free = precision in ("auto", "f32") and device == "CPU" and not is_converted(path)
        name = "tensorflow" if is_free and tensorflow_sees_gpu() else "openvino"
    if name == "tensorflow" and precision not in ("auto", "f32"):
        raise ValueError(f"expected precision f32 or auto for TensorFlow, got {precision}")
    if name == "tensorflow" and device != "CPU":
        raise ValueError(f"expected no device for TensorFlow, which finds a GPU by itself, got {device}")
    engine = _load_openvino(path, precision, device, threads) if name == "openvino" else _load_tensorflow(path)
    if not is_legacy(path) and not (file := card_file(path)).exists():
        logger.info("no card %s, so these settings are assumed: %s", file, engine.card)
    if engine.card.second_evidence is not None:
        engine.second_look = SecondLook(second_look_file(path))
    engine.weights, engine.weights_sha256 = str(weights), weights_sha256(path)
    engine.parts_sha256 = parts_sha256(path, engine)
    return engine


# An engine's library is imported only if it is used: importing TensorFlow takes seconds.


def _load_openvino(weights: Path, precision: str, device: str, threads: int | None) -> Engine:
    from model.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(weights, precision, device, threads)


def _load_tensorflow(weights: Path) -> Engine:
    from model.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(weights)


def add_precision_option(parser: argparse.ArgumentParser, default: str = "auto") -> None:
    """Add `--precision`, a member of `PRECISIONS` for `load_engine`."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=default,
        metavar="PRECISION",
        help="auto, int8, bf16 or f32 (default: %(default)s)",
    )


def tensorflow_sees_gpu() -> bool:
    """Whether TensorFlow can run networks on a GPU of this machine."""
    # Importing TensorFlow takes seconds: ask it only if it is installed and the system has a GPU driver.
    has_driver = any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))
    if not has_driver or importlib.util.find_spec("tensorflow") is None:
        return False
    import_keras()  # imports TensorFlow without its start-up messages
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))

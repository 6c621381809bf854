"""Engines run a network on camera images: OpenVINO on a CPU, TensorFlow on a GPU."""

from pathlib import Path

from model.engines.engine import Engine
from model.engines.second_look import SecondLook, second_look_file
from model.loading import import_keras, resolve_weights, weights_sha256

__all__ = ["ENGINES", "Engine", "load_engine"]

ENGINES = ("auto", "openvino", "tensorflow")


def load_engine(name: str, weights: str | Path, is_exact: bool = False) -> Engine:
    """Load weights into an engine that has passed its self-test, and so has run once: the first frame is not slow.

    Args:
        name: member of `ENGINES`; "auto": TensorFlow if it finds a GPU, else OpenVINO.
        weights: as `model.loading.load_network` takes.
        is_exact: compute in float32 even if bfloat16 is faster on this CPU; for scores.

    Raises:
        ValueError: if the engine is unknown, or the weights are not a network that matches its card.
        FileNotFoundError: if there are no weights, or no second look though the card has one.
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
    path = resolve_weights(weights)
    if name == "auto":
        name = "tensorflow" if tensorflow_sees_gpu() else "openvino"
    engine: Engine
    # Import an engine's library only if it is used: importing TensorFlow takes seconds.
    if name == "openvino":
        from model.engines.openvino import OpenVinoEngine

        engine = OpenVinoEngine(path, is_exact)
    else:
        from model.engines.tensorflow import TensorFlowEngine

        engine = TensorFlowEngine(path)
    if engine.card.second_evidence is not None:
        engine.second_look = SecondLook(second_look_file(path))
    engine.weights, engine.weights_sha256 = str(weights), weights_sha256(path)
    return engine


def tensorflow_sees_gpu() -> bool:
    """Whether TensorFlow can run networks on a GPU of this machine."""
    # Importing TensorFlow takes seconds: ask it only if the system has a GPU driver.
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")):
        return False
    import_keras()  # imports TensorFlow without its start-up messages
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))

"""Networks that turn camera images into class probabilities: OpenVINO on a CPU, TensorFlow on a GPU.

OpenVINO runs from a converted network that is kept in a cache, so that a start on a CPU need not import TensorFlow:
the server is ready after 0.6 s rather than 8, in 160 MB of memory.
"""

import hashlib
import logging
import os
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from model.card import Card, read_card
from model.loading import import_keras, input_px, load_network, network_files, resolve_weights

logger = logging.getLogger(__name__)

ENGINES = ("auto", "openvino", "tensorflow")
# Part of the cache's key: count up when the conversion below changes.
CONVERSION = 1


class Engine(ABC):
    """A loaded network.

    Attributes:
        description: engine, device and precision, for people to read.
        input_px: height and width of its input.
        card: what its output channels mean, and from when on to believe them.
        most_per_batch: images that are worth inferring together.
        weights: where it was loaded from, as it was said.
        weights_sha256: of what it was loaded from, as `weights_sha256` tells; both None for one made otherwise.
    """

    description: str
    input_px: int
    card: Card
    most_per_batch: int
    weights: str | None = None
    weights_sha256: str | None = None

    @abstractmethod
    def infer(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities of camera images.

        Args:
            images: (N, input_px, input_px, 3) uint8 RGB, N at most `most_per_batch`.

        Returns:
            (N, input_px, input_px, classes) float32 in [0, 1].
        """


class OpenVinoEngine(Engine):
    """Runs on the CPU at its fastest precision, bfloat16 where it has it, else float32; `is_exact` always in float32.

    One image at a time on all cores: at 160 px on two cores FCN4 takes 2.8 ms so, against 3.2 to 4.2 ms an image
    in batches of two to eight, which fall out of the cache.
    """

    most_per_batch = 1

    def __init__(self, weights: Path, is_exact: bool = False) -> None:
        import openvino as ov

        converted = _converted(weights)
        core = ov.Core()
        network = core.read_model(converted)
        _, self.input_px, _, channels = (
            dimension.get_length() if dimension.is_static else 1 for dimension in network.input(0).partial_shape
        )
        if channels != 3:
            raise ValueError(f"expected a network of RGB images, got {channels} channels in {weights}")
        self.card = _card(weights, self.input_px, network.output(0).partial_shape[3].get_length())
        settings = {"PERFORMANCE_HINT": "LATENCY", "CACHE_DIR": str(converted.parent)}
        if is_exact:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        compiled = core.compile_model(_gives_planes(_takes_uint8(network, self.input_px, self.card)), "CPU", settings)
        self._request = compiled.create_infer_request()
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.description = f"OpenVINO {ov.__version__.split('-')[0]} on the CPU, {precision}"

    def infer(self, images: np.ndarray) -> np.ndarray:
        """See `Engine.infer`."""
        outputs = [self._request.infer({0: image[None]}, share_inputs=True)[0] for image in images]
        planes = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return np.moveaxis(planes, 1, -1)


class TensorFlowEngine(Engine):
    """Runs Keras on TensorFlow: on a GPU where TensorFlow sees one."""

    most_per_batch = 8

    def __init__(self, weights: Path) -> None:
        network = load_network(weights)
        import tensorflow as tf  # after the loading, which imports it without its start-up notes

        self.input_px = input_px(network)
        self.card = card = _card(weights, self.input_px, int(network.output_shape[-1]))
        gpus = tf.config.list_physical_devices("GPU")
        self.description = f"TensorFlow {tf.__version__} on {'the GPU' if gpus else 'the CPU'}, float32"

        @tf.function(input_signature=[tf.TensorSpec((None, self.input_px, self.input_px, 3), tf.float32)])
        def call(images: Any) -> Any:
            return network((images - card.mean) / card.scale, training=False)

        self._call = call

    def infer(self, images: np.ndarray) -> np.ndarray:
        """See `Engine.infer`."""
        return self._call(images.astype(np.float32)).numpy()


def load_engine(name: str, weights: str | Path, is_exact: bool = False) -> Engine:
    """Load weights into an engine and run it once, so that the first frame finds it warm.

    Args:
        name: one of `ENGINES`; "auto" takes TensorFlow where there is a GPU that it sees, else OpenVINO.
        weights: as `model.loading.load_network` takes.
        is_exact: compute in float32 also where the CPU is twice as fast in bfloat16: what a score is taken with.

    Raises:
        ValueError: for an unknown engine or weights that are no network of three classes.
        FileNotFoundError: where there are no weights.
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
    path = resolve_weights(weights)
    if name == "auto":
        name = "tensorflow" if _tensorflow_sees_gpu() else "openvino"
    engine: Engine = OpenVinoEngine(path, is_exact) if name == "openvino" else TensorFlowEngine(path)
    shape = (1, engine.input_px, engine.input_px)
    probabilities = engine.infer(np.zeros((*shape, 3), np.uint8))
    if probabilities.shape != (*shape, len(engine.card.classes)):
        raise ValueError(
            f"expected {path} to map {(*shape, 3)} to {(*shape, len(engine.card.classes))}, got {probabilities.shape}"
        )
    engine.weights, engine.weights_sha256 = str(weights), weights_sha256(path)
    return engine


def weights_sha256(weights: str | Path) -> str:
    """Tells networks apart: SHA-256 of the weights' file, and of its config's after it where that is a file, too.

    Raises:
        FileNotFoundError: where there are no weights.
    """
    digest = hashlib.sha256()
    for file in network_files(weights):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _tensorflow_sees_gpu() -> bool:
    # Importing TensorFlow takes seconds: ask it only where the system shows a GPU driver at all.
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")):
        return False
    import_keras()  # imports TensorFlow without its start-up notes
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _card(weights: Path, px: int, outputs: int) -> Card:
    card = read_card(weights)
    if len(card.classes) != outputs:
        raise ValueError(
            f"expected a network of the classes {', '.join(card.classes)}, got {outputs} outputs in {weights}"
        )
    if card.input_px not in (None, px):
        raise ValueError(f"expected an input of {card.input_px} px, as its card says, got {px} in {weights}")
    return card


def _takes_uint8(network: Any, px: int, card: Card) -> Any:
    # Normalisation inside the graph: one pass less over the image in Python.
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(network)
    layout = ov.Layout("NHWC")
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(layout)
    steps.input().model().set_layout(layout)
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(card.mean).scale(card.scale)
    network = steps.build()
    network.reshape([1, px, px, 3])
    return network


def _gives_planes(network: Any) -> Any:
    # Softmax over planes of pixels rather than over each pixel's three numbers: a tenth of the whole network's time.
    import openvino as ov
    from openvino import opset13

    last = network.output(0).get_node().input_value(0)
    is_softmax = last.get_node().get_type_name() == "Softmax"
    before = last.get_node().input_value(0) if is_softmax else last
    planes = opset13.transpose(before, opset13.constant(np.array([0, 3, 1, 2])))
    return ov.Model([opset13.softmax(planes, 1) if is_softmax else planes], network.get_parameters())


def _converted(weights: Path) -> Path:
    """The OpenVINO file of these weights: from the cache, or converted into it."""
    import openvino as ov

    digest = hashlib.sha256(f"{CONVERSION} {ov.__version__} {weights_sha256(weights)}".encode())
    cached = _cache_folder() / f"{weights.stem}-{digest.hexdigest()[:16]}.xml"
    if cached.exists():
        return cached
    logger.info("converting %s for OpenVINO; once, some seconds", weights)
    with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
        load_network(weights).export(f"{folder}/saved", verbose=False)
        ov.save_model(ov.convert_model(f"{folder}/saved"), f"{folder}/{cached.name}", compress_to_fp16=False)
        # The .xml last: what has it is whole, also after a kill or when two servers convert at once.
        for suffix in (".bin", ".xml"):
            Path(folder, cached.name).with_suffix(suffix).replace(cached.with_suffix(suffix))
    return cached


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "drone-follow-me"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        fallback = Path(tempfile.mkdtemp(prefix="drone-follow-me-"))
        logger.warning("cannot keep converted networks in %s (%s): converting at each start", folder, error)
        return fallback

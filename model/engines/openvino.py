"""OpenVINO on a CPU.

The network is converted once and kept in a cache, so that later starts do not import TensorFlow: the server is ready
after 0.6 s instead of 8 s, and takes 160 MB of memory.
"""

from pathlib import Path
from typing import Any

import numpy as np

from model.card import Card
from model.engines.cache import ConvertedNetwork, converted
from model.engines.engine import Engine, checked_card
from model.engines.self_test import agrees, known_frame


class OpenVinoEngine(Engine):
    """Runs a network on the CPU, in bfloat16 if the CPU has it, else in float32; with `is_exact` always in float32.

    It infers one image at a time on all cores: FCN4 at 160 px on two cores takes 2.8 ms per image, and 3.2 to 4.2 ms in
    batches of two to eight, which do not fit into the CPU's cache.
    """

    most_per_batch = 1

    def __init__(self, weights: Path, is_exact: bool = False) -> None:
        for _ in range(2):
            network = converted(weights)
            try:
                self._compile(network, is_exact)
            except RuntimeError:  # of OpenVINO, for files that it can't read
                network.discard()
                continue
            if agrees(self.infer(known_frame(self.input_px)), network.answer):
                network.seal()
                return
            network.discard()
        raise ValueError(f"{weights}: expected the network's known answer on a known frame, got another from OpenVINO")

    def _compile(self, converted_network: ConvertedNetwork, is_exact: bool) -> None:
        import openvino as ov

        weights = converted_network.weights
        self._files = converted_network  # they may be temporary
        core = ov.Core()
        network = core.read_model(converted_network.file)
        _, self.input_px, _, channels = (
            dimension.get_length() if dimension.is_static else 1 for dimension in network.input(0).partial_shape
        )
        if channels != 3:
            raise ValueError(f"expected a network for RGB images, got {channels} channels in {weights}")
        self.card = checked_card(weights, self.input_px, network.output(0).partial_shape[3].get_length())
        settings = {"PERFORMANCE_HINT": "LATENCY", "CACHE_DIR": str(converted_network.folder)}
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


def _takes_uint8(network: Any, px: int, card: Card) -> Any:
    # Normalisation inside the graph saves a pass over the image in Python.
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
    # Softmax over planes instead of over the three values of each pixel saves a tenth of the network's time.
    import openvino as ov
    from openvino import opset13

    last = network.output(0).get_node().input_value(0)
    is_softmax = last.get_node().get_type_name() == "Softmax"
    before = last.get_node().input_value(0) if is_softmax else last
    planes = opset13.transpose(before, opset13.constant(np.array([0, 3, 1, 2])))
    return ov.Model([opset13.softmax(planes, 1) if is_softmax else planes], network.get_parameters())

"""TensorFlow, for a GPU."""

from pathlib import Path
from typing import Any

import numpy as np

from model.engines.engine import Engine, checked_card
from model.engines.self_test import coarse, known_frame
from model.loading import input_px, load_network


class TensorFlowEngine(Engine):
    """Runs a network in TensorFlow, on a GPU if TensorFlow finds one."""

    most_per_batch = 8

    def __init__(self, weights: Path) -> None:
        network = load_network(weights)
        import tensorflow as tf  # after loading, which imports it without its start-up messages

        self.input_px = input_px(network)
        self.card = card = checked_card(weights, self.input_px, int(network.output_shape[-1]))
        gpus = tf.config.list_physical_devices("GPU")
        self.description = f"TensorFlow {tf.__version__} on {'the GPU' if gpus else 'the CPU'}, float32"

        @tf.function(input_signature=[tf.TensorSpec((None, self.input_px, self.input_px, 3), tf.float32)])
        def call(images: Any) -> Any:
            return network((images - card.mean) / card.scale, training=False)

        self._call = call
        try:
            coarse(self.infer(known_frame(self.input_px)))
        except ValueError as error:
            raise ValueError(f"{weights}: {error}") from error

    def infer(self, images: np.ndarray) -> np.ndarray:
        """See `Engine.infer`."""
        return self._call(images.astype(np.float32)).numpy()

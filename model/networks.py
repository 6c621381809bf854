"""Networks by name: the original report's `fcn1` to `fcn5`; `inception`, an FCN4 of other blocks; the shipped `fpn`,
and `fpn_narrow` at half its cost."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from model.fcn import FCNS, Widths
from model.fpn import FPN, NARROW_FPN, Pyramid
from model.inception import INCEPTION
from model.scoring import CLASSES, PEOPLE

NETWORKS: dict[str, Widths | Pyramid] = {**FCNS, "inception": INCEPTION, "fpn": FPN, "fpn_narrow": NARROW_FPN}


def build(name: str, input_px: int | None = 160, classes: int = len(CLASSES)) -> keras.Model:
    """Build a network of `NETWORKS` with random weights.

    Args:
        name: a key of `NETWORKS`.
        input_px: height and width of the input; a multiple of the network's stride. None: any multiple, for training.
        classes: number of output channels, in the order of `CLASSES`.

    Returns:
        A model from (N, input_px, input_px, 3) RGB in [−1, 1] to (N, input_px, input_px, classes) float32
        probabilities that sum to 1 at each pixel.

    Raises:
        ValueError: as `check_buildable` does.
    """
    check_buildable(name, input_px)
    image = keras.Input((input_px, input_px, 3), name="image")
    return keras.Model(image, NETWORKS[name].probabilities(image, classes), name=name)


@contextmanager
def layers_in(policy: str) -> Iterator[None]:
    """Set the dtype policy of new layers; restore the previous policy afterwards."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_buildable(name: str, input_px: int | None) -> None:
    """Check the arguments of `build`.

    Raises:
        ValueError: if the name is unknown, or the size is not a multiple of the stride.
    """
    if name not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {name!r}")
    stride = NETWORKS[name].stride
    if input_px is not None and (input_px < stride or input_px % stride):
        raise ValueError(f"input size of {name} must be a multiple of {stride} px, got {input_px}")


def weights_for(network: keras.Model, trained: keras.Model) -> list[np.ndarray]:
    """The weights of a trained network, extended for a network of `build` that may have further classes.

    A further class starts with the weights of people, because a network takes targets that it does not know for people.
    """
    weights = trained.get_weights()
    for number in (-2, -1):  # kernel and bias of the logits
        shape = network.get_weights()[number].shape
        for axis, size in enumerate(shape[: weights[number].ndim]):
            more = max(0, size - weights[number].shape[axis])
            copies = np.take(weights[number], [PEOPLE] * more, axis)
            weights[number] = np.concatenate([weights[number], copies], axis)
    return weights


def multiply_adds(network: keras.Model) -> int:
    """Count the multiply-adds of a network's convolutions for an image: weights × the pixels at which each is used.

    Batch norm costs nothing in inference, because it is merged into the convolution before it.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            _, height, width, _ = layer.input.shape  # each input pixel is multiplied by each weight
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.SeparableConv2D):
            _, height, width, _ = layer.output.shape
        else:
            continue
        total += height * width * sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) == 4)
    return total

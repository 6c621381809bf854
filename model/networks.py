"""The networks by name: the write-up's `fcn1` to `fcn5`, and `fpn`, which is shipped."""

import math

import keras

from model.fcn import FCNS, Widths
from model.fpn import FPN, Pyramid
from model.scoring import CLASSES

NETWORKS: dict[str, Widths | Pyramid] = {**FCNS, "fpn": FPN}


def build(name: str, input_px: int | None = 160, classes: int = len(CLASSES)) -> keras.Model:
    """Build one of `NETWORKS` with fresh weights.

    Args:
        name: a key of `NETWORKS`.
        input_px: height and width of the square input; a multiple of the network's stride. None takes any such size, as
            training does.
        classes: channels of the output, in the order of `CLASSES`.

    Returns:
        A model from (N, input_px, input_px, 3) RGB in [−1, 1] to (N, input_px, input_px, classes) float32
        probabilities that sum to 1 at each pixel.

    Raises:
        ValueError: as `check_buildable` does.
    """
    check_buildable(name, input_px)
    image = keras.Input((input_px, input_px, 3), name="image")
    return keras.Model(image, NETWORKS[name].probabilities(image, classes), name=name)


def check_buildable(name: str, input_px: int | None) -> None:
    """Check what `build` is asked for.

    Raises:
        ValueError: for an unknown name or a size that the strides do not divide.
    """
    if name not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {name!r}")
    stride = NETWORKS[name].stride
    if input_px is not None and (input_px < stride or input_px % stride):
        raise ValueError(f"input size of {name} must be a multiple of {stride} px, got {input_px}")


def multiply_adds(network: keras.Model) -> int:
    """Multiplications that a network's convolutions need for one image: weights times the pixels that each is used at.

    Batch norm costs nothing in a network that runs, where it is a part of the convolution before it.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            _, height, width, _ = layer.input.shape  # each input pixel meets each weight
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.SeparableConv2D):
            _, height, width, _ = layer.output.shape
        else:
            continue
        total += height * width * sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) == 4)
    return total

"""The write-up's fully convolutional networks, FCN1–FCN5, as short named blocks.

Keras 3 only: TensorFlow, JAX or PyTorch runs them. An encoder block halves the resolution; a decoder block
doubles it and concatenates what the encoder saw there, the camera image itself at the last. Every convolution
but the output is followed by batch norm.
"""

from typing import NamedTuple

import keras
from keras import layers

from model.scoring import CLASSES


class Widths(NamedTuple):
    """Filters of one network, block by block.

    Args:
        encoder: filters of each stride-2 encoder block, first to last.
        bottleneck: filters of the 1×1 convolution at the lowest resolution.
        decoder: filters of each ×2 decoder block, first to last; as many as encoder blocks.
        convolutions_per_decoder: separable convolutions in each decoder block.
    """

    encoder: tuple[int, ...]
    bottleneck: int
    decoder: tuple[int, ...]
    convolutions_per_decoder: int = 1


# Source: the write-up's table, quoted in the README.
NETWORKS = {
    "fcn1": Widths((32, 64), 128, (64, 32)),
    "fcn2": Widths((32, 64, 128), 256, (128, 64, 32)),
    "fcn3": Widths((64, 128, 256), 512, (256, 128, 64)),
    "fcn4": Widths((64, 128), 256, (128, 64)),
    "fcn5": Widths((64, 128), 256, (128, 64), convolutions_per_decoder=2),
}


def build(name: str, input_px: int = 160, classes: int = len(CLASSES)) -> keras.Model:
    """Build one of `NETWORKS` with fresh weights.

    Args:
        name: a key of `NETWORKS`.
        input_px: height and width of the square input; a multiple of 2 to the number of encoder blocks.
        classes: channels of the output, in the order of `CLASSES`.

    Returns:
        A model from (N, input_px, input_px, 3) RGB in [−1, 1] to (N, input_px, input_px, classes) float32
        probabilities that sum to 1 at each pixel.

    Raises:
        ValueError: as `check_buildable` does.
    """
    check_buildable(name, input_px)
    widths = NETWORKS[name]
    image = x = keras.Input((input_px, input_px, 3), name="image")
    skips = []
    for number, filters in enumerate(widths.encoder, start=1):
        skips.append(x)
        x = separable_block(x, filters, strides=2, name=f"encoder{number}")
    x = pointwise_block(x, widths.bottleneck, name="bottleneck")
    for number, filters in enumerate(widths.decoder, start=1):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"decoder{number}_upsample")(x)
        x = layers.Concatenate(name=f"decoder{number}_skip")([x, skips.pop()])
        for repeat in range(1, widths.convolutions_per_decoder + 1):
            x = separable_block(x, filters, name=f"decoder{number}_{repeat}")
    # float32 whatever the training policy: bfloat16 has 8 bits for a probability.
    probabilities = layers.Conv2D(classes, 1, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(image, probabilities, name=name)


def check_buildable(name: str, input_px: int) -> None:
    """Check what `build` is asked for.

    Raises:
        ValueError: for an unknown name or a size that the strides do not divide.
    """
    if name not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {name!r}")
    stride = 2 ** len(NETWORKS[name].encoder)
    if input_px < stride or input_px % stride:
        raise ValueError(f"input size of {name} must be a multiple of {stride} px, got {input_px}")


def separable_block(x: keras.KerasTensor, filters: int, *, strides: int = 1, name: str) -> keras.KerasTensor:
    """3×3 depthwise, then 1×1 pointwise convolution, ReLU, batch norm."""
    x = layers.SeparableConv2D(
        filters, 3, strides=strides, padding="same", activation="relu", name=f"{name}_separable"
    )(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)


def pointwise_block(x: keras.KerasTensor, filters: int, *, name: str) -> keras.KerasTensor:
    """1×1 convolution, ReLU, batch norm: mixes channels and keeps where things are."""
    x = layers.Conv2D(filters, 1, activation="relu", name=f"{name}_pointwise")(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)

"""The original report's fully convolutional networks, FCN1–FCN5, as short named blocks.

They use only Keras 3, so TensorFlow, JAX or PyTorch can run them. An encoder block halves the resolution. A decoder
block doubles it and concatenates the encoder's features of that resolution; at the last block, these are the camera
image itself. Every convolution except the output is followed by batch norm.
"""

from typing import NamedTuple, Protocol

import keras
from keras import layers


class Block(Protocol):
    """Part of an encoder or a decoder."""

    def __call__(self, x: keras.KerasTensor, filters: int, *, strides: int = 1, name: str) -> keras.KerasTensor:
        """Make (N, H, W, channels) into (N, H / strides, W / strides, filters)."""


def separable_block(x: keras.KerasTensor, filters: int, *, strides: int = 1, name: str) -> keras.KerasTensor:
    """Apply a 3×3 depthwise and a 1×1 pointwise convolution, ReLU and batch norm."""
    x = layers.SeparableConv2D(
        filters, 3, strides=strides, padding="same", activation="relu", name=f"{name}_separable"
    )(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)


def pointwise_block(x: keras.KerasTensor, filters: int, *, name: str) -> keras.KerasTensor:
    """Apply a 1×1 convolution, which mixes channels but not positions, ReLU and batch norm."""
    x = layers.Conv2D(filters, 1, activation="relu", name=f"{name}_pointwise")(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)


class Widths(NamedTuple):
    """Numbers of filters of a network, block by block.

    Args:
        encoder: filters of each stride-2 encoder block, first to last.
        bottleneck: filters of the 1×1 convolution at the lowest resolution.
        decoder: filters of each ×2 decoder block, first to last; as many as encoder blocks.
        convolutions_per_decoder: number of `block`s in each decoder block.
        block: kind of block in encoder and decoder.
    """

    encoder: tuple[int, ...]
    bottleneck: int
    decoder: tuple[int, ...]
    convolutions_per_decoder: int = 1
    block: Block = separable_block

    @property
    def stride(self) -> int:
        """Input pixels per pixel of the lowest resolution, along each axis."""
        return 2 ** len(self.encoder)

    def probabilities(self, image: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect the layers from an image (N, H, W, 3) to its class probabilities (N, H, W, classes)."""
        x, skips = image, []
        for number, filters in enumerate(self.encoder, start=1):
            skips.append(x)
            x = self.block(x, filters, strides=2, name=f"encoder{number}")
        x = pointwise_block(x, self.bottleneck, name="bottleneck")
        for number, filters in enumerate(self.decoder, start=1):
            x = layers.UpSampling2D(2, interpolation="bilinear", name=f"decoder{number}_upsample")(x)
            x = layers.Concatenate(name=f"decoder{number}_skip")([x, skips.pop()])
            for repeat in range(1, self.convolutions_per_decoder + 1):
                x = self.block(x, filters, name=f"decoder{number}_{repeat}")
        x = layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
        # Always float32: bfloat16 has only 8 bits for a probability.
        return layers.Softmax(dtype="float32", name="probabilities")(x)


# Source: the original report's table, quoted in docs/writeup.md.
FCNS = {
    "fcn1": Widths((32, 64), 128, (64, 32)),
    "fcn2": Widths((32, 64, 128), 256, (128, 64, 32)),
    "fcn3": Widths((64, 128, 256), 512, (256, 128, 64)),
    "fcn4": Widths((64, 128), 256, (128, 64)),
    "fcn5": Widths((64, 128), 256, (128, 64), convolutions_per_decoder=2),
}

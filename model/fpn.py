"""The shipped network, a feature pyramid network (FPN), as short named blocks.

Residual stages of ordinary convolutions work at 1/2, 1/4, 1/8 and 1/16 of the image's resolution. From the coarsest
stage up, the features of each stage are added to the upsampled sum of the coarser stages. Half of the far heroes have
fewer than 50 of the image's 65 536 pixels: the filters at 1/2 and 1/4 are for them, and the coarse stages distinguish a
person from a flower bed.
"""

from typing import NamedTuple

import keras
from keras import layers


class Stage(NamedTuple):
    """The stage of a resolution.

    Args:
        filters: number of channels.
        residual_blocks: number of residual blocks after the convolution that halves the resolution.
    """

    filters: int
    residual_blocks: int


class Pyramid(NamedTuple):
    """A feature pyramid network.

    Args:
        stages: stages, each at half the resolution of the stage before; the first at half the image's.
        channels: number of channels of the pyramid at every resolution.
    """

    stages: tuple[Stage, ...]
    channels: int

    @property
    def stride(self) -> int:
        """Input pixels per pixel of the lowest resolution, along each axis."""
        return 2 ** len(self.stages)

    def probabilities(self, image: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect the layers from an image (N, H, W, 3) to its class probabilities (N, H, W, classes)."""
        x, seen = image, []
        for number, stage in enumerate(self.stages, start=1):
            # 6×6 on the image: it covers the 5×5 neighbourhood of each of the four image pixels of an output pixel.
            x = convolution_block(x, stage.filters, size=6 if number == 1 else 3, strides=2, name=f"stage{number}")
            for block in range(1, stage.residual_blocks + 1):
                x = residual_block(x, stage.filters, name=f"stage{number}_residual{block}")
            seen.append(x)
        x = self._lateral(seen.pop(), len(self.stages))
        while seen:
            number = len(seen)
            x = layers.UpSampling2D(2, interpolation="bilinear", name=f"pyramid{number}_upsample")(x)
            x = layers.Add(name=f"pyramid{number}_add")([x, self._lateral(seen.pop(), number)])
            x = layers.ReLU(name=f"pyramid{number}_relu")(x)
        x = convolution_block(x, self.channels, name="top")
        x = layers.Conv2DTranspose(classes, 4, strides=2, padding="same", name="logits")(x)
        # Always float32: bfloat16 has only 8 bits for a probability.
        return layers.Softmax(dtype="float32", name="probabilities")(x)

    def _lateral(self, x: keras.KerasTensor, number: int) -> keras.KerasTensor:
        return layers.Conv2D(self.channels, 1, name=f"pyramid{number}_lateral")(x)


FPN = Pyramid((Stage(32, 1), Stage(64, 2), Stage(96, 2), Stage(128, 2)), channels=32)
# Half of the multiply-adds. It learns from the other one (`model.distilling`).
NARROW_FPN = Pyramid((Stage(24, 1), Stage(40, 2), Stage(64, 2), Stage(96, 2)), channels=24)


def convolution_block(
    x: keras.KerasTensor, filters: int, *, size: int = 3, strides: int = 1, relu: bool = True, name: str
) -> keras.KerasTensor:
    """Apply a convolution, batch norm and, with `relu`, ReLU."""
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False, name=f"{name}_convolution")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def residual_block(x: keras.KerasTensor, filters: int, *, name: str) -> keras.KerasTensor:
    """Add two convolutions of `x`, which has `filters` channels, to `x`."""
    change = convolution_block(x, filters, name=f"{name}_1")
    change = convolution_block(change, filters, relu=False, name=f"{name}_2")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, change]))

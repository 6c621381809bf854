"""FCN4 with Inception blocks in place of its separable convolutions.

A block looks at its input at four scales side by side, each with a quarter of the block's channels: 1×1, 3×3, 5×5 as
two 3×3, and a 3×3 maximum. A 1×1 convolution to few channels, the bottleneck, comes before the 3×3 convolutions, and
also before the maximum, which would otherwise be the most expensive part at full resolution. The 3×3 convolutions are
separable: training on a CPU takes 7 % less time than with ordinary ones, and there are a quarter fewer weights.

Source: Szegedy et al., Going Deeper with Convolutions, 2015; for the 5×5 as two 3×3, Szegedy et al., Rethinking the
Inception Architecture for Computer Vision, 2016.
"""

import keras
from keras import layers

from model.fcn import FCNS, pointwise_block, separable_block


def inception_block(x: keras.KerasTensor, filters: int, *, strides: int = 1, name: str) -> keras.KerasTensor:
    """Apply four branches to `x` and concatenate their `filters` // 4 channels each; `filters` is a multiple of 8."""
    branch = filters // 4
    at_3x3, at_5x5 = (
        # An input with fewer channels, such as the image, needs no bottleneck.
        pointwise_block(x, channels, name=f"{name}_{size}_bottleneck") if x.shape[-1] > channels else x
        for size, channels in (("3x3", branch), ("5x5", branch // 2))
    )
    at_5x5 = separable_block(at_5x5, branch // 2, name=f"{name}_5x5_1")
    pooled = pointwise_block(x, branch, name=f"{name}_pool_bottleneck")
    # A strided 1×1 convolution would compute the same, but its training damages memory in TensorFlow 2.21 on a CPU, if
    # it has fewer than 16 input channels.
    thinned = x if strides == 1 else layers.MaxPooling2D(1, strides, name=f"{name}_thinned")(x)
    branches = [
        pointwise_block(thinned, branch, name=f"{name}_1x1"),
        separable_block(at_3x3, branch, strides=strides, name=f"{name}_3x3"),
        separable_block(at_5x5, branch, strides=strides, name=f"{name}_5x5_2"),
        layers.MaxPooling2D(3, strides, padding="same", name=f"{name}_pool")(pooled),
    ]
    return layers.Concatenate(name=f"{name}_branches")(branches)


INCEPTION = FCNS["fcn4"]._replace(block=inception_block)

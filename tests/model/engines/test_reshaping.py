"""Networks for images of another size than the one that they were converted for."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

from model.engines.reshaping import reshape


def enlarging(shape) -> ov.Model:
    """A network that halves an image of (1, 64, 64, 3), enlarges it again by sizes, and gives it a shape."""
    image = opset13.parameter([1, 64, 64, 3], np.float32)
    planes = opset13.transpose(image, np.array([0, 3, 1, 2]))
    half = opset13.avg_pool(planes, [2, 2], [0, 0], [0, 0], [2, 2], True)
    whole = opset13.interpolate(half, np.array([64, 64]), "nearest", "sizes", axes=np.array([2, 3]))
    return ov.Model([opset13.reshape(whole, np.array(shape), special_zero=True)], [image])


def test_sizes_in_a_network_are_scaled_with_the_image():
    network = enlarging([0, 3, 64, 64])
    reshape(network, 64, 40, 24)
    assert network.output(0).partial_shape == ov.PartialShape([1, 3, 40, 24])


@pytest.mark.parametrize("shape", [[0, 12, 32, 32], [0, 3 * 64 * 64], [0, 3, 4096, 1]])
def test_a_shape_that_is_not_understood_is_refused(shape):
    with pytest.raises(RuntimeError):
        reshape(enlarging(shape), 64, 40, 24)

"""Networks rewritten to be faster: the same values."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

from model.engines.rewriting import split_transposed_convolutions


def transposed(size=4, strides=2, bias=None, channels=3) -> ov.Model:
    """A network of a transposed convolution of (1, 5, 8, 6), as Keras has it with padding "same"."""
    draw = np.random.default_rng(1)
    features = opset13.parameter([1, 5, 8, 6], np.float32)
    last = opset13.convolution_backprop_data(
        features,
        opset13.constant(draw.normal(size=(5, channels, size, size)).astype(np.float32)),
        [strides] * 2,
        opset13.constant(np.array([8 * strides, 6 * strides])),
        [1, 1],
        [1, 1],
        [1, 1],
        "same_lower",
    )
    if bias is not None:
        last = opset13.add(last, opset13.constant(draw.normal(size=bias).astype(np.float32)))
    return ov.Model([opset13.relu(last)], [features])


def values(network: ov.Model) -> np.ndarray:
    features = np.random.default_rng(2).normal(size=(1, 5, 8, 6)).astype(np.float32)
    return ov.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(features)[0]


def kinds(network: ov.Model) -> set[str]:
    return {node.get_type_name() for node in network.get_ops()}


@pytest.mark.parametrize(
    "bias", [None, (1, 3, 1, 1), (1, 1, 16, 12)], ids=["no bias", "bias", "a value for each pixel added"]
)
def test_a_transposed_convolution_that_doubles_the_size_gives_the_same_by_a_convolution(bias):
    expected = values(transposed(bias=bias))
    network = transposed(bias=bias)
    split_transposed_convolutions(network)
    assert "ConvolutionBackpropData" not in kinds(network)
    np.testing.assert_allclose(values(network), expected, atol=1e-5)


@pytest.mark.parametrize(("size", "strides"), [(3, 2), (4, 4), (5, 1)])
def test_another_transposed_convolution_stays_as_it_is(size, strides):
    expected = values(transposed(size, strides))
    network = transposed(size, strides)
    split_transposed_convolutions(network)
    assert "ConvolutionBackpropData" in kinds(network)
    np.testing.assert_array_equal(values(network), expected)

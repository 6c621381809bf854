import re
from pathlib import Path

import keras
import numpy as np
import pytest

from model import fcn
from model.fcn import NETWORKS, build, check_buildable


def separable(cin, cout):
    """A 3×3 kernel per input channel, cin × cout pointwise weights, a bias per filter."""
    return 3 * 3 * cin + cin * cout + cout


def pointwise(cin, cout):
    return cin * cout + cout


def norm(channels):
    """Scale, offset, running mean and running variance of each channel."""
    return 4 * channels


# A decoder block sees what came up and, beside it, what the encoder saw at that size; the last one the 3-channel image.
PARAMETERS = {
    "fcn1": (
        (separable(3, 32) + norm(32))  # encoder
        + (separable(32, 64) + norm(64))
        + (pointwise(64, 128) + norm(128))
        + (separable(128 + 32, 64) + norm(64))  # decoder
        + (separable(64 + 3, 32) + norm(32))
        + pointwise(32, 3)
    ),
    "fcn2": (
        (separable(3, 32) + norm(32))
        + (separable(32, 64) + norm(64))
        + (separable(64, 128) + norm(128))
        + (pointwise(128, 256) + norm(256))
        + (separable(256 + 64, 128) + norm(128))
        + (separable(128 + 32, 64) + norm(64))
        + (separable(64 + 3, 32) + norm(32))
        + pointwise(32, 3)
    ),
    "fcn3": (
        (separable(3, 64) + norm(64))
        + (separable(64, 128) + norm(128))
        + (separable(128, 256) + norm(256))
        + (pointwise(256, 512) + norm(512))
        + (separable(512 + 128, 256) + norm(256))
        + (separable(256 + 64, 128) + norm(128))
        + (separable(128 + 3, 64) + norm(64))
        + pointwise(64, 3)
    ),
    "fcn4": (
        (27 + 192 + 64 + 256)  # 3·3·3 + 3·64 + 64, and 4·64
        + (576 + 8192 + 128 + 512)  # 3·3·64 + 64·128 + 128, and 4·128
        + (32768 + 256 + 1024)  # 128·256 + 256, and 4·256
        + (2880 + 40960 + 128 + 512)  # 3·3·320 + 320·128 + 128 with 320 = 256 + 64, and 4·128
        + (1179 + 8384 + 64 + 256)  # 3·3·131 + 131·64 + 64 with 131 = 128 + 3, and 4·64
        + (192 + 3)  # 64·3 + 3
    ),
    "fcn5": (
        (separable(3, 64) + norm(64))
        + (separable(64, 128) + norm(128))
        + (pointwise(128, 256) + norm(256))
        + (separable(256 + 64, 128) + norm(128) + separable(128, 128) + norm(128))
        + (separable(128 + 3, 64) + norm(64) + separable(64, 64) + norm(64))
        + pointwise(64, 3)
    ),
}


def test_fcn4_has_98553_parameters_by_hand():
    assert PARAMETERS["fcn4"] == 98553


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_the_parameters_that_its_blocks_add_up_to(name):
    assert build(name, 16).count_params() == PARAMETERS[name]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("px", [8, 24, 160, 256])
def test_a_network_gives_class_probabilities_at_the_size_of_its_input(name, px):
    network = build(name, px)
    assert network.input_shape == (None, px, px, 3)
    assert network.output_shape == (None, px, px, 3)
    assert network.name == name


@pytest.mark.parametrize(("name", "px"), [("fcn1", 4), ("fcn2", 8), ("fcn3", 8), ("fcn4", 4), ("fcn5", 4)])
def test_the_smallest_input_is_one_pixel_at_the_bottom(name, px):
    network = build(name, px)
    assert network.get_layer("bottleneck_norm").output.shape[1:3] == (1, 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_probabilities_sum_to_1_at_each_pixel(name):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    probabilities = np.asarray(build(name, 16)(images))
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), np.ones((2, 16, 16)), rtol=1e-5)


def test_probabilities_are_float32_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build("fcn1", 8)
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("encoder1_separable").compute_dtype == "bfloat16"
    probabilities = np.asarray(network(np.zeros((1, 8, 8, 3), np.float32)))
    assert probabilities.dtype == np.float32
    # Three classes alike: a third has 8 bits in bfloat16, 0.33398, and three of them would sum to 1.002.
    np.testing.assert_allclose(probabilities.sum(axis=-1), np.ones((1, 8, 8)), rtol=1e-6)


def test_the_number_of_classes_may_differ():
    assert build("fcn1", 8, classes=5).output_shape == (None, 8, 8, 5)


def test_a_separable_convolution_has_219_weights_where_an_ordinary_one_has_1728():
    # 3×3 from 3 to 64 channels: 3·3·3 depthwise + 3·64 pointwise = 27 + 192 = 219, against 3·3·3·64 = 1728.
    image = keras.Input((8, 8, 3))
    separable_layer = keras.layers.SeparableConv2D(64, 3, use_bias=False)
    ordinary_layer = keras.layers.Conv2D(64, 3, use_bias=False)
    assert separable_layer(image).shape == ordinary_layer(image).shape
    assert separable_layer.count_params() == 219
    assert ordinary_layer.count_params() == 1728


def test_every_convolution_but_the_output_has_relu_and_batch_norm():
    layers = build("fcn5", 8).layers
    convolutions = [i for i, layer in enumerate(layers) if "Conv2D" in type(layer).__name__]
    assert convolutions[-1] == len(layers) - 1
    assert [layers[i].activation.__name__ for i in convolutions] == ["relu"] * 7 + ["softmax"]
    assert all(isinstance(layers[i + 1], keras.layers.BatchNormalization) for i in convolutions[:-1])


def test_an_encoder_block_halves_and_a_decoder_block_doubles_the_size():
    network = build("fcn2", 32)
    sizes = [network.get_layer(f"encoder{i}_norm").output.shape[1] for i in (1, 2, 3)]
    sizes += [network.get_layer(f"decoder{i}_1_norm").output.shape[1] for i in (1, 2, 3)]
    assert sizes == [16, 8, 4, 8, 16, 32]


def test_the_last_decoder_block_sees_the_camera_image_itself():
    network = build("fcn4", 8)
    assert network.get_layer("decoder2_skip").input[1] is network.input


@pytest.mark.parametrize("ask", [build, check_buildable])
def test_an_unknown_network_is_refused(ask):
    with pytest.raises(ValueError, match="network must be one of fcn1, fcn2, fcn3, fcn4, fcn5, got 'fcn6'"):
        ask("fcn6", 160)


@pytest.mark.parametrize(
    ("name", "px", "stride"), [("fcn4", 162, 4), ("fcn3", 100, 8), ("fcn1", 0, 4), ("fcn1", -4, 4)]
)
def test_a_size_that_the_strides_do_not_divide_is_refused(name, px, stride):
    with pytest.raises(ValueError, match=f"input size of {name} must be a multiple of {stride} px, got {px}"):
        build(name, px)


def test_model_imports_no_backend():
    imports_backend = re.compile(
        r"^\s*(import|from) (tensorflow|jax|torch|keras\.(src|backend))\b|keras\.backend\b|import backend\b",
        re.MULTILINE,
    )
    files = sorted(Path(fcn.__file__).parent.glob("*.py"))
    assert len(files) > 5
    assert [file.name for file in files if imports_backend.search(file.read_text())] == []

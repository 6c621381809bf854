import keras
import pytest

from model.fcn import FCNS
from model.networks import build


def separable(cin, cout):
    """A 3×3 kernel per input channel, cin × cout pointwise weights, a bias per filter."""
    return 3 * 3 * cin + cin * cout + cout


def pointwise(cin, cout):
    return cin * cout + cout


def norm(channels):
    """Scale, offset, running mean and running variance of each channel."""
    return 4 * channels


# A decoder block gets the enlarged features and the encoder's features of that size; the last block gets the image.
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


@pytest.mark.parametrize("name", FCNS)
def test_a_network_has_the_parameters_that_its_blocks_add_up_to(name):
    assert build(name, 16).count_params() == PARAMETERS[name]


@pytest.mark.parametrize(("name", "px"), [("fcn1", 4), ("fcn2", 8), ("fcn3", 8), ("fcn4", 4), ("fcn5", 4)])
def test_the_smallest_input_is_one_pixel_at_the_bottom(name, px):
    network = build(name, px)
    assert network.get_layer("bottleneck_norm").output.shape[1:3] == (1, 1)


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
    assert [layers[i].activation.__name__ for i in convolutions] == ["relu"] * 7 + ["linear"]
    assert all(isinstance(layers[i + 1], keras.layers.BatchNormalization) for i in convolutions[:-1])
    assert isinstance(layers[convolutions[-1] + 1], keras.layers.Softmax)


def test_an_encoder_block_halves_and_a_decoder_block_doubles_the_size():
    network = build("fcn2", 32)
    sizes = [network.get_layer(f"encoder{i}_norm").output.shape[1] for i in (1, 2, 3)]
    sizes += [network.get_layer(f"decoder{i}_1_norm").output.shape[1] for i in (1, 2, 3)]
    assert sizes == [16, 8, 4, 8, 16, 32]


def test_the_last_decoder_block_sees_the_camera_image_itself():
    network = build("fcn4", 8)
    assert network.get_layer("decoder2_skip").input[1] is network.input

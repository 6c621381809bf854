import keras
import numpy as np
import pytest

from model.fpn import Pyramid, Stage, residual_block
from model.networks import build


@pytest.fixture(scope="module")
def network():
    return build("fpn", 64)


def convolution(size, cin, cout):
    """A kernel per pair of channels, no bias: the batch norm after it has an offset."""
    return size * size * cin * cout


def norm(channels):
    """Scale, offset, running mean and running variance of each channel."""
    return 4 * channels


def residual(channels):
    return 2 * (convolution(3, channels, channels) + norm(channels))


def test_the_fpn_has_1302659_parameters_by_hand(network):
    parameters = (
        (3456 + 128)  # 6·6·3·32, and 4·32
        + 18688  # 2 · (3·3·32·32 + 4·32) = 2 · (9216 + 128)
        + (18432 + 256)  # 3·3·32·64, and 4·64
        + 2 * 74240  # 2 · (3·3·64·64 + 4·64) = 2 · (36864 + 256)
        + (55296 + 384)  # 3·3·64·96, and 4·96
        + 2 * 166656  # 2 · (3·3·96·96 + 4·96) = 2 · (82944 + 384)
        + (110592 + 512)  # 3·3·96·128, and 4·128
        + 2 * 295936  # 2 · (3·3·128·128 + 4·128) = 2 · (147456 + 512)
        + (1056 + 2080 + 3104 + 4128)  # laterals to 32: 32·32, 64·32, 96·32 and 128·32, each with 32 biases
        + (9216 + 128)  # 3·3·32·32, and 4·32
        + (1536 + 3)  # 4·4·32·3, and a bias per class
    )
    assert parameters == 1302659
    assert network.count_params() == parameters


def test_another_pyramid_has_the_parameters_that_its_blocks_add_up_to():
    pyramid = Pyramid((Stage(4, 0), Stage(8, 1)), channels=5)
    image = keras.Input((None, None, 3))
    parameters = (
        (convolution(6, 3, 4) + norm(4))
        + (convolution(3, 4, 8) + norm(8) + residual(8))
        + (convolution(1, 4, 5) + 5)  # laterals
        + (convolution(1, 8, 5) + 5)
        + (convolution(3, 5, 5) + norm(5))
        + (convolution(4, 5, 2) + 2)
    )
    assert keras.Model(image, pyramid.probabilities(image, 2)).count_params() == parameters
    assert pyramid.stride == 4


def test_layers_are_named_after_their_blocks(network):
    stages = {1: 1, 2: 2, 3: 2, 4: 2}
    expected = ["image"]
    for stage, blocks in stages.items():
        expected += [f"stage{stage}_{layer}" for layer in ("convolution", "norm", "relu")]
        for block in range(1, blocks + 1):
            name = f"stage{stage}_residual{block}"
            expected += [f"{name}_1_convolution", f"{name}_1_norm", f"{name}_1_relu"]
            expected += [f"{name}_2_convolution", f"{name}_2_norm", f"{name}_add", f"{name}_relu"]
    expected += ["pyramid4_lateral"]
    for number in (3, 2, 1):
        expected += [f"pyramid{number}_{layer}" for layer in ("upsample", "lateral", "add", "relu")]
    expected += ["top_convolution", "top_norm", "top_relu", "logits", "probabilities"]
    # Keras may list layers that are independent of each other in any order.
    assert sorted(layer.name for layer in network.layers) == sorted(expected)


@pytest.mark.parametrize("px", [16, 48, 256])
def test_any_multiple_of_16_px_is_taken(px):
    network = build("fpn", px)
    assert network.output_shape == (None, px, px, 3)
    # The lowest resolution is a sixteenth of the image's.
    assert network.get_layer("stage4_residual2_relu").output.shape[1:] == (px // 16, px // 16, 128)


def test_each_stage_halves_and_each_step_of_the_pyramid_doubles_the_size(network):
    names = [f"stage{number}_relu" for number in (1, 2, 3, 4)] + [f"pyramid{number}_relu" for number in (3, 2, 1)]
    shapes = [network.get_layer(name).output.shape[1:] for name in (*names, "logits")]
    assert shapes == [
        (32, 32, 32),
        (16, 16, 64),
        (8, 8, 96),
        (4, 4, 128),
        (8, 8, 32),
        (16, 16, 32),
        (32, 32, 32),
        (64, 64, 3),
    ]


def test_a_step_of_the_pyramid_adds_what_its_stage_saw(network):
    for number, last_block in ((3, 2), (2, 2), (1, 1)):
        seen = network.get_layer(f"pyramid{number}_lateral").input
        assert seen is network.get_layer(f"stage{number}_residual{last_block}_relu").output
        coarser, lateral = network.get_layer(f"pyramid{number}_add").input
        assert coarser is network.get_layer(f"pyramid{number}_upsample").output
        assert lateral is network.get_layer(f"pyramid{number}_lateral").output


def test_a_residual_block_that_changes_nothing_passes_on_what_is_positive():
    x = keras.Input((4, 4, 2))
    block = keras.Model(x, residual_block(x, 2, name="block"))
    block.set_weights([np.zeros_like(weights) for weights in block.get_weights()])
    signal = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(block(signal)), np.maximum(signal, 0))


def test_every_ordinary_convolution_of_a_stage_is_normed_and_has_no_bias(network):
    convolutions = [layer for layer in network.layers if layer.name.endswith("_convolution")]
    assert len(convolutions) == 4 + 2 * (1 + 2 + 2 + 2) + 1  # stages, residual blocks and the top
    for layer in convolutions:
        assert not layer.use_bias
        assert isinstance(
            network.get_layer(layer.name.replace("_convolution", "_norm")), keras.layers.BatchNormalization
        )

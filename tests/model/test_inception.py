import keras
import numpy as np
import pytest

from model.engines import load_engine
from model.networks import build


def separable(cin, cout):
    """A 3×3 kernel per input channel, cin × cout pointwise weights, a bias per filter, and batch norm."""
    return 3 * 3 * cin + cin * cout + cout + 4 * cout


def pointwise(cin, cout):
    """A weight per pair of channels, a bias per filter, and batch norm."""
    return cin * cout + cout + 4 * cout


def block(cin, cout):
    """1×1, 3×3, 5×5 as two 3×3 and pooling, a quarter of the channels each."""
    branch, narrow = cout // 4, cout // 8
    if cin > branch:
        bottlenecks, at_3x3, at_5x5 = pointwise(cin, branch) + pointwise(cin, narrow), branch, narrow
    else:  # the image
        bottlenecks, at_3x3, at_5x5 = 0, cin, cin
    through_5x5 = separable(at_5x5, narrow) + separable(narrow, branch)
    return bottlenecks + separable(at_3x3, branch) + through_5x5 + 2 * pointwise(cin, branch)


@pytest.fixture(scope="module")
def network():
    return build("inception", 16)


def test_the_network_has_the_parameters_that_its_blocks_add_up_to(network):
    encoder, decoder = block(3, 64) + block(64, 128), block(256 + 64, 128) + block(128 + 3, 64)
    parameters = encoder + pointwise(128, 256) + decoder + 64 * 3 + 3
    assert network.count_params() == parameters == 93241


def test_blocks_have_the_resolutions_and_channels_of_fcn4s(network):
    fcn4 = build("fcn4", 16)
    for name in ("encoder1", "encoder2", "decoder1_1", "decoder2_1"):
        here, there = network.get_layer(f"{name}_branches"), fcn4.get_layer(f"{name}_norm")
        assert here.output.shape == there.output.shape


def test_a_block_sees_at_four_scales_side_by_side(network):
    branches = network.get_layer("decoder1_1_branches").input
    assert [branch.shape[1:] for branch in branches] == [(8, 8, 32)] * 4
    names = ("1x1_norm", "3x3_norm", "5x5_2_norm", "pool")
    for branch, name in zip(branches, names, strict=True):
        assert branch is network.get_layer(f"decoder1_1_{name}").output


def test_no_1x1_convolution_is_strided_which_training_on_a_cpu_would_not_survive(network):
    pointwise_layers = [each for each in network.layers if getattr(each, "kernel_size", None) == (1, 1)]
    assert len(pointwise_layers) > 10
    assert {each.strides for each in pointwise_layers} == {(1, 1)}
    np.testing.assert_array_equal(network.get_layer("encoder1_thinned").output.shape[1:], (8, 8, 3))


def test_the_image_goes_into_its_block_without_a_bottleneck(network):
    assert network.get_layer("encoder1_3x3_separable").input is network.input
    bottleneck = network.get_layer("decoder2_1_3x3_bottleneck_norm").output
    assert network.get_layer("decoder2_1_3x3_separable").input is bottleneck


def test_a_saved_network_says_the_same_when_loaded_and_on_openvino(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    network = build("inception", 32)
    file = tmp_path / "inception.keras"
    network.save(file)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    loaded = keras.saving.load_model(file, compile=False)
    normalised = (image[np.newaxis].astype(np.float32) - 127.5) / 127.5
    expected = np.asarray(network(normalised))[0]
    np.testing.assert_allclose(np.asarray(loaded(normalised))[0], expected, atol=1e-6)
    converted = load_engine("openvino", str(file), "f32")
    np.testing.assert_allclose(converted.infer(image[np.newaxis])[0], expected, atol=1e-3)

"""The pixel grid of the original tools' upsampling; `test_legacy.py` tests the other layers in networks."""

import keras
import numpy as np
import pytest

from model.legacy_layers import BilinearUpSampling2D


def test_upsampling_by_two_keeps_pixels_and_puts_means_between_and_repeats_the_last():
    image = np.array([[0.0, 4.0], [8.0, 20.0]], np.float32)[None, ..., None]
    expected = [[0, 2, 4, 4], [4, 8, 12, 12], [8, 14, 20, 20], [8, 14, 20, 20]]
    np.testing.assert_allclose(np.asarray(BilinearUpSampling2D()(image))[0, ..., 0], expected)


def test_upsampling_by_other_factors_interpolates_at_every_step():
    image = np.array([[0.0, 12.0]], np.float32)[None, ..., None]
    out = np.asarray(BilinearUpSampling2D((1, 4))(image))
    np.testing.assert_allclose(out[0, 0, :, 0], [0, 3, 6, 9, 12, 12, 12, 12])


def test_upsampling_keeps_channels_apart():
    image = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    together = np.asarray(BilinearUpSampling2D((3, 2))(image))
    assert together.shape == (2, 9, 10, 4)
    for channel in range(4):
        alone = np.asarray(BilinearUpSampling2D((3, 2))(image[..., channel : channel + 1]))
        np.testing.assert_allclose(together[..., channel : channel + 1], alone, rtol=1e-6)


@pytest.mark.parametrize("size", [0, (2, 0), (2, 1.5), (2,)])
def test_upsampling_by_other_than_whole_factors_is_refused(size):
    with pytest.raises(ValueError, match="positive whole size"):
        BilinearUpSampling2D(size)


def test_upsampling_to_a_size_that_is_no_multiple_is_refused():
    with pytest.raises(ValueError, match=r"whole multiples of \(2, 2\), got \(3, 3\)"):
        BilinearUpSampling2D(target_size=(3, 3)).compute_output_shape((None, 2, 2, 1))


def test_a_saved_network_with_upsampling_opens_again(tmp_path):
    image = keras.Input((2, 2, 1))
    network = keras.Model(image, BilinearUpSampling2D((2, 3))(image))
    network.save(tmp_path / "network.keras")
    assert keras.saving.load_model(tmp_path / "network.keras").output_shape == (None, 4, 6, 1)

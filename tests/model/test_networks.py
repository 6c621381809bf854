import re
from pathlib import Path

import numpy as np
import pytest

from model import networks
from model.networks import NETWORKS, build, check_buildable, layers_in, weights_for

# fcn4 and fcn5 differ from fcn1 in widths alone.
ONE_OF_EACH_SHAPE = ("fcn1", "fcn2", "inception", "fpn")


def noise(count, px):
    return np.random.default_rng(0).uniform(-1, 1, (count, px, px, 3)).astype(np.float32)


def test_the_shipped_network_and_the_five_of_the_write_up_go_by_name():
    assert list(NETWORKS) == ["fcn1", "fcn2", "fcn3", "fcn4", "fcn5", "inception", "fpn", "fpn_narrow"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_class_probabilities_at_the_size_of_its_input(name):
    network = build(name, 48)
    assert network.input_shape == (None, 48, 48, 3)
    assert network.output_shape == (None, 48, 48, 3)
    assert network.name == name


@pytest.mark.parametrize("name", ONE_OF_EACH_SHAPE)
def test_probabilities_sum_to_1_at_each_pixel(name):
    probabilities = np.asarray(build(name, 16)(noise(2, 16)))
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), np.ones((2, 16, 16)), rtol=1e-5)


@pytest.mark.parametrize("name", ONE_OF_EACH_SHAPE)
def test_probabilities_are_float32_under_a_mixed_policy(name):
    with layers_in("mixed_bfloat16"):
        network = build(name, 16)
    assert network.layers[1].compute_dtype == "bfloat16"
    probabilities = np.asarray(network(np.zeros((1, 16, 16, 3), np.float32)))
    assert probabilities.dtype == np.float32
    # Three classes alike: a third has 8 bits in bfloat16, 0.33398, and three of them would sum to 1.002.
    np.testing.assert_allclose(probabilities.sum(axis=-1), np.ones((1, 16, 16)), rtol=1e-6)


@pytest.mark.parametrize("name", ONE_OF_EACH_SHAPE)
def test_a_network_without_a_size_takes_several_and_is_the_one_of_that_size(name):
    anyhow = build(name, input_px=None)
    assert anyhow.input_shape == anyhow.output_shape == (None, None, None, 3)
    for px in (16, 32):
        fixed = build(name, px)
        fixed.set_weights(anyhow.get_weights())
        np.testing.assert_allclose(np.asarray(anyhow(noise(1, px))), np.asarray(fixed(noise(1, px))), atol=1e-6)


def test_the_number_of_classes_may_differ():
    assert build("fcn1", 8, classes=5).output_shape == (None, 8, 8, 5)
    assert build("fpn", 16, classes=2).output_shape == (None, 16, 16, 2)


@pytest.mark.parametrize("ask", [build, check_buildable])
@pytest.mark.parametrize("px", [160, None])
def test_an_unknown_network_is_refused(ask, px):
    with pytest.raises(
        ValueError, match="network must be one of fcn1, fcn2, fcn3, fcn4, fcn5, inception, fpn, fpn_narrow, got 'fcn6'"
    ):
        ask("fcn6", px)


@pytest.mark.parametrize(
    ("name", "px", "stride"),
    [("fcn4", 162, 4), ("fcn3", 100, 8), ("fpn", 168, 16), ("fpn", 8, 16), ("fcn1", 0, 4), ("fcn1", -4, 4)],
)
def test_a_size_that_the_strides_do_not_divide_is_refused(name, px, stride):
    with pytest.raises(ValueError, match=f"input size of {name} must be a multiple of {stride} px, got {px}"):
        build(name, px)


def test_model_imports_no_backend():
    imports_backend = re.compile(
        r"^\s*(import|from) (tensorflow|jax|torch|keras\.(src|backend))\b|keras\.backend\b|import backend\b",
        re.MULTILINE,
    )
    files = sorted(Path(networks.__file__).parent.glob("*.py"))
    assert len(files) > 5
    assert [file.name for file in files if imports_backend.search(file.read_text())] == []


@pytest.mark.parametrize("name", ONE_OF_EACH_SHAPE)
def test_a_network_of_more_targets_begins_with_what_one_of_fewer_knows(name):
    """A network that does not know the further target labels it as people, so both begin with the same logits."""
    trained, larger = build(name, 16), build(name, 16, classes=4)
    larger.set_weights(weights_for(larger, trained))
    before, after = (np.asarray(network(noise(2, 16))) for network in (trained, larger))
    np.testing.assert_allclose(after[..., 1], after[..., 3], rtol=1e-5)
    np.testing.assert_allclose(after[..., 2] / after[..., 0], before[..., 2] / before[..., 0], rtol=1e-3)
    np.testing.assert_allclose(after[..., 1] / after[..., 0], before[..., 1] / before[..., 0], rtol=1e-3)


def test_weights_of_the_same_classes_stay_as_they_are():
    trained = build("fcn1", 16)
    for own, given in zip(trained.get_weights(), weights_for(build("fcn1", 16), trained), strict=True):
        np.testing.assert_array_equal(own, given)

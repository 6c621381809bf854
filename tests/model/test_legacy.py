import json

import h5py
import numpy as np
import pytest

from model.legacy import load_legacy_network
from model.legacy_files import LegacyNetworkError

PX = 8
NORM = ("beta", "gamma", "moving_mean", "moving_variance")  # in the order in which TF 1.2 wrote them


def layer(kind, name, *sources, calls=None, **config):
    """A layer as Keras 2.0.2 wrote it into the config; `calls` for one that is called several times."""
    nodes = calls or [sources]
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
        "inbound_nodes": [[[*split_call(source), 0, {}] for source in node] for node in nodes if node],
    }


def split_call(source):
    """("x", 1) of "x#1", the second call of x; ("x", 0) of "x"."""
    name, _, call = source.partition("#")
    return name, int(call or 0)


def image_input(channels=3, px=PX):
    return layer("InputLayer", "input_1", batch_input_shape=[None, px, px, channels], sparse=False)


def model(specs, output=None, name="model_1"):
    output = split_call(output or specs[-1]["name"])
    config = {"name": name, "layers": specs, "input_layers": [["input_1", 0, 0]], "output_layers": [[*output, 0]]}
    return {"class_name": "Model", "config": config, "keras_version": "2.0.2-tf", "backend": "tensorflow"}


def save(folder, config, weights, name="model_weights"):
    """Write a pair as the original tools did: layer → its weights under a scope that TF numbered from 0."""
    (folder / f"config_{name}").write_text(json.dumps(json.dumps(config)))
    with h5py.File(folder / name, "w") as file:
        specs = config["config"] if isinstance(config["config"], list) else config["config"]["layers"]
        names = [spec["config"]["name"] for spec in specs]
        file.attrs["layer_names"] = [text.encode() for text in names]
        for number, group_name in enumerate(names):
            group = file.create_group(group_name)
            arrays = weights.get(group_name, {})
            paths = [path if "/" in path else f"scope_{number}/{path}:0" for path in arrays]
            group.attrs["weight_names"] = [path.encode() for path in paths]
            for path, array in zip(paths, arrays.values(), strict=True):
                group[path] = np.asarray(array, np.float32)
    return folder / name, folder / f"config_{name}"


def answer(tmp_path, config, weights, images):
    network = load_legacy_network(*save(tmp_path, config, weights))
    return np.asarray(network(np.asarray(images, np.float32)))


def answer_of_one_layer(tmp_path, images, kind, weights=None, **config):
    """The answer of a network of one layer for (N, H, W, C) images."""
    spec = layer(kind, "it", "input_1", **config)
    return answer(
        tmp_path, model([image_input(images.shape[-1], images.shape[1]), spec]), {"it": weights or {}}, images
    )


@pytest.fixture
def image():
    return np.random.default_rng(1).uniform(-1, 1, (1, PX, PX, 3)).astype(np.float32)


def columns(*values):
    """A (1, n, n, 1) image with these values from left to right in each row."""
    return np.tile(np.array(values, np.float32), (len(values), 1))[None, ..., None]


# --- each layer


def test_a_batch_norm_gets_its_four_weights_by_name_not_by_order(tmp_path):
    weights = dict(zip(NORM, ([5.0], [3.0], [2.0], [16.0]), strict=True))
    out = answer_of_one_layer(tmp_path, columns(10, 2), "BatchNormalization", weights, axis=-1, epsilon=0.0)
    # gamma · (x − mean) / √variance + beta = 3 · (10 − 2) / 4 + 5 = 11, and 3 · 0 / 4 + 5 = 5
    np.testing.assert_allclose(out, columns(11, 5))


def test_a_batch_norm_without_scale_has_no_gamma(tmp_path):
    weights = {"beta": [5.0], "moving_mean": [2.0], "moving_variance": [16.0]}
    out = answer_of_one_layer(
        tmp_path, columns(10, 2), "BatchNormalization", weights, axis=[3], epsilon=0.0, scale=False
    )
    np.testing.assert_allclose(out, columns(7, 5))  # (10 − 2) / 4 + 5, 0 / 4 + 5


def test_a_convolution_multiplies_and_adds_and_activates(tmp_path):
    weights = {"kernel": np.array([2.0, -1.0]).reshape(1, 1, 1, 2), "bias": [1.0, 1.0]}
    out = answer_of_one_layer(
        tmp_path, columns(3, -3), "Conv2D", weights, filters=2, kernel_size=[1, 1], activation="relu",
        kernel_initializer={"class_name": "VarianceScaling", "config": {"scale": 1.0}}, kernel_constraint=None,
    )  # fmt: skip
    np.testing.assert_allclose(out[0, 0], [[7, 0], [0, 4]])  # 2·3+1, −3+1 < 0 | −6+1 < 0, 3+1


def test_a_convolution_may_be_dilated_strided_and_without_bias(tmp_path):
    weights = {"kernel": np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)}
    settings = {"filters": 1, "kernel_size": [1, 3], "use_bias": False, "data_format": "channels_last"}
    image = columns(1, 2, 3, 4, 5, 6)
    dilated = answer_of_one_layer(tmp_path, image, "Conv2D", weights, dilation_rate=[1, 2], padding="valid", **settings)
    np.testing.assert_allclose(dilated[0, 0, :, 0], [531, 642])  # 1 + 10·3 + 100·5, 2 + 10·4 + 100·6
    strided = answer_of_one_layer(tmp_path, image, "Conv2D", weights, strides=[1, 3], padding="same", **settings)
    np.testing.assert_allclose(strided[0, 0, :, 0], [321, 654])  # TF's "same" for stride 3 pads nothing here


def test_a_separable_convolution_filters_each_channel_and_mixes_them(tmp_path):
    weights = {
        "depthwise_kernel": np.array([[10.0], [100.0]]).reshape(1, 1, 2, 1),
        "pointwise_kernel": np.array([1.0, 2.0]).reshape(1, 1, 2, 1),
        "bias": [0.5],
    }
    image = np.array([1.0, 2.0], np.float32).reshape(1, 1, 1, 2)
    out = answer_of_one_layer(tmp_path, image, "SeparableConv2DKeras", weights, filters=1, kernel_size=[1, 1])
    np.testing.assert_allclose(out.ravel(), [10 * 1 + 2 * 100 * 2 + 0.5])


def test_a_separable_convolutions_depth_multiplier_comes_from_its_kernel(tmp_path):
    # The original layer does not save it.
    weights = {
        "depthwise_kernel": np.array([10.0, 100.0]).reshape(1, 1, 1, 2),
        "pointwise_kernel": np.array([1.0, 2.0]).reshape(1, 1, 2, 1),
    }
    image = np.full((1, 1, 1, 1), 3.0)
    settings = {"filters": 1, "kernel_size": [1, 1], "use_bias": False}
    out = answer_of_one_layer(tmp_path, image, "SeparableConv2DKeras", weights, **settings)
    np.testing.assert_allclose(out.ravel(), [10 * 3 + 2 * 100 * 3])


def test_a_transposed_convolution_spreads_each_pixel(tmp_path):
    weights = {"kernel": np.array([1.0, 2.0, 3.0, 4.0]).reshape(2, 2, 1, 1), "bias": [0.0]}
    image = np.full((1, 1, 1, 1), 5.0)
    out = answer_of_one_layer(tmp_path, image, "Conv2DTranspose", weights, filters=1, kernel_size=2, strides=[2, 2])
    np.testing.assert_allclose(out[0, ..., 0], [[5, 10], [15, 20]])


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("Activation", {"activation": "relu"}, columns(0, 0, 0, 4)),
        ("Activation", {"activation": "linear"}, columns(-2, -1, 0, 4)),
        ("LeakyReLU", {"alpha": 0.5}, columns(-1, -0.5, 0, 4)),
        ("LeakyReLU", {"alpha": {"type": "float32", "value": 0.5}}, columns(-1, -0.5, 0, 4)),
        ("ReLU", {"max_value": 3.0}, columns(0, 0, 0, 3)),
        ("Dropout", {"rate": 0.5}, columns(-2, -1, 0, 4)),
        ("SpatialDropout2D", {"rate": 0.5}, columns(-2, -1, 0, 4)),
        ("GaussianNoise", {"stddev": 9.0}, columns(-2, -1, 0, 4)),
        ("MaxPooling2D", {"pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}, columns(-1, 4)),
        ("MaxPooling2D", {"pool_size": [3, 3], "strides": [1, 1], "padding": "same"}, columns(-1, 0, 4, 4)),
        ("AveragePooling2D", {"pool_size": [2, 2], "strides": None, "padding": "valid"}, columns(-1.5, 2)),
        ("UpSampling2D", {"size": [2, 2]}, columns(-2, -2, -1, -1, 0, 0, 4, 4)),
        ("BilinearUpSampling2D", {"size": [2, 2]}, columns(-2, -1.5, -1, -0.5, 0, 2, 4, 4)),
        ("BilinearUpSampling2D", {"size": 2}, columns(-2, -1.5, -1, -0.5, 0, 2, 4, 4)),
        ("BilinearUpSampling2D", {"size": [1, 1], "target_size": [4, 4]}, columns(-2, -1, 0, 4)),
        ("Cropping2D", {"cropping": [[1, 1], [1, 1]]}, columns(-1, 0)),
    ],
    ids=lambda value: None if isinstance(value, np.ndarray) else str(value),
)
def test_a_layer_without_weights_does_what_it_did(tmp_path, kind, settings, expected):
    out = answer_of_one_layer(tmp_path, columns(-2, -1, 0, 4), kind, data_format="channels_last", **settings)
    np.testing.assert_allclose(out, expected)


def test_zero_padding_adds_a_frame(tmp_path):
    out = answer_of_one_layer(tmp_path, columns(7), "ZeroPadding2D", padding=[[1, 0], [0, 2]])
    np.testing.assert_allclose(out[0, ..., 0], [[0, 0, 0], [7, 0, 0]])


def test_softmax_is_over_the_classes(tmp_path):
    image = np.log(np.array([1.0, 2.0, 5.0], np.float32)).reshape(1, 1, 1, 3)
    out = answer_of_one_layer(tmp_path, image, "Activation", activation="softmax")
    np.testing.assert_allclose(out.ravel(), [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("Add", 9.0), ("Multiply", 18.0), ("Average", 4.5), ("Maximum", 6.0)],
)
def test_branches_are_merged(tmp_path, kind, expected):
    specs = [
        image_input(1, px=1),
        layer("UpSampling2D", "left", "input_1", size=[1, 1]),
        layer("Conv2D", "right", "input_1", filters=1, kernel_size=[1, 1], use_bias=False),
        layer(kind, "both", "left", "right"),
    ]
    out = answer(tmp_path, model(specs), {"right": {"kernel": [[[[2.0]]]]}}, np.full((1, 1, 1, 1), 3.0))
    np.testing.assert_allclose(out.ravel(), [expected])  # of 3 and 2 · 3


def test_branches_are_concatenated_in_the_order_of_the_config(tmp_path, image):
    specs = [
        image_input(),
        layer("Activation", "rectified", "input_1", activation="relu"),
        layer("Concatenate", "both", "rectified", "input_1", axis=-1),
    ]
    out = answer(tmp_path, model(specs), {}, image)
    np.testing.assert_array_equal(out, np.concatenate([np.maximum(image, 0), image], axis=-1))


# --- graphs


def test_a_layer_that_is_called_twice_shares_its_weights(tmp_path):
    specs = [
        image_input(1, px=1),
        layer("Conv2D", "twice", calls=[["input_1"], ["twice"]], filters=1, kernel_size=[1, 1]),
        layer("Add", "sum", "twice", "twice#1"),
    ]
    weights = {"twice": {"kernel": [[[[2.0]]]], "bias": [1.0]}}
    out = answer(tmp_path, model(specs), weights, np.full((1, 1, 1, 1), 3.0))
    assert out.ravel() == [(2 * 3 + 1) + (2 * 7 + 1)]


def test_layers_may_be_listed_before_those_they_depend_on(tmp_path):
    specs = [
        layer("Activation", "second", "first", activation="relu"),
        layer("UpSampling2D", "first", "input_1", size=[2, 2]),
        image_input(1, px=1),
    ]
    out = answer(tmp_path, model(specs, output="second"), {}, np.full((1, 1, 1, 1), 3.0))
    np.testing.assert_array_equal(out[0, ..., 0], [[3, 3], [3, 3]])


def sequential(*specs):
    return {
        "class_name": "Sequential",
        "config": [{key: spec[key] for key in ("class_name", "config")} for spec in specs],
    }


def test_a_sequential_network_takes_its_input_from_its_first_layer(tmp_path):
    config = sequential(
        layer("UpSampling2D", "up", size=[2, 2], batch_input_shape=[None, 1, 1, 1]),
        layer("Conv2D", "double", filters=1, kernel_size=[1, 1], use_bias=False),
    )
    out = answer(tmp_path, config, {"double": {"kernel": [[[[2.0]]]]}}, np.full((1, 1, 1, 1), 3.0))
    np.testing.assert_array_equal(out[0, ..., 0], [[6, 6], [6, 6]])


def test_a_nested_networks_weights_are_told_apart_by_their_scopes(tmp_path):
    encoder = model(
        [
            image_input(1, px=1),
            layer("Conv2D", "conv", "input_1", filters=1, kernel_size=[1, 1], trainable=False, use_bias=False),
            layer("BatchNormalization", "norm", "conv", axis=-1, epsilon=0.0),
        ]
    )
    nested = {**encoder, "name": "encoder", "inbound_nodes": [[["input_1", 0, 0, {}]]]}
    # Call 0 of a nested network is its creation, so its first use is call 1.
    specs = [image_input(1, px=1), nested, layer("Activation", "end", "encoder#1", activation="relu")]
    nested["config"]["name"] = "encoder"
    weights = {
        "encoder": {  # what was trained first, then the frozen convolution
            "norm/beta:0": [5.0],
            "norm/gamma:0": [3.0],
            "norm/moving_mean:0": [2.0],
            "norm/moving_variance:0": [16.0],
            "conv/kernel:0": [[[[10.0]]]],
        }
    }
    out = answer(tmp_path, model(specs), weights, np.full((1, 1, 1, 1), 1.0))
    assert out.ravel() == [3 * (10 - 2) / 4 + 5]


def test_names_that_todays_keras_refuses_are_opened(tmp_path):
    specs = [image_input(1, px=1), layer("Conv2D", "block/conv", "input_1", filters=1, kernel_size=[1, 1])]
    weights = {"block/conv": {"kernel_1": [[[[2.0]]]], "bias_1": [1.0]}}
    assert answer(tmp_path, model(specs), weights, np.full((1, 1, 1, 1), 3.0)).ravel() == [7]


def test_a_config_that_is_json_only_once_is_opened(tmp_path):
    config = model([image_input(1, px=1), layer("Activation", "it", "input_1", activation="relu")])
    weights_path, config_path = save(tmp_path, config, {})
    config_path.write_text(json.dumps(config))
    assert load_legacy_network(weights_path, config_path).output_shape == (None, 1, 1, 1)


# --- errors: one line, saying what and where


CONV = layer("Conv2D", "conv", "input_1", filters=2, kernel_size=[1, 1])
CONV_WEIGHTS = {"conv": {"kernel": np.zeros((1, 1, 3, 2)), "bias": np.zeros(2)}}


def refusal(paths, error=LegacyNetworkError):
    with pytest.raises(error) as caught:
        load_legacy_network(*paths)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_file_is_named(tmp_path):
    weights_path, config_path = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    config_path.unlink()
    assert refusal((weights_path, config_path), FileNotFoundError).endswith(f"found no {config_path}")


@pytest.mark.parametrize("kind", ["Lambda", "AttentionAugmentedConv2D"])
def test_an_unknown_layer_is_named(tmp_path, kind):
    message = refusal(save(tmp_path, model([image_input(), layer(kind, "odd", "input_1")]), {}))
    assert message.startswith(f"{tmp_path / 'config_model_weights'}: layer 'odd': expected one of Activation, ")
    assert message.endswith(f"got {kind}")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"activation": "hard_sigmoid"}, "layer 'conv' (Conv2D): activation hard_sigmoid is not supported"),
        ({"activation": "mine"}, "Could not interpret activation function identifier: mine"),
        ({"data_format": "channels_first"}, "expected data_format channels_last, got channels_first"),
        (
            {"frobnicate": 3},
            "layer 'conv' (Conv2D): Unrecognized keyword arguments passed to Conv2D: {'frobnicate': 3}",
        ),
        ({"kernel_size": [9, 9]}, "layer 'conv' (Conv2D): Computed output size would be zero or negative"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_kept_is_named(tmp_path, settings, reason):
    spec = layer("Conv2D", "conv", "input_1", **{"filters": 2, "kernel_size": [1, 1], **settings})
    message = refusal(save(tmp_path, model([image_input(), spec]), CONV_WEIGHTS))
    assert message.startswith(f"{tmp_path / 'config_model_weights'}: layer 'conv'")
    assert reason in message


def test_a_layer_whose_inputs_do_not_fit_is_named(tmp_path):
    specs = [
        image_input(),
        layer("UpSampling2D", "up", "input_1", size=[2, 2]),
        layer("Concatenate", "skip", "up", "input_1", axis=-1),
    ]
    assert "layer 'skip' (Concatenate): A `Concatenate` layer requires" in refusal(save(tmp_path, model(specs), {}))


def test_a_network_of_open_size_with_upsampling_is_refused(tmp_path):
    # The original's tools could not use one either.
    message = refusal(save(tmp_path, model([image_input(px=None), layer("BilinearUpSampling2D", "up", "input_1")]), {}))
    assert message.endswith(
        "layer 'up' (BilinearUpSampling2D): expected an input of fixed size, got (None, None, None, 3)"
    )


def test_an_input_from_a_layer_that_is_not_there_is_named(tmp_path):
    message = refusal(save(tmp_path, model([image_input(), layer("Add", "sum", "input_1", "gone")]), {}))
    assert message.endswith("layer 'sum': expected input from gone, which is missing or in a loop")


def test_a_ring_of_layers_is_refused(tmp_path):
    specs = [image_input(), layer("Dropout", "a", "b", rate=0.1), layer("Dropout", "b", "a", rate=0.1)]
    assert "layer 'a': expected input from b, which is missing or in a loop" in refusal(
        save(tmp_path, model(specs), {})
    )


def test_a_call_with_arguments_is_refused(tmp_path):
    spec = layer("Dropout", "drop", "input_1", rate=0.1)
    spec["inbound_nodes"][0][0][3] = {"training": True}
    assert "layer 'drop': expected a call without arguments" in refusal(
        save(tmp_path, model([image_input(), spec]), {})
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "expected JSON, got Expecting value"),
        (b'"{\\"class_name\\": \\"Mod', "expected JSON, got Unterminated string"),
        (b"\x89HDF\xff", "expected JSON, got 'utf-8' codec"),
        (b"[1, 2]", "expected a network's config, got '[1, 2]'"),
        (b'{"class_name": "Conv2D", "config": {}}', "expected one of Model, Functional, Sequential, got Conv2D"),
        (b'{"class_name": "Model", "config": {}}', "expected a network's config, got one with KeyError: 'layers'"),
        (
            b'{"class_name": "Model", "config": {"layers": [7]}}',
            "expected a network's config, got one with AttributeError",
        ),
        (b'{"class_name": "Sequential", "config": []}', "expected a network's config, got"),
    ],
)
def test_a_damaged_config_is_refused(tmp_path, content, reason):
    paths = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    paths[1].write_bytes(content)
    assert refusal(paths).startswith(f"{paths[1]}: {reason}")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_weights_file_is_refused(tmp_path, share):
    paths = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[: int(share * len(whole))])
    assert refusal(paths).startswith(f"{paths[0]}: expected a whole HDF5 file, got ")


def test_a_file_that_is_not_hdf5_is_refused(tmp_path):
    paths = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    paths[0].write_text("some text\n")
    assert "expected a whole HDF5 file, got Unable to synchronously open file (file signature not found)" in refusal(
        paths
    )


def test_an_hdf5_file_of_something_else_is_refused(tmp_path):
    paths = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    with h5py.File(paths[0], "w") as file:
        file["temperature"] = [20.5]
    assert refusal(paths) == f"{paths[0]}: expected weights as Keras saves them, got no layer_names"


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({}, "layer 'conv': expected weights bias, kernel as the config has them, got none"),
        (
            {"conv": {"kernel": np.zeros((1, 1, 3, 2))}},
            "layer 'conv': expected weights bias, kernel as the config has them, got kernel",
        ),
        (
            {"conv": {"kernel": np.zeros((3, 3, 3, 2)), "bias": np.zeros(2)}},
            "layer 'conv': expected kernel of shape (1, 1, 3, 2) as the config has it, got (3, 3, 3, 2)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, weights, reason):
    paths = save(tmp_path, model([image_input(), CONV]), weights)
    assert refusal(paths) == f"{paths[0]}: {reason}"


def test_weights_of_a_layer_that_the_config_lacks_are_refused(tmp_path):
    paths = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    paths[1].write_text(json.dumps(model([image_input(), layer("Dropout", "drop", "input_1", rate=0.5)])))
    assert refusal(paths) == f"{paths[0]}: expected weights of layers in the config, got weights of a layer 'conv'"


# --- files as people have them


def test_layers_of_other_names_get_their_weights_by_order(tmp_path, image):
    """Keras 2.0 did so: it numbers layers anew in each session."""
    specs = [
        image_input(),
        layer("SeparableConv2DKeras", "separable_1", "input_1", filters=2, kernel_size=[1, 1], use_bias=False),
        layer("Conv2D", "conv2d_1", "separable_1", filters=2, kernel_size=[1, 1]),
    ]
    weights = {
        "separable_1": {"depthwise_kernel": np.full((1, 1, 3, 2), 2.0), "pointwise_kernel": np.ones((1, 1, 6, 2))},
        "conv2d_1": {"kernel": np.eye(2).reshape(1, 1, 2, 2), "bias": [1.0, -1.0]},
    }
    expected = answer(tmp_path, model(specs), weights, image)
    paths = save(tmp_path, model(specs), weights)
    # conv2d_2 is another layer's name now, and the depth multiplier, 2, is known from the weights only.
    paths[1].write_text(paths[1].read_text().replace("conv2d_1", "conv2d_2").replace("separable_1", "conv2d_1"))
    np.testing.assert_array_equal(np.asarray(load_legacy_network(*paths)(image)), expected)


def test_whole_floats_count_as_ints(tmp_path, image):
    settings = {"filters": 2, "kernel_size": [1, 1], "strides": [2, 2]}
    weights = {"kernel": np.arange(6.0).reshape(1, 1, 3, 2), "bias": [1.0, 2.0]}
    expected = answer_of_one_layer(tmp_path, image, "Conv2D", weights, **settings)
    floats = {"filters": 2.0, "kernel_size": [1.0, 1.0], "strides": [2.0, 2.0]}
    np.testing.assert_array_equal(answer_of_one_layer(tmp_path, image, "Conv2D", weights, **floats), expected)


def test_a_config_inside_the_weights_file_is_used(tmp_path, image):
    expected = answer(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS, image)
    path, config = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    config.unlink()
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(model([image_input(), CONV])).encode()
    np.testing.assert_array_equal(np.asarray(load_legacy_network(path, path)(image)), expected)


# --- files that claim to be large


def test_weights_that_claim_8_tib_are_refused_by_their_size(tmp_path):
    paths = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    with h5py.File(paths[0], "a") as file:
        name = file["conv"].attrs["weight_names"][0]
        del file["conv"][name]
        file["conv"].create_dataset(name, (2**41,), np.float32, chunks=(1024,))  # nothing is stored
    assert refusal(paths).startswith(f"{paths[0]}: expected at most 200,000,000 weights, got 2,199,023,255,55")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Conv2D", {"filters": 10**9, "kernel_size": [1, 1]}),
        ("Conv2D", {"filters": 2, "kernel_size": [30000, 30000], "padding": "same"}),
        ("Conv2DTranspose", {"filters": 10**9, "kernel_size": [1, 1]}),
        ("SeparableConv2D", {"filters": 10**9, "kernel_size": [1, 1]}),
        ("Dense", {"units": 10**9}),
    ],
)
def test_a_layer_larger_than_its_weights_is_refused_before_it_takes_memory(tmp_path, kind, settings):
    paths = save(tmp_path, model([image_input(), layer(kind, "it", "input_1", **settings)]), CONV_WEIGHTS)
    assert refusal(paths).startswith(
        f"{paths[1]}: layer 'it': expected no more weights than the file of weights holds, got at least "
    )


def test_a_deeply_nested_config_is_refused(tmp_path):
    paths = save(tmp_path, model([image_input(), CONV]), CONV_WEIGHTS)
    paths[1].write_text("[" * 100_000)
    assert refusal(paths).startswith(f"{paths[1]}: expected JSON, got maximum recursion depth exceeded")


# --- a real one


def test_the_shared_legacy_network_opens_whole(shared_dir):
    legacy = shared_dir / "legacy"
    network = load_legacy_network(legacy / "model_weights", legacy / "config_model_weights")
    assert network.count_params() == json.loads((legacy / "expected.json").read_text())["parameters"]
    assert (network.input_shape, network.output_shape) == ((None, 160, 160, 3), (None, 160, 160, 3))

"""Networks as the original tools (TF 1.2, Keras 2.0.2) saved them: HDF5 weights and a JSON config beside them.

The config says which layers there are and how they are connected. It is rebuilt with today's Keras; nothing
that the files bring is run. Weights go to layers by name, for their order differs: TF 1.2 wrote a batch norm
as beta, gamma, mean, variance, Keras 3 takes gamma first.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras
import numpy as np
from keras import layers, ops


class LegacyNetworkError(ValueError):
    """A legacy network that cannot be opened; the message is one line that says what and where."""


@keras.saving.register_keras_serializable(package="follow_me")
class BilinearUpSampling2D(layers.Layer):
    """Bilinear enlargement by whole factors as TF 1.2 did it: without half-pixel centres.

    Output pixel i shows input position i / factor; past the last input pixel that one repeats. Today's
    `UpSampling2D(interpolation="bilinear")` has its pixels elsewhere, which costs 0.016 of score.
    Made of slices, concatenations and reshapes, which every backend and OpenVINO run.

    Args:
        size: factors for rows and columns, or one for both.
        target_size: rows and columns of the output, whole multiples of the input's; replaces `size`.
    """

    def __init__(
        self, size: int | tuple[int, int] = 2, target_size: tuple[int, int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.target_size = tuple(target_size) if target_size else None
        given = self.target_size or self.size
        if len(given) != 2 or not all(isinstance(value, int) and value > 0 for value in given):
            raise ValueError(f"expected a positive whole size for rows and columns, got {given}")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """(N, H, W, C) to (N, H · size[0], W · size[1], C)."""
        _, rows, columns, channels = x.shape
        _, all_rows, all_columns, _ = self.compute_output_shape(x.shape)
        x = _interpolate(x, ops.concatenate([x[:, :, 1:], x[:, :, -1:]], axis=2), all_columns // columns)
        # Each row as one long pixel: rows then interpolate as columns did.
        x = ops.reshape(x, (-1, rows, all_columns * channels))
        x = _interpolate(x, ops.concatenate([x[:, 1:], x[:, -1:]], axis=1), all_rows // rows)
        return ops.reshape(x, (-1, all_rows, all_columns, channels))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The output's shape for the input's.

        Raises:
            ValueError: if the input's size is open, or does not divide `target_size`.
        """
        batch, rows, columns, channels = input_shape
        if rows is None or columns is None:
            raise ValueError(f"expected an input of fixed size, got {input_shape}")
        target = self.target_size or (rows * self.size[0], columns * self.size[1])
        if target[0] % rows or target[1] % columns:
            raise ValueError(f"expected a target_size of whole multiples of {rows, columns}, got {target}")
        return batch, *target, channels

    def get_config(self) -> dict[str, Any]:
        """The settings for `from_config`."""
        return {**super().get_config(), "size": self.size, "target_size": self.target_size}


def _interpolate(x: keras.KerasTensor, following: keras.KerasTensor, factor: int) -> keras.KerasTensor:
    """The `factor` pixels from each pixel on towards the following one, side by side in the last axis."""
    between = [x + (following - x) * (step / factor) for step in range(1, factor)]
    return ops.concatenate([x, *between], axis=-1)


# Legacy class name → today's class: what TF 1.2 offered for such networks.
_LAYERS: dict[str, type[layers.Layer]] = {
    "BilinearUpSampling2D": BilinearUpSampling2D,
    "SeparableConv2DKeras": layers.SeparableConv2D,
    **{
        name: getattr(layers, name)
        for name in (
            *("Conv2D", "SeparableConv2D", "Conv2DTranspose", "Dense", "BatchNormalization"),
            *("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax"),
            *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
            *("UpSampling2D", "ZeroPadding2D", "Cropping2D", "Reshape", "Flatten", "Permute"),
            *("Concatenate", "Add", "Multiply", "Average", "Maximum"),
        )
    },
}
# Act in training only: for an answer they pass on what they get.
_PASS_THROUGH = ("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization")
_SUBNETWORKS = ("Model", "Functional", "Sequential")
_RENAMED_SETTINGS = {("LeakyReLU", "alpha"): "negative_slope"}
# How a network was trained says nothing about what it answers; data_format is checked apart.
_UNUSED_SETTINGS = re.compile(
    r".*_(initializer|regularizer|constraint)|name|dtype|trainable|momentum|batch_input_shape|data_format"
)
# Same name, other formula: Keras 2 took clip(0.2 x + 0.5, 0, 1), Keras 3 takes clip(x / 6 + 0.5, 0, 1).
_CHANGED_ACTIVATIONS = ("hard_sigmoid",)


class _Weight(NamedTuple):
    """One array of the HDF5 file, by the name that TF gave it, such as `conv2d_1/kernel:0`."""

    path: str
    array: np.ndarray

    @property
    def scope(self) -> str:
        """What stands before the last slash; each layer has its own."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The weight's name within its layer, without TF's output number and what made it unique."""
        return re.sub(r"(_\d+)?(:\d+)?$", "", self.path.rpartition("/")[2])


_Weights = Mapping[str, list[_Weight]]


class _Built(NamedTuple):
    """A network and the layers it was made of, by their legacy names."""

    network: keras.Model
    parts: "dict[str, layers.Layer | _Built]"


def load_legacy_network(weights_path: Path, config_path: Path) -> keras.Model:
    """Open a network that the original tools saved.

    Args:
        weights_path: HDF5 file as `Model.save_weights` wrote it.
        config_path: the network's `to_json()`, itself stored as a string in JSON.

    Returns:
        The network: RGB in [−1, 1] to probabilities.

    Raises:
        FileNotFoundError: if a file is missing.
        LegacyNetworkError: if a file is damaged, a layer is unknown or the two do not fit each other.
    """
    for path in (weights_path, config_path):
        if not path.is_file():
            raise FileNotFoundError(
                f"expected a legacy network's {weights_path.name} and {config_path.name}, found no {path}"
            )
    config = _read_config(config_path)
    weights = _read_weights(weights_path)
    try:
        built = _build(config, weights)
    except LegacyNetworkError as error:
        raise LegacyNetworkError(f"{config_path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise LegacyNetworkError(
            f"{config_path}: expected a network's config, got one with {type(error).__name__}: {_one_line(error)}"
        ) from error
    try:
        _assign_weights(built.parts, weights)
    except LegacyNetworkError as error:
        raise LegacyNetworkError(f"{weights_path}: {error}") from error
    return built.network


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, str):
            config = json.loads(config)
    except ValueError as error:
        raise LegacyNetworkError(f"{path}: expected JSON, got {_one_line(error)}") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise LegacyNetworkError(f"{path}: expected a network's config, got {str(config)[:60]!r}")
    return config


def _read_weights(path: Path) -> _Weights:
    """All arrays of the file, by layer, in the order of the file."""
    try:
        with h5py.File(path, "r") as file:
            # `Model.save` puts what `Model.save_weights` writes one level down.
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise LegacyNetworkError(f"{path}: expected weights as Keras saves them, got no layer_names")
            return {
                layer: [_Weight(name, root[layer][name][()]) for name in _strings(root[layer], "weight_names")]
                for layer in _strings(root, "layer_names")
            }
    except (OSError, KeyError, RuntimeError) as error:
        raise LegacyNetworkError(f"{path}: expected a whole HDF5 file, got {_one_line(error)}") from error


def _strings(group: h5py.Group, attribute: str) -> list[str]:
    return [text.decode() if isinstance(text, bytes) else str(text) for text in group.attrs[attribute]]


def _build(spec: Mapping[str, Any], weights: _Weights) -> _Built:
    if spec["class_name"] not in _SUBNETWORKS:
        raise LegacyNetworkError(f"expected one of {', '.join(_SUBNETWORKS)}, got {spec['class_name']}")
    if spec["class_name"] == "Sequential":
        return _build_sequential(spec["config"], weights)
    return _build_graph(spec["config"], weights)


def _build_sequential(config: list | dict[str, Any], weights: _Weights) -> _Built:
    specs = config if isinstance(config, list) else config["layers"]
    parts: dict[str, layers.Layer | _Built] = {}
    image = x = None
    for spec in specs:
        name = _name(spec)
        if x is None and "batch_input_shape" in spec["config"]:
            image = x = keras.Input(spec["config"]["batch_input_shape"][1:])
        if spec["class_name"] == "InputLayer":
            continue
        parts[name] = part = _build_part(spec, weights)
        if x is None and isinstance(part, _Built):
            image = x = keras.Input(part.network.input_shape[1:])
        x = _call(name, part, [x])
    return _Built(keras.Model(image, x), parts)


def _build_graph(config: Mapping[str, Any], weights: _Weights) -> _Built:
    """Connect the layers: a layer's n-th call is its n-th inbound node, naming the calls whose outputs it takes."""
    parts: dict[str, layers.Layer | _Built] = {}
    outputs: dict[tuple[str, int], list[keras.KerasTensor]] = {}
    waiting = []
    for spec in config["layers"]:
        name = _name(spec)
        if spec["class_name"] == "InputLayer":
            outputs[name, 0] = [keras.Input(spec["config"]["batch_input_shape"][1:])]
            continue
        parts[name] = part = _build_part(spec, weights)
        # Keras 2 counted a nested network's own making as its call 0.
        first = int(isinstance(part, _Built))
        waiting += [(name, call, sources) for call, sources in enumerate(spec["inbound_nodes"], first)]

    while waiting:
        still_waiting = []
        for name, call, sources in waiting:
            if all((source, source_call) in outputs for source, source_call, *_ in sources):
                if any(any(source[3:]) for source in sources):
                    raise LegacyNetworkError(f"layer {name!r}: expected a call without arguments, got {sources}")
                inputs = [outputs[source, source_call][output] for source, source_call, output, *_ in sources]
                result = _call(name, parts[name], inputs)
                outputs[name, call] = result if isinstance(result, list) else [result]
            else:
                still_waiting.append((name, call, sources))
        if len(still_waiting) == len(waiting):
            name, _, sources = waiting[0]
            missing = ", ".join(source for source, call, *_ in sources if (source, call) not in outputs)
            raise LegacyNetworkError(f"layer {name!r}: expected input from {missing}, which nothing leads to")
        waiting = still_waiting

    ends = [
        [outputs[name, call][output] for name, call, output in config[end]] for end in ("input_layers", "output_layers")
    ]
    return _Built(keras.Model(*(end[0] if len(end) == 1 else end for end in ends)), parts)


def _name(spec: Mapping[str, Any]) -> str:
    return spec.get("name") or spec["config"]["name"]


def _build_part(spec: Mapping[str, Any], weights: _Weights) -> layers.Layer | _Built:
    """One layer, or a nested network."""
    kind, name, config = spec["class_name"], _name(spec), spec["config"]
    if kind in _SUBNETWORKS:
        return _build(spec, weights)
    keras_name = name.replace("/", "_")
    if kind in _PASS_THROUGH:
        return layers.Identity(name=keras_name, dtype="float32")
    if kind not in _LAYERS:
        raise LegacyNetworkError(
            f"layer {name!r}: expected one of {', '.join(sorted((*_LAYERS, *_PASS_THROUGH)))}, got {kind}"
        )
    if config.get("data_format") == "channels_first":
        raise LegacyNetworkError(f"layer {name!r} ({kind}): expected data_format channels_last, got channels_first")
    if config.get("activation") in _CHANGED_ACTIVATIONS:
        raise LegacyNetworkError(f"layer {name!r} ({kind}): no activation {config['activation']}")
    settings = {
        _RENAMED_SETTINGS.get((kind, key), key): _plain(key, value)
        for key, value in config.items()
        if not _UNUSED_SETTINGS.fullmatch(key)
    }
    if kind == "SeparableConv2DKeras":
        # The one setting that the original layer forgot to save.
        kernels = [weight.array for weight in weights.get(name, []) if weight.name == "depthwise_kernel"]
        settings["depth_multiplier"] = kernels[0].shape[-1] if kernels else 1
    try:
        layer = _LAYERS[kind](**settings, name=keras_name, dtype="float32")
    except (TypeError, ValueError) as error:
        raise LegacyNetworkError(f"layer {name!r} ({kind}): {_one_line(error)}") from error
    layer.trainable = config.get("trainable", True)
    return layer


def _plain(key: str, value: Any) -> Any:
    """Undo how Keras 2 wrote numpy numbers, {"type": …, "value": …}, and TF from 1.13 on an axis, [3]."""
    if isinstance(value, dict) and "value" in value:
        return value["value"]
    return value[0] if key == "axis" and isinstance(value, list) else value


def _call(name: str, part: layers.Layer | _Built, inputs: list[keras.KerasTensor]) -> Any:
    layer = part.network if isinstance(part, _Built) else part
    try:
        return layer(inputs[0] if len(inputs) == 1 else inputs)
    except (LookupError, TypeError, ValueError) as error:
        raise LegacyNetworkError(f"layer {name!r} ({type(layer).__name__}): {_one_line(error)}") from error


def _assign_weights(parts: Mapping[str, layers.Layer | _Built], weights: _Weights) -> None:
    for name in weights:
        if weights[name] and name not in parts:
            raise LegacyNetworkError(f"weights for a layer {name!r} that the config does not have")
    for name, part in parts.items():
        if isinstance(part, _Built):
            _assign_nested(name, part, weights.get(name, []))
        else:
            _assign(name, part, weights.get(name, []))


def _assign_nested(name: str, built: _Built, weights: list[_Weight]) -> None:
    """A nested network's weights lie in one list, trained ones first; TF's scopes tell its layers apart."""
    by_scope: dict[str, list[_Weight]] = {}
    for weight in weights:
        by_scope.setdefault(weight.scope, []).append(weight)
    leaves = sorted(_leaves(built, f"{name}/"), key=lambda leaf: not leaf[1].trainable)
    if len(leaves) != len(by_scope):
        raise LegacyNetworkError(f"network {name!r}: expected weights of {len(leaves)} layers, got {len(by_scope)}")
    for (path, layer), scope in zip(leaves, by_scope.values(), strict=True):
        _assign(path, layer, scope)


def _leaves(built: _Built, prefix: str) -> Iterator[tuple[str, layers.Layer]]:
    for name, part in built.parts.items():
        if isinstance(part, _Built):
            yield from _leaves(part, f"{prefix}{name}/")
        elif part.weights:
            yield prefix + name, part


def _assign(name: str, layer: layers.Layer, weights: list[_Weight]) -> None:
    arrays = {weight.name: weight.array for weight in weights}
    wanted = {variable.name: variable for variable in layer.weights}
    if arrays.keys() != wanted.keys():
        raise LegacyNetworkError(
            f"layer {name!r}: expected weights {_list(wanted)} as the config has them, got {_list(arrays)}"
        )
    for weight, variable in wanted.items():
        if tuple(variable.shape) != arrays[weight].shape:
            raise LegacyNetworkError(
                f"layer {name!r}: expected {weight} of shape {tuple(variable.shape)} as the config has it, "
                f"got {arrays[weight].shape}"
            )
        variable.assign(arrays[weight])


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"


def _one_line(error: Exception) -> str:
    """An error's text without line breaks and what Keras wraps it in, at most 200 characters."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    return re.sub(r"Exception encountered when calling \S+ | Arguments received by .*", "", text)[:200]

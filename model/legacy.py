"""Open networks that the original tools (TF 1.2, Keras 2.0.2) saved: HDF5 weights and a JSON config beside them.

The config lists the layers and their connections. They are rebuilt with today's Keras; no code from the files is run.
The weights of a layer are assigned by name, because their order differs: TF 1.2 wrote a batch norm as beta, gamma,
mean, variance, Keras 3 puts gamma first. Layers whose names differ between the two files are assigned by order.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import layers

from model.command import one_line
from model.legacy_files import LegacyNetworkError, Weight, read_config, read_weights
from model.legacy_layers import least_weights, make_layer

# A config may have this many weights more than the file. A small difference is found later, when the weights are
# assigned, with a message that names the weight.
_SPARE = 1_000_000
_SUBNETWORKS = ("Model", "Functional", "Sequential")


class _Stored:
    """The weights of a file, and how many of their values the layers built so far have not yet claimed.

    Args:
        by_layer: arrays of each layer, in the order of the file.
    """

    def __init__(self, by_layer: Mapping[str, list[Weight]]) -> None:
        self.by_layer = by_layer
        self._left = _SPARE + sum(weight.array.size for weights in by_layer.values() for weight in weights)

    def claim(self, name: str, values: int) -> None:
        """Count the weights of a layer before it takes memory for them.

        Raises:
            LegacyNetworkError: if the file does not hold that many.
        """
        self._left -= values
        if self._left < 0:
            raise LegacyNetworkError(
                f"layer {name!r}: expected no more weights than the file of weights holds, got at least {values:,}"
            )


class _Built(NamedTuple):
    """A network and its layers by their legacy names."""

    network: keras.Model
    parts: "dict[str, layers.Layer | _Built]"


def load_legacy_network(weights_path: Path, config_path: Path) -> keras.Model:
    """Open a network that the original tools saved.

    Args:
        weights_path: HDF5 file as `Model.save_weights` wrote it.
        config_path: result of the network's `to_json()`, stored as a string in JSON; or an HDF5 file that holds it.

    Returns:
        The network, which maps RGB in [−1, 1] to probabilities.

    Raises:
        FileNotFoundError: if a file is missing.
        LegacyNetworkError: if a file is damaged, a layer is unknown, or weights and config do not match.
    """
    for path in (weights_path, config_path):
        if not path.is_file():
            raise FileNotFoundError(
                f"expected a legacy network's {weights_path.name} and {config_path.name}, found no {path}"
            )
    config = read_config(config_path)
    weights = read_weights(weights_path)
    try:
        built = _build(config, _Stored(weights))
        by_order = _by_order(built.parts, weights)
        if by_order is not None:
            # Build again, because some settings of a layer come from its weights.
            weights = by_order
            built = _build(config, _Stored(weights))
    except LegacyNetworkError as error:
        raise LegacyNetworkError(f"{config_path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise LegacyNetworkError(
            f"{config_path}: expected a network's config, got one with {type(error).__name__}: {one_line(error)}"
        ) from error
    try:
        _assign_weights(built.parts, weights)
    except LegacyNetworkError as error:
        raise LegacyNetworkError(f"{weights_path}: {error}") from error
    return built.network


def _by_order(
    parts: "Mapping[str, layers.Layer | _Built]", weights: Mapping[str, list[Weight]]
) -> dict[str, list[Weight]] | None:
    """Give the weights the names of the config's layers, in order, as Keras 2.0 did; None if the names match already.

    Also None if the numbers of layers differ, which `_assign_weights` refuses.
    """
    stored = [layer for layer in weights.values() if layer]
    wanted = [name for name, part in parts.items() if (part.network if isinstance(part, _Built) else part).weights]
    if all(name in parts for name, layer in weights.items() if layer) or len(stored) != len(wanted):
        return None
    return dict(zip(wanted, stored, strict=True))


def _build(spec: Mapping[str, Any], stored: _Stored) -> _Built:
    if spec["class_name"] not in _SUBNETWORKS:
        raise LegacyNetworkError(f"expected one of {', '.join(_SUBNETWORKS)}, got {spec['class_name']}")
    if spec["class_name"] == "Sequential":
        return _build_sequential(spec["config"], stored)
    return _build_graph(spec["config"], stored)


def _build_sequential(config: list | dict[str, Any], stored: _Stored) -> _Built:
    specs = config if isinstance(config, list) else config["layers"]
    parts: dict[str, layers.Layer | _Built] = {}
    image = x = None
    for spec in specs:
        name = _name(spec)
        if x is None and "batch_input_shape" in spec["config"]:
            image = x = keras.Input(spec["config"]["batch_input_shape"][1:])
        if spec["class_name"] == "InputLayer":
            continue
        parts[name] = part = _build_part(spec, stored)
        if x is None and isinstance(part, _Built):
            image = x = keras.Input(part.network.input_shape[1:])
        x = _call(name, part, [x], stored)
    return _Built(keras.Model(image, x), parts)


def _build_graph(config: Mapping[str, Any], stored: _Stored) -> _Built:
    """Connect the layers: the n-th inbound node of a layer is its n-th call, with the calls that give its inputs."""
    parts: dict[str, layers.Layer | _Built] = {}
    outputs: dict[tuple[str, int], list[keras.KerasTensor]] = {}
    waiting = []
    for spec in config["layers"]:
        name = _name(spec)
        if spec["class_name"] == "InputLayer":
            outputs[name, 0] = [keras.Input(spec["config"]["batch_input_shape"][1:])]
            continue
        parts[name] = part = _build_part(spec, stored)
        # Keras 2 counted the construction of a nested network as its call 0.
        first = int(isinstance(part, _Built))
        waiting += [(name, call, sources) for call, sources in enumerate(spec["inbound_nodes"], first)]

    while waiting:
        still_waiting = []
        for name, call, sources in waiting:
            if not all((source, source_call) in outputs for source, source_call, *_ in sources):
                still_waiting.append((name, call, sources))
                continue
            if any(any(arguments) for _, _, _, *arguments in sources):
                raise LegacyNetworkError(f"layer {name!r}: expected a call without arguments, got {sources}")
            inputs = [outputs[source, source_call][output] for source, source_call, output, *_ in sources]
            result = _call(name, parts[name], inputs, stored)
            outputs[name, call] = result if isinstance(result, list) else [result]
        if len(still_waiting) == len(waiting):
            name, _, sources = waiting[0]
            missing = ", ".join(source for source, call, *_ in sources if (source, call) not in outputs)
            raise LegacyNetworkError(f"layer {name!r}: expected input from {missing}, which is missing or in a loop")
        waiting = still_waiting

    ends = [
        [outputs[name, call][output] for name, call, output in config[end]] for end in ("input_layers", "output_layers")
    ]
    return _Built(keras.Model(*(end[0] if len(end) == 1 else end for end in ends)), parts)


def _name(spec: Mapping[str, Any]) -> str:
    return spec.get("name") or spec["config"]["name"]


def _build_part(spec: Mapping[str, Any], stored: _Stored) -> layers.Layer | _Built:
    """Build a layer or a nested network."""
    kind, name, config = spec["class_name"], _name(spec), spec["config"]
    if kind in _SUBNETWORKS:
        return _build(spec, stored)
    return make_layer(kind, name, config, {weight.name: weight.array for weight in stored.by_layer.get(name, [])})


def _call(name: str, part: layers.Layer | _Built, inputs: list[keras.KerasTensor], stored: _Stored) -> Any:
    layer = part.network if isinstance(part, _Built) else part
    if not layer.built:
        stored.claim(name, least_weights(layer, inputs[0].shape))
    try:
        return layer(inputs[0] if len(inputs) == 1 else inputs)
    except (LookupError, TypeError, ValueError) as error:
        raise LegacyNetworkError(f"layer {name!r} ({type(layer).__name__}): {one_line(error)}") from error


def _assign_weights(parts: Mapping[str, layers.Layer | _Built], weights: Mapping[str, list[Weight]]) -> None:
    for name in weights:
        if weights[name] and name not in parts:
            raise LegacyNetworkError(f"expected weights of layers in the config, got weights of a layer {name!r}")
    for name, part in parts.items():
        if isinstance(part, _Built):
            _assign_nested(name, part, weights.get(name, []))
        else:
            _assign(name, part, weights.get(name, []))


def _assign_nested(name: str, built: _Built, weights: list[Weight]) -> None:
    """Assign the weights of a nested network: one list, trainable layers first; scopes separate the layers."""
    by_scope: dict[str, list[Weight]] = {}
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


def _assign(name: str, layer: layers.Layer, weights: list[Weight]) -> None:
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

"""Layers of networks that the original tools (TF 1.2, Keras 2.0.2) saved, as layers of today's Keras."""

import math
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from model.command import one_line
from model.legacy_files import LegacyNetworkError


@keras.saving.register_keras_serializable(package="follow_me")
class BilinearUpSampling2D(layers.Layer):
    """Bilinear upsampling by integer factors as in TF 1.2: without half-pixel centres.

    Output pixel i shows input position i / factor; beyond the last input pixel, that pixel is repeated. Today's
    `UpSampling2D(interpolation="bilinear")` uses another pixel grid, which lowers the final score by 0.016.
    It consists of slices, concatenations and reshapes, which every backend and OpenVINO can run.

    Args:
        size: factors for rows and columns, or a single factor for both.
        target_size: rows and columns of the output, integer multiples of the input's; replaces `size`.
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
        # Each row becomes one long pixel, so that rows are interpolated in the same way as columns.
        x = ops.reshape(x, (-1, rows, all_columns * channels))
        x = _interpolate(x, ops.concatenate([x[:, 1:], x[:, -1:]], axis=1), all_rows // rows)
        return ops.reshape(x, (-1, all_rows, all_columns, channels))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the output for a shape of the input.

        Raises:
            ValueError: if the input has no fixed size, or `target_size` is not a multiple of it.
        """
        batch, rows, columns, channels = input_shape
        if rows is None or columns is None:
            raise ValueError(f"expected an input of fixed size, got {input_shape}")
        target = self.target_size or (rows * self.size[0], columns * self.size[1])
        if target[0] % rows or target[1] % columns:
            raise ValueError(f"expected a target_size of whole multiples of {rows, columns}, got {target}")
        return batch, *target, channels

    def get_config(self) -> dict[str, Any]:
        """Settings for `from_config`."""
        return {**super().get_config(), "size": self.size, "target_size": self.target_size}


def _interpolate(x: keras.KerasTensor, following: keras.KerasTensor, factor: int) -> keras.KerasTensor:
    """Interpolate `factor` pixels from each pixel towards the following one, side by side in the last axis."""
    between = [x + (following - x) * (step / factor) for step in range(1, factor)]
    return ops.concatenate([x, *between], axis=-1)


# Legacy class name → today's class, for the layers of TF 1.2 that segmentation networks used.
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
# Layers that act only in training; in inference they return their input.
_PASS_THROUGH = ("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization")
_RENAMED_SETTINGS = {("LeakyReLU", "alpha"): "negative_slope"}
# Settings that do not affect inference, and data_format, which is checked separately.
_UNUSED_SETTINGS = re.compile(
    r".*_(initializer|regularizer|constraint)|name|dtype|trainable|momentum|batch_input_shape|data_format"
)
# The formula changed: Keras 2 computed clip(0.2 x + 0.5, 0, 1), Keras 3 computes clip(x / 6 + 0.5, 0, 1).
_CHANGED_ACTIVATIONS = ("hard_sigmoid",)


def make_layer(kind: str, name: str, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> layers.Layer:
    """Make today's layer of a legacy one.

    Args:
        kind: its class in the config.
        name: its name in the config.
        config: its settings as Keras 2 wrote them.
        arrays: its weights by their names within the layer.

    Raises:
        LegacyNetworkError: if the layer is unknown, or today's Keras has no equivalent.
    """
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
        raise LegacyNetworkError(f"layer {name!r} ({kind}): activation {config['activation']} is not supported")
    settings = {
        _RENAMED_SETTINGS.get((kind, key), key): _plain(key, value)
        for key, value in config.items()
        if not _UNUSED_SETTINGS.fullmatch(key)
    }
    if kind == "SeparableConv2DKeras":
        # The original layer did not save this setting.
        kernel = arrays.get("depthwise_kernel")
        settings["depth_multiplier"] = 1 if kernel is None else kernel.shape[-1]
    try:
        layer = _LAYERS[kind](**settings, name=keras_name, dtype="float32")
    except (TypeError, ValueError) as error:
        raise LegacyNetworkError(f"layer {name!r} ({kind}): {one_line(error)}") from error
    layer.trainable = config.get("trainable", True)
    return layer


def least_weights(layer: layers.Layer, shape: tuple[int | None, ...]) -> int:
    """Number of weights that a layer will at least have for an input of this shape, before they take memory."""
    if not all(isinstance(size, int) for size in shape[1:]):
        return 0
    channels = shape[-1] or 0
    match layer:
        case layers.SeparableConv2D():
            each = math.prod(layer.kernel_size) + layer.filters
            return channels * layer.depth_multiplier * each
        case layers.Conv2D() | layers.Conv2DTranspose():
            return math.prod(layer.kernel_size) * channels * layer.filters
        case layers.Dense():
            return channels * layer.units
        case layers.PReLU():
            shared = layer.shared_axes or ()
            return math.prod(size or 0 for axis, size in enumerate(shape[1:], 1) if axis not in shared)
    return 0


def _plain(key: str, value: Any) -> Any:
    """Simplify a value: Keras 2 wrote numpy numbers as {"type": …, "value": …}, TF since 1.13 an axis as [3]."""
    if isinstance(value, dict) and "value" in value:
        return value["value"]
    return value[0] if key == "axis" and isinstance(value, list) else value
